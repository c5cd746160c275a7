//! The compression information (CI) of a blob: where each chunk lies, in the blob and in the decompressed blob.
//!
//! ```text
//! | entry 0 | entry 1 | … | tables of batches or zran contexts |  stored as one compressed item: the payload
//! | header, 4096 bytes                                         |  stored plain, right behind it
//! ```
//!
//! An entry of version 1 has 16 bytes, one of version 2 has 24: flags of its own, and a checksum.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::batch;
use super::entry::{Cursor, EntryV1, EntryV2};
pub use super::information::{ChunkInformation, parse, write};
use super::{EntryProblem, MetaError};
use crate::{BlobFeatures, Chunk, ChunkFlags, CiLocation, Compressor, limits};

/// Length of the header in bytes.
pub const HEADER_LEN: usize = 4096;

const HEADER: &str = "header of the chunk information";
pub(super) const PAYLOAD: &str = "chunk information";
const MAGIC: u32 = 0xb10b_b10b;
/// Feature bits that nobody defined and that readers refuse.
const UNKNOWN_FEATURES: u32 = 0x8000_f000;
/// Length of one batch or zran context.
pub(super) const CONTEXT_LEN: u64 = batch::CONTEXT_LEN as u64;

/// | offset | size | field |
/// |---|---|---|
/// | 0 | 4 | magic `0xb10bb10b` |
/// | 4 | 4 | features of the blob |
/// | 8 | 4 | compressor of the payload |
/// | 12 | 4 | number of entries |
/// | 16 | 8 | offset of the payload |
/// | 24 | 8 | its stored length |
/// | 32 | 8 | its plain length |
/// | 40 | 8 | offset of the batch or zran table in the plain payload |
/// | 48 | 8 | its length |
/// | 56 | 4 | its entries |
/// | 60 | 4032 | reserved |
/// | 4092 | 4 | magic again |
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone)]
#[repr(C)]
struct Raw {
    magic: U32,
    features: U32,
    compressor: U32,
    entries: U32,
    offset: U64,
    compressed_size: U64,
    uncompressed_size: U64,
    table_offset: U64,
    table_size: U64,
    table_entries: U32,
    reserved: [u8; 4032],
    magic_end: U32,
}
const _: () = assert!(size_of::<Raw>() == HEADER_LEN);

/// What the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CiHeader {
    /// Feature bits of the blob, the same as in blob tables.
    pub features: BlobFeatures,
    /// Number of chunks.
    pub entries: u32,
    /// How and where the payload is stored.
    pub location: CiLocation,
    /// The table behind the entries, all zeros if there is none.
    pub table: CiTable,
}

/// Where the batch or zran contexts lie in the plain payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CiTable {
    /// Offset in the plain payload.
    pub offset: u64,
    /// Length in bytes, zran dictionaries included.
    pub size: u64,
    /// Number of contexts.
    pub entries: u32,
}

impl CiHeader {
    /// The bytes of the header.
    pub fn write(&self) -> [u8; HEADER_LEN] {
        let raw = Raw {
            magic: MAGIC.into(),
            features: self.features.bits().into(),
            compressor: self.location.compressor.id().into(),
            entries: self.entries.into(),
            offset: self.location.offset.into(),
            compressed_size: self.location.compressed_size.into(),
            uncompressed_size: self.location.uncompressed_size.into(),
            table_offset: self.table.offset.into(),
            table_size: self.table.size.into(),
            table_entries: self.table.entries.into(),
            reserved: [0; 4032],
            magic_end: MAGIC.into(),
        };
        zerocopy::transmute!(raw)
    }

