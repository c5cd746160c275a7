//! A whole payload of the compression information: entries and the batches behind them.
//!
//! ```text
//! | entry 0 | entry 1 | … | entry n−1 | batch 0 | batch 1 | … |
//!   24 bytes each                       40 bytes each
//! ```

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use zerocopy::IntoBytes;

use super::batch::{self, Batch, InBatch};
use super::ci::{CONTEXT_LEN, CiHeader, CiTable, PAYLOAD, parse_entries};
use super::entry::{Cursor, EntryV2};
use super::{EntryProblem, MetaError, zran};
use crate::{BlobFeatures, Chunk, ChunkFlags, CiLocation, limits};

/// Everything that a payload says, batches included.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChunkInformation {
    /// The chunks by number, without digests. Members of a batch have its place as theirs, and 0 stored bytes.
    pub chunks: Vec<Chunk>,
    /// The batches by number.
    pub batches: Vec<Batch>,
    /// The members of batches, ascending by chunk.
    pub members: Vec<InBatch>,
}

impl ChunkInformation {
    /// The place in a batch of chunk number `chunk`, if it is a member of one.
    pub fn member(&self, chunk: u32) -> Option<&InBatch> {
        let position = self.members.binary_search_by_key(&chunk, |member| member.chunk).ok()?;
        self.members.get(position)
    }
}

/// Reads a plain payload, version 1 or 2, with its batches if it has any. Chunks must follow each other without gaps in
/// the decompressed blob and in ascending order in the blob; members of a batch are neighbours. Of a
/// zran blob the chunks alone: [`zran`] reads the rest.
pub fn parse(payload: &[u8], header: &CiHeader) -> Result<ChunkInformation, MetaError> {
    if header.features.contains(BlobFeatures::ZRAN) {
        let chunks = zran::parse(payload, header)?.chunks;
        return Ok(ChunkInformation { chunks, ..ChunkInformation::default() });
    }
    if !header.features.contains(BlobFeatures::BATCH) {
        let chunks = parse_entries(payload, header)?;
        return Ok(ChunkInformation { chunks, ..ChunkInformation::default() });
    }
    let (expected, actual) = (header.location.uncompressed_size, payload.len() as u64);
    if expected != actual {
        return Err(MetaError::Length { structure: PAYLOAD, expected, actual });
    }
    let too_long = MetaError::Length { structure: PAYLOAD, expected: header.entries_size(), actual };
    let split = usize::try_from(header.entries_size()).ok();
    let (entries, table) = split.and_then(|at| payload.split_at_checked(at)).ok_or(too_long)?;
    let (raws, _) = entries.as_chunks::<{ size_of::<EntryV2>() }>();
    let contexts = usize::try_from(u64::from(header.table.entries).saturating_mul(CONTEXT_LEN));
    let table = contexts.ok().and_then(|length| table.get(..length)).unwrap_or(table);
    let batches = batch::parse(table, raws.len())?;
    follow_batches(raws, batches)
}

fn follow_batches(
    raws: &[[u8; size_of::<EntryV2>()]],
    batches: Vec<Batch>,
) -> Result<ChunkInformation, MetaError> {
    let mut all = ChunkInformation { batches, ..ChunkInformation::default() };
    all.chunks.reserve_exact(raws.len());
    let mut cursor = Cursor::default();
    // The batch of the chunk before, and the first one that no chunk was a member of yet.
    let (mut open, mut next) = (None, 0);
    for (index, raw) in (0_u32..).zip(raws) {
        let offset = u64::from(index).saturating_mul(raw.len() as u64);
        let at = |problem| MetaError::Chunk { offset, index, problem };
        let entry: EntryV2 = zerocopy::transmute!(*raw);
        let chunk = entry.chunk_or_member().map_err(at)?;
        if chunk.flags.contains(ChunkFlags::BATCH) {
            let (number, offset) = entry.place();
            let fresh = open != Some(number);
            let batch = usize::try_from(number).ok().and_then(|number| all.batches.get_mut(number));
            let batch = batch.filter(|_| !fresh || number >= next);
            let batch = batch.ok_or_else(|| at(EntryProblem::Batch { batch: number }))?;
            cursor.pass_member(&chunk, offset, fresh, batch).map_err(at)?;
            all.members.push(InBatch { chunk: index, batch: number, offset });
            open = Some(number);
            next = number.saturating_add(1);
        } else {
            cursor.pass(&chunk).map_err(at)?;
            open = None;
        }
        all.chunks.push(chunk);
    }
    Ok(all)
}

