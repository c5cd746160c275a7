//! One error for everything that moves images. It stands on top and knows all others.

use std::io;

use thiserror::Error;

use crate::archive::ArchiveError;
use crate::compression::DecompressError;
use crate::digest::{Digest, DigestError};
use crate::image::ImageError;
use crate::kind::ErrorKind;
use crate::layout::LayoutError;
use crate::nydus::BootstrapError;
use crate::platform::PlatformError;
use crate::reference::ReferenceError;
#[cfg(feature = "registry")]
use crate::registry::RegistryError;
use crate::verify::VerifyError;

/// Why an image could not be read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// A reference that does not parse.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// Text that is not a digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// A platform that does not parse.
    #[error(transparent)]
    Platform(#[from] PlatformError),
    /// An image archive.
    #[error(transparent)]
    Archive(Box<ArchiveError>),
    /// An OCI layout directory.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A manifest, index or config.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Bytes that are not the ones a descriptor names.
    #[error(transparent)]
    Verify(Box<VerifyError>),
    /// A bootstrap layer.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// A compressed stream.
    #[error(transparent)]
    Decompress(#[from] DecompressError),
    /// A registry.
    #[cfg(feature = "registry")]
    #[error(transparent)]
    Registry(Box<RegistryError>),
    /// A blob that was to be held in memory is larger than the caller allows.
    #[error("{digest} has {size} bytes; more than {limit} are not read into memory")]
    TooLarge {
        /// The blob.
        digest: Digest,
        /// Its size in bytes by its descriptor.
        size: u64,
        /// The caller's limit in bytes.
        limit: u64,
    },
    /// Reading a blob failed on the way.
    #[error("cannot read {digest}")]
    Read {
        /// The blob.
        digest: Digest,
        /// Why.
        source: io::Error,
    },
    /// Writing a blob failed on the way.
    #[error("cannot write a blob")]
    Write {
        /// Why.
        source: io::Error,
    },
}

/// Two digests are much to carry through every result.
impl From<VerifyError> for Error {
    fn from(error: VerifyError) -> Self {
        Self::Verify(Box::new(error))
    }
}

/// As with digests.
impl From<ArchiveError> for Error {
    fn from(error: ArchiveError) -> Self {
        Self::Archive(Box::new(error))
    }
}

/// As with digests.
#[cfg(feature = "registry")]
impl From<RegistryError> for Error {
    fn from(error: RegistryError) -> Self {
        Self::Registry(Box::new(error))
    }
}

impl Error {
    /// What sort of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Reference(error) => error.kind(),
            Self::Digest(error) => error.kind(),
            Self::Platform(error) => error.kind(),
            Self::Archive(error) => error.kind(),
            Self::Layout(error) => error.kind(),
            Self::Image(error) => error.kind(),
            Self::Verify(error) => error.kind(),
            Self::Bootstrap(error) => error.kind(),
            Self::Decompress(error) => error.kind(),
            #[cfg(feature = "registry")]
            Self::Registry(error) => error.kind(),
            Self::TooLarge { .. } => ErrorKind::ResourceLimit,
            Self::Read { source, .. } | Self::Write { source } => ErrorKind::of_io(source),
        }
    }

    /// The error of reading the blob `digest`: typed again where a reader of this crate had to hide it in an
    /// [`io::Error`].
    pub fn reading(digest: Digest, source: io::Error) -> Self {
        match unwrap_io(source) {
            Ok(error) => error,
            Err(source) => Self::Read { digest, source },
        }
    }

    /// The error of writing a blob, typed again as in [`Error::reading`].
    pub fn writing(source: io::Error) -> Self {
        match unwrap_io(source) {
            Ok(error) => error,
            Err(source) => Self::Write { source },
        }
    }
}

/// The crate's own error inside an [`io::Error`], if that is what it holds.
fn unwrap_io(error: io::Error) -> Result<Error, io::Error> {
    let error = match error.downcast::<VerifyError>() {
        Ok(inner) => return Ok(inner.into()),
        Err(error) => error,
    };
    let error = match error.downcast::<DecompressError>() {
        Ok(inner) => return Ok(inner.into()),
        Err(error) => error,
    };
    #[cfg(feature = "registry")]
    let error = match error.downcast::<RegistryError>() {
        Ok(inner) => return Ok(inner.into()),
        Err(error) => error,
    };
    match error.downcast::<LayoutError>() {
        Ok(inner) => Ok(inner.into()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::inner::find_in;

    fn mismatch() -> VerifyError {
        VerifyError::SizeMismatch { digest: Digest::sha256(b""), expected: 1, actual: 2 }
    }

    #[test]
    fn own_errors_are_found_at_any_depth() {
        let nested = io::Error::other(io::Error::other(LayoutError::Io {
            action: "read",
            path: "x".into(),
            source: io::Error::other(mismatch()),
        }));
        assert!(find_in::<VerifyError>(&nested).is_some());
        assert!(find_in::<DecompressError>(&nested).is_none());
        assert_eq!(ErrorKind::of_io(&nested), ErrorKind::Verification);
        let direct = io::Error::other(mismatch());
        assert!(matches!(Error::reading(Digest::sha256(b""), direct), Error::Verify(_)));
    }

    #[test]
    fn kinds_of_the_system() {
        let table = [
            (2, ErrorKind::NotFound),
            (13, ErrorKind::Access),
            (30, ErrorKind::Access),
            (28, ErrorKind::NoSpace),
            (122, ErrorKind::NoSpace),
            (111, ErrorKind::Network),
            (5, ErrorKind::Other),
        ];
        for (errno, kind) in table {
            assert_eq!(ErrorKind::of_io(&io::Error::from_raw_os_error(errno)), kind, "errno {errno}");
        }
    }
}
