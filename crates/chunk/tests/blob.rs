//! Blobs written and read again, damaged, and made up.
#![allow(clippy::unwrap_used)]

mod support;

use nydus_convert_chunk::{
    BlobError, BlobOptions, BlobReader, BlobWriter, ChunkError, Compression, FinishedBlob, WriteError,
};
use nydus_convert_rafs::{BlobFeatures, BlobId, BlobName, Chunk, ChunkFlags, Compressor, Digester};
use proptest::prelude::*;
use support::{BOOTSTRAP, RAW, blob, chunk, open, options, pool};

fn sample(compressor: &str) -> (Vec<u8>, FinishedBlob, Vec<Vec<u8>>) {
    let chunks: Vec<_> = (0..40).map(chunk).collect();
    let (bytes, _, finished) = blob(&pool(2), &options(compressor.parse().unwrap()), &chunks, &[]);
    (bytes, finished, chunks)
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Digester::Sha256.digest(bytes).0
}

#[test]
fn what_was_written_is_read() {
    for compressor in ["none", "lz4_block", "zstd"] {
        let (bytes, finished, chunks) = sample(compressor);
        assert_eq!(finished.id, BlobId(sha256(&bytes)));
        assert_eq!(finished.size, bytes.len() as u64);
        let reader = open(&bytes);
        assert_eq!(reader.bootstrap().unwrap(), BOOTSTRAP);
        assert_eq!(reader.toc_digest(), Some(finished.toc_digest));
        assert_eq!(sha256(&bytes[bytes.len() - finished.toc_size as usize..]), finished.toc_digest);

        let record = finished.blob.clone().unwrap();
        assert_eq!(record.name, BlobName::Id(finished.id));
        assert_eq!(record.features.bits(), 0x7000_0021);
        let meta = reader.blob_meta().unwrap().unwrap();
        assert!(meta.has_digests);
        assert_eq!(meta.header.location, record.ci);
        assert!(meta.chunks.iter().eq(record.chunks.iter().map(|(_, chunk)| chunk)));
        let (mut plain, mut raw) = (Vec::new(), 0);
        for (record, chunk) in meta.chunks.iter().zip(&chunks) {
            reader.read_chunk(record, compressor_of(compressor), Digester::Blake3, &mut plain).unwrap();
            assert!(plain == *chunk);
            raw += usize::from(!record.flags.contains(ChunkFlags::COMPRESSED));
        }
        assert_eq!(raw == chunks.len(), compressor == "none", "noise stays raw, the rest does not");
        let verified = reader.verify(&pool(2), Some(finished.id), finished.blob.as_ref()).unwrap();
        assert_eq!((verified.id, verified.chunks), (finished.id, 40));
        assert_eq!(verified.plain_bytes, chunks.iter().map(|chunk| chunk.len() as u64).sum::<u64>());
    }
}

fn compressor_of(name: &str) -> Compressor {
    name.parse::<Compression>().unwrap().compressor()
}

#[test]
fn a_layer_without_chunks() {
    let tail = BlobWriter::new(Vec::new(), BlobOptions::default()).finish_data().unwrap();
    assert_eq!(tail.blob(), None);
    let (bytes, finished) = tail.finish(BOOTSTRAP).unwrap();
    assert_eq!(finished.blob, None);
    assert_eq!(finished.toc_size, 128 + 512);
    let reader = open(&bytes);
    assert_eq!(reader.sections().len(), 1);
    assert_eq!(reader.bootstrap().unwrap(), BOOTSTRAP);
    assert_eq!((reader.blob_meta().unwrap(), reader.data_size()), (None, 0));
    reader.verify(&pool(1), Some(finished.id), None).unwrap();
    let record = sample("none").1.blob;
    let error = reader.verify(&pool(1), None, record.as_ref()).unwrap_err();
    assert!(matches!(error, BlobError::Missing { section: "blob.meta" }));
}

#[test]
fn further_sections() {
    let mut writer = BlobWriter::new(Vec::new(), RAW);
    writer.append(Digester::Blake3.digest(b"x"), 1, b"x").unwrap();
    let mut tail = writer.finish_data().unwrap();
    let before = tail.blob().unwrap().compressed_size;
    assert_eq!(tail.blob().unwrap().features, BlobFeatures::from_bits(0x7000_0023).unwrap());
    assert_eq!(tail.blob().unwrap().name, BlobName::ThisBlob);
    for (name, compress) in [("layer.replay", true), ("noise", true), ("plain", false)] {
        tail.section(name, &chunk(if name == "noise" { 1 } else { 3 }), compress).unwrap();
    }
    for name in ["", "plain", "image.boot", "rafs.blob.toc", "seventeen-letters", "nul\0"] {
        let error = tail.section(name, b"", false).unwrap_err();
        assert!(matches!(error, WriteError::SectionName { .. }), "{name}");
    }
    let start = tail.blob().unwrap().compressed_size;
    assert!(start > before);
    let (bytes, finished) = tail.finish(BOOTSTRAP).unwrap();
    let reader = open(&bytes);
    let boot = reader.sections().last().unwrap();
    assert_eq!((boot.name.as_str(), boot.offset), ("image.boot", start));
    assert_eq!(finished.blob.as_ref().unwrap().compressed_size, start);
    assert_eq!(reader.section("layer.replay").unwrap().unwrap(), chunk(3));
    assert_eq!(reader.section("noise").unwrap().unwrap(), chunk(1));
    assert_eq!(reader.section("plain").unwrap().unwrap(), chunk(3));
    assert_eq!(reader.section("absent").unwrap(), None);
    let stored = |name| reader.sections().iter().find(|section| section.name == name).unwrap().compressor;
    assert_eq!(
        ["layer.replay", "noise", "plain"].map(stored),
        [Compressor::Zstd, Compressor::None, Compressor::None]
    );
    reader.verify(&pool(1), Some(finished.id), finished.blob.as_ref()).unwrap();
}

