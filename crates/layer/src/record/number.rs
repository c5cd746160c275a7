//! Columns of numbers in header fields, 8 or 12 bytes wide.
//!
//! ```text
//! form   digits, filled    end                         form   bytes
//!  0      octal, zeros     NUL                          10     0x80, then a big-endian number
//!  1      octal, zeros     space                        11     0xff, then the same, all bits inverted
//!  2      octal, zeros     space NUL                    12     NULs; the number is 0
//!  3      octal, zeros     none                        255     none of these
//!  4      octal, zeros     NUL space
//!  5 … 9  octal, spaces    in the same order
//!
//! runs     how many fields are what was expected: equal to the last one of the group, or the one foretold
//! values   of each other field    number + 1                        varint; in the form of the group's last one
//!                                 0 │ form │ number                 varint, byte, varint
//!                                 0 │ 255 │ the field as it is
//! ```
//! The checksum's column has the same runs, where the expectation is the right checksum in the last form of the group;
//! its other fields are `form` or `255 │ field`. The first form of each group is 0 (of checksums 4).

use super::bytes::{Input, RunReader, RunWriter, put_varint};
use super::error::RecordError;

const ENDS: [&[u8]; 5] = [b"\0", b" ", b" \0", b"", b"\0 "];
const POSITIVE: u8 = 10;
const NEGATIVE: u8 = 11;
const NULS: u8 = 12;
const FORMS: u8 = 13;
const RAW: u8 = 255;
/// Of a checksum.
const FIRST_CHECKSUM_FORM: u8 = 4;

/// Numbers are below this; larger ones are kept as they are.
const LIMIT: u64 = 1 << 63;

/// A field, the first bytes of it.
pub(super) type Field = [u8; 12];

/// Spells a number; `None`: it has no such spelling of `width` bytes.
fn spell(form: u8, value: u64, width: usize) -> Option<Field> {
    let mut field = [0; 12];
    match form {
        POSITIVE | NEGATIVE => {
            let invert = if form == NEGATIVE { 0xff } else { 0 };
            field[..width].fill(invert);
            field[width - 8..width].copy_from_slice(&value.to_be_bytes().map(|byte| byte ^ invert));
            let marker = 0x80 | invert;
            // The marker takes a byte that must be free.
            if width == 8 && value >> 56 != 0 {
                return None;
            }
            field[0] = marker;
        }
        NULS if value == 0 => {}
        0..POSITIVE => {
            let end = ENDS[usize::from(form) % ENDS.len()];
            let fill = if usize::from(form) < ENDS.len() { b'0' } else { b' ' };
            let digits = width - end.len();
            let mut rest = value;
            for (index, digit) in field[..digits].iter_mut().rev().enumerate() {
                *digit = if rest > 0 || index == 0 { b'0' + (rest & 7) as u8 } else { fill };
                rest >>= 3;
            }
            if rest > 0 {
                return None;
            }
            field[digits..width].copy_from_slice(end);
        }
        _ => return None,
    }
    Some(field)
}

/// The number in a field that has this form.
fn read(form: u8, field: &[u8]) -> Option<u64> {
    let value = match form {
        POSITIVE | NEGATIVE => {
            let invert = if form == NEGATIVE { 0xff } else { 0 };
            let mut bytes: [u8; 8] = *field.last_chunk()?;
            if field.len() == 8 {
                bytes[0] = invert;
            }
            u64::from_be_bytes(bytes.map(|byte| byte ^ invert))
        }
        NULS => 0,
        0..POSITIVE => {
            let digits = field.strip_suffix(ENDS[usize::from(form) % ENDS.len()])?;
            let digit =
                |byte: u8| if byte == b' ' { Some(0) } else { byte.checked_sub(b'0').filter(|d| *d < 8) };
            digits.iter().try_fold(0_u64, |value, &byte| Some(value << 3 | u64::from(digit(byte)?)))?
        }
        _ => return None,
    };
    (value < LIMIT && spell(form, value, field.len())?[..field.len()] == *field).then_some(value)
}

/// The form and number of a field, the form in use tried first.
fn parse(field: &[u8], hint: u8) -> Option<(u8, u64)> {
    std::iter::once(hint).chain(0..FORMS).find_map(|form| Some((form, read(form, field)?)))
}

