//! Levels 1 to 6: the input in windows of 65535 bytes, each searched greedily in one pass, against a history of at
//! least 32 KiB.
//!
//! ```text
//!  bytes:  [ history | window, collecting ]     at most 327675 together while the window is searched
//!          0         start
//! ```
//!
//! Hash tables hold *stamps*: index in `bytes` plus a base that moves when history is dropped, so that stamps need no
//! update. The base starts so high that 0, "none", and everything forgotten is out of reach by arithmetic alone.

mod level1;
mod level2;
mod level3;
mod level4;
mod level5;
mod level6;
mod window;

use super::blocks::{Blocks, STORED_MAX};
use super::settings::Epoch;
use super::tokens::Tokens;
use level1::Level1;
use level2::Level2;
use level3::Level3;
use level4::Level4;
use level5::Level5;
use level6::Level6;
pub(super) use window::hash4;
use window::{REACH, Window};

/// Bytes in a full window.
const WINDOW: usize = STORED_MAX;

/// History and window together may not exceed this; then all but the last [`REACH`] bytes of history are dropped.
/// Only level 4 can tell.
const HISTORY_MAX: usize = 5 * WINDOW;

/// Windows below this size are not searched, and end the history.
const SEARCHED_FROM: usize = 128;

/// Windows up to this size are stored at once.
const STORED_UP_TO: usize = 32;

/// Nothing before the first base is in reach of anything.
const FIRST_BASE: u32 = 2 * REACH as u32;

/// Stamps are brought down when the base gets here, so that they always fit 31 bits.
const LAST_BASE: u32 = 1 << 30;

/// The search of one level, with its tables.
#[derive(Debug)]
pub(super) enum Search {
    Level1(Level1),
    Level2(Level2),
    Level3(Level3),
    Level4(Level4),
    Level5(Level5),
    Level6(Level6),
}

impl Search {
    pub(super) fn level1() -> Self {
        Self::Level1(Level1::new())
    }

    pub(super) fn level2() -> Self {
        Self::Level2(Level2::new())
    }

    pub(super) fn level3() -> Self {
        Self::Level3(Level3::new())
    }

    pub(super) fn level4(epoch: Epoch) -> Self {
        Self::Level4(Level4::new(epoch >= Epoch::A3))
    }

    pub(super) fn level5() -> Self {
        Self::Level5(Level5::new())
    }

    pub(super) fn level6() -> Self {
        Self::Level6(Level6::new())
    }

    /// Appends the window's tokens; none at all when it holds no match.
    fn window(&mut self, window: &Window, tokens: &mut Tokens) {
        match self {
            Self::Level1(level) => level.search(window, tokens),
            Self::Level2(level) => level.search(window, tokens),
            Self::Level3(level) => level.search(window, tokens),
            Self::Level4(level) => level.search(window, tokens),
            Self::Level5(level) => level.search(window, tokens),
            Self::Level6(level) => level.search(window, tokens),
        }
    }

    /// Subtracts `by` from every stamp; those below become "none".
    fn rebase(&mut self, by: u32) {
        match self {
            Self::Level1(level) => level.rebase(by),
            Self::Level2(level) => level.rebase(by),
            Self::Level3(level) => level.rebase(by),
            Self::Level4(level) => level.rebase(by),
            Self::Level5(level) => level.rebase(by),
            Self::Level6(level) => level.rebase(by),
        }
    }
}

/// Cuts the input into windows and drives the search.
#[derive(Debug)]
pub(super) struct Fast {
    search: Search,
    bytes: Vec<u8>,
    /// Where the window starts in `bytes`.
    start: usize,
    /// Stamp of `bytes[0]`.
    base: u32,
    tokens: Tokens,
}

impl Fast {
    pub(super) fn new(search: Search) -> Self {
        Self {
            search,
            bytes: Vec::with_capacity(HISTORY_MAX + WINDOW),
            start: 0,
            base: FIRST_BASE,
            tokens: Tokens::with_capacity(WINDOW + 1),
        }
    }

