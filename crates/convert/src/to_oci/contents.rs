//! Which files have the same content, without reading any: the digests of their chunks tell, or in plain tars, which
//! have none, the places of their bytes.

use std::collections::HashMap;

use nydus_convert_rafs::{BlobName, ChunkDigest, ChunkRef, Digester, Image};

/// The reference of all chunks that the image does not have.
const ELSEWHERE: ChunkRef = ChunkRef { blob: u16::MAX, index: u32::MAX };

/// One reference for each content of a chunk of an image.
pub struct Contents(HashMap<Content, ChunkRef>);

/// What tells one content from another.
#[derive(PartialEq, Eq, Hash)]
enum Content {
    /// Digest and length.
    Digest(Digester, ChunkDigest, u32),
    /// Blob, offset and length.
    Range(BlobName, u64, u32),
}

impl Contents {
    /// Of all chunks of `image`.
    pub fn of(image: &Image) -> Self {
        let mut first = HashMap::new();
        for (blob, record) in (0..).zip(&image.blobs) {
            for (index, _) in record.chunks.iter() {
                let at = ChunkRef { blob, index };
                if let Some(content) = content(image, at) {
                    first.entry(content).or_insert(at);
                }
            }
        }
        Self(first)
    }

    /// The one reference for the content of a chunk of any image.
    pub fn place(&self, image: &Image, at: ChunkRef) -> ChunkRef {
        content(image, at).and_then(|content| self.0.get(&content).copied()).unwrap_or(ELSEWHERE)
    }
}

fn content(image: &Image, at: ChunkRef) -> Option<Content> {
    let (blob, chunk) = (image.blobs.get(usize::from(at.blob))?, image.chunk(at)?);
    Some(match chunk.digest == ChunkDigest::default() {
        true => Content::Range(blob.name, chunk.uncompressed_offset, chunk.uncompressed_size),
        false => Content::Digest(blob.digester, chunk.digest, chunk.uncompressed_size),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::to_oci::difference::tests::image;
    use nydus_convert_rafs::Chunk;

    #[test]
    fn equal_digests_and_equal_places_are_equal_contents() {
        let chunk = |digest: u8, offset| Chunk {
            digest: ChunkDigest([digest; 32]),
            uncompressed_size: 10,
            uncompressed_offset: offset,
            ..Chunk::default()
        };
        let ours = image(vec![chunk(1, 0), chunk(0, 512), chunk(2, 0), chunk(0, 1024)]);
        let merged = image(vec![chunk(0, 512), chunk(1, 99), chunk(1, 7)]);
        let contents = Contents::of(&merged);
        let place = |index| contents.place(&ours, ChunkRef { blob: 0, index });
        let at = |index| ChunkRef { blob: 0, index };
        assert_eq!([0, 1, 2, 3, 4].map(place), [at(1), at(0), ELSEWHERE, ELSEWHERE, ELSEWHERE]);
        assert_eq!(contents.place(&merged, at(2)), at(1));
    }
}
