//! Any bytes as entries of a layer.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../src/tree.rs"]
mod property;

fuzz_target!(|bytes: &[u8]| property::check(bytes));
