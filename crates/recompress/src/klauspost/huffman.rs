//! Prefix codes as this family of encoders builds them: optimal under a length limit, with ties broken so that the
//! lengths are the same as the original's, symbol by symbol.
//!
//! The lengths come from the boundary form of package-merge. Level 1 is the deepest list of packages, the highest
//! level the one whose first 2n - 2 items are the answer; each level is advanced only when the one above needs two
//! more items to make a pair.

/// The longest code length that any code here can have.
const LONGEST: usize = 15;

/// A frequency above every real one: "this list is used up".
const SPENT: u32 = u32::MAX;

/// One symbol's code: the bits in the low half, in the order of the stream, and their number in the high half.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Word(u32);

impl Word {
    pub(super) const fn new(bits: u16, len: u8) -> Self {
        Self(bits as u32 | (len as u32) << 16)
    }

    #[inline(always)]
    pub(super) fn bits(self) -> u64 {
        u64::from(self.0 & 0xffff)
    }

    /// The number of bits; 0 when the symbol has no code.
    #[inline(always)]
    pub(super) fn len(self) -> u32 {
        self.0 >> 16
    }
}

/// A canonical prefix code over `N` symbols.
#[derive(Debug, Clone)]
pub(super) struct Code<const N: usize> {
    words: [Word; N],
}

impl<const N: usize> Default for Code<N> {
    fn default() -> Self {
        Self { words: [Word::default(); N] }
    }
}

impl<const N: usize> Code<N> {
    /// The code for these frequencies with no length above `limit` (7 or 15).
    pub(super) fn build(freqs: &[u16; N], limit: usize) -> Self {
        let mut lens = [0u8; N];
        assign_lengths(freqs, limit, &mut lens);
        let mut words = [Word::default(); N];
        canonical(&lens, &mut words);
        Self { words }
    }

    #[inline(always)]
    pub(super) fn word(&self, symbol: usize) -> Word {
        self.words[symbol]
    }

    pub(super) fn words(&self) -> &[Word; N] {
        &self.words
    }

    /// Bits that symbols of these frequencies need; a symbol without a code counts nothing.
    pub(super) fn cost(&self, freqs: &[u16; N]) -> u32 {
        self.words.iter().zip(freqs).map(|(word, &freq)| word.len() * u32::from(freq)).sum()
    }

    /// Whether every one of the first symbols that occurs in `freqs` has a code.
    pub(super) fn covers(&self, freqs: &[u16]) -> bool {
        self.words.iter().zip(freqs).all(|(word, &freq)| freq == 0 || word.len() > 0)
    }
}

/// Canonical codes (RFC 1951, 3.2.2), bit-reversed as the stream wants them.
fn canonical(lens: &[u8], words: &mut [Word]) {
    let mut next = [0u16; LONGEST + 2];
    for &len in lens.iter().filter(|&&len| len > 0) {
        next[usize::from(len) + 1] += 1;
    }
    for len in 1..=LONGEST {
        next[len + 1] = next[len].wrapping_add(next[len + 1]) << 1;
    }
    for (word, &len) in words.iter_mut().zip(lens).filter(|(_, len)| **len > 0) {
        let code = &mut next[usize::from(len)];
        *word = Word::new(code.reverse_bits() >> (16 - len), len);
        *code += 1;
    }
}

/// Fills in the length of each symbol that occurs.
fn assign_lengths(freqs: &[u16], limit: usize, lens: &mut [u8]) {
    // Frequency above, symbol below: sorting orders equal frequencies by symbol.
    let mut leaves: Vec<u32> = freqs
        .iter()
        .zip(0u32..)
        .filter(|(f, _)| **f > 0)
        .map(|(f, symbol)| u32::from(*f) << 16 | symbol)
        .collect();
    if leaves.len() <= 2 {
        for leaf in leaves {
            lens[(leaf & 0xffff) as usize] = 1;
        }
        return;
    }
    leaves.sort_unstable();
    let counts = length_counts(&leaves, limit);
    let mut most_frequent_first = leaves.iter().rev();
    for (len, &count) in counts.iter().enumerate() {
        for leaf in most_frequent_first.by_ref().take(count) {
            lens[(leaf & 0xffff) as usize] = len as u8;
        }
    }
}

/// One list of package-merge.
#[derive(Clone, Copy, Default)]
struct List {
    last: u32,
    next_leaf: u32,
    next_pair: u32,
    needed: usize,
}

