//! The deflate encoder of Go's `github.com/klauspost/compress` since v1.15.11, which Go's own `compress/flate` has
//! been since Go 1.27: for the same plain bytes, settings and flushes, the same compressed bytes.
//!
//! ```text
//!            level      looks for matches in             hands over
//!  write ──► -2, 0      nothing                  ──┐
//!            1 ..= 6    windows of 65535 bytes   ──┼──► raw bytes, tokens ──► block writer ──► bits
//!            7 ..= 9    a sliding 64 KiB window  ──┘
//! ```
//!
//! The output does not depend on how the input is cut into writes, at any level.

mod bits;
mod blocks;
mod estimate;
mod fast;
mod header;
mod huffman;
mod lazy;
mod settings;
mod symbols;
mod tokens;
mod unsearched;

use crate::deflate::Deflate;
use blocks::Blocks;
pub use estimate::Rounding;
use fast::{Fast, Search};
use lazy::Lazy;
pub use settings::{Epoch, Level, LevelError, Settings};
use unsearched::Unsearched;

/// The encoder. It owns less than 2 MiB, whatever the length of the input.
#[derive(Debug)]
pub struct Klauspost {
    blocks: Blocks,
    engine: Engine,
}

#[derive(Debug)]
enum Engine {
    Unsearched(Unsearched),
    Fast(Box<Fast>),
    Lazy(Box<Lazy>),
}

impl Klauspost {
    /// An encoder at the start of a stream.
    pub fn new(settings: Settings) -> Self {
        let Settings { epoch, level, .. } = settings;
        let fast = |search| (Engine::Fast(Box::new(Fast::new(search))), 7);
        let lazy = |effort| (Engine::Lazy(Box::new(Lazy::new(epoch, effort))), 8);
        let (engine, penalty) = match level {
            Level::HuffmanOnly => (Engine::Unsearched(Unsearched::huffman()), 10),
            // Stored blocks have no tables, so no penalty for new ones.
            Level::Stored => (Engine::Unsearched(Unsearched::stored()), 0),
            Level::L1 => fast(Search::level1()),
            Level::L2 => fast(Search::level2()),
            Level::L3 => fast(Search::level3()),
            Level::L4 => fast(Search::level4(epoch)),
            Level::L5 => fast(Search::level5()),
            Level::L6 => fast(Search::level6()),
            Level::L7 => lazy(lazy::LEVEL7),
            Level::L8 => lazy(lazy::LEVEL8),
            Level::L9 => lazy(lazy::LEVEL9),
        };
        Self { blocks: Blocks::new(settings, penalty), engine }
    }

    /// An encoder whose first matches may reach into `dictionary`, of which the last 32 KiB count.
    pub fn with_dictionary(settings: Settings, dictionary: &[u8]) -> Self {
        let mut encoder = Self::new(settings);
        let dictionary = &dictionary[dictionary.len().saturating_sub(32768)..];
        match &mut encoder.engine {
            Engine::Unsearched(_) => {}
            Engine::Fast(fast) => fast.prime(dictionary),
            Engine::Lazy(lazy) => lazy.prime(dictionary),
        }
        encoder
    }

    /// Encodes everything held back.
    fn sync(&mut self, out: &mut Vec<u8>) {
        match &mut self.engine {
            Engine::Unsearched(unsearched) => unsearched.sync(&mut self.blocks, out),
            Engine::Fast(fast) => fast.sync(&mut self.blocks, out),
            Engine::Lazy(lazy) => lazy.sync(&mut self.blocks, out),
        }
    }
}

impl Deflate for Klauspost {
    fn write(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        match &mut self.engine {
            Engine::Unsearched(unsearched) => unsearched.write(plain, &mut self.blocks, out),
            Engine::Fast(fast) => fast.write(plain, &mut self.blocks, out),
            Engine::Lazy(lazy) => lazy.write(plain, &mut self.blocks, out),
        }
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        self.sync(out);
        self.blocks.stored(&[], out);
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        self.sync(out);
        self.blocks.end(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn levels_have_numbers() {
        for level in Level::ALL {
            assert_eq!(Level::try_from(level.number()).unwrap(), level);
        }
        for number in [-3, -1, 10] {
            assert_eq!(Level::try_from(number), Err(LevelError { number }));
        }
    }

    #[test]
    fn empty_streams() {
        for epoch in Epoch::ALL {
            for level in Level::ALL {
                let mut encoder = Klauspost::new(Settings::new(epoch, level));
                let mut out = Vec::new();
                encoder.finish(&mut out);
                assert_eq!(out, [3, 0]);
            }
        }
    }

    #[test]
    fn flushes_are_marked_even_when_there_is_nothing_to_flush() {
        for level in Level::ALL {
            let mut encoder = Klauspost::new(Settings::new(Epoch::B2, level));
            let mut out = Vec::new();
            encoder.flush(&mut out);
            encoder.flush(&mut out);
            encoder.finish(&mut out);
            assert_eq!(out, [0, 0, 0, 255, 255, 0, 0, 0, 255, 255, 3, 0]);
        }
    }
}
