//! Blobs with batches and encrypted ones, made by hand by the rules of the format.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use aes::Aes128;
use aes::cipher::KeyInit as _;
use nydus_convert_chunk::{BlobError, BlobReader, ChunkError, Request, Worker, read_ahead};
use nydus_convert_rafs::meta::ci::{self, ChunkInformation, CiHeader};
use nydus_convert_rafs::meta::{Batch, InBatch};
use nydus_convert_rafs::{
    Blob, BlobFeatures, BlobName, Chunk, ChunkFlags, ChunkTable, CiLocation, Cipher, Compressor, Digester,
};
use support::{chunk, pool};
use xts_mode::Xts128;

const KEY: [u8; 32] = *b"two keys of 16 bytes, different.";
const IV: [u8; 16] = *b"a tweak, 16 long";

/// Encrypts as the format asks: one data unit an item, short ones padded.
fn encrypt(mut item: Vec<u8>, encrypted: bool) -> Vec<u8> {
    if !encrypted {
        return item;
    }
    if item.len() < 16 {
        let count = 16 - item.len();
        item.resize(16, count as u8);
        item.extend([0x78, 0x90]);
    }
    let (data, tweak) = KEY.split_at(16);
    let xts = Xts128::new(Aes128::new(data.into()), Aes128::new(tweak.into()));
    xts.encrypt_sector(&mut item, IV);
    item
}

/// The stored form, and whether it is compressed.
fn store(plain: &[u8], encrypted: bool) -> (Vec<u8>, bool) {
    let packed = zstd::bulk::compress(plain, 3).unwrap();
    let shrunk = packed.len() < plain.len();
    (encrypt(if shrunk { packed } else { plain.to_vec() }, encrypted), shrunk)
}

struct Made {
    bytes: Vec<u8>,
    blob: Blob,
}

/// Chunks below half of `batch_size` go into batches of less than `batch_size`; any other ends the batch.
fn make(chunks: &[Vec<u8>], batch_size: usize, encrypted: bool) -> Made {
    let mut bytes = Vec::new();
    let mut all = ChunkInformation::default();
    let (mut open, mut place) = (Vec::new(), 0);
    let flush = |bytes: &mut Vec<u8>, open: &mut Vec<u8>, all: &mut ChunkInformation| {
        if open.is_empty() {
            return;
        }
        let (stored, _) = store(open, encrypted);
        all.batches.push(Batch {
            compressed_offset: bytes.len() as u64,
            compressed_size: stored.len() as u32,
            uncompressed_size: open.len() as u32,
        });
        bytes.extend(stored);
        open.clear();
    };
    for plain in chunks {
        let small = plain.len() < batch_size / 2;
        if !small || open.len() + plain.len() >= batch_size {
            flush(&mut bytes, &mut open, &mut all);
        }
        let mut chunk = Chunk {
            digest: Digester::Blake3.digest(plain),
            uncompressed_size: plain.len() as u32,
            uncompressed_offset: place,
            compressed_offset: bytes.len() as u64,
            ..Chunk::default()
        };
        chunk.flags.set(ChunkFlags::ENCRYPTED, encrypted);
        place += (plain.len() as u64).next_multiple_of(4096);
        if small {
            chunk.flags |= ChunkFlags::BATCH | ChunkFlags::COMPRESSED;
            let (batch, offset) = (all.batches.len() as u32, open.len() as u32);
            all.members.push(InBatch { chunk: all.chunks.len() as u32, batch, offset });
            open.extend(plain);
        } else {
            let (stored, compressed) = store(plain, encrypted);
            chunk.flags.set(ChunkFlags::COMPRESSED, compressed);
            chunk.flags |= ChunkFlags::HAS_CRC32;
            chunk.crc32 = crc32c::crc32c(plain);
            chunk.compressed_size = stored.len() as u32;
            bytes.extend(stored);
        }
        all.chunks.push(chunk);
    }
    flush(&mut bytes, &mut open, &mut all);
    describe(bytes, all, encrypted, place)
}

