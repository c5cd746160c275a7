//! Why a verb of the chunk store failed.

use std::io;
use std::path::PathBuf;

use nydus_convert_oci::ErrorKind;
use nydus_convert_rafs::BlobId;
use thiserror::Error;

use crate::kind::Kind;

/// Digits of a digest that name something; fewer are more likely a slip.
pub(super) const MIN_PREFIX: usize = 4;

/// Why a verb of the chunk store failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreVerbError {
    /// A name of nothing.
    #[error(
        "the chunk store remembers no {what} '{name}'; `store ls` shows what there is (digests may be cut to {} digits)",
        MIN_PREFIX
    )]
    Unknown {
        /// What it should be.
        what: &'static str,
        /// What was given.
        name: String,
    },
    /// A name of several things.
    #[error("'{name}' may be any of {}; use the digest", matches.join(", "))]
    Ambiguous {
        /// What was given.
        name: String,
        /// What it may be.
        matches: Vec<String>,
    },
    /// An image of which the store knows no blobs, as earlier versions remembered copied images.
    #[error(
        "the chunk store knows no blobs of {image}; converting the image from its source brings them back"
    )]
    NoBlobs {
        /// The image.
        image: String,
    },
    /// A blob of an image that the store does not have any more.
    #[error(
        "blob {blob} of {image} is not in the chunk store any more; converting the image again brings it back"
    )]
    Missing {
        /// The image.
        image: String,
        /// The blob.
        blob: BlobId,
    },
    /// A blob of an image that is not what its digest says.
    #[error(
        "blob {blob} of {image} is damaged; after `store verify --repair` converting the image again brings it back"
    )]
    Damaged {
        /// The image.
        image: String,
        /// The blob.
        blob: BlobId,
    },
    /// The files cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl StoreVerbError {
    /// What sort of failure this is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Unknown { .. } | Self::Ambiguous { .. } | Self::NoBlobs { .. } | Self::Missing { .. } => {
                Kind::Source
            }
            Self::Damaged { .. } => Kind::NotFaithful,
            Self::Write { source, .. } => match ErrorKind::of_io(source).into() {
                // Exit codes speak of sources that are not there.
                Kind::Source => Kind::Failed,
                kind => kind,
            },
        }
    }
}
