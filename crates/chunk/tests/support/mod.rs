//! What the test files share: content to pack, and a writer too simple to be wrong.
#![allow(dead_code)] // Every test file uses its own part.

pub mod reference;

use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::sync::Arc;

use nydus_convert_chunk::ordered::Pool;
use nydus_convert_chunk::{
    BlobOptions, BlobReader, BlobWriter, Buffers, Compression, FinishedBlob, Group, PackOptions, Packing,
    pack,
};
use nydus_convert_rafs::{ChunkSize, Digester, FsVersion};

pub const BOOTSTRAP: &[u8] = &[42; 9000];

pub fn pool(threads: usize) -> Pool {
    Pool::new(NonZeroUsize::new(threads).unwrap())
}

pub fn options(compressor: Compression) -> PackOptions {
    PackOptions {
        blob: BlobOptions { compressor, ..BlobOptions::default() },
        chunk_size: ChunkSize::default(),
        window_bytes: 1 << 20,
    }
}

/// Of blobs whose chunks are raw.
pub const RAW: BlobOptions = BlobOptions {
    version: FsVersion::V6,
    compressor: Compression::None,
    digester: Digester::Blake3,
    batch_size: 0,
    aligned: false,
    padded: false,
};

/// Compressible, incompressible and constant chunks by number; equal numbers are equal chunks.
pub fn chunk(number: usize) -> Vec<u8> {
    let length = 1 + number * 7919 % 9000;
    let mut state = number as u64 + 1;
    let mut noise = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    match number % 3 {
        0 => (0..length).map(|at| b"some words to compress "[(at + number) % 23]).collect(),
        1 => (0..length).map(|_| noise()).collect(),
        _ => vec![noise(); length],
    }
}

/// Groups of the given chunks, cut where `cuts` says.
pub fn groups<'a>(
    chunks: &'a [Vec<u8>],
    cuts: &'a [usize],
) -> impl Iterator<Item = Result<Group, Infallible>> + 'a {
    let buffers = Buffers::new(1 << 20);
    let mut rest = chunks;
    let mut cuts = cuts.iter().copied().chain(std::iter::repeat(5));
    std::iter::from_fn(move || {
        let (now, later) = rest.split_at(cuts.next()?.clamp(1, rest.len().max(1)).min(rest.len()));
        rest = later;
        let mut group = buffers.group();
        for chunk in now {
            group.push(chunk);
            // All are files; only batches ask.
            group.mark_file();
        }
        (!now.is_empty()).then_some(Ok(group))
    })
}

/// A whole blob of these chunks.
pub fn blob(
    pool: &Pool,
    options: &PackOptions,
    chunks: &[Vec<u8>],
    cuts: &[usize],
) -> (Vec<u8>, Packing, FinishedBlob) {
    let mut writer = BlobWriter::new(Vec::new(), options.blob);
    let packing = pack(pool, options, groups(chunks, cuts), &mut writer).unwrap();
    let (bytes, finished) = writer.finish_data().unwrap().finish(BOOTSTRAP).unwrap();
    (bytes, packing, finished)
}

pub fn open(bytes: &[u8]) -> Arc<BlobReader<Vec<u8>>> {
    Arc::new(BlobReader::open(bytes.to_vec()).unwrap())
}
