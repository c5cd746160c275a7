//! Plain bytes to blocks: the matching of zlib and GNU gzip, and the two switches between them.
//!
//! ```text
//!          block_start            pos          pos + ahead
//!  ─ history ─┼── tokens so far ───┼── look-ahead ──┼─ behind the end: zlib never looks, GNU gzip does
//! ```
//!
//! A step handles the byte at `pos` and happens only with 262 bytes to come, or when the input (so far) has
//! ended. So what comes out does not depend on how the input is cut. All offsets are offsets in the
//! [`Window`].

use super::bits::Bits;
use super::block::Block;
use super::params::{Level, MemLevel, Tuning};
use super::window::{FARTHEST, HALF, LOOKAHEAD, Limits, SHORTEST, SIZE, Window};

/// The length of "no match".
const NONE: usize = SHORTEST - 1;

/// At lazy levels a match of three bytes farther than this is not worth its bits.
const TOO_FAR: usize = 4096;

/// From this offset on a refill slides the window; GNU gzip does not search behind it.
const LATE: usize = SIZE - LOOKAHEAD;

/// Whose rules for the end of the input hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// Positions are indexed, and matches accepted, only as far as there is input.
    Zlib,
    /// The end is not looked at: two zeros follow it, then whatever the window held before.
    Gnu,
}

/// A deflate stream under construction.
pub(super) struct Engine {
    window: Window,
    block: Block,
    /// The bits not yet handed out; for the markers between blocks.
    pub bits: Bits,
    tuning: Tuning,
    dialect: Dialect,
    pos: usize,
    ahead: usize,
    /// Where the block starts: below 0 if its first bytes have left the window.
    block_start: isize,
    /// Lazy: the length and distance of the match at the position before `pos`.
    in_hand: (usize, usize),
    /// Lazy: the byte before `pos` has no token yet.
    pending: bool,
    /// So many positions before `pos` wait for input to be indexed.
    postponed: usize,
}

impl Engine {
    /// zlib's engine.
    pub fn zlib(level: Level, mem_level: MemLevel) -> Self {
        let block = Block::new(mem_level.block_tokens(), false);
        Self::new(Dialect::Zlib, level, mem_level.hash_bits(), block)
    }

    /// GNU gzip's engine.
    pub fn gnu(level: Level) -> Self {
        Self::new(Dialect::Gnu, level, 15, Block::new(32767, level.get() > 2))
    }

    fn new(dialect: Dialect, level: Level, hash_bits: u32, block: Block) -> Self {
        Self {
            window: Window::new(hash_bits),
            block,
            bits: Bits::default(),
            tuning: level.tuning(),
            dialect,
            pos: 0,
            ahead: 0,
            block_start: 0,
            in_hand: (NONE, 0),
            pending: false,
            postponed: 0,
        }
    }

    /// Takes input, and handles it as far as no more of it needs to be seen.
    pub fn write(&mut self, mut plain: &[u8], out: &mut Vec<u8>) {
        while !plain.is_empty() {
            let taken = self.window.append(self.pos + self.ahead, plain);
            plain = &plain[taken..];
            self.ahead += taken;
            self.insert_postponed();
            self.run(LOOKAHEAD, out);
            if !plain.is_empty() {
                // The window is full and `pos` near its end.
                self.slide();
            }
        }
    }

    /// Handles all input there is, as if it ended here, and leaves the block open.
    pub fn settle(&mut self, out: &mut Vec<u8>) {
        match self.dialect {
            Dialect::Gnu => {
                if self.pos >= LATE {
                    self.slide();
                }
                self.window.append(self.pos + self.ahead, &[0; 2]);
                self.run(1, out);
            }
            Dialect::Zlib => {
                // A step may cross the border at which zlib's next refill, though vain, slides the window.
                while self.ahead > 0 {
                    self.slide_if_late();
                    self.step(out);
                }
                self.slide_if_late();
                self.postponed = self.pos.min(SHORTEST - 1);
            }
        }
        if self.pending {
            // A block that this fills ends anyway.
            self.block.literal(self.window.byte(self.pos - 1));
            self.pending = false;
        }
        self.in_hand = (NONE, 0);
    }

    /// Ends the block if it has tokens.
    pub fn end_block(&mut self, out: &mut Vec<u8>) {
        if !self.block.is_empty() {
            self.write_block(false, out);
        }
    }

    /// Ends the stream. A final block is written even without tokens.
    pub fn end_stream(&mut self, out: &mut Vec<u8>) {
        self.settle(out);
        self.write_block(true, out);
        self.bits.pad(out);
    }

    /// Forgets the history: no match will reach behind this point. Only after [`Engine::settle`].
    pub fn forget(&mut self) {
        self.window.forget();
        self.pos = 0;
        self.block_start = 0;
        self.postponed = 0;
    }

    /// Starts over with `dictionary`, at most 32768 bytes, as history. Bits not yet handed out stay.
    pub fn start_with(&mut self, dictionary: &[u8]) {
        self.forget();
        self.pos = self.window.append(0, dictionary);
        self.block_start = self.pos.cast_signed();
        self.postponed = self.pos.min(SHORTEST - 1);
        for at in 0..self.pos - self.postponed {
            self.window.insert(at);
        }
    }

