//! Huffman codes: how long each symbol's code becomes, and its bits.
//!
//! Lengths come from package-merge, so they are optimal under the limit. Where several optimal codes exist,
//! the rule for equal weights decides, and it is part of the output: *a package goes before a leaf of the
//! same weight*.
//!
//! ```text
//!   row 1   leaves, by (frequency, symbol)
//!   row k   the leaves again, merged with the packages: sums of neighbours 0+1, 2+3, … of row k-1
//!   walk    from the last row up: the first 2n-2 items; a row above needs two items for each package used below;
//!           a leaf's code length is the number of rows in which it is among the needed items
//! ```

/// One symbol's code, its bits in the order in which they are sent (the first in bit 0). Length 0: no code.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub(super) struct Code {
    pub(super) bits: u16,
    pub(super) length: u8,
}

impl Code {
    pub(super) fn width(self) -> u32 {
        u32::from(self.length)
    }
}

/// Symbols of the largest alphabet (literals and lengths, with the two that are never sent).
const MAX_SYMBOLS: usize = 288;
/// The longest code of deflate.
const MAX_LENGTH: usize = 15;
/// Items of the longest row: fewer than two for each leaf.
const ROW: usize = 2 * MAX_SYMBOLS;

/// Builds codes; keeps its scratch space from one to the next (about 30 KiB).
pub(super) struct CodeBuilder {
    /// Used symbols as `frequency << 9 | symbol`: sorting these numbers is the order of ranks.
    ranked: Vec<u32>,
    leaves: Vec<u32>,
    packages: Vec<u32>,
    row: Vec<u32>,
    /// `leaves_before[k * ROW + t]`: leaves among the first `t` items of row `k + 2`.
    leaves_before: Vec<u16>,
}

impl CodeBuilder {
    pub(super) fn new() -> Self {
        Self {
            ranked: Vec::with_capacity(MAX_SYMBOLS),
            leaves: Vec::with_capacity(MAX_SYMBOLS),
            packages: Vec::with_capacity(ROW),
            row: vec![0; ROW],
            leaves_before: vec![0; ROW * (MAX_LENGTH - 1)],
        }
    }

    /// Gives every symbol its code. Frequencies below 2^17, at most 286 symbols; `limit` is the longest code
    /// allowed (at most 15), long enough for the number of used symbols.
    pub(super) fn build(&mut self, frequencies: &[u32], limit: usize, codes: &mut [Code]) {
        codes.fill(Code::default());
        self.ranked.clear();
        let used = frequencies.iter().zip(0_u32..).filter(|&(&frequency, _)| frequency > 0);
        self.ranked.extend(used.map(|(&frequency, symbol)| frequency << 9 | symbol));
        if self.ranked.len() < 3 {
            for &item in &self.ranked {
                codes[(item & 511) as usize].length = 1;
            }
        } else {
            self.ranked.sort_unstable();
            self.package_merge(limit, codes);
        }
        assign_bits(codes);
    }

    /// Sets the lengths of the symbols in `ranked`, at least three.
    fn package_merge(&mut self, limit: usize, codes: &mut [Code]) {
        let symbols = self.ranked.len();
        let rows = limit.min(symbols - 1);
        self.leaves.clear();
        self.leaves.extend(self.ranked.iter().map(|item| item >> 9));
        self.row[..symbols].copy_from_slice(&self.leaves);
        // A weight that never wins ends both lists, so that the merge needs no bounds.
        self.leaves.push(u32::MAX);
        let mut row_length = symbols;
        for before in self.leaves_before.chunks_exact_mut(ROW).take(rows - 1) {
            self.packages.clear();
            self.packages.extend(self.row[..row_length].chunks_exact(2).map(|pair| pair[0] + pair[1]));
            row_length = symbols + self.packages.len();
            self.packages.push(u32::MAX);
            merge(&self.leaves, &self.packages, &mut self.row[..row_length], &mut before[..=row_length]);
        }
        let mut needed = 2 * symbols - 2;
        for k in (0..rows).rev() {
            let leaves =
                if k == 0 { needed } else { usize::from(self.leaves_before[(k - 1) * ROW + needed]) };
            for item in &self.ranked[..leaves] {
                codes[(item & 511) as usize].length += 1;
            }
            needed = 2 * (needed - leaves);
        }
    }
}

/// Merges two ascending lists that each end in a number larger than all into `row`; `before[t]` becomes the
/// number of leaves among the first `t` items. No branch depends on the weights: they are as good as random.
fn merge(leaves: &[u32], packages: &[u32], row: &mut [u32], before: &mut [u16]) {
    let (mut leaf, mut package) = (0, 0);
    for (item, before) in row.iter_mut().zip(before.iter_mut()) {
        *before = leaf as u16;
        let takes_package = packages[package] <= leaves[leaf];
        *item = packages[package].min(leaves[leaf]);
        package += usize::from(takes_package);
        leaf += usize::from(!takes_package);
    }
    if let Some(last) = before.last_mut() {
        *last = leaf as u16;
    }
}

