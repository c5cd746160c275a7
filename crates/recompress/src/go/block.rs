//! Blocks: which kind a piece of the stream becomes, and its bits.
//!
//! ```text
//!   stored    0 00 | 0… to a byte | length (2) | !length (2) | bytes
//!   fixed     0 10 | tokens | end of block
//!   dynamic   0 01 | header (see `header`) | tokens | end of block
//! ```
//!
//! (Bits from left to right as sent, the last-block flag first; two-bit kinds least significant bit first.)
//! Blocks of data are never flagged as the last: an empty stored block is.

use super::bits::Bits;
use super::header::DynamicHeader;
use super::huffman::{Code, CodeBuilder, assign_bits};
use super::release::Release;
use super::token::{
    DISTANCE_SYMBOLS, END_OF_BLOCK, FIRST_LENGTH, LITLEN_SYMBOLS, Token, distance_extra_width,
    length_extra_width, spell_distance, spell_length,
};

/// The most bytes that a stored block holds.
pub(super) const MAX_STORED: usize = 65535;
/// The longest code of literals, lengths and distances.
const LIMIT: usize = 15;
/// Symbols of the fixed literal/length code, of which the last two are never sent.
const FIXED_SYMBOLS: usize = 288;

/// The codes that a block's tokens are sent with.
struct Codes {
    litlen: [Code; LITLEN_SYMBOLS],
    distance: [Code; DISTANCE_SYMBOLS],
}

impl Codes {
    fn none() -> Self {
        Self { litlen: [Code::default(); LITLEN_SYMBOLS], distance: [Code::default(); DISTANCE_SYMBOLS] }
    }

    /// The fixed codes of RFC 1951, 3.2.6.
    fn fixed() -> Self {
        let mut all = [Code::default(); FIXED_SYMBOLS];
        for (symbol, code) in all.iter_mut().enumerate() {
            code.length = match symbol {
                0..144 => 8,
                144..256 => 9,
                256..280 => 7,
                _ => 8,
            };
        }
        assign_bits(&mut all);
        let mut codes = Self::none();
        codes.litlen.copy_from_slice(&all[..LITLEN_SYMBOLS]);
        codes.distance.fill(Code { bits: 0, length: 5 });
        let mut distance = [Code { bits: 0, length: 5 }; 32];
        assign_bits(&mut distance);
        codes.distance.copy_from_slice(&distance[..DISTANCE_SYMBOLS]);
        codes
    }

    /// Bits of all symbols counted in `counts`, without extra bits.
    fn size(&self, counts: &Counts) -> u32 {
        let litlen: u32 = self.litlen.iter().zip(&counts.litlen).map(|(code, n)| code.width() * n).sum();
        let distance: u32 =
            self.distance.iter().zip(&counts.distance).map(|(code, n)| code.width() * n).sum();
        litlen + distance
    }
}

/// How often each symbol occurs in a block.
struct Counts {
    litlen: [u32; LITLEN_SYMBOLS],
    distance: [u32; DISTANCE_SYMBOLS],
}

impl Counts {
    /// Nothing but the end of the block.
    fn empty() -> Self {
        let mut litlen = [0; LITLEN_SYMBOLS];
        litlen[END_OF_BLOCK] = 1;
        Self { litlen, distance: [0; DISTANCE_SYMBOLS] }
    }

    fn of_tokens(tokens: &[Token]) -> Self {
        let mut counts = Self::empty();
        let mut lengths = [0_u32; 256];
        for token in tokens {
            if token.is_literal() {
                counts.litlen[token.byte()] += 1;
            } else {
                lengths[token.length_index()] += 1;
                counts.distance[spell_distance(token.distance_index()).symbol] += 1;
            }
        }
        for (index, count) in lengths.into_iter().enumerate() {
            counts.litlen[FIRST_LENGTH + spell_length(index).symbol] += count;
        }
        counts.announce_a_distance();
        counts
    }

    fn of_bytes(bytes: &[u8]) -> Self {
        let mut counts = Self::empty();
        for &byte in bytes {
            counts.litlen[usize::from(byte)] += 1;
        }
        counts.announce_a_distance();
        counts
    }

    /// A block without matches still announces one distance, and it is priced as if it were sent.
    fn announce_a_distance(&mut self) {
        if self.distance.iter().all(|&count| count == 0) {
            self.distance[0] = 1;
        }
    }

