//! Level 6: level 5 with a slower gait, one more place to look at (the distance of the last match), and both
//! positions of a pair challenging a match from its end.

use super::level5::{aligned, finished, long_match};
use super::window::{Match, Pair, REACH, SLOTS, Window, hash4, hash7, rebase, rebase_pairs};
use crate::bytes::zeroed;
use crate::klauspost::tokens::Tokens;

#[derive(Debug)]
pub(in crate::klauspost) struct Level6 {
    short: Box<[u32; SLOTS]>,
    long: Box<[Pair; SLOTS]>,
}

impl Level6 {
    pub(super) fn new() -> Self {
        Self { short: zeroed(), long: zeroed() }
    }

    pub(super) fn rebase(&mut self, by: u32) {
        rebase(&mut *self.short, by);
        rebase_pairs(&mut *self.long, by);
    }

    pub(super) fn search(&mut self, window: &Window, tokens: &mut Tokens) {
        let (mut at, mut emitted) = (window.start, window.start);
        let mut value = window.load8(at);
        let mut repeat = 1;
        while let Some((found, next)) = self.find(window, at, emitted, value, repeat) {
            let found = self.challenge(window, found);
            window.emit(emitted, found, tokens);
            repeat = found.at - found.from;
            at = found.at + found.length;
            emitted = at;
            if next >= at {
                at = next + 1;
            }
            if at >= window.limit() {
                for i in (next + 1..window.end() - 8).step_by(2) {
                    self.push(window, i, window.load8(i));
                }
                break;
            }
            for i in (next + 1..at - 1).step_by(2) {
                self.push(window, i, window.load8(i));
                self.long[hash7(window.load8(i + 1))].push(window.stamp(i + 1));
            }
            value = window.load8(at);
        }
        window.finish(emitted, tokens);
    }

    #[inline(always)]
    fn push(&mut self, window: &Window, at: usize, value: u64) {
        self.short[hash4::<15>(value)] = window.stamp(at);
        self.long[hash7(value)].push(window.stamp(at));
    }

    /// The next match, and where the search would have gone on; nothing at the end of the window.
    #[inline(always)]
    fn find(
        &mut self,
        w: &Window,
        start: usize,
        emitted: usize,
        mut value: u64,
        repeat: usize,
    ) -> Option<(Match, usize)> {
        let mut next = start;
        loop {
            let at = next;
            next = at + 1 + ((at - emitted) >> 7);
            if next > w.limit() {
                return None;
            }
            let short = self.short[hash4::<15>(value)];
            let long = self.long[hash7(value)];
            let ahead = w.load8(next);
            self.push(w, at, value);
            if let Some(found) = long_match(w, at, long, value) {
                self.push(w, next, ahead);
                return Some((found, next));
            }
            if let Some(from) = w.candidate(at, short, value) {
                let here = Match { at, from, length: w.matching_258(at, from) };
                let long = self.long[hash7(ahead)];
                self.push(w, next, ahead);
                let better = repeated(w, here, value, repeat);
                let found = better.unwrap_or_else(|| step_ahead(w, here, next, long, ahead));
                return Some((finished(w, found), next));
            }
            value = ahead;
        }
    }

    /// The match that ends where this one does, or later, if that is longer.
    #[inline(always)]
    fn challenge(&self, window: &Window, found: Match) -> Match {
        let Match { at, length, .. } = found;
        if at + length >= window.limit() {
            return found;
        }
        let pair = self.long[hash7(window.load8(at + length))];
        let distance = at as i32 + length as i32 - window.position(pair.cur);
        if distance >= REACH as i32 {
            return found;
        }
        let found = aligned(window, at + 2, pair.cur, length).unwrap_or(found);
        aligned(window, at + 2, pair.prev, found.length).unwrap_or(found)
    }
}

/// The match one byte on, at the distance of the last match, if it is longer.
#[inline(always)]
fn repeated(window: &Window, here: Match, value: u64, repeat: usize) -> Option<Match> {
    let (at, from) = (here.at + 1, here.at + 1 - repeat);
    if window.load4(from) != (value >> 8) as u32 {
        return None;
    }
    let length = window.matching_258(at, from);
    (length > here.length).then_some(Match { at, from, length })
}

/// The longest of this match and the two one step ahead; of equal ones the first.
#[inline(always)]
fn step_ahead(window: &Window, here: Match, next: usize, long: Pair, ahead: u64) -> Match {
    let mut best = here;
    if window.within(REACH, next, long.cur).is_none() {
        return best;
    }
    for stamp in [long.cur, long.prev] {
        let Some(from) = window.candidate(next, stamp, ahead) else { continue };
        let length = window.matching_258(next, from);
        if length > best.length {
            best = Match { at: next, from, length };
        }
    }
    best
}
