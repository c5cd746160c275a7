//! Levels 2 to 9: hash chains over a sliding window, greedy or lazy.
//!
//! ```text
//!   window   | 32 KiB               | 32 KiB               |     64 KiB in all; when it is full the second half
//!            base        block        pos        filled          moves to the front and base grows by 32 KiB
//!                        start
//!   head     hash of 4 bytes → newest position        0 for none: base is never below 32768
//!   previous position mod 32768 → the position before with the same hash
//! ```
//!
//! What matches are found near the end of a full window depends on the moment at which the window moves, and
//! this on where the caller's writes end: see [`Cuts`].

use crate::bytes::{load32, zeroed};

use super::block::{BlockWriter, MAX_STORED};
use super::cuts::Cuts;
use super::search::Search;
use super::token::{HALF, MAX_DISTANCE, MAX_MATCH, MIN_MATCH, Token, WINDOW};

/// Slots of the hash table.
const SLOTS: usize = 1 << 17;
/// With less text ahead, matching waits for more.
const LOOKAHEAD: usize = MIN_MATCH + MAX_MATCH;
/// With so much text behind, the window moves before it takes more.
const FULL: usize = WINDOW - LOOKAHEAD;
/// Tokens of a full block.
const BLOCK: usize = 1 << 14;
/// Positions are counted down again from here.
const REBASE: u32 = 1 << 24;
/// "No match": one less than the shortest.
const NO_MATCH: usize = MIN_MATCH - 1;

/// How hard a level tries.
#[derive(Clone, Copy)]
pub(super) struct Effort {
    /// Greedy or lazy.
    pub(super) mode: Mode,
    /// A match of this length ends the search.
    pub(super) nice: usize,
    /// Candidates looked at, at most.
    pub(super) chain: usize,
}

/// When a match is taken.
#[derive(Clone, Copy)]
pub(super) enum Mode {
    /// At once; the positions inside it are remembered if it is at most `insert` bytes long.
    Greedy { insert: usize },
    /// Unless the next position has a longer one, which is tried for matches shorter than `lazy`.
    Lazy { lazy: usize },
}

/// The matcher of levels 2 to 9. About 770 KiB.
pub(super) struct Chain {
    effort: Effort,
    window: Box<[u8; WINDOW]>,
    head: Box<[u32; SLOTS]>,
    previous: Box<[u32; HALF]>,
    /// The position of the first byte of the window, a multiple of 32768 and not 0.
    base: u32,
    /// The position after the last byte in the window.
    filled: u32,
    /// The next position to look at.
    pos: u32,
    /// The position where the next block starts, below `base` once its first bytes are gone.
    block_start: u32,
    /// The match at `pos - 1`.
    length: usize,
    distance: u32,
    /// The byte at `pos - 1` is neither in a literal nor in a match yet.
    pending: bool,
    tokens: Vec<Token>,
    cuts: Cuts,
    /// Bytes taken since the start of the stream.
    taken: u64,
    /// A write of the original ended here, or the window is full: it may move before it takes more.
    boundary: bool,
}

impl Chain {
    pub(super) fn new(effort: Effort, cuts: Cuts) -> Self {
        Self {
            effort,
            window: zeroed(),
            head: zeroed(),
            previous: zeroed(),
            base: MAX_DISTANCE,
            filled: MAX_DISTANCE,
            pos: MAX_DISTANCE,
            block_start: MAX_DISTANCE,
            length: NO_MATCH,
            distance: 0,
            pending: false,
            tokens: Vec::with_capacity(BLOCK),
            cuts,
            taken: 0,
            boundary: false,
        }
    }

    pub(super) fn write(&mut self, mut plain: &[u8], blocks: &mut BlockWriter, out: &mut Vec<u8>) {
        while !plain.is_empty() {
            if self.boundary {
                self.run(false, blocks, out);
                if self.index(self.pos) >= FULL {
                    self.slide();
                }
            }
            let filled = self.index(self.filled);
            let room = (WINDOW - filled).min(self.cuts.room(self.taken));
            let (now, later) = plain.split_at(plain.len().min(room));
            self.window[filled..filled + now.len()].copy_from_slice(now);
            self.filled += now.len() as u32;
            self.taken += now.len() as u64;
            self.boundary = now.len() == room;
            plain = later;
        }
    }

    /// Turns everything taken into blocks. The next bytes begin a new write of the original.
    pub(super) fn drain(&mut self, blocks: &mut BlockWriter, out: &mut Vec<u8>) {
        self.run(true, blocks, out);
        self.boundary = true;
    }

    /// Where a position of the window lies in it.
    fn index(&self, position: u32) -> usize {
        (position - self.base) as usize
    }

    /// Moves the window on by half of it.
    fn slide(&mut self) {
        self.window.copy_within(HALF.., 0);
        self.base += MAX_DISTANCE;
        if self.base >= REBASE {
            self.rebase();
        }
    }

    /// Counts all positions from the start of the window again; those before it become "none".
    fn rebase(&mut self) {
        let surplus = self.base - MAX_DISTANCE;
        for position in self.head.iter_mut().chain(self.previous.iter_mut()) {
            *position = position.saturating_sub(surplus);
        }
        self.base -= surplus;
        self.filled -= surplus;
        self.pos -= surplus;
        self.block_start = self.block_start.saturating_sub(surplus);
    }

