//! A store in a directory, for any number of processes at once.
//!
//! ```text
//!   DIR/
//!   ├── nydus-convert-store      marker: the version of this structure
//!   ├── lock                     shared while something is published, exclusive while something is removed
//!   ├── index.redb               the index, see database.rs
//!   ├── blobs/ab/ab12…           the objects by their names, whole
//!   ├── descriptions/ab/ab12…
//!   ├── layers/…  images/…
//!   ├── sessions/PID-N           one for every process, locked while it lives: the blobs that it holds
//!   └── unfinished/PID-N-M       objects in the making, named by their sessions
//! ```
//! Objects are written under `unfinished/`, brought to the disk and renamed. A process that is killed leaves at most
//! files there and a session that nobody locks; [`PruneStore::sweep`] takes them away.

mod database;
mod files;
mod session;

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use nydus_convert_rafs::BlobId;

use super::{
    Guard, NewObject, Object, ObjectInfo, ObjectKind, ObjectName, PruneStore, ReadStore, StoreError,
    WriteStore,
};
pub use database::Database;
use files::{failed, sync_dir};
use session::Session;

const MARKER: &str = "nydus-convert-store";
/// The marker before all else is there.
const NEW_MARKER: &str = ".nydus-convert-store";
const VERSION: &str = "1";
const INDEX: &str = "index.redb";
/// Bytes that are collected before they are written.
const BUFFER: usize = 256 << 10;

/// Objects in a directory.
pub struct Directory {
    dir: PathBuf,
    session: Arc<Session>,
    unfinished: AtomicU64,
}

impl Directory {
    /// Opens the store in `dir`; a directory that is empty or not there becomes one.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(dir).map_err(failed("make", dir))?;
        let marker = dir.join(MARKER);
        match fs::read_to_string(&marker) {
            Ok(text) => check_version(dir, &text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(dir, &marker)?,
            Err(error) => return Err(failed("read", &marker)(error)),
        }
        Self::begin(dir)
    }

    /// Opens the store in `dir`, if it is one.
    pub(crate) fn open_existing(dir: &Path) -> Result<Self, StoreError> {
        let marker = dir.join(MARKER);
        match fs::read_to_string(&marker) {
            Ok(text) => check_version(dir, &text)?,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Err(StoreError::NoStore { path: dir.to_owned() });
            }
            Err(error) => return Err(failed("read", &marker)(error)),
        }
        Self::begin(dir)
    }

    fn begin(dir: &Path) -> Result<Self, StoreError> {
        let guard = lock(dir, Lock::Shared)?;
        let session = Session::begin(&dir.join("sessions"))?;
        drop(guard);
        Ok(Self { dir: dir.to_owned(), session: Arc::new(session), unfinished: AtomicU64::new(0) })
    }

    /// Opens its index. One that is not there is made.
    pub fn index(&self) -> Result<Database, StoreError> {
        // What is in the making must not be swept.
        let guard = self.publishing()?;
        let path = self.dir.join(INDEX);
        if !path.exists() {
            let is_partial = !self.list(ObjectKind::Blob)?.is_empty();
            Database::make(&path, &self.dir.join("unfinished"), is_partial)?;
        }
        let index = Database::open(&path)?;
        drop(guard);
        Ok(index)
    }

    /// Removes the index, so that it can be made anew. Refused while anybody else has the store open.
    pub(crate) fn remove_index(&self) -> Result<(), StoreError> {
        let guard = lock(&self.dir, Lock::Exclusive)?;
        for path in entries(&self.dir.join("sessions"))? {
            let is_own = path.file_name().is_some_and(|name| name == self.session.name());
            if !is_own && session::of_others(&path)?.is_some() {
                return Err(StoreError::InUse { path: self.dir.clone() });
            }
        }
        let path = self.dir.join(INDEX);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove", &path)(error));
            }
            _ => {}
        }
        drop(guard);
        Ok(())
    }

    fn path(&self, name: ObjectName) -> PathBuf {
        let hex = BlobId(name.id).to_string();
        self.dir.join(name.kind.plural()).join(&hex[..2]).join(hex)
    }
}

