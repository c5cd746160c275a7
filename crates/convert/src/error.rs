//! Why an operation failed. Errors walk from outside in: image → layer n of m (digest) → entry → structure.

use std::io;

use nydus_convert_chunk::store::{SnapshotError, StoreError};
use nydus_convert_oci::{self as oci, Digest, ErrorKind};
use nydus_convert_rafs::BlobId;
use thiserror::Error;

use crate::dictionary::DictionaryError;
use crate::image::{ImageError, NydusError};
use crate::kind::Kind;
use crate::layer::failure::LayerFailure;
use crate::options::{DedupError, FsOptionsError};
use crate::report::LossReport;
use crate::reuse::error::ReuseError;
use crate::run::observer::Interrupted;
use crate::to_nydus::merge::MergeError;

/// Why an operation on an image failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// Reading or writing images.
    #[error(transparent)]
    Oci(#[from] oci::Error),
    /// An image that cannot be found, or not be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A directory that is to become a layer.
    #[error(transparent)]
    Rootfs(#[from] crate::rootfs::RootfsError),
    /// Options that mean nothing together.
    #[error(transparent)]
    Options(#[from] FsOptionsError),
    /// A chunk dictionary that is of no use.
    #[error("the chunk dictionary cannot be used")]
    Dictionary(#[source] DictionaryError),
    /// The chunk store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A state of the chunk store that cannot be had.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// A blob of the chunk store that an image was to refer to.
    #[error(
        "blob {id} of the chunk store is damaged or gone; run the command again, and `store verify` to find more"
    )]
    StoredBlob {
        /// The blob.
        id: BlobId,
    },
    /// Options of deduplication that mean nothing together.
    #[error(transparent)]
    Dedup(#[from] DedupError),
    /// The target cannot be written to.
    #[error("target {reference}")]
    Target {
        /// The target.
        reference: String,
        /// Why.
        source: oci::Error,
    },
    /// One image of an index.
    #[error("image for {platform}")]
    Platform {
        /// Its platform.
        platform: String,
        /// Why.
        source: Box<Error>,
    },
    /// A layer cannot be converted.
    #[error("layer {number} of {count} ({digest})")]
    Layer {
        /// Position from 1.
        number: usize,
        /// Layers of the image.
        count: usize,
        /// Digest of the stored layer.
        digest: Digest,
        /// Why.
        source: Box<LayerFailure>,
    },
    /// The layers do not make an image.
    #[error("the layers cannot be merged")]
    Merge(#[from] MergeError),
    /// The merged bootstrap cannot be written.
    #[error("the bootstrap cannot be written")]
    Bootstrap(#[from] nydus_convert_rafs::WriteError),
    /// The target format cannot hold everything, and `Fidelity::Strict` was asked for.
    #[error("RAFS cannot hold {} thing(s) of this image; --fidelity warn converts it to the nearest", losses.len())]
    NotFaithful {
        /// What it cannot hold.
        losses: Vec<LossReport>,
    },
    /// The record of the image cannot be made.
    #[error("the record of the source image cannot be compressed")]
    Origin(#[source] io::Error),
    /// The record of the image cannot be used.
    #[error("the image's record of what it was made from cannot be used")]
    Record(#[source] crate::remembered::RecordError),
    /// Output that cannot be written.
    #[error("writing the output failed")]
    Output(#[source] io::Error),
    /// One of the layer verbs.
    #[error(transparent)]
    Verb(#[from] crate::layer_verbs::VerbError),
    /// One of the verbs of the chunk store.
    #[error(transparent)]
    StoreVerb(#[from] crate::store_verbs::StoreVerbError),
    /// [`Stop::request`](crate::Stop::request) was called.
    #[error("interrupted")]
    Interrupted {
        /// The signal that asked.
        signal: i32,
    },
}

impl Error {
    /// A failure in layer `number` of `count`.
    pub(crate) fn in_layer((number, count): (usize, usize), digest: Digest, failure: LayerFailure) -> Self {
        match failure {
            LayerFailure::Interrupted { signal } => Self::Interrupted { signal },
            failure => Self::Layer { number, count, digest, source: Box::new(failure) },
        }
    }

    /// What sort of failure this is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Oci(error) => error.kind().into(),
            Self::Target { source, .. } => match Kind::from(source.kind()) {
                // Exit codes speak of sources that are not there or of no use.
                Kind::Source => Kind::Failed,
                kind => kind,
            },
            Self::Platform { source, .. } => source.kind(),
            Self::Layer { source, .. } => source.kind(),
            Self::Dictionary(error) => error.kind(),
            Self::Image(error) => error.kind(),
            Self::NotFaithful { .. } => Kind::NotFaithful,
            Self::Output(error) => ErrorKind::of_io(error).into(),
            Self::Interrupted { signal } => Kind::Interrupted(*signal),
            Self::Merge(error) => error.kind(),
            Self::Options(_) | Self::Bootstrap(_) | Self::Origin(_) => Kind::Failed,
            Self::Record(_) => Kind::NotFaithful,
            Self::Verb(error) => error.kind(),
            Self::StoreVerb(error) => error.kind(),
            Self::Rootfs(error) => error.kind().into(),
            Self::Store(error) => error.into(),
            Self::Snapshot(_) => Kind::Source,
            Self::StoredBlob { .. } | Self::Dedup(_) => Kind::Failed,
        }
    }
}

impl From<NydusError> for Error {
    fn from(error: NydusError) -> Self {
        ImageError::from(error).into()
    }
}

impl From<DictionaryError> for Error {
    fn from(error: DictionaryError) -> Self {
        match error {
            DictionaryError::Image(error) => error.into(),
            DictionaryError::Copy(error) => error.into(),
            error => Self::Dictionary(error),
        }
    }
}

impl From<ReuseError> for Error {
    fn from(error: ReuseError) -> Self {
        match error {
            ReuseError::Store(error) => error.into(),
            ReuseError::Snapshot(error) => error.into(),
            ReuseError::Sink(error) => error.into(),
            ReuseError::Blob { id } => Self::StoredBlob { id },
        }
    }
}

impl From<Interrupted> for Error {
    fn from(Interrupted { signal }: Interrupted) -> Self {
        Self::Interrupted { signal }
    }
}
