//! Writing a layout.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::descriptor::{Blob, Descriptor};
use crate::error::Error;
use crate::reference::Reference;
use crate::sink::{BlobWriter, Sink};

use super::index::IndexFile;
use super::lock::LayoutLock;
use super::publish::{Publication, sync_dir};
use super::staging::{Staged, Staging};
use super::{LayoutError, NoLayout, OWN_PREFIX, blob_path, has_marker, io_error, marker};

/// How often a run begins anew because others have removed the directory they had made: each time one of them has
/// given up, so this many are never met.
const MAX_TRIES: usize = 100;

/// One image in the making, in a layout directory that may hold others.
///
/// Until [`commit`](Self::commit), everything is in a staging directory inside the layout, and dropping the
/// sink leaves the target exactly as it was; also a target that did not exist.
pub struct LayoutSink {
    reference: Reference,
    dir: PathBuf,
    name: Option<String>,
    // In this order: the staging directory is gone before the directories that were made for it.
    staging: Staging,
    made: Publication,
}

impl LayoutSink {
    /// Begins an image under `name` (`org.opencontainers.image.ref.name`) in the layout `dir`. The directory
    /// may be a layout, empty, or not exist.
    pub fn create(dir: impl AsRef<Path>, name: Option<&str>) -> Result<Self, Error> {
        let dir = dir.as_ref();
        let mut tries = 0;
        loop {
            tries += 1;
            match Self::start(dir, name) {
                // Another run may have removed the directory that it had made, while we were looking at it.
                Err(error) if tries < MAX_TRIES && is_gone(&error) => {}
                result => return Ok(result?),
            }
        }
    }

    fn start(dir: &Path, name: Option<&str>) -> Result<Self, LayoutError> {
        let mut made = Publication::default();
        if dir.as_os_str().is_empty() {
            return Err(LayoutError::NotFound { path: dir.to_owned() });
        }
        check_target(dir)?;
        made.dir_all(dir)?;
        let lock = LayoutLock::acquire(dir)?;
        check_target(dir)?;
        let staging = Staging::create(dir)?;
        drop(lock);
        let (dir, name) = (dir.to_owned(), name.map(str::to_owned));
        let reference = Reference::Oci { dir: dir.clone(), name: name.clone(), digest: None };
        Ok(Self { reference, dir, name, staging, made })
    }

    /// Publishes `root` under the sink's name: blobs first, `index.json` last. Whatever fails, the layout
    /// stays as it was.
    ///
    /// `root` and everything it names must have been written or found by [`Sink::has`]; that is checked for
    /// `root` itself and for what was found.
    pub fn commit(self, root: Descriptor) -> Result<(), Error> {
        let staged = self.staging.close();
        let lock = LayoutLock::acquire(&self.dir)?;
        check_target(&self.dir)?;
        self.check_complete(&staged, &root)?;
        let index = self.write_index(root)?;

        let mut publication = Publication::default();
        if !has_marker(&self.dir)? {
            let marker = self.staging.write("oci-layout", marker().as_bytes())?;
            publication.file(&marker, &self.dir.join("oci-layout"))?;
        }
        self.publish_blobs(&staged, &mut publication)?;
        let path = self.dir.join("index.json");
        fs::rename(&index, &path).map_err(io_error("write", &path))?;
        // From here on the image is there for everybody to see, and nothing is taken back.
        publication.keep();
        self.made.keep();
        let _ = sync_dir(&self.dir);
        drop(self.staging);
        drop(lock);
        Ok(())
    }

    /// The root and what was found in the layout must be there still.
    fn check_complete(&self, staged: &Staged, root: &Descriptor) -> Result<(), LayoutError> {
        let root_is_new = staged.written.contains_key(&root.digest);
        let needed_root = Some((root.digest, root.size)).filter(|_| !root_is_new);
        for (digest, size) in staged.reused.iter().map(|(digest, size)| (*digest, *size)).chain(needed_root) {
            let path = blob_path(&self.dir, &digest);
            if !has_file(&path, size)? {
                return Err(LayoutError::MissingBlob { digest, path });
            }
        }
        Ok(())
    }

