//! Level 1: one table of single positions under five bytes, probed at every other position and faster.

use super::window::{Match, REACH, SLOTS, Window, hash5, rebase};
use crate::bytes::zeroed;
use crate::klauspost::tokens::Tokens;

#[derive(Debug)]
pub(in crate::klauspost) struct Level1 {
    table: Box<[u32; SLOTS]>,
}

/// A match of four bytes, and where the search would have gone on.
struct Found {
    at: usize,
    from: usize,
    next: usize,
}

impl Level1 {
    pub(super) fn new() -> Self {
        Self { table: zeroed() }
    }

    pub(super) fn rebase(&mut self, by: u32) {
        rebase(&mut *self.table, by);
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
                    if at + whole + 8 < window.end() {
                        self.table[hash5::<15>(window.load8(at))] = window.stamp(at);
                    }
                    return window.finish(emitted, tokens);
                }
                match self.follow(window, at) {
                    Some(again) => from = again,
                    None => break,
                }
            }
            at += 1;
            value = window.load8(at);
        }
        window.finish(emitted, tokens);
    }

    /// The next match; nothing at the end of the window.
    #[inline(always)]
    fn find(&mut self, window: &Window, mut at: usize, emitted: usize, mut value: u64) -> Option<Found> {
        loop {
            let hash = hash5::<15>(value);
            let stamp = self.table[hash];
            let next = at + 2 + ((at - emitted) >> 5);
            if next > window.limit() {
                return None;
            }
            let ahead = window.load8(next);
            self.table[hash] = window.stamp(at);
            let hash = hash5::<15>(ahead);
            if let Some(from) = window.candidate(at, stamp, value) {
                self.table[hash] = window.stamp(next);
                return Some(Found { at, from, next });
            }
            // The second probe.
            let stamp = self.table[hash];
            self.table[hash] = window.stamp(next);
            if let Some(from) = window.candidate(next, stamp, ahead) {
                // Filed under the hash of the position before, as the original does.
                self.table[hash] = window.stamp(next + 1);
                return Some(Found { at: next, from, next: next + 1 });
            }
            value = ahead >> 8;
            at = next + 1;
        }
    }

    /// A match that starts right where the last one ended. It may be one byte farther than others.
    #[inline(always)]
    fn follow(&mut self, window: &Window, at: usize) -> Option<usize> {
        self.table[hash5::<15>(window.load8(at - 2))] = window.stamp(at - 2);
        let value = window.load8(at);
        let slot = &mut self.table[hash5::<15>(value)];
        let stamp = std::mem::replace(slot, window.stamp(at));
        window.within(REACH + 1, at, stamp).filter(|&from| window.load4(from) == value as u32)
    }
}