    /// Extra bits of all lengths and distances.
    fn extra_bits(&self) -> u32 {
        let lengths = self.litlen[FIRST_LENGTH..].iter().enumerate();
        let distances = self.distance.iter().enumerate();
        lengths.map(|(symbol, n)| n * length_extra_width(symbol)).sum::<u32>()
            + distances.map(|(symbol, n)| n * distance_extra_width(symbol)).sum::<u32>()
    }
}

/// Writes blocks one after another. Below 60 KiB.
pub(super) struct BlockWriter {
    bits: Bits,
    builder: CodeBuilder,
    header: DynamicHeader,
    dynamic: Codes,
    fixed: Codes,
    /// Whether `unsent` follows the matches.
    miscounts: bool,
    /// Bits that a block of literals is charged for the distance that it announces and never sends.
    unsent: u32,
}

impl BlockWriter {
    pub(super) fn new(release: Release) -> Self {
        // The first releases charge what the matches of the block before would cost with this block's code.
        let (miscounts, unsent) = match release {
            Release::Go1_8 => (true, 0),
            Release::Go1_15 => (false, 1),
        };
        Self {
            bits: Bits::default(),
            builder: CodeBuilder::new(),
            header: DynamicHeader::default(),
            dynamic: Codes::none(),
            fixed: Codes::fixed(),
            miscounts,
            unsent,
        }
    }

    /// Writes `tokens` as the smallest kind of block; `bytes` is what they stand for, if it may be stored.
    pub(super) fn smallest(&mut self, tokens: &[Token], bytes: Option<&[u8]>, out: &mut Vec<u8>) {
        let counts = Counts::of_tokens(tokens);
        let dynamic = self.plan(&counts);
        let fixed = 3 + self.fixed.size(&counts);
        let extra = counts.extra_bits();
        if let Some(bytes) = bytes.filter(|bytes| stored_size(bytes) < u64::from(dynamic.min(fixed) + extra))
        {
            self.stored(bytes, out);
        } else if dynamic < fixed {
            self.header.write(&mut self.bits, out);
            send(tokens, &self.dynamic, &mut self.bits, out);
        } else {
            self.bits.put(0b010, 3, out);
            send(tokens, &self.fixed, &mut self.bits, out);
        }
    }

    /// Writes `tokens` as a dynamic block unless storing `bytes` is about as small; extra bits do not count.
    pub(super) fn dynamic_or_stored(&mut self, tokens: &[Token], bytes: &[u8], out: &mut Vec<u8>) {
        let counts = Counts::of_tokens(tokens);
        let size = self.plan(&counts);
        if self.miscounts {
            self.unsent = counts.distance[0];
        }
        if stored_is_as_good(bytes, size) {
            self.stored(bytes, out);
        } else {
            self.header.write(&mut self.bits, out);
            send(tokens, &self.dynamic, &mut self.bits, out);
        }
    }

    /// Writes `bytes` as literals in a dynamic block, unless storing them is about as small.
    pub(super) fn literals(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let size = self.plan(&Counts::of_bytes(bytes)) - 1 + self.unsent;
        if stored_is_as_good(bytes, size) {
            return self.stored(bytes, out);
        }
        self.header.write(&mut self.bits, out);
        out.reserve(size as usize / 8);
        for &byte in bytes {
            let code = self.dynamic.litlen[usize::from(byte)];
            self.bits.put(u32::from(code.bits), code.width(), out);
        }
        let end = self.dynamic.litlen[END_OF_BLOCK];
        self.bits.put(u32::from(end.bits), end.width(), out);
    }

    /// Writes a stored block of at most [`MAX_STORED`] bytes.
    pub(super) fn stored(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        debug_assert!(bytes.len() <= MAX_STORED);
        self.bits.put(0b000, 3, out);
        self.bits.align(out);
        let length = bytes.len() as u16;
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(bytes);
    }

    /// Writes the end of the stream.
    pub(super) fn end(&mut self, out: &mut Vec<u8>) {
        self.bits.put(0b001, 3, out);
        self.bits.align(out);
        out.extend_from_slice(&[0, 0, 0xff, 0xff]);
    }