fn describe(mut bytes: Vec<u8>, all: ChunkInformation, encrypted: bool, uncompressed_size: u64) -> Made {
    let (payload, table) = ci::write(&all).unwrap();
    let (stored, compressed) = store(&payload, encrypted);
    let ci = CiLocation {
        compressor: if compressed { Compressor::Zstd } else { Compressor::None },
        offset: bytes.len() as u64,
        compressed_size: stored.len() as u64,
        uncompressed_size: payload.len() as u64,
    };
    let mut features = BlobFeatures::ALIGNED | BlobFeatures::CHUNK_INFO_V2 | BlobFeatures::CAP_TAR_TOC;
    features.set(BlobFeatures::BATCH, !all.batches.is_empty());
    features.set(BlobFeatures::ENCRYPTED, encrypted);
    let chunk_count = all.chunks.len() as u32;
    let header = CiHeader { features, entries: chunk_count, location: ci, table };
    bytes.extend(stored);
    bytes.extend(encrypt(header.write().to_vec(), encrypted));
    // As the reference has it: bootstraps know nothing of where members of batches lie.
    let forget = |chunk: &Chunk| {
        let member = chunk.flags.contains(ChunkFlags::BATCH);
        if member { Chunk { flags: ChunkFlags::empty(), compressed_offset: 0, ..*chunk } } else { *chunk }
    };
    let blob = Blob {
        name: BlobName::ThisBlob,
        features,
        compressor: Compressor::Zstd,
        digester: Digester::Blake3,
        chunk_count,
        compressed_size: bytes.len() as u64,
        uncompressed_size,
        ci,
        toc_size: 0,
        toc_digest: [0; 32],
        meta_digest: [0; 32],
        meta_size: 0,
        cipher: if encrypted { Cipher::Aes128Xts { key: KEY, iv: IV } } else { Cipher::None },
        chunks: all.chunks.iter().map(forget).collect::<ChunkTable>(),
    };
    Made { bytes, blob }
}

fn contents() -> Vec<Vec<u8>> {
    let tiny = (1..40).map(|length| vec![length as u8; length]);
    let noise =
        (1..40).map(|length| chunk(1 + 3 * length)[..length.min(chunk(1 + 3 * length).len())].to_vec());
    (0..200).map(chunk).chain(tiny).chain(noise).chain([b"last".to_vec()]).collect()
}

#[test]
fn every_chunk_is_read() {
    let contents = contents();
    for encrypted in [false, true] {
        for batch_size in [0, 0x1000, 0x10000] {
            let Made { bytes, blob } = make(&contents, batch_size, encrypted);
            let reader = Arc::new(BlobReader::open_as(bytes, &blob).unwrap());
            assert_eq!(reader.verify(&pool(2), None, Some(&blob)).unwrap().chunks, contents.len() as u64);
            let source = Arc::new(reader.chunks_of(&blob).unwrap());
            let request = |(number, chunk): (u32, &Chunk)| Request {
                source: Arc::clone(&source),
                number,
                chunk: *chunk,
            };
            let requests: Vec<_> = blob.chunks.iter().map(request).collect();
            let read: Vec<_> = read_ahead(&pool(3), 1 << 18, requests).map(|c| c.unwrap().to_vec()).collect();
            assert!(read == contents, "{encrypted} {batch_size}");
        }
    }
}

#[test]
fn flipped_bits_are_found() {
    let contents = contents();
    for encrypted in [false, true] {
        let Made { bytes, blob } = make(&contents, 0x4000, encrypted);
        let mut found = 0;
        for step in 0..300_usize {
            let mut bad = bytes.clone();
            // Every other flip into what describes the chunks.
            let from = if step % 2 == 0 { blob.ci.offset as usize } else { 0 };
            let at = from + step * 7919 * 31 % (bad.len() - from);
            bad[at] ^= 1 << (step % 8);
            let reader = Arc::new(BlobReader::open_as(bad, &blob).unwrap());
            let Ok(source) = reader.chunks_of(&blob) else {
                found += 1;
                continue;
            };
            let (mut worker, mut plain) = (Worker::default(), Vec::new());
            for ((number, record), expected) in blob.chunks.iter().zip(&contents) {
                match source.read_chunk(&mut worker, number, record, &mut plain) {
                    Ok(()) => assert!(plain == *expected),
                    Err(_) => found += 1,
                }
            }
        }
        assert!(found > 100, "{found}");
    }
}

#[test]
fn numbers_that_lie_are_refused() {
    let Made { bytes, blob } = make(&contents(), 0x10000, false);
    let reader = Arc::new(BlobReader::open_as(bytes, &blob).unwrap());
    let source = reader.chunks_of(&blob).unwrap();
    let good = *blob.chunks.get(0).unwrap();
    let read = |number, chunk: &Chunk| {
        let error = source.read_chunk(&mut Worker::default(), number, chunk, &mut Vec::new()).unwrap_err();
        let BlobError::Chunk { source, .. } = error else { panic!("{error:?}") };
        source
    };
    assert_eq!(read(1 << 23, &good), ChunkError::Unknown { number: 1 << 23 });
    for plain in [0, good.uncompressed_size + 1, u32::MAX] {
        assert_eq!(read(0, &Chunk { uncompressed_size: plain, ..good }), ChunkError::Length { plain });
    }
    let crc = Chunk { flags: ChunkFlags::HAS_CRC32, crc32: 1, ..good };
    assert_eq!(read(0, &crc), ChunkError::Crc);
}
