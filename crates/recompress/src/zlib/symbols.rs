//! The alphabets of deflate (RFC 1951, 3.2.5 to 3.2.7): which symbol and which extra bits stand for a length,
//! a distance or a run of code lengths.

/// Symbols in the literal/length alphabet; the last two exist in the fixed code only and are never used.
pub(super) const LITERALS: usize = 288;
/// Symbols in the distance alphabet; the last two are never used.
pub(super) const DISTANCES: usize = 32;
/// The symbol that ends a block.
pub(super) const END_OF_BLOCK: usize = 256;
/// The symbol of the shortest length.
pub(super) const FIRST_LENGTH: usize = 257;

/// The order in which the lengths of the code-length code are sent.
pub(super) const CODE_LENGTH_ORDER: [u8; 19] =
    [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
/// Code-length symbol: repeat the length before 3 to 6 times.
pub(super) const REPEAT: u8 = 16;
/// Code-length symbol: 3 to 10 zeros.
pub(super) const ZEROS: u8 = 17;
/// Code-length symbol: 11 to 138 zeros.
pub(super) const MANY_ZEROS: u8 = 18;

/// For a length minus 3: its symbol and extra bits.
const LENGTH_SYMBOLS: [(u16, u8); 256] = {
    let mut table = [(0, 0); 256];
    let mut i = 0;
    while i < 256 {
        table[i] = match i {
            255 => (285, 0),
            0..8 => ((FIRST_LENGTH + i) as u16, 0),
            _ => {
                let extra = i.ilog2() - 2;
                // The top three bits of the value choose among the four symbols that share `extra`.
                ((FIRST_LENGTH + 4 * extra as usize + (i >> extra)) as u16, extra as u8)
            }
        };
        i += 1;
    }
    table
};

/// A match length, less 3: (symbol, number of extra bits, their value).
#[inline(always)]
pub(super) const fn length(less_3: u8) -> (usize, u32, u32) {
    let (symbol, extra) = LENGTH_SYMBOLS[less_3 as usize];
    (symbol as usize, extra as u32, less_3 as u32 & ((1 << extra) - 1))
}

/// How many extra bits follow a literal/length symbol.
pub(super) const fn literal_extra(symbol: usize) -> u32 {
    match symbol {
        265..285 => (symbol as u32 - 261) / 4,
        _ => 0,
    }
}

/// The symbol of a match distance from 1 to 32768.
#[inline(always)]
pub(super) const fn distance_symbol(distance: u32) -> usize {
    let d = distance.wrapping_sub(1);
    if d < 2 {
        return d as usize;
    }
    let top = d.ilog2();
    (2 * top + (d >> (top - 1) & 1)) as usize
}

/// How many extra bits follow a distance symbol: the low bits of the distance less 1.
#[inline(always)]
pub(super) const fn distance_extra(symbol: usize) -> u32 {
    (symbol as u32 / 2).saturating_sub(1)
}

/// The lengths of the fixed literal/length code.
pub(super) const FIXED_LITERALS: [u8; LITERALS] = {
    let mut lengths = [8; LITERALS];
    let mut symbol = 144;
    while symbol < 280 {
        lengths[symbol] = if symbol < 256 { 9 } else { 7 };
        symbol += 1;
    }
    lengths
};

/// The lengths of the fixed distance code.
pub(super) const FIXED_DISTANCES: [u8; DISTANCES] = [5; DISTANCES];

#[cfg(test)]
mod tests {
    use super::*;

    /// The tables of RFC 1951, 3.2.5, typed in.
    #[test]
    fn rfc_tables() {
        for (len, want) in [
            (3, (257, 0, 0)),
            (10, (264, 0, 0)),
            (11, (265, 1, 0)),
            (12, (265, 1, 1)),
            (13, (266, 1, 0)),
            (18, (268, 1, 1)),
            (19, (269, 2, 0)),
            (34, (272, 2, 3)),
            (35, (273, 3, 0)),
            (66, (276, 3, 7)),
            (67, (277, 4, 0)),
            (131, (281, 5, 0)),
            (257, (284, 5, 30)),
            (258, (285, 0, 0)),
        ] {
            assert_eq!(length((len - 3) as u8), want, "length {len}");
            assert_eq!(literal_extra(want.0), want.1);
        }
        for (distance, want) in [
            (1, (0, 0)),
            (2, (1, 0)),
            (3, (2, 0)),
            (4, (3, 0)),
            (5, (4, 1)),
            (6, (4, 1)),
            (7, (5, 1)),
            (9, (6, 2)),
            (13, (7, 2)),
            (4096, (23, 10)),
            (4097, (24, 11)),
            (24576, (28, 13)),
            (24577, (29, 13)),
            (32768, (29, 13)),
        ] {
            let symbol = distance_symbol(distance);
            assert_eq!((symbol, distance_extra(symbol)), want, "distance {distance}");
        }
    }
}
