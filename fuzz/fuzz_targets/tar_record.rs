//! Any bytes as a tar come back from their record; any bytes as a record do no harm. The first byte says which.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../src/tar_record.rs"]
mod property;

fuzz_target!(|bytes: &[u8]| property::check(bytes));