/// A payload of version 2, and where in it the batch table lies. What [`parse`] refuses is refused here; a chunk whose
/// checksum happens to be 0 is written without it, since readers refuse a checksum of 0.
pub fn write(information: &ChunkInformation) -> Result<(Vec<u8>, CiTable), MetaError> {
    let ChunkInformation { chunks, batches, .. } = information;
    let (count, max) = (chunks.len() as u64, u64::from(limits::MAX_CHUNKS_PER_BLOB));
    if count > max {
        return Err(MetaError::TooMany { structure: PAYLOAD, count, max });
    }
    let mut bytes = Vec::with_capacity(chunks.len().saturating_mul(size_of::<EntryV2>()));
    let mut members = information.members.iter().peekable();
    for (index, chunk) in (0_u32..).zip(chunks) {
        let member = members.next_if(|member| member.chunk == index);
        let at = |problem| MetaError::Chunk { offset: bytes.len() as u64, index, problem };
        let bits = chunk.flags.bits();
        if member.is_some() != chunk.flags.contains(ChunkFlags::BATCH) {
            return Err(at(EntryProblem::Flags { bits }));
        }
        let (compressed, uncompressed) = (chunk.compressed_size, chunk.uncompressed_size);
        // Stored lengths have 24 bits and are not lessened by one here.
        if uncompressed == 0 || uncompressed > limits::MAX_CHUNK_SIZE || compressed >= limits::MAX_CHUNK_SIZE
        {
            return Err(at(EntryProblem::Size { compressed, uncompressed }));
        }
        let (place, plain) = (chunk.compressed_offset, chunk.uncompressed_offset);
        if place >= limits::MAX_COMPRESSED_BLOB {
            return Err(at(EntryProblem::CompressedOffset { expected: 0, actual: place }));
        }
        if plain >= limits::MAX_UNCOMPRESSED_BLOB {
            let expected = limits::MAX_UNCOMPRESSED_BLOB;
            return Err(at(EntryProblem::UncompressedOffset { expected, actual: plain }));
        }
        let mut chunk = *chunk;
        if chunk.crc32 == 0 {
            chunk.flags.remove(ChunkFlags::HAS_CRC32);
        }
        let place = member.map_or((0, 0), |member| (member.batch, member.offset));
        bytes.extend_from_slice(EntryV2::new(&chunk, place).as_bytes());
    }
    if batches.is_empty() {
        return Ok((bytes, CiTable::default()));
    }
    let offset = bytes.len() as u64;
    batch::write(batches, &mut bytes);
    let size = (bytes.len() as u64).saturating_sub(offset);
    // No more than there are chunks, or the parser refuses them.
    let table = CiTable { offset, size, entries: u32::try_from(batches.len()).unwrap_or(u32::MAX) };
    check_written(&bytes, count, table)?;
    Ok((bytes, table))
}

