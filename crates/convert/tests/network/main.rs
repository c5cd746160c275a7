//! Tests against registries on loopback, real ones and one that misbehaves.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod field;
mod mirrors;
mod registry;
mod registry_faults;
