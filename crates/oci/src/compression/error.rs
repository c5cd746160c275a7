//! How a stream is compressed, and why it cannot be decompressed.

use std::fmt;
use std::io;

use thiserror::Error;

use crate::kind::ErrorKind;

use super::frame;

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// No compression that is known: the bytes are taken as they are.
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
            _ if frame::is_magic(prefix) => Self::Zstd,
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
        /// [`StreamLimits::zstd_window`](crate::StreamLimits::zstd_window).
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
