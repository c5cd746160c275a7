//! The bit stream: fields fill bytes from the least significant bit upwards (RFC 1951, 3.1.1).
//!
//! ```text
//!          byte 0            byte 1
//!   +-----------------+-----------------+
//!   | 7 6 5 4 3 2 1 0 | 7 6 5 4 3 2 1 0 |     the first field written ends up in bit 0 of byte 0
//!   +-----------------+-----------------+
//! ```

/// The bits that do not make up a delivered byte yet; fewer than 32 between calls.
#[derive(Default)]
pub(super) struct Bits {
    held: u64,
    count: u32,
}

impl Bits {
    /// Appends the low `width` bits of `value`; the higher ones must be zero. At most 32 at once.
    #[inline(always)]
    pub(super) fn put(&mut self, value: u32, width: u32, out: &mut Vec<u8>) {
        debug_assert!(width <= 32 && u64::from(value) >> width == 0);
        self.held |= u64::from(value) << self.count;
        self.count += width;
        if self.count >= 32 {
            out.extend_from_slice(&(self.held as u32).to_le_bytes());
            self.held >>= 32;
            self.count -= 32;
        }
    }

    /// Fills the last byte with zero bits and delivers everything held.
    pub(super) fn align(&mut self, out: &mut Vec<u8>) {
        let bytes = self.count.div_ceil(8) as usize;
        out.extend(self.held.to_le_bytes().iter().take(bytes));
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_fill_bytes_from_the_low_end() {
        let mut bits = Bits::default();
        let mut out = Vec::new();
        bits.put(0b1, 1, &mut out);
        bits.put(0b01, 2, &mut out);
        bits.put(0b11111, 5, &mut out);
        bits.put(0b1, 3, &mut out);
        bits.align(&mut out);
        assert_eq!(out, [0b1111_1011, 0b1]);
        bits.align(&mut out);
        assert_eq!(out.len(), 2, "an aligned stream has nothing to add");
    }

    #[test]
    fn full_width_fields_survive_any_phase() {
        for phase in 0..32 {
            let mut bits = Bits::default();
            let mut out = Vec::new();
            bits.put(0, phase, &mut out);
            bits.put(0xdead_beef, 32, &mut out);
            bits.align(&mut out);
            out.resize(8, 0);
            let whole = out.iter().rev().fold(0_u64, |sum, &byte| sum << 8 | u64::from(byte));
            assert_eq!(whole, 0xdead_beef_u64 << phase);
        }
    }
}
