//! Why an operation failed. Errors walk from outside in: image → layer n of m (digest) → entry → structure.

use std::io;

use nydus_convert_chunk::store::{SnapshotError, StoreError};
use nydus_convert_chunk::{BlobError, PackError, WriteError};
use nydus_convert_layer::LayerError;
use nydus_convert_oci::{self as oci, DecompressError, DiffId, Digest, ErrorKind, VerifyError};
use nydus_convert_rafs::{BlobId, EntryPath, TreeError};
use nydus_convert_recompress::ReplayError;
use thiserror::Error;

use crate::dictionary::DictionaryError;
use crate::options::{DedupError, FsOptionsError};
use crate::report::LossReport;
use crate::to_nydus::MergeError;

/// What sort of failure an error is; exit codes follow from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Anything that has no kind of its own.
    Failed,
    /// The target cannot hold the source, or content is not what its digest says.
    NotFaithful,
    /// What was named does not exist, or is of a kind that cannot be used.
    Source,
    /// Permissions and credentials.
    Access,
    /// The network or its other end.
    Network,
    /// A limit or a full disk.
    Resources,
    /// Asked to stop, by this signal.
    Interrupted(i32),
}

impl From<ErrorKind> for Kind {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::NotFound | ErrorKind::Unsupported => Self::Source,
            ErrorKind::Access => Self::Access,
            ErrorKind::Verification => Self::NotFaithful,
            ErrorKind::Network => Self::Network,
            ErrorKind::ResourceLimit | ErrorKind::NoSpace => Self::Resources,
            ErrorKind::Other => Self::Failed,
        }
    }
}

