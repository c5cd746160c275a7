//! What every reader demands of a blob: one list for reading and writing.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use thiserror::Error;

use super::layout::THIS_BLOB;
use crate::{Blob, BlobFeatures, BlobId, BlobName, Chunk, limits};

/// Features whose chunks can only be found through chunk information, which v5 blobs do not have, or with a key, which
/// v5 bootstraps do not have.
const IMPOSSIBLE: BlobFeatures = BlobFeatures::CHUNK_INFO_V2
    .union(BlobFeatures::ZRAN)
    .union(BlobFeatures::BATCH)
    .union(BlobFeatures::ENCRYPTED)
    .union(BlobFeatures::TARFS);

/// What readers refuse of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BlobProblem {
    /// The same id as an earlier blob.
    #[error("another blob has the same id")]
    DuplicateId,
    /// An id that is neither 64 hexadecimal digits nor the placeholder.
    #[error("the id is not 64 lowercase hexadecimal digits")]
    Id,
    /// More chunks than numbers.
    #[error("{count} chunks, more than {}", limits::MAX_CHUNKS_PER_BLOB)]
    TooManyChunks {
        /// Number of chunks.
        count: u32,
    },
    /// A size beyond what can be addressed.
    #[error("the {what} size {size:#x} is beyond what can be addressed")]
    Size {
        /// Which size.
        what: &'static str,
        /// Size in bytes.
        size: u64,
    },
    /// Writing only: features of blobs that v5 cannot describe.
    #[error("the features {bits:#x} cannot be had in v5")]
    Features {
        /// All feature bits.
        bits: u32,
    },
    /// Writing only: the blob's compressor or digester is not that of the image.
    #[error("the {what} is not that of the image")]
    Algorithm {
        /// Which algorithm.
        what: &'static str,
    },
}

/// Finds the first thing that readers refuse of `blob`. `earlier` are the blobs before it.
pub(super) fn check(blob: &Blob, earlier: &[Blob]) -> Result<(), BlobProblem> {
    if earlier.iter().any(|other| other.name == blob.name) {
        return Err(BlobProblem::DuplicateId);
    }
    if blob.chunk_count > limits::MAX_CHUNKS_PER_BLOB {
        return Err(BlobProblem::TooManyChunks { count: blob.chunk_count });
    }
    for (what, size, most) in [
        ("uncompressed", blob.uncompressed_size, limits::MAX_UNCOMPRESSED_BLOB),
        ("compressed", blob.compressed_size, limits::MAX_COMPRESSED_BLOB),
    ] {
        if size > most {
            return Err(BlobProblem::Size { what, size });
        }
    }
    Ok(())
}

/// Whether v5 can describe the blob's features.
pub(super) fn check_features(blob: &Blob) -> Result<(), BlobProblem> {
    let unknown = !BlobFeatures::all().bits();
    let bits = blob.features.bits();
    match blob.features.intersects(IMPOSSIBLE) || bits & unknown != 0 {
        true => Err(BlobProblem::Features { bits }),
        false => Ok(()),
    }
}

/// Whether a chunk has a number of this blob and lies inside it.
pub(super) fn holds(blob: &Blob, index: u32, chunk: &Chunk) -> bool {
    let end = chunk.uncompressed_offset.checked_add(chunk.uncompressed_size.into());
    let stored_end = chunk.compressed_offset.checked_add(chunk.compressed_size.into());
    index < blob.chunk_count
        && end.is_some_and(|end| end <= blob.uncompressed_size)
        && stored_end.is_some_and(|end| end <= blob.compressed_size)
}

/// The id as the table holds it.
pub(super) fn id_bytes(name: BlobName) -> Vec<u8> {
    match name {
        BlobName::ThisBlob => THIS_BLOB.to_vec(),
        BlobName::Id(id) => id.to_string().into_bytes(),
    }
}

/// The name that an id in the table means.
pub(super) fn name_of(id: &[u8]) -> Result<BlobName, BlobProblem> {
    if id == THIS_BLOB {
        return Ok(BlobName::ThisBlob);
    }
    let text = str::from_utf8(id).map_err(|_| BlobProblem::Id)?;
    text.parse::<BlobId>().map(BlobName::Id).map_err(|_| BlobProblem::Id)
}
