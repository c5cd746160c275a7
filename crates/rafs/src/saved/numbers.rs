//! Numbers of variable length (LEB128), bytes with their length before them.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use super::SavedError;

/// Appends a number.
pub(super) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push(0x80 | low_bits(value));
        value >>= 7;
    }
    out.push(low_bits(value));
}

/// The lowest seven bits.
const fn low_bits(value: u64) -> u8 {
    value.to_le_bytes()[0] & 0x7f
}

/// Appends a number near zero.
pub(super) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put(out, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

/// Appends bytes and, before them, their number.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Bytes, read from the front.
pub(super) struct Reader<'a> {
    structure: &'static str,
    rest: &'a [u8],
    offset: u64,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(structure: &'static str, bytes: &'a [u8]) -> Self {
        Self { structure, rest: bytes, offset: 0 }
    }

    pub(super) const fn structure(&self) -> &'static str {
        self.structure
    }

    /// Where the next field lies.
    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn magic(&mut self, magic: &[u8]) -> Result<(), SavedError> {
        match self.take(magic.len() as u64) {
            Ok(bytes) if bytes == magic => Ok(()),
            _ => Err(SavedError::Magic { structure: self.structure }),
        }
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8], SavedError> {
        let cut_short = SavedError::CutShort { structure: self.structure, offset: self.offset };
        let parts = usize::try_from(count).ok().and_then(|count| self.rest.split_at_checked(count));
        let (bytes, rest) = parts.ok_or(cut_short)?;
        self.rest = rest;
        self.offset = self.offset.saturating_add(count);
        Ok(bytes)
    }

    pub(super) fn byte(&mut self) -> Result<u8, SavedError> {
        Ok(self.take(1)?.iter().copied().next().unwrap_or_default())
    }

    pub(super) fn number(&mut self, field: &'static str) -> Result<u64, SavedError> {
        let offset = self.offset;
        let mut value = 0_u64;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            let shifted = bits << shift;
            value |= shifted;
            if shifted >> shift != bits {
                break;
            }
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        // Ten bytes that hold more than 64 bits.
        Err(self.refuse(offset, field, value))
    }

    /// A number that fits `T`.
    pub(super) fn narrow<T: TryFrom<u64>>(&mut self, field: &'static str) -> Result<T, SavedError> {
        let offset = self.offset;
        let value = self.number(field)?;
        T::try_from(value).map_err(|_| self.refuse(offset, field, value))
    }

    pub(super) fn signed(&mut self, field: &'static str) -> Result<i64, SavedError> {
        let value = self.number(field)?;
        Ok((value >> 1).cast_signed() ^ (value & 1).cast_signed().wrapping_neg())
    }

    pub(super) fn bytes(&mut self, field: &'static str) -> Result<&'a [u8], SavedError> {
        let count = self.number(field)?;
        self.take(count)
    }

    /// Demands that nothing is left.
    pub(super) fn end(&self) -> Result<(), SavedError> {
        let (structure, offset, count) = (self.structure, self.offset, self.rest.len() as u64);
        if count == 0 { Ok(()) } else { Err(SavedError::TooLong { structure, offset, count }) }
    }

    /// The error that this field cannot have this value.
    pub(super) const fn refuse(&self, offset: u64, field: &'static str, value: u64) -> SavedError {
        SavedError::Field { structure: self.structure, offset, field, value }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn numbers_come_back() {
        let powers = (0..64).map(|bit| 1_u64 << bit);
        for value in powers.flat_map(|power| [power.wrapping_sub(1), power, !power]) {
            let mut bytes = Vec::new();
            put(&mut bytes, value);
            put_signed(&mut bytes, value.cast_signed());
            put_bytes(&mut bytes, b"ab");
            let mut reader = Reader::new("test", &bytes);
            assert_eq!(reader.number("n"), Ok(value));
            assert_eq!(reader.signed("n"), Ok(value.cast_signed()));
            assert_eq!(reader.bytes("b"), Ok(&b"ab"[..]));
            reader.end().unwrap();
        }
    }

    #[test]
    fn numbers_near_zero_are_short() {
        for (value, length) in [(0, 1), (-64, 1), (63, 1), (-65, 2), (64, 2), (i64::MIN, 10), (i64::MAX, 10)]
        {
            let mut bytes = Vec::new();
            put_signed(&mut bytes, value);
            assert_eq!(bytes.len(), length, "{value}");
        }
    }

    #[test]
    fn numbers_that_are_none() {
        let refused = |bytes: &[u8]| Reader::new("test", bytes).number("n").unwrap_err();
        let nines = [0xff; 9];
        let ten = |last: u8| [&nines[..], &[last]].concat();
        assert_eq!(Reader::new("test", &ten(1)).number("n"), Ok(u64::MAX));
        assert!(matches!(refused(&ten(2)), SavedError::Field { offset: 0, field: "n", .. }));
        assert!(matches!(refused(&ten(0x80)), SavedError::Field { .. }));
        assert_eq!(refused(&nines), SavedError::CutShort { structure: "test", offset: 9 });
        assert_eq!(
            Reader::new("test", &[0xac, 2]).narrow::<u8>("n"),
            Err(SavedError::Field { structure: "test", offset: 0, field: "n", value: 300 })
        );
        assert_eq!(
            Reader::new("test", &[3, 0, 0]).bytes("b"),
            Err(SavedError::CutShort { structure: "test", offset: 1 })
        );
    }
}
