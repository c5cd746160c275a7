//! The letters of a record: bytes, varints, runs.
//!
//! ```text
//! varint   7 bits a byte, low bits first, the top bit set on all but the last byte; shortest form, at most 10 bytes
//! zigzag   0, −1, 1, −2, 2, … as 0, 1, 2, 3, 4, …
//! runs     how many equal the expectation, then one that does not, then again; varints, the last run left out
//! ```

use super::error::RecordError;

pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(super) const fn varint_size(value: u64) -> u64 {
    match value {
        0 => 1,
        _ => (value.ilog2() / 7 + 1) as u64,
    }
}

pub(super) const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

pub(super) const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// A stream of a record under inspection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Input<'a> {
    bytes: &'a [u8],
    /// Its name, for errors.
    column: &'static str,
}

impl<'a> Input<'a> {
    pub const fn new(bytes: &'a [u8], column: &'static str) -> Self {
        Self { bytes, column }
    }

    pub const fn malformed(&self) -> RecordError {
        RecordError::Malformed { column: self.column }
    }

    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub fn byte(&mut self) -> Result<u8, RecordError> {
        let (&first, rest) = self.bytes.split_first().ok_or_else(|| self.malformed())?;
        self.bytes = rest;
        Ok(first)
    }

    pub fn take(&mut self, count: usize) -> Result<&'a [u8], RecordError> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or_else(|| self.malformed())?;
        self.bytes = rest;
        Ok(taken)
    }

    pub fn varint(&mut self) -> Result<u64, RecordError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has one bit, and a last byte of 0 would be a longer spelling.
            if bits << shift >> shift != bits || (byte == 0 && shift > 0) {
                return Err(self.malformed());
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.malformed())
    }

    pub fn length(&mut self) -> Result<usize, RecordError> {
        usize::try_from(self.varint()?).map_err(|_| self.malformed())
    }

    /// The next stream of a file of streams.
    pub fn stream(&mut self, column: &'static str) -> Result<Self, RecordError> {
        let length = self.length()?;
        Ok(Self { bytes: self.take(length)?, column })
    }
}

/// Writes runs.
#[derive(Debug, Default)]
pub(super) struct RunWriter {
    pub out: Vec<u8>,
    run: u64,
}

impl RunWriter {
    /// One more item; `expected`: it is what was expected. Gives that back.
    pub fn push(&mut self, expected: bool) -> bool {
        if expected {
            self.run += 1;
        } else {
            put_varint(&mut self.out, self.run);
            self.run = 0;
        }
        expected
    }
}

/// Reads runs.
#[derive(Debug)]
pub(super) struct RunReader<'a> {
    input: Input<'a>,
    left: Option<u64>,
}

impl<'a> RunReader<'a> {
    pub const fn new(input: Input<'a>) -> Self {
        Self { input, left: None }
    }

    /// Whether the next item is what was expected.
    pub fn expected(&mut self) -> Result<bool, RecordError> {
        let left = match self.left {
            Some(left) => left,
            None if self.input.is_empty() => return Ok(true),
            None => self.input.varint()?,
        };
        self.left = left.checked_sub(1);
        Ok(left > 0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn varints() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            let mut input = Input::new(&out, "test");
            assert_eq!(input.varint().unwrap(), value);
            assert_eq!(varint_size(value), out.len() as u64);
            assert!(input.is_empty());
            assert!(Input::new(&out[..out.len() - 1], "test").varint().is_err());
        }
        for bad in [&[0x80, 0][..], &[0xff; 10], &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2]] {
            assert!(Input::new(bad, "test").varint().is_err(), "{bad:x?}");
        }
    }

    #[test]
    fn zigzags() {
        for (value, code) in [(0, 0), (-1, 1), (1, 2), (i64::MAX, u64::MAX - 1), (i64::MIN, u64::MAX)] {
            assert_eq!((zigzag(value), unzigzag(code)), (code, value));
        }
    }

    #[test]
    fn runs() {
        let items = [true, true, false, false, true, false, true, true];
        let mut writer = RunWriter::default();
        items.iter().for_each(|&item| assert_eq!(writer.push(item), item));
        assert_eq!(writer.out, [2, 0, 1]);
        let mut reader = RunReader::new(Input::new(&writer.out, "test"));
        assert_eq!(items.map(|_| reader.expected().unwrap()), items);
    }
}
