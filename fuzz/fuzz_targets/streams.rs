//! Any bytes as a gzip or zstd stream.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nydus_convert::oci;

#[path = "../src/streams.rs"]
mod property;

fuzz_target!(|bytes: &[u8]| property::check(bytes));