    /// Takes a dictionary: a window like any other, but for its tokens.
    pub(super) fn prime(&mut self, dictionary: &[u8]) {
        self.bytes.extend_from_slice(dictionary);
        self.find();
        self.start = self.bytes.len();
        self.tokens.clear();
    }

    pub(super) fn write(&mut self, mut plain: &[u8], blocks: &mut Blocks, out: &mut Vec<u8>) {
        while !plain.is_empty() {
            // A full window waits for the byte after it: it may be the last, and closed by a sync.
            if self.bytes.len() - self.start == WINDOW {
                self.step(false, blocks, out);
            }
            let room = WINDOW - (self.bytes.len() - self.start);
            let (now, later) = plain.split_at(plain.len().min(room));
            self.bytes.extend_from_slice(now);
            plain = later;
        }
    }

    pub(super) fn sync(&mut self, blocks: &mut Blocks, out: &mut Vec<u8>) {
        match self.bytes.len() - self.start {
            0 => {}
            n @ 1..SEARCHED_FROM => {
                let raw = &self.bytes[self.start..];
                if n <= STORED_UP_TO {
                    blocks.stored(raw, out)
                } else {
                    blocks.literals(raw, true, out)
                }
                self.forget();
            }
            _ => self.step(true, blocks, out),
        }
    }

    /// Encodes the window and makes it history.
    fn step(&mut self, sync: bool, blocks: &mut Blocks, out: &mut Vec<u8>) {
        self.find();
        let raw = &self.bytes[self.start..];
        if self.tokens.is_empty() {
            blocks.stored(raw, out);
        } else if self.tokens.len() > raw.len() - (raw.len() >> 4) {
            blocks.literals(raw, sync, out);
        } else {
            blocks.tokens(&mut self.tokens, Some(raw), sync, out);
        }
        self.start = self.bytes.len();
        self.tokens.clear();
    }

    /// Searches the window, after making room for it.
    fn find(&mut self) {
        if self.bytes.len() > HISTORY_MAX {
            let dropped = self.start - REACH;
            self.bytes.drain(..dropped);
            self.start = REACH;
            self.advance(dropped);
        }
        let window = Window { bytes: &self.bytes, start: self.start, base: self.base };
        if window.is_searchable() {
            self.search.window(&window, &mut self.tokens);
        }
    }

    /// Ends the history: nothing that follows can match what was before.
    fn forget(&mut self) {
        let dropped = self.bytes.len();
        self.bytes.clear();
        self.start = 0;
        self.advance(dropped + 2 * REACH);
    }

    /// Moves the base on, and all stamps down when it has got too high.
    fn advance(&mut self, by: usize) {
        self.base += by as u32;
        if self.base > LAST_BASE {
            self.search.rebase(self.base - FIRST_BASE);
            self.base = FIRST_BASE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::klauspost::{Level, Settings};

    fn encode(mut fast: Fast, plain: &[u8]) -> Vec<u8> {
        let mut blocks = Blocks::new(Settings::new(Epoch::B2, Level::L1), 7);
        let mut out = Vec::new();
        for piece in plain.chunks(250_000) {
            fast.write(piece, &mut blocks, &mut out);
            fast.sync(&mut blocks, &mut out);
            // A small window, after which all must be forgotten.
            fast.write(b"forget", &mut blocks, &mut out);
            fast.sync(&mut blocks, &mut out);
        }
        blocks.end(&mut out);
        out
    }

    #[test]
    fn stamps_can_be_brought_down_at_any_time() {
        let plain: Vec<u8> = (0_u32..1_000_000).map(|i| (i.wrapping_mul(i >> 7) >> 13) as u8 & 15).collect();
        let searches: [fn() -> Search; 6] = [
            Search::level1,
            Search::level2,
            Search::level3,
            || Search::level4(Epoch::B2),
            Search::level5,
            Search::level6,
        ];
        for search in searches {
            let expected = encode(Fast::new(search()), &plain);
            assert!(expected.len() < plain.len() / 2);
            for early in [0, 100_000, 300_000, 700_000] {
                let mut fast = Fast::new(search());
                fast.base = LAST_BASE - early;
                assert!(encode(fast, &plain) == expected, "{early} before the last base");
            }
        }
    }
}