    /// Reads a header of exactly [`HEADER_LEN`] bytes and checks that its fields fit each other. Whether the payload
    /// lies inside the blob is the caller's to check.
    pub fn parse(bytes: &[u8]) -> Result<Self, MetaError> {
        let raw = Raw::read_from_bytes(bytes).map_err(|_| MetaError::Length {
            structure: HEADER,
            expected: HEADER_LEN as u64,
            actual: bytes.len() as u64,
        })?;
        let field = |field, offset, value| MetaError::Field { structure: HEADER, offset, field, value };
        for (offset, magic) in [(0, raw.magic.get()), (4092, raw.magic_end.get())] {
            if magic != MAGIC {
                return Err(field("magic", offset, magic.into()));
            }
        }
        let features = raw.features.get();
        if features & UNKNOWN_FEATURES != 0 {
            return Err(field("features", 4, features.into()));
        }
        let compressor = Compressor::from_id(raw.compressor.get()).ok_or(field(
            "compressor",
            8,
            raw.compressor.get().into(),
        ))?;
        let header = Self {
            features: BlobFeatures::from_bits_retain(features),
            entries: raw.entries.get(),
            location: CiLocation {
                compressor,
                offset: raw.offset.get(),
                compressed_size: raw.compressed_size.get(),
                uncompressed_size: raw.uncompressed_size.get(),
            },
            table: CiTable {
                offset: raw.table_offset.get(),
                size: raw.table_size.get(),
                entries: raw.table_entries.get(),
            },
        };
        header.check()?;
        Ok(header)
    }

    fn check(&self) -> Result<(), MetaError> {
        let field = |field, offset, value| Err(MetaError::Field { structure: HEADER, offset, field, value });
        if self.entries == 0 || self.entries > limits::MAX_CHUNKS_PER_BLOB {
            return field("number of entries", 12, self.entries.into());
        }
        let at = &self.location;
        if at.offset.checked_add(at.compressed_size).is_none_or(|end| end > limits::MAX_COMPRESSED_BLOB) {
            return field("offset", 16, at.offset);
        }
        if at.compressed_size > at.uncompressed_size {
            return field("stored length", 24, at.compressed_size);
        }
        let entries = self.entries_size();
        let size = at.uncompressed_size;
        let fits = if self.has_table() { size >= entries } else { size == entries };
        if !fits || size > limits::MAX_CHUNK_INFORMATION {
            return field("plain length", 32, size);
        }
        let table = &self.table;
        let contexts = u64::from(table.entries).saturating_mul(CONTEXT_LEN);
        let inside = table.offset.checked_add(table.size).is_some_and(|end| end <= size);
        if self.has_table() && !(inside && table.offset == entries && contexts <= table.size) {
            return field("table", 40, table.offset);
        }
        Ok(())
    }

    fn has_table(&self) -> bool {
        self.features.intersects(BlobFeatures::BATCH | BlobFeatures::ZRAN)
    }

    /// Length of one entry.
    fn entry_len(&self) -> usize {
        match self.features.contains(BlobFeatures::CHUNK_INFO_V2) || self.has_table() {
            true => size_of::<EntryV2>(),
            false => size_of::<EntryV1>(),
        }
    }

    /// Length of all entries.
    pub(super) fn entries_size(&self) -> u64 {
        u64::from(self.entries).saturating_mul(self.entry_len() as u64)
    }
}

/// The entries of a whole blob, version 1, 16 bytes each. Chunks are given in order of their numbers; checksums have no
/// place in them.
pub fn write_entries(chunks: &[Chunk]) -> Result<Vec<u8>, MetaError> {
    let (count, max) = (chunks.len() as u64, u64::from(limits::MAX_CHUNKS_PER_BLOB));
    if count > max {
        return Err(MetaError::TooMany { structure: PAYLOAD, count, max });
    }
    let mut bytes = Vec::with_capacity(chunks.len().saturating_mul(size_of::<EntryV1>()));
    let mut cursor = Cursor::default();
    for (index, chunk) in (0..).zip(chunks) {
        let offset = bytes.len() as u64;
        let at = |problem| MetaError::Chunk { offset, index, problem };
        let allowed = ChunkFlags::COMPRESSED | ChunkFlags::HAS_CRC32;
        if !allowed.contains(chunk.flags) {
            return Err(at(EntryProblem::Flags { bits: chunk.flags.bits() }));
        }
        cursor.pass(chunk).map_err(at)?;
        // A whole blob has less than 2⁴⁴ bytes; beyond that the field overflows.
        if cursor.uncompressed >= limits::MAX_UNCOMPRESSED_BLOB {
            let (expected, actual) = (limits::MAX_UNCOMPRESSED_BLOB, chunk.uncompressed_offset);
            return Err(at(EntryProblem::UncompressedOffset { expected, actual }));
        }
        bytes.extend_from_slice(EntryV1::new(chunk).as_bytes());
    }
    Ok(bytes)
}

