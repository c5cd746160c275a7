//! Stock zlib's raw deflate stream, with its flushes.

use super::block::{put_empty_fixed, put_stored};
use super::engine::Engine;
use super::params::Params;
use crate::deflate::Deflate;

/// The flushes of zlib, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flush {
    /// `Z_BLOCK`: ends the block; up to seven bits stay behind.
    Block,
    /// `Z_PARTIAL_FLUSH`: then an empty fixed block, 10 bits.
    Partial,
    /// `Z_SYNC_FLUSH`: then padding and an empty stored block, `00 00 ff ff`.
    Sync,
    /// `Z_FULL_FLUSH`: as `Sync`, then the history is forgotten.
    Full,
}

/// Stock zlib, levels 1 to 9, 32 KiB window, default strategy.
///
/// Reproduces zlib 1.2.6 and later, through Python, Java and whoever else links it; not zlib-ng, zlib-rs or
/// the variants of Cloudflare, Chromium and Intel.
pub struct Zlib {
    engine: Engine,
    /// The flush that the last call asked for, if it was one.
    flushed: Option<Flush>,
}

impl Zlib {
    /// A stream as `deflateInit2(level, Z_DEFLATED, -15, mem_level, Z_DEFAULT_STRATEGY)` starts it.
    #[must_use]
    pub fn new(params: Params) -> Self {
        Self { engine: Engine::zlib(params.level, params.mem_level), flushed: None }
    }

    /// Flushes in the given way.
    ///
    /// As in zlib, this writes nothing if the call just before asked for a flush as strong or stronger,
    /// whether that one wrote something or not. Any write in between makes it count again, even an empty one:
    /// so two equal markers can stand at one offset.
    pub fn flush_with(&mut self, flush: Flush, out: &mut Vec<u8>) {
        if self.flushed.replace(flush) >= Some(flush) {
            return;
        }
        self.engine.settle(out);
        self.engine.end_block(out);
        match flush {
            Flush::Block => {}
            Flush::Partial => put_empty_fixed(&mut self.engine.bits, out),
            Flush::Sync | Flush::Full => put_stored(&[], false, &mut self.engine.bits, out),
        }
        if flush == Flush::Full {
            self.engine.forget();
        }
    }
}

impl Deflate for Zlib {
    fn write(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        self.flushed = None;
        self.engine.write(plain, out);
    }

    /// [`Flush::Sync`].
    fn flush(&mut self, out: &mut Vec<u8>) {
        self.flush_with(Flush::Sync, out);
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        self.engine.end_stream(out);
    }
}
