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
fn zran_tables() {
    run("zran", zran::check);
}

#[test]
fn saved_layers() {
    run("saved_layer", saved_layer::check);
}
