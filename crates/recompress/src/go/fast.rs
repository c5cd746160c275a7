//! Level 1: one hash table without chains, greedy matches, and steps that grow where nothing matches.
//!
//! ```text
//!   text   | … previous unit        | this unit                         |
//!          0        HISTORY - len   HISTORY     s    HISTORY + len
//!   table  hash of 4 bytes → (position, the 4 bytes): the newest only
//! ```
//!
//! Matches may start in the previous unit, as far back as 32768 bytes, and never run over the end of this
//! one.

use super::block::BlockWriter;
use super::release::Release;
use super::token::{MAX_DISTANCE, MAX_MATCH, MIN_MATCH, Token};
use super::units::{UNIT, UnitCoder};
use crate::bytes::{common_prefix, load32};

/// Slots of the table, a power of two.
const SLOTS: usize = 1 << 14;
/// Where this unit begins in the text; at least a unit.
const HISTORY: usize = UNIT + 1;
/// A match does not start in the last bytes of a unit.
const MARGIN: usize = 15;
/// Units up to here are stored as they are …
const TINY: usize = 16;
/// … and up to here sent as literals. Both make the encoder forget what it knew.
const SMALL: usize = 127;
/// A jump of the position that puts every entry of the table out of reach.
const FORGET: u32 = 2 * MAX_DISTANCE;
/// Where the odometer of the first releases starts …
const ODOMETER_START: u32 = UNIT as u32;
/// … and the most that it shows.
const ODOMETER_FULL: u32 = 1 << 30;
/// Positions are counted down again from here.
const REBASE: u32 = 1 << 24;

#[derive(Clone, Copy, Default)]
struct Entry {
    /// 0 stands for "nothing": no unit is near it.
    position: u32,
    value: u32,
}

/// The matcher of level 1. About 530 KiB.
pub(super) struct Fast {
    table: Vec<Entry>,
    text: Vec<u8>,
    /// Length of the previous unit, 0 when it is forgotten.
    history: usize,
    /// The position of this unit's first byte: any count that grows with the stream.
    start: u32,
    tokens: Vec<Token>,
    /// The first releases' own count of positions, which sometimes runs full and makes them forget.
    odometer: Option<u32>,
}

fn hash(value: u32) -> usize {
    (value.wrapping_mul(0x1e35_a7bd) >> 18) as usize
}

impl Fast {
    pub(super) fn new(release: Release) -> Self {
        Self {
            table: vec![Entry::default(); SLOTS],
            text: vec![0; HISTORY + UNIT],
            history: 0,
            start: FORGET,
            tokens: Vec::with_capacity(UNIT),
            odometer: (release == Release::Go1_8).then_some(ODOMETER_START),
        }
    }

    /// Forgets everything before this unit.
    fn forget(&mut self) {
        self.start += FORGET;
        self.history = 0;
    }

    /// Starts anew if the odometer is full.
    fn check_odometer(&mut self) {
        if self.odometer.is_some_and(|position| position > ODOMETER_FULL) {
            self.odometer = Some(ODOMETER_START);
            self.forget();
        }
    }

    fn run_odometer(&mut self, distance: u32) {
        self.odometer = self.odometer.map(|position| position + distance);
    }

    fn rebase(&mut self) {
        let surplus = self.start - FORGET;
        for entry in &mut self.table {
            entry.position = entry.position.saturating_sub(surplus);
        }
        self.start -= surplus;
    }

    /// Starts a new stream so that positions are counted down after `units` units.
    #[cfg(test)]
    pub(super) fn count_from_the_end(&mut self, units: u32) {
        self.start = REBASE - units * UNIT as u32;
    }

    /// Starts a new stream whose odometer is full after two units.
    #[cfg(test)]
    pub(super) fn fill_odometer(&mut self) {
        self.odometer = self.odometer.and(Some(ODOMETER_FULL + 1 - 2 * UNIT as u32));
    }

