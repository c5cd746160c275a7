//! Bits to bytes: the first bit written is the lowest of the first byte.
//!
//! ```text
//! put(0b1, 1)  put(0b10, 2)  put(0b0110, 4)     byte  .0110 10 1
//!                                               bit   7 ..     0
//! ```

/// The bits that do not yet fill a byte.
#[derive(Debug, Default)]
pub(super) struct Bits {
    held: u64,
    count: u32,
}

impl Bits {
    /// Writes the low `count` bits of `value`, at most 32; all others must be zero.
    #[inline(always)]
    pub fn put(&mut self, value: u32, count: u32, out: &mut Vec<u8>) {
        self.held |= u64::from(value) << self.count;
        self.count += count;
        if self.count >= 32 {
            out.extend_from_slice(&(self.held as u32).to_le_bytes());
            self.held >>= 32;
            self.count -= 32;
        }
    }

    /// Hands out every whole byte.
    pub fn drain(&mut self, out: &mut Vec<u8>) {
        while self.count >= 8 {
            out.push(self.held as u8);
            self.held >>= 8;
            self.count -= 8;
        }
    }

    /// Fills the last byte with zero bits and hands out everything.
    pub fn pad(&mut self, out: &mut Vec<u8>) {
        self.count = self.count.next_multiple_of(8);
        self.drain(out);
    }

    /// How many bits of the last byte are taken, 0 to 7; 0 if it is whole.
    pub const fn partial(&self) -> u32 {
        self.count % 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_bits_first() {
        let (mut bits, mut out) = (Bits::default(), Vec::new());
        bits.put(1, 1, &mut out);
        bits.put(0b10, 2, &mut out);
        bits.put(0b0110, 4, &mut out);
        assert_eq!(bits.partial(), 7);
        bits.put(0xffff_ffff, 32, &mut out);
        assert_eq!(bits.partial(), 7);
        bits.pad(&mut out);
        assert_eq!((bits.partial(), out), (0, vec![0b1011_0101, 0xff, 0xff, 0xff, 0x7f]));
    }
}
