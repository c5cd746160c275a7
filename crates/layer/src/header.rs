//! One 512-byte header block, read as Go's `archive/tar` reads it.
//!
//! ```text
//!   0 name[100]  100 mode[8]  108 uid[8]  116 gid[8]  124 size[12]  136 mtime[12]  148 checksum[8]  156 typeflag
//! 157 linkname[100]                                                                             (V7 ends here)
//! 257 magic[6] 263 version[2] 265 uname[32] 297 gname[32] 329 devmajor[8] 337 devminor[8]     (ustar, star, GNU)
//! 345 prefix[155]                                                                                       (ustar)
//! 345 prefix[131] 476 atime[12] 488 ctime[12]  508 "tar\0"                                               (star)
//! 345 atime[12] 357 ctime[12] 386 sparse[4 × (offset[12] length[12])] 482 extended 483 realsize[12]       (GNU)
//! ```
//! Owner and group *names* are not read: images are unpacked by number.

use crate::number::header_number;
use crate::tape::BLOCK;

/// Which layout the bytes after the V7 fields have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    V7,
    Ustar,
    Star,
    Gnu,
}

/// A header block with a correct checksum.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    block: [u8; BLOCK],
    dialect: Dialect,
}

/// The entries of a sparse map in a block: in a GNU header, or in an extension block that continues it.
pub(crate) struct SparseTable<'a> {
    entries: &'a [u8],
    /// Whether an extension block follows.
    pub extended: bool,
}

impl Header {
    /// Takes a block as a header if its checksum says so; nothing else identifies V7 headers.
    pub fn parse(block: &[u8]) -> Option<Self> {
        let block: [u8; BLOCK] = block.try_into().ok()?;
        has_valid_checksum(&block).then(|| Self { dialect: dialect(&block), block })
    }

    /// Whether a block would parse.
    pub fn is_header(block: &[u8]) -> bool {
        block.try_into().is_ok_and(has_valid_checksum)
    }

    pub const fn typeflag(&self) -> u8 {
        self.block[156]
    }

    pub const fn is_gnu(&self) -> bool {
        matches!(self.dialect, Dialect::Gnu)
    }

    /// What stands before the name and a slash: empty, or the prefix of a long ustar name.
    pub fn prefix(&self) -> &[u8] {
        match self.dialect {
            Dialect::V7 => &[],
            Dialect::Ustar => until_nul(&self.block[345..500]),
            Dialect::Star => until_nul(&self.block[345..476]),
            Dialect::Gnu => self.misplaced_prefix(),
        }
    }

    /// GNU headers have no prefix, but Go before 1.8 wrote one, over the two times, and so did the Docker of that day.
    /// As Go does: where the times are no numbers and the bytes are text, they are that prefix.
    fn misplaced_prefix(&self) -> &[u8] {
        let is_time = |field: &[u8]| field.first() == Some(&0) || header_number(field).is_some();
        if is_time(&self.block[345..357]) && is_time(&self.block[357..369]) {
            return &[];
        }
        let prefix = until_nul(&self.block[345..500]);
        if prefix.is_ascii() { prefix } else { &[] }
    }

    pub fn name(&self) -> &[u8] {
        until_nul(&self.block[..100])
    }

    pub fn link_name(&self) -> &[u8] {
        until_nul(&self.block[157..257])
    }

    pub fn mode(&self) -> &[u8] {
        &self.block[100..108]
    }

    pub fn uid(&self) -> &[u8] {
        &self.block[108..116]
    }

    pub fn gid(&self) -> &[u8] {
        &self.block[116..124]
    }

    pub fn size(&self) -> &[u8] {
        &self.block[124..136]
    }

    pub fn mtime(&self) -> &[u8] {
        &self.block[136..148]
    }

    /// Empty in a V7 header, which has no devices.
    pub fn device_major(&self) -> &[u8] {
        if self.dialect == Dialect::V7 { &[] } else { &self.block[329..337] }
    }

    /// Empty in a V7 header, which has no devices.
    pub fn device_minor(&self) -> &[u8] {
        if self.dialect == Dialect::V7 { &[] } else { &self.block[337..345] }
    }

    /// Size of an old GNU sparse file with its holes.
    pub fn real_size(&self) -> &[u8] {
        &self.block[483..495]
    }

    /// The beginning of an old GNU sparse map.
    pub fn sparse_table(&self) -> SparseTable<'_> {
        SparseTable { entries: &self.block[386..482], extended: self.block[482] != 0 }
    }
}

impl<'a> SparseTable<'a> {
    /// An extension block of an old GNU sparse map: 21 entries and the flag.
    pub fn extension(block: &'a [u8; BLOCK]) -> Self {
        Self { entries: &block[..504], extended: block[504] != 0 }
    }

    /// The raw numbers `(offset, length)` of the entries in use; an offset that begins with NUL ends them.
    pub fn entries(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        self.entries.chunks_exact(24).map(|entry| entry.split_at(12)).take_while(|(offset, _)| offset[0] != 0)
    }
}

pub(crate) fn is_zero(block: &[u8]) -> bool {
    block.iter().all(|&byte| byte == 0)
}

/// The bytes before the first NUL: tar's strings end there, or with their field.
pub(crate) fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// The sum of all bytes, the checksum field counting as spaces. Some old programs summed signed bytes.
fn has_valid_checksum(block: &[u8; BLOCK]) -> bool {
    let field = &block[148..156];
    let Some(expected) = header_number(field) else { return false };
    // 32 bits: wide enough for a block, narrow enough to be summed in vectors.
    let sum = |bytes: &[u8]| bytes.iter().map(|&byte| u32::from(byte)).sum::<u32>();
    let unsigned = sum(block) - sum(field) + 8 * u32::from(b' ');
    if i64::from(unsigned) == expected {
        return true;
    }
    let negatives = |bytes: &[u8]| bytes.iter().map(|&byte| u32::from(byte >> 7)).sum::<u32>();
    let excess = 256 * (negatives(block) - negatives(field));
    i64::from(unsigned) - i64::from(excess) == expected
}

fn dialect(block: &[u8; BLOCK]) -> Dialect {
    match &block[257..265] {
        b"ustar  \0" => Dialect::Gnu,
        magic if magic.starts_with(b"ustar\0") && &block[508..] == b"tar\0" => Dialect::Star,
        magic if magic.starts_with(b"ustar\0") => Dialect::Ustar,
        _ => Dialect::V7,
    }
}
