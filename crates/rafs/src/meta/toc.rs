//! The table of contents of a blob: its sections, in order.
//!
//! ```text
//! 0       4     8              24                56       64         72        80            128
//! | flags | 0   | name         | SHA-256         | offset | stored   | plain   | zeros       |
//! ```

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::MetaError;
use crate::{Compressor, display_bytes, limits};

/// Length of an entry in bytes.
pub const ENTRY_LEN: usize = 128;

const STRUCTURE: &str = "table of contents";
const NAME_LEN: usize = 16;

/// | offset | size | field |
/// |---|---|---|
/// | 0 | 4 | compressor: 1 none, 2 zstd, 4 lz4 block |
/// | 4 | 4 | reserved |
/// | 8 | 16 | name, filled up with NULs |
/// | 24 | 32 | SHA-256 of the plain section |
/// | 56 | 8 | offset in the blob |
/// | 64 | 8 | stored length |
/// | 72 | 8 | plain length |
/// | 80 | 48 | reserved |
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone)]
#[repr(C)]
struct Raw {
    flags: U32,
    reserved: U32,
    name: [u8; NAME_LEN],
    digest: [u8; 32],
    offset: U64,
    compressed_size: U64,
    uncompressed_size: U64,
    reserved2: [u8; 48],
}
const _: () = assert!(size_of::<Raw>() == ENTRY_LEN);

const FLAGS: [(u32, Compressor); 3] =
    [(1, Compressor::None), (2, Compressor::Zstd), (4, Compressor::Lz4Block)];

/// A section of a blob, as the table of contents at the blob's end lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TocEntry {
    /// Its name, 1 to 16 bytes; see [`section`](super::section).
    pub name: String,
    /// How it is stored: none, zstd or lz4 block.
    pub compressor: Compressor,
    /// SHA-256 of its plain bytes. That of `image.blob` covers the section header, too.
    pub digest: [u8; 32],
    /// Where it lies in the blob.
    pub offset: u64,
    /// Stored length in bytes.
    pub compressed_size: u64,
    /// Plain length in bytes. That of `image.blob` is the size of the decompressed blob.
    pub uncompressed_size: u64,
}

/// The bytes of a table.
pub fn write(entries: &[TocEntry]) -> Result<Vec<u8>, MetaError> {
    check_count(entries.len())?;
    let mut bytes = Vec::with_capacity(entries.len().saturating_mul(ENTRY_LEN));
    for (number, entry) in entries.iter().enumerate() {
        let earlier = entries.get(..number).unwrap_or_default();
        check_name(&entry.name, earlier, number)?;
        let flags = FLAGS.iter().find(|(_, compressor)| *compressor == entry.compressor);
        let (flags, _) = flags.ok_or_else(|| MetaError::TocCompressor {
            name: entry.name.clone(),
            compressor: entry.compressor,
        })?;
        let mut name = [0; NAME_LEN];
        name.iter_mut().zip(entry.name.bytes()).for_each(|(to, from)| *to = from);
        let raw = Raw {
            flags: (*flags).into(),
            reserved: 0.into(),
            name,
            digest: entry.digest,
            offset: entry.offset.into(),
            compressed_size: entry.compressed_size.into(),
            uncompressed_size: entry.uncompressed_size.into(),
            reserved2: [0; 48],
        };
        bytes.extend_from_slice(raw.as_bytes());
    }
    Ok(bytes)
}

/// Reads a table. Names are there once; offsets and lengths do not wrap around, but may lie outside the blob.
pub fn parse(bytes: &[u8]) -> Result<Vec<TocEntry>, MetaError> {
    let (raws, rest) = bytes.as_chunks::<ENTRY_LEN>();
    if !rest.is_empty() {
        let (expected, actual) = (bytes.len().saturating_sub(rest.len()) as u64, bytes.len() as u64);
        return Err(MetaError::Length { structure: STRUCTURE, expected, actual });
    }
    check_count(raws.len())?;
    let mut entries: Vec<TocEntry> = Vec::with_capacity(raws.len());
    for (number, raw) in raws.iter().enumerate() {
        let raw: Raw = zerocopy::transmute!(*raw);
        let field = |field, at, value| {
            Err(MetaError::Field { structure: STRUCTURE, offset: offset_of(number, at), field, value })
        };
        let flags = raw.flags.get();
        let Some((_, compressor)) = FLAGS.iter().find(|(bits, _)| *bits == flags) else {
            return field("flags", 0, flags.into());
        };
        let (offset, compressed_size) = (raw.offset.get(), raw.compressed_size.get());
        // Chunks that lie elsewhere: the reference lets them end where the blob begins.
        let is_elsewhere = number == 0 && offset.wrapping_add(compressed_size) == 0;
        if offset.checked_add(compressed_size).is_none() && !is_elsewhere {
            return field("stored length", 64, compressed_size);
        }
        entries.push(TocEntry {
            name: parse_name(&raw.name, &entries, number)?,
            compressor: *compressor,
            digest: raw.digest,
            offset,
            compressed_size,
            uncompressed_size: raw.uncompressed_size.get(),
        });
    }
    Ok(entries)
}

