//! Go's `compress/flate` as it was from Go 1.8 to Go 1.26, byte for byte (Go 1.27 brought another encoder).
//!
//! ```text
//!   level     matcher                          what it collects           block becomes
//!   -2        none                             65535 bytes                literals or stored
//!    0        none                             65535 bytes                stored
//!    1        `fast`: one-slot hash table      65535 bytes                dynamic, literals or stored
//!    2..=3    `chain`: hash chains, greedy     16384 tokens               fixed, dynamic or stored
//!    4..=9    `chain`: hash chains, lazy       16384 tokens               fixed, dynamic or stored
//! ```
//!
//! No block of data is the last one: the stream always ends with an empty stored block. Up to Go 1.14, levels
//! -2 and 1 behave differently in rare cases: see [`Release`].

mod bits;
mod block;
mod chain;
mod cuts;
mod fast;
mod header;
mod huffman;
mod level;
mod release;
mod search;
mod token;
mod units;

use crate::deflate::Deflate;
use block::BlockWriter;
use chain::Chain;
pub use cuts::Cuts;
use fast::Fast;
use level::Method;
pub use level::{Level, LevelOutOfRange};
pub use release::Release;
use units::{Literals, Store, Units};

/// The encoder: raw deflate, streaming, less than 1 MiB of memory whatever the input.
///
/// What comes out depends on the bytes, the positions of [`Deflate::flush`], and the [`Level`], [`Release`]
/// and [`Cuts`] given at the start; never on how the input is cut into [`Deflate::write`] calls. A flush is
/// what `Writer.Flush` is to the original: it leaves an empty stored block even if nothing was written since
/// the last one, and ends a write of the original's caller. [`Deflate::finish`] is `Writer.Close`.
pub struct GoFlate {
    blocks: BlockWriter,
    matcher: Matcher,
}

enum Matcher {
    Store(Units<Store>),
    Literals(Units<Literals>),
    Fast(Units<Fast>),
    Chain(Chain),
}

impl GoFlate {
    /// An encoder for a stream that was written at once, or in multiples of 512 bytes: nearly all are, or
    /// look so.
    pub fn new(level: Level) -> Self {
        Self::with(level, Release::Go1_15, Cuts::Harmless)
    }

    /// An encoder for a stream that the first releases made, or whose writer's cuts left a trace. Levels -2,
    /// 0 and 1 ignore `cuts`, levels 2 to 9 and 0 ignore `release`.
    pub fn with(level: Level, release: Release, cuts: Cuts) -> Self {
        let matcher = match level.method() {
            Method::Store => Matcher::Store(Units::new(Store)),
            Method::Literals => Matcher::Literals(Units::new(Literals)),
            Method::Fast => Matcher::Fast(Units::new(Fast::new(release))),
            Method::Chain(effort) => Matcher::Chain(Chain::new(effort, cuts)),
        };
        Self { blocks: BlockWriter::new(release), matcher }
    }

    /// Turns everything taken into blocks.
    fn drain(&mut self, out: &mut Vec<u8>) {
        match &mut self.matcher {
            Matcher::Store(units) => units.drain(&mut self.blocks, out),
            Matcher::Literals(units) => units.drain(&mut self.blocks, out),
            Matcher::Fast(units) => units.drain(&mut self.blocks, out),
            Matcher::Chain(chain) => chain.drain(&mut self.blocks, out),
        }
    }
}

impl Deflate for GoFlate {
    fn write(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        match &mut self.matcher {
            Matcher::Store(units) => units.write(plain, &mut self.blocks, out),
            Matcher::Literals(units) => units.write(plain, &mut self.blocks, out),
            Matcher::Fast(units) => units.write(plain, &mut self.blocks, out),
            Matcher::Chain(chain) => chain.write(plain, &mut self.blocks, out),
        }
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        self.drain(out);
        self.blocks.stored(&[], out);
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        self.drain(out);
        self.blocks.end(out);
    }
}

#[cfg(test)]
mod tests;