#[test]
fn chunk_records_are_claims() {
    let (bytes, finished, _) = sample("zstd");
    let reader = open(&bytes);
    let blob = finished.blob.unwrap();
    let good = *blob.chunks.get(3).unwrap();
    let end = reader.data_size();
    type Change<'a> = &'a dyn Fn(&mut Chunk);
    let cases: [(Change, ChunkError); 9] = [
        (&|chunk| chunk.compressed_offset = u64::MAX, ChunkError::Bounds { end }),
        (&|chunk| chunk.compressed_offset = end, ChunkError::Bounds { end }),
        (&|chunk| chunk.uncompressed_size = 0, ChunkError::Length { plain: 0 }),
        (&|chunk| chunk.uncompressed_size = u32::MAX, ChunkError::Length { plain: u32::MAX }),
        (&|chunk| chunk.compressed_size = 0, ChunkError::Length { plain: good.uncompressed_size }),
        (&|chunk| chunk.flags = ChunkFlags::empty(), ChunkError::Length { plain: good.uncompressed_size }),
        (&|chunk| chunk.flags |= ChunkFlags::ENCRYPTED, ChunkError::Unsupported),
        (&|chunk| chunk.flags |= ChunkFlags::BATCH, ChunkError::Unsupported),
        (&|chunk| chunk.digest.0[31] ^= 1, ChunkError::Digest),
    ];
    let mut plain = Vec::new();
    for (change, expected) in cases {
        let mut chunk = good;
        change(&mut chunk);
        let error = reader.read_chunk(&chunk, Compressor::Zstd, Digester::Blake3, &mut plain).unwrap_err();
        assert!(plain.is_empty());
        assert!(matches!(&error, BlobError::Chunk { source, .. } if *source == expected), "{error:?}");
    }
    let error = reader.read_chunk(&good, Compressor::Lz4Block, Digester::Blake3, &mut plain).unwrap_err();
    assert!(matches!(error, BlobError::Chunk { source: ChunkError::Decompress(_), .. }));
    let error = reader.read_chunk(&good, Compressor::Zstd, Digester::Sha256, &mut plain).unwrap_err();
    assert!(matches!(error, BlobError::Chunk { source: ChunkError::Digest, .. }));
}

#[test]
fn a_bootstrap_that_disagrees_is_found() {
    let (bytes, finished, _) = sample("zstd");
    let reader = open(&bytes);
    let good = finished.blob.unwrap();
    let check = |change: &dyn Fn(&mut nydus_convert_rafs::Blob)| {
        let mut blob = good.clone();
        change(&mut blob);
        reader.verify(&pool(1), None, Some(&blob)).unwrap_err()
    };
    let disagrees = |error, name| matches!(error, BlobError::Disagrees { field, .. } if field == name);
    assert!(disagrees(check(&|blob| blob.chunk_count -= 1), "the number of chunks"));
    assert!(disagrees(check(&|blob| blob.ci.offset += 1), "the offset"));
    assert!(disagrees(check(&|blob| blob.ci.compressor = Compressor::None), "the compressor"));
    assert!(disagrees(check(&|blob| blob.features |= BlobFeatures::BATCH), "the features"));
    assert!(disagrees(check(&|blob| blob.uncompressed_size += 4096), "the size of the plain blob"));
    let error = check(&|blob| {
        let mut chunks: Vec<_> = blob.chunks.iter().map(|(_, chunk)| *chunk).collect();
        chunks[7].digest.0[0] ^= 1;
        blob.chunks = chunks.into_iter().collect();
    });
    assert!(matches!(error, BlobError::ChunkRecord { number: 7 }));
    let error = check(&|blob| blob.compressor = Compressor::Lz4Block);
    assert!(matches!(error, BlobError::Chunk { .. }));
    let error = check(&|blob| blob.toc_size = 1);
    assert!(matches!(error, BlobError::SectionDigest { .. }));
    let error = reader.verify(&pool(1), Some(BlobId([7; 32])), None).unwrap_err();
    assert!(matches!(error, BlobError::Id { actual, .. } if actual == finished.id));
}

