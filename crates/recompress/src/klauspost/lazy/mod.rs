//! Levels 7 to 9: hash chains over a sliding window; a match waits for the next position to do better.
//!
//! ```text
//!  window:  [ encoded | block so far | look-ahead | free ]     65536 bytes; slides down by half
//!                     block_start    index        filled
//! ```
//!
//! `head` and `prev` hold *stamps*: position in the window plus an offset that grows with every slide. 0 is "none".

mod improve;
mod prices;

use super::blocks::Blocks;
use super::fast::hash4;
use super::settings::Epoch;
use super::symbols::{LONGEST, SHORTEST};
use super::tokens::Tokens;
use crate::bytes::{common_prefix, zeroed};
use prices::Prices;

/// Bytes in the window.
const WINDOW: usize = 65536;
/// Half of it: the farthest that a match can reach.
const HALF: usize = 32768;
/// With less than this ahead a match might be cut short: wait for more input.
const LOOK_AHEAD: usize = LONGEST + SHORTEST + 1;
/// Tokens in a full block.
const BLOCK_TOKENS: usize = 32768;
/// A match is at least this long.
const MATCH: usize = 4;
/// Stamps are brought down when the offset gets here, so that they always fit 31 bits.
const LAST_OFFSET: i32 = 1 << 30;

/// How hard a level tries.
#[derive(Debug, Clone, Copy)]
pub(super) struct Effort {
    /// A match this long is not challenged.
    lazy: usize,
    /// A match this long ends the search.
    nice: usize,
    /// Candidates looked at.
    chain: usize,
    /// Weigh candidates by what they save.
    weighs: bool,
}

pub(super) const LEVEL7: Effort = Effort { lazy: 12, nice: 16, chain: 24, weighs: false };
pub(super) const LEVEL8: Effort = Effort { lazy: 30, nice: 40, chain: 64, weighs: false };
pub(super) const LEVEL9: Effort = Effort { lazy: 258, nice: 258, chain: 1024, weighs: true };

/// A match at the position in question; none when shorter than [`MATCH`].
#[derive(Debug, Clone, Copy)]
struct Match {
    length: usize,
    distance: usize,
}

const NO_MATCH: Match = Match { length: MATCH - 1, distance: 0 };

/// The encoder's state between positions.
#[derive(Debug)]
pub(super) struct Lazy {
    epoch: Epoch,
    effort: Effort,
    window: Box<[u8; WINDOW]>,
    filled: usize,
    index: usize,
    /// Where the raw bytes of the block start; nothing when they have slid away.
    block_start: Option<usize>,
    head: Box<[i32; 1 << 17]>,
    prev: Box<[i32; HALF]>,
    offset: i32,
    /// Stamp of the candidate that the last insertion found.
    chain_head: i32,
    /// Positions from here on have too few bytes after them to be inserted.
    insert_end: usize,
    found: Match,
    /// The byte before `index` is neither emitted nor part of a match yet.
    pending: bool,
    /// Literals in a row; wraps, as the original's does.
    run: u16,
    tokens: Tokens,
    /// What matches save, where this level weighs that.
    prices: Option<Prices>,
}

/// Where finished blocks go.
struct Sink<'a> {
    blocks: &'a mut Blocks,
    out: &'a mut Vec<u8>,
    sync: bool,
}

impl Lazy {
    pub(super) fn new(epoch: Epoch, effort: Effort) -> Self {
        Self {
            epoch,
            effort,
            window: zeroed(),
            filled: 0,
            index: 0,
            block_start: Some(0),
            head: zeroed(),
            prev: zeroed(),
            offset: 1,
            chain_head: -1,
            insert_end: 0,
            found: NO_MATCH,
            pending: false,
            run: 0,
            tokens: Tokens::with_capacity(BLOCK_TOKENS + 1),
            prices: effort.weighs.then(|| Prices::new(epoch)),
        }
    }

    /// Takes a dictionary of at most 32 KiB.
    pub(super) fn prime(&mut self, dictionary: &[u8]) {
        let n = dictionary.len();
        self.window[..n].copy_from_slice(dictionary);
        for at in 0..(n + 1).saturating_sub(MATCH) {
            self.file(at);
        }
        (self.index, self.filled) = (n, n);
        // Older releases forget that the dictionary is not part of the first block.
        if self.epoch >= Epoch::B3 {
            self.block_start = Some(n);
        }
    }

