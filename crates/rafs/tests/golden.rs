//! Bootstraps of the reference builder, read and written again: the same bytes. See `golden/README.md`.
#![allow(clippy::unwrap_used)]

use nydus_convert_rafs::meta::{ci, section, toc};
use nydus_convert_rafs::{BlobName, Digester, Image, v6};

const MIXED: &[u8] = include_bytes!("golden/mixed.boot");
const MIXED_LZ4: &[u8] = include_bytes!("golden/mixed-lz4-sha256.boot");
const WIDE: &[u8] = include_bytes!("golden/wide.boot");
const BARE: &[u8] = include_bytes!("golden/bare.boot");
const MERGED: &[u8] = include_bytes!("golden/merged.boot");
const BLOB: &[u8] = include_bytes!("golden/upper.blob");

fn u32_at(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

fn put_u32(bytes: &mut [u8], at: usize, value: usize) {
    bytes[at..at + 4].copy_from_slice(&u32::try_from(value).unwrap().to_le_bytes());
}

/// Fills in where each blob lies when all follow the bootstrap on one device, at multiples of 512 KiB.
fn map_devices(bytes: &mut [u8]) {
    let mut position = bytes.len();
    for slot in (1408..).step_by(128).take(usize::from(bytes[1024 + 86])) {
        let start = position.next_multiple_of(0x8_0000);
        position = start + u32_at(bytes, slot + 64) * 4096;
        assert_eq!(u32_at(bytes, slot + 68), 0, "the reference leaves this out");
        put_u32(bytes, slot + 68, start / 4096);
    }
}

/// Numbers the root 1.
fn number_root(bytes: &mut [u8], expected: usize) {
    let at = u32_at(bytes, 1024 + 40) * 4096 + 4096 + 20;
    assert_eq!(u32_at(bytes, at), expected);
    put_u32(bytes, at, 1);
}

fn rewrite(bytes: &[u8]) -> (Image, Vec<u8>) {
    let image = v6::parse(bytes).unwrap();
    let mut written = Vec::new();
    assert_eq!(v6::write(&image, &mut written).unwrap(), written.len() as u64);
    (image, written)
}

#[test]
fn layers() {
    for (name, bytes) in [("mixed", MIXED), ("mixed-lz4", MIXED_LZ4), ("wide", WIDE), ("bare", BARE)] {
        let (_, written) = rewrite(bytes);
        let expected = bytes;
        let first = written.iter().zip(expected).position(|(a, b)| a != b);
        assert_eq!((first, written.len()), (None, expected.len()), "{name}");
    }
}

#[test]
fn merged() {
    let (image, mut written) = rewrite(MERGED);
    let mut expected = MERGED.to_vec();
    map_devices(&mut expected);
    number_root(&mut expected, 128);
    let table = u32_at(&written, 1152 + 24);
    let mut changed = 0;
    for at in (table + 64..).step_by(80).take(u32_at(&written, 1152 + 32) / 80) {
        changed += usize::from(written[at..at + 8] != expected[at..at + 8]);
        written[at..at + 8].copy_from_slice(&expected[at..at + 8]);
    }
    assert_eq!(written, expected);
    assert_eq!(changed, 1, "one recorded file was removed by the upper layer");
    assert_eq!(image.prefetch.len(), 2);
    assert!(image.blobs.iter().all(|blob| matches!(blob.name, BlobName::Id(_))));
}

/// The sections of the golden blob by its table of contents.
fn sections() -> Vec<toc::TocEntry> {
    let (body, header) = BLOB.split_last_chunk::<{ section::HEADER_LEN }>().unwrap();
    let parsed = section::parse(header).unwrap();
    assert_eq!(parsed.name, section::TOC);
    assert_eq!(section::write(&parsed.name, parsed.size), *header);
    let table = &body[body.len() - parsed.size as usize..];
    let entries = toc::parse(table).unwrap();
    assert_eq!(toc::write(&entries).unwrap(), table);
    entries
}

#[test]
fn headers_of_sections() {
    for entry in sections().iter().filter(|entry| entry.name != section::BLOB_META) {
        // The header of the chunk information belongs to the section before it.
        let (name, size) = match entry.name.as_str() {
            section::BLOB_META_HEADER => {
                let meta = sections().into_iter().find(|entry| entry.name == section::BLOB_META).unwrap();
                (section::BLOB_META, meta.compressed_size + entry.compressed_size)
            }
            name => (name, entry.compressed_size),
        };
        let end = (entry.offset + entry.compressed_size) as usize;
        assert_eq!(BLOB[end..end + section::HEADER_LEN], section::write(name, size), "{name}");
    }
}

#[test]
fn chunk_information() {
    let at = |name: &str| {
        let entry = sections().into_iter().find(|entry| entry.name == name).unwrap();
        BLOB[entry.offset as usize..][..entry.compressed_size as usize].to_vec()
    };
    let raw = at(section::BLOB_META_HEADER);
    let header = ci::CiHeader::parse(&raw).unwrap();
    assert_eq!(header.write().as_slice(), raw);
    let mut payload = vec![0; header.location.uncompressed_size as usize];
    header.location.compressor.decompress(&at(section::BLOB_META), &mut payload).unwrap();
    let chunks = ci::parse_entries(&payload, &header).unwrap();
    assert_eq!(ci::write_entries(&chunks).unwrap(), payload);

    // The chunks are where the information says, and what the digests say.
    let digests = at(section::BLOB_DIGEST);
    assert_eq!(digests.len(), 32 * chunks.len());
    for (chunk, digest) in chunks.iter().zip(digests.as_chunks::<32>().0) {
        let stored = &BLOB[chunk.compressed_offset as usize..][..chunk.compressed_size as usize];
        let mut plain = vec![0; chunk.uncompressed_size as usize];
        match chunk.compressed_size == chunk.uncompressed_size {
            true => plain.copy_from_slice(stored),
            false => nydus_convert_rafs::Compressor::Zstd.decompress(stored, &mut plain).unwrap(),
        }
        assert_eq!(Digester::Blake3.digest(&plain).0, *digest);
    }
}
