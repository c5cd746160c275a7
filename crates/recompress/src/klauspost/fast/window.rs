//! What the searches of levels 1 to 6 have in common: loads, hashes, reach, match lengths, and the tables.

use crate::bytes::common_prefix;
use crate::klauspost::tokens::Tokens;

/// One more than the longest distance (but for the few places that allow this one too).
pub(super) const REACH: usize = 32768;

/// A search stops when its next probe would be nearer to the end than this.
const MARGIN: usize = 11;

/// Bits of most tables' indexes.
pub(super) const SLOTS: usize = 1 << 15;

/// One window and the history before it.
#[derive(Debug)]
pub(super) struct Window<'a> {
    /// History, then the window to its end.
    pub(super) bytes: &'a [u8],
    /// Where the window starts.
    pub(super) start: usize,
    /// Stamp of the first byte.
    pub(super) base: u32,
}

impl Window<'_> {
    /// Whether the window is long enough for a first probe and the one after.
    pub(super) fn is_searchable(&self) -> bool {
        self.bytes.len() - self.start > MARGIN + 1
    }

    /// One past the last byte.
    #[inline(always)]
    pub(super) fn end(&self) -> usize {
        self.bytes.len()
    }

    /// The last position that may be probed.
    #[inline(always)]
    pub(super) fn limit(&self) -> usize {
        self.bytes.len() - MARGIN
    }

    /// The four bytes at `at`.
    #[inline(always)]
    pub(super) fn load4(&self, at: usize) -> u32 {
        let mut four = [0; 4];
        four.copy_from_slice(&self.bytes[at..at + 4]);
        u32::from_le_bytes(four)
    }

    /// The eight bytes at `at`.
    #[inline(always)]
    pub(super) fn load8(&self, at: usize) -> u64 {
        let mut eight = [0; 8];
        eight.copy_from_slice(&self.bytes[at..at + 8]);
        u64::from_le_bytes(eight)
    }

    /// What a table remembers a position by.
    #[inline(always)]
    pub(super) fn stamp(&self, at: usize) -> u32 {
        self.base + at as u32
    }

    /// The position behind a stamp, relative to the first byte; far below zero for "none" and what is forgotten.
    #[inline(always)]
    pub(super) fn position(&self, stamp: u32) -> i32 {
        stamp as i32 - self.base as i32
    }

    /// The position behind a stamp if it is before `at` by less than `reach`.
    #[inline(always)]
    pub(super) fn within(&self, reach: usize, at: usize, stamp: u32) -> Option<usize> {
        let distance = self.stamp(at).wrapping_sub(stamp) as usize;
        (distance < reach).then(|| at - distance)
    }

    /// The position behind a stamp if it is in reach of `at` and the four bytes there are the low ones of `value`.
    #[inline(always)]
    pub(super) fn candidate(&self, at: usize, stamp: u32, value: u64) -> Option<usize> {
        self.within(super::REACH, at, stamp).filter(|&found| self.load4(found) == value as u32)
    }

    /// How many bytes at `at` and at the earlier `found` are the same, up to the end.
    #[inline(always)]
    pub(super) fn matching(&self, at: usize, found: usize) -> usize {
        common_prefix(&self.bytes[at..], &self.bytes[found..])
    }

    /// The same for a match of four bytes that is known, counted to 258 at most.
    #[inline(always)]
    pub(super) fn matching_258(&self, at: usize, found: usize) -> usize {
        let end = self.end().min(at + 258);
        4 + common_prefix(&self.bytes[at + 4..end], &self.bytes[found + 4..])
    }

    /// Emits a match, grown backwards over the literals that are waiting, after those that still are. Returns the
    /// emitted length.
    #[inline(always)]
    pub(super) fn emit(&self, emitted: usize, found: Match, tokens: &mut Tokens) -> usize {
        let Match { at, from, length } = found;
        let waiting = self.bytes[emitted..at].iter().rev();
        let back = waiting.zip(self.bytes[..from].iter().rev()).take_while(|(a, b)| a == b).count();
        tokens.literals(&self.bytes[emitted..at - back]);
        tokens.long_match(length + back, at - from);
        length + back
    }

    /// The literals after the last match; nothing when there was none.
    pub(super) fn finish(&self, emitted: usize, tokens: &mut Tokens) {
        if !tokens.is_empty() {
            tokens.literals(&self.bytes[emitted..]);
        }
    }
}

/// The bytes `at` a position are those `from` an earlier one, over some `length`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Match {
    pub(super) at: usize,
    pub(super) from: usize,
    pub(super) length: usize,
}

/// Hash of the four low bytes.
#[inline(always)]
pub(in crate::klauspost) fn hash4<const BITS: u32>(value: u64) -> usize {
    ((value as u32).wrapping_mul(2_654_435_761) >> (32 - BITS)) as usize
}

/// Hash of the five low bytes.
#[inline(always)]
pub(super) fn hash5<const BITS: u32>(value: u64) -> usize {
    ((value << 24).wrapping_mul(889_523_592_379) >> (64 - BITS)) as usize
}

/// Hash of the seven low bytes.
#[inline(always)]
pub(super) fn hash7(value: u64) -> usize {
    ((value << 8).wrapping_mul(58_295_818_150_454_627) >> (64 - 15)) as usize
}

/// The last two stamps with the same hash.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pair {
    pub(super) cur: u32,
    pub(super) prev: u32,
}

impl Pair {
    #[inline(always)]
    pub(super) fn push(&mut self, stamp: u32) {
        *self = Self { cur: stamp, prev: self.cur };
    }
}

/// Subtracts `by` from each stamp; what falls below zero is forgotten.
pub(super) fn rebase(stamps: &mut [u32], by: u32) {
    for stamp in stamps {
        *stamp = stamp.saturating_sub(by);
    }
}

/// The same for pairs.
pub(super) fn rebase_pairs(pairs: &mut [Pair], by: u32) {
    for pair in pairs {
        *pair = Pair { cur: pair.cur.saturating_sub(by), prev: pair.prev.saturating_sub(by) };
    }
}
