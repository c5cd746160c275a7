//! What one layer uses of other blobs: which blobs its bootstrap lists, and where its chunks lie.
//!
//! ```text
//!   blob table of the layer   own (if it has chunks) │ others, in the order in which their first chunk was met
//! ```

use std::io::Write;

use nydus_convert_chunk::{BlobTail, Foreign};
use nydus_convert_rafs::{Blob, ChunkRef};

use crate::dictionary::ChunkDictionary;
use crate::error::LayerFailure;
use crate::replay::FOREIGN_SECTION;
use crate::replay::foreign_chunks::{self, ForeignChunk};

/// Other blobs of one layer.
#[derive(Debug, Clone, Default)]
pub struct Elsewhere {
    /// The blobs, with the chunks that are used.
    pub blobs: Vec<Blob>,
    /// All chunks that are used, by their numbers from [`Foreign::FIRST`] on.
    pub chunks: Vec<ForeignChunk>,
}

impl Elsewhere {
    /// Of what was met in a dictionary; `has_own` says whether the layer has chunks of its own.
    pub fn new(dictionary: &ChunkDictionary, hits: &[ChunkRef], has_own: bool) -> Self {
        let own = u16::from(has_own);
        let mut order: Vec<u16> = Vec::new();
        let mut chunks = Vec::with_capacity(hits.len());
        for hit in hits {
            let known = order.iter().position(|number| *number == hit.blob);
            let position = known.unwrap_or_else(|| {
                order.push(hit.blob);
                order.len() - 1
            });
            // A dictionary has at most 2¹⁶ blobs.
            let blob = position as u16 + own;
            let chunk = dictionary.chunk(*hit).copied().unwrap_or_default();
            chunks.push(ForeignChunk { at: ChunkRef { blob, index: hit.index }, chunk });
        }
        let used = |number: u16| hits.iter().filter(move |hit| hit.blob == number).map(|hit| hit.index);
        let blobs = order.iter().filter_map(|number| dictionary.blob(*number, used(*number))).collect();
        Self { blobs, chunks }
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
