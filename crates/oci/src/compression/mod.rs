//! Layer streams, compressed or not, to plain bytes.
//!
//! What a stream is, its first bytes say ([`Compression::detect`]), as for docker and containerd; media types
//! are wrong too often. A [`Decompressor`] reports its end only where the inner reader reported its own, so
//! whatever the inner reader verifies at its end has been verified.

mod error;
mod frame;
mod gzip;
mod input;
mod step;
mod watch;
mod window;
mod zstd;

use std::io::{self, Read};

use crate::verify::read_some;

pub use error::{Compression, DecompressError};
use input::Input;
use step::{Step, StepError};
pub use watch::Watch;

/// What a stream may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamLimits {
    /// Most plain bytes that the stream may give.
    pub plain: u64,
    /// Window of a zstd frame in bytes. A frame that holds less than its window needs only what it holds. Of all frames
    /// decoded at the same time in this process, large windows (over 8 MiB) have 128 MiB together, and a larger one waits
    /// until it is alone.
    pub zstd_window: u64,
}

impl StreamLimits {
    /// 512 MiB, as containerd and skopeo allow.
    pub const DEFAULT_ZSTD_WINDOW: u64 = 512 << 20;
}

/// So many plain bytes, and the usual window.
impl From<u64> for StreamLimits {
    fn from(plain: u64) -> Self {
        Self { plain, zstd_window: Self::DEFAULT_ZSTD_WINDOW }
    }
}

/// Plain bytes of a stream. Errors of the inner reader pass unchanged; the others are a [`DecompressError`]
/// inside an [`io::Error`], and stay.
pub struct Decompressor<R, W = ()> {
    input: Input<R, W>,
    engine: Engine,
    compression: Compression,
    plain: u64,
    limit: u64,
    failed: Option<DecompressError>,
}

enum Engine {
    Plain,
    Gzip(gzip::Gzip),
    Zstd(zstd::Zstd),
}

/// Reads enough of `reader` to see what it is, and decompresses it from there. More than the limits allow is an error.
pub fn decompress<R: Read>(reader: R, limits: impl Into<StreamLimits>) -> io::Result<Decompressor<R>> {
    decompress_watched(reader, limits, ())
}

/// As [`decompress`], with somebody who watches; [`Decompressor::into_watch`] gives the watch back.
pub fn decompress_watched<R: Read, W: Watch>(
    reader: R,
    limits: impl Into<StreamLimits>,
    watch: W,
) -> io::Result<Decompressor<R, W>> {
    let limits = limits.into();
    let mut input = Input::new(reader, watch);
    // Enough for the magic numbers of formats that are to be refused by name.
    let prefix = input.peek(FOREIGN_MAGIC_LEN)?;
    if let Some(name) = foreign_format(prefix) {
        return Err(DecompressError::UnknownFormat { name }.into());
    }
    let compression = Compression::detect(prefix);
    let engine = match compression {
        Compression::None => Engine::Plain,
        Compression::Gzip => Engine::Gzip(gzip::Gzip::new()),
        Compression::Zstd => Engine::Zstd(zstd::Zstd::new(limits.zstd_window)?),
    };
    Ok(Decompressor { input, engine, compression, plain: 0, limit: limits.plain, failed: None })
}

const FOREIGN_MAGIC_LEN: usize = 10;

/// Formats that some tools read as layers and OCI does not allow. The magic numbers are long enough that no
/// tar begins with them.
fn foreign_format(prefix: &[u8]) -> Option<&'static str> {
    match prefix {
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some("xz"),
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..] => Some("bzip2"),
        _ => None,
    }
}

impl<R, W> Decompressor<R, W> {
    /// Whoever watched.
    pub fn into_watch(self) -> W {
        self.input.watch
    }

    /// What the stream is.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Plain bytes given so far.
    pub fn plain_bytes(&self) -> u64 {
        self.plain
    }
}

impl<R: Read, W: Watch> Read for Decompressor<R, W> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if let Some(error) = &self.failed {
            return Err(error.clone().into());
        }
        if buf.is_empty() {
            return Ok(0);
        }
        let step = match &mut self.engine {
            Engine::Plain => read_plain(&mut self.input, buf).map_err(StepError::Inner),
            Engine::Gzip(gzip) => gzip.step(&mut self.input, buf),
            Engine::Zstd(zstd) => zstd.step(&mut self.input, buf),
        };
        let error = match step {
            Ok(Step::End) => return Ok(0),
            Ok(Step::Bytes(n)) => {
                self.plain = self.plain.saturating_add(n as u64);
                if self.compression != Compression::None {
                    self.input.watch.plain(buf.get(..n).unwrap_or_default());
                }
                if self.plain <= self.limit {
                    return Ok(n);
                }
                DecompressError::LimitExceeded { compression: self.compression, limit: self.limit }
            }
            Err(StepError::Inner(error)) => return Err(error),
            Err(StepError::Stream(error)) => error,
        };
        self.failed = Some(error.clone());
        Err(error.into())
    }
}

fn read_plain<R: Read, W: Watch>(input: &mut Input<R, W>, buf: &mut [u8]) -> io::Result<Step> {
    let n = if input.bytes().is_empty() {
        read_some(input.inner(), buf)?
    } else {
        let mut bytes = input.bytes();
        let n = bytes.read(buf)?;
        input.pass(n);
        n
    };
    Ok(if n == 0 { Step::End } else { Step::Bytes(n) })
}

#[cfg(test)]
mod tests;
