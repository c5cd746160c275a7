//! Layer streams, compressed or not, to plain bytes.
//!
//! What a stream is, its first bytes say ([`Compression::detect`]), as for docker and containerd; media types
//! are wrong too often. A [`Decompressor`] reports its end only where the inner reader reported its own, so
//! whatever the inner reader verifies at its end has been verified.

mod frame;
mod gzip;
mod input;
mod window;
mod zstd;

use std::fmt;
use std::io::{self, Read};

use thiserror::Error;

use crate::ErrorKind;
use crate::verify::read_some;

use input::Input;

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip (RFC 1952), any number of members.
    Gzip,
    /// Zstandard (RFC 8878), any number of frames.
    Zstd,
}

impl Compression {
    /// Bytes that [`Compression::detect`] looks at.
    pub const MAGIC_LEN: usize = 4;

    /// What a stream is by its first bytes. Anything unknown is plain; so are fewer bytes than a magic number
    /// has.
    pub fn detect(prefix: &[u8]) -> Self {
        match prefix {
            // Both magic bytes and the only method there is, deflate.
            [0x1f, 0x8b, 8, ..] => Self::Gzip,
            _ if zstd::is_magic(prefix) => Self::Zstd,
            _ => Self::None,
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

/// Why a stream cannot be decompressed. Offsets are bytes of the compressed stream.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecompressError {
    /// The stream ends in the middle of a member or frame.
    #[error("the {compression} stream is truncated: it ends at byte {offset} within a member or frame")]
    Truncated {
        /// What the stream is.
        compression: Compression,
        /// Length of the stream.
        offset: u64,
    },
    /// The stream contradicts its format or its own checksums.
    #[error("the {compression} stream is damaged before byte {offset}: {reason}")]
    Damaged {
        /// What the stream is.
        compression: Compression,
        /// Bytes consumed when that was noticed.
        offset: u64,
        /// What the decoder says.
        reason: String,
    },
    /// Something follows the last member or frame.
    #[error("the {compression} stream is followed by something else at byte {offset}")]
    TrailingGarbage {
        /// What the stream is.
        compression: Compression,
        /// Where the garbage begins.
        offset: u64,
    },
    /// The plain bytes are more than the caller allows.
    #[error("the {compression} stream holds more than {limit} bytes")]
    LimitExceeded {
        /// What the stream is.
        compression: Compression,
        /// The caller's limit in plain bytes.
        limit: u64,
    },
    /// A zstd frame wants more memory than is given.
    #[error(
        "the zstd frame at byte {offset} needs a window of {needed} bytes, more than the {limit} that are allowed: \
         allow more, or compress the layer again with a smaller window"
    )]
    WindowTooLarge {
        /// Where the frame begins.
        offset: u64,
        /// What it needs.
        needed: u64,
        /// [`StreamLimits::zstd_window`].
        limit: u64,
    },
    /// Compressed by something that OCI does not know.
    #[error("the layer is compressed with {name}, which OCI images cannot be")]
    UnknownFormat {
        /// Its name.
        name: &'static str,
    },
}

impl DecompressError {
    /// What sort of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Truncated { .. } | Self::Damaged { .. } | Self::TrailingGarbage { .. } => {
                ErrorKind::Verification
            }
            Self::LimitExceeded { .. } | Self::WindowTooLarge { .. } => ErrorKind::ResourceLimit,
            Self::UnknownFormat { .. } => ErrorKind::Unsupported,
        }
    }
}

impl From<DecompressError> for io::Error {
    fn from(error: DecompressError) -> Self {
        let kind = match error {
            DecompressError::Truncated { .. } => io::ErrorKind::UnexpectedEof,
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, error)
    }
}

/// What a stream may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamLimits {
    /// Plain bytes.
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

/// Watches a gzip or zstd stream while it is decompressed. Nothing is told of streams that are not compressed.
pub trait Watch {
    /// The next stored bytes, in order, when the decoder has used them.
    fn stored(&mut self, bytes: &[u8]);
    /// The next plain bytes, in order.
    fn plain(&mut self, bytes: &[u8]);
    /// What was told since the last call is exactly one gzip member.
    fn member_end(&mut self);
}

/// Watches nothing.
impl Watch for () {
    fn stored(&mut self, _: &[u8]) {}
    fn plain(&mut self, _: &[u8]) {}
    fn member_end(&mut self) {}
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

/// How far one step of an engine got.
enum Step {
    /// So many plain bytes were written to the beginning of the output, at least one.
    Bytes(usize),
    /// The stream is over, and so is the inner reader.
    End,
}

/// Why one step of an engine failed.
enum StepError {
    /// The stream is to blame.
    Stream(DecompressError),
    /// The inner reader is.
    Inner(io::Error),
}

impl From<DecompressError> for StepError {
    fn from(error: DecompressError) -> Self {
        Self::Stream(error)
    }
}

impl From<io::Error> for StepError {
    fn from(error: io::Error) -> Self {
        Self::Inner(error)
    }
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
