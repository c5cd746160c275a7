#![doc = include_str!("../README.md")]
//!
//! # The way of the bytes
//! [`LayerReader`] gives a sequence of [`Entry`]s with their content; what is hostile becomes an error that says where. What
//! counts as legal, and what it means, is what the programs that unpack images decide: Go's `archive/tar` (containerd, Docker,
//! podman, umoci), then GNU tar. The raw bytes that are not content, which exact replay needs, can be watched through a
//! [`Tape`].
//!
//! ```text
//! source ─► blocks ──────────────► reader ─► assemble ─► Entry
//!             │ every byte, once     │ header, pax (xattr), sparse, number
//!             ▼                      └─► content, holes expanded
//!            Tape ◄── record::Recorder ─► record ─► the same tar again
//! ```
//! Dialects: V7, ustar, star's prefix, GNU (long names, base-256, old sparse), PAX (local, global, sparse 0.0 to 1.0,
//! xattrs in both spellings).

mod assemble;
mod blocks;
mod content;
mod entry;
mod error;
mod header;
pub mod limits;
mod number;
mod pax;
mod reader;
pub mod record;
mod sparse;
mod sparse_map;
mod tape;
mod writer;
mod xattr;

pub use entry::{Entry, EntryKind};
pub use error::{Field, LayerError, NameError, Place, SparseError};
pub use reader::{Item, LayerReader};
pub use tape::{BLOCK, Tape};
pub use writer::{LayerPlan, LayerTar, LayerWriteError, LayerWriter, Misfit, Whiteouts};