/// The size that a header's size field says, for the layout of a record: 0 if it is spelled in none of the forms, or
/// negative.
pub(super) fn declared_size(field: &[u8]) -> u64 {
    match parse(field, 0) {
        Some((NEGATIVE, _)) | None => 0,
        Some((_, value)) => value,
    }
}

/// Writes a column.
#[derive(Debug)]
pub(super) struct NumberWriter {
    width: usize,
    runs: RunWriter,
    values: Vec<u8>,
    /// Of each group.
    last: Vec<(u8, Field)>,
}

/// Reads a column.
#[derive(Debug)]
pub(super) struct NumberReader<'a> {
    width: usize,
    runs: RunReader<'a>,
    values: Input<'a>,
    last: Vec<(u8, Field)>,
}

impl NumberWriter {
    /// `width` is 8 or 12.
    pub fn new(width: usize, groups: usize) -> Self {
        Self { width, runs: RunWriter::default(), values: Vec::new(), last: vec![(0, [0; 12]); groups] }
    }

    /// `foretold`: a number that something said before.
    pub fn push(&mut self, group: usize, field: &[u8], foretold: Option<u64>) {
        let (form, last) = &mut self.last[group];
        let expected = expectation(*form, last, foretold, self.width);
        last[..self.width].copy_from_slice(field);
        if self.runs.push(expected[..self.width] == *field) {
            return;
        }
        match parse(field, *form) {
            Some((same, value)) if same == *form => put_varint(&mut self.values, value + 1),
            Some((other, value)) => {
                self.values.extend([0, other]);
                put_varint(&mut self.values, value);
                *form = other;
            }
            None => {
                self.values.extend([0, RAW]);
                self.values.extend_from_slice(field);
            }
        }
    }

    pub fn streams(&self) -> [&[u8]; 2] {
        [&self.runs.out, &self.values]
    }
}

fn expectation(form: u8, last: &Field, foretold: Option<u64>, width: usize) -> Field {
    foretold.and_then(|value| spell(form, value, width)).unwrap_or(*last)
}

impl<'a> NumberReader<'a> {
    pub fn new(
        input: &mut Input<'a>,
        name: &'static str,
        width: usize,
        groups: usize,
    ) -> Result<Self, RecordError> {
        let (runs, values) = (RunReader::new(input.stream(name)?), input.stream(name)?);
        Ok(Self { width, runs, values, last: vec![(0, [0; 12]); groups] })
    }

    /// Writes the next field of a group to `out`, which has the width.
    pub fn next(&mut self, group: usize, out: &mut [u8], foretold: Option<u64>) -> Result<(), RecordError> {
        let (form, last) = &mut self.last[group];
        if self.runs.expected()? {
            *last = expectation(*form, last, foretold, self.width);
        } else if let Some(value) = self.values.varint()?.checked_sub(1) {
            *last = spell(*form, value, self.width).ok_or_else(|| self.values.malformed())?;
        } else {
            match self.values.byte()? {
                RAW => last[..self.width].copy_from_slice(self.values.take(self.width)?),
                other => {
                    let value = self.values.varint()?;
                    *last = spell(other, value, self.width).ok_or_else(|| self.values.malformed())?;
                    *form = other;
                }
            }
        }
        out.copy_from_slice(&last[..self.width]);
        Ok(())
    }
}

/// Writes the column of checksums.
#[derive(Debug)]
pub(super) struct ChecksumWriter {
    runs: RunWriter,
    values: Vec<u8>,
    forms: Vec<u8>,
}

/// Reads the column of checksums.
#[derive(Debug)]
pub(super) struct ChecksumReader<'a> {
    runs: RunReader<'a>,
    values: Input<'a>,
    forms: Vec<u8>,
}

impl ChecksumWriter {
    pub fn new(groups: usize) -> Self {
        Self { runs: RunWriter::default(), values: Vec::new(), forms: vec![FIRST_CHECKSUM_FORM; groups] }
    }

    /// `sum` is the right one.
    pub fn push(&mut self, group: usize, field: &[u8], sum: u64) {
        let form = &mut self.forms[group];
        let is_spelled = |form| spell(form, sum, 8).is_some_and(|spelled| spelled[..8] == *field);
        if self.runs.push(is_spelled(*form)) {
            return;
        }
        match (0..FORMS).find(|form| is_spelled(*form)) {
            Some(other) => {
                self.values.push(other);
                *form = other;
            }
            None => {
                self.values.push(RAW);
                self.values.extend_from_slice(field);
            }
        }
    }