    pub(super) fn write(&mut self, mut plain: &[u8], blocks: &mut Blocks, out: &mut Vec<u8>) {
        while !plain.is_empty() {
            if self.filled == WINDOW {
                self.search(&mut Sink { blocks, out, sync: false });
            }
            if self.index >= WINDOW - LOOK_AHEAD {
                self.slide();
            }
            let (now, later) = plain.split_at(plain.len().min(WINDOW - self.filled));
            self.window[self.filled..self.filled + now.len()].copy_from_slice(now);
            self.filled += now.len();
            plain = later;
        }
    }

    pub(super) fn sync(&mut self, blocks: &mut Blocks, out: &mut Vec<u8>) {
        self.search(&mut Sink { blocks, out, sync: true });
    }

    fn slide(&mut self) {
        self.window.copy_within(HALF.., 0);
        self.index -= HALF;
        self.filled -= HALF;
        self.block_start = self.block_start.and_then(|start| start.checked_sub(HALF));
        self.offset += HALF as i32;
        if self.offset > LAST_OFFSET {
            let by = self.offset - 1;
            for stamp in self.head.iter_mut().chain(self.prev.iter_mut()) {
                *stamp = (*stamp - by).max(0);
            }
            self.chain_head = (self.chain_head - by).max(0);
            self.offset = 1;
        }
    }

    #[inline(always)]
    fn hash(&self, at: usize) -> usize {
        let mut four = [0; 4];
        four.copy_from_slice(&self.window[at..at + 4]);
        hash4::<17>(u64::from(u32::from_le_bytes(four)))
    }

    /// Makes a position findable. Returns the stamp of the last one under the same hash.
    #[inline(always)]
    fn file(&mut self, at: usize) -> i32 {
        let hash = self.hash(at);
        let before = std::mem::replace(&mut self.head[hash], at as i32 + self.offset);
        self.prev[at % HALF] = before;
        before
    }

    /// Makes `index` findable, and its predecessor the first candidate.
    #[inline(always)]
    fn insert(&mut self) {
        if self.index < self.insert_end {
            self.chain_head = self.file(self.index);
        }
    }

    /// Works through the window as far as the look-ahead allows; to its end if this is a sync.
    fn search(&mut self, sink: &mut Sink) {
        if self.filled - self.index < LOOK_AHEAD && !sink.sync {
            return;
        }
        if let Some(prices) = &mut self.prices
            && self.filled > self.index
        {
            prices.sample(&self.window[self.index..self.filled]);
        }
        self.insert_end = self.filled.saturating_sub(MATCH - 1);
        loop {
            let ahead = self.filled - self.index;
            if ahead < LOOK_AHEAD {
                if !sink.sync {
                    return;
                }
                if ahead == 0 {
                    return self.end_block(sink);
                }
            }
            self.position(ahead, sink);
        }
    }

    /// The end of everything before a sync.
    fn end_block(&mut self, sink: &mut Sink) {
        if std::mem::take(&mut self.pending) {
            self.tokens.literal(self.window[self.index - 1]);
        }
        if !self.tokens.is_empty() {
            self.block(sink);
        }
    }

    /// One position: find its match, and decide about the one before it.
    #[inline(always)]
    fn position(&mut self, ahead: usize, sink: &mut Sink) {
        self.insert();
        let before = std::mem::replace(&mut self.found, NO_MATCH);
        let low = self.index.saturating_sub(HALF);
        let candidate = self.chain_head - self.offset;
        if candidate >= low as i32
            && ahead > before.length
            && before.length < self.effort.lazy
            && let Some(found) = self.find(candidate as usize, ahead, low)
        {
            self.found = found;
        }
        if before.length >= MATCH && self.found.length <= before.length {
            self.take(before, ahead, low, sink);
        } else {
            if self.found.length >= MATCH {
                self.run = 0;
            }
            self.pass(sink);
        }
    }

