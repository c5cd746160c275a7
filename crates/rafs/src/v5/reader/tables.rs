//! The blob tables, and the chunks that files say the blobs have.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use zerocopy::little_endian::U32;

use super::superblock::Super;
use super::{ChunkProblem, ReadError};
use crate::input::Bytes;
use crate::v5::blob;
use crate::v5::layout::ExtendedBlob;
use crate::{Blob, BlobFeatures, BlobName, Chunk, ChunkTable, CiLocation, Cipher, limits};

/// Bytes of an entry before the id: what of the blob to fetch first, a hint that nobody needs.
const BEFORE_ID: usize = 8;

/// The blobs, still without chunks.
pub(super) fn blobs(bytes: Bytes<'_>, found: &Super) -> Result<Vec<Blob>, ReadError> {
    let mut blobs: Vec<Blob> = Vec::new();
    let mut rest = bytes.get(found.blobs.offset, found.blobs.size).unwrap_or_default();
    let mut extended = bytes.entries::<ExtendedBlob>(found.extended);
    while rest.len() > BEFORE_ID {
        let offset = found.blobs.end().unwrap_or_default().saturating_sub(rest.len() as u64);
        let at = |problem| ReadError::Blob { offset, blob: blobs.len(), problem };
        let mut parts = rest.get(BEFORE_ID..).unwrap_or_default().splitn(2, |byte| *byte == 0);
        let id = parts.next().unwrap_or_default();
        rest = parts.next().unwrap_or_default();
        let more = match extended.next() {
            Some((_, more)) => Some(more),
            None if found.extended.size == 0 => None,
            None => {
                let table = found.extended;
                return Err(ReadError::Table { table: table.name, offset: table.offset, size: table.size });
            }
        };
        let blob = new_blob(blob::name_of(id).map_err(at)?, more.as_ref(), found);
        blob::check(&blob, &blobs).map_err(at)?;
        if blobs.len() >= limits::MAX_BLOBS {
            return Err(ReadError::TooManyBlobs);
        }
        blobs.push(blob);
    }
    Ok(blobs)
}

fn new_blob(name: BlobName, more: Option<&ExtendedBlob>, found: &Super) -> Blob {
    Blob {
        name,
        // Readers let undefined bits go, so nothing can depend on them.
        features: BlobFeatures::from_bits_truncate(more.map_or(0, |more| more.features.get())),
        compressor: found.compressor,
        digester: found.digester,
        chunk_count: more.map_or(0, |more| more.chunk_count.get()),
        compressed_size: more.map_or(0, |more| more.compressed_size.get()),
        uncompressed_size: more.map_or(0, |more| more.uncompressed_size.get()),
        ci: CiLocation::default(),
        toc_size: 0,
        toc_digest: [0; 32],
        meta_digest: [0; 32],
        meta_size: 0,
        cipher: Cipher::None,
        chunks: ChunkTable::default(),
    }
}

/// Gives the blob at position `blob` the chunks that files use, of which there is one record for each use. What the
/// tables do not tell of the blob is taken from them.
pub(super) fn set_chunks(
    blob: &mut Blob,
    position: usize,
    mut chunks: Vec<(u32, Chunk)>,
) -> Result<(), ReadError> {
    let at = |index, problem| ReadError::Chunk { blob: position, index, problem };
    chunks.sort_by_key(|(index, _)| *index);
    let mut pairs = chunks.iter().zip(chunks.iter().skip(1));
    if let Some(((index, _), _)) = pairs.find(|(one, other)| one.0 == other.0 && one.1 != other.1) {
        return Err(at(*index, ChunkProblem::Differs));
    }
    if blob.chunk_count == 0 {
        let count = chunks.last().map_or(0, |(index, _)| index.saturating_add(1));
        blob.chunk_count = count.min(limits::MAX_CHUNKS_PER_BLOB);
    }
    if blob.uncompressed_size == 0 {
        let ends = chunks
            .iter()
            .map(|(_, chunk)| chunk.uncompressed_offset.saturating_add(chunk.uncompressed_size.into()));
        blob.uncompressed_size = ends.max().unwrap_or(0).min(limits::MAX_UNCOMPRESSED_BLOB);
    }
    if blob.compressed_size == 0 {
        let ends = chunks
            .iter()
            .map(|(_, chunk)| chunk.compressed_offset.saturating_add(chunk.compressed_size.into()));
        blob.compressed_size = ends.max().unwrap_or(0).min(limits::MAX_COMPRESSED_BLOB);
    }
    if let Some((index, _)) = chunks.iter().find(|(index, chunk)| !blob::holds(blob, *index, chunk)) {
        return Err(at(*index, ChunkProblem::Place));
    }
    blob.chunks = ChunkTable::from_unsorted(chunks);
    Ok(())
}

/// The prefetch table up to its end or the first zero, with the offsets of its entries.
pub(super) fn prefetch(bytes: Bytes<'_>, found: &Super) -> impl Iterator<Item = (u64, u32)> {
    bytes
        .entries::<U32>(found.prefetch)
        .map(|(offset, number)| (offset, number.get()))
        .take_while(|(_, number)| *number != 0)
}