    /// Starts a new stream so that positions are counted down when the window moves for the `moves`-th time
    /// after.
    #[cfg(test)]
    pub(super) fn count_from_the_end(&mut self, moves: u32) {
        self.base = REBASE - (moves + 1) * MAX_DISTANCE;
        (self.filled, self.pos, self.block_start) = (self.base, self.base, self.base);
    }

    /// Matches as far as the text ahead allows, or, if `last`, all of it.
    fn run(&mut self, last: bool, blocks: &mut BlockWriter, out: &mut Vec<u8>) {
        loop {
            let ahead = (self.filled - self.pos) as usize;
            if ahead < LOOKAHEAD && !last {
                return;
            }
            if ahead == 0 {
                return self.close_block(blocks, out);
            }
            match self.effort.mode {
                Mode::Greedy { insert } => self.greedy_step(insert, ahead, blocks, out),
                Mode::Lazy { lazy } => self.lazy_step(lazy, ahead, blocks, out),
            }
        }
    }

    /// One token.
    fn greedy_step(&mut self, insert: usize, ahead: usize, blocks: &mut BlockWriter, out: &mut Vec<u8>) {
        let candidate = self.insert(self.pos);
        match self.search(candidate, ahead) {
            Some((length, distance)) => {
                self.tokens.push(Token::copy(length, distance));
                let end = self.pos + length as u32;
                if length <= insert {
                    self.insert_between(self.pos + 1, end);
                }
                self.pos = end;
            }
            None => {
                self.tokens.push(Token::literal(self.window[self.index(self.pos)]));
                self.pos += 1;
            }
        }
        if self.tokens.len() == BLOCK {
            self.end_block(self.pos, blocks, out);
        }
    }

    /// One position, or the rest of a match that has won.
    fn lazy_step(&mut self, lazy: usize, ahead: usize, blocks: &mut BlockWriter, out: &mut Vec<u8>) {
        let candidate = self.insert(self.pos);
        let (length, distance) = (self.length, self.distance);
        let found = if length < lazy && ahead > length { self.search(candidate, ahead) } else { None };
        (self.length, self.distance) = found.unwrap_or((NO_MATCH, 0));
        if length >= MIN_MATCH && self.length <= length {
            self.tokens.push(Token::copy(length, distance));
            let end = self.pos + length as u32 - 1;
            self.insert_between(self.pos + 1, end);
            self.pos = end;
            self.pending = false;
            self.length = NO_MATCH;
            if self.tokens.len() == BLOCK {
                self.end_block(self.pos, blocks, out);
            }
            return;
        }
        if self.pending {
            self.tokens.push(Token::literal(self.window[self.index(self.pos) - 1]));
            if self.tokens.len() == BLOCK {
                self.end_block(self.pos, blocks, out);
            }
        }
        self.pos += 1;
        self.pending = true;
    }

    /// Remembers `position` if four bytes are there; the position before it with the same hash.
    #[inline(always)]
    fn insert(&mut self, position: u32) -> u32 {
        if position + NO_MATCH as u32 >= self.filled {
            return 0;
        }
        let bytes = load32(&self.window[..], self.index(position)).swap_bytes();
        let slot = &mut self.head[(bytes.wrapping_mul(0x1e35_a7bd) >> 15) as usize];
        let before = std::mem::replace(slot, position);
        self.previous[position as usize % HALF] = before;
        before
    }

    fn insert_between(&mut self, from: u32, to: u32) {
        for position in from..to {
            self.insert(position);
        }
    }

    /// The best match at `pos` among `candidate` and the positions before it on its chain.
    #[inline(always)]
    fn search(&self, candidate: u32, ahead: usize) -> Option<(usize, u32)> {
        let reach = self.base.max(self.pos - MAX_DISTANCE);
        if candidate < reach || ahead < MIN_MATCH {
            return None;
        }
        let most = ahead.min(MAX_MATCH);
        let Effort { nice, chain, .. } = self.effort;
        Search { window: &self.window, previous: &self.previous, base: self.base, reach, pos: self.pos, most }
            .best(candidate, nice.min(most), chain)
    }

    /// Ends the text: the waiting byte becomes a literal, the waiting tokens a block.
    fn close_block(&mut self, blocks: &mut BlockWriter, out: &mut Vec<u8>) {
        if self.pending {
            self.tokens.push(Token::literal(self.window[self.index(self.pos) - 1]));
            self.pending = false;
        }
        if !self.tokens.is_empty() {
            self.end_block(self.pos, blocks, out);
        }
    }

    /// Writes the tokens as a block that stands for the text up to `end`.
    fn end_block(&mut self, end: u32, blocks: &mut BlockWriter, out: &mut Vec<u8>) {
        let length = (end - self.block_start) as usize;
        let bytes = (self.block_start >= self.base && length <= MAX_STORED)
            .then(|| &self.window[self.index(self.block_start)..self.index(end)]);
        blocks.smallest(&self.tokens, bytes, out);
        self.tokens.clear();
        self.block_start = end;
    }
}
