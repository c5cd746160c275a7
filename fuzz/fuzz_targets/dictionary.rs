//! Chunk dictionaries: any bytes, and what they offer is what they say.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../src/dictionary.rs"]
mod property;

fuzz_target!(|bytes: &[u8]| property::check(bytes));
