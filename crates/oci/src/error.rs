//! One error for everything that moves images, and the kinds from which exit codes follow.

use std::error::Error as StdError;
use std::io;

use thiserror::Error;

use crate::archive::ArchiveError;
use crate::compression::DecompressError;
use crate::digest::{Digest, DigestError};
use crate::image::ImageError;
use crate::layout::LayoutError;
use crate::nydus::BootstrapError;
use crate::platform::PlatformError;
use crate::reference::ReferenceError;
#[cfg(feature = "registry")]
use crate::registry::RegistryError;
use crate::verify::VerifyError;

/// What sort of failure an error is. Exit codes are a function of this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// What was named does not exist.
    NotFound,
    /// It exists and is understood well enough to say that it cannot be used.
    Unsupported,
    /// Permissions, read-only file systems, credentials.
    Access,
    /// Content is not what its descriptor, media type or format says.
    Verification,
    /// The network or its other end.
    Network,
    /// A bound that protects this machine was hit.
    ResourceLimit,
    /// A disk or quota is full.
    NoSpace,
    /// Anything else.
    Other,
}

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

impl ErrorKind {
    /// The kind of an I/O error: that of the crate's own error where one is inside, at any depth.
    pub fn of_io(error: &io::Error) -> Self {
        if let Some(inner) = find_in::<VerifyError>(error) {
            return inner.kind();
        }
        if let Some(inner) = find_in::<DecompressError>(error) {
            return inner.kind();
        }
        #[cfg(feature = "registry")]
        if let Some(inner) = find_in::<RegistryError>(error) {
            return inner.kind();
        }
        match error.kind() {
            io::ErrorKind::NotFound => Self::NotFound,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::Access,
            // EDQUOT and EFBIG are other ways of a disk to have no room for us.
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::NoSpace
            }
            io::ErrorKind::OutOfMemory => Self::ResourceLimit,
            io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::NotConnected
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::TimedOut => Self::Network,
            _ => Self::Other,
        }
    }
}

/// The first error of type `E` that hides in `error`: directly, in an [`io::Error`] inside, or among the
/// sources.
pub fn find_in<E: StdError + 'static>(error: &io::Error) -> Option<&E> {
    // An io::Error does not name its content as its source, but that content's source: both ways must be
    // looked at.
    let mut next: Option<&(dyn StdError + 'static)> = error.get_ref().map(|inner| inner as _);
    while let Some(current) = next {
        if let Some(found) = current.downcast_ref::<E>() {
            return Some(found);
        }
        next = match current.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => current.source(),
        };
    }
    None
}

/// The beginning of text from outside, escaped, for a message: nobody wants a megabyte or a terminal's
/// control sequences in an error.
pub(crate) fn excerpt(text: &str) -> String {
    const MAX_CHARS: usize = 100;
    let mut short: String = text.chars().take(MAX_CHARS).collect::<String>().escape_debug().collect();
    if text.chars().nth(MAX_CHARS).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

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

    #[test]
    fn excerpts_are_short_and_printable() {
        assert_eq!(excerpt("a\u{1b}[31m\n"), "a\\u{1b}[31m\\n");
        assert_eq!(excerpt(&"x".repeat(1000)).chars().count(), 101);
    }
}
