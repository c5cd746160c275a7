//! The test support of the main crate that needs no program of its own.

// This test uses a part of what the main crate's tests share.
#![allow(dead_code, unused_imports, unused_macros)]
// Test code: a panic is how a test reports.
#![allow(clippy::unwrap_used)]

#[path = "../../../crates/convert/tests/support/debian.rs"]
pub mod debian;
#[path = "../../../crates/convert/tests/support/oci.rs"]
pub mod oci;
#[path = "../../../crates/convert/tests/support/tars.rs"]
pub mod tars;
#[path = "../../../crates/convert/tests/support/tools.rs"]
pub mod tools;
#[path = "../../../crates/convert/tests/support/tree.rs"]
pub mod tree;
#[path = "../../../crates/convert/tests/support/umoci.rs"]
pub mod umoci;

use std::path::{Path, PathBuf};

pub(crate) use tools::require;

/// The directory `fixtures/` of the repository.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures")
}

/// SHA-256 of `bytes` in lower-case hex, 64 characters.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&<sha2::Sha256 as sha2::Digest>::digest(bytes))
}

/// Lower-case hex, two characters a byte.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
