//! Manifests, indexes and configs: any bytes as one, whatever their type is said to be.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nydus_convert::oci;

#[path = "../src/documents.rs"]
mod property;

fuzz_target!(|bytes: &[u8]| property::check(bytes));
