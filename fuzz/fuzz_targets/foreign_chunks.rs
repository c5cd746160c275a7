//! Any bytes as a list of chunks of other blobs.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../src/foreign_chunks.rs"]
mod property;

fuzz_target!(|bytes: &[u8]| property::check(bytes));
