//! The layers below the one that is converted, as far as it may refer to their chunks.

use std::collections::{BTreeSet, HashMap};

use nydus_convert_chunk::ChunkLookup;
use nydus_convert_rafs::{Blob, BlobName, ChunkDigest, ChunkRef};

use crate::layer::converted::MergeLayer;
use crate::layer::elsewhere::Used;

/// Chunks of lower layers by digest and length, the lowest of equal ones.
#[derive(Debug, Default)]
pub(crate) struct Below {
    /// Of the layers that have chunks of their own.
    blobs: Vec<Blob>,
    chunks: HashMap<(ChunkDigest, u32), ChunkRef>,
    /// Blobs that the image uses so far, its layers' own and others.
    used: BTreeSet<BlobName>,
    /// How many of them are no layers' own.
    others: usize,
}

impl Below {
    /// One more layer.
    pub fn push(&mut self, layer: &MergeLayer) {
        for other in &layer.foreign {
            self.others += usize::from(self.used.insert(other.name));
        }
        let Some(own) = &layer.blob else { return };
        self.used.insert(own.name);
        // Images have at most some hundred layers.
        let blob = self.blobs.len() as u16;
        for (index, chunk) in own.chunks.iter() {
            let key = (chunk.digest, chunk.uncompressed_size);
            self.chunks.entry(key).or_insert(ChunkRef { blob, index });
        }
        self.blobs.push(own.clone());
    }

    /// Whether the image has this blob in any case.
    pub fn uses(&self, blob: BlobName) -> bool {
        self.used.contains(&blob)
    }

    /// How many blobs the image uses beside those of its layers.
    pub fn others(&self) -> usize {
        self.others
    }

    /// A chunk that was found.
    pub fn at(&self, hit: ChunkRef) -> Option<Used<'_>> {
        let blob = self.blobs.get(usize::from(hit.blob))?;
        Some(Used { blob, index: hit.index, chunk: *blob.chunks.get(hit.index)? })
    }
}

/// A look into the layers below.
impl ChunkLookup for &Below {
    fn find(&mut self, digest: &ChunkDigest, length: u32) -> Option<ChunkRef> {
        self.chunks.get(&(*digest, length)).copied()
    }
}
