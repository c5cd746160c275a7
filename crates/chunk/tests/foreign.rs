//! Chunks that other blobs have: numbered in the order in which they are met, and nowhere to be seen in the blob.
#![allow(clippy::unwrap_used)]

mod support;

use nydus_convert_chunk::{BlobWriter, ChunkLookup, Compression, Foreign, Others, pack_with};
use nydus_convert_rafs::{ChunkDigest, ChunkRef, Digester};
use support::{BOOTSTRAP, blob, chunk, groups, options, pool};

/// Knows every chunk whose number can be divided by three, as chunk 100 + number of blob 7.
struct Thirds;

impl ChunkLookup for Thirds {
    fn find(&mut self, digest: &ChunkDigest, length: u32) -> Option<ChunkRef> {
        let known = (0..60).step_by(3).map(|number| (number, chunk(number)));
        let mut known = known
            .filter(|(_, chunk)| Digester::Blake3.digest(chunk) == *digest && chunk.len() == length as usize);
        known.next().map(|(number, _)| ChunkRef { blob: 7, index: 100 + number as u32 })
    }
}

#[test]
fn the_blob_is_that_of_the_other_chunks() {
    let numbers: Vec<usize> = (0..90).map(|at| at * 7 % 61 % 50).collect();
    let chunks: Vec<_> = numbers.iter().copied().map(chunk).collect();
    let own: Vec<_> = numbers.iter().copied().filter(|number| number % 3 != 0).map(chunk).collect();
    for (compressor, batch_size) in [("none", 0), ("zstd", 0), ("zstd", 16 << 10)] {
        let mut options = options(compressor.parse::<Compression>().unwrap());
        options.blob.batch_size = batch_size;
        let (expected, expected_packing, _) = blob(&pool(1), &options, &own, &[own.len()]);
        for (threads, cuts) in [(1, &[90][..]), (2, &[1, 7, 30]), (8, &[3])] {
            let mut lookup = Thirds;
            let mut foreign = Foreign::new(&mut lookup);
            let mut writer = BlobWriter::new(Vec::new(), options.blob);
            let groups = groups(&chunks, cuts);
            let packing = pack_with(
                &pool(threads),
                &options,
                groups,
                &mut writer,
                Others { foreign: Some(&mut foreign), ..Others::default() },
            )
            .unwrap();
            let (bytes, _) = writer.finish_data().unwrap().finish(BOOTSTRAP).unwrap();
            // What is elsewhere ends no batch.
            assert!(bytes == expected, "{compressor} {batch_size}, {threads} threads");
            assert_eq!(packing.new_chunks, expected_packing.new_chunks);

            let mut own_indexes = expected_packing.indexes.iter();
            let mut met: Vec<usize> = Vec::new();
            for (number, index) in numbers.iter().zip(&packing.indexes) {
                if number % 3 != 0 {
                    assert_eq!(Some(index), own_indexes.next());
                    continue;
                }
                let nth = met.iter().position(|other| other == number).unwrap_or_else(|| {
                    met.push(*number);
                    met.len() - 1
                });
                assert_eq!(*index, Foreign::FIRST + nth as u32);
            }
            let hits: Vec<_> =
                met.iter().map(|number| ChunkRef { blob: 7, index: 100 + *number as u32 }).collect();
            assert_eq!(foreign.hits(), hits);
        }
    }
}
