//! The header of a dynamic block: the code lengths of both alphabets, themselves run-length and Huffman
//! coded.
//!
//! ```text
//!   bits  3    5          5         4       3 × ncl                then
//!       +----+----------+---------+-------+----------------------+-------------------------+
//!       | 00 | nlit-257 | ndist-1 | ncl-4 | code length lengths, | the lengths of nlit and |
//!       | 10 |          |         |       | in an odd order      | ndist symbols, one run  |
//!       +----+----------+---------+-------+----------------------+-------------------------+
//! ```

use super::bits::Bits;
use super::huffman::{Code, CodeBuilder};
use super::token::FIRST_LENGTH;

/// Code-length symbols: lengths 0..=15, then three kinds of repetition.
const SYMBOLS: usize = 19;
/// "The last length again, 3..=6 times", with 2 extra bits.
const REPEAT: u8 = 16;
/// "Zero, 3..=10 times", with 3 extra bits.
const ZEROS: u8 = 17;
/// "Zero, 11..=138 times", with 7 extra bits.
const MANY_ZEROS: u8 = 18;
/// The order in which the code-length code's own lengths are sent.
const ORDER: [u8; SYMBOLS] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
/// The longest code of a code-length symbol.
const LIMIT: usize = 7;

fn extra_width(symbol: u8) -> u32 {
    match symbol {
        REPEAT => 2,
        ZEROS => 3,
        MANY_ZEROS => 7,
        _ => 0,
    }
}

/// A header worked out, ready to be priced and sent.
#[derive(Default)]
pub(super) struct DynamicHeader {
    /// Code-length symbols with the value of their extra bits.
    items: Vec<(u8, u8)>,
    frequencies: [u32; SYMBOLS],
    codes: [Code; SYMBOLS],
    literals: usize,
    distances: usize,
    code_lengths: usize,
}

impl DynamicHeader {
    /// Works out the header that announces these codes. Symbols after the last one with a code are not
    /// announced.
    pub(super) fn plan(&mut self, litlen: &[Code], distance: &[Code], builder: &mut CodeBuilder) {
        self.literals = announced(litlen).max(FIRST_LENGTH);
        self.distances = announced(distance).max(1);
        self.items.clear();
        self.frequencies = [0; SYMBOLS];
        let mut lengths = litlen[..self.literals]
            .iter()
            .chain(&distance[..self.distances])
            .map(|code| code.length)
            .peekable();
        while let Some(length) = lengths.next() {
            let mut count = 1;
            while lengths.next_if_eq(&length).is_some() {
                count += 1;
            }
            self.push_run(length, count);
        }
        builder.build(&self.frequencies, LIMIT, &mut self.codes);
        let unused = ORDER.iter().rev().take_while(|&&symbol| self.frequencies[usize::from(symbol)] == 0);
        self.code_lengths = (SYMBOLS - unused.count()).max(4);
    }

    fn push_run(&mut self, length: u8, mut count: usize) {
        if length == 0 {
            while count >= 11 {
                let repeat = count.min(138);
                self.push(MANY_ZEROS, repeat - 11);
                count -= repeat;
            }
            if count >= 3 {
                self.push(ZEROS, count - 3);
                count = 0;
            }
        } else {
            self.push(length, 0);
            count -= 1;
            while count >= 3 {
                let repeat = count.min(6);
                self.push(REPEAT, repeat - 3);
                count -= repeat;
            }
        }
        for _ in 0..count {
            self.push(length, 0);
        }
    }

    fn push(&mut self, symbol: u8, extra: usize) {
        self.frequencies[usize::from(symbol)] += 1;
        self.items.push((symbol, extra as u8));
    }

    /// The header's size in bits, with the three bits that open the block.
    pub(super) fn size(&self) -> u32 {
        let runs: u32 = (0_u8..)
            .zip(&self.frequencies)
            .zip(&self.codes)
            .map(|((symbol, frequency), code)| frequency * (code.width() + extra_width(symbol)))
            .sum();
        17 + 3 * self.code_lengths as u32 + runs
    }

    /// Sends the header of a block that is not the last.
    pub(super) fn write(&self, bits: &mut Bits, out: &mut Vec<u8>) {
        bits.put(0b100, 3, out);
        bits.put((self.literals - FIRST_LENGTH) as u32, 5, out);
        bits.put((self.distances - 1) as u32, 5, out);
        bits.put((self.code_lengths - 4) as u32, 4, out);
        for &symbol in &ORDER[..self.code_lengths] {
            bits.put(self.codes[usize::from(symbol)].width(), 3, out);
        }
        for &(symbol, extra) in &self.items {
            let code = self.codes[usize::from(symbol)];
            bits.put(u32::from(code.bits), code.width(), out);
            bits.put(u32::from(extra), extra_width(symbol), out);
        }
    }
}

/// How many symbols remain when those without a code are cut off the end.
fn announced(codes: &[Code]) -> usize {
    codes.iter().rposition(|code| code.length > 0).map_or(0, |last| last + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(lengths: &[(u8, usize)]) -> Vec<(u8, u8)> {
        let mut header = DynamicHeader::default();
        for &(length, count) in lengths {
            header.push_run(length, count);
        }
        header.items
    }

    #[test]
    fn runs_of_zero() {
        assert_eq!(runs(&[(0, 2)]), [(0, 0), (0, 0)]);
        assert_eq!(runs(&[(0, 10)]), [(17, 7)]);
        assert_eq!(runs(&[(0, 11)]), [(18, 0)]);
        assert_eq!(runs(&[(0, 140)]), [(18, 127), (0, 0), (0, 0)]);
        assert_eq!(runs(&[(0, 141)]), [(18, 127), (17, 0)]);
        assert_eq!(runs(&[(0, 149)]), [(18, 127), (18, 0)]);
    }

    #[test]
    fn runs_of_a_length() {
        assert_eq!(runs(&[(8, 3)]), [(8, 0), (8, 0), (8, 0)]);
        assert_eq!(runs(&[(8, 4)]), [(8, 0), (16, 0)]);
        assert_eq!(runs(&[(8, 9)]), [(8, 0), (16, 3), (8, 0), (8, 0)]);
        assert_eq!(runs(&[(8, 10), (7, 1)]), [(8, 0), (16, 3), (16, 0), (7, 0)]);
    }

    #[test]
    fn size_is_what_is_written() {
        let mut litlen = [Code::default(); 286];
        for (symbol, length) in [(0, 1), (97, 3), (98, 3), (256, 2)] {
            litlen[symbol].length = length;
        }
        let mut distance = [Code::default(); 30];
        distance[0].length = 1;
        let mut header = DynamicHeader::default();
        header.plan(&litlen, &distance, &mut CodeBuilder::new());
        assert_eq!((header.literals, header.distances), (257, 1));
        let (mut bits, mut out) = (Bits::default(), Vec::new());
        header.write(&mut bits, &mut out);
        bits.align(&mut out);
        assert_eq!(out.len(), header.size().div_ceil(8) as usize);
    }
}
