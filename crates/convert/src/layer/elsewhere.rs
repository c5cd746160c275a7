//! What one layer uses of other blobs: which blobs its bootstrap lists, and where its chunks lie.
//!
//! ```text
//!   blob table of the layer   own (if it has chunks) │ others, in the order in which their first chunk was met
//! ```

use std::collections::HashMap;
use std::io::Write;

use nydus_convert_chunk::{BlobTail, Foreign};
use nydus_convert_rafs::{Blob, BlobName, Chunk, ChunkRef, ChunkTable};

use super::failure::LayerFailure;
use crate::remembered::FOREIGN_SECTION;
use crate::remembered::foreign_chunks::{self, ForeignChunk};

/// Other blobs of one layer.
#[derive(Debug, Clone, Default)]
pub struct Elsewhere {
    /// The blobs, with the chunks that are used.
    pub blobs: Vec<Blob>,
    /// All chunks that are used, by their numbers from [`Foreign::FIRST`] on.
    pub chunks: Vec<ForeignChunk>,
}

/// A chunk of another blob.
#[derive(Debug, Clone, Copy)]
pub struct Used<'a> {
    /// The blob; its chunks do not matter.
    pub blob: &'a Blob,
    /// The chunk's number in it.
    pub index: u32,
    /// The chunk.
    pub chunk: Chunk,
}

impl Elsewhere {
    /// Of all chunks that are used, by their numbers; `has_own` says whether the layer has chunks of its own.
    pub fn new<'a>(used: impl Iterator<Item = Used<'a>>, has_own: bool) -> Self {
        let own = u16::from(has_own);
        let mut positions: HashMap<BlobName, usize> = HashMap::new();
        let mut tables: Vec<(&Blob, Vec<(u32, Chunk)>)> = Vec::new();
        let mut chunks = Vec::new();
        for Used { blob, index, chunk } in used {
            let position = *positions.entry(blob.name).or_insert_with(|| {
                tables.push((blob, Vec::new()));
                tables.len() - 1
            });
            if let Some((_, table)) = tables.get_mut(position) {
                table.push((index, chunk));
            }
            // Dictionaries and images have at most 2¹⁶ blobs.
            let at = ChunkRef { blob: position as u16 + own, index };
            chunks.push(ForeignChunk { at, chunk });
        }
        let with_chunks =
            |(blob, table): (&Blob, _)| Blob { chunks: ChunkTable::from_unsorted(table), ..blob.clone() };
        Self { blobs: tables.into_iter().map(with_chunks).collect(), chunks }
    }

    /// Where chunk `number` of the layer's stream lies.
    pub fn place(&self, number: u32) -> ChunkRef {
        let foreign = number.checked_sub(Foreign::FIRST).and_then(|at| self.chunks.get(at as usize));
        foreign.map_or(ChunkRef { blob: 0, index: number }, |foreign| foreign.at)
    }

    /// Writes what the way back needs: bootstraps do not describe chunks that no file uses. Gives the section's length.
    pub fn describe(&self, tail: &mut BlobTail<impl Write>) -> Result<u64, LayerFailure> {
        if self.chunks.is_empty() {
            return Ok(0);
        }
        let list = foreign_chunks::write(&self.chunks);
        tail.section(FOREIGN_SECTION, &list, true)?;
        Ok(list.len() as u64)
    }
}
