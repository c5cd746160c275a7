//! Literals and matches, and the deflate symbols that stand for them (RFC 1951, 3.2.5).

/// Matches shorter than this are never made.
pub(super) const MIN_MATCH: usize = 4;
/// The longest match that deflate can say.
pub(super) const MAX_MATCH: usize = 258;
/// The largest distance that deflate can say.
pub(super) const MAX_DISTANCE: u32 = 32768;
/// Half a window of the hash chains; the largest distance.
pub(super) const HALF: usize = MAX_DISTANCE as usize;
/// Bytes of that window.
pub(super) const WINDOW: usize = 2 * HALF;
/// Literal/length symbols that may be sent.
pub(super) const LITLEN_SYMBOLS: usize = 286;
/// Distance symbols that may be sent.
pub(super) const DISTANCE_SYMBOLS: usize = 30;
/// "The block ends here".
pub(super) const END_OF_BLOCK: usize = 256;
/// The symbol of the shortest length.
pub(super) const FIRST_LENGTH: usize = 257;
/// The length that symbol [`FIRST_LENGTH`] stands for; lengths are counted from here.
pub(super) const LENGTH_BASE: usize = 3;

/// A literal byte, or a match.
///
/// ```text
///   31        16 15         0
///   +-----------+-----------+
///   |     0     |   byte    |   literal
///   |  length   | dist - 1  |   match: length 4..=258, distance 1..=32768
///   +-----------+-----------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token(u32);

impl Token {
    pub(super) fn literal(byte: u8) -> Self {
        Self(u32::from(byte))
    }

    pub(super) fn copy(length: usize, distance: u32) -> Self {
        debug_assert!((MIN_MATCH..=MAX_MATCH).contains(&length) && (1..=MAX_DISTANCE).contains(&distance));
        Self((length as u32) << 16 | (distance - 1))
    }

    pub(super) fn is_literal(self) -> bool {
        self.0 < 256
    }

    /// The byte of a literal, as an index.
    pub(super) fn byte(self) -> usize {
        (self.0 & 0xff) as usize
    }

    /// The length of a match minus [`LENGTH_BASE`], 1..=255.
    pub(super) fn length_index(self) -> usize {
        ((self.0 >> 16) as usize).wrapping_sub(LENGTH_BASE) & 0xff
    }

    /// The distance of a match minus one, 0..=32767.
    pub(super) fn distance_index(self) -> u32 {
        self.0 & 0x7fff
    }
}

/// How a length or a distance is sent: a symbol, then `width` extra bits that say `extra`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spelling {
    pub(super) symbol: usize,
    pub(super) extra: u32,
    pub(super) width: u32,
}

/// Spells the length `index + 3`, index 0..=255; symbols count from [`FIRST_LENGTH`].
pub(super) fn spell_length(index: usize) -> Spelling {
    match index {
        255 => Spelling { symbol: 28, extra: 0, width: 0 },
        0..8 => Spelling { symbol: index, extra: 0, width: 0 },
        _ => {
            let width = index.ilog2() - 2;
            let symbol = 4 * width as usize + (index >> width);
            Spelling { symbol, extra: (index & ((1 << width) - 1)) as u32, width }
        }
    }
}

/// Spells the distance `index + 1`, index 0..=32767.
#[inline(always)]
pub(super) fn spell_distance(index: u32) -> Spelling {
    if index < 2 {
        return Spelling { symbol: index as usize, extra: 0, width: 0 };
    }
    let width = index.ilog2() - 1;
    Spelling { symbol: (2 * width + (index >> width)) as usize, extra: index & ((1 << width) - 1), width }
}

/// Extra bits after length symbol `symbol` (counted from [`FIRST_LENGTH`]).
pub(super) fn length_extra_width(symbol: usize) -> u32 {
    if (8..28).contains(&symbol) { symbol as u32 / 4 - 1 } else { 0 }
}

/// Extra bits after distance symbol `symbol`.
pub(super) fn distance_extra_width(symbol: usize) -> u32 {
    (symbol as u32 / 2).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tables of RFC 1951, 3.2.5.
    const LENGTHS: [u32; 29] = [
        3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163,
        195, 227, 258,
    ];
    const DISTANCES: [u32; 30] = [
        1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049,
        3073, 4097, 6145, 8193, 12289, 16385, 24577,
    ];

    #[test]
    fn lengths_follow_the_standard() {
        for index in 0..256_usize {
            let length = index as u32 + 3;
            let symbol = LENGTHS.iter().rposition(|&base| base <= length).unwrap_or(0);
            let spelling = spell_length(index);
            assert_eq!((spelling.symbol, spelling.extra), (symbol, length - LENGTHS[symbol]));
            assert_eq!(spelling.width, length_extra_width(symbol));
            assert!(spelling.extra < 1 << spelling.width);
        }
    }

    #[test]
    fn distances_follow_the_standard() {
        for index in 0..MAX_DISTANCE {
            let symbol = DISTANCES.iter().rposition(|&base| base <= index + 1).unwrap_or(0);
            let spelling = spell_distance(index);
            assert_eq!((spelling.symbol, spelling.extra), (symbol, index + 1 - DISTANCES[symbol]));
            assert_eq!(spelling.width, distance_extra_width(symbol));
            assert!(spelling.extra < 1 << spelling.width);
        }
    }

    #[test]
    fn tokens_keep_what_they_are_told() {
        assert!(Token::literal(255).is_literal());
        assert_eq!(Token::literal(255).byte(), 255);
        for (length, distance) in [(4, 1), (258, 32768), (17, 4096)] {
            let token = Token::copy(length, distance);
            assert!(!token.is_literal());
            assert_eq!((token.length_index(), token.distance_index()), (length - 3, distance - 1));
        }
    }
}
