//! What the store knows of a blob's chunks, so that one of them can be used without reading the blob's own metadata.
//!
//! ```text
//!   "NCDS" │ version 1 │ class: length u16, name │ head: length u32, bytes │ count u32 │ CRC-32C of all before │ records
//!   4        u32                                   0: no bootstrap lists it                u32                  72 each
//!
//!   record   chunk, as rafs saves it │ CRC-32C of the stored bytes │ CRC-32C of the record so far
//!            64                        u32                           u32
//! ```
//! All numbers are little-endian. Every record can be checked by itself.

use std::io;

use nydus_convert_rafs::{Blob, Chunk, ChunkTable, SavedError};

use super::{ChunkClass, Object};

const MAGIC: [u8; 8] = *b"NCDS\x01\0\0\0";
const RECORD: usize = Chunk::SAVED_LEN + 4 + 4;
/// Longest front that is believed in.
const MAX_FRONT: u64 = 64 << 10;
/// Records read at once.
const PIECE: u32 = 4096;

/// A blob, what its chunks are, and the checksums of their stored bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// What its chunks are.
    pub class: ChunkClass,
    /// The blob as a merged bootstrap lists it, with all chunks; `None` if it has none.
    pub blob: Option<Blob>,
    /// CRC-32C of the stored bytes of every chunk; 0 for one that does not lie in the blob by itself.
    pub checks: Vec<u32>,
}

impl Description {
    /// As an object. An encrypted blob cannot be described.
    pub(super) fn write(&self) -> Result<Vec<u8>, SavedError> {
        let head = self.blob.as_ref().map(Blob::write_head).transpose()?.unwrap_or_default();
        let chunks = self.blob.as_ref().map(|blob| &blob.chunks);
        // Blobs have below 2²⁴ chunks, heads some hundred bytes, classes at most 255.
        let count = chunks.map_or(0, ChunkTable::len);
        let mut bytes = Vec::with_capacity(MAGIC.len() + 300 + head.len() + count * RECORD);
        bytes.extend(MAGIC);
        bytes.extend((self.class.as_str().len() as u16).to_le_bytes());
        bytes.extend(self.class.as_str().as_bytes());
        bytes.extend((head.len() as u32).to_le_bytes());
        bytes.extend(head);
        bytes.extend((count as u32).to_le_bytes());
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        for (number, chunk) in chunks.into_iter().flat_map(ChunkTable::iter) {
            let start = bytes.len();
            bytes.extend(chunk.write_saved());
            bytes.extend(self.checks.get(number as usize).copied().unwrap_or_default().to_le_bytes());
            bytes.extend(crc32c::crc32c(&bytes[start..]).to_le_bytes());
        }
        Ok(bytes)
    }

    /// All of it; an error or `None` if it cannot be read or anything is wrong with it.
    pub(super) fn read(object: &Object) -> io::Result<Option<Self>> {
        let Some(front) = Front::read(object)? else { return Ok(None) };
        let (mut chunks, mut checks) = (Vec::new(), Vec::new());
        let mut bytes = Vec::new();
        for first in (0..front.count).step_by(PIECE as usize) {
            let count = PIECE.min(front.count - first) as usize;
            bytes.resize(count * RECORD, 0);
            object.read_exact_at(&mut bytes, front.place_of(first))?;
            for record in bytes.as_chunks::<RECORD>().0 {
                let Some((chunk, check)) = parse_record(record) else { return Ok(None) };
                chunks.push(chunk);
                checks.push(check);
            }
        }
        let blob = front.head.map(|head| Blob { chunks: chunks.into_iter().collect(), ..head });
        Ok(Some(Self { class: front.class, blob, checks }))
    }

    /// Chunks that lie in the blob by themselves, by number.
    pub(super) fn alone(&self) -> Vec<(nydus_convert_rafs::ChunkDigest, u32)> {
        let chunks = self.blob.iter().flat_map(|blob| blob.chunks.iter());
        chunks.filter(|(_, chunk)| lies_alone(chunk)).map(|(number, chunk)| (chunk.digest, number)).collect()
    }
}

/// Whether a chunk has a stored form of its own.
pub(super) fn lies_alone(chunk: &Chunk) -> bool {
    chunk.compressed_size > 0
}

/// The front of a description: enough to find one record.
#[derive(Debug)]
pub(super) struct Front {
    pub class: ChunkClass,
    /// Without its chunks.
    pub head: Option<Blob>,
    pub count: u32,
    first: u64,
}

impl Front {
    /// `None` if anything is wrong with it.
    pub fn read(object: &Object) -> io::Result<Option<Self>> {
        let mut bytes = vec![0; object.size()?.min(MAX_FRONT) as usize];
        object.read_exact_at(&mut bytes, 0)?;
        Ok(Self::parse(&bytes))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (class, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (head, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        let (count, rest) = rest.split_first_chunk::<4>()?;
        let covered = bytes.len() - rest.len();
        let (check, rest) = rest.split_first_chunk::<4>()?;
        let sound = *magic == MAGIC && crc32c::crc32c(&bytes[..covered]) == u32::from_le_bytes(*check);
        let head = match head {
            _ if !sound => return None,
            [] => None,
            head => Some(Blob::parse_head(head).ok()?),
        };
        let class = ChunkClass::new(std::str::from_utf8(class).ok()?);
        let first = (bytes.len() - rest.len()) as u64;
        Some(Self { class, head, count: u32::from_le_bytes(*count), first })
    }

    fn place_of(&self, number: u32) -> u64 {
        self.first + u64::from(number) * RECORD as u64
    }

    /// The record of a chunk, and the checksum of its stored bytes; `None` if there is none or it is damaged.
    pub fn record(&self, object: &Object, number: u32) -> io::Result<Option<(Chunk, u32)>> {
        if number >= self.count {
            return Ok(None);
        }
        let mut record = [0; RECORD];
        object.read_exact_at(&mut record, self.place_of(number))?;
        Ok(parse_record(&record))
    }
}

fn parse_record(record: &[u8; RECORD]) -> Option<(Chunk, u32)> {
    let (covered, check) = record.split_last_chunk::<4>()?;
    let (chunk, stored) = covered.split_first_chunk::<{ Chunk::SAVED_LEN }>()?;
    let sound = crc32c::crc32c(covered) == u32::from_le_bytes(*check);
    let chunk = Chunk::parse_saved(chunk).ok().filter(|_| sound)?;
    Some((chunk, u32::from_le_bytes(stored.try_into().ok()?)))
}
