//! What the integration tests share: real tools, real images, and a way to compare trees.
//!
//! An integration test says `mod support;`. A test that needs tools of the machine opens with
//! `support::require!("skopeo", "umoci");`: without them it prints a SKIP line and passes, except where the
//! environment says `CI=true`; there it fails.

// Every test binary compiles all of this and uses a part.
#![allow(dead_code, unused_imports, unused_macros)]
// Test code: a panic is how a test reports.
#![allow(clippy::unwrap_used)]

pub mod certificates;
pub mod cli;
pub mod containerd;
pub mod converter;
pub mod debian;
pub mod encoders;
pub mod faults;
pub mod go;
pub mod library;
pub mod measured;
pub mod mock;
pub mod noise;
pub mod nydus;
pub mod nydusd;
pub mod oci;
pub mod referring;
pub mod registry;
pub mod sections;
pub mod store;
pub mod tars;
pub mod tools;
pub mod tree;
pub mod umoci;

use std::path::{Path, PathBuf};

pub(crate) use containerd::require_containerd;
pub(crate) use tools::require;

/// The directory `fixtures/` of the repository.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

/// SHA-256 of `bytes` in lower-case hex, 64 characters.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&<sha2::Sha256 as sha2::Digest>::digest(bytes))
}

/// Lower-case hex, two characters a byte.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
