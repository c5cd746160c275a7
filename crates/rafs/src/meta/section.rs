//! The 512-byte tar header that follows every section of a blob.
//!
//! ```text
//! 0          100                124         136         148        156  157            257       265      512
//! | name     | mode, uid, gid   | size      | mtime     | checksum | 0  | link name    | ustar   | zeros   |
//! |          | zeros            | octal     | octal 0   | octal    |    | zeros        |         |         |
//! ```

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::MetaError;
use crate::display_bytes;

/// Length of a header in bytes.
pub const HEADER_LEN: usize = 512;

/// Name of the section of chunks.
pub const IMAGE_BLOB: &str = "image.blob";
/// Name of the section of compression information with its header.
pub const BLOB_META: &str = "blob.meta";
/// Name, in tables of contents, of the header of the compression information.
pub const BLOB_META_HEADER: &str = "blob.meta.header";
/// Name of the section of chunk digests.
pub const BLOB_DIGEST: &str = "blob.digest";
/// Name of the section of the bootstrap.
pub const IMAGE_BOOT: &str = "image.boot";
/// Name of the section of the table of contents.
pub const TOC: &str = "rafs.blob.toc";

const STRUCTURE: &str = "section header";
/// Length of the name field: longer names are cut.
const NAME_LEN: usize = 100;

/// A GNU tar header.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone)]
#[repr(C)]
struct Raw {
    name: [u8; NAME_LEN],
    mode_uid_gid: [u8; 24],
    size: [u8; 12],
    mtime: [u8; 12],
    checksum: [u8; 8],
    kind: u8,
    link_name: [u8; 100],
    magic: [u8; 8],
    rest: [u8; 247],
}
const _: () = assert!(size_of::<Raw>() == HEADER_LEN);

const MAGIC: [u8; 8] = *b"ustar  \0";
const REGULAR: u8 = b'0';
/// The checksum field while the checksum is taken.
const BLANK: [u8; 8] = [b' '; 8];

/// What a header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SectionHeader {
    /// Name of the section.
    pub name: String,
    /// Length of the section before the header, in bytes.
    pub size: u64,
}

/// The header of a section. Names are the constants of this module or as short as those; of a longer name only the
/// first 100 bytes are kept.
pub fn write(name: &str, size: u64) -> [u8; HEADER_LEN] {
    let mut raw = Raw {
        name: [0; NAME_LEN],
        mode_uid_gid: [0; 24],
        size: number(size),
        mtime: number(0),
        checksum: BLANK,
        kind: REGULAR,
        link_name: [0; 100],
        magic: MAGIC,
        rest: [0; 247],
    };
    raw.name.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
    let checksum = checksum(&raw);
    raw.checksum = octal::<8>(checksum.into());
    zerocopy::transmute!(raw)
}

/// Reads a header. It must be a GNU header of a regular file with the right checksum.
pub fn parse(header: &[u8; HEADER_LEN]) -> Result<SectionHeader, MetaError> {
    let mut raw: Raw = zerocopy::transmute!(*header);
    let field = |field, offset, value| MetaError::Field { structure: STRUCTURE, offset, field, value };
    if raw.magic != MAGIC {
        return Err(field("magic", 257, u64::from_be_bytes(raw.magic)));
    }
    let stored = parse_octal(&raw.checksum);
    raw.checksum = BLANK;
    if stored != Some(checksum(&raw).into()) {
        return Err(field("checksum", 148, stored.unwrap_or_default()));
    }
    if raw.kind != REGULAR {
        return Err(field("type", 156, raw.kind.into()));
    }
    let size = parse_number(&raw.size).ok_or(field("size", 124, 0))?;
    let name = raw.name.split(|byte| *byte == 0).next().unwrap_or_default();
    match str::from_utf8(name) {
        Ok(text) if !text.is_empty() => Ok(SectionHeader { name: text.to_owned(), size }),
        _ => Err(MetaError::Name { structure: STRUCTURE, offset: 0, name: display_bytes(name).to_string() }),
    }
}