    pub fn streams(&self) -> [&[u8]; 2] {
        [&self.runs.out, &self.values]
    }
}

impl<'a> ChecksumReader<'a> {
    pub fn new(input: &mut Input<'a>, name: &'static str, groups: usize) -> Result<Self, RecordError> {
        let (runs, values) = (RunReader::new(input.stream(name)?), input.stream(name)?);
        Ok(Self { runs, values, forms: vec![FIRST_CHECKSUM_FORM; groups] })
    }

    pub fn next(&mut self, group: usize, out: &mut [u8], sum: u64) -> Result<(), RecordError> {
        let form = &mut self.forms[group];
        if !self.runs.expected()? {
            match self.values.byte()? {
                RAW => {
                    out.copy_from_slice(self.values.take(8)?);
                    return Ok(());
                }
                other => *form = other,
            }
        }
        let spelled = spell(*form, sum, 8).ok_or_else(|| self.values.malformed())?;
        out.copy_from_slice(&spelled[..8]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn forms() {
        for (field, expected) in [
            (&b"0000644\0"[..], Some((0, 0o644))),
            (b"0000644 ", Some((1, 0o644))),
            (b"000644 \0", Some((2, 0o644))),
            (b"00000644", Some((3, 0o644))),
            (b"000644\0 ", Some((4, 0o644))),
            (b"    644\0", Some((5, 0o644))),
            (b"    644 ", Some((6, 0o644))),
            (b"   644 \0", Some((7, 0o644))),
            (b"     644", Some((8, 0o644))),
            (b"   644\0 ", Some((9, 0o644))),
            (b"      0\0", Some((5, 0))),
            (b"0000000\0", Some((0, 0))),
            (b"\0\0\0\0\0\0\0\0", Some((12, 0))),
            (&[0x80, 0, 0, 0, 0, 0, 1, 2], Some((10, 0x102))),
            (&[0xff; 8], Some((11, 0))),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfb], Some((11, 4))),
            (&[0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1], Some((10, (2 << 32) + 1))),
            (b"77777777777\0", Some((0, (1 << 33) - 1))),
            (b"777777777777", Some((3, (1 << 36) - 1))),
            (b"       \0", None),
            (b"        ", None),
            (b"644\0\0\0\0\0", None),
            (b" 000644\0", None),
            (b"0 00644\0", None),
            (&[0x80, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0], None),
            (&[0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], None),
            (&[0x81, 0, 0, 0, 0, 0, 0, 0], None),
        ] {
            assert_eq!(parse(field, 0), expected, "{}", field.escape_ascii());
            // What is found does not depend on where the search begins, but for the form.
            for hint in 0..FORMS {
                assert_eq!(parse(field, hint).map(|(_, value)| value), expected.map(|(_, value)| value));
            }
        }
        assert_eq!(spell(RAW, 0, 8), None);
        assert_eq!(spell(0, 1 << 21, 8), None);
        assert_eq!(spell(POSITIVE, 1 << 56, 8), None);
    }

    #[test]
    fn columns() {
        let fields: [(usize, &[u8; 8], Option<u64>); 9] = [
            (0, b"0000644\0", None),
            (0, b"0000644\0", None),
            (1, b"000755 \0", None),
            (1, b"000755 \0", None),
            (0, b"\xffnumber!", None),
            (0, b"0000001\0", None),
            (1, b"000001 \0", Some(1)),
            (1, b"000002 \0", Some(1)),
            (0, b"\0\0\0\0\0\0\0\0", Some(u64::MAX)),
        ];
        let mut writer = NumberWriter::new(8, 2);
        fields.iter().for_each(|(group, field, foretold)| writer.push(*group, &field[..], *foretold));
        let mut file = Vec::new();
        for stream in writer.streams() {
            put_varint(&mut file, stream.len() as u64);
            file.extend(stream);
        }
        let mut reader = NumberReader::new(&mut Input::new(&file, "test"), "test", 8, 2).unwrap();
        for (group, field, foretold) in fields {
            let mut out = [0; 8];
            reader.next(group, &mut out, foretold).unwrap();
            assert_eq!(&out, field);
        }
    }
}
