//! Sections as streams: written from a source, read piece by piece, and never complete when they are damaged.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::{self, Read};

use nydus_convert_chunk::{BlobError, BlobReader, BlobWriter, WriteError};
use nydus_convert_rafs::Digester;
use support::{BOOTSTRAP, RAW, blob, chunk, options, pool};

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * at / 7 % 253) as u8).collect()
}

fn sample() -> (Vec<u8>, Vec<u8>) {
    let long = content(700_000);
    let mut writer = BlobWriter::new(Vec::new(), RAW);
    writer.append(Digester::Blake3.digest(b"x"), 1, b"x").unwrap();
    let mut tail = writer.finish_data().unwrap();
    let mut source = [&long[..], b"rest"].concat().into_iter().collect::<std::collections::VecDeque<u8>>();
    tail.section_from("streamed", long.len() as u64, &mut source).unwrap();
    assert_eq!(source, b"rest");
    tail.section_from("empty", 0, io::empty()).unwrap();
    tail.section("shrunk", &long.repeat(3), true).unwrap();
    let start = tail.blob().unwrap().compressed_size;
    let (bytes, finished) = tail.finish(BOOTSTRAP).unwrap();
    let reader = support::open(&bytes);
    assert_eq!(reader.sections().last().unwrap().offset, start);
    reader.verify(&pool(1), Some(finished.id), finished.blob.as_ref()).unwrap();
    (bytes, long)
}

#[test]
fn a_streamed_section_is_the_same_as_one_in_memory() {
    let (bytes, long) = sample();
    let mut writer = BlobWriter::new(Vec::new(), RAW);
    writer.append(Digester::Blake3.digest(b"x"), 1, b"x").unwrap();
    let mut tail = writer.finish_data().unwrap();
    tail.section("streamed", &long, false).unwrap();
    tail.section("empty", b"", false).unwrap();
    tail.section("shrunk", &long.repeat(3), true).unwrap();
    assert!(tail.finish(BOOTSTRAP).unwrap().0 == bytes);
}

#[test]
fn every_section_streams_as_it_reads() {
    let (bytes, long) = sample();
    let chunks: Vec<_> = (0..40).map(chunk).collect();
    let (packed, ..) = blob(&pool(1), &options("zstd".parse().unwrap()), &chunks, &[]);
    for bytes in [bytes, packed] {
        let reader = BlobReader::open(bytes).unwrap();
        for section in reader.sections() {
            let expected = reader.section(&section.name).unwrap().unwrap();
            let mut stream = reader.section_reader(&section.name).unwrap();
            assert_eq!(stream.remaining(), expected.len() as u64, "{}", section.name);
            let mut streamed = Vec::new();
            stream.read_to_end(&mut streamed).unwrap();
            assert!(streamed == expected, "{}", section.name);
            assert_eq!((stream.remaining(), stream.read(&mut [0]).unwrap()), (0, 0));
            if section.name == "streamed" {
                assert!(streamed == long);
            }
        }
        assert!(reader.section_reader("absent").is_none());
    }
}

/// Whoever asks for exactly the length must not miss the check.
#[test]
fn damage_shows_before_the_last_byte() {
    let (bytes, long) = sample();
    let good = BlobReader::open(bytes.clone()).unwrap();
    for section in good.sections() {
        if section.compressed_size == 0 {
            continue;
        }
        let length = good.section(&section.name).unwrap().unwrap().len();
        let mut bad = bytes.clone();
        bad[(section.offset + section.compressed_size / 2) as usize] ^= 1;
        let reader = BlobReader::open(bad).unwrap();
        let mut stream = reader.section_reader(&section.name).unwrap();
        let mut plain = vec![0; length];
        assert!(stream.read_exact(&mut plain).is_err(), "{}", section.name);
        assert!(stream.read(&mut [0]).is_err(), "{}: it stays an error", section.name);
    }
    let mut bad = bytes;
    let at = bad.windows(16).position(|window| *window == long[..16]).unwrap();
    bad[at] ^= 1;
    let reader = BlobReader::open(bad).unwrap();
    let error = reader.section_reader("streamed").unwrap().read_to_end(&mut Vec::new()).unwrap_err();
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<BlobError>());
    assert!(matches!(inner, Some(BlobError::SectionDigest { section, .. }) if section == "streamed"));
}

/// The plain length of a compressed section is a claim too.
#[test]
fn wrong_lengths_are_errors() {
    let (bytes, _) = sample();
    // The entries: image.blob, blob.meta, its header, blob.digest, streamed, empty, shrunk, image.boot.
    let entry = bytes.len() - 512 - 2 * 128;
    assert_eq!(&bytes[entry + 8..entry + 14], b"shrunk");
    for size in [0_u64, 2_099_999, 2_100_001, u64::MAX] {
        let mut bad = bytes.clone();
        bad[entry + 72..entry + 80].copy_from_slice(&size.to_le_bytes());
        let reader = BlobReader::open(bad).unwrap();
        let error = io::copy(&mut reader.section_reader("shrunk").unwrap(), &mut io::sink()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{size}");
    }
}

#[test]
fn a_source_that_is_too_short() {
    let mut tail = BlobWriter::new(Vec::new(), RAW).finish_data().unwrap();
    assert!(matches!(tail.section_from("", 1, &b"x"[..]), Err(WriteError::SectionName { .. })));
    let error = tail.section_from("short", 10, &b"x"[..]).unwrap_err();
    let WriteError::SectionSource { name, length: 10, source, .. } = error else { panic!("{error:?}") };
    assert_eq!((name.as_str(), source.kind()), ("short", io::ErrorKind::UnexpectedEof));
    assert!(matches!(tail.section("more", b"x", false), Err(WriteError::Abandoned)));
    assert!(matches!(tail.finish(BOOTSTRAP), Err(WriteError::Abandoned)));
}
