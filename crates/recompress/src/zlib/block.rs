//! One deflate block: its tokens, when it is full, and how it is written.
//!
//! ```text
//! token   bits 0..8    a literal, or the length of a match less 3
//!         bits 16..31  the distance of the match, 0 for a literal
//! ```

use super::bits::Bits;
use super::huffman::{Lengths, code_lengths, codes};
use super::symbols::{
    CODE_LENGTH_ORDER, DISTANCES, END_OF_BLOCK, FIRST_LENGTH, FIXED_DISTANCES, FIXED_LITERALS, LITERALS,
    MANY_ZEROS, REPEAT, ZEROS, distance_extra, distance_symbol, length, literal_extra,
};

/// The longest stored block, in bytes.
const STORED_MAX: usize = 65535;

/// How often GNU gzip asks whether a block should end early, in tokens.
const EARLY_STEP: usize = 4096;

/// The tokens of the block under construction, and how often each symbol occurs in it.
pub(super) struct Block {
    tokens: Vec<u32>,
    /// So many tokens fill a block.
    full: usize,
    /// End the block early when it already compresses well.
    early: bool,
    literals: [u32; LITERALS],
    distances: [u32; DISTANCES],
}

impl Block {
    /// A block of at most `full` tokens; with `early`, GNU gzip's rule for ending it sooner holds.
    pub fn new(full: usize, early: bool) -> Self {
        let tokens = Vec::with_capacity(full);
        Self { tokens, full, early, literals: [0; LITERALS], distances: [0; DISTANCES] }
    }

    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    #[inline(always)]
    pub fn literal(&mut self, byte: u8) {
        self.tokens.push(byte.into());
        self.literals[usize::from(byte)] += 1;
    }

    /// Adds a match: `length` from 3 to 258, `distance` from 1 to 32767.
    #[inline(always)]
    pub fn matched(&mut self, len: usize, distance: usize) {
        let (less_3, distance) = ((len - 3) as u8, distance as u32);
        self.tokens.push(distance << 16 | u32::from(less_3));
        self.literals[length(less_3).0] += 1;
        self.distances[distance_symbol(distance) % DISTANCES] += 1;
    }

    /// Whether the block has to end behind the token just added; it covers `covered` bytes so far.
    #[inline(always)]
    pub fn is_full(&self, covered: isize) -> bool {
        let tokens = self.tokens.len();
        tokens == self.full || self.early && tokens.is_multiple_of(EARLY_STEP) && self.is_good(covered)
    }

    /// GNU gzip's guess that the block has shrunk its `covered` bytes to less than half and holds few
    /// matches.
    fn is_good(&self, covered: isize) -> bool {
        let tokens = self.tokens.len();
        let distances = self.distances.iter().enumerate();
        let bits: usize = distances.map(|(s, &n)| n as usize * (5 + distance_extra(s) as usize)).sum();
        let matches: u32 = self.distances.iter().sum();
        let guess = (8 * tokens + bits) / 8;
        (matches as usize) < tokens / 2 && guess.cast_signed() < covered / 2
    }

    /// Writes the block in its shortest form and starts a new one.
    ///
    /// `plain` is what the block covers, if that is still at hand: without it the block cannot be stored.
    pub fn end(&mut self, plain: Option<&[u8]>, last: bool, bits: &mut Bits, out: &mut Vec<u8>) {
        self.literals[END_OF_BLOCK] = 1;
        let dynamic = Dynamic::new(&self.literals, &self.distances);
        let dynamic_bytes = (dynamic.cost(&self.literals, &self.distances) + 10) / 8;
        let fixed_bytes = (self.cost_fixed() + 10) / 8;
        let best = fixed_bytes.min(dynamic_bytes);
        match plain {
            Some(plain) if plain.len() + 4 <= best && plain.len() <= STORED_MAX => {
                put_stored(plain, last, bits, out);
            }
            _ if fixed_bytes == best => {
                const FIXED: ([u32; LITERALS], [u32; DISTANCES]) =
                    (codes(&FIXED_LITERALS), codes(&FIXED_DISTANCES));
                bits.put(0b010 | u32::from(last), 3, out);
                self.put_tokens(&FIXED.0, &FIXED.1, bits, out);
            }
            _ => {
                bits.put(0b100 | u32::from(last), 3, out);
                dynamic.put_header(bits, out);
                self.put_tokens(&codes(&dynamic.literals.bits), &codes(&dynamic.distances.bits), bits, out);
            }
        }
        bits.drain(out);
        self.clear();
    }

