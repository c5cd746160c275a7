//! One entry of the compression information, in both versions.
//!
//! Version 1 has 16 bytes, two 64-bit words:
//!
//! ```text
//!       63        44 43                       12 11        8 7        0
//! word 0 | length − 1, | offset in the decompressed | length − 1, | 0       |
//!        | bits 0–19   | blob in blocks of 4096     | bits 20–23  |         |
//!       63        44 43          40 39                                 0
//! word 1 | stored length − 1, | stored length − 1, | offset in the blob     |
//!        | bits 0–19          | bits 20–23          |                        |
//! ```
//!
//! A chunk is compressed if its two lengths differ. Version 2 has flags of its own, and a word of data.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{Batch, EntryProblem};
use crate::{Chunk, ChunkDigest, ChunkFlags, limits};

/// Alignment of chunks in the decompressed blob.
const ALIGNMENT: u64 = 4096;

/// Two words: see the module's drawing.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone)]
#[repr(C)]
pub(super) struct EntryV1 {
    uncompressed: U64,
    compressed: U64,
}
const _: () = assert!(size_of::<EntryV1>() == 16);

/// | word | bits | field |
/// |---|---|---|
/// | 0 | 63–56 | flags |
/// | | 55–32 | length − 1 |
/// | | 31–0 | offset in the decompressed blob in blocks of 4096 |
/// | 1 | 63–40 | stored length |
/// | | 39–0 | offset in the blob |
/// | 2 | 63–32 | of a member of a batch or context: number of the batch or context |
/// | | 31–0 | of such a member: offset in its plain bytes; else CRC-32C |
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone)]
#[repr(C)]
pub(super) struct EntryV2 {
    uncompressed: U64,
    compressed: U64,
    data: U64,
}
const _: () = assert!(size_of::<EntryV2>() == 24);

const V2_COMPRESSED: u64 = 0x1;
const V2_ZRAN: u64 = 0x2;
const V2_BATCH: u64 = 0x4;
const V2_ENCRYPTED: u64 = 0x8;
const V2_HAS_CRC32: u64 = 0x10;

const V2_FLAGS: [(u64, ChunkFlags); 4] = [
    (V2_COMPRESSED, ChunkFlags::COMPRESSED),
    (V2_BATCH, ChunkFlags::BATCH),
    (V2_ENCRYPTED, ChunkFlags::ENCRYPTED),
    (V2_HAS_CRC32, ChunkFlags::HAS_CRC32),
];

/// `count` bits of a word from bit `low` on; 32 bits at most.
fn bits(word: u64, low: u32, count: u32) -> u32 {
    let mask = u64::from(u32::MAX.unbounded_shr(32_u32.saturating_sub(count)));
    // The mask leaves 32 bits at most.
    u32::try_from(word.unbounded_shr(low) & mask).unwrap_or_default()
}

const OFFSET_MASK: u64 = limits::MAX_COMPRESSED_BLOB.saturating_sub(1);

impl EntryV1 {
    pub(super) fn new(chunk: &Chunk) -> Self {
        // Lengths are 1 to 2²⁴, offsets below 2⁴⁴ and 2⁴⁰: checked before.
        let length = u64::from(chunk.uncompressed_size.saturating_sub(1));
        let stored = u64::from(chunk.compressed_size.saturating_sub(1));
        let (low, high) = (|size: u64| (size & 0xf_ffff) << 44, |size: u64| size >> 20);
        Self {
            uncompressed: (low(length) | chunk.uncompressed_offset | (high(length) << 8)).into(),
            compressed: (low(stored) | (high(stored) << 40) | chunk.compressed_offset).into(),
        }
    }

    pub(super) fn chunk(&self) -> Chunk {
        let (plain, stored) = (self.uncompressed.get(), self.compressed.get());
        let size = |low: u32, high: u32| (high.unbounded_shl(20) | low).saturating_add(1);
        let uncompressed_size = size(bits(plain, 44, 20), bits(plain, 8, 4));
        let compressed_size = size(bits(stored, 44, 20), bits(stored, 40, 4));
        let mut flags = ChunkFlags::empty();
        flags.set(ChunkFlags::COMPRESSED, compressed_size != uncompressed_size);
        Chunk {
            digest: ChunkDigest::default(),
            flags,
            compressed_size,
            uncompressed_size,
            compressed_offset: stored & OFFSET_MASK,
            uncompressed_offset: u64::from(bits(plain, 12, 32)).saturating_mul(ALIGNMENT),
            crc32: 0,
        }
    }
}

