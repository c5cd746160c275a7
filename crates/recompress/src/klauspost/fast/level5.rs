//! Level 5: a table of single positions under four bytes, and one of the last two positions under seven.

use super::window::{Match, Pair, REACH, SLOTS, Window, hash4, hash7, rebase, rebase_pairs};
use crate::bytes::zeroed;
use crate::klauspost::tokens::Tokens;

/// Only matches shorter than this are challenged from their end.
const CHALLENGED_BELOW: usize = 30;

#[derive(Debug)]
pub(in crate::klauspost) struct Level5 {
    short: Box<[u32; SLOTS]>,
    long: Box<[Pair; SLOTS]>,
}

impl Level5 {
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
        while let Some((found, next)) = self.find(window, at, emitted, value) {
            let found = self.challenge(window, found);
            let whole = window.emit(emitted, found, tokens);
            at = found.at + found.length;
            emitted = at;
            if next >= at {
                at = next + 1;
            }
            if at >= window.limit() {
                break;
            }
            value = self.file_matched(window, at, whole);
        }
        window.finish(emitted, tokens);
    }

    #[inline(always)]
    fn push_short(&mut self, window: &Window, at: usize, value: u64) {
        self.short[hash4::<15>(value)] = window.stamp(at);
    }

    #[inline(always)]
    fn push_long(&mut self, window: &Window, at: usize, value: u64) {
        self.long[hash7(value)].push(window.stamp(at));
    }

    /// The next match, and where the search would have gone on; nothing at the end of the window.
    #[inline(always)]
    fn find(&mut self, w: &Window, start: usize, emitted: usize, mut value: u64) -> Option<(Match, usize)> {
        let mut next = start;
        loop {
            let at = next;
            next = at + 1 + ((at - emitted) >> 6);
            if next > w.limit() {
                return None;
            }
            let short = self.short[hash4::<15>(value)];
            let long = self.long[hash7(value)];
            let ahead = w.load8(next);
            self.push_short(w, at, value);
            self.push_long(w, at, value);
            if let Some(found) = long_match(w, at, long, value) {
                self.push_short(w, next, ahead);
                self.push_long(w, next, ahead);
                return Some((found, next));
            }
            if let Some(from) = w.candidate(at, short, value) {
                let length = w.matching_258(at, from);
                let long = self.long[hash7(ahead)];
                self.push_short(w, next, ahead);
                self.push_long(w, next, ahead);
                let here = finished(w, Match { at, from, length });
                return Some((step_ahead(w, next, long, ahead, length).unwrap_or(here), next));
            }
            value = ahead;
        }
    }

    /// The match that ends where this one does, or later, if that is longer.
    #[inline(always)]
    fn challenge(&self, window: &Window, found: Match) -> Match {
        let Match { at, length, .. } = found;
        if length >= CHALLENGED_BELOW || at + length >= window.limit() {
            return found;
        }
        let stamp = self.long[hash7(window.load8(at + length))].cur;
        aligned(window, at + 2, stamp, length).unwrap_or(found)
    }

    /// Files positions inside the match of `length` that ended at `at`. Returns the bytes there.
    #[inline(always)]
    fn file_matched(&mut self, window: &Window, at: usize, length: usize) -> u64 {
        let mut i = at - length + 1;
        if i < at - 1 {
            let value = window.load8(i);
            self.push_short(window, i, value);
            self.push_long(window, i, value);
            self.push_long(window, i + 1, window.load8(i + 1));
            self.push_short(window, i + 2, window.load8(i + 2));
            i += 4;
        }
        while i < at - 1 {
            self.push_long(window, i, window.load8(i));
            self.push_short(window, i + 1, window.load8(i + 1));
            i += 3;
        }
        let value = window.load8(at - 1);
        self.push_short(window, at - 1, value);
        self.push_long(window, at - 1, value);
        value >> 8
    }
}

/// The match of the last position under the same seven bytes or, if that is longer, the one before it.
#[inline(always)]
pub(super) fn long_match(window: &Window, at: usize, long: Pair, value: u64) -> Option<Match> {
    let near = window.within(REACH, at, long.cur)?;
    let far = window.candidate(at, long.prev, value);
    let whole = |from| Match { at, from, length: 4 + window.matching(at + 4, from + 4) };
    if window.load4(near) != value as u32 {
        return far.map(whole);
    }
    let Some(far) = far else { return Some(whole(near)) };
    // Compared up to 258 only: of two longer ones the near one wins.
    let (near_length, far_length) = (window.matching_258(at, near), window.matching_258(at, far));
    let (from, length) = if far_length > near_length { (far, far_length) } else { (near, near_length) };
    Some(finished(window, Match { at, from, length }))
}

/// Counts a match to its end that was counted to 258 only.
#[inline(always)]
pub(super) fn finished(window: &Window, found: Match) -> Match {
    let Match { at, from, length } = found;
    if length < 258 {
        return found;
    }
    Match { at, from, length: 258 + window.matching(at + 258, from + 258) }
}

/// A match one step ahead that is longer than `length`: the last position's, or the one's before it.
#[inline(always)]
fn step_ahead(window: &Window, next: usize, long: Pair, ahead: u64, length: usize) -> Option<Match> {
    let near = window.within(REACH, next, long.cur)?;
    let longer = |from| {
        let found = Match { at: next, from, length: window.matching_258(next, from) };
        (found.length > length).then_some(found)
    };
    let near = Some(near).filter(|&near| window.load4(near) == ahead as u32).and_then(longer);
    let found = near.or_else(|| window.candidate(next, long.prev, ahead).and_then(longer))?;
    Some(finished(window, found))
}

/// The match at `at` with the position from which the end of a match of `length` two bytes before it has been seen
/// before, if it is longer than that.
#[inline(always)]
pub(super) fn aligned(window: &Window, at: usize, stamp: u32, length: usize) -> Option<Match> {
    let from = window.position(stamp) - length as i32 + 2;
    let distance = at as i32 - from;
    if from < 0 || distance <= 0 || distance >= REACH as i32 {
        return None;
    }
    let from = from as usize;
    let longer = window.matching(at, from);
    (longer > length).then_some(Match { at, from, length: longer })
}