    fn clear(&mut self) {
        self.tokens.clear();
        self.literals.fill(0);
        self.distances.fill(0);
    }

    /// Bits of the tokens in the fixed code.
    fn cost_fixed(&self) -> usize {
        cost(&self.literals, &FIXED_LITERALS, literal_extra)
            + cost(&self.distances, &FIXED_DISTANCES, distance_extra)
    }

    /// Writes all tokens and the end-of-block symbol.
    fn put_tokens(
        &self,
        literals: &[u32; LITERALS],
        distances: &[u32; DISTANCES],
        bits: &mut Bits,
        out: &mut Vec<u8>,
    ) {
        // Six bytes hold any token; growing once is faster than asking for each.
        out.reserve(6 * self.tokens.len());
        for &token in &self.tokens {
            let (value, distance) = (token as u8, token >> 16);
            if distance == 0 {
                let code = literals[usize::from(value)];
                bits.put(code & 0xffff, code >> 16, out);
                continue;
            }
            let (symbol, extra, low) = length(value);
            let code = literals[symbol % LITERALS];
            let len = code >> 16;
            bits.put(code & 0xffff | low << len, len + extra, out);
            let symbol = distance_symbol(distance) % DISTANCES;
            let (code, extra) = (distances[symbol], distance_extra(symbol));
            let (len, low) = (code >> 16, (distance - 1) & ((1 << extra) - 1));
            bits.put(code & 0xffff | low << len, len + extra, out);
        }
        let end = literals[END_OF_BLOCK];
        bits.put(end & 0xffff, end >> 16, out);
    }
}

/// Writes a stored block of at most [`STORED_MAX`] bytes; an empty one is the marker of a sync flush.
pub(super) fn put_stored(plain: &[u8], last: bool, bits: &mut Bits, out: &mut Vec<u8>) {
    bits.put(u32::from(last), 3, out);
    bits.pad(out);
    let len = plain.len() as u16;
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&(!len).to_le_bytes());
    out.extend_from_slice(plain);
}

/// Writes an empty block in the fixed code, 10 bits: the marker of a partial flush.
pub(super) fn put_empty_fixed(bits: &mut Bits, out: &mut Vec<u8>) {
    bits.put(0b010, 10, out);
    bits.drain(out);
}

/// Bits that the symbols counted in `counts` take.
fn cost<const N: usize>(counts: &[u32; N], lengths: &[u8; N], extra: fn(usize) -> u32) -> usize {
    let symbols = counts.iter().zip(lengths).enumerate().filter(|(_, (count, _))| **count > 0);
    symbols.map(|(s, (&count, &len))| count as usize * (usize::from(len) + extra(s) as usize)).sum()
}

/// The codes of a dynamic block and its header.
struct Dynamic {
    literals: Lengths<LITERALS>,
    distances: Lengths<DISTANCES>,
    /// The run-coded lengths of both: symbol, value of the extra bits.
    runs: Vec<(u8, u8)>,
    run_counts: [u32; 19],
    run_lengths: [u8; 19],
    /// How many of the lengths of the code-length code are sent.
    sent: usize,
}

impl Dynamic {
    fn new(literals: &[u32; LITERALS], distances: &[u32; DISTANCES]) -> Self {
        let (literals, distances) = (code_lengths(literals, 15), code_lengths(distances, 15));
        let mut runs = Vec::with_capacity(LITERALS + DISTANCES);
        push_runs(&literals.bits[..=literals.highest], &mut runs);
        push_runs(&distances.bits[..=distances.highest], &mut runs);
        let mut run_counts = [0; 19];
        for &(symbol, _) in &runs {
            run_counts[usize::from(symbol)] += 1;
        }
        let run_lengths = code_lengths(&run_counts, 7).bits;
        let used = CODE_LENGTH_ORDER.iter().rposition(|&s| run_lengths[usize::from(s)] > 0);
        let sent = used.map_or(4, |last| (last + 1).max(4));
        Self { literals, distances, runs, run_counts, run_lengths, sent }
    }

    /// Bits of the header and the tokens, without the three that start any block.
    fn cost(&self, literals: &[u32; LITERALS], distances: &[u32; DISTANCES]) -> usize {
        cost(literals, &self.literals.bits, literal_extra)
            + cost(distances, &self.distances.bits, distance_extra)
            + cost(&self.run_counts, &self.run_lengths, run_extra)
            + 3 * self.sent
            + 14
    }

