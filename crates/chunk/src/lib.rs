#![doc = include_str!("../README.md")]
//!
//! # The way of the bytes
//! ```text
//!   Buffers ─► Group ─► pack(Pool, PackOptions) ─► BlobWriter ─► BlobTail ─► FinishedBlob
//!                                                                                 │
//!                          read_chunk, bootstrap, section, verify ◄─ BlobReader ◄─┘
//!   PlainChunks ◄─ read_ahead(Pool) ◄─ Requests ◄─ ChunkSource ◄─ chunks_of ─┘
//! ```
//! [`ordered`] is the one parallel primitive, for all pipelines of a process; nothing here depends on the number of
//! its threads.

mod batcher;
mod blob;
mod buffer;
mod candidates;
mod cipher;
mod compression;
mod foreign;
mod group;
pub mod ordered;
mod pack;
mod packing;
mod read_ahead;
mod refer;
mod seen;
mod sha256;
pub mod store;
mod worker;

pub use blob::{
    BlobError, BlobMeta, BlobOptions, BlobReader, BlobTail, BlobWriter, ChunkError, ChunkSource,
    FinishedBlob, OriginalLayer, ReadAt, Referred, Referring, Section, SectionReader, Verified, WriteError,
    write_referring,
};
pub use buffer::Buffers;
pub use candidates::{Candidate, Candidates, Resolved, Saving};
pub use compression::{Compression, CompressionError, ZstdLevel};
pub use foreign::{ChunkLookup, Foreign};
pub use group::Group;
pub use pack::{Others, PackOptions, pack, pack_with};
pub use packing::{PackError, Packing};
pub use read_ahead::{PlainChunk, ReadAhead, Request, read_ahead};
pub use refer::{Numbered, number_chunks};
pub use worker::Worker;
