//! How chunks are to be compressed, as users say it.

use std::fmt;
use std::str::FromStr;

use nydus_convert_rafs::Compressor;
use thiserror::Error;

/// What a writer does to chunks. Whatever does not shrink is stored raw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Chunks are stored as they are.
    None,
    /// LZ4, the block format without frames.
    Lz4Block,
    /// One zstd frame a chunk.
    Zstd {
        /// How hard to try.
        level: ZstdLevel,
    },
}

/// A zstd level: 1 to 22, or negative for speed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ZstdLevel(i32);

/// Text or a number that is not a compression.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CompressionError {
    /// A level that zstd does not have.
    #[error("the zstd level {level} is not in {}..=22, or is 0", zstd::compression_level_range().start())]
    Level {
        /// The level that was given.
        level: i32,
    },
    /// Not the name of a compression.
    #[error("'{text}' is not one of none, lz4_block, zstd, zstd:LEVEL")]
    Name {
        /// The text that was given.
        text: String,
    },
}

impl ZstdLevel {
    /// Checks a level. Zero, which zstd takes as "the default", is refused: one setting, one name.
    pub fn new(level: i32) -> Result<Self, CompressionError> {
        if level != 0 && zstd::compression_level_range().contains(&level) {
            Ok(Self(level))
        } else {
            Err(CompressionError::Level { level })
        }
    }

    /// The level as zstd numbers it; negative ones are faster.
    pub const fn get(self) -> i32 {
        self.0
    }
}

/// The level of the reference builder.
impl Default for ZstdLevel {
    fn default() -> Self {
        Self(3)
    }
}

/// Zstd at its default level.
impl Default for Compression {
    fn default() -> Self {
        Self::Zstd { level: ZstdLevel::default() }
    }
}

impl Compression {
    /// The algorithm, as the format records it.
    pub const fn compressor(self) -> Compressor {
        match self {
            Self::None => Compressor::None,
            Self::Lz4Block => Compressor::Lz4Block,
            Self::Zstd { .. } => Compressor::Zstd,
        }
    }
}

/// `none`, `lz4_block`, `zstd` or `zstd:LEVEL`.
impl FromStr for Compression {
    type Err = CompressionError;

    fn from_str(text: &str) -> Result<Self, CompressionError> {
        let unknown = || CompressionError::Name { text: text.to_owned() };
        match text {
            "none" => Ok(Self::None),
            "lz4_block" => Ok(Self::Lz4Block),
            "zstd" => Ok(Self::default()),
            _ => {
                let level = text.strip_prefix("zstd:").ok_or_else(unknown)?;
                let level = level.parse().map_err(|_| unknown())?;
                Ok(Self::Zstd { level: ZstdLevel::new(level)? })
            }
        }
    }
}

/// The shortest text that parses to the same value.
impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.compressor().name())?;
        match self {
            Self::Zstd { level } if *level != ZstdLevel::default() => write!(f, ":{}", level.get()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn text_form() {
        for text in ["none", "lz4_block", "zstd", "zstd:1", "zstd:22", "zstd:-7"] {
            assert_eq!(text.parse::<Compression>().unwrap().to_string(), text);
        }
        assert_eq!("zstd:3".parse(), Ok(Compression::default()));
        for (text, level) in [("zstd:0", 0), ("zstd:23", 23), ("zstd:-2000000", -2_000_000)] {
            assert_eq!(text.parse::<Compression>(), Err(CompressionError::Level { level }));
        }
        for text in ["", "lz4", "zstd:", "zstd:x", "gzip", "ZSTD", "none:1", "zstd:99999999999"] {
            assert!(matches!(text.parse::<Compression>(), Err(CompressionError::Name { .. })), "{text}");
        }
    }
}