    /// The new `index.json`, complete and on the disk, in the staging directory.
    fn write_index(&self, root: Descriptor) -> Result<PathBuf, LayoutError> {
        let path = self.dir.join("index.json");
        let malformed = |source| LayoutError::Malformed { path, source };
        let mut index = IndexFile::read(&self.dir)?.unwrap_or_else(IndexFile::empty);
        let json = index.insert(root, self.name.as_deref()).and_then(|()| index.to_json());
        self.staging.write("index.json", &json.map_err(malformed)?)
    }

    fn publish_blobs(&self, staged: &Staged, publication: &mut Publication) -> Result<(), LayoutError> {
        let blobs = self.dir.join("blobs");
        publication.dir(&blobs)?;
        let mut changed = BTreeSet::from([blobs.join("sha256")]);
        changed.extend(staged.written.keys().map(|digest| blobs.join(digest.algorithm().name())));
        changed.iter().try_for_each(|dir| publication.dir(dir))?;
        for (number, (digest, from)) in staged.written.iter().enumerate() {
            let to = blob_path(&self.dir, digest);
            let size = fs::metadata(from).map_err(io_error("read", from))?.len();
            if has_file(&to, size)? {
                continue;
            }
            if fs::symlink_metadata(&to).is_ok() {
                // Of the wrong size: whatever it is, it is not what its name says.
                publication.move_aside(&to, self.staging.path(&format!("damaged-{number}")))?;
            }
            publication.file(from, &to)?;
        }
        changed.insert(blobs);
        changed.insert(self.dir.clone());
        changed.iter().try_for_each(|dir| sync_dir(dir))
    }
}

impl Sink for LayoutSink {
    fn name(&self) -> &Reference {
        &self.reference
    }

    fn blob(&self) -> Result<BlobWriter, Error> {
        Ok(BlobWriter::new(self.staging.upload()?))
    }

    fn has(&self, descriptor: &Descriptor) -> Result<bool, Error> {
        let (digest, size) = (descriptor.digest, descriptor.size);
        if self.staging.has_written(&digest) {
            return Ok(true);
        }
        let found = has_file(&blob_path(&self.dir, &digest), size)?;
        if found {
            self.staging.reuse(Blob { digest, size });
        }
        Ok(found)
    }

    fn can_adopt(&self, file: &Path) -> bool {
        // Names of one file are on one file system.
        let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev()).ok();
        device(file).is_some() && device(file) == device(&self.dir)
    }

    fn adopt(&self, file: &Path, blob: Blob) -> Result<bool, Error> {
        Ok(self.staging.link(file, blob)?)
    }

    fn commit(self: Box<Self>, root: Descriptor) -> Result<(), Error> {
        LayoutSink::commit(*self, root)
    }
}

fn is_gone(error: &LayoutError) -> bool {
    matches!(error, LayoutError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
}

/// Whether there is a regular file of `size` bytes, perhaps behind a symbolic link.
fn has_file(path: &Path, size: u64) -> Result<bool, LayoutError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(metadata.is_file() && metadata.len() == size),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(false)
        }
        Err(source) => Err(LayoutError::Io { action: "read", path: path.to_owned(), source }),
    }
}

/// A target is a layout, or nothing that we could do harm to: an empty directory or none.
fn check_target(dir: &Path) -> Result<(), LayoutError> {
    let not = |reason| Err(LayoutError::NotALayout { path: dir.to_owned(), reason });
    match fs::metadata(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        // Something above it is a file.
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return not(NoLayout::NotADirectory),
        Err(source) => return Err(LayoutError::Io { action: "read", path: dir.to_owned(), source }),
        Ok(metadata) if !metadata.is_dir() => return not(NoLayout::NotADirectory),
        Ok(_) => {}
    }
    // In this order: a layout that comes into being meanwhile gets its marker first.
    let is_foreign = |name: &OsStr| !name.to_string_lossy().starts_with(OWN_PREFIX);
    let mut has_foreign = false;
    for entry in fs::read_dir(dir).map_err(io_error("read", dir))? {
        has_foreign |= is_foreign(&entry.map_err(io_error("read", dir))?.file_name());
    }
    if !has_marker(dir)? && has_foreign {
        return not(NoLayout::NoMarker(None));
    }
    Ok(())
}
