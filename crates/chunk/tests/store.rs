//! One suite over every implementation of the chunk store.
// Test code: a panic is how a test reports.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::Write;
use std::sync::Arc;

use nydus_convert_chunk::store::{ChunkClass, ChunkStore, Description, LayerKey, VerifyOptions, checksum};
use nydus_convert_chunk::{BlobWriter, Compression, FinishedBlob, Others, PackOptions, Packing, pack_with};
use nydus_convert_rafs::{BlobId, Digester};
use support::{BOOTSTRAP, chunk, groups, options, pool};
use tempfile::TempDir;

/// A store of each kind, and what it lives in.
fn stores() -> Vec<(ChunkStore, Option<TempDir>)> {
    let dir = TempDir::new().unwrap();
    let store = ChunkStore::open(&dir.path().join("store")).unwrap();
    vec![(ChunkStore::in_memory(), None), (store, Some(dir))]
}

fn class() -> ChunkClass {
    ChunkClass::new("tests")
}

fn key(number: u8) -> LayerKey {
    LayerKey([number; 32])
}

fn zstd() -> PackOptions {
    options("zstd".parse::<Compression>().unwrap())
}

/// Packs chunks by their numbers, with what a store has or without.
fn packed(numbers: &[usize], store: Option<&ChunkStore>) -> (Vec<u8>, FinishedBlob, Packing) {
    let chunks: Vec<_> = numbers.iter().copied().map(chunk).collect();
    let mut writer = BlobWriter::new(Vec::new(), zstd().blob);
    let forms = store.map(|store| Arc::new(store.forms(&class(), None)));
    let others = Others { forms, ..Others::default() };
    let packing = pack_with(&pool(2), &zstd(), groups(&chunks, &[3]), &mut writer, others).unwrap();
    let (bytes, finished) = writer.finish_data().unwrap().finish(BOOTSTRAP).unwrap();
    (bytes, finished, packing)
}

/// Packs chunks and publishes the blob.
fn publish(store: &ChunkStore, numbers: &[usize], layer: Option<(LayerKey, &[u8])>) -> BlobId {
    let (bytes, finished, _) = packed(numbers, None);
    let mut data = store.begin().unwrap();
    data.write_all(&bytes).unwrap();
    let description = Description { class: class(), blob: finished.blob, checks: finished.checks };
    store.publish((finished.id, finished.size, checksum(0, &bytes)), data, &description, layer).unwrap();
    finished.id
}

#[test]
fn chunks_are_copied_and_the_bytes_are_the_same() {
    for (store, _dir) in stores() {
        publish(&store, &[1, 2, 3, 4, 5], None);
        let (expected, ..) = packed(&[9, 2, 8, 4, 4, 7], None);
        let (bytes, _, packing) = packed(&[9, 2, 8, 4, 4, 7], Some(&store));
        assert!(bytes == expected);
        assert_eq!((packing.new_chunks, packing.copied_chunks), (5, 2));
        let other = store.forms(&ChunkClass::new("others"), None);
        let wanted = [(Digester::Blake3.digest(&chunk(2)), chunk(2).len() as u32)];
        assert!(other.find(&wanted).unwrap()[0].is_none());
        assert!(store.verify(VerifyOptions::default()).unwrap().problems.is_empty());
    }
}

#[test]
fn layers_come_back_whole() {
    for (store, _dir) in stores() {
        let id = publish(&store, &[1, 2, 3], Some((key(1), b"what merging needs")));
        let layer = store.find_layer(key(1)).unwrap().unwrap();
        assert_eq!((layer.blob, layer.body.as_slice()), (id, &b"what merging needs"[..]));
        assert_eq!(layer.data.size().unwrap(), layer.size);
        assert_eq!(layer.description.blob.unwrap().chunks.len(), 3);
        assert!(store.find_layer(key(2)).unwrap().is_none());
    }
}
