//! Reading a layout.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::Error;
use crate::range::FileRange;
use crate::reference::Reference;
use crate::source::Source;
use crate::verify::{VerifyError, VerifyingReader};

use super::find::find_root;
use super::index::IndexFile;
use super::{Instead, LayoutError, NoLayout, blob_path, has_marker, io_error};

/// One image or index of a layout directory.
pub struct LayoutSource {
    name: Reference,
    dir: PathBuf,
    root: Descriptor,
}

impl LayoutSource {
    /// Opens the layout `dir` and finds an image in it.
    ///
    /// * By `name`: an entry of `index.json` with this `org.opencontainers.image.ref.name` or
    ///   `io.containerd.image.name`. With a `pin` as well, it must have this digest.
    /// * By `pin` alone: an entry with this digest, or an image inside an index that has an entry.
    /// * By neither: the only image there is.
    pub fn open(dir: impl AsRef<Path>, name: Option<&str>, pin: Option<&Digest>) -> Result<Self, Error> {
        let dir = dir.as_ref().to_owned();
        check_layout(&dir)?;
        let no_index = || LayoutError::NotALayout { path: dir.clone(), reason: NoLayout::NoIndex };
        let index = IndexFile::read(&dir)?.ok_or_else(no_index)?;
        let root = find_root(&dir, &index, (name, pin), |entry| {
            Ok(Box::new(VerifyingReader::new(open_blob(&dir, entry)?, entry)))
        })?;
        let name = Reference::Oci { dir: dir.clone(), name: name.map(str::to_owned), digest: pin.copied() };
        Ok(Self { name, dir, root })
    }

    /// The file that holds `descriptor`'s content; its length is right.
    fn file(&self, descriptor: &Descriptor) -> Result<File, LayoutError> {
        open_blob(&self.dir, descriptor)
    }
}

impl Source for LayoutSource {
    fn name(&self) -> &Reference {
        &self.name
    }

    fn root(&self) -> &Descriptor {
        &self.root
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send>, Error> {
        Ok(Box::new(VerifyingReader::new(self.file(descriptor)?, descriptor)))
    }

    fn open_file(&self, descriptor: &Descriptor) -> Result<FileRange, Error> {
        let range = FileRange::whole(self.file(descriptor)?);
        Ok(range.map_err(io_error("read", &blob_path(&self.dir, &descriptor.digest)))?)
    }
}

fn open_blob(dir: &Path, descriptor: &Descriptor) -> Result<File, LayoutError> {
    let path = blob_path(dir, &descriptor.digest);
    let metadata = match fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(LayoutError::MissingBlob { digest: descriptor.digest, path });
        }
        other => other.map_err(io_error("read", &path))?,
    };
    if !metadata.is_file() {
        return Err(LayoutError::NotAFile { path });
    }
    if metadata.len() != descriptor.size {
        let (digest, expected) = (descriptor.digest, descriptor.size);
        return Err(VerifyError::SizeMismatch { digest, expected, actual: metadata.len() }.into());
    }
    File::open(&path).map_err(io_error("read", &path))
}

fn check_layout(dir: &Path) -> Result<(), LayoutError> {
    let path = dir.to_owned();
    match fs::metadata(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(LayoutError::NotFound { path }),
        Err(source) => Err(LayoutError::Io { action: "read", path, source }),
        Ok(metadata) if !metadata.is_dir() => {
            Err(LayoutError::NotALayout { path, reason: NoLayout::NotADirectory })
        }
        Ok(_) if !has_marker(dir)? => {
            let instead = Instead::of(|name| dir.join(name).exists());
            Err(LayoutError::NotALayout { path, reason: NoLayout::NoMarker(instead) })
        }
        Ok(_) => Ok(()),
    }
}