fn offset_of(number: usize, at: u64) -> u64 {
    (number as u64).saturating_mul(ENTRY_LEN as u64).saturating_add(at)
}

fn check_count(count: usize) -> Result<(), MetaError> {
    let (count, max) = (count as u64, limits::MAX_TOC_ENTRIES as u64);
    if count > max { Err(MetaError::TooMany { structure: STRUCTURE, count, max }) } else { Ok(()) }
}

fn parse_name(field: &[u8; NAME_LEN], earlier: &[TocEntry], number: usize) -> Result<String, MetaError> {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(NAME_LEN);
    let (name, padding) = field.split_at_checked(end).unwrap_or_default();
    match str::from_utf8(name) {
        Ok(text) if padding.iter().all(|byte| *byte == 0) => {
            check_name(text, earlier, number)?;
            Ok(text.to_owned())
        }
        _ => Err(bad_name(field, number)),
    }
}

fn check_name(name: &str, earlier: &[TocEntry], number: usize) -> Result<(), MetaError> {
    let fits = (1..=NAME_LEN).contains(&name.len()) && !name.contains('\0');
    if fits && !earlier.iter().any(|entry| entry.name == name) {
        Ok(())
    } else {
        Err(bad_name(name.as_bytes(), number))
    }
}

fn bad_name(name: &[u8], number: usize) -> MetaError {
    let name = display_bytes(name).to_string();
    MetaError::Name { structure: STRUCTURE, offset: offset_of(number, 8), name }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
    use super::super::section;
    use super::*;

    fn entry(name: &str, compressor: Compressor) -> TocEntry {
        TocEntry {
            name: name.to_owned(),
            compressor,
            digest: [7; 32],
            offset: 0x1122,
            compressed_size: 0x33,
            uncompressed_size: 0x44,
        }
    }

    #[test]
    fn fields_lie_where_readers_look() {
        let bytes = write(&[entry(section::BLOB_META_HEADER, Compressor::Zstd)]).unwrap();
        assert_eq!(bytes.len(), ENTRY_LEN);
        assert_eq!(&bytes[..8], &[2, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(&bytes[8..24], b"blob.meta.header");
        assert_eq!(&bytes[24..56], &[7; 32]);
        assert_eq!(
            &bytes[56..80],
            &[0x22, 0x11, 0, 0, 0, 0, 0, 0, 0x33, 0, 0, 0, 0, 0, 0, 0, 0x44, 0, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(&bytes[80..], &[0; 48]);
    }

    #[test]
    fn what_is_written_is_read() {
        let entries = [
            entry(section::IMAGE_BLOB, Compressor::None),
            entry(section::BLOB_META, Compressor::Lz4Block),
            entry(section::BLOB_META_HEADER, Compressor::None),
            entry(section::IMAGE_BOOT, Compressor::Zstd),
        ];
        assert_eq!(parse(&write(&entries).unwrap()).unwrap(), entries);
        assert_eq!(parse(&[]).unwrap(), []);
    }

    #[test]
    fn what_cannot_be_written_is_refused() {
        let none = Compressor::None;
        for bad in [
            vec![entry("image.boot", Compressor::Gzip)],
            vec![entry("", none)],
            vec![entry("seventeen letters", none)],
            vec![entry("a\0b", none)],
            vec![entry("twice", none), entry("once", none), entry("twice", none)],
            (0..=limits::MAX_TOC_ENTRIES).map(|number| entry(&number.to_string(), none)).collect(),
        ] {
            assert!(write(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn damage_is_refused() {
        let good = write(&[entry("one", Compressor::None), entry("two", Compressor::None)]).unwrap();
        assert!(matches!(parse(&good[..200]), Err(MetaError::Length { actual: 200, .. })));
        let many = good[..ENTRY_LEN].repeat(limits::MAX_TOC_ENTRIES + 1);
        assert!(matches!(parse(&many), Err(MetaError::TooMany { .. })));
        assert!(matches!(parse(&good[..ENTRY_LEN].repeat(2)), Err(MetaError::Name { offset: 136, .. })));
        for (position, value) in [(128, 0), (128, 3), (128, 8), (129, 1), (136, 0), (136, 0xff), (143, 1)] {
            let mut bad = good.clone();
            bad[position] = value;
            assert!(parse(&bad).is_err(), "{position}");
        }
        let mut wraps = good.clone();
        wraps[56..72].fill(0xff);
        assert!(matches!(parse(&wraps), Err(MetaError::Field { field: "stored length", .. })));
    }
}
