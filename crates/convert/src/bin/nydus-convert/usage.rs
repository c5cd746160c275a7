//! What the words of a command line mean: references, platforms, and what goes together.

use std::io;
use std::path::{Path, PathBuf};

use nydus_convert::oci::{Platform, PlatformError, Reference, ReferenceError};
use nydus_convert::rafs::PathError;
use nydus_convert::{FsOptionsError, PlatformFilter, PrefetchError};
use thiserror::Error;

/// Arguments that each parse but mean nothing together.
#[derive(Debug, Error)]
pub enum UsageError {
    /// A kind of reference that is only read.
    #[error("{reference}: images are not written there; targets are docker://, oci: and oci-archive:")]
    NoTarget { reference: String },
    /// Options of the format that mean nothing together.
    #[error(transparent)]
    Format(#[from] FsOptionsError),
    /// Text that is no reference.
    #[error(transparent)]
    BadReference(#[from] ReferenceError),
    /// A reference whose blobs are no files of this machine.
    #[error(
        "{reference}: mounting needs the blobs as files; copy the image into a layout and use oci:DIR[:REF]"
    )]
    NotALayout { reference: String },
    /// Text that is no platform.
    #[error(transparent)]
    BadPlatform(#[from] PlatformError),
    /// A path that no file can have.
    #[error(transparent)]
    BadPath(#[from] PathError),
    /// A list of paths that cannot be read.
    #[error("cannot read the paths to fetch first from {}", file.display())]
    PrefetchRead { file: PathBuf, source: io::Error },
    /// A list of paths with a line that is none.
    #[error("the paths to fetch first in {}", file.display())]
    Prefetch { file: PathBuf, source: PrefetchError },
    /// Nothing says where the chunk store is.
    #[error("there is neither HOME nor XDG_CACHE_HOME: name the chunk store by --store")]
    NoStoreDirectory,
    /// A target pinned to a digest that nobody can know yet.
    #[error("{reference}: a target cannot be pinned to a digest")]
    PinnedTarget { reference: String },
    /// A target that is the source.
    #[error(
        "{reference} is the source and the target; give the target another name, or --force to replace the source"
    )]
    OntoItself { reference: String },
    /// A target that holds the opposite of what is made.
    #[error(
        "{target} holds {held}, which {made} would replace; if source and target are swapped, swap them; --force replaces it"
    )]
    Replaces { target: String, held: &'static str, made: &'static str },
    /// A path where a reference is wanted.
    #[error(
        "{problem}; an OCI layout in a directory is oci:{text}, archives are oci-archive:{text} and docker-archive:{text}"
    )]
    LooksLocal { text: String, problem: ReferenceError },
    /// Encryption that is none.
    #[error(
        "--encrypt: the encryption of Nydus blobs uses one IV for everything and keeps the key inside the blob, so it \
         protects nothing; encrypt the storage at rest, or the layers of the OCI image with ocicrypt"
    )]
    Encrypt,
}

impl UsageError {
    /// The reference is understood, and cannot be written to.
    pub fn no_target(reference: &Reference) -> Self {
        Self::NoTarget { reference: reference.to_string() }
    }
}

/// A reference as typed.
pub fn reference(text: &str) -> Result<Reference, UsageError> {
    text.parse().map_err(|error: ReferenceError| {
        // What a reference means never depends on what is on the disk; what may have been meant does.
        let is_local =
            ['.', '/', '~'].iter().any(|start| text.starts_with(*start)) || Path::new(text).exists();
        match is_local {
            true => UsageError::LooksLocal { text: text.to_owned(), problem: error },
            false => error.into(),
        }
    })
}

/// What a tar or a directory is for that says nothing of a platform: not this machine's, for the same input is the same
/// image everywhere.
pub fn unnamed_platform() -> Platform {
    Platform::new("linux", "amd64")
}

/// `all`, or a list of platforms.
pub fn platforms(text: &str) -> Result<PlatformFilter, UsageError> {
    if text == "all" {
        return Ok(PlatformFilter::All);
    }
    Ok(PlatformFilter::Only(text.split(',').map(str::parse::<Platform>).collect::<Result<_, _>>()?))
}
