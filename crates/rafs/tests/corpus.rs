//! What the fuzzer found worth keeping, run without it.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

#[path = "../../../fuzz/src/blob_meta.rs"]
mod blob_meta;
#[path = "../../../fuzz/src/rafs_v5.rs"]
mod rafs_v5;
#[path = "../../../fuzz/src/rafs_v6.rs"]
mod rafs_v6;
#[path = "../../../fuzz/src/saved_layer.rs"]
mod saved_layer;
#[path = "../../../fuzz/src/tree.rs"]
mod tree;
#[path = "../../../fuzz/src/zran.rs"]
mod zran;

/// Runs `check` over every file of a target's corpus.
fn run(target: &str, check: fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut count = 0;
    for entry in fs::read_dir(&dir).unwrap() {
        let file = entry.unwrap().path();
        let bytes = fs::read(&file).unwrap();
        if let Err(panic) = std::panic::catch_unwind(|| check(&bytes)) {
            panic!("{}: {panic:?}", file.display());
        }
        count += 1;
    }
    assert!(count > 0, "{} is empty", dir.display());
}

#[test]
fn bootstraps_of_version_5() {
    run("rafs_v5", rafs_v5::check);
}

#[test]
fn bootstraps_of_version_6() {
    run("rafs_v6", rafs_v6::check);
}

#[test]
fn metadata_of_blobs() {
    run("blob_meta", blob_meta::check);
}

#[test]
fn swept_trees() {
    run("tree", tree::check);
    // Entries enough that everything meets everything.
    let mut state = 7_u64;
    for length in 1..600 {
        let bytes: Vec<u8> = (0..length * 4)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8
            })
            .collect();
        tree::check(&bytes);
    }
}

#[test]
fn zran_tables() {
    run("zran", zran::check);
}

#[test]
fn saved_layers() {
    run("saved_layer", saved_layer::check);
}
