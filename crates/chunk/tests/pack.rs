//! Packing: the same bytes however the work is spread, equal chunks once, errors in the order of the stream.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::HashMap;
use std::io::{self, Write};

use nydus_convert_chunk::{
    BlobOptions, BlobWriter, Buffers, Compression, PackError, PackOptions, Packing, Worker, WriteError, pack,
};
use nydus_convert_rafs::{BlobFeatures, ChunkSize, Digester};
use proptest::prelude::*;
use support::{BOOTSTRAP, RAW, blob, chunk, groups, open, options, pool};

/// The same blob, one chunk after the other.
fn naive(options: &PackOptions, chunks: &[Vec<u8>]) -> (Vec<u8>, Packing) {
    let mut writer = BlobWriter::new(Vec::new(), options.blob);
    let mut known = HashMap::new();
    let mut packing = Packing::default();
    for chunk in chunks {
        packing.plain_bytes += chunk.len() as u64;
        let digest = options.blob.digester.digest(chunk);
        let number = *known.entry(chunk).or_insert_with(|| {
            let stored = match options.blob.compressor {
                Compression::None => chunk.clone(),
                Compression::Lz4Block => lz4_flex::block::compress(chunk),
                Compression::Zstd { level } => zstd::bulk::compress(chunk, level.get()).unwrap(),
            };
            let stored = if stored.len() < chunk.len() { &stored } else { chunk };
            packing.new_chunks += 1;
            packing.new_bytes += chunk.len() as u64;
            packing.stored += stored.len() as u64;
            writer.append(digest, chunk.len() as u32, stored).unwrap()
        });
        packing.indexes.push(number);
    }
    (writer.finish_data().unwrap().finish(BOOTSTRAP).unwrap().0, packing)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn bytes_depend_on_chunks_and_options_alone(
        numbers in prop::collection::vec(0..60_usize, 0..150),
        cuts in prop::collection::vec(1..40_usize, 0..20),
        compressor in prop::sample::select(vec!["none", "lz4_block", "zstd", "zstd:1", "zstd:9"]),
        sha256 in any::<bool>(),
        window_bytes in prop::sample::select(vec![0, 5000, 100_000, 1 << 20]),
    ) {
        let chunks: Vec<_> = numbers.into_iter().map(chunk).collect();
        let options = PackOptions {
            blob: BlobOptions {
                compressor: compressor.parse().unwrap(),
                digester: if sha256 { Digester::Sha256 } else { Digester::Blake3 },
                ..BlobOptions::default()
            },
            window_bytes,
            ..options(Compression::None)
        };
        let expected = naive(&options, &chunks);
        for threads in [1, 2, 3, 8] {
            let (bytes, packing, _) = blob(&pool(threads), &options, &chunks, &cuts);
            prop_assert!(bytes == expected.0, "{threads} threads");
            prop_assert_eq!(&packing, &expected.1);
        }
    }
}

/// Batches, too, depend on chunks and options alone; and their members come back.
#[test]
fn batches_do_not_show_threads_or_groups() {
    let chunks: Vec<_> = (0..200).map(|number| chunk(number % 170)).collect();
    for compressor in ["none", "lz4_block", "zstd"] {
        let mut options = options(compressor.parse().unwrap());
        options.blob.batch_size = 16 << 10;
        let mut first = None;
        for (threads, cuts, window_bytes) in
            [(1, &[200][..], 1 << 20), (2, &[1, 7, 30], 0), (8, &[3], 50_000)]
        {
            let options = PackOptions { window_bytes, ..options };
            let made = blob(&pool(threads), &options, &chunks, cuts);
            let (bytes, packing, finished) = first.get_or_insert_with(|| made.clone());
            assert!((&made.0, &made.1) == (&*bytes, &*packing), "{compressor}, {threads} threads");
            let record = finished.blob.as_ref().unwrap();
            assert!(record.features.contains(BlobFeatures::BATCH | BlobFeatures::CHUNK_INFO_V2));
        }
        let (bytes, packing, finished) = first.unwrap();
        let record = finished.blob.unwrap();
        let source = open(&bytes).chunks_of(&record).unwrap();
        let (mut worker, mut plain) = (Worker::default(), Vec::new());
        for (chunk, number) in chunks.iter().zip(packing.indexes) {
            source.read_chunk(&mut worker, number, record.chunks.get(number).unwrap(), &mut plain).unwrap();
            assert!(plain == *chunk, "{compressor}: chunk {number}");
        }
    }
}

