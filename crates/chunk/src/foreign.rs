//! Chunks of other blobs that are used instead of chunks of one's own.
//!
//! ```text
//!   stream    a b X c Y X        X, Y: other blobs have them
//!   numbers   0 1 F 2 F+1 F      F = Foreign::FIRST
//!   blob      a b c              hits: X, Y in the order in which they were first met
//! ```

use std::collections::HashMap;

use nydus_convert_rafs::{ChunkDigest, ChunkRef, limits};

/// Knows chunks of other blobs. Asked on one thread, in the order of the stream; what comes out must depend on what was
/// asked alone.
pub trait ChunkLookup {
    /// Where a chunk with this digest and plain length lies: which of the other blobs, by a number that the caller gives
    /// a meaning, and which chunk of it. A chunk that was found once must be found at every time after.
    fn find(&mut self, digest: &ChunkDigest, length: u32) -> Option<ChunkRef>;
}

/// The chunks of other blobs that one blob's stream uses.
pub struct Foreign<'a> {
    lookup: &'a mut dyn ChunkLookup,
    hits: Vec<ChunkRef>,
    numbers: HashMap<ChunkRef, u32>,
}

impl<'a> Foreign<'a> {
    /// Numbers from here on stand for [`Foreign::hits`]; no blob has that many chunks.
    pub const FIRST: u32 = limits::MAX_CHUNKS_PER_BLOB + 1;

    /// Nothing is used yet.
    pub fn new(lookup: &'a mut dyn ChunkLookup) -> Self {
        Self { lookup, hits: Vec::new(), numbers: HashMap::new() }
    }

    /// All chunks that are used, each once, in the order in which they were first met.
    pub fn hits(&self) -> &[ChunkRef] {
        &self.hits
    }

    /// The number of a chunk that another blob has.
    pub(crate) fn number(&mut self, digest: &ChunkDigest, length: u32) -> Option<u32> {
        let hit = self.lookup.find(digest, length)?;
        if let Some(number) = self.numbers.get(&hit) {
            return Some(*number);
        }
        let number = u32::try_from(self.hits.len()).ok()?.checked_add(Self::FIRST)?;
        self.hits.push(hit);
        self.numbers.insert(hit, number);
        Some(number)
    }
}
