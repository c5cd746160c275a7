//! Blobs of the reference builder: read, and written again from their chunks.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use nydus_convert_chunk::{BlobMeta, BlobOptions, BlobReader, BlobWriter, Compression, PackOptions, pack};
use nydus_convert_rafs::{BlobId, Chunk, ChunkSize, Compressor, Digester};
use support::reference::{builder, layer};
use support::{groups, options, pool};

fn build(builder: &Path, dir: &Path, more: &[&str]) -> Vec<u8> {
    let (layer_path, blob) = (dir.join("layer.tar"), dir.join("blob"));
    std::fs::write(&layer_path, layer()).unwrap();
    // The builder does not truncate what it finds.
    let _ = std::fs::remove_file(&blob);
    let mut command = Command::new(builder);
    command.args(["create", "--type", "tar-rafs", "--blob-inline-meta", "--whiteout-spec", "none"]);
    command.args(more).arg("--blob").arg(&blob).arg(&layer_path);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(&blob).unwrap()
}

type Reader = Arc<BlobReader<Vec<u8>>>;

fn read(reader: &Reader, records: &[Chunk], compressor: Compressor, digester: Digester) -> Vec<Vec<u8>> {
    let read = |record| {
        let mut plain = Vec::new();
        reader.read_chunk(record, compressor, digester, &mut plain).map(|()| plain)
    };
    records.iter().map(read).collect::<Result<_, _>>().unwrap()
}

/// A blob of the same chunks with the same bootstrap, and its record.
fn rewrite(options: &PackOptions, chunks: &[Vec<u8>], bootstrap: &[u8]) -> (Reader, BlobId) {
    let mut writer = BlobWriter::new(Vec::new(), options.blob);
    let packing = pack(&pool(2), options, groups(chunks, &[]), &mut writer).unwrap();
    assert_eq!(packing.duplicate_chunks(), 0);
    let (bytes, finished) = writer.finish_data().unwrap().finish(bootstrap).unwrap();
    (Arc::new(BlobReader::open(bytes).unwrap()), finished.id)
}

#[test]
fn blobs_with_a_table_of_contents() {
    let Some(builder) = builder() else { return };
    let dir = tempfile::tempdir().unwrap();
    for compressor in ["none", "zstd", "lz4_block"] {
        for (chunk_size, digester) in [(0x1000, Digester::Blake3), (0x10_0000, Digester::Sha256)] {
            let options = PackOptions {
                blob: BlobOptions {
                    compressor: compressor.parse().unwrap(),
                    digester,
                    ..BlobOptions::default()
                },
                chunk_size: ChunkSize::new(chunk_size).unwrap(),
                ..options(Compression::None)
            };
            let size = format!("{chunk_size:#x}");
            let args = ["--fs-version", "6", "--features", "blob-toc", "--compressor", compressor];
            let more = ["--chunk-size", &size, "--digester", digester.name()];
            let bytes = build(&builder, dir.path(), &[&args[..], &more].concat());
            compare(&options, bytes);
        }
    }
}

fn compare(options: &PackOptions, bytes: Vec<u8>) {
    let theirs: Reader = Arc::new(BlobReader::open(bytes).unwrap());
    let verified = theirs.verify(&pool(2), None, None).unwrap();
    let compressor = options.blob.compressor.compressor();
    let meta = theirs.blob_meta().unwrap().unwrap();
    let chunks = read(&theirs, &meta.chunks, compressor, options.blob.digester);
    let (ours, id) = rewrite(options, &chunks, &theirs.bootstrap().unwrap());
    if options.blob.compressor == Compression::None {
        assert!(data(&ours) == data(&theirs), "chunk data");
        assert_eq!(ours.section("blob.meta").unwrap(), theirs.section("blob.meta").unwrap());
        // Of the small metadata every libzstd makes the same frames, so here nothing is left to differ.
        assert!(options.chunk_size < ChunkSize::default() || id == verified.id);
    }
    // Another LZ4, another libzstd: other stored bytes, and all that follows from that; but nothing else.
    let plain = |BlobMeta { chunks, .. }| {
        chunks.into_iter().map(|c| (c.digest, c.uncompressed_size, c.uncompressed_offset)).collect::<Vec<_>>()
    };
    assert_eq!(plain(ours.blob_meta().unwrap().unwrap()), plain(meta));
    assert_eq!(ours.section("blob.digest").unwrap(), theirs.section("blob.digest").unwrap());
    let names = |reader: &Reader| {
        reader.sections().iter().map(|s| (s.name.clone(), s.compressor)).collect::<Vec<_>>()
    };
    assert_eq!(names(&ours), names(&theirs));
}

fn data(reader: &Reader) -> Vec<u8> {
    reader.section("image.blob").unwrap().unwrap()
}

#[test]
fn blobs_without_table_of_contents() {
    let Some(builder) = builder() else { return };
    let dir = tempfile::tempdir().unwrap();
    for version in ["5", "6"] {
        let bytes = build(&builder, dir.path(), &["--fs-version", version, "--compressor", "zstd"]);
        let reader: Reader = Arc::new(BlobReader::open(bytes).unwrap());
        reader.verify(&pool(1), None, None).unwrap();
        assert_eq!(reader.toc_digest(), None);
        let bootstrap = reader.bootstrap().unwrap();
        let magic =
            if version == "5" { 0x5241_4653_u32.to_le_bytes() } else { 0xe0f5_e1e2_u32.to_le_bytes() };
        let at = if version == "5" { 0 } else { 1024 };
        assert_eq!(bootstrap[at..at + 4], magic);
        let names: Vec<_> = reader.sections().iter().map(|section| section.name.as_str()).collect();
        if version == "5" {
            assert_eq!(names, ["image.blob", "image.boot"]);
            assert_eq!(reader.blob_meta().unwrap(), None);
            continue;
        }
        assert_eq!(names, ["image.blob", "blob.meta", "image.boot"]);
        let meta = reader.blob_meta().unwrap().unwrap();
        assert!(!meta.has_digests);
        // The digests are in the bootstrap; here the content tells them.
        let mut plain = Vec::new();
        for record in meta.chunks {
            let error = reader.read_chunk(&record, Compressor::Zstd, Digester::Blake3, &mut plain);
            assert!(error.is_err(), "a digest of zeros is no digest");
        }
    }
}

#[test]
fn a_layer_without_chunks() {
    let Some(builder) = builder() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (layer, blob) = (dir.path().join("layer.tar"), dir.path().join("blob"));
    std::fs::write(&layer, tar::Builder::new(Vec::new()).into_inner().unwrap()).unwrap();
    let mut command = Command::new(builder);
    command.args(["create", "--type", "tar-rafs", "--blob-inline-meta", "--features", "blob-toc", "--blob"]);
    assert!(command.arg(&blob).arg(&layer).output().unwrap().status.success());
    let theirs: Reader = Arc::new(BlobReader::open(std::fs::read(&blob).unwrap()).unwrap());
    let verified = theirs.verify(&pool(1), None, None).unwrap();
    let tail = BlobWriter::new(Vec::new(), BlobOptions::default()).finish_data().unwrap();
    assert_eq!(tail.finish(&theirs.bootstrap().unwrap()).unwrap().1.id, verified.id);
}