/// Everything a reader offers, for input that may be anything.
fn read_all(bytes: &[u8]) -> Result<(Vec<u8>, Vec<Vec<u8>>), BlobError> {
    let reader = std::sync::Arc::new(BlobReader::open(bytes.to_vec())?);
    let _ = reader.verify(&pool(1), None, None);
    for section in reader.sections() {
        let _ = reader.section(&section.name);
    }
    let mut chunks = Vec::new();
    for chunk in reader.blob_meta()?.map(|meta| meta.chunks).unwrap_or_default() {
        let mut plain = Vec::new();
        reader.read_chunk(&chunk, Compressor::Zstd, Digester::Blake3, &mut plain)?;
        chunks.push(plain);
    }
    Ok((reader.bootstrap()?, chunks))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// No bit of a blob can change unnoticed when its id is known; and without, nothing wrong is ever returned.
    #[test]
    fn flipped_bits_are_found(at in any::<prop::sample::Index>(), bit in 0..8_u8, zone in 0..4) {
        let (mut bytes, finished, chunks) = sample("zstd");
        // Half of the flips in the last pieces, which are small: CI header, table of contents, headers.
        let from = match zone { 0 => bytes.len() - 1200, 1 => bytes.len() - 9000, _ => 0 };
        let at = from + at.index(bytes.len() - from);
        bytes[at] ^= 1_u8 << bit;
        let verified = BlobReader::open(bytes.clone())
            .map(std::sync::Arc::new)
            .and_then(|reader| reader.verify(&pool(1), Some(finished.id), finished.blob.as_ref()));
        prop_assert!(verified.is_err());
        if let Ok((bootstrap, read)) = read_all(&bytes) {
            prop_assert!(bootstrap == BOOTSTRAP && read == chunks);
        }
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        prop_assert!(read_all(&bytes).is_err());
    }

    /// Numbers in the CI header and the table of contents replaced, and the headers behind them cut or doubled.
    #[test]
    fn lying_structures_do_no_harm(
        at in 0..1500_usize,
        value in prop_oneof![Just(u64::MAX), Just(0), Just(1 << 40), any::<u64>(), 0..100_000_u64],
        in_ci in any::<bool>(),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let (mut bytes, finished, _) = sample("zstd");
        let ci = finished.blob.unwrap().ci;
        let at = if in_ci { (ci.offset + ci.compressed_size) as usize + at % 64 } else { bytes.len() - 8 - at };
        bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let _ = read_all(&bytes);
    }
}

#[test]
fn a_section_that_claims_too_much_is_not_believed() {
    let (mut bytes, ..) = sample("none");
    // The table's last entry is the bootstrap; its plain size is the third of its numbers.
    let entry = bytes.len() - 512 - 128;
    bytes[entry + 72..entry + 80].copy_from_slice(&(1_u64 << 31).to_le_bytes());
    let error = open(&bytes).bootstrap().unwrap_err();
    assert!(matches!(error, BlobError::TooLarge { size, .. } if size == 1 << 31), "{error:?}");
}

#[test]
fn more_chunks_than_bytes_are_not_believed() {
    let (mut bytes, finished, _) = sample("none");
    let ci = finished.blob.unwrap().ci;
    let header = (ci.offset + ci.compressed_size) as usize;
    // The second entry of the table of contents is the CI, and must agree.
    let entry = bytes.len() - 512 - 5 * 128 + 128;
    let count = 1_u32 << 23;
    bytes[header + 12..header + 16].copy_from_slice(&count.to_le_bytes());
    for at in [header + 32, entry + 72] {
        bytes[at..at + 8].copy_from_slice(&(u64::from(count) * 16).to_le_bytes());
    }
    let error = open(&bytes).blob_meta().unwrap_err();
    assert!(matches!(error, BlobError::TooManyChunks { count: found, .. } if found == count), "{error:?}");
}

#[test]
fn files_and_sources_that_fail() {
    let (bytes, finished, _) = sample("zstd");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("blob");
    std::fs::write(&path, &bytes).unwrap();
    let file = std::fs::File::options().read(true).write(true).open(&path).unwrap();
    let reader = BlobReader::open(std::sync::Arc::new(file.try_clone().unwrap())).unwrap();
    assert_eq!((reader.size(), reader.bootstrap().unwrap().as_slice()), (finished.size, BOOTSTRAP));
    // Someone cuts the file while it is read.
    file.set_len(100).unwrap();
    let error = reader.bootstrap().unwrap_err();
    assert!(
        matches!(error, BlobError::Read { source, .. } if source.kind() == std::io::ErrorKind::UnexpectedEof)
    );
}

#[test]
fn not_blobs() {
    for bytes in [&b""[..], b"short", &[0; 512], &[0; 5000], &[b'a'; 5000]] {
        let error = BlobReader::open(bytes).unwrap_err();
        assert!(matches!(error, BlobError::NotABlob { size } if size == bytes.len() as u64));
    }
}