/// How many of the sorted `leaves` (at least three) get each code length.
fn length_counts(leaves: &[u32], limit: usize) -> [usize; LONGEST + 1] {
    let n = leaves.len();
    let freq = |i: usize| leaves.get(i).map_or(SPENT, |leaf| leaf >> 16);
    let top = limit.min(n - 1);
    let mut lists = [List::default(); LONGEST + 2];
    // used[v][w]: leaves of level w that are inside the items taken so far at level v.
    let mut used = [[0usize; LONGEST + 1]; LONGEST + 1];
    for v in 1..=top {
        let next_pair = if v == 1 { SPENT } else { freq(0) + freq(1) };
        lists[v] = List { last: freq(1), next_leaf: freq(2), next_pair, needed: 0 };
        used[v][v] = 2;
    }
    lists[top].needed = 2 * n - 4;
    let mut v = top;
    loop {
        let List { last, next_leaf, next_pair, .. } = lists[v];
        if next_leaf == SPENT && next_pair == SPENT {
            lists[v].needed = 0;
            lists[v + 1].next_pair = SPENT;
            v += 1;
            continue;
        }
        if next_leaf < next_pair {
            used[v][v] += 1;
            lists[v].last = next_leaf;
            lists[v].next_leaf = freq(used[v][v]);
        } else {
            let (below, here) = used.split_at_mut(v);
            here[0][1..v].copy_from_slice(&below[v - 1][1..v]);
            lists[v].last = next_pair;
            lists[v - 1].needed = 2;
        }
        lists[v].needed -= 1;
        if lists[v].needed > 0 {
            while lists[v - 1].needed > 0 {
                v -= 1;
            }
        } else if v == top {
            break;
        } else {
            lists[v + 1].next_pair = last + lists[v].last;
            v += 1;
        }
    }
    let mut counts = [0; LONGEST + 1];
    for (len, count) in counts.iter_mut().enumerate().take(top + 1).skip(1) {
        *count = used[top][top - len + 1] - used[top][top - len];
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lens<const N: usize>(freqs: [u16; N], limit: usize) -> [u32; N] {
        Code::build(&freqs, limit).words().map(Word::len)
    }

    #[test]
    fn few_symbols() {
        assert_eq!(lens([0, 0, 0], 15), [0, 0, 0]);
        assert_eq!(lens([0, 9, 0], 15), [0, 1, 0]);
        assert_eq!(lens([900, 0, 1], 15), [1, 0, 1]);
    }

    #[test]
    fn of_equal_frequencies_the_larger_symbol_is_shorter() {
        assert_eq!(lens([5, 5, 5], 15), [2, 2, 1]);
        assert_eq!(lens([1, 1, 1, 1, 1], 15), [3, 3, 2, 2, 2]);
    }

    #[test]
    fn a_tie_of_leaf_and_pair_takes_the_pair() {
        // Two, two, two, two would be as good.
        assert_eq!(lens([1, 1, 2, 2], 15), [3, 3, 2, 1]);
    }

    #[test]
    fn lengths_keep_to_the_limit() {
        let fibonacci = [1, 1, 2, 3, 5, 8, 13, 21, 34, 55];
        assert_eq!(lens(fibonacci, 15), [9, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
        assert_eq!(lens(fibonacci, 7).into_iter().max(), Some(7));
    }

    #[test]
    fn codes_are_canonical_and_reversed() {
        let code = Code::build(&[5, 5, 5], 15);
        // 10, 11 and 0, first bit lowest.
        assert_eq!(code.words(), &[Word::new(0b01, 2), Word::new(0b11, 2), Word::new(0, 1)]);
    }

    proptest! {
        #[test]
        fn codes_are_full_and_within_the_limit(freqs in prop::array::uniform32(0_u16..), limit in 5_usize..=15) {
            let lens = lens(freqs, limit);
            let used = freqs.iter().filter(|&&freq| freq > 0).count();
            let room: u32 = lens.iter().filter(|&&len| len > 0).map(|len| 1 << (15 - len)).sum();
            prop_assert!(lens.iter().all(|&len| len as usize <= limit));
            prop_assert!(lens.iter().zip(freqs).all(|(&len, freq)| (len > 0) == (freq > 0)));
            prop_assert!(used < 2 || room == 1 << 15);
        }
    }
}
