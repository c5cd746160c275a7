//! Any bytes as a deflate stream, and as a gzip stream to recognise: no panic, and what is recognised is made again.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../src/recompress_inflate.rs"]
mod property;

fuzz_target!(|bytes: &[u8]| property::check(bytes));
