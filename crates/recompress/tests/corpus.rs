//! What the fuzzer found worth keeping, run without it.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

#[path = "../../../fuzz/src/recompress_inflate.rs"]
mod recompress_inflate;
#[path = "../../../fuzz/src/recompress_recipe.rs"]
mod recompress_recipe;

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
fn streams() {
    run("recompress_inflate", recompress_inflate::check);
}

#[test]
fn recipes() {
    run("recompress_recipe", recompress_recipe::check);
}
