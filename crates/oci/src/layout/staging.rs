//! The directory inside a layout in which one run keeps what it has written until it is published.
//!
//! It holds a file `lock` that the run keeps locked: a staging directory whose lock can be had belongs to a
//! run that was killed, and the next run removes it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tempfile::TempDir;

use crate::descriptor::Blob;
use crate::digest::Digest;
use crate::error::Error;
use crate::sink::Upload;

use super::lock::open_lock;
use super::{LayoutError, OWN_PREFIX, io_error};

/// Bytes collected before a blob's file is written to.
const WRITE_BUFFER: usize = 128 << 10;

/// A staging directory. Dropping it removes it with everything in it.
pub(crate) struct Staging {
    // In this order: the directory is gone before its lock is free.
    dir: TempDir,
    _lock: File,
    blobs: Arc<Blobs>,
}

/// What a run has written and what it relies on.
#[derive(Default)]
pub(crate) struct Staged {
    /// Complete blobs in the staging directory.
    pub written: BTreeMap<Digest, PathBuf>,
    /// Blobs that the layout held already, with their sizes in bytes.
    pub reused: BTreeMap<Digest, u64>,
}

/// Shared with the writers of single blobs, who may outlive the sink: it is none once the sink is committed
/// or dropped.
struct Blobs {
    dir: PathBuf,
    next: AtomicU64,
    staged: Mutex<Option<Staged>>,
}

impl Staging {
    /// Makes a staging directory in `dir` and removes those of runs that were killed. The caller holds the
    /// layout's lock: a directory that is not locked *yet* must not be taken for one of a dead run.
    pub fn create(dir: &Path) -> Result<Self, LayoutError> {
        remove_stale(dir)?;
        let temp = tempfile::Builder::new()
            .prefix(&format!("{OWN_PREFIX}-"))
            .tempdir_in(dir)
            .map_err(io_error("create a directory in", dir))?;
        let path = temp.path().join("lock");
        let lock = open_lock(&path).map_err(io_error("create", &path))?;
        lock.lock().map_err(io_error("lock", &path))?;
        let blobs = Arc::new(Blobs {
            dir: temp.path().to_owned(),
            next: AtomicU64::new(0),
            staged: Mutex::new(Some(Staged::default())),
        });
        Ok(Self { dir: temp, _lock: lock, blobs })
    }

    /// Where `name` is in the staging directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A file for one more blob.
    pub fn upload(&self) -> Result<Box<dyn Upload>, LayoutError> {
        let number = self.blobs.next.fetch_add(1, Ordering::Relaxed);
        let path = self.path(&format!("blob-{number}"));
        let file = File::create_new(&path).map_err(io_error("create", &path))?;
        let file = Some(BufWriter::with_capacity(WRITE_BUFFER, file));
        Ok(Box::new(FileUpload { file, path, blobs: Arc::clone(&self.blobs) }))
    }

    /// Makes a complete file that is on the disk already one of the blobs, under one more name. `false` where that cannot
    /// be: on another file system, or one without hard links.
    pub fn link(&self, file: &Path, blob: Blob) -> Result<bool, LayoutError> {
        let mut staged = self.blobs.lock();
        let staged = staged.as_mut().ok_or(LayoutError::Closed)?;
        if let Entry::Vacant(place) = staged.written.entry(blob.digest) {
            let path = self.blobs.path_of(&blob.digest);
            if fs::hard_link(file, &path).is_err() {
                return Ok(false);
            }
            place.insert(path);
        }
        Ok(true)
    }

    /// Whether a blob has been written.
    pub fn has_written(&self, digest: &Digest) -> bool {
        self.blobs.lock().as_ref().is_some_and(|staged| staged.written.contains_key(digest))
    }

    /// Notes that the image relies on a blob which the layout held already.
    pub fn reuse(&self, blob: Blob) {
        if let Some(staged) = self.blobs.lock().as_mut() {
            staged.reused.insert(blob.digest, blob.size);
        }
    }

    /// Everything written and relied on. Blobs finished later are refused.
    pub fn close(&self) -> Staged {
        self.blobs.lock().take().unwrap_or_default()
    }

    /// Writes a file of the staging directory to the disk and gives its path.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, LayoutError> {
        let path = self.path(name);
        let write = || -> io::Result<()> {
            let mut file = File::create_new(&path)?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        write().map_err(io_error("write", &path))?;
        Ok(path)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        self.close();
    }
}

impl Blobs {
    fn path_of(&self, digest: &Digest) -> PathBuf {
        self.dir.join(format!("{}-{}", digest.algorithm().name(), digest.hex()))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Staged>> {
        // A panic elsewhere cannot leave the maps half-changed.
        self.staged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One blob's file. Dropped unfinished, it is removed.
struct FileUpload {
    file: Option<BufWriter<File>>,
    path: PathBuf,
    blobs: Arc<Blobs>,
}

impl FileUpload {
    /// A typed error under the kind of the I/O error it holds, as `Write` demands.
    fn wrap(&self, error: io::Error) -> io::Error {
        match error.kind() {
            io::ErrorKind::Interrupted => error,
            kind => io::Error::new(kind, io_error("write", &self.path)(error)),
        }
    }

    fn writer(&mut self) -> io::Result<&mut BufWriter<File>> {
        self.file.as_mut().ok_or_else(|| io::Error::other(LayoutError::Closed))
    }
}

impl Write for FileUpload {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.writer()?.write(buf).map_err(|error| self.wrap(error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer()?.flush().map_err(|error| self.wrap(error))
    }
}

impl Upload for FileUpload {
    fn finish(mut self: Box<Self>, blob: Blob) -> Result<(), Error> {
        let write = |file: Option<BufWriter<File>>| -> io::Result<()> {
            let Some(file) = file else { return Ok(()) };
            // On the disk before anything can name it.
            file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
        };
        write(self.file.take()).map_err(io_error("write", &self.path))?;
        let mut staged = self.blobs.lock();
        let staged = staged.as_mut().ok_or(LayoutError::Closed)?;
        if let Entry::Vacant(place) = staged.written.entry(blob.digest) {
            let path = self.blobs.path_of(&blob.digest);
            fs::rename(&self.path, &path).map_err(io_error("write", &path))?;
            place.insert(path);
        }
        Ok(())
    }
}

impl Drop for FileUpload {
    fn drop(&mut self) {
        // Gone already if the blob was finished: then it has another name.
        if let Some(writer) = self.file.take() {
            // What is still in the buffer need not be written first.
            drop(writer.into_parts());
        }
        let _ = fs::remove_file(&self.path);
    }
}

/// Removes the staging directories of runs that were killed.
fn remove_stale(dir: &Path) -> Result<(), LayoutError> {
    let entries = fs::read_dir(dir).map_err(io_error("read", dir))?;
    for entry in entries {
        let entry = entry.map_err(io_error("read", dir))?;
        let is_ours = entry.file_name().to_string_lossy().starts_with(&format!("{OWN_PREFIX}-"));
        if is_ours && entry.file_type().is_ok_and(|kind| kind.is_dir()) && is_dead(&entry.path()) {
            // Somebody else's rights may forbid it; that does not hinder this run.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}

fn is_dead(staging: &Path) -> bool {
    match File::open(staging.join("lock")) {
        // A shared lock is enough to learn that nobody has the exclusive one, and does not need the right to
        // write.
        Ok(file) => file.try_lock_shared().is_ok(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}
