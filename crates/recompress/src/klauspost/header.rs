//! The header of a dynamic block (RFC 1951, 3.2.7): the two codes' lengths, run-length coded, under a third code.
//!
//! ```text
//!  0 | 10 | HLIT 5 | HDIST 5 | HCLEN 4 | code length code lengths, 3 each | runs: symbol (+ 2, 3 or 7 bits) …
//! ```

use super::bits::Bits;
use super::huffman::{Code, Word};

/// Order in which the code length code's lengths are sent.
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// Extra bits of the code length symbols.
const EXTRA: [u8; 19] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 3, 7];

/// A dynamic block's header, ready to be measured and written.
#[derive(Debug)]
pub(super) struct Header {
    literals: usize,
    distances: usize,
    /// Symbol and value of its extra bits.
    runs: Vec<(u8, u8)>,
    code: Code<19>,
    /// Lengths of the code length code that are sent.
    sent: usize,
    bits: u32,
}

impl Header {
    /// The header for these two codes, cut to what is to be sent (257..=286 and 1..=30).
    pub(super) fn new(literals: &[Word], distances: &[Word]) -> Self {
        let lens: Vec<u8> = literals.iter().chain(distances).map(|word| word.len() as u8).collect();
        let mut runs = Vec::with_capacity(lens.len());
        for run in lens.chunk_by(|a, b| a == b) {
            push_run(run[0], run.len(), &mut runs);
        }
        let mut freqs = [0u16; 19];
        for &(symbol, _) in &runs {
            freqs[usize::from(symbol)] += 1;
        }
        let sent = ORDER.iter().rposition(|&symbol| freqs[symbol] > 0).map_or(4, |last| (last + 1).max(4));
        let code = Code::build(&freqs, 7);
        let extra: u32 = freqs.iter().zip(EXTRA).map(|(&f, bits)| u32::from(f) * u32::from(bits)).sum();
        let bits = 17 + 3 * sent as u32 + code.cost(&freqs) + extra;
        Self { literals: literals.len(), distances: distances.len(), runs, code, sent, bits }
    }

    /// Size in bits, the three bits of the block type included.
    pub(super) fn bits(&self) -> u32 {
        self.bits
    }

    /// Opens the (never final) block.
    pub(super) fn write(&self, bits: &mut Bits, out: &mut Vec<u8>) {
        bits.put(4, 3, out);
        bits.put((self.literals - 257) as u64, 5, out);
        bits.put((self.distances - 1) as u64, 5, out);
        bits.put((self.sent - 4) as u64, 4, out);
        for &symbol in &ORDER[..self.sent] {
            bits.put(u64::from(self.code.word(symbol).len()), 3, out);
        }
        for &(symbol, extra) in &self.runs {
            let symbol = usize::from(symbol);
            let word = self.code.word(symbol);
            bits.put(word.bits(), word.len(), out);
            bits.put(u64::from(extra), u32::from(EXTRA[symbol]), out);
        }
    }
}

/// Codes one maximal run of equal lengths.
fn push_run(len: u8, mut count: usize, runs: &mut Vec<(u8, u8)>) {
    if len == 0 {
        while count >= 11 {
            let n = count.min(138);
            runs.push((18, (n - 11) as u8));
            count -= n;
        }
        if count >= 3 {
            runs.push((17, (count - 3) as u8));
            count = 0;
        }
    } else {
        runs.push((len, 0));
        count -= 1;
        while count >= 3 {
            let n = count.min(6);
            runs.push((16, (n - 3) as u8));
            count -= n;
        }
    }
    runs.extend(std::iter::repeat_n((len, 0), count));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs() {
        for (len, count, expected) in [
            (0, 2, vec![(0, 0), (0, 0)]),
            (0, 3, vec![(17, 0)]),
            (0, 10, vec![(17, 7)]),
            (0, 11, vec![(18, 0)]),
            (0, 140, vec![(18, 127), (0, 0), (0, 0)]),
            (5, 3, vec![(5, 0), (5, 0), (5, 0)]),
            (5, 4, vec![(5, 0), (16, 0)]),
            (5, 9, vec![(5, 0), (16, 3), (5, 0), (5, 0)]),
        ] {
            let mut runs = Vec::new();
            push_run(len, count, &mut runs);
            assert_eq!(runs, expected, "{count} times {len}");
        }
    }

    #[test]
    fn measured_as_written() {
        let literals: [Word; 257] = std::array::from_fn(|i| Word::new(0, (i % 7 * 2) as u8));
        let header = Header::new(&literals, &[Word::new(0, 1); 2]);
        let (mut bits, mut out) = (Bits::default(), Vec::new());
        header.write(&mut bits, &mut out);
        bits.align(&mut out);
        assert_eq!(out.len(), header.bits().div_ceil(8) as usize);
    }
}