fn check_version(dir: &Path, text: &str) -> Result<(), StoreError> {
    if text.trim_end() == VERSION {
        return Ok(());
    }
    // A marker of another program can have any length.
    let found = text.trim_end().chars().take(40).collect();
    Err(StoreError::Version { path: dir.to_owned(), found, known: VERSION })
}

/// Makes a store of an empty directory. Others may be doing the same, and be done and use it already.
fn create(dir: &Path, marker: &Path) -> Result<(), StoreError> {
    let subs = ["sessions", "unfinished"].into_iter().chain(ObjectKind::ALL.map(ObjectKind::plural));
    let own: Vec<&str> = subs.clone().chain(["lock", MARKER, NEW_MARKER]).collect();
    for path in entries(dir)? {
        let is_own = path.file_name().is_some_and(|name| own.iter().any(|own| name == *own));
        if !is_own && !marker.exists() {
            return Err(StoreError::NotAStore { path: dir.to_owned() });
        }
    }
    let guard = lock(dir, Lock::Exclusive)?;
    if let Ok(text) = fs::read_to_string(marker) {
        return check_version(dir, &text);
    }
    for sub in subs {
        fs::create_dir_all(dir.join(sub)).map_err(failed("make", &dir.join(sub)))?;
    }
    // The marker says that all else is there.
    let new = dir.join(NEW_MARKER);
    let written = File::create(&new).and_then(|mut file| {
        file.write_all(format!("{VERSION}\n").as_bytes())?;
        file.sync_all()
    });
    written.map_err(failed("write", &new))?;
    sync_dir(dir)?;
    fs::rename(&new, marker).map_err(failed("write", marker))?;
    sync_dir(dir)?;
    drop(guard);
    Ok(())
}

#[derive(Clone, Copy)]
enum Lock {
    Shared,
    Exclusive,
}

/// Waits for the lock of the store; it lasts until the file is closed.
fn lock(dir: &Path, kind: Lock) -> Result<File, StoreError> {
    let path = dir.join("lock");
    let open = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
    let file = open.map_err(failed("open", &path))?;
    loop {
        let locked = match kind {
            Lock::Shared => file.lock_shared(),
            Lock::Exclusive => file.lock(),
        };
        match locked {
            Ok(()) => return Ok(file),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed("lock", &path)(error)),
        }
    }
}

