//! An image that was put together from parts: JSON made here, and content of files.

use std::collections::HashMap;
use std::io::{self, Cursor, Read, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::Error;
use crate::range::FileRange;
use crate::verify::{VerifyError, VerifyingReader};

use super::ArchiveError;

/// Where one piece of content is.
pub(crate) enum Part {
    /// In memory.
    Bytes(Arc<[u8]>),
    /// In a file.
    Range(FileRange),
}

impl Part {
    fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Range(range) => range.size(),
        }
    }
}

/// Content by its digest. Nothing is believed: what is read is verified.
pub(crate) struct Parts {
    /// What the parts are from, for messages.
    pub path: PathBuf,
    pub root: Descriptor,
    pub parts: HashMap<Digest, Part>,
}

impl Parts {
    fn part(&self, descriptor: &Descriptor) -> Result<&Part, Error> {
        let (digest, expected) = (descriptor.digest, descriptor.size);
        let missing = || ArchiveError::MissingBlob { path: self.path.clone(), digest };
        let part = self.parts.get(&digest).ok_or_else(missing)?;
        match part.size() {
            actual if actual == expected => Ok(part),
            actual => Err(VerifyError::SizeMismatch { digest, expected, actual }.into()),
        }
    }
}

/// As a [`Source`](crate::Source) does it.
impl Parts {
    pub fn root(&self) -> &Descriptor {
        &self.root
    }

    pub fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send>, Error> {
        Ok(match self.part(descriptor)? {
            Part::Bytes(bytes) => Box::new(VerifyingReader::new(Cursor::new(Arc::clone(bytes)), descriptor)),
            Part::Range(range) => Box::new(VerifyingReader::new(range.reader(), descriptor)),
        })
    }

    pub fn open_file(&self, descriptor: &Descriptor) -> Result<FileRange, Error> {
        let spool = |bytes: &[u8]| -> io::Result<FileRange> {
            let mut file = tempfile::tempfile()?;
            file.write_all(bytes)?;
            FileRange::whole(file)
        };
        match self.part(descriptor)? {
            Part::Bytes(bytes) => spool(bytes).map_err(|error| Error::reading(descriptor.digest, error)),
            Part::Range(range) => Ok(range.clone()),
        }
    }
}