    /// Turns the `length` bytes of this unit into tokens.
    fn find(&mut self, length: usize) {
        let end = HISTORY + length;
        let limit = end - MARGIN;
        self.tokens.clear();
        let mut emitted = HISTORY;
        let mut next = HISTORY;
        while let Some((at, candidate)) = self.search(next, limit) {
            self.push_literals(emitted, at);
            emitted = self.copy_while_matching(at, candidate, end, limit);
            if emitted >= limit {
                break;
            }
            next = emitted + 1;
        }
        self.push_literals(emitted, end);
    }

    /// Looks for a place from `at` on whose four bytes are in the table; the place and the position of the
    /// match.
    fn search(&mut self, mut at: usize, limit: usize) -> Option<(usize, u32)> {
        let mut value = load32(&self.text, at);
        let mut skip = 32;
        loop {
            let step = skip >> 5;
            let next = at + step;
            skip += step;
            if next > limit {
                return None;
            }
            // The slot is taken over also when it matches.
            let matched = self.replace(at, value);
            if matched.is_some() {
                return matched.map(|candidate| (at, candidate));
            }
            value = load32(&self.text, next);
            at = next;
        }
    }

    /// Emits the match at `at` and those that follow it without a gap; where they end.
    fn copy_while_matching(&mut self, mut at: usize, mut candidate: u32, end: usize, limit: usize) -> usize {
        loop {
            let distance = self.position(at) - candidate;
            let length = MIN_MATCH + self.extension(at + MIN_MATCH, distance, end);
            self.tokens.push(Token::copy(length, distance));
            at += length;
            if at >= limit {
                return at;
            }
            self.replace(at - 1, load32(&self.text, at - 1));
            match self.replace(at, load32(&self.text, at)) {
                Some(position) => candidate = position,
                None => return at,
            }
        }
    }

    /// Puts the four bytes at `at` into the table; the position of the same bytes, if they were there and in
    /// reach.
    #[inline(always)]
    fn replace(&mut self, at: usize, value: u32) -> Option<u32> {
        let position = self.position(at);
        let slot = &mut self.table[hash(value)];
        let old = std::mem::replace(slot, Entry { position, value });
        (old.value == value && position - old.position <= MAX_DISTANCE).then_some(old.position)
    }

    fn position(&self, at: usize) -> u32 {
        self.start + (at - HISTORY) as u32
    }

    /// How far a match goes on from `at`, beyond the four bytes that are known to match.
    fn extension(&self, at: usize, distance: u32, end: usize) -> usize {
        let from = at.saturating_sub(distance as usize);
        // After a flush the match can lie in text that is gone; only the four bytes in the table remain of
        // it.
        if from < HISTORY - self.history {
            return 0;
        }
        let most = (end - at).min(MAX_MATCH - MIN_MATCH);
        common_prefix(&self.text[from..from + most], &self.text[at..at + most])
    }

    fn push_literals(&mut self, from: usize, to: usize) {
        self.tokens.extend(self.text[from..to].iter().map(|&byte| Token::literal(byte)));
    }

    /// A unit too small for matches.
    fn code_small(&mut self, unit: &[u8], blocks: &mut BlockWriter, out: &mut Vec<u8>) {
        self.forget();
        self.run_odometer(MAX_DISTANCE);
        if unit.len() <= TINY {
            blocks.stored(unit, out);
        } else {
            blocks.literals(unit, out);
        }
    }

    /// This unit becomes the previous one.
    fn advance(&mut self, length: usize) {
        self.text.copy_within(HISTORY..HISTORY + length, HISTORY - length);
        self.history = length;
        self.start += length as u32;
        self.run_odometer(length as u32);
    }
}

impl UnitCoder for Fast {
    fn code(&mut self, unit: &[u8], blocks: &mut BlockWriter, out: &mut Vec<u8>) {
        if self.start >= REBASE {
            self.rebase();
        }
        if unit.len() <= SMALL {
            return self.code_small(unit, blocks, out);
        }
        self.check_odometer();
        let length = unit.len();
        self.text[HISTORY..HISTORY + length].copy_from_slice(unit);
        self.find(length);
        // Where matches save less than a sixteenth of the tokens they are dropped.
        if self.tokens.len() > length - (length >> 4) {
            blocks.literals(unit, out);
        } else {
            blocks.dynamic_or_stored(&self.tokens, unit, out);
        }
        self.advance(length);
    }
}
