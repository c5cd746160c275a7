//! The two atoms of a recipe's bytes: single bytes, and numbers in base 128, lowest digits first.
//!
//! ```text
//! number  │1 ddddddd│1 ddddddd│ … │0 ddddddd│   the shortest form only, below 2^64
//! ```

/// Why bytes are no atoms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WireError {
    /// They end too soon.
    Short,
    /// A number that is too large or not in its shortest form.
    Number,
}

/// Bytes to take from.
pub(crate) struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    pub fn byte(&mut self) -> Result<u8, WireError> {
        let (&byte, rest) = self.0.split_first().ok_or(WireError::Short)?;
        self.0 = rest;
        Ok(byte)
    }

    pub fn bytes(&mut self, count: u64) -> Result<&'a [u8], WireError> {
        let count = usize::try_from(count).map_err(|_| WireError::Short)?;
        let (bytes, rest) = self.0.split_at_checked(count).ok_or(WireError::Short)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub fn number(&mut self) -> Result<u64, WireError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let digit = u64::from(byte & 0x7f);
            if shift == 63 && digit > 1 {
                return Err(WireError::Number);
            }
            value |= digit << shift;
            if byte < 0x80 {
                let shortest = byte != 0 || shift == 0;
                return if shortest { Ok(value) } else { Err(WireError::Number) };
            }
        }
        Err(WireError::Number)
    }
}

pub(crate) fn put_number(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_shortest_form() {
        for (bytes, number) in [
            (&[0_u8][..], Ok(0)),
            (&[0x7f], Ok(127)),
            (&[0x80, 1], Ok(128)),
            (&[0x80, 0], Err(WireError::Number)),
            (&[0x80], Err(WireError::Short)),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], Ok(u64::MAX)),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2], Err(WireError::Number)),
            (&[0x80; 11], Err(WireError::Number)),
        ] {
            assert_eq!(Input(bytes).number(), number, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn numbers(value: u64) {
            let mut bytes = Vec::new();
            put_number(value, &mut bytes);
            let mut input = Input(&bytes);
            prop_assert_eq!(input.number().unwrap(), value);
            prop_assert!(input.0.is_empty());
        }
    }
}
