//! Why a layer verb failed.

use std::io;

use nydus_convert_chunk::BlobError;
use nydus_convert_oci::{Digest, ErrorKind};
use nydus_convert_rafs::{ParseError, v5};
use thiserror::Error;

use crate::kind::Kind;
use crate::layer::failure::LayerFailure;

/// Why a layer verb failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VerbError {
    /// The layer cannot be packed or unpacked.
    #[error("{name}")]
    Layer {
        /// What the caller calls it.
        name: String,
        /// Why.
        source: Box<LayerFailure>,
    },
    /// A file cannot be read.
    #[error("{name}: cannot be read")]
    Read {
        /// The file.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// A file is neither a bootstrap nor a blob with one.
    #[error("{name}: is neither a bootstrap nor a blob that holds one")]
    NoBootstrap {
        /// The file.
        name: String,
    },
    /// A damaged bootstrap.
    #[error("{name}: the bootstrap cannot be read")]
    Bootstrap {
        /// The file.
        name: String,
        /// Why.
        source: ParseError,
    },
    /// A bootstrap whose inodes are not what their digests say.
    #[error("{name}: the bootstrap cannot be read")]
    Digests {
        /// The file.
        name: String,
        /// Why.
        source: v5::DigestError,
    },
    /// A damaged blob.
    #[error("{name}")]
    Blob {
        /// The file.
        name: String,
        /// Why.
        source: BlobError,
    },
    /// A layer that is referred to has other bytes.
    #[error("{name}: the layer is damaged: its digest is {actual}")]
    LayerDigest {
        /// The file.
        name: String,
        /// What it has.
        actual: Digest,
    },
    /// A bootstrap of a layer that stays as it is.
    #[error(
        "{name}: its files lie in the layer {id}, which is a tar already; decompress that, or unpack the whole blob          that refers to it"
    )]
    Referred {
        /// The blob or bootstrap.
        name: String,
        /// Digest of the layer.
        id: String,
    },
    /// Nothing says which blob a bootstrap is of.
    #[error(
        "{name}: the bootstrap leaves the id of its own blob to its file name, which is not 64 hexadecimal digits; \
         name the file after the digest of its blob, or give the blob instead of the bootstrap"
    )]
    Unnamed {
        /// The file.
        name: String,
    },
    /// Layers that do not go together.
    #[error("{name}: has {what} {found}, the layers before it have {expected}")]
    Differs {
        /// The layer that does not fit.
        name: String,
        /// What it differs in.
        what: &'static str,
        /// What the others have.
        expected: String,
        /// What it has.
        found: String,
    },
    /// No layer at all.
    #[error("there is no layer to merge")]
    NoLayers,
    /// A blob with file content was not given.
    #[error("files lie in the blob {id}, which is not here; --blob-dir names a directory that has it")]
    MissingBlob {
        /// Its id.
        id: String,
    },
    /// The whole layer would have to be read twice.
    #[error(
        "a layer that comes as a stream is read once, which --replay proven cannot work with; use auto, tar or none"
    )]
    ProvenStream,
}

impl VerbError {
    /// What sort of failure this is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Layer { source, .. } => source.kind(),
            Self::Read { source, .. } => ErrorKind::of_io(source).into(),
            Self::NoBootstrap { .. } | Self::Unnamed { .. } | Self::Differs { .. } => Kind::Source,
            Self::MissingBlob { .. } | Self::NoLayers | Self::Referred { .. } => Kind::Source,
            Self::Bootstrap { .. } | Self::Digests { .. } | Self::Blob { .. } => Kind::NotFaithful,
            Self::LayerDigest { .. } => Kind::NotFaithful,
            Self::ProvenStream => Kind::Failed,
        }
    }
}