impl ReadStore for Directory {
    fn open(&self, name: ObjectName) -> Result<Option<Object>, StoreError> {
        let path = self.path(name);
        match File::open(&path) {
            Ok(file) => Ok(Some(Arc::new(file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("open", &path)(error)),
        }
    }

    fn file(&self, name: ObjectName) -> Option<PathBuf> {
        Some(self.path(name))
    }

    fn list(&self, kind: ObjectKind) -> Result<Vec<ObjectInfo>, StoreError> {
        let mut found = Vec::new();
        for directory in entries(&self.dir.join(kind.plural()))? {
            for path in entries(&directory)? {
                let name = path.file_name().and_then(|name| name.to_str()?.parse::<BlobId>().ok());
                let Some(BlobId(id)) = name else { continue };
                match fs::metadata(&path) {
                    Ok(metadata) => found.push(ObjectInfo {
                        name: ObjectName { kind, id },
                        size: metadata.len(),
                        used: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                    }),
                    // Removed meanwhile.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(failed("read", &path)(error)),
                }
            }
        }
        found.sort_unstable_by_key(|info| info.name);
        Ok(found)
    }
}

/// The entries of a directory, none if it is not there.
fn entries(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    match fs::read_dir(dir) {
        Ok(entries) => {
            let paths = entries.map(|entry| entry.map(|entry| entry.path()));
            paths.collect::<io::Result<_>>().map_err(failed("read", dir))
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        Err(error) => Err(failed("read", dir)(error)),
    }
}

impl WriteStore for Directory {
    fn begin(&self) -> Result<Box<dyn NewObject>, StoreError> {
        let number = self.unfinished.fetch_add(1, Ordering::Relaxed);
        let path = self.dir.join("unfinished").join(format!("{}-{number}", self.session.name()));
        let file = OpenOptions::new().create_new(true).write(true).open(&path);
        let file = BufWriter::with_capacity(BUFFER, file.map_err(failed("make", &path))?);
        Ok(Box::new(NewFile { file: Some(file), path, dir: self.dir.clone() }))
    }

    fn touch(&self, name: ObjectName) -> Result<(), StoreError> {
        let path = self.path(name);
        let touched = File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        match touched {
            // Whoever may only read a store uses it all the same.
            Err(error)
                if !matches!(
                    error.kind(),
                    io::ErrorKind::NotFound
                        | io::ErrorKind::PermissionDenied
                        | io::ErrorKind::ReadOnlyFilesystem
                ) =>
            {
                Err(failed("mark as used", &path)(error))
            }
            _ => Ok(()),
        }
    }

    fn publishing(&self) -> Result<Guard, StoreError> {
        Ok(Box::new(lock(&self.dir, Lock::Shared)?))
    }

    fn hold(&self, blob: BlobId) -> Result<(), StoreError> {
        self.session.hold(blob)
    }
}

impl PruneStore for Directory {
    fn pruning(&self) -> Result<Guard, StoreError> {
        Ok(Box::new(lock(&self.dir, Lock::Exclusive)?))
    }

    fn held(&self) -> Result<HashSet<BlobId>, StoreError> {
        let mut held = self.session.held();
        for path in entries(&self.dir.join("sessions"))? {
            held.extend(session::of_others(&path)?.unwrap_or_default());
        }
        Ok(held)
    }

    fn remove(&self, name: ObjectName) -> Result<(), StoreError> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", &path)(error)),
            _ => Ok(()),
        }
    }

    fn sweep(&self, dry_run: bool) -> Result<u64, StoreError> {
        let mut dead = Vec::new();
        let mut living = HashSet::from([self.session.name().to_owned()]);
        for path in entries(&self.dir.join("sessions"))? {
            let Some(name) = path.file_name().and_then(|name| name.to_str()).map(str::to_owned) else {
                continue;
            };
            match session::of_others(&path)? {
                Some(_) => drop(living.insert(name)),
                None if living.contains(&name) => {}
                None => dead.push(path),
            }
        }
        let mut bytes = 0;
        for path in entries(&self.dir.join("unfinished"))? {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let session = name.rsplit_once('-').map(|(session, _)| session);
            if session.is_none_or(|session| !living.contains(session)) {
                bytes += fs::metadata(&path).map_or(0, |metadata| metadata.len());
                dead.push(path);
            }
        }
        if !dry_run {
            for path in dead {
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(failed("remove", &path)(error));
                    }
                    _ => {}
                }
            }
        }
        Ok(bytes)
    }
}

/// An object in the making. Dropped unfinished, it is removed.
struct NewFile {
    file: Option<BufWriter<File>>,
    path: PathBuf,
    dir: PathBuf,
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.as_mut().map_or(Err(io::ErrorKind::BrokenPipe.into()), |file| file.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl NewObject for NewFile {
    fn finish(mut self: Box<Self>, name: ObjectName) -> Result<(), StoreError> {
        let Some(mut file) = self.file.take() else { return Ok(()) };
        // Which blobs a result has is worth no waiting for the disk: they are there without it.
        let lasts = name.kind != ObjectKind::Image;
        let written = file.flush().and_then(|()| if lasts { file.get_ref().sync_all() } else { Ok(()) });
        let kind = self.dir.join(name.kind.plural());
        let hex = BlobId(name.id).to_string();
        let dir = kind.join(&hex[..2]);
        let path = dir.join(hex);
        let put = written
            .map_err(failed("write", &self.path))
            .and_then(|()| fs::create_dir_all(&dir).map_err(failed("make", &dir)))
            .and_then(|()| fs::rename(&self.path, &path).map_err(failed("write", &path)));
        if put.is_err() {
            // Goes when it is dropped: a full disk is not to stay full because of what was not finished.
            self.file = Some(file);
            return put;
        }
        if !lasts {
            return Ok(());
        }
        sync_dir(&dir)?;
        // Whoever made `dir` may not have come to this yet. It costs nothing where nothing changed.
        sync_dir(&kind)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(file) = self.file.take() {
            // What is collected need not be written any more.
            drop(file.into_parts());
            let _ = fs::remove_file(&self.path);
        }
    }
}
