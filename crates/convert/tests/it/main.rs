//! Tests that need nothing but the program itself; a test here that can use a tool of the machine says so when it skips.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod bad_input;
mod batches;
mod completions;
mod corpus;
mod determinism;
mod dumps;
mod field;
mod inspect;
mod layer_verbs;
mod main_road;
mod odd_tars;
mod odd_way_back;
mod prefetch;
mod store;
mod store_cli;
mod store_damage;
mod store_house;
mod tarfs;
mod to_oci;
