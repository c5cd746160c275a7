//! The last look at a match before it is emitted.

use super::{Lazy, Match, Sink};
use crate::bytes::common_prefix;
use crate::klauspost::settings::Epoch;
use crate::klauspost::symbols::LONGEST;

impl Lazy {
    /// The match that ends at least where `before` (which starts one byte back) does, or `before` itself: what was
    /// seen before where it ends may reach farther.
    #[inline(always)]
    pub(super) fn improve(&mut self, before: Match, ahead: usize, low: usize, sink: &mut Sink) -> Match {
        match self.epoch {
            Epoch::A1 => self.improve_old(before, ahead, low),
            _ if before.length >= 256 => before,
            _ => self.improve_new(before, ahead, low, sink),
        }
    }

    /// Where the bytes two before the end of the match were last seen (v1.15.11 to v1.15.14).
    fn improve_old(&self, before: Match, ahead: usize, low: usize) -> Match {
        let at = self.index - 1;
        if at + before.length + 2 >= self.insert_end {
            return before;
        }
        let seen = at + before.length - 2;
        let from = self.head[self.hash(seen)] - self.offset - before.length as i32 + 2;
        if from <= low as i32 {
            return before;
        }
        let from = from as usize;
        let length = common_prefix(&self.window[at..at + ahead.min(LONGEST)], &self.window[from..]);
        if length > before.length { Match { length, distance: at - from } } else { before }
    }

    /// Where the bytes after the match were last seen, with up to two bytes at its start given up for it.
    fn improve_new(&mut self, before: Match, ahead: usize, low: usize, sink: &mut Sink) -> Match {
        let at = self.index - 1;
        if at + before.length >= self.insert_end {
            return before;
        }
        let stamp = self.head[self.hash(at + before.length)];
        let from = stamp - self.offset - before.length as i32;
        if from <= low as i32 + 2 || at as i32 - from == before.distance as i32 {
            return before;
        }
        let from = from as usize;
        let later = &self.window[at + 2..at + ahead.min(LONGEST + 2)];
        let mut length = common_prefix(later, &self.window[from + 2..]);
        if length <= before.length {
            return before;
        }
        for skipped in [1, 0] {
            if length >= LONGEST || self.window[at + skipped] != self.window[from + skipped] {
                for at in at..=at + skipped {
                    self.literal(at, sink);
                    self.index += 1;
                    self.insert();
                }
                break;
            }
            length += 1;
        }
        Match { length, distance: at - from }
    }
}
