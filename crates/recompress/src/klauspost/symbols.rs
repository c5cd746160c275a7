//! Lengths and distances as symbols with extra bits (RFC 1951, 3.2.5), and the fixed codes (3.2.6).

use super::huffman::Word;

/// Literal, end-of-block and length symbols in use.
pub(super) const LITERALS: usize = 286;
/// Distance symbols in use.
pub(super) const DISTANCES: usize = 30;
/// The end-of-block symbol.
pub(super) const END: usize = 256;
/// The shortest length that deflate can express.
pub(super) const SHORTEST: usize = 3;
/// The longest length that deflate can express.
pub(super) const LONGEST: usize = 258;

/// Extra bits of the length symbols, from symbol 257 on.
pub(super) const LENGTH_EXTRA: [u8; 29] =
    [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];

/// Extra bits of the distance symbols.
pub(super) const DISTANCE_EXTRA: [u8; DISTANCES] =
    [0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13];

/// Symbol minus 257 for each length minus 3.
const LENGTH_INDEX: [u8; 256] = length_index();

/// Length minus 3 at which each length symbol starts.
const LENGTH_BASE: [u8; 29] = length_base();

/// The fixed code of literals, end of block and lengths.
pub(super) const FIXED_LITERALS: [Word; LITERALS] = fixed_literals();

/// The length of every fixed distance code.
pub(super) const FIXED_DISTANCE_BITS: u32 = 5;

const fn length_base() -> [u8; 29] {
    let mut base = [0; 29];
    let mut i = 1;
    while i < 28 {
        base[i] = base[i - 1] + (1 << LENGTH_EXTRA[i - 1]);
        i += 1;
    }
    // 258 has a symbol of its own although 257 + extra bits could say it too.
    base[28] = 255;
    base
}

const fn length_index() -> [u8; 256] {
    let mut index = [0; 256];
    let mut symbol = 0;
    let mut i = 0;
    while i < 256 {
        if symbol < 28 && i == LENGTH_BASE[symbol + 1] as usize {
            symbol += 1;
        }
        index[i] = symbol as u8;
        i += 1;
    }
    index
}

const fn fixed_literals() -> [Word; LITERALS] {
    let mut words = [Word::new(0, 0); LITERALS];
    let mut i = 0;
    while i < LITERALS {
        let (code, len) = match i {
            0..144 => (0x30 + i, 8),
            144..256 => (0x190 + i - 144, 9),
            256..280 => (i - 256, 7),
            _ => (0xc0 + i - 280, 8),
        };
        words[i] = Word::new((code as u16).reverse_bits() >> (16 - len), len as u8);
        i += 1;
    }
    words
}

/// The length symbol minus 257, for a length given as length minus 3.
#[inline(always)]
pub(super) fn length_symbol(less3: u8) -> usize {
    usize::from(LENGTH_INDEX[usize::from(less3)])
}

/// Value and number of the extra bits of a length given as length minus 3.
#[inline(always)]
pub(super) fn length_extra(less3: u8, symbol: usize) -> (u64, u32) {
    (u64::from(less3 - LENGTH_BASE[symbol]), u32::from(LENGTH_EXTRA[symbol]))
}

/// The distance symbol for a distance given as distance minus 1, at most 32767.
#[inline(always)]
pub(super) fn distance_symbol(less1: u32) -> usize {
    if less1 < 2 {
        return less1 as usize;
    }
    let top = 31 - less1.leading_zeros();
    (2 * top + (less1 >> (top - 1) & 1)) as usize
}

/// Value and number of the extra bits of a distance given as distance minus 1.
#[inline(always)]
pub(super) fn distance_extra(less1: u32, symbol: usize) -> (u64, u32) {
    let count = u32::from(DISTANCE_EXTRA[symbol]);
    (u64::from(less1 & ((1 << count) - 1)), count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        for (length, symbol, extra) in [
            (3, 0, (0, 0)),
            (10, 7, (0, 0)),
            (11, 8, (0, 1)),
            (12, 8, (1, 1)),
            (257, 27, (30, 5)),
            (258, 28, (0, 0)),
        ] {
            let less3 = (length - SHORTEST) as u8;
            assert_eq!(length_symbol(less3), symbol, "{length}");
            assert_eq!(length_extra(less3, symbol), extra, "{length}");
        }
    }

    #[test]
    fn distances() {
        for (distance, symbol, extra) in [
            (1, 0, (0, 0)),
            (4, 3, (0, 0)),
            (5, 4, (0, 1)),
            (8, 5, (1, 1)),
            (24577, 29, (0, 13)),
            (32768, 29, (8191, 13)),
        ] {
            assert_eq!(distance_symbol(distance - 1), symbol, "{distance}");
            assert_eq!(distance_extra(distance - 1, symbol), extra, "{distance}");
        }
    }

    #[test]
    fn fixed_code() {
        // 1 1001 0000 of RFC 1951 for 144, and 0000 000 for the end of block.
        assert_eq!(FIXED_LITERALS[144], Word::new(0b0_0001_0011, 9));
        assert_eq!(FIXED_LITERALS[END], Word::new(0, 7));
        assert_eq!(FIXED_LITERALS[280], Word::new(0b0000_0011, 8));
    }
}
