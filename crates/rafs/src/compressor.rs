//! The compression algorithms that a blob can use, and the one bounded way to undo them.

use std::fmt;

use thiserror::Error;

/// How chunks are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Compressor {
    /// Raw bytes.
    None,
    /// Raw LZ4 blocks without a size prefix.
    Lz4Block,
    /// Gzip; only declared by blobs that reference original gzip layers.
    Gzip,
    /// One zstd frame a chunk.
    #[default]
    Zstd,
}

/// Why stored bytes did not give the promised plain bytes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecompressError {
    /// The stored bytes are not valid for the algorithm, or produce more than was promised.
    #[error("the {compressor} data is damaged or longer than the declared {expected} bytes")]
    Damaged {
        /// The algorithm.
        compressor: Compressor,
        /// Declared plain length in bytes.
        expected: usize,
    },
    /// Fewer plain bytes than promised.
    #[error("the {compressor} data gives {actual} bytes, not the declared {expected}")]
    Length {
        /// The algorithm.
        compressor: Compressor,
        /// Declared plain length in bytes.
        expected: usize,
        /// What came out.
        actual: usize,
    },
    /// An algorithm that chunks are never stored in.
    #[error("chunks cannot be stored as {compressor}")]
    Unsupported {
        /// The algorithm.
        compressor: Compressor,
    },
}

impl Compressor {
    /// The name users type.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lz4Block => "lz4_block",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// The number of the algorithm in blob tables and CI headers.
    pub(crate) const fn id(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Lz4Block => 1,
            Self::Gzip => 2,
            Self::Zstd => 3,
        }
    }

    /// The algorithm with this number.
    pub(crate) const fn from_id(id: u32) -> Option<Self> {
        match id {
            0 => Some(Self::None),
            1 => Some(Self::Lz4Block),
            2 => Some(Self::Gzip),
            3 => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Decompresses one item into exactly `plain.len()` bytes. Never allocates by what the data says.
    pub fn decompress(self, stored: &[u8], plain: &mut [u8]) -> Result<(), DecompressError> {
        let expected = plain.len();
        let damaged = DecompressError::Damaged { compressor: self, expected };
        let actual = match self {
            Self::None if stored.len() == expected => {
                plain.copy_from_slice(stored);
                expected
            }
            Self::None => stored.len(),
            Self::Lz4Block => lz4_flex::block::decompress_into(stored, plain).map_err(|_| damaged)?,
            Self::Zstd => zstd::bulk::decompress_to_buffer(stored, plain).map_err(|_| damaged)?,
            Self::Gzip => return Err(DecompressError::Unsupported { compressor: self }),
        };
        if actual == expected {
            Ok(())
        } else {
            Err(DecompressError::Length { compressor: self, expected, actual })
        }
    }
}

impl fmt::Display for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
