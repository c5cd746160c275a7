//! Chunks: the unit of compression, deduplication and fetch.

use std::fmt;

use bitflags::bitflags;
use thiserror::Error;

use crate::{ChunkDigest, limits};

bitflags! {
    /// Flags of a chunk record on disk.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct ChunkFlags: u32 {
        /// The stored bytes are compressed.
        const COMPRESSED = 0x1;
        /// Reserved by the format for holes; never written.
        const HOLE = 0x2;
        /// The stored bytes are encrypted.
        const ENCRYPTED = 0x4;
        /// The chunk is a part of a batch.
        const BATCH = 0x8;
        /// `crc32` is set.
        const HAS_CRC32 = 0x10;
    }
}

/// Where one chunk lies in its blob, and what it must hash to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Chunk {
    /// Digest of the plain bytes.
    pub digest: ChunkDigest,
    /// How it is stored.
    pub flags: ChunkFlags,
    /// Stored length in bytes.
    pub compressed_size: u32,
    /// Plain length in bytes.
    pub uncompressed_size: u32,
    /// Place in the blob.
    pub compressed_offset: u64,
    /// Place in the virtual decompressed blob (cache file, EROFS device).
    pub uncompressed_offset: u64,
    /// CRC-32C of the plain bytes where `flags` says so, else 0.
    pub crc32: u32,
}

/// A use of a chunk: which blob of the image, which chunk of the blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkRef {
    /// Index into the image's blobs.
    pub blob: u16,
    /// Number of the chunk inside its blob (CI index), below 2²⁴.
    pub index: u32,
}

/// The chunks of a blob by number. A bootstrap lists only those its files use, so there may be gaps.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChunkTable {
    /// Sorted by number, numbers unique.
    entries: Vec<(u32, Chunk)>,
}

impl ChunkTable {
    /// A table from records in any order; of two with the same number the first stays.
    pub fn from_unsorted(mut entries: Vec<(u32, Chunk)>) -> Self {
        entries.sort_by_key(|(index, _)| *index);
        entries.dedup_by_key(|(index, _)| *index);
        Self { entries }
    }

    /// The record of chunk number `index`.
    pub fn get(&self, index: u32) -> Option<&Chunk> {
        self.find(index).map(|(_, chunk)| chunk)
    }

    /// The record of chunk number `index` and its position among the records.
    pub(crate) fn find(&self, index: u32) -> Option<(usize, &Chunk)> {
        // Complete tables, the usual case, need no search.
        let position = match self.entries.get(index as usize) {
            Some((number, _)) if *number == index => index as usize,
            _ => self.entries.binary_search_by_key(&index, |(number, _)| *number).ok()?,
        };
        self.entries.get(position).map(|(_, chunk)| (position, chunk))
    }

    /// The record at a position and its chunk's number.
    pub(crate) fn at(&self, position: usize) -> Option<(u32, &Chunk)> {
        self.entries.get(position).map(|(index, chunk)| (*index, chunk))
    }

    /// Records in order of their numbers.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (u32, &Chunk)> {
        self.entries.iter().map(|(index, chunk)| (*index, chunk))
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// Chunks numbered from 0 without gaps.
impl FromIterator<Chunk> for ChunkTable {
    fn from_iter<I: IntoIterator<Item = Chunk>>(chunks: I) -> Self {
        Self { entries: (0..).zip(chunks).collect() }
    }
}

/// The chunk size of an image: a power of two from 4 KiB to 16 MiB.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkSize(u32);

/// A number that is not a chunk size.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the chunk size {bytes} is not a power of two from 4096 to 16777216 bytes")]
pub struct ChunkSizeError {
    /// The number of bytes that was given.
    pub bytes: u64,
}

impl ChunkSize {
    /// Checks a number of bytes.
    pub fn new(bytes: u64) -> Result<Self, ChunkSizeError> {
        match u32::try_from(bytes) {
            Ok(size)
                if size.is_power_of_two()
                    && (limits::MIN_CHUNK_SIZE..=limits::MAX_CHUNK_SIZE).contains(&size) =>
            {
                Ok(Self(size))
            }
            _ => Err(ChunkSizeError { bytes }),
        }
    }

    /// The size in bytes: a power of two from 4 KiB to 16 MiB.
    pub const fn bytes(self) -> u32 {
        self.0
    }

    /// Number of chunks of a file of `size` bytes.
    pub const fn chunks_of(self, size: u64) -> u64 {
        size.div_ceil(self.0 as u64)
    }
}

/// 1 MiB.
impl Default for ChunkSize {
    fn default() -> Self {
        Self(0x10_0000)
    }
}

impl fmt::Debug for ChunkSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn chunk_sizes() {
        for good in [0x1000, 0x10_0000, 0x100_0000] {
            assert_eq!(u64::from(ChunkSize::new(good).unwrap().bytes()), good);
        }
        for bad in [0, 1, 0x800, 0x1001, 0x200_0000, 1 << 40] {
            assert_eq!(ChunkSize::new(bad), Err(ChunkSizeError { bytes: bad }));
        }
        let size = ChunkSize::new(0x1000).unwrap();
        assert_eq!([0, 1, 0x1000, 0x1001].map(|bytes| size.chunks_of(bytes)), [0, 1, 1, 2]);
    }

    #[test]
    fn table_with_gaps() {
        let chunk = |size| Chunk { uncompressed_size: size, ..Chunk::default() };
        let table = ChunkTable::from_unsorted(vec![(7, chunk(70)), (2, chunk(20)), (7, chunk(71))]);
        assert_eq!(table.len(), 2);
        assert_eq!(table.get(2).unwrap().uncompressed_size, 20);
        assert_eq!(table.get(7).unwrap().uncompressed_size, 70);
        assert_eq!(table.get(0), None);
        let full: ChunkTable = [chunk(1), chunk(2)].into_iter().collect();
        assert_eq!(full.get(1).unwrap().uncompressed_size, 2);
        assert_eq!(full.get(2), None);
    }
}
