//! The road of plain bytes that are stored already: hashed and numbered, not stored again.
//!
//! ```text
//!   groups ──► hash ───────────► deduplicate ──► numbers, chunks
//!              parallel, ordered serial
//! ```

use nydus_convert_rafs::{Chunk, ChunkDigest, ChunkSize, Digester, limits};

use crate::ordered::Pool;
use crate::seen::Seen;
use crate::{Group, PackError, WriteError};

/// Chunks and their numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Numbered {
    /// For every chunk, in stream order, its number.
    pub indexes: Vec<u32>,
    /// What was met first, by number: digest, length, and the place in the plain address space, at multiples of 4096.
    pub chunks: Vec<Chunk>,
    /// The position in the stream of each of them.
    pub firsts: Vec<usize>,
}

/// Numbers all chunks of `groups`: equal ones have one number. Pulls the groups on this thread; `window_bytes` bounds
/// what is under way. Errors come in the order of the stream.
pub fn number_chunks<E>(
    pool: &Pool,
    (window_bytes, chunk_size, digester): (usize, ChunkSize, Digester),
    groups: impl Iterator<Item = Result<Group, E>>,
) -> Result<Numbered, PackError<E>> {
    let mut input_error = None;
    let groups = groups.map_while(|group| group.map_err(|error| input_error = Some(error)).ok());
    let hashed = pool.map_by_cost(groups, window_bytes, Group::memory, move |_, group: Group| {
        let hash = |chunk: &[u8]| (digester.digest(chunk), chunk.len());
        group.chunks().map(hash).collect::<Vec<(ChunkDigest, usize)>>()
    });
    let mut all = Numbered::default();
    let (mut seen, mut plain) = (Seen::over(&[]), 0);
    for (digest, length) in hashed.flatten() {
        let Some(size) = u32::try_from(length).ok().filter(|size| *size <= chunk_size.bytes()) else {
            return Err(PackError::ChunkTooLong { length, chunk_size });
        };
        let found = seen.find_or_add(&digest, size, &all.chunks);
        if found.is_none() {
            if all.chunks.len() >= limits::MAX_CHUNKS_PER_BLOB as usize {
                return Err(WriteError::TooManyChunks { limit: limits::MAX_CHUNKS_PER_BLOB }.into());
            }
            all.firsts.push(all.indexes.len());
            let (uncompressed_size, uncompressed_offset) = (size, plain);
            all.chunks.push(Chunk { digest, uncompressed_size, uncompressed_offset, ..Chunk::default() });
            plain += u64::from(size).next_multiple_of(4096);
        }
        // Numbers stay below the limit.
        all.indexes.push(found.unwrap_or_else(|| all.chunks.len() as u32 - 1));
    }
    input_error.map_or(Ok(all), |error| Err(PackError::Input(error)))
}
