//! One suite over every implementation of the chunk store, and what only the one in a directory must stand: several
//! processes, kills, full disks, a damaged index.
// Test code: a panic is how a test reports.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod damaged_index;
mod disks;
mod forms;
mod images;
mod index;
mod layers;
mod objects;
mod place;
mod processes;
mod prune;
mod resolve;
mod threads;
mod verify;
