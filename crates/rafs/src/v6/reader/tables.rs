//! The blob, device, chunk and prefetch tables.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use zerocopy::little_endian::U32;

use super::superblock::Super;
use super::{ChunkProblem, ReadError};
use crate::input::{Bytes, Table};
use crate::record::ChunkRecord;
use crate::v6::BlobProblem;
use crate::v6::blob;
use crate::v6::layout::{BlobEntry, Device};
use crate::{Blob, Chunk, ChunkTable};

/// The blobs with the chunks that the chunk table lists. Of tars it lists but one, which all are taken for: only inodes
/// tell the chunks of those.
pub(super) fn blobs(bytes: Bytes<'_>, found: &Super) -> Result<Vec<Blob>, ReadError> {
    let mut blobs: Vec<Blob> = Vec::new();
    let devices = bytes.entries::<Device>(found.devices);
    let table = bytes.entries::<BlobEntry>(found.blobs);
    for ((index, (_, device)), (offset, entry)) in (0..).zip(devices).zip(table) {
        let at = |problem| ReadError::Blob { offset, blob: blobs.len(), problem };
        let blob = blob::blob(&entry, index, found.chunk_size).map_err(at)?;
        blob::check(&blob, &blobs, found.block).map_err(at)?;
        let blocks = u64::from(device.blocks.get());
        if device.id != entry.id || blocks.checked_mul(found.block.bytes()) != Some(blob.uncompressed_size) {
            return Err(at(BlobProblem::Device));
        }
        blobs.push(blob);
    }
    if found.is_tarfs() {
        return Ok(blobs);
    }
    let tables = chunks(bytes, found, &blobs)?;
    blobs.iter_mut().zip(tables).for_each(|(blob, chunks)| blob.chunks = chunks);
    Ok(blobs)
}

/// The chunk table by blob.
fn chunks(bytes: Bytes<'_>, found: &Super, blobs: &[Blob]) -> Result<Vec<ChunkTable>, ReadError> {
    let mut by_blob: Vec<Vec<(u32, Chunk)>> = blobs.iter().map(|_| Vec::new()).collect();
    for (offset, record) in bytes.entries::<ChunkRecord>(found.chunks) {
        let at = |problem| ReadError::Chunk { offset, problem };
        let chunk = record.chunk().ok_or(at(ChunkProblem::Flags { bits: record.flags.get() }))?;
        let number = record.blob.get();
        let position = usize::try_from(number).ok();
        let known = position.and_then(|at| Some((blobs.get(at)?, by_blob.get_mut(at)?)));
        let (blob, chunks) = known.ok_or(at(ChunkProblem::Blob { blob: number }))?;
        check_chunk(&chunk, record.index.get(), blob, found).map_err(at)?;
        chunks.push((record.index.get(), chunk));
    }
    for (blob, chunks) in by_blob.iter_mut().enumerate() {
        chunks.sort_unstable_by_key(|(index, _)| *index);
        let mut pairs = chunks.iter().zip(chunks.iter().skip(1));
        if let Some(((index, _), _)) = pairs.find(|((index, _), (next, _))| index == next) {
            let problem = ChunkProblem::Duplicate { blob, index: *index };
            return Err(ReadError::Chunk { offset: found.chunks.offset, problem });
        }
    }
    Ok(by_blob.into_iter().map(ChunkTable::from_unsorted).collect())
}

fn check_chunk(chunk: &Chunk, index: u32, blob: &Blob, found: &Super) -> Result<(), ChunkProblem> {
    if !blob::has_chunk(blob, index) {
        return Err(ChunkProblem::Index { index });
    }
    let size = chunk.uncompressed_size;
    if size == 0 || size > found.chunk_size.bytes() {
        return Err(ChunkProblem::Size { size });
    }
    if blob::holds(blob, chunk) { Ok(()) } else { Err(ChunkProblem::Place) }
}

/// The prefetch table up to its end or the first zero, with the offsets of its entries. Without blobs there is nothing
/// to fetch, whatever the table says.
pub(super) fn prefetch(bytes: Bytes<'_>, found: &Super) -> impl Iterator<Item = (u64, u32)> {
    let size = if found.blobs.size == 0 { 0 } else { found.prefetch.size };
    bytes
        .entries::<U32>(Table { size, ..found.prefetch })
        .map(|(offset, nid)| (offset, nid.get()))
        .take_while(|(_, nid)| *nid != 0)
}
