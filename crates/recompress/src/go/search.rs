//! The search along one hash chain.
//!
//! The longest match wins, of equal ones the nearest. Every candidate costs one try, matching or not. A match
//! of four bytes does not pay when it lies far back, and then is as good as none.

use super::token::{HALF, MAX_DISTANCE, MIN_MATCH, WINDOW};
use crate::bytes::{common_prefix, load32};

/// A match of the shortest length may not lie farther back than this.
const NEAR: u32 = 4096;

/// What a search looks at.
pub(super) struct Search<'a> {
    pub(super) window: &'a [u8; WINDOW],
    pub(super) previous: &'a [u32; HALF],
    /// The position of the first byte of the window.
    pub(super) base: u32,
    /// The first position that a match may start at.
    pub(super) reach: u32,
    /// The position to find a match for.
    pub(super) pos: u32,
    /// The longest match that there is text for, at least 4.
    pub(super) most: usize,
}

impl Search<'_> {
    /// The best of `candidate` and at most `tries - 1` positions before it on its chain, as length and
    /// distance; a match of `enough` bytes ends the search.
    #[inline(always)]
    pub(super) fn best(&self, mut candidate: u32, enough: usize, tries: usize) -> Option<(usize, u32)> {
        let pos = (self.pos - self.base) as usize;
        let text = &self.window[pos..pos + self.most];
        let mut best = MIN_MATCH - 1;
        let mut found = None;
        // A longer match must contain the four bytes that end right behind the best one.
        let mut tail = load32(self.window, pos);
        for _ in 0..tries {
            let at = (candidate - self.base) as usize;
            if load32(self.window, at + best + 1 - MIN_MATCH) == tail {
                let length = common_prefix(&self.window[at..at + self.most], text);
                let distance = self.pos - candidate;
                if length > best && (length > MIN_MATCH || distance <= NEAR) {
                    found = Some((length, distance));
                    if length >= enough {
                        break;
                    }
                    best = length;
                    tail = load32(self.window, pos + best + 1 - MIN_MATCH);
                }
            }
            // The slot of a position at full distance belongs to `pos` by now.
            if self.pos - candidate == MAX_DISTANCE {
                break;
            }
            candidate = self.previous[candidate as usize % HALF];
            if candidate < self.reach {
                break;
            }
        }
        found
    }
}