    /// Works out codes and header of a dynamic block; its size in bits without extra bits.
    fn plan(&mut self, counts: &Counts) -> u32 {
        self.builder.build(&counts.litlen, LIMIT, &mut self.dynamic.litlen);
        self.builder.build(&counts.distance, LIMIT, &mut self.dynamic.distance);
        self.header.plan(&self.dynamic.litlen, &self.dynamic.distance, &mut self.builder);
        self.header.size() + self.dynamic.size(counts)
    }
}

/// A stored block in bits, taking the padding before it for a whole byte less three bits.
fn stored_size(bytes: &[u8]) -> u64 {
    8 * (bytes.len() as u64 + 5)
}

/// Whether a Huffman block of `size` bits fails to save a seventeenth or so: storing is faster.
fn stored_is_as_good(bytes: &[u8], size: u32) -> bool {
    stored_size(bytes) < u64::from(size + (size >> 4))
}

/// Sends tokens and the end of the block.
fn send(tokens: &[Token], codes: &Codes, bits: &mut Bits, out: &mut Vec<u8>) {
    // Symbol and extra bits of each length together: at most 15 + 5 bits.
    let mut lengths = [(0_u32, 0_u32); 256];
    for (index, length) in lengths.iter_mut().enumerate() {
        let spelling = spell_length(index);
        let code = codes.litlen[FIRST_LENGTH + spelling.symbol];
        *length = (u32::from(code.bits) | spelling.extra << code.width(), code.width() + spelling.width);
    }
    let mut local = std::mem::take(bits);
    for token in tokens {
        if token.is_literal() {
            let code = codes.litlen[token.byte()];
            local.put(u32::from(code.bits), code.width(), out);
        } else {
            let (length, width) = lengths[token.length_index()];
            local.put(length, width, out);
            let spelling = spell_distance(token.distance_index());
            let code = codes.distance[spelling.symbol];
            let distance = u32::from(code.bits) | spelling.extra << code.width();
            local.put(distance, code.width() + spelling.width, out);
        }
    }
    let end = codes.litlen[END_OF_BLOCK];
    local.put(u32::from(end.bits), end.width(), out);
    *bits = local;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut BlockWriter, &mut Vec<u8>)) -> Vec<u8> {
        let (mut blocks, mut out) = (BlockWriter::new(Release::default()), Vec::new());
        write(&mut blocks, &mut out);
        blocks.end(&mut out);
        out
    }

    fn literal_tokens(bytes: &[u8]) -> Vec<Token> {
        bytes.iter().map(|&byte| Token::literal(byte)).collect()
    }

    #[test]
    fn an_empty_stream_is_one_empty_stored_block() {
        assert_eq!(written(|_, _| ()), [1, 0, 0, 0xff, 0xff]);
    }

    #[test]
    fn a_stored_block_says_its_length_twice() {
        let out = written(|blocks, out| blocks.stored(b"ab", out));
        assert_eq!(out, [0, 2, 0, 0xfd, 0xff, b'a', b'b', 1, 0, 0, 0xff, 0xff]);
    }

    #[test]
    fn a_short_text_takes_the_fixed_codes() {
        // 'a' is 0x30 + 0x61 in eight bits, most significant bit first; the end is seven zero bits.
        let out = written(|blocks, out| blocks.smallest(&literal_tokens(b"a"), Some(b"a"), out));
        assert_eq!(out, [0b0100_1010, 0b0000_0100, 0b0000_0100, 0, 0, 0xff, 0xff]);
    }

    #[test]
    fn only_available_bytes_are_stored() {
        let noise: Vec<u8> = (0..=255).collect();
        let tokens = literal_tokens(&noise);
        assert_eq!(written(|blocks, out| blocks.smallest(&tokens, Some(&noise), out))[0], 0);
        assert_ne!(written(|blocks, out| blocks.smallest(&tokens, None, out))[0], 0);
    }

    #[test]
    fn a_block_without_matches_announces_one_distance() {
        let counts = Counts::of_bytes(b"abc");
        assert_eq!((counts.distance[0], counts.distance.iter().sum::<u32>()), (1, 1));
        let counts = Counts::of_tokens(&[Token::copy(4, 9)]);
        assert_eq!((counts.distance[0], counts.distance.iter().sum::<u32>()), (0, 1));
    }
}
