//! What the fuzzer found worth keeping, run without it.
// Test code: a panic is how a test reports.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use nydus_convert_oci as oci;

#[path = "../../../fuzz/src/archive.rs"]
mod archive;

#[path = "../../../fuzz/src/documents.rs"]
mod documents;

#[path = "../../../fuzz/src/streams.rs"]
mod streams;

/// Runs `check` over every file of a target's corpus.
fn run(target: &str, check: fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut count = 0;
    for entry in fs::read_dir(&dir).unwrap() {
        let file = entry.unwrap().path();
        let bytes = fs::read(&file).unwrap();
        let checked = std::panic::catch_unwind(|| check(&bytes));
        assert!(checked.is_ok(), "{}", file.display());
        count += 1;
    }
    assert!(count > 0, "{} is empty", dir.display());
}

#[test]
fn archives() {
    run("archive", archive::check);
}

#[test]
fn manifests_indexes_and_configs() {
    run("documents", documents::check);
}

#[test]
fn compressed_streams() {
    run("streams", streams::check);
}
