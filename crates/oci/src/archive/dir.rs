//! Reading a directory as skopeo's `dir:` writes it.
//!
//! ```text
//!   version               "Directory Transport Version: 1.1\n"
//!   manifest.json         manifest or index, as it is
//!   <hex>                 config, layers, by their digests
//!   <hex>.manifest.json   manifests of an index (skopeo copy --all)
//! ```

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::descriptor::{Blob, Descriptor};
use crate::digest::Digest;
use crate::error::Error;
use crate::image::MAX_MANIFEST;
use crate::layout::io_error;
use crate::media_type;
use crate::range::FileRange;
use crate::reference::Reference;
use crate::source::Source;
use crate::verify::{VerifyError, VerifyingReader};

use super::ArchiveError;
use super::members::read_small;

const MANIFEST: &str = "manifest.json";

/// The image or index of a directory.
pub struct DirSource {
    name: Reference,
    dir: PathBuf,
    root: Descriptor,
}

impl DirSource {
    /// Opens the directory. With a `pin`, its manifest or index must have this digest.
    pub fn open(dir: impl AsRef<Path>, pin: Option<&Digest>) -> Result<Self, Error> {
        let dir = dir.as_ref();
        if !dir.is_dir() {
            return Err(ArchiveError::NoDirectory { path: dir.to_owned() }.into());
        }
        let path = dir.join(MANIFEST);
        let no_manifest = || ArchiveError::NotADir { path: dir.to_owned() };
        let bytes = read_small(&open_file(&path)?.ok_or_else(no_manifest)?, MAX_MANIFEST, &path)?;
        let root = Blob::of(&bytes).descriptor(media_type_of(&bytes));
        match pin {
            Some(pin) if *pin != root.digest => {
                Err(VerifyError::DigestMismatch { expected: *pin, actual: root.digest }.into())
            }
            _ => {
                let name = Reference::Dir { dir: dir.to_owned(), digest: pin.copied() };
                Ok(Self { name, dir: dir.to_owned(), root })
            }
        }
    }

    fn file(&self, descriptor: &Descriptor) -> Result<FileRange, Error> {
        let (digest, expected) = (descriptor.digest, descriptor.size);
        let missing = || ArchiveError::MissingBlob { path: self.dir.clone(), digest };
        let hex = digest.hex();
        let range = if digest == self.root.digest {
            open_file(&self.dir.join(MANIFEST))?
        } else {
            match open_file(&self.dir.join(&hex))? {
                Some(range) => Some(range),
                None => open_file(&self.dir.join(format!("{hex}.{MANIFEST}")))?,
            }
        };
        let range = range.ok_or_else(missing)?;
        match range.size() {
            actual if actual == expected => Ok(range),
            actual => Err(VerifyError::SizeMismatch { digest, expected, actual }.into()),
        }
    }
}

impl Source for DirSource {
    fn name(&self) -> &Reference {
        &self.name
    }

    fn root(&self) -> &Descriptor {
        &self.root
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send>, Error> {
        Ok(Box::new(VerifyingReader::new(self.file(descriptor)?.reader(), descriptor)))
    }

    fn open_file(&self, descriptor: &Descriptor) -> Result<FileRange, Error> {
        self.file(descriptor)
    }
}

/// A regular file; none if there is nothing of that name.
fn open_file(path: &Path) -> Result<Option<FileRange>, Error> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error("read", path)(error).into()),
        // Opening a fifo would wait for ever.
        Ok(metadata) if !metadata.is_file() => {
            return Err(ArchiveError::NotAFile { path: path.to_owned() }.into());
        }
        Ok(_) => {}
    }
    let range = File::open(path).and_then(FileRange::whole);
    Ok(Some(range.map_err(io_error("read", path))?))
}

/// What the document says that it is; an old OCI document does not say it.
fn media_type_of(bytes: &[u8]) -> String {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Own {
        media_type: Option<String>,
        manifests: Option<serde::de::IgnoredAny>,
    }
    match serde_json::from_slice::<Own>(bytes) {
        Ok(Own { media_type: Some(own), .. }) => own,
        Ok(Own { manifests: Some(_), .. }) => media_type::OCI_INDEX.to_owned(),
        _ => media_type::OCI_MANIFEST.to_owned(),
    }
}