#[test]
fn equal_chunks_are_stored_once_and_the_first_stores() {
    let chunks: Vec<_> = [1, 2, 1, 3, 3, 2, 1].map(chunk).into();
    let (_, packing, finished) = blob(&pool(2), &options(Compression::None), &chunks, &[2, 1]);
    assert_eq!(packing.indexes, [0, 1, 0, 2, 2, 1, 0]);
    assert_eq!((packing.new_chunks, packing.duplicate_chunks()), (3, 4));
    let length = |number| chunk(number).len() as u64;
    assert_eq!(packing.new_bytes, length(1) + length(2) + length(3));
    assert_eq!(packing.duplicate_bytes(), 2 * length(1) + length(2) + length(3));
    assert_eq!(packing.stored, packing.new_bytes);
    let blob = finished.blob.unwrap();
    assert_eq!(blob.chunk_count, 3);
    assert_eq!(blob.chunks.get(1).unwrap().digest, Digester::Blake3.digest(&chunk(2)));
}

#[test]
fn what_the_blob_already_has_is_not_stored_again() {
    let options = options(Compression::default());
    let mut writer = BlobWriter::new(Vec::new(), BlobOptions::default());
    let pool = pool(2);
    let first: Vec<_> = (0..10).map(chunk).collect();
    let second: Vec<_> = (5..15).map(chunk).collect();
    pack(&pool, &options, groups(&first, &[]), &mut writer).unwrap();
    let packing = pack(&pool, &options, groups(&second, &[]), &mut writer).unwrap();
    assert_eq!(packing.indexes, (5..15).collect::<Vec<_>>());
    assert_eq!(packing.new_chunks, 5);
    assert_eq!(writer.chunk_count(), 15);
}

#[test]
fn the_largest_chunks_pass_through_a_small_window() {
    let options = PackOptions {
        chunk_size: ChunkSize::new(16 << 20).unwrap(),
        window_bytes: 1 << 20,
        ..options("zstd:1".parse().unwrap())
    };
    let mut chunks: Vec<_> = (0..4).map(|number| chunk(number).repeat((16 << 20) / 9000)).collect();
    chunks.push(vec![0; 16 << 20]);
    let (bytes, packing, _) = blob(&pool(2), &options, &chunks, &[1, 1, 1, 1, 1]);
    assert_eq!(packing.new_chunks, 5);
    assert!(bytes == naive(&options, &chunks).0);
}

/// Takes a number of bytes, then fails every time.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0 == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let taken = bytes.len().min(self.0);
        self.0 -= taken;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_told_once() {
    let chunks: Vec<_> = (0..50).map(chunk).collect();
    let options = options(Compression::None);
    let mut writer = BlobWriter::new(Full(20_000), RAW);
    let error = pack(&pool(2), &options, groups(&chunks, &[]), &mut writer).unwrap_err();
    let PackError::Write(WriteError::Io { offset, source }) = error else { panic!("{error}") };
    assert_eq!(source.kind(), io::ErrorKind::StorageFull);
    assert!(offset <= 20_000, "{offset}");
    let again = pack(&pool(2), &options, groups(&chunks, &[]), &mut writer).unwrap_err();
    assert!(matches!(again, PackError::Write(WriteError::Abandoned)));
    assert!(matches!(writer.finish_data(), Err(WriteError::Abandoned)));
}

#[test]
fn errors_come_in_the_order_of_the_stream() {
    let buffers = Buffers::new(0);
    let group = |length: usize| {
        let mut group = buffers.group();
        group.push(&vec![length as u8; length]);
        group
    };
    for threads in [1, 3] {
        let pool = pool(threads);
        let options = PackOptions { chunk_size: ChunkSize::new(4096).unwrap(), ..options(Compression::None) };
        let run = |lengths: &[usize], room| {
            let input =
                lengths.iter().map(|&length| if length == 0 { Err("bad layer") } else { Ok(group(length)) });
            let mut writer = BlobWriter::new(Full(room), RAW);
            let result = pack(&pool, &options, input, &mut writer);
            (result.map(|packing| packing.indexes), writer.chunk_count())
        };
        let (result, stored) = run(&[100, 200, 0, 5000], usize::MAX);
        assert!(matches!(result, Err(PackError::Input("bad layer"))));
        assert_eq!(stored, 2, "what came before the error was packed");
        let (result, _) = run(&[100, 5000, 0], usize::MAX);
        assert!(matches!(result, Err(PackError::ChunkTooLong { length: 5000, .. })));
        let (result, _) = run(&[100, 200, 0], 150);
        assert!(matches!(result, Err(PackError::Write(WriteError::Io { .. }))));
        assert_eq!(run(&[100, 200, 100], usize::MAX).0.unwrap(), [0, 1, 0]);
    }
}

#[test]
fn an_empty_chunk_is_refused() {
    let mut group = Buffers::new(0).group();
    group.push(b"");
    let mut writer = BlobWriter::new(Vec::new(), RAW);
    let input = [Ok::<_, io::Error>(group)].into_iter();
    let error = pack(&pool(1), &options(Compression::None), input, &mut writer).unwrap_err();
    assert!(matches!(error, PackError::Write(WriteError::ChunkLength { length: 0 })));
}
