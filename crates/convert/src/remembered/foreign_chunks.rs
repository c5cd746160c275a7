//! Chunks of other blobs that a layer's record uses.
//!
//! ```text
//!   "NCOTHER\0" │ version u32 │ number of records u32 │ record …
//!
//!           0      4        36       40      44              48             52       56               64
//!   record  │ blob │ digest │ number │ flags │ stored length │ plain length │ CRC-32C │ offset in blob │ offset in plain │
//! ```
//! Numbers are little-endian. `blob` is a position in the blob table of the layer's own bootstrap. The record numbers
//! these chunks from 2²⁴ on, in the order of the list.

use nydus_convert_chunk::Foreign;
use nydus_convert_rafs::{Chunk, ChunkDigest, ChunkFlags, ChunkRef};

use super::RecordError;
use super::bytes::{Fields, begin};

const MAGIC: &[u8; 8] = b"NCOTHER\0";
const WHAT: &str = "list of chunks of other blobs";
/// Length of one record.
const RECORD: usize = 72;

/// A chunk of another blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForeignChunk {
    /// Which blob of the layer's bootstrap, which chunk of it.
    pub at: ChunkRef,
    /// Digest, lengths and place of the chunk in that blob.
    pub chunk: Chunk,
}

/// The bytes of the section.
pub fn write(chunks: &[ForeignChunk]) -> Vec<u8> {
    let mut list = begin(MAGIC);
    // Their numbers are 32-bit too.
    list.extend((chunks.len() as u32).to_le_bytes());
    list.reserve(chunks.len() * RECORD);
    for ForeignChunk { at, chunk } in chunks {
        list.extend(u32::from(at.blob).to_le_bytes());
        list.extend(chunk.digest.0);
        list.extend(at.index.to_le_bytes());
        list.extend(chunk.flags.bits().to_le_bytes());
        list.extend(chunk.compressed_size.to_le_bytes());
        list.extend(chunk.uncompressed_size.to_le_bytes());
        list.extend(chunk.crc32.to_le_bytes());
        list.extend(chunk.compressed_offset.to_le_bytes());
        list.extend(chunk.uncompressed_offset.to_le_bytes());
    }
    list
}

/// The chunks of the section `list`, of a bootstrap with `blobs` blobs. Where they lie is checked when they are read.
pub fn parse(list: &[u8], blobs: usize) -> Result<Vec<ForeignChunk>, RecordError> {
    let mut fields = Fields::open(WHAT, MAGIC, list)?;
    let count = fields.u32("the number of chunks")?;
    if u64::from(count) * RECORD as u64 != fields.rest().len() as u64 || count > u32::MAX - Foreign::FIRST {
        return Err(fields.damaged("the number of chunks"));
    }
    let mut chunks = Vec::with_capacity(fields.rest().len() / RECORD);
    for _ in 0..count {
        let blob = u16::try_from(fields.u32("a blob")?).ok().filter(|blob| usize::from(*blob) < blobs);
        let blob = blob.ok_or_else(|| fields.damaged("a blob"))?;
        let digest = ChunkDigest(fields.array("the digest of a chunk")?);
        let index = fields.u32("the number of a chunk")?;
        let flags = ChunkFlags::from_bits(fields.u32("the flags of a chunk")?);
        chunks.push(ForeignChunk {
            at: ChunkRef { blob, index },
            chunk: Chunk {
                digest,
                flags: flags.ok_or_else(|| fields.damaged("the flags of a chunk"))?,
                compressed_size: fields.u32("a stored length")?,
                uncompressed_size: fields.u32("a plain length")?,
                crc32: fields.u32("a CRC")?,
                compressed_offset: fields.u64("the place of a chunk")?,
                uncompressed_offset: fields.u64("the plain place of a chunk")?,
            },
        });
    }
    fields.end()?;
    Ok(chunks)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn chunk(blob: u16, index: u32) -> ForeignChunk {
        let chunk = Chunk {
            digest: ChunkDigest([index as u8; 32]),
            flags: ChunkFlags::COMPRESSED | ChunkFlags::HAS_CRC32,
            compressed_size: 10,
            uncompressed_size: 20,
            compressed_offset: 1 << 33,
            uncompressed_offset: 1 << 34,
            crc32: 7,
        };
        ForeignChunk { at: ChunkRef { blob, index }, chunk }
    }

    #[test]
    fn what_was_written_is_read() {
        let chunks = [chunk(1, 5), chunk(0, 9), chunk(1, 2)];
        let list = write(&chunks);
        assert_eq!(list.len(), 16 + 3 * RECORD);
        assert_eq!(parse(&list, 2).unwrap(), chunks);
        assert_eq!(parse(&write(&[]), 0).unwrap(), []);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let list = write(&[chunk(1, 5), chunk(0, 9)]);
        assert!(parse(&list, 1).is_err());
        for length in 0..list.len() {
            assert!(parse(&list[..length], 2).is_err(), "{length}");
        }
        assert!(parse(&[&list[..], &[0]].concat(), 2).is_err());
        let mut flags = list.clone();
        flags[16 + 40..][..4].fill(0xff);
        assert!(parse(&flags, 2).is_err());
    }
}
