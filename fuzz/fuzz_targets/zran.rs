//! Zran tables from any bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../src/zran.rs"]
mod property;

fuzz_target!(|bytes: &[u8]| property::check(bytes));
