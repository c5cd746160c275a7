//! Header blocks, field by field.
//!
//! ```text
//!   0 name[100]  100 mode[8]  108 uid[8]  116 gid[8]  124 size[12]  136 mtime[12]  148 checksum[8]  156 typeflag
//! 157 linkname[100]  257 magic[8]  265 uname[32]  297 gname[32]  329 devmajor[8]  337 devminor[8]  345 tail[167]
//! ```
//! Each field is a column. What a field is likely to be depends on what the header is of: its *group*, by type flag.
//!
//! ```text
//! group       0      1    2    3    4           5
//! typeflag    0 NUL  5    2    1    x X g L K   others
//! ```
//! Names, and tails (a prefix of the name, often), have two groups only: 1 for the extensions, 0 for the rest.

use super::bytes::Input;
use super::error::RecordError;
use super::number::{ChecksumReader, ChecksumWriter, NumberReader, NumberWriter};
use super::text::{TextReader, TextWriter};
use crate::tape::BLOCK;

const GROUPS: usize = 6;
const EXTENSION: usize = 4;
const TYPEFLAG: usize = 156;

/// Most bytes that a header can add to its columns: itself, and less than 4 for each field.
pub(super) const MAX_ENCODED: u64 = 600;

/// The text columns: place, width, whether they have two groups only.
const TEXTS: [(usize, usize, bool); 6] = [
    (0, 100, true),
    (157, 100, false),
    (257, 8, false),
    (265, 32, false),
    (297, 32, false),
    (345, 167, true),
];
const TEXT_NAMES: [&str; 6] = ["name", "link name", "magic", "user name", "group name", "tail"];
/// The number columns: place, width.
const NUMBERS: [(usize, usize); 7] = [(100, 8), (108, 8), (116, 8), (124, 12), (136, 12), (329, 8), (337, 8)];
const NUMBER_NAMES: [&str; 7] = ["mode", "uid", "gid", "size", "mtime", "device major", "device minor"];
const MTIME: usize = 136;

fn group(typeflag: u8) -> usize {
    match typeflag {
        b'0' | 0 => 0,
        b'5' => 1,
        b'2' => 2,
        b'1' => 3,
        b'x' | b'X' | b'g' | b'L' | b'K' => EXTENSION,
        _ => 5,
    }
}

/// The group where there are two.
const fn of_two(group: usize) -> usize {
    (group == EXTENSION) as usize
}

/// The sum of the block's bytes, those of the checksum counting as spaces.
fn sum(block: &[u8; BLOCK]) -> u64 {
    let sum = |bytes: &[u8]| bytes.iter().map(|&byte| u32::from(byte)).sum::<u32>();
    u64::from(sum(&block[..148]) + 8 * u32::from(b' ') + sum(&block[TYPEFLAG..]))
}

/// What the extensions in front of a header foretold of the number at `at`. The header of an entry uses it up.
fn foretold_of(at: usize, group: usize, mtime: &mut Option<u64>) -> Option<u64> {
    if at == MTIME && group != EXTENSION { mtime.take() } else { None }
}

/// Writes the columns.
#[derive(Debug)]
pub(super) struct HeadWriter {
    typeflags: Vec<u8>,
    texts: [TextWriter; 6],
    numbers: [NumberWriter; 7],
    checksums: ChecksumWriter,
}

/// Reads the columns.
#[derive(Debug)]
pub(super) struct HeadReader<'a> {
    typeflags: Input<'a>,
    texts: [TextReader<'a>; 6],
    numbers: [NumberReader<'a>; 7],
    checksums: ChecksumReader<'a>,
}

impl HeadWriter {
    pub fn new() -> Self {
        Self {
            typeflags: Vec::new(),
            texts: TEXTS.map(|(_, width, two)| TextWriter::new(width, if two { 2 } else { GROUPS })),
            numbers: NUMBERS.map(|(_, width)| NumberWriter::new(width, GROUPS)),
            checksums: ChecksumWriter::new(GROUPS),
        }
    }

    /// `mtime`: what the extensions in front of the header foretold.
    pub fn push(&mut self, block: &[u8; BLOCK], mtime: &mut Option<u64>) {
        let group = group(block[TYPEFLAG]);
        self.typeflags.push(block[TYPEFLAG]);
        for ((at, width, two), column) in TEXTS.into_iter().zip(&mut self.texts) {
            column.push(if two { of_two(group) } else { group }, &block[at..at + width]);
        }
        for ((at, width), column) in NUMBERS.into_iter().zip(&mut self.numbers) {
            column.push(group, &block[at..at + width], foretold_of(at, group, mtime));
        }
        self.checksums.push(group, &block[148..TYPEFLAG], sum(block));
    }

    pub fn streams(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(&self.typeflags[..])
            .chain(self.texts.iter().flat_map(TextWriter::streams))
            .chain(self.numbers.iter().flat_map(NumberWriter::streams))
            .chain(self.checksums.streams())
    }
}

impl<'a> HeadReader<'a> {
    pub fn new(input: &mut Input<'a>) -> Result<Self, RecordError> {
        let typeflags = input.stream("typeflag")?;
        let mut text = |index: usize| {
            let (_, width, two) = TEXTS[index];
            TextReader::new(input, TEXT_NAMES[index], width, if two { 2 } else { GROUPS })
        };
        let texts = [text(0)?, text(1)?, text(2)?, text(3)?, text(4)?, text(5)?];
        let mut number =
            |index: usize| NumberReader::new(input, NUMBER_NAMES[index], NUMBERS[index].1, GROUPS);
        let numbers = [number(0)?, number(1)?, number(2)?, number(3)?, number(4)?, number(5)?, number(6)?];
        Ok(Self { typeflags, texts, numbers, checksums: ChecksumReader::new(input, "checksum", GROUPS)? })
    }

    /// The next header, where extensions in front foretold the `mtime`.
    pub fn next(&mut self, mtime: &mut Option<u64>) -> Result<[u8; BLOCK], RecordError> {
        let mut block = [0; BLOCK];
        block[TYPEFLAG] = self.typeflags.byte()?;
        let group = group(block[TYPEFLAG]);
        for ((at, width, two), column) in TEXTS.into_iter().zip(&mut self.texts) {
            column.next(if two { of_two(group) } else { group }, &mut block[at..at + width])?;
        }
        for ((at, width), column) in NUMBERS.into_iter().zip(&mut self.numbers) {
            column.next(group, &mut block[at..at + width], foretold_of(at, group, mtime))?;
        }
        let right = sum(&block);
        self.checksums.next(group, &mut block[148..TYPEFLAG], right)?;
        Ok(block)
    }
}

/// The bytes of the size field.
pub(super) fn size_field(block: &[u8; BLOCK]) -> &[u8] {
    &block[124..136]
}
