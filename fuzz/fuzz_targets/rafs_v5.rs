//! v5 bootstraps: the reader takes any bytes, and what it accepts can be shown, written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../src/rafs_v5.rs"]
mod property;

fuzz_target!(|bytes: &[u8]| property::check(bytes));
