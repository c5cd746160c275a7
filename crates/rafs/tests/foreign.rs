//! Blobs that only other builders make: all that the bootstrap says of them is kept.
#![allow(clippy::unwrap_used)]

mod support;

use nydus_convert_rafs::{
    Blob, BlobFeatures, ChunkFlags, ChunkTable, Cipher, Compressor, Image, dump, parse, v6,
};

const ZRAN: &[u8] = include_bytes!("golden/zran.boot");

/// The sample with a changed second blob, written and read.
fn with(change: impl Fn(&mut Blob)) -> (Image, Image) {
    let mut image = support::sample();
    change(&mut image.blobs[1]);
    let mut bytes = Vec::new();
    v6::write(&image, &mut bytes).unwrap();
    let (_, read) = parse(&bytes).unwrap();
    let text = dump::bootstrap(&bytes).unwrap().to_string();
    assert!(!text.contains("abababab"), "keys are not for showing");
    (image, read)
}

fn version_2(blob: &mut Blob, more: BlobFeatures) {
    blob.features |= BlobFeatures::CHUNK_INFO_V2 | more;
    blob.ci.uncompressed_size = 24 * u64::from(blob.chunk_count);
}

#[test]
fn encrypted() {
    let cipher = Cipher::Aes128Xts { key: [0xab; 32], iv: [0xcd; 16] };
    let (written, read) = with(|blob| {
        version_2(blob, BlobFeatures::ENCRYPTED);
        blob.cipher = cipher;
        (blob.meta_digest, blob.meta_size) = ([0; 32], 0);
    });
    support::assert_same(&read, &written);
    assert_eq!(read.blobs[1].cipher, cipher);
    assert!(dump::image(&read).to_string().contains("encrypted"));
}

/// Chunks of a batch have neither a stored place nor flags in the bootstraps of the reference.
#[test]
fn batches() {
    let (written, read) = with(|blob| {
        version_2(blob, BlobFeatures::BATCH);
        blob.ci.uncompressed_size += 40;
        blob.chunks = ChunkTable::from_unsorted(
            blob.chunks
                .iter()
                .map(|(index, chunk)| {
                    let mut chunk = *chunk;
                    (chunk.compressed_offset, chunk.compressed_size) = (0, 0);
                    chunk.flags = ChunkFlags::empty();
                    (index, chunk)
                })
                .collect(),
        );
    });
    support::assert_same(&read, &written);
    assert!(read.blobs[1].features.contains(BlobFeatures::BATCH));
}

#[test]
fn other_features() {
    for features in [
        BlobFeatures::ALIGNED,
        BlobFeatures::ALIGNED | BlobFeatures::CAP_TAR_TOC,
        BlobFeatures::ALIGNED | BlobFeatures::HAS_TAR_HEADER | BlobFeatures::SEPARATE,
        BlobFeatures::ALIGNED | BlobFeatures::EXTERNAL,
        BlobFeatures::ALIGNED | BlobFeatures::IS_CHUNKDICT_GENERATED,
        BlobFeatures::ALIGNED | BlobFeatures::IS_SEPARATED_WITH_PREFETCH_FILES,
    ] {
        let (written, read) = with(|blob| blob.features = features);
        support::assert_same(&read, &written);
    }
    let (written, read) = with(|blob| version_2(blob, BlobFeatures::empty()));
    support::assert_same(&read, &written);
}

/// A reference to an original tar.gz, of the reference builder.
#[test]
fn zran() {
    let (_, image) = parse(ZRAN).unwrap();
    let [blob] = image.blobs.as_slice() else { panic!() };
    let expected = BlobFeatures::ALIGNED
        | BlobFeatures::CHUNK_INFO_V2
        | BlobFeatures::ZRAN
        | BlobFeatures::SEPARATE
        | BlobFeatures::CAP_TAR_TOC;
    assert_eq!((blob.features, blob.compressor), (expected, Compressor::Gzip));
    assert!(blob.meta_size != 0 && blob.meta_digest != [0; 32]);
    let mut written = Vec::new();
    v6::write(&image, &mut written).unwrap();
    // What differs is where the blob lies on one device, and the root's number: see `golden.rs`.
    assert_eq!(written.len(), ZRAN.len());
    support::assert_same(&v6::parse(&written).unwrap(), &image);
}
