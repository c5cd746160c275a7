//! What a match search finds: literals and matches in order, counted as they come.
//!
//! ```text
//!  literal, end of block   0000 0000 0000 0000  0000 000s ssss ssss     s = symbol 0..=256
//!  match                   1lll llll ld dddd    0eee eeee eeee eeee     l = length - 3, d = distance symbol,
//!                          31       23 22..18   14..0                    e = distance - 1
//! ```

use super::symbols::{self, DISTANCES, END, LITERALS, LONGEST, SHORTEST};

const MATCH: u32 = 1 << 31;

/// One literal, match or end of block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token(u32);

impl Token {
    /// The symbol of a literal or the end of block; nothing for a match.
    #[inline(always)]
    pub(super) fn literal(self) -> Option<usize> {
        (self.0 & MATCH == 0).then_some(self.0 as usize)
    }

    /// Length minus 3 of a match.
    #[inline(always)]
    pub(super) fn length_less3(self) -> u8 {
        (self.0 >> 23) as u8
    }

    /// Distance minus 1 of a match.
    #[inline(always)]
    pub(super) fn distance_less1(self) -> u32 {
        self.0 & 0x7fff
    }

    /// Distance symbol of a match.
    #[inline(always)]
    pub(super) fn distance_symbol(self) -> usize {
        (self.0 >> 18 & 31) as usize
    }
}

/// The tokens of one block with their frequencies.
#[derive(Debug)]
pub(super) struct Tokens {
    list: Vec<Token>,
    literals: [u16; LITERALS],
    distances: [u16; DISTANCES],
}

impl Tokens {
    pub(super) fn with_capacity(count: usize) -> Self {
        Self { list: Vec::with_capacity(count), literals: [0; LITERALS], distances: [0; DISTANCES] }
    }

    pub(super) fn clear(&mut self) {
        self.list.clear();
        self.literals = [0; LITERALS];
        self.distances = [0; DISTANCES];
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn list(&self) -> &[Token] {
        &self.list
    }

    /// How often each literal, end of block and length symbol occurs.
    pub(super) fn literal_freqs(&self) -> &[u16; LITERALS] {
        &self.literals
    }

    /// How often each distance symbol occurs.
    pub(super) fn distance_freqs(&self) -> &[u16; DISTANCES] {
        &self.distances
    }

    #[inline(always)]
    pub(super) fn literal(&mut self, byte: u8) {
        self.literals[usize::from(byte)] += 1;
        self.list.push(Token(u32::from(byte)));
    }

    #[inline(always)]
    pub(super) fn literals(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.literals[usize::from(byte)] += 1;
        }
        self.list.extend(bytes.iter().map(|&byte| Token(u32::from(byte))));
    }

    /// The end of the block.
    pub(super) fn end(&mut self) {
        self.literals[END] = 1;
        self.list.push(Token(END as u32));
    }

    /// One match of a length that a single symbol can say (3..=258).
    #[inline(always)]
    pub(super) fn short_match(&mut self, length: usize, distance: usize) {
        let length = (length - SHORTEST) as u8;
        let distance = distance as u32 - 1;
        let symbol = symbols::distance_symbol(distance);
        self.literals[END + 1 + symbols::length_symbol(length)] += 1;
        self.distances[symbol] += 1;
        self.list.push(Token(MATCH | u32::from(length) << 23 | (symbol as u32) << 18 | distance));
    }

    /// A match of any length from 4 on, cut into pieces none of which is shorter than 3.
    #[inline(always)]
    pub(super) fn long_match(&mut self, mut length: usize, distance: usize) {
        while length > LONGEST {
            let piece = if length > LONGEST + SHORTEST { LONGEST } else { LONGEST - SHORTEST };
            self.short_match(piece, distance);
            length -= piece;
        }
        self.short_match(length, distance);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_matches_are_cut_into_legal_pieces() {
        for (length, pieces) in [
            (4, vec![4]),
            (258, vec![258]),
            (259, vec![255, 4]),
            (261, vec![255, 6]),
            (262, vec![258, 4]),
            (516, vec![258, 258]),
            (517, vec![258, 255, 4]),
        ] {
            let mut tokens = Tokens::with_capacity(0);
            tokens.long_match(length, 32768);
            let cut: Vec<_> =
                tokens.list().iter().map(|t| usize::from(t.length_less3()) + SHORTEST).collect();
            assert_eq!(cut, pieces);
            assert!(tokens.list().iter().all(|t| t.distance_less1() == 32767 && t.distance_symbol() == 29));
            assert_eq!(usize::from(tokens.distance_freqs()[29]), pieces.len());
        }
    }

    #[test]
    fn literals_are_no_matches() {
        let mut tokens = Tokens::with_capacity(0);
        tokens.literals(&[0, 255]);
        tokens.end();
        tokens.short_match(3, 1);
        let literals: Vec<_> = tokens.list().iter().map(|token| token.literal()).collect();
        assert_eq!(literals, [Some(0), Some(255), Some(END), None]);
        assert_eq!(tokens.literal_freqs()[END..=END + 1], [1, 1]);
    }
}