/// The sum of all bytes: at most 512 × 255.
fn checksum(raw: &Raw) -> u32 {
    raw.as_bytes().iter().fold(0, |sum: u32, byte| sum.saturating_add(u32::from(*byte)))
}

/// Eleven octal digits and a NUL, or from 8 GiB on a binary number marked by its first bit.
fn number(value: u64) -> [u8; 12] {
    if value < 1 << 33 {
        return octal(value);
    }
    let mut field = [0; 12];
    field.iter_mut().rev().zip(value.to_le_bytes()).for_each(|(to, from)| *to = from);
    if let Some(first) = field.first_mut() {
        *first = 0x80;
    }
    field
}

/// Octal digits and a NUL.
fn octal<const N: usize>(value: u64) -> [u8; N] {
    let mut field = [0; N];
    let mut left = value;
    for digit in field.iter_mut().rev().skip(1) {
        *digit = b'0' | (left & 7) as u8;
        left >>= 3;
    }
    field
}

fn parse_number(field: &[u8; 12]) -> Option<u64> {
    match field {
        [0x80, 0, 0, 0, rest @ ..] => Some(u64::from_be_bytes(*rest)),
        _ => parse_octal(field),
    }
}

/// Octal digits, with blanks before and blanks or NULs after them.
fn parse_octal(field: &[u8]) -> Option<u64> {
    let digits = field.trim_ascii_start().split(|byte| matches!(byte, 0 | b' ')).next()?;
    let value = digits.iter().try_fold(0_u64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(u64::from(digit & 7)),
        _ => None,
    });
    value.filter(|_| !digits.is_empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
    use super::*;

    #[test]
    fn fields_lie_where_tar_has_them() {
        let header = write(IMAGE_BLOB, 0o1234567);
        assert_eq!(&header[..11], b"image.blob\0");
        assert_eq!(&header[124..136], b"00001234567\0");
        assert_eq!(&header[136..148], b"00000000000\0");
        assert_eq!(&header[148..157], b"0005653\x000");
        assert_eq!(&header[257..265], b"ustar  \0");
        assert!(header[100..124].iter().chain(&header[265..]).all(|byte| *byte == 0));
    }

    #[test]
    fn what_is_written_is_read() {
        for size in [0, 1, 0o77_777_777_777, 1 << 33, u64::MAX] {
            for name in [IMAGE_BLOB, BLOB_META, BLOB_META_HEADER, BLOB_DIGEST, IMAGE_BOOT, TOC] {
                let header = write(name, size);
                assert_eq!(parse(&header).unwrap(), SectionHeader { name: name.to_owned(), size });
            }
        }
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let header = write(TOC, 640);
        for position in 0..HEADER_LEN {
            let mut changed = header;
            changed[position] ^= 1;
            assert!(parse(&changed).is_err(), "{position}");
        }
        assert!(parse(&[0; HEADER_LEN]).is_err());
    }

    #[test]
    fn other_headers_are_refused() {
        let with = |change: &dyn Fn(&mut Raw)| {
            let mut raw: Raw = zerocopy::transmute!(write(TOC, 640));
            change(&mut raw);
            raw.checksum = BLANK;
            raw.checksum = octal(checksum(&raw).into());
            parse(&zerocopy::transmute!(raw))
        };
        assert!(with(&|_| ()).is_ok());
        assert!(matches!(with(&|raw| raw.kind = b'5'), Err(MetaError::Field { field: "type", .. })));
        assert!(matches!(with(&|raw| raw.name = [0; 100]), Err(MetaError::Name { .. })));
        assert!(matches!(with(&|raw| raw.name[0] = 0xff), Err(MetaError::Name { .. })));
        assert!(matches!(
            with(&|raw| raw.size = *b"0000000000x\0"),
            Err(MetaError::Field { field: "size", .. })
        ));
        assert!(matches!(
            with(&|raw| raw.size = [0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            Err(MetaError::Field { .. })
        ));
        assert!(matches!(
            with(&|raw| raw.magic = *b"ustar\x0000"),
            Err(MetaError::Field { field: "magic", .. })
        ));
    }
}
