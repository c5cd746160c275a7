//! Why one layer could not be converted or made again.

use std::io;

use nydus_convert_chunk::store::StoreError;
use nydus_convert_chunk::{BlobError, PackError, WriteError};
use nydus_convert_layer::LayerError;
use nydus_convert_oci::{self as oci, DecompressError, DiffId, Digest, ErrorKind, VerifyError};
use nydus_convert_rafs::{EntryPath, OverlayError, TreeError};
use nydus_convert_recompress::ReplayError;
use thiserror::Error;

use crate::image::ImageError;
use crate::kind::Kind;
use crate::run::observer::Interrupted;

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
    /// Far more to keep in memory than to read.
    #[error(
        "{path}: up to here the layer's names, attributes and directories take {bytes} bytes of memory, more than a layer \
         of its size may take (--max-metadata allows more)"
    )]
    TooMuchMetadata {
        /// The entry that went beyond.
        path: EntryPath,
        /// What all take.
        bytes: u64,
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
    Record(#[from] crate::remembered::RecordError),
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
    UnknownBlob(#[from] crate::image::UnknownBlob),
    /// It does not fit on the layers below.
    #[error("the layer cannot be laid over those below it")]
    Overlay(#[source] OverlayError),
    /// What the image says of its blobs cannot be used.
    #[error(transparent)]
    Image(#[from] Box<ImageError>),
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
    /// [`Stop::request`](crate::Stop::request) was called.
    #[error("interrupted")]
    Interrupted {
        /// The signal that asked.
        signal: i32,
    },
    /// Given up because another layer failed.
    #[error("given up")]
    GivenUp,
}

/// Whether an entry would cost too much, rather than being wrong.
pub(crate) const fn is_too_much(error: &TreeError) -> bool {
    matches!(error, TreeError::TooLarge { .. } | TreeError::TooManySteps { .. })
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
            Self::Tar(LayerError::NotATar { .. } | LayerError::OtherFormat { .. }) => Kind::Source,
            Self::CannotRefer(_) | Self::CannotReferSparse { .. } | Self::NoTarfs(_) => Kind::Source,
            Self::DiffId { .. } => Kind::NotFaithful,
            Self::Write(WriteError::Io { source, .. }) => ErrorKind::of_io(source).into(),
            Self::Interrupted { signal } => Kind::Interrupted(*signal),
            Self::Tree(error) | Self::Entry { source: error, .. } if is_too_much(error) => Kind::Resources,
            Self::Thread(_) | Self::TooMuchContent { .. } | Self::TooMuchMetadata { .. } => Kind::Resources,
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
            Self::LayerWrite(_) | Self::Overlay(_) => Kind::Failed,
            Self::Image(error) => error.kind(),
            Self::Store(error) => error.into(),
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

impl From<Interrupted> for LayerFailure {
    fn from(Interrupted { signal }: Interrupted) -> Self {
        Self::Interrupted { signal }
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
