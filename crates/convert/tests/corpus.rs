//! What the fuzzer found worth keeping, run without it.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

#[path = "../../../fuzz/src/foreign_chunks.rs"]
mod foreign_chunks;

#[test]
fn lists_of_chunks_of_other_blobs() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/foreign_chunks");
    let mut count = 0;
    for entry in fs::read_dir(&dir).unwrap() {
        let file = entry.unwrap().path();
        let bytes = fs::read(&file).unwrap();
        let checked = std::panic::catch_unwind(|| foreign_chunks::check(&bytes));
        assert!(checked.is_ok(), "{}", file.display());
        count += 1;
    }
    assert!(count > 0, "{} is empty", dir.display());
}