    /// The match before `index` is good: emit it.
    #[inline(always)]
    fn take(&mut self, before: Match, ahead: usize, low: usize, sink: &mut Sink) {
        let Match { length, distance } = self.improve(before, ahead, low, sink);
        self.tokens.short_match(length, distance);
        let next = self.index + length - 1;
        for at in self.index + 1..next.min(self.insert_end) {
            self.file(at);
        }
        self.index = next;
        self.pending = false;
        self.found = NO_MATCH;
        self.cut(sink);
        self.run = 0;
    }

    /// No match ends here: one more literal, and more of them where there were many.
    #[inline(always)]
    fn pass(&mut self, sink: &mut Sink) {
        if !self.pending {
            self.index += 1;
            self.pending = true;
            return;
        }
        self.run = self.run.wrapping_add(1);
        self.literal(self.index - 1, sink);
        self.index += 1;
        let excess = usize::from(self.run).saturating_sub(self.effort.chain);
        if excess == 0 {
            return;
        }
        for _ in 0..=excess >> 6 {
            if self.index + 1 >= self.filled {
                break;
            }
            self.literal(self.index - 1, sink);
            self.insert();
            self.index += 1;
        }
        self.pending = false;
        self.literal(self.index - 1, sink);
    }

    #[inline(always)]
    fn literal(&mut self, at: usize, sink: &mut Sink) {
        self.tokens.literal(self.window[at]);
        self.cut(sink);
    }

    /// Ends the block when it is full.
    #[inline(always)]
    fn cut(&mut self, sink: &mut Sink) {
        if self.tokens.len() == BLOCK_TOKENS {
            self.block(sink);
        }
    }

    #[inline(never)]
    fn block(&mut self, sink: &mut Sink) {
        let raw = self.block_start.and_then(|start| self.window.get(start..self.index));
        sink.blocks.tokens(&mut self.tokens, raw, sink.sync, sink.out);
        self.block_start = Some(self.index);
        self.tokens.clear();
    }

    /// The best match for `index` along the chain from `candidate` on.
    #[inline(always)]
    fn find(&self, mut candidate: usize, ahead: usize, low: usize) -> Option<Match> {
        let at = self.index;
        let here = &self.window[at..at + ahead.min(LONGEST)];
        let nice = self.effort.nice.min(here.len());
        let mut best = NO_MATCH;
        let mut saved = self.prices.as_ref().map_or(0, Prices::least);
        let mut last = here[best.length];
        for _ in 0..self.effort.chain {
            if self.window[candidate + best.length] == last {
                let length = common_prefix(here, &self.window[candidate..]);
                let distance = at - candidate;
                if length > best.length && self.saves_more(&here[..length], distance, &mut saved) {
                    best = Match { length, distance };
                    if length >= nice {
                        break;
                    }
                    last = here[length];
                }
            }
            if candidate <= low {
                break;
            }
            let next = self.prev[candidate % HALF] - self.offset;
            if next < low as i32 {
                break;
            }
            candidate = next as usize;
        }
        (best.length >= MATCH).then_some(best)
    }

    /// Whether a match of these bytes saves more bits than `best`, which it then is. Where savings are not weighed,
    /// every match does.
    #[inline(always)]
    fn saves_more(&self, bytes: &[u8], distance: usize, best: &mut i32) -> bool {
        let Some(prices) = &self.prices else { return true };
        let saved = prices.saved(bytes, distance);
        let more = saved > *best;
        if more {
            *best = saved;
        }
        more
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::klauspost::{Level, Settings};

    #[test]
    fn stamps_can_be_brought_down_at_any_time() {
        let plain: Vec<u8> = (0_u32..400_000).map(|i| (i.wrapping_mul(i >> 7) >> 13) as u8 & 15).collect();
        let encode = |effort, offset| {
            let mut lazy = Lazy::new(Epoch::B2, effort);
            lazy.offset = offset;
            let mut blocks = Blocks::new(Settings::new(Epoch::B2, Level::L7), 8);
            let mut out = Vec::new();
            lazy.write(&plain, &mut blocks, &mut out);
            lazy.sync(&mut blocks, &mut out);
            blocks.end(&mut out);
            out
        };
        for effort in [LEVEL7, LEVEL9] {
            let expected = encode(effort, 1);
            assert!(expected.len() < plain.len() / 2);
            for early in [0, 30_000, 100_000, 200_000] {
                assert!(encode(effort, LAST_OFFSET - early) == expected, "{early} before the last offset");
            }
        }
    }
}
