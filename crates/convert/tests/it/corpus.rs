//! What the fuzzer found worth keeping, run without it.

use std::fs;
use std::path::Path;

#[path = "../../../../fuzz/src/dictionary.rs"]
mod dictionary;
#[path = "../../../../fuzz/src/foreign_chunks.rs"]
mod foreign_chunks;

/// Runs `check` over every file of a target's corpus.
fn run(target: &str, check: fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut count = 0;
    for entry in fs::read_dir(&dir).unwrap() {
        let file = entry.unwrap().path();
        let bytes = fs::read(&file).unwrap();
        assert!(std::panic::catch_unwind(|| check(&bytes)).is_ok(), "{}", file.display());
        count += 1;
    }
    assert!(count > 0, "{} is empty", dir.display());
}

#[test]
fn lists_of_chunks_of_other_blobs() {
    run("foreign_chunks", foreign_chunks::check);
}

#[test]
fn chunk_dictionaries() {
    run("dictionary", dictionary::check);
}
