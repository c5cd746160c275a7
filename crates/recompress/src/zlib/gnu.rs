//! The deflate stream of GNU gzip.

use super::engine::Engine;
use super::params::Level;
use crate::deflate::Deflate;

/// GNU gzip, levels 1 to 9, without `--rsyncable`. Measured against 1.12.
pub struct GnuGzip {
    engine: Engine,
}

impl GnuGzip {
    /// What `gzip -1` to `gzip -9` starts.
    #[must_use]
    pub fn new(level: Level) -> Self {
        Self { engine: Engine::gnu(level) }
    }
}

impl Deflate for GnuGzip {
    fn write(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        self.engine.write(plain, out);
    }

    /// Does nothing: GNU gzip never flushes.
    fn flush(&mut self, _out: &mut Vec<u8>) {}

    fn finish(&mut self, out: &mut Vec<u8>) {
        self.engine.end_stream(out);
    }
}
