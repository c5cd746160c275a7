//! Any bytes as a chunk dictionary: no panic, and what it offers for a chunk is that chunk.

use std::path::Path;

use nydus_convert::ChunkDictionary;
use nydus_convert::rafs::{self, InodeKind};
use nydus_convert_chunk::ChunkLookup;

/// Panics if `bytes` break the promise above.
pub fn check(bytes: &[u8]) {
    let Ok(dictionary) = ChunkDictionary::parse(bytes, Path::new("")) else { return };
    let (_, image) = rafs::parse(bytes).expect("a dictionary is a bootstrap");
    let mut lookup = &dictionary;
    for entry in image.tree.walk() {
        let InodeKind::Regular { chunks, .. } = &entry.inode.kind else { continue };
        for chunk in chunks.iter().filter_map(|at| image.chunk(*at)) {
            // Chunks of blobs that name theirs in another way are not offered.
            let Some(place) = lookup.find(&chunk.digest, chunk.uncompressed_size) else { continue };
            let offered = dictionary.chunk(place).expect("what is offered is there");
            assert_eq!((offered.digest, offered.uncompressed_size), (chunk.digest, chunk.uncompressed_size));
        }
    }
}
