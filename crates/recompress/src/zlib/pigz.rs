//! The deflate stream of pigz: zlib streams of one unit each, glued at byte borders.
//!
//! ```text
//! unit 0 blocks ┊ filler ┊ unit 1 blocks ┊ filler ┊ … ┊ last unit's blocks, final
//!                        └ knows the 32768 bytes before it
//!
//! filler, by the bits taken in the last byte:  0: nothing   odd: an empty stored block
//!                                              2: three, 4: two, 6: one empty fixed block (10 bits)
//! ```

use super::block::{put_empty_fixed, put_stored};
use super::engine::Engine;
use super::params::{Level, MemLevel, UnitSize};
use super::window::HALF;
use crate::deflate::Deflate;

/// Whether pigz worked with threads. Beyond one, their number makes no difference.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Threads {
    /// `-p 1`: one stream goes on through all units.
    One,
    /// Every unit is a stream of its own that is told the 32768 bytes before it.
    #[default]
    Many,
}

/// The parameters of [`Pigz`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct PigzParams {
    /// The level, 1 to 9.
    pub level: Level,
    /// The unit (`-b`).
    pub unit: UnitSize,
    /// One thread or more.
    pub threads: Threads,
    /// `-i`: no unit refers to another one; two empty stored blocks after each.
    pub independent: bool,
}

/// pigz, levels 1 to 9, without `-R` and `-11`. Measured against 2.6.
pub struct Pigz {
    engine: Engine,
    params: PigzParams,
    /// Bytes of the current unit taken so far.
    taken: usize,
    /// The last bytes of the current unit, at most [`HALF`]; only where the next unit is told of them.
    tail: Vec<u8>,
}

impl Pigz {
    /// What pigz starts with these parameters.
    #[must_use]
    pub fn new(params: PigzParams) -> Self {
        let engine = Engine::zlib(params.level, MemLevel::DEFAULT);
        Self { engine, params, taken: 0, tail: Vec::new() }
    }

    /// Takes input that lies within the current unit.
    fn take(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        self.engine.write(piece, out);
        if self.params.threads == Threads::Many && !self.params.independent {
            let tail_start = self.params.unit.get() - HALF;
            let skip = tail_start.saturating_sub(self.taken).min(piece.len());
            self.tail.extend_from_slice(&piece[skip..]);
        }
        self.taken += piece.len();
    }

    /// Ends a unit that is not the last, and prepares the next one.
    fn next_unit(&mut self, out: &mut Vec<u8>) {
        self.engine.settle(out);
        self.engine.end_block(out);
        self.fill(out);
        match (self.params.threads, self.params.independent) {
            (Threads::One, false) => {}
            (_, true) => self.engine.forget(),
            (Threads::Many, false) => self.engine.start_with(&self.tail),
        }
        self.tail.clear();
        self.taken = 0;
    }

    /// Goes on to a byte border with empty blocks.
    fn fill(&mut self, out: &mut Vec<u8>) {
        let bits = &mut self.engine.bits;
        if self.params.independent {
            put_stored(&[], false, bits, out);
            put_stored(&[], false, bits, out);
        } else if bits.partial() % 2 == 1 {
            put_stored(&[], false, bits, out);
        } else {
            while bits.partial() > 0 {
                put_empty_fixed(bits, out);
            }
        }
    }
}

/// The deflate bytes of one unit, made apart from all others: those of [`Pigz`] put together, except for
/// [`Threads::One`] without `independent`, where a unit depends on all that came before.
///
/// `dictionary` is what comes before the unit, of which the last 32768 bytes count; nothing for the first unit and
/// where units are independent. `last` ends the stream.
#[must_use]
pub fn compress_unit(params: PigzParams, dictionary: &[u8], unit: &[u8], last: bool) -> Vec<u8> {
    let mut pigz = Pigz::new(params);
    let mut out = Vec::with_capacity(unit.len() / 2 + 64);
    if !dictionary.is_empty() && !params.independent {
        pigz.engine.start_with(&dictionary[dictionary.len().saturating_sub(HALF)..]);
    }
    pigz.engine.write(unit, &mut out);
    if last {
        pigz.engine.end_stream(&mut out);
    } else {
        pigz.engine.settle(&mut out);
        pigz.engine.end_block(&mut out);
        pigz.fill(&mut out);
    }
    out
}

impl Deflate for Pigz {
    fn write(&mut self, mut plain: &[u8], out: &mut Vec<u8>) {
        while !plain.is_empty() {
            // Only now is it known that the unit before was not the last.
            if self.taken == self.params.unit.get() {
                self.next_unit(out);
            }
            let (piece, rest) = plain.split_at(plain.len().min(self.params.unit.get() - self.taken));
            self.take(piece, out);
            plain = rest;
        }
    }

    /// Does nothing: pigz flushes at the ends of its units only.
    fn flush(&mut self, _out: &mut Vec<u8>) {}

    fn finish(&mut self, out: &mut Vec<u8>) {
        self.engine.end_stream(out);
    }
}