impl EntryV2 {
    /// Lengths and offsets are what [`Cursor`] lets pass. `place`: number of the batch and offset in it, of a member.
    pub(super) fn new(chunk: &Chunk, place: (u32, u32)) -> Self {
        let has = |flag| chunk.flags.contains(flag);
        let flags = V2_FLAGS.iter().filter(|(_, flag)| has(*flag)).fold(0, |bits, (bit, _)| bits | bit);
        let length = u64::from(chunk.uncompressed_size.saturating_sub(1));
        let data = if has(ChunkFlags::BATCH) {
            (u64::from(place.0) << 32) | u64::from(place.1)
        } else {
            u64::from(chunk.crc32)
        };
        let block = chunk.uncompressed_offset >> 12;
        Self {
            uncompressed: ((flags << 56) | (length << 32) | block).into(),
            compressed: ((u64::from(chunk.compressed_size) << 40) | chunk.compressed_offset).into(),
            data: data.into(),
        }
    }

    /// Of a chunk in a zran context; `place`: number of the context and offset in what it gives.
    pub(super) fn of_zran(chunk: &Chunk, place: (u32, u32)) -> Self {
        let plain = Chunk { flags: ChunkFlags::empty(), ..*chunk };
        let entry = Self::new(&plain, (0, 0));
        Self {
            uncompressed: (entry.uncompressed.get() | ((V2_COMPRESSED | V2_ZRAN) << 56)).into(),
            data: ((u64::from(place.0) << 32) | u64::from(place.1)).into(),
            ..entry
        }
    }

    /// The chunk of an entry of a zran blob.
    pub(super) fn zran_chunk(&self) -> Result<Chunk, EntryProblem> {
        let (plain, stored) = (self.uncompressed.get(), self.compressed.get());
        let flags = bits(plain, 56, 8);
        if u64::from(flags) != V2_COMPRESSED | V2_ZRAN {
            return Err(EntryProblem::Flags { bits: flags });
        }
        Ok(Chunk {
            digest: ChunkDigest::default(),
            flags: ChunkFlags::COMPRESSED,
            compressed_size: bits(stored, 40, 24),
            uncompressed_size: bits(plain, 32, 24).saturating_add(1),
            compressed_offset: stored & OFFSET_MASK,
            uncompressed_offset: u64::from(bits(plain, 0, 32)).saturating_mul(ALIGNMENT),
            crc32: 0,
        })
    }

    /// Number of the batch or context and offset in it, of a member of one.
    pub(super) fn place(&self) -> (u32, u32) {
        (bits(self.data.get(), 32, 32), bits(self.data.get(), 0, 32))
    }

    /// The chunk of an entry of a blob without batches.
    pub(super) fn chunk(&self) -> Result<Chunk, EntryProblem> {
        let chunk = self.chunk_or_member()?;
        if chunk.flags.contains(ChunkFlags::BATCH) {
            return Err(EntryProblem::Flags { bits: bits(self.uncompressed.get(), 56, 8) });
        }
        Ok(chunk)
    }

    /// The chunk of an entry of any blob but a zran one.
    pub(super) fn chunk_or_member(&self) -> Result<Chunk, EntryProblem> {
        let (plain, stored) = (self.uncompressed.get(), self.compressed.get());
        let bits_of_flags = u64::from(bits(plain, 56, 8));
        let mut flags = ChunkFlags::empty();
        let mut left = bits_of_flags;
        for (bit, flag) in V2_FLAGS {
            flags.set(flag, left & bit != 0);
            left &= !bit;
        }
        // A member of a batch has another use for the place of the checksum.
        if left != 0 || flags.contains(ChunkFlags::BATCH | ChunkFlags::HAS_CRC32) {
            return Err(EntryProblem::Flags { bits: bits(plain, 56, 8) });
        }
        let crc32 = if flags.contains(ChunkFlags::HAS_CRC32) { bits(self.data.get(), 0, 32) } else { 0 };
        if flags.contains(ChunkFlags::HAS_CRC32) && crc32 == 0 {
            return Err(EntryProblem::Crc);
        }
        Ok(Chunk {
            digest: ChunkDigest::default(),
            flags,
            compressed_size: bits(stored, 40, 24),
            uncompressed_size: bits(plain, 32, 24).saturating_add(1),
            compressed_offset: stored & OFFSET_MASK,
            uncompressed_offset: u64::from(bits(plain, 0, 32)).saturating_mul(ALIGNMENT),
            crc32,
        })
    }
}

