//! Tarfs bootstraps of the reference builder, read and written again, and damaged ones. See `golden/README.md`.
#![allow(clippy::unwrap_used)]

#[path = "../../../fuzz/src/rafs_v6.rs"]
mod rafs_v6;

use nydus_convert_rafs::v6::{self, BlobProblem, ChunkUseProblem, EntryProblem, ReadError, WriteError};
use nydus_convert_rafs::{BlobFeatures, ChunkDigest, EntryPath, Image, InodeKind};

const LOWER: &[u8] = include_bytes!("golden/tarfs-lower.boot");
const UPPER: &[u8] = include_bytes!("golden/tarfs-upper.boot");
const MERGED: &[u8] = include_bytes!("golden/tarfs-merged.boot");

/// Where the flags lie.
const FLAGS: usize = 1152;
/// Where the blob table lies.
const BLOBS: usize = 4096;

fn write(image: &Image) -> Vec<u8> {
    let mut written = Vec::new();
    v6::write(image, &mut written).unwrap();
    written
}

#[test]
fn what_is_read_is_written_as_it_was() {
    for (name, golden) in [("lower", LOWER), ("upper", UPPER), ("merged", MERGED)] {
        let image = v6::parse(golden).unwrap();
        assert!(image.tarfs);
        let written = write(&image);
        let mut expected = golden.to_vec();
        // Newer builders say that nothing is encrypted. That is so without saying it.
        expected[FLAGS + 3] &= !1;
        let first = written.iter().zip(&expected).position(|(a, b)| a != b);
        assert_eq!((first, written.len()), (None, expected.len()), "{name}");
    }
}

/// The file's blob and the place and length of its chunks.
fn chunks(image: &Image, path: &str) -> Vec<(u16, u64, u32)> {
    let id = image.tree.get(&EntryPath::parse(path.as_bytes()).unwrap()).unwrap();
    let InodeKind::Regular { chunks, .. } = &image.tree.inode(id).kind else { panic!("{path}") };
    let place = |at| {
        let chunk = image.chunk(at).unwrap();
        assert_eq!(
            (chunk.digest, chunk.compressed_offset),
            (ChunkDigest::default(), chunk.uncompressed_offset)
        );
        (at.blob, chunk.compressed_offset, chunk.compressed_size)
    };
    chunks.iter().map(|at| place(*at)).collect()
}

#[test]
fn chunks_are_ranges_of_the_tars() {
    let image = v6::parse(MERGED).unwrap();
    // The header of the directory, the header of the file, then its content.
    assert_eq!(chunks(&image, "d/small"), [(1, 1024, 6)]);
    assert_eq!(chunks(&image, "d/exact"), [(0, 2560, 4096)]);
    assert_eq!(chunks(&image, "d/link"), [(0, 1024, 6)]);
    assert_eq!(chunks(&image, "d/empty"), []);
    let large = chunks(&image, "d/large");
    let lengths: Vec<u32> = large.iter().map(|(.., length)| *length).collect();
    assert_eq!(lengths, [4096, 4096, 4096, 13_000 - 3 * 4096]);
    assert!(large.windows(2).all(|pair| pair[0].1 + 4096 == pair[1].1));
}

fn refused(golden: &[u8], change: impl Fn(&mut Vec<u8>)) -> ReadError {
    let mut bytes = golden.to_vec();
    change(&mut bytes);
    v6::parse(&bytes).unwrap_err()
}

#[test]
fn damaged_superblocks_and_tables_are_refused() {
    // Blocks of a sector and the flag go together.
    let four_kib = |bytes: &mut Vec<u8>| (bytes[1036], bytes[1064]) = (12, 2);
    assert!(matches!(refused(LOWER, four_kib), ReadError::Flags { .. }));
    assert!(matches!(refused(LOWER, |bytes| bytes[FLAGS + 1] &= !2), ReadError::Flags { .. }));
    let problem = |at: usize, value: &[u8]| match refused(LOWER, |bytes| {
        bytes[BLOBS + at..][..value.len()].copy_from_slice(value);
    }) {
        ReadError::Blob { problem, .. } => problem,
        other => panic!("{other}"),
    };
    for (at, value) in [(76, 3), (84, 0x41), (84, 0), (84, 0x44), (216, 1)] {
        assert!(matches!(problem(at, &[value]), BlobProblem::Features { .. }), "{at} {value}");
    }
    assert!(matches!(problem(88, &[0, 0]), BlobProblem::CompressedSize { .. }));
    assert!(matches!(problem(96, &[1]), BlobProblem::UncompressedSize { .. }));
    assert!(matches!(problem(112, &[1]), BlobProblem::ChunkInformation { .. }));
    assert!(matches!(problem(128, &[1]), BlobProblem::ChunkInformation { .. }));
}

/// Where the chunk index of a chunk lies that begins at this block of this device.
fn index_of(bytes: &[u8], device: u8, block: u32) -> usize {
    let wanted = block.to_le_bytes();
    let found = (0..bytes.len() - 8)
        .step_by(8)
        .find(|&at| bytes[at + 2] == device && bytes[at + 3] == 0 && bytes[at + 4..at + 8] == wanted);
    found.unwrap()
}

#[test]
fn damaged_chunk_indexes_are_refused() {
    let problem = |change: &dyn Fn(&mut [u8])| match refused(LOWER, |bytes| {
        // Of `d/small`, chunk 0 at block 2, whose 6 bytes nobody else uses.
        let at = index_of(bytes, 1, 2);
        change(&mut bytes[at..at + 8]);
    }) {
        ReadError::Entry { problem: EntryProblem::Chunk { problem, .. }, .. } => problem,
        other => panic!("{other}"),
    };
    assert!(matches!(problem(&|index| index[2] = 0), ChunkUseProblem::Device { device: 0 }));
    assert!(matches!(problem(&|index| index[2] = 2), ChunkUseProblem::Device { device: 2 }));
    assert!(matches!(problem(&|index| index[3] = 1), ChunkUseProblem::Unknown { index: 0x1_0000, .. }));
    assert!(matches!(problem(&|index| index[7] = 1), ChunkUseProblem::Place { block: 0x0100_0002, .. }));
    // The number of another chunk, which lies elsewhere.
    assert!(matches!(problem(&|index| index[0] = 1), ChunkUseProblem::Block { .. }));
}

#[test]
fn tars_and_blobs_do_not_mix() {
    let mut image = v6::parse(MERGED).unwrap();
    image.blobs[1].features = BlobFeatures::ALIGNED;
    let error = v6::write(&image, &mut Vec::new()).unwrap_err();
    assert!(matches!(error, WriteError::Blob { blob: 1, problem: BlobProblem::Features { .. } }), "{error}");
}

#[test]
fn any_bit_may_be_wrong() {
    let mut bytes = UPPER.to_vec();
    for at in (0..bytes.len()).filter(|&at| UPPER[at] != 0) {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            rafs_v6::check(&bytes);
            bytes[at] ^= 1 << bit;
        }
    }
}
