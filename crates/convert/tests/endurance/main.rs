//! Tests that take long: files of 4 GiB, two hundred kills.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod memory;
mod store_kills;
