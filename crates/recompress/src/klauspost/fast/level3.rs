//! Level 3: one table of the last two positions under five bytes; the longer of two matches wins.

use super::window::{Match, Pair, Window, hash5, rebase_pairs};
use crate::bytes::zeroed;
use crate::klauspost::tokens::Tokens;

/// The farthest back that this level looks.
const FARTHEST: u32 = 32764;

#[derive(Debug)]
pub(in crate::klauspost) struct Level3 {
    table: Box<[Pair; 1 << 16]>,
}

/// A match of four bytes, and where the search would have gone on.
struct Found {
    at: usize,
    from: usize,
    next: usize,
}

impl Level3 {
    pub(super) fn new() -> Self {
        Self { table: zeroed() }
    }

    pub(super) fn rebase(&mut self, by: u32) {
        rebase_pairs(&mut *self.table, by);
    }

    pub(super) fn search(&mut self, window: &Window, tokens: &mut Tokens) {
        let (mut at, mut emitted) = (window.start, window.start);
        let mut value = window.load8(at);
        while let Some(Found { at: first, mut from, next }) = self.find(window, at, emitted, value) {
            at = first;
            loop {
                let length = 4 + window.matching(at + 4, from + 4);
                let whole = window.emit(emitted, Match { at, from, length }, tokens);
                at += length;
                emitted = at;
                if next >= at {
                    at = next + 1;
                }
                if at >= window.limit() {
                    // Files where the match was copied from, not where it went.
                    let source_end = from + length;
                    if source_end + 8 < window.end() {
                        self.push(window, source_end);
                    }
                    return window.finish(emitted, tokens);
                }
                match self.follow(window, at, whole) {
                    Some(again) => from = again,
                    None => break,
                }
            }
            at += 1;
            value = window.load8(at);
        }
        window.finish(emitted, tokens);
    }

    #[inline(always)]
    fn push(&mut self, window: &Window, at: usize) {
        self.table[hash5::<16>(window.load8(at))].push(window.stamp(at));
    }

    /// The next match; nothing at the end of the window.
    #[inline(always)]
    fn find(&mut self, window: &Window, start: usize, emitted: usize, mut value: u64) -> Option<Found> {
        let mut next = start;
        loop {
            let at = next;
            next = at + 1 + ((at - emitted) >> 7);
            if next > window.limit() {
                return None;
            }
            let slot = &mut self.table[hash5::<16>(value)];
            let Pair { cur, prev } = *slot;
            slot.push(window.stamp(at));
            let floor = window.stamp(at) - FARTHEST;
            let same = |stamp: u32| {
                let from = (stamp - window.base) as usize;
                (window.load4(from) == value as u32).then_some(from)
            };
            if cur >= floor {
                let from = match same(cur) {
                    Some(near) => Some(match (prev >= floor).then(|| same(prev)).flatten() {
                        Some(far) if window.matching(at + 4, far + 4) > window.matching(at + 4, near + 4) => {
                            far
                        }
                        _ => near,
                    }),
                    None => (prev > floor).then(|| same(prev)).flatten(),
                };
                if let Some(from) = from {
                    return Some(Found { at, from, next });
                }
            }
            value = window.load8(next);
        }
    }

    /// Files positions inside the match of `length` that ended at `at`; looks for one that starts right there.
    #[inline(always)]
    fn follow(&mut self, window: &Window, at: usize, length: usize) -> Option<usize> {
        for i in (at - length + 2..at.saturating_sub(5)).step_by(6) {
            self.push(window, i);
        }
        self.push(window, at - 2);
        self.push(window, at - 1);
        let value = window.load8(at);
        let slot = &mut self.table[hash5::<16>(value)];
        let Pair { cur, prev } = *slot;
        slot.push(window.stamp(at));
        let floor = window.stamp(at) - FARTHEST;
        let same = |stamp: u32| {
            let from = (stamp - window.base) as usize;
            (window.load4(from) == value as u32).then_some(from)
        };
        if cur <= floor {
            return None;
        }
        same(cur).or_else(|| (prev > floor).then(|| same(prev)).flatten())
    }
}