    fn slide_if_late(&mut self) {
        if self.pos >= LATE {
            self.slide();
        }
    }

    fn slide(&mut self) {
        self.window.slide();
        self.pos -= HALF;
        self.block_start -= HALF.cast_signed();
    }

    fn insert_postponed(&mut self) {
        while self.postponed > 0 && self.ahead + self.postponed >= SHORTEST {
            self.window.insert(self.pos - self.postponed);
            self.postponed -= 1;
        }
    }

    /// Steps while at least `need` bytes are to come.
    fn run(&mut self, need: usize, out: &mut Vec<u8>) {
        if self.tuning.greedy {
            while self.ahead >= need {
                self.step_greedy(out);
            }
        } else {
            while self.ahead >= need {
                self.step_lazy(out);
            }
        }
    }

    fn step(&mut self, out: &mut Vec<u8>) {
        if self.tuning.greedy { self.step_greedy(out) } else { self.step_lazy(out) }
    }

    /// Whether a position may be indexed that has `to_come` bytes from it to the end.
    #[inline(always)]
    fn may_insert(&self, to_come: usize) -> bool {
        to_come >= SHORTEST || self.dialect == Dialect::Gnu
    }

    /// Indexes `pos`; gives where to start searching, if anything there is near enough.
    #[inline(always)]
    fn candidate(&mut self) -> Option<usize> {
        let first = if self.may_insert(self.ahead) { self.window.insert(self.pos) } else { 0 };
        let near = first != 0 && self.pos - first <= FARTHEST;
        (near && (self.dialect == Dialect::Zlib || self.pos <= LATE)).then_some(first)
    }

    /// Searches for a match at `pos` that is longer than `in_hand`: (its length within the input, its
    /// distance).
    #[inline(always)]
    fn search(&self, first: usize, in_hand: usize) -> Option<(usize, usize)> {
        let mut limits = Limits::new(&self.tuning, in_hand);
        if self.dialect == Dialect::Zlib {
            limits.enough = limits.enough.min(self.ahead);
        }
        let found = self.window.search(self.pos, first, &limits);
        found.map(|(len, at)| (len.min(self.ahead), self.pos - at)).filter(|&(len, _)| len >= SHORTEST)
    }

    #[inline(always)]
    fn step_greedy(&mut self, out: &mut Vec<u8>) {
        let found = self.candidate().and_then(|first| self.search(first, NONE));
        let full;
        if let Some((len, distance)) = found {
            self.block.matched(len, distance);
            full = self.is_full();
            self.ahead -= len;
            if len <= self.tuning.lazy && self.may_insert(self.ahead) {
                for inside in self.pos + 1..self.pos + len {
                    self.window.insert(inside);
                }
            }
            self.pos += len;
        } else {
            self.block.literal(self.window.byte(self.pos));
            full = self.is_full();
            self.pos += 1;
            self.ahead -= 1;
        }
        if full {
            self.write_block(false, out);
        }
    }

    #[inline(always)]
    fn step_lazy(&mut self, out: &mut Vec<u8>) {
        let candidate = self.candidate();
        let (len_before, distance_before) = self.in_hand;
        self.in_hand.0 = NONE;
        if let Some(first) = candidate
            && len_before < self.tuning.lazy
            && let Some((len, distance)) = self.search(first, len_before)
            && (len > SHORTEST || distance <= TOO_FAR)
        {
            self.in_hand = (len, distance);
        }
        if len_before >= SHORTEST && self.in_hand.0 <= len_before {
            self.take_match_before(len_before, distance_before, out);
        } else if self.pending {
            self.block.literal(self.window.byte(self.pos - 1));
            if self.is_full() {
                self.write_block(false, out);
            }
            self.pos += 1;
            self.ahead -= 1;
        } else {
            self.pending = true;
            self.pos += 1;
            self.ahead -= 1;
        }
    }

    /// Takes the match that starts one byte before `pos`: nothing longer starts at `pos`.
    #[inline(always)]
    fn take_match_before(&mut self, len: usize, distance: usize, out: &mut Vec<u8>) {
        self.block.matched(len, distance);
        let full = self.is_full();
        let end = self.pos + self.ahead;
        let behind = self.pos + len - 1;
        for inside in self.pos + 1..behind {
            if self.may_insert(end - inside) {
                self.window.insert(inside);
            }
        }
        self.ahead -= len - 1;
        self.pos = behind;
        self.pending = false;
        self.in_hand.0 = NONE;
        if full {
            self.write_block(false, out);
        }
    }

    #[inline(always)]
    fn is_full(&self) -> bool {
        self.block.is_full(self.pos.cast_signed() - self.block_start)
    }

    /// Ends the block at `pos`.
    fn write_block(&mut self, last: bool, out: &mut Vec<u8>) {
        let start = usize::try_from(self.block_start).ok();
        let plain = start.and_then(|start| self.window.slice(start..self.pos));
        self.block.end(plain, last, &mut self.bits, out);
        self.block_start = self.pos.cast_signed();
    }
}
