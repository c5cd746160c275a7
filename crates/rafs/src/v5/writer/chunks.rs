//! Whether a file's chunks are what readers expect.

use super::WriteError;
use crate::v5::blob;
use crate::{ChunkRef, EntryPath, Image};

/// Checks the chunks of a file of `size` bytes. `path` is for messages.
pub(super) fn check(
    image: &Image,
    size: u64,
    chunks: &[ChunkRef],
    path: impl Fn() -> EntryPath,
) -> Result<(), WriteError> {
    let (expected, actual) = (image.chunk_size.chunks_of(size), chunks.len() as u64);
    if expected != actual {
        return Err(WriteError::ChunkCount { path: path(), size, expected, actual });
    }
    let step = u64::from(image.chunk_size.bytes());
    for (number, &at) in (0..).zip(chunks) {
        let ChunkRef { blob, index } = at;
        let found = image.blobs.get(usize::from(blob));
        let Some((found, record)) = found.and_then(|found| Some((found, found.chunks.get(index)?))) else {
            return Err(WriteError::UnknownChunk { path: path(), number, blob, index });
        };
        let (expected, actual) = (step.min(size - number * step), record.uncompressed_size);
        if u64::from(actual) != expected {
            return Err(WriteError::ChunkLength { path: path(), number, expected, actual });
        }
        if !blob::holds(found, index, record) {
            return Err(WriteError::ChunkPlace { path: path(), blob, index });
        }
    }
    Ok(())
}
