//! Bytes ⇄ chunks: hash, deduplicate, compress, and the data blobs that hold the result.
//!
//! ```text
//!   Buffers ─► Group ─► pack(Pool, PackOptions) ─► BlobWriter ─► BlobTail ─► FinishedBlob
//!                                                                                 │
//!                          read_chunk, bootstrap, section, verify ◄─ BlobReader ◄─┘
//! ```
//! [`ordered`] is the one parallel primitive, for all pipelines of a process; nothing here depends on the number of
//! its threads.

#![deny(unsafe_code)]
#![deny(missing_docs)]

mod blob;
mod buffer;
mod compression;
mod group;
pub mod ordered;
mod pack;
mod seen;
mod sha256;
mod worker;

pub use blob::{
    BlobError, BlobMeta, BlobReader, BlobTail, BlobWriter, ChunkError, FinishedBlob, ReadAt, Section,
    Verified, WriteError,
};
pub use buffer::Buffers;
pub use compression::{Compression, CompressionError, ZstdLevel};
pub use group::Group;
pub use pack::{PackError, PackOptions, Packing, pack};
pub use worker::Worker;
