//! Why a record cannot be made, read, or replayed.

use std::io;

use thiserror::Error;

/// Most bytes of columns that a reader takes: they are held in memory. A tar of 20 million entries needs less.
pub const MAX_COLUMNS: u64 = 1 << 30;

/// Why a tar record cannot be made, read, or replayed.
#[derive(Debug, Error)]
pub enum RecordError {
    /// The recorder was not told of all payload: a chunk was left open or bytes were left
    /// [unstored](super::Recorder::take_unstored) when other payload followed, or at the end.
    #[error("payload of the tar was not stored in its order")]
    Disorder,
    /// Chunks without a number, or numbers without a chunk.
    #[error("{chunks} chunks were recorded, but {numbers} have a number")]
    Numbers {
        /// Chunks that the recorder was told of.
        chunks: u64,
        /// Numbers given.
        numbers: usize,
    },
    /// The columns together are larger than a reader accepts.
    #[error("columns of {size} bytes, more than {MAX_COLUMNS}")]
    TooLarge {
        /// Their size in bytes.
        size: u64,
    },
    /// Zstd could not compress the columns.
    #[error("the columns cannot be compressed")]
    Compress {
        /// Its own words.
        source: io::Error,
    },
    /// No record of a version known here.
    #[error("tar record of unknown version {version}")]
    Version {
        /// The first byte.
        version: u8,
    },
    /// No bytes at all.
    #[error("the tar record is empty")]
    Empty,
    /// The frame is damaged, asks for too large a window, or holds more than a tar of this size can need.
    #[error("the tar record cannot be decompressed")]
    Frame {
        /// What zstd says.
        source: io::Error,
    },
    /// A column that ends early, holds too much, or holds what no writer writes.
    #[error("tar record: malformed column '{column}'")]
    Malformed {
        /// The column.
        column: &'static str,
    },
    /// The record makes more or fewer bytes than the tar has.
    #[error("tar record: it does not make a tar of {expected} bytes")]
    TarSize {
        /// Size of the tar.
        expected: u64,
    },
    /// The payload is shorter than the record needs.
    #[error("tar record: the payload ends {missing} bytes too early")]
    PayloadEnds {
        /// Bytes still needed.
        missing: u64,
    },
}
