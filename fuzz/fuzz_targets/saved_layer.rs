//! Saved layers, blobs and chunks from any bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../src/saved_layer.rs"]
mod property;

fuzz_target!(|bytes: &[u8]| property::check(bytes));