/// Why an operation on an image failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// Reading or writing images.
    #[error(transparent)]
    Oci(#[from] oci::Error),
    /// A directory that is to become a layer.
    #[error(transparent)]
    Rootfs(#[from] crate::rootfs::RootfsError),
    /// Options that mean nothing together.
    #[error(transparent)]
    Options(#[from] FsOptionsError),
    /// A chunk dictionary that is of no use.
    #[error("the chunk dictionary cannot be used")]
    Dictionary(#[from] DictionaryError),
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
    /// An image that the kernel cannot mount.
    #[error(
        "the kernel cannot mount this image: {why}; make it with to-nydus --kernel-mountable or --tarfs from the OCI image"
    )]
    NotForTheKernel {
        /// What is in the way.
        why: String,
    },
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
    /// One layer.
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
    Record(#[source] crate::replay::RecordError),
    /// Nothing of the index is wanted.
    #[error("no image of the index is for {wanted}; it has {available}")]
    NoSuchPlatform {
        /// The platforms asked for.
        wanted: String,
        /// The platforms there are.
        available: String,
    },
    /// An index inside an index inside an index …
    #[error("the index {digest} is nested too deep")]
    NestedIndex {
        /// The innermost one looked at.
        digest: Digest,
    },
    /// The image has no file system that can be looked into.
    #[error("{reference} is not a Nydus image; {command} needs one")]
    NotNydus {
        /// The image.
        reference: String,
        /// What was asked.
        command: &'static str,
    },
    /// A Nydus image that contradicts itself.
    #[error(transparent)]
    Nydus(#[from] NydusError),
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
    /// Output that cannot be written.
    #[error("writing the output failed")]
    Output(#[source] io::Error),
    /// One of the layer verbs.
    #[error(transparent)]
    Verb(#[from] crate::layer_verbs::VerbError),
    /// One of the verbs of the chunk store.
    #[error(transparent)]
    StoreVerb(#[from] crate::store_verbs::StoreVerbError),
    /// Asked to stop.
    #[error("interrupted")]
    Interrupted {
        /// The signal that asked.
        signal: i32,
    },
}

/// Why one layer could not be converted.
#[derive(Debug, Error)]
pub enum LayerFailure {
    /// Its bytes cannot be had, are not what the descriptor says, or do not unpack.
    #[error(transparent)]
    Source(#[from] oci::Error),
    /// The stream that it comes as cannot be read.
    #[error("the layer cannot be read")]
    Input(#[source] io::Error),
    /// It is no tar that can be understood.
    #[error(transparent)]
    Tar(#[from] LayerError),
    /// An entry has no place in a tree.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// An entry has no place in a tree.
    #[error("{path}")]
    Entry {
        /// The entry.
        path: EntryPath,
        /// Why.
        source: TreeError,
    },
    /// The tar ends inside an entry.
    #[error("{path}: the tar ends, {missing} bytes of the file are missing")]
    ShortContent {
        /// The entry.
        path: EntryPath,
        /// Bytes that are missing.
        missing: u64,
    },
    /// It cannot stay as it is and be referred to.
    #[error(
        "the layer cannot be referred to: {0}; only gzip streams and plain tars can (leave out --oci-ref)"
    )]
    CannotRefer(&'static str),
    /// A layer whose tar no bootstrap can take for a blob.
    #[error("the layer's tar cannot be a blob: {0} (leave out --tarfs)")]
    NoTarfs(&'static str),
    /// A file that does not lie in the tar as it is.
    #[error(
        "{path}: a sparse file does not lie in the tar in one piece, so it cannot be referred to (leave out --oci-ref or --tarfs)"
    )]
    CannotReferSparse {
        /// The entry.
        path: EntryPath,
    },
    /// The files of the layer, holes included, are too long.
    #[error("{path}: the layer's files have more than {limit} bytes, holes included (--max-layer-size)")]
    TooMuchContent {
        /// The file that went beyond.
        path: EntryPath,
        /// The limit in bytes.
        limit: u64,
    },
    /// The plain tar is not the one the config names.
    #[error("the unpacked layer is {actual}, the image's config says {expected}")]
    DiffId {
        /// What the config says.
        expected: DiffId,
        /// What it is.
        actual: DiffId,
    },
    /// The blob cannot be written.
    #[error("the blob cannot be written")]
    Write(#[from] WriteError),
    /// The chunk store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The compression library failed.
    #[error("compressing a chunk failed")]
    Compress(#[source] io::Error),
    /// The record for the way back cannot be made or followed.
    #[error("the layer's tar record")]
    TarRecord(#[from] nydus_convert_layer::record::RecordError),
    /// The record for the way back is damaged.
    #[error("the layer's record")]
    Record(#[from] crate::replay::RecordError),
    /// The recipe for the way back is damaged.
    #[error("the layer's recipe")]
    Recipe(#[from] nydus_convert_recompress::RecipeError),
    /// The blob has no record where the image says that it has one.
    #[error("blob {blob} has no record of the layer it was made from; --layers gzip makes the layer anew")]
    NoRecord {
        /// The blob.
        blob: Digest,
    },
    /// Files lie in a blob that is not there.
    #[error(transparent)]
    UnknownBlob(#[from] crate::nydus_image::UnknownBlob),
    /// A stream cannot be made.
    #[error("the tar cannot be made")]
    Stream(#[source] io::Error),
    /// The tree cannot be made into a tar.
    #[error("the tar cannot be made")]
    LayerWrite(#[source] nydus_convert_layer::LayerWriteError),
    /// The blob describes no files.
    #[error("the blob describes no files")]
    NoBootstrap,
    /// The stored layer cannot be had bit for bit.
    #[error("{0}; --layers gzip gives the same tar, compressed anew")]
    NotExact(&'static str),
    /// What was made again is not the original.
    #[error("{what} made again is {actual}, the original is {expected}")]
    Differs {
        /// The tar or the layer.
        what: &'static str,
        /// The original.
        expected: Digest,
        /// What was made.
        actual: Digest,
    },
    /// Making the stored layer again failed.
    #[error("the layer cannot be compressed again")]
    Replay(#[source] nydus_convert_recompress::ReplayError),
    /// The blob is damaged.
    #[error("blob {blob}")]
    Blob {
        /// The blob.
        blob: Digest,
        /// Why.
        source: BlobError,
    },
    /// The blob's own bootstrap is damaged.
    #[error("the bootstrap in blob {blob} is damaged")]
    BlobBootstrap {
        /// The blob.
        blob: Digest,
        /// Why.
        source: nydus_convert_rafs::ParseError,
    },
    /// The layer's own bootstrap cannot be written.
    #[error("the layer's bootstrap cannot be written")]
    Bootstrap(#[from] nydus_convert_rafs::WriteError),
    /// The file for chunks that come later cannot be used.
    #[error("the temporary file for chunks that are stored behind those to fetch first (--tmpdir)")]
    Aside(#[source] io::Error),
    /// A thread cannot be started.
    #[error("a thread cannot be started")]
    Thread(#[source] io::Error),
    /// Asked to stop.
    #[error("interrupted")]
    Interrupted {
        /// The signal that asked.
        signal: i32,
    },
    /// Given up because another layer failed.
    #[error("given up")]
    GivenUp,
}

/// What is wrong with a Nydus image.
#[derive(Debug, Error)]
pub enum NydusError {
    /// The bootstrap is not a valid one.
    #[error("the bootstrap is damaged")]
    Bootstrap(#[from] nydus_convert_rafs::ParseError),
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
        source: crate::replay::RecordError,
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

impl LayerFailure {
    /// An entry that has no place.
    pub(crate) fn at(path: &EntryPath, source: TreeError) -> Self {
        Self::Entry { path: path.clone(), source }
    }

    /// What an error of a stream was before it became one: of the blob, of the record, or of the sink.
    pub(crate) fn of_stream(blob: Digest, error: io::Error) -> Self {
        let error = match error.downcast::<BlobError>() {
            Ok(source) => return Self::Blob { blob, source },
            Err(error) => error,
        };
        let error = match error.downcast::<nydus_convert_layer::record::RecordError>() {
            Ok(error) => return Self::TarRecord(error),
            Err(error) => error,
        };
        match error.downcast::<nydus_convert_layer::LayerWriteError>() {
            Ok(error) => Self::LayerWrite(error),
            Err(error) => Self::Stream(error),
        }
    }

    /// What sort of failure this is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Source(oci::Error::Decompress(error)) => damaged_stream(error),
            Self::Source(error) => error.kind().into(),
            Self::Tar(LayerError::Read { source, .. }) | Self::Input(source) => {
                match oci::find_in::<DecompressError>(source) {
                    Some(error) => damaged_stream(error),
                    None => ErrorKind::of_io(source).into(),
                }
            }
            Self::Tar(LayerError::NotATar { .. }) => Kind::Source,
            Self::CannotRefer(_) | Self::CannotReferSparse { .. } | Self::NoTarfs(_) => Kind::Source,
            Self::DiffId { .. } => Kind::NotFaithful,
            Self::Write(WriteError::Io { source, .. }) => ErrorKind::of_io(source).into(),
            Self::Interrupted { signal } => Kind::Interrupted(*signal),
            Self::Thread(_) | Self::TooMuchContent { .. } => Kind::Resources,
            Self::Tar(_) | Self::Tree(_) | Self::Entry { .. } | Self::ShortContent { .. } => Kind::Failed,
            Self::Write(_) | Self::Compress(_) | Self::Bootstrap(_) | Self::GivenUp => Kind::Failed,
            Self::Record(_) | Self::Recipe(_) | Self::TarRecord(_) | Self::NoRecord { .. } => {
                Kind::NotFaithful
            }
            Self::NotExact(_) | Self::Differs { .. } | Self::NoBootstrap => Kind::NotFaithful,
            Self::Replay(ReplayError::Write(error) | ReplayError::Read(error)) => {
                ErrorKind::of_io(error).into()
            }
            Self::Stream(error) | Self::Aside(error) => ErrorKind::of_io(error).into(),
            Self::LayerWrite(_) => Kind::Failed,
            Self::Store(error) => of_store(error),
            Self::UnknownBlob(_) => Kind::NotFaithful,
            Self::Replay(_) | Self::Blob { .. } | Self::BlobBootstrap { .. } => Kind::NotFaithful,
        }
    }

    /// Whether a layer was made again, but is another stream than the original.
    pub(crate) fn is_other_stream(&self) -> bool {
        match self {
            Self::Replay(error) => matches!(error, ReplayError::StoredLength { .. }),
            Self::Source(oci::Error::Verify(error)) => {
                matches!(**error, VerifyError::DigestMismatch { .. } | VerifyError::SizeMismatch { .. })
            }
            _ => false,
        }
    }

    /// Whether damaged source bytes may be the cause, so that comparing them with their digest tells more.
    pub(crate) fn may_be_damage(&self) -> bool {
        matches!(self, Self::Source(_) | Self::Tar(_) | Self::ShortContent { .. } | Self::DiffId { .. })
    }
}

/// A stream that has the right digest and yet cannot be unpacked: nothing was mixed up, it was made like that.
fn damaged_stream(error: &DecompressError) -> Kind {
    match error.kind() {
        ErrorKind::Verification => Kind::Failed,
        kind => kind.into(),
    }
}

impl From<PackError<LayerFailure>> for LayerFailure {
    fn from(error: PackError<LayerFailure>) -> Self {
        match error {
            PackError::Input(failure) => failure,
            PackError::Write(error) => Self::Write(error),
            PackError::Compress(error) => Self::Compress(error),
            PackError::ChunkTooLong { length, .. } => Self::Write(WriteError::ChunkLength { length }),
            PackError::Store(error) => Self::Store(error),
        }
    }
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
            Self::NotFaithful { .. } | Self::Nydus(_) => Kind::NotFaithful,
            Self::NoSuchPlatform { .. } | Self::NestedIndex { .. } | Self::NotNydus { .. } => Kind::Source,
            Self::NoSuchFile { .. } | Self::NotARegularFile { .. } | Self::NotForTheKernel { .. } => {
                Kind::Source
            }
            Self::Output(error) => ErrorKind::of_io(error).into(),
            Self::Interrupted { signal } => Kind::Interrupted(*signal),
            Self::Options(_) | Self::Merge(_) | Self::Bootstrap(_) | Self::Origin(_) => Kind::Failed,
            Self::Record(_) => Kind::NotFaithful,
            Self::Verb(error) => error.kind(),
            Self::StoreVerb(error) => error.kind(),
            Self::Rootfs(error) => error.kind().into(),
            Self::Store(error) => of_store(error),
            Self::Snapshot(_) => Kind::Source,
            Self::StoredBlob { .. } | Self::Dedup(_) => Kind::Failed,
        }
    }
}

fn of_store(error: &StoreError) -> Kind {
    match error {
        StoreError::NoStore { .. } => Kind::Source,
        error => error.io().map_or(Kind::Failed, |error| ErrorKind::of_io(error).into()),
    }
}
