//! Why an image cannot be found, or not be read.

use std::io;

use nydus_convert_chunk::BlobError;
use nydus_convert_oci::{self as oci, Digest, ErrorKind};
use nydus_convert_rafs::ParseError;
use nydus_convert_rafs::{EntryPath, TreeError};
use thiserror::Error;

use crate::kind::Kind;

/// Entries of an index, and of all indexes in it, that are looked at. Real ones have some dozens; nested indexes multiply.
pub const MAX_IMAGES: usize = 1024;

/// Why an image cannot be found, or not be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ImageError {
    /// Its bytes cannot be had, or are no image.
    #[error(transparent)]
    Oci(#[from] oci::Error),
    /// An image that the kernel cannot mount.
    #[error(
        "the kernel cannot mount this image: {why}; make it with to-nydus --kernel-mountable or --tarfs from the OCI image"
    )]
    NotForTheKernel {
        /// What is in the way.
        why: String,
    },
    /// Nothing of the index is wanted.
    #[error(
        "no image is for {wanted}; there is {}{}{left_out}",
        if available.is_empty() { "none that says its platform" } else { available },
        if left_out.is_empty() { "" } else { "; " },
    )]
    NoSuchPlatform {
        /// The platforms asked for.
        wanted: String,
        /// The platforms there are.
        available: String,
        /// What cannot be used and does not say its platform.
        left_out: String,
    },
    /// An index of other things alone.
    #[error(
        "the index lists no image, only what belongs to images (attestations, signatures, other artifacts)"
    )]
    NoImage,
    /// What there is cannot be used.
    #[error("no image can be used: {left_out}")]
    NothingUsable {
        /// Each entry, and why.
        left_out: String,
    },
    /// More entries than are looked at.
    #[error("the index lists more than {} images, with those of the indexes in it", MAX_IMAGES)]
    TooManyImages,
    /// An index inside an index inside an index …
    #[error("the index {digest} is nested too deep")]
    NestedIndex {
        /// The innermost one looked at.
        digest: Digest,
    },
    /// The image has no file system that can be looked into.
    #[error("{reference} is not a Nydus image")]
    NotNydus {
        /// The image.
        reference: String,
    },
    /// The path is not there.
    #[error("{path}: no such file in the image")]
    NoSuchFile {
        /// The path.
        path: EntryPath,
    },
    /// A path that names something else than a file with content.
    #[error("{path} is {what}, not a regular file")]
    NotARegularFile {
        /// The path.
        path: EntryPath,
        /// What it is.
        what: &'static str,
    },
    /// Paths that are far longer than the tree.
    #[error(
        "the list of the image's files takes more than {limit} bytes of memory; ls prints it without keeping it"
    )]
    TooManyPaths {
        /// The limit in bytes.
        limit: usize,
    },
    /// A Nydus image that contradicts itself.
    #[error(transparent)]
    Nydus(#[from] NydusError),
    /// Output that cannot be written.
    #[error("writing the output failed")]
    Output(#[source] io::Error),
}

impl ImageError {
    /// What sort of failure this is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Oci(error) => error.kind().into(),
            Self::Nydus(error) => error.kind(),
            Self::TooManyPaths { .. } => Kind::Resources,
            Self::Output(error) => ErrorKind::of_io(error).into(),
            Self::TooManyImages => Kind::Resources,
            Self::NothingUsable { .. } | Self::NoImage => Kind::Source,
            Self::NoSuchPlatform { .. } | Self::NestedIndex { .. } | Self::NotNydus { .. } => Kind::Source,
            Self::NoSuchFile { .. } | Self::NotARegularFile { .. } | Self::NotForTheKernel { .. } => {
                Kind::Source
            }
        }
    }
}

impl NydusError {
    fn kind(&self) -> Kind {
        match self {
            Self::Bootstrap(ParseError::OtherErofs) => Kind::Source,
            _ => Kind::NotFaithful,
        }
    }
}

/// What is wrong with a Nydus image.
#[derive(Debug, Error)]
pub enum NydusError {
    /// The bootstrap is not a valid one.
    #[error("the bootstrap cannot be read")]
    Bootstrap(#[from] ParseError),
    /// The bootstrap uses a blob that is no layer of the image.
    #[error("the bootstrap uses the blob {id}, which is no layer of the image")]
    UnknownBlob {
        /// The blob.
        id: String,
    },
    /// The config does not name the blob where it should.
    #[error("the config's diff id of the blob {digest} is not its digest")]
    BlobDiffId {
        /// The blob layer.
        digest: Digest,
    },
    /// A part of the image's record is not what a manifest says of it.
    #[error("the image's record holds {actual} where {expected} should be")]
    Origin {
        /// The digest that a manifest names.
        expected: Digest,
        /// That of the bytes.
        actual: Digest,
    },
    /// The image's record is of something else.
    #[error("the image's record is not of an image")]
    OriginIsNoImage,
    /// The layers that the blobs describe are not all that the image has.
    #[error("the original layers cannot be had: the image has no record of them, and {0}")]
    Incomplete(String),
    /// What the image has cannot be laid out as layers.
    #[error("the layers cannot be compared with the image")]
    Layers(#[source] TreeError),
    /// Fewer blobs than layers.
    #[error("the original has {expected} layers, the image {actual} blobs")]
    LayersAreMissing {
        /// Layers of the original.
        expected: usize,
        /// Blobs of the Nydus image.
        actual: usize,
    },
    /// The bootstrap inside a blob is damaged.
    #[error("the bootstrap in blob {digest} is damaged")]
    LayerBootstrap {
        /// The blob layer.
        digest: Digest,
        /// Why.
        source: nydus_convert_rafs::ParseError,
    },
    /// The list of a blob's further chunks is damaged.
    #[error("blob {digest}")]
    ChunkList {
        /// The blob layer.
        digest: Digest,
        /// Why.
        source: crate::remembered::RecordError,
    },
    /// Two bootstraps contradict each other.
    #[error("blob {digest}: the image describes chunk {number} otherwise than the blob's own bootstrap")]
    ChunkDiffers {
        /// The blob layer.
        digest: Digest,
        /// The chunk.
        number: u32,
    },
    /// A blob that is a plain tar does not have the length that the bootstrap says.
    #[error("blob {digest}: a tar of {actual} bytes, where the image says {expected}")]
    TarLength {
        /// The blob layer.
        digest: Digest,
        /// What the image says, in bytes.
        expected: u64,
        /// What it is, in bytes.
        actual: u64,
    },
    /// A blob is damaged.
    #[error("blob {digest}")]
    Blob {
        /// The blob layer.
        digest: Digest,
        /// Why.
        source: BlobError,
    },
}

/// A blob that is no layer of the image.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the bootstrap uses the blob {id}, which is no layer of the image")]
pub struct UnknownBlob {
    /// SHA-256 of the blob, in hexadecimal.
    pub id: String,
}
