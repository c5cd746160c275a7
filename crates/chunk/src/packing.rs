//! What came of packing, or why nothing did.

use std::io;

use nydus_convert_rafs::ChunkSize;
use thiserror::Error;

use crate::WriteError;
use crate::store::StoreError;

/// What was packed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Packing {
    /// For every chunk, in stream order, its number in the blob; from [`Foreign::FIRST`](crate::Foreign::FIRST) on, of a chunk elsewhere.
    pub indexes: Vec<u32>,
    /// Plain bytes of all chunks.
    pub plain_bytes: u64,
    /// Chunks that were new, and so were stored.
    pub new_chunks: u64,
    /// Plain bytes of the new chunks.
    pub new_bytes: u64,
    /// What the new chunks take in the blob, in bytes.
    pub stored: u64,
    /// Of the new chunks those that were copied as they were stored before, instead of being compressed.
    pub copied_chunks: u64,
}

impl Packing {
    /// Chunks that the blob, or another, already had.
    pub fn duplicate_chunks(&self) -> u64 {
        self.indexes.len() as u64 - self.new_chunks
    }

    /// Plain bytes of the chunks that the blob already had.
    pub fn duplicate_bytes(&self) -> u64 {
        self.plain_bytes - self.new_bytes
    }
}

/// Why packing stopped. The blob writer can then not be used any more.
#[derive(Debug, Error)]
pub enum PackError<E> {
    /// The source of the groups failed. Everything before it was packed without error.
    #[error(transparent)]
    Input(E),
    /// A chunk beyond the chunk size.
    #[error("a chunk of {length} bytes exceeds the chunk size {chunk_size:?}")]
    ChunkTooLong {
        /// Its length in bytes.
        length: usize,
        /// The limit.
        chunk_size: ChunkSize,
    },
    /// The compression library failed.
    #[error("compressing a chunk failed")]
    Compress(#[source] io::Error),
    /// The blob could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The chunk store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