/// What the chunks so far leave to the next one.
#[derive(Default)]
pub(super) struct Cursor {
    pub(super) uncompressed: u64,
    compressed: u64,
}

impl Cursor {
    /// Checks that a chunk fits its fields and follows the ones before, and goes past it.
    pub(super) fn pass(&mut self, chunk: &Chunk) -> Result<(), EntryProblem> {
        let (compressed, uncompressed) = (chunk.compressed_size, chunk.uncompressed_size);
        if uncompressed == 0 || uncompressed > limits::MAX_CHUNK_SIZE || compressed == 0 {
            return Err(EntryProblem::Size { compressed, uncompressed });
        }
        // Encryption may add some bytes, compression never does.
        let fits =
            match (chunk.flags.contains(ChunkFlags::ENCRYPTED), chunk.flags.contains(ChunkFlags::COMPRESSED))
            {
                (true, _) => true,
                (false, true) => compressed < uncompressed,
                (false, false) => compressed == uncompressed,
            };
        if !fits {
            return Err(EntryProblem::Size { compressed, uncompressed });
        }
        self.pass_plain(chunk)?;
        let end = self.check_stored(chunk.compressed_offset, compressed)?;
        self.compressed = end;
        Ok(())
    }

    /// As [`Cursor::pass`] for a member of a batch; `batch` as its context says, and `fresh` if this is the first
    /// member, which decides where the batch begins.
    pub(super) fn pass_member(
        &mut self,
        chunk: &Chunk,
        offset: u32,
        fresh: bool,
        batch: &mut Batch,
    ) -> Result<(), EntryProblem> {
        let (compressed, uncompressed) = (chunk.compressed_size, chunk.uncompressed_size);
        let end = offset.checked_add(uncompressed);
        if uncompressed == 0 || compressed != 0 || end.is_none_or(|end| end > batch.uncompressed_size) {
            return Err(EntryProblem::Size { compressed, uncompressed });
        }
        self.pass_plain(chunk)?;
        if fresh {
            self.compressed = self.check_stored(chunk.compressed_offset, batch.compressed_size)?;
            batch.compressed_offset = chunk.compressed_offset;
        } else if chunk.compressed_offset != batch.compressed_offset {
            let (expected, actual) = (batch.compressed_offset, chunk.compressed_offset);
            return Err(EntryProblem::CompressedOffset { expected, actual });
        }
        Ok(())
    }

    /// As [`Cursor::pass`] for a chunk in a zran context, whose place in the gzip stream is not the end of another's.
    pub(super) fn pass_zran(&mut self, chunk: &Chunk) -> Result<(), EntryProblem> {
        let (compressed, uncompressed) = (chunk.compressed_size, chunk.uncompressed_size);
        if uncompressed == 0 || uncompressed > limits::MAX_CHUNK_SIZE || compressed >= limits::MAX_CHUNK_SIZE
        {
            return Err(EntryProblem::Size { compressed, uncompressed });
        }
        if self.uncompressed >= limits::MAX_UNCOMPRESSED_BLOB {
            let (expected, actual) = (limits::MAX_UNCOMPRESSED_BLOB, chunk.uncompressed_offset);
            return Err(EntryProblem::UncompressedOffset { expected, actual });
        }
        self.pass_plain(chunk)?;
        self.check_stored(chunk.compressed_offset, compressed).map(drop)
    }

    fn pass_plain(&mut self, chunk: &Chunk) -> Result<(), EntryProblem> {
        if chunk.uncompressed_offset != self.uncompressed {
            let (expected, actual) = (self.uncompressed, chunk.uncompressed_offset);
            return Err(EntryProblem::UncompressedOffset { expected, actual });
        }
        // Past the last place that can be addressed the next chunk fails.
        let end = chunk.uncompressed_offset.saturating_add(chunk.uncompressed_size.into());
        self.uncompressed = end.next_multiple_of(ALIGNMENT);
        Ok(())
    }

    /// The end of `length` stored bytes that begin at `offset`.
    fn check_stored(&self, offset: u64, length: u32) -> Result<u64, EntryProblem> {
        let end = offset.saturating_add(length.into());
        if offset < self.compressed || end > limits::MAX_COMPRESSED_BLOB {
            return Err(EntryProblem::CompressedOffset { expected: self.compressed, actual: offset });
        }
        Ok(end)
    }
}