/// Reads the entries of a plain payload, version 1 or 2. Digests stay zero: they lie elsewhere. Chunks must follow each
/// other without gaps in the decompressed blob and in ascending order in the blob. Batches, which [`parse`] reads,
/// and zran contexts are refused.
pub fn parse_entries(payload: &[u8], header: &CiHeader) -> Result<Vec<Chunk>, MetaError> {
    if header.features.contains(BlobFeatures::BATCH) {
        return Err(MetaError::Unsupported { what: "batches of small chunks" });
    }
    if header.features.contains(BlobFeatures::ZRAN) {
        return Err(MetaError::Unsupported { what: "chunks of an unmodified gzip layer (zran)" });
    }
    let (expected, actual) = (header.entries_size(), payload.len() as u64);
    if expected != actual {
        return Err(MetaError::Length { structure: PAYLOAD, expected, actual });
    }
    if header.entry_len() == size_of::<EntryV2>() {
        let (raws, _) = payload.as_chunks();
        follow(raws, |raw: &[u8; size_of::<EntryV2>()]| EntryV2::chunk(&zerocopy::transmute!(*raw)))
    } else {
        let (raws, _) = payload.as_chunks();
        follow(raws, |raw: &[u8; size_of::<EntryV1>()]| Ok(EntryV1::chunk(&zerocopy::transmute!(*raw))))
    }
}

