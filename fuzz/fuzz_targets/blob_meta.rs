//! Blob metadata: section headers, tables of contents, and chunk information from any bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../src/blob_meta.rs"]
mod property;

fuzz_target!(|bytes: &[u8]| property::check(bytes));