/// The canonical code of RFC 1951, 3.2.2: by length, then by symbol.
pub(super) fn assign_bits(codes: &mut [Code]) {
    let mut next = [0_u16; MAX_LENGTH + 2];
    for code in codes.iter() {
        next[usize::from(code.length) + 1] += 1;
    }
    // `next[k]` is the number of codes of length k-1; turn it into the first code of length k.
    next[1] = 0;
    for length in 2..=MAX_LENGTH {
        next[length] = (next[length] + next[length - 1]) << 1;
    }
    for code in codes.iter_mut().filter(|code| code.length > 0) {
        let length = usize::from(code.length);
        code.bits = next[length].reverse_bits() >> (16 - length);
        next[length] += 1;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn build(frequencies: &[u32], limit: usize) -> Vec<Code> {
        let mut codes = vec![Code::default(); frequencies.len()];
        CodeBuilder::new().build(frequencies, limit, &mut codes);
        codes
    }

    fn lengths(frequencies: &[u32], limit: usize) -> Vec<u8> {
        build(frequencies, limit).iter().map(|code| code.length).collect()
    }

    #[test]
    fn one_or_two_symbols_have_one_bit_each() {
        assert_eq!(lengths(&[0, 0, 9], 15), [0, 0, 1]);
        assert_eq!(build(&[0, 7, 0, 9], 15)[3], Code { bits: 1, length: 1 });
        assert_eq!(lengths(&[0, 0], 15), [0, 0]);
    }

    #[test]
    fn ties_give_the_smaller_symbol_the_longer_code() {
        assert_eq!(lengths(&[1, 1, 1], 15), [2, 2, 1]);
        assert_eq!(lengths(&[1, 1, 1, 1, 1], 15), [3, 3, 2, 2, 2]);
        // {1, 2, 3, 3} or {2, 2, 2, 2} bits cost the same here; the package 1+1 goes before the leaf 2.
        assert_eq!(lengths(&[1, 1, 2, 2], 15), [3, 3, 2, 1]);
    }

    #[test]
    fn the_limit_holds() {
        let fibonacci = [1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144];
        assert_eq!(lengths(&fibonacci, 15).into_iter().max(), Some(11));
        assert_eq!(lengths(&fibonacci, 7).into_iter().max(), Some(7));
        assert_eq!(lengths(&fibonacci, 4).into_iter().max(), Some(4));
    }

    #[test]
    fn bits_are_canonical_and_reversed() {
        // The example of RFC 1951, 3.2.2: lengths (3,3,3,3,3,2,4,4) are 010 011 100 101 110 00 1110 1111.
        let mut codes = [3, 3, 3, 3, 3, 2, 4, 4].map(|length| Code { bits: 0, length });
        assign_bits(&mut codes);
        assert_eq!(codes.map(|code| code.bits), [0b010, 0b110, 0b001, 0b101, 0b011, 0b00, 0b0111, 0b1111]);
    }

    /// The cost of the best unlimited code, by pairing the two lightest again and again.
    fn huffman_cost(frequencies: &[u32]) -> u64 {
        let mut heap: Vec<u64> =
            frequencies.iter().filter(|&&frequency| frequency > 0).map(|&f| u64::from(f)).collect();
        let mut cost = 0;
        while heap.len() > 1 {
            heap.sort_unstable_by(|a, b| b.cmp(a));
            let sum = heap.pop().unwrap() + heap.pop().unwrap();
            cost += sum;
            heap.push(sum);
        }
        cost
    }

    proptest! {
        #[test]
        fn codes_are_complete_and_optimal(frequencies in prop::collection::vec(0_u32..2000, 3..286)) {
            let lengths = lengths(&frequencies, 15);
            let used = frequencies.iter().filter(|&&frequency| frequency > 0).count();
            prop_assume!(used > 2);
            let kraft: u32 = lengths.iter().filter(|&&length| length > 0).map(|&length| 1 << (15 - length)).sum();
            prop_assert_eq!(kraft, 1 << 15);
            let cost: u64 = frequencies.iter().zip(&lengths).map(|(&f, &l)| u64::from(f) * u64::from(l)).sum();
            // With frequencies below 2000 and so few symbols, a limit of 15 can still bind.
            prop_assert!(cost >= huffman_cost(&frequencies));
            if lengths.iter().all(|&length| length < 15) {
                prop_assert_eq!(cost, huffman_cost(&frequencies));
            }
        }
    }
}