/// Reads what was just written: a rule that lives in the parser lives once.
fn check_written(bytes: &[u8], count: u64, table: CiTable) -> Result<(), MetaError> {
    let size = bytes.len() as u64;
    let header = CiHeader {
        features: BlobFeatures::CHUNK_INFO_V2 | BlobFeatures::BATCH,
        entries: u32::try_from(count).unwrap_or(u32::MAX),
        location: CiLocation { uncompressed_size: size, ..CiLocation::default() },
        table,
    };
    parse(bytes, &header).map(drop)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
    #![allow(clippy::cast_possible_truncation)]
    use super::*;

    /// Chunks 0 and 1 in batch 0, chunk 2 alone, chunk 3 in batch 1.
    fn sample() -> ChunkInformation {
        let member = |number: u64, offset| Chunk {
            flags: ChunkFlags::BATCH | ChunkFlags::COMPRESSED,
            uncompressed_size: 100,
            compressed_offset: offset,
            uncompressed_offset: 4096 * number,
            ..Chunk::default()
        };
        let alone = Chunk {
            flags: ChunkFlags::COMPRESSED | ChunkFlags::HAS_CRC32,
            compressed_size: 50,
            uncompressed_size: 4096,
            compressed_offset: 30,
            uncompressed_offset: 8192,
            crc32: 7,
            ..Chunk::default()
        };
        let batch = |compressed_offset, compressed_size, uncompressed_size| Batch {
            compressed_offset,
            compressed_size,
            uncompressed_size,
        };
        ChunkInformation {
            chunks: vec![member(0, 0), member(1, 0), alone, member(3, 80)],
            batches: vec![batch(0, 30, 200), batch(80, 100, 100)],
            members: [(0, 0, 0), (1, 0, 100), (3, 1, 0)]
                .map(|(chunk, batch, offset)| InBatch { chunk, batch, offset })
                .to_vec(),
        }
    }

    fn header(payload: &[u8], table: CiTable) -> CiHeader {
        CiHeader {
            features: BlobFeatures::CHUNK_INFO_V2 | BlobFeatures::BATCH,
            entries: 4,
            location: CiLocation { uncompressed_size: payload.len() as u64, ..CiLocation::default() },
            table,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let (payload, table) = write(&sample()).unwrap();
        assert_eq!(table, CiTable { offset: 96, size: 80, entries: 2 });
        let parsed = parse(&payload, &header(&payload, table)).unwrap();
        assert_eq!(parsed, sample());
        assert_eq!((parsed.member(3).unwrap().batch, parsed.member(2)), (1, None));
    }

    #[test]
    fn batches_that_lie_are_refused() {
        type Change<'a> = &'a dyn Fn(&mut ChunkInformation);
        let changes: [Change; 9] = [
            &|all| all.members[1].offset = 101,
            &|all| all.members[1].batch = 2,
            &|all| all.members[2].batch = 0,
            &|all| all.chunks[1].compressed_offset = 1,
            &|all| all.chunks[0].compressed_size = 1,
            &|all| all.chunks[3].compressed_offset = 79,
            &|all| all.batches[0].compressed_size = 31,
            &|all| all.batches[0].uncompressed_size = 0,
            &|all| all.batches[1].compressed_size = 101,
        ];
        for (number, change) in changes.iter().enumerate() {
            let mut all = sample();
            change(&mut all);
            assert!(write(&all).is_err(), "{number}");
        }
    }

    /// Readers refuse a checksum of 0, so none is written.
    #[test]
    fn a_checksum_of_zero_is_left_out() {
        let mut all = sample();
        all.chunks[2].crc32 = 0;
        let (payload, table) = write(&all).unwrap();
        let parsed = parse(&payload, &header(&payload, table)).unwrap();
        assert_eq!(parsed.chunks[2].flags, ChunkFlags::COMPRESSED);
    }

    #[test]
    fn changed_bytes_do_no_harm() {
        let (payload, table) = write(&sample()).unwrap();
        for at in 0..payload.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bad = payload.clone();
                bad[at] = value;
                if let Ok(all) = parse(&bad, &header(&payload, table)) {
                    assert!(all.members.iter().all(|member| (member.batch as usize) < all.batches.len()));
                }
            }
        }
    }
}
