//! Level 4: two tables of single positions, under four and under seven bytes.

use super::window::{Match, SLOTS, Window, hash4, hash7, rebase};
use crate::bytes::{common_prefix, zeroed};
use crate::klauspost::tokens::Tokens;

#[derive(Debug)]
pub(in crate::klauspost) struct Level4 {
    short: Box<[u32; SLOTS]>,
    long: Box<[u32; SLOTS]>,
    /// Measure the match one step ahead in the wrong place (v1.18.0 and later): the distance is taken for the
    /// position, so that the outcome depends on what happens to be at the start of the history.
    slip: bool,
}

/// A match of four bytes, and where the search would have gone on.
struct Found {
    at: usize,
    from: usize,
    next: usize,
}

impl Level4 {
    pub(super) fn new(slip: bool) -> Self {
        Self { short: zeroed(), long: zeroed(), slip }
    }

    pub(super) fn rebase(&mut self, by: u32) {
        rebase(&mut *self.short, by);
        rebase(&mut *self.long, by);
    }

    pub(super) fn search(&mut self, window: &Window, tokens: &mut Tokens) {
        let (mut at, mut emitted) = (window.start, window.start);
        let mut value = window.load8(at);
        while let Some(Found { at: first, from, next }) = self.find(window, at, emitted, value) {
            let length = 4 + window.matching(first + 4, from + 4);
            window.emit(emitted, Match { at: first, from, length }, tokens);
            at = first + length;
            emitted = at;
            if next >= at {
                at = next + 1;
            }
            if at >= window.limit() {
                if at + 8 < window.end() {
                    let value = window.load8(at);
                    self.short[hash4::<15>(value)] = window.stamp(at);
                    self.long[hash7(value)] = window.stamp(at);
                }
                break;
            }
            value = self.file_skipped(window, next, at);
        }
        window.finish(emitted, tokens);
    }

    /// The next match; nothing at the end of the window.
    #[inline(always)]
    fn find(&mut self, window: &Window, start: usize, emitted: usize, mut value: u64) -> Option<Found> {
        let mut next = start;
        loop {
            let at = next;
            next = at + 1 + ((at - emitted) >> 6);
            if next > window.limit() {
                return None;
            }
            let ahead = window.load8(next);
            let stamp = window.stamp(at);
            let short = std::mem::replace(&mut self.short[hash4::<15>(value)], stamp);
            let long = std::mem::replace(&mut self.long[hash7(value)], stamp);
            if let Some(from) = window.candidate(at, long, value) {
                return Some(Found { at, from, next });
            }
            if let Some(from) = window.candidate(at, short, value) {
                let step_ahead = window.candidate(next, self.long[hash7(ahead)], ahead);
                return match step_ahead.filter(|&later| self.is_longer(window, next, later, at, from)) {
                    Some(later) => Some(Found { at: next, from: later, next }),
                    None => Some(Found { at, from, next }),
                };
            }
            value = ahead;
        }
    }

    /// Whether the match one step ahead is longer than the one here.
    #[inline(always)]
    fn is_longer(&self, window: &Window, next: usize, later: usize, at: usize, from: usize) -> bool {
        let measured_from = if self.slip { next - later } else { later };
        let ahead = common_prefix(&window.bytes[next + 4..], &window.bytes[measured_from + 4..]);
        ahead > window.matching(at + 4, from + 4)
    }

    /// Files positions from where the search would have gone on to the end of the match. Returns the bytes there.
    #[inline(always)]
    fn file_skipped(&mut self, window: &Window, next: usize, at: usize) -> u64 {
        for i in (next..at - 1).step_by(3) {
            let value = window.load8(i);
            self.long[hash7(value)] = window.stamp(i);
            let value = window.load8(i + 1);
            self.long[hash7(value)] = window.stamp(i + 1);
            self.short[hash4::<15>(value)] = window.stamp(i + 1);
        }
        let value = window.load8(at - 1);
        self.short[hash4::<15>(value)] = window.stamp(at - 1);
        self.long[hash7(value)] = window.stamp(at - 1);
        value >> 8
    }
}
