//! Bits to bytes, least significant bit first (RFC 1951, 3.1.1).
//!
//! ```text
//!  out: … | byte | byte |      acc: [ 0 … 0 | pending bits (fewer than 32) ]
//!                                             ^ first bit = bit 0 of the next byte
//! ```

/// Collects bits and appends whole bytes to the output, four at a time.
#[derive(Debug, Default)]
pub(super) struct Bits {
    pending: u64,
    /// Number of pending bits, below 32 between calls.
    count: u32,
}

impl Bits {
    /// Appends the low `count` bits of `value`; the bits above them must be zero. `count` is at most 32.
    #[inline(always)]
    pub(super) fn put(&mut self, value: u64, count: u32, out: &mut Vec<u8>) {
        self.pending |= value << self.count;
        self.count += count;
        if self.count >= 32 {
            out.extend_from_slice(&(self.pending as u32).to_le_bytes());
            self.pending >>= 32;
            self.count -= 32;
        }
    }

    /// Fills up the current byte with zero bits; nothing is pending afterwards.
    pub(super) fn align(&mut self, out: &mut Vec<u8>) {
        let bytes = self.count.div_ceil(8) as usize;
        out.extend_from_slice(&self.pending.to_le_bytes()[..bytes]);
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bit_is_the_lowest() {
        let (mut bits, mut out) = (Bits::default(), Vec::new());
        bits.put(1, 1, &mut out);
        bits.put(0b10, 2, &mut out);
        bits.put(0x1f, 5, &mut out);
        bits.put(0x1234_5678, 32, &mut out);
        bits.put(1, 1, &mut out);
        bits.align(&mut out);
        assert_eq!(out, [0xfd, 0x78, 0x56, 0x34, 0x12, 0x01]);
        bits.align(&mut out);
        assert_eq!(out.len(), 6, "nothing was pending");
    }
}