    fn put_header(&self, bits: &mut Bits, out: &mut Vec<u8>) {
        bits.put((self.literals.highest + 1 - FIRST_LENGTH) as u32, 5, out);
        bits.put(self.distances.highest as u32, 5, out);
        bits.put(self.sent as u32 - 4, 4, out);
        for &symbol in &CODE_LENGTH_ORDER[..self.sent] {
            bits.put(self.run_lengths[usize::from(symbol)].into(), 3, out);
        }
        let codes = codes(&self.run_lengths);
        for &(symbol, extra) in &self.runs {
            let code = codes[usize::from(symbol)];
            bits.put(code & 0xffff, code >> 16, out);
            bits.put(extra.into(), run_extra(symbol.into()), out);
        }
    }
}

/// How many extra bits follow a code-length symbol.
const fn run_extra(symbol: usize) -> u32 {
    match symbol as u8 {
        REPEAT => 2,
        ZEROS => 3,
        MANY_ZEROS => 7,
        _ => 0,
    }
}

/// Run-codes the lengths of one alphabet; a run never crosses into the next alphabet.
fn push_runs(lengths: &[u8], runs: &mut Vec<(u8, u8)>) {
    for run in lengths.chunk_by(|a, b| a == b) {
        let (value, mut left) = (run[0], run.len());
        let mut first = true;
        while left > 0 {
            // A non-zero length has to stand there once before it can be repeated.
            let once = usize::from(value > 0 && first);
            let piece = left.min(if value == 0 { 138 } else { 6 + once });
            let repeated = piece - once;
            match (value, repeated) {
                (_, 0..3) => runs.extend(std::iter::repeat_n((value, 0), piece)),
                (0, 3..11) => runs.push((ZEROS, (piece - 3) as u8)),
                (0, _) => runs.push((MANY_ZEROS, (piece - 11) as u8)),
                _ => {
                    runs.extend(std::iter::repeat_n((value, 0), once));
                    runs.push((REPEAT, (repeated - 3) as u8));
                }
            }
            left -= piece;
            first = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs() {
        let coded = |value: u8, count: usize| {
            let mut runs = Vec::new();
            push_runs(&vec![value; count], &mut runs);
            runs
        };
        assert_eq!(coded(0, 2), [(0, 0); 2]);
        assert_eq!(coded(0, 3), [(ZEROS, 0)]);
        assert_eq!(coded(0, 10), [(ZEROS, 7)]);
        assert_eq!(coded(0, 11), [(MANY_ZEROS, 0)]);
        assert_eq!(coded(0, 140), [(MANY_ZEROS, 127), (0, 0), (0, 0)]);
        assert_eq!(coded(5, 3), [(5, 0); 3]);
        assert_eq!(coded(5, 4), [(5, 0), (REPEAT, 0)]);
        assert_eq!(coded(5, 7), [(5, 0), (REPEAT, 3)]);
        assert_eq!(coded(5, 9), [(5, 0), (REPEAT, 3), (5, 0), (5, 0)]);
        assert_eq!(coded(5, 10), [(5, 0), (REPEAT, 3), (REPEAT, 0)]);
    }

    /// GNU gzip ends a block at 4096 tokens if fewer than half of them are matches and the output is below
    /// half of what it covers.
    #[test]
    fn early_end() {
        let ends = |matches: usize, covered: isize, early: bool| {
            let mut block = Block::new(32767, early);
            (0..matches).for_each(|_| block.matched(3, 1));
            (matches..EARLY_STEP).for_each(|_| block.literal(b'a'));
            block.is_full(covered)
        };
        assert!(ends(2047, 1 << 20, true));
        assert!(!ends(2048, 1 << 20, true));
        assert!(!ends(2047, 1 << 20, false));
        // 4096 bytes for as many tokens, and 5 bits for each of 8 distances.
        assert!(ends(8, 2 * 4101 + 2, true));
        assert!(!ends(8, 2 * 4101 + 1, true));
    }

    #[test]
    fn empty_block() {
        let (mut bits, mut out) = (Bits::default(), Vec::new());
        Block::new(16383, false).end(Some(&[]), true, &mut bits, &mut out);
        bits.pad(&mut out);
        assert_eq!(out, [3, 0]);
    }
}