/// Reads entries and checks that each follows the one before.
fn follow<const N: usize>(
    raws: &[[u8; N]],
    read: impl Fn(&[u8; N]) -> Result<Chunk, EntryProblem>,
) -> Result<Vec<Chunk>, MetaError> {
    let mut cursor = Cursor::default();
    let mut chunks = Vec::with_capacity(raws.len());
    for (index, raw) in (0_u32..).zip(raws) {
        let offset = u64::from(index).saturating_mul(N as u64);
        let at = |problem| MetaError::Chunk { offset, index, problem };
        let chunk = read(raw).map_err(at)?;
        cursor.pass(&chunk).map_err(at)?;
        chunks.push(chunk);
    }
    Ok(chunks)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
    #![allow(clippy::cast_possible_truncation)]
    use proptest::prelude::*;

    use super::*;

    /// Chunks with these plain and stored lengths, laid out as a writer does.
    fn chunks(sizes: &[(u32, u32)]) -> Vec<Chunk> {
        let (mut compressed, mut uncompressed) = (0, 0);
        let place = |&(uncompressed_size, compressed_size): &(u32, u32)| {
            let mut flags = ChunkFlags::empty();
            flags.set(ChunkFlags::COMPRESSED, compressed_size != uncompressed_size);
            let chunk = Chunk {
                flags,
                compressed_size,
                uncompressed_size,
                compressed_offset: compressed,
                uncompressed_offset: uncompressed,
                ..Chunk::default()
            };
            compressed += u64::from(compressed_size);
            uncompressed += u64::from(uncompressed_size).next_multiple_of(4096);
            chunk
        };
        sizes.iter().map(place).collect()
    }

    fn header(entries: u32, payload: usize) -> CiHeader {
        let size = payload as u64;
        let location = CiLocation {
            compressor: Compressor::None,
            offset: 0x1000,
            compressed_size: size,
            uncompressed_size: size,
        };
        let features = BlobFeatures::ALIGNED | BlobFeatures::CAP_TAR_TOC;
        CiHeader { features, entries, location, table: CiTable::default() }
    }

    fn v2(words: &[[u64; 3]]) -> Vec<u8> {
        words.iter().flatten().flat_map(|word| word.to_le_bytes()).collect()
    }

    fn parse_v2(words: &[[u64; 3]]) -> Result<Vec<Chunk>, MetaError> {
        let payload = v2(words);
        let mut header = header(words.len() as u32, payload.len());
        header.features |= BlobFeatures::CHUNK_INFO_V2;
        parse_entries(&payload, &header)
    }

    #[test]
    fn bits_of_version_1_lie_where_readers_look() {
        let mut all = chunks(&[(0x100_0000, 0xab_cdef), (1, 1)]);
        all[1].compressed_offset = 0x12_3456_789a;
        let bytes = write_entries(&all).unwrap();
        let words: Vec<u64> = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
        assert_eq!(
            words,
            [0xffff_f000_0000_0f00, 0xbcde_ea00_0000_0000, 0x0000_0000_0100_0000, 0x0000_0012_3456_789a]
        );
        assert_eq!(parse_entries(&bytes, &header(2, bytes.len())).unwrap(), all);
    }

    #[test]
    fn version_2_has_flags_and_checksums() {
        let parsed = parse_v2(&[
            [0x11 << 56 | 0xfff << 32, 0x100 << 40 | 0x20, 0xdead_beef],
            [0x99 << 32 | 1, 0x9a << 40 | 0x120, 0],
            [0x09 << 56 | 0x9 << 32 | 2, 0x12 << 40 | 0x1ba, 0],
        ])
        .unwrap();
        let flags: Vec<ChunkFlags> = parsed.iter().map(|chunk| chunk.flags).collect();
        assert_eq!(
            flags,
            [
                ChunkFlags::COMPRESSED | ChunkFlags::HAS_CRC32,
                ChunkFlags::empty(),
                ChunkFlags::COMPRESSED | ChunkFlags::ENCRYPTED
            ]
        );
        assert_eq!(parsed[0].crc32, 0xdead_beef);
        assert_eq!((parsed[0].uncompressed_size, parsed[0].compressed_size), (0x1000, 0x100));
        assert_eq!((parsed[2].uncompressed_offset, parsed[2].compressed_offset), (0x2000, 0x1ba));
    }

    #[test]
    fn entries_that_lie_are_refused() {
        for words in [
            [0x10 << 56, 1 << 40, 0],         // a checksum of zero
            [0x02 << 56, 1 << 40, 0],         // zran
            [0x04 << 56, 1 << 40, 0],         // batch
            [0x01 << 56, 1 << 40, 0],         // compressed, and no smaller for it
            [0, 0, 0],                        // no stored bytes
            [0, 2 << 40, 0],                  // lengths differ, but not compressed
            [1, 1 << 40, 0],                  // a gap at the start
            [0, 1 << 40 | 0xff_ffff_ffff, 0], // beyond 2⁴⁰
        ] {
            let refused = matches!(parse_v2(&[words]), Err(MetaError::Chunk { offset: 0, index: 0, .. }));
            assert_eq!(refused, words[1] != 1 << 40 | 0xff_ffff_ffff, "{words:x?}");
        }
        let fine = [0, 1 << 40 | 5, 0];
        for second in [[0, 1 << 40 | 6, 0], [2, 1 << 40 | 6, 0], [1, 1 << 40 | 5, 0], [1, 1 << 40, 0]] {
            let error = parse_v2(&[fine, second]).unwrap_err();
            assert!(matches!(error, MetaError::Chunk { offset: 24, index: 1, .. }), "{error}");
        }
        assert!(parse_v2(&[fine, [1, 1 << 40 | 600, 0]]).is_ok());
    }

    #[test]
    fn chunks_that_no_entry_can_hold_are_refused() {
        let change = |change: &dyn Fn(&mut Chunk)| {
            let mut all = chunks(&[(4096, 100), (4096, 4096)]);
            change(&mut all[1]);
            write_entries(&all)
        };
        assert!(change(&|_| ()).is_ok());
        let changes: [&dyn Fn(&mut Chunk); 10] = [
            &|chunk| chunk.uncompressed_size = 0,
            &|chunk| chunk.uncompressed_size = 0x100_0001,
            &|chunk| chunk.compressed_size = 0,
            &|chunk| chunk.compressed_size = 5000,
            &|chunk| chunk.compressed_offset = 99,
            &|chunk| chunk.compressed_offset = 1 << 40,
            &|chunk| chunk.uncompressed_offset = 8192,
            &|chunk| chunk.flags = ChunkFlags::COMPRESSED,
            &|chunk| chunk.flags = ChunkFlags::BATCH,
            &|chunk| chunk.flags = ChunkFlags::ENCRYPTED,
        ];
        for (number, bad) in changes.iter().enumerate() {
            assert!(matches!(change(bad), Err(MetaError::Chunk { index: 1, .. })), "{number}");
        }
        // A checksum simply has no place.
        assert!(change(&|chunk| chunk.flags = ChunkFlags::HAS_CRC32).is_ok());
    }

    #[test]
    fn headers_are_read_and_checked() {
        let mut fine = header(2, 80);
        fine.features |= BlobFeatures::CHUNK_INFO_V2 | BlobFeatures::BATCH;
        fine.location.uncompressed_size = 88;
        fine.table = CiTable { offset: 48, size: 40, entries: 1 };
        let bytes = fine.write();
        assert_eq!(CiHeader::parse(&bytes).unwrap(), fine);
        assert!(
            parse_entries(&[0; 88], &fine).is_err_and(|error| matches!(error, MetaError::Unsupported { .. }))
        );

        assert!(matches!(CiHeader::parse(&bytes[1..]), Err(MetaError::Length { actual: 4095, .. })));
        for (position, value) in [
            (0, 0),
            (4095, 0),
            (5, 0x10),
            (7, 0x80),
            (8, 4),
            (12, 0),
            (15, 1),
            (22, 2),
            (24, 89),
            (32, 47),
            (40, 47),
            (48, 41),
            (56, 2),
        ] {
            let mut bad = bytes;
            bad[position] = value;
            let error = CiHeader::parse(&bad).unwrap_err();
            assert!(matches!(error, MetaError::Field { .. }), "{position}: {error}");
        }
        let plain = header(5, 80);
        assert_eq!(CiHeader::parse(&plain.write()).unwrap(), plain);
        assert!(CiHeader::parse(&header(4, 80).write()).is_err());
        assert!(matches!(parse_entries(&[0; 79], &plain), Err(MetaError::Length { actual: 79, .. })));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            sizes in prop::collection::vec(
                (1_u32..=limits::MAX_CHUNK_SIZE).prop_flat_map(|size| (Just(size), 1..=size)),
                1..50,
            )
        ) {
            let chunks = chunks(&sizes);
            let bytes = write_entries(&chunks).unwrap();
            prop_assert_eq!(parse_entries(&bytes, &header(chunks.len() as u32, bytes.len())).unwrap(), chunks);
        }

        #[test]
        fn arbitrary_bytes_are_read_or_refused(payload in prop::collection::vec(any::<u8>(), 0..240), v2: bool) {
            let entry = if v2 { 24 } else { 16 };
            let mut header = header((payload.len() / entry) as u32, payload.len());
            header.features.set(BlobFeatures::CHUNK_INFO_V2, v2);
            if let Ok(chunks) = parse_entries(&payload, &header) {
                prop_assert_eq!(chunks.len() * entry, payload.len());
                if !v2 {
                    prop_assert_eq!(parse_entries(&write_entries(&chunks).unwrap(), &header).unwrap(), chunks);
                }
            }
        }
    }
}
