//! OCI layer tars: bytes ⇄ entries.
//!
//! [`LayerReader`] reads a layer as a stream: every legal tar, whoever wrote it, becomes a sequence of [`Entry`]s with
//! their content; hostile ones become errors that say where. What counts as legal, and what it means, is what the
//! programs that unpack images decide: Go's `archive/tar` (containerd, Docker, podman, umoci), then GNU tar.
//! The raw bytes that are not content, which exact replay needs, can be watched through a [`Tape`].
//!
//! ```text
//! source ─► blocks ──────────────► reader ─► assemble ─► Entry
//!             │ every byte, once     │ header, pax (xattr), sparse, number
//!             ▼                      └─► content, holes expanded
//!            Tape ◄── record::Recorder ─► record ─► the same tar again
//! ```
//! Dialects: V7, ustar, star's prefix, GNU (long names, base-256, old sparse), PAX (local, global, sparse 0.0 to 1.0,
//! xattrs in both spellings). The `tar` crate is not used: its number and PAX accessors lose negative times and binary
//! values, and the framing is needed raw anyway.

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
