//! Data blobs: one object that holds the chunks of a layer, what readers need to find them, and the layer's bootstrap.
//!
//! ```text
//!   chunks, back to back                 │ image.blob header        512
//!   CI entries (zstd) ‖ CI header (4096) │ blob.meta header         512
//!   chunk digests, 32 bytes each         │ blob.digest header       512
//!   further sections, if any             │ their headers            512 each
//!   bootstrap (zstd)                     │ image.boot header        512
//!   table of contents, 128 bytes each    │ rafs.blob.toc header     512
//! ```
//! Headers are GNU tar headers and stand behind what they describe, so a blob can be written in one pass into a
//! pipe, and is read from its end. A layer without chunks has no `image.blob`, `blob.meta` and `blob.digest`.
//!
//! Blobs of RAFS v5 have chunks, further sections and the bootstrap, nothing else, and only chunks are compressed.

mod chunks;
mod error;
mod inflate;
mod information;
mod options;
mod reader;
mod referred;
mod referring;
mod section_reader;
mod sections;
mod source;
mod stream;
mod tail;
mod verify;
mod writer;

pub use chunks::ChunkSource;
pub(crate) use chunks::{Place, length_of};
pub use error::{BlobError, ChunkError};
pub(crate) use inflate::Inflating;
pub use options::BlobOptions;
pub use reader::{BlobMeta, BlobReader};
pub use referred::Referred;
pub use referring::{OriginalLayer, Referring, write_referring};
pub use section_reader::SectionReader;
pub use sections::Section;
pub use source::ReadAt;
pub use stream::WriteError;
pub use tail::{BlobTail, FinishedBlob};
pub use verify::Verified;
pub use writer::BlobWriter;
pub(crate) use writer::Unit;
