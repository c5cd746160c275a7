//! What is kept for the exact way back: one record per layer in its blob, one per image beside the bootstrap.
//!
//! ```text
//!   blob of a layer   chunks … │ layer.replay: LayerRecord │ [layer.original] │ [layer.foreign] │ [layer.chunks] │ image.boot
//!   bootstrap layer   image/image.boot, image/image.origin: Origin, [image/image.layers: LayerRecord …]
//!   manifest          annotation REPLAY = version of the records
//! ```
//! Blobs that are plain tars (tarfs) have no sections: the records of their layers are beside the bootstrap.
//!
//! All come back from registries, so nothing in them is believed: lengths are capped by what is there, and whatever
//! is rebuilt is compared with the digests of the original.

mod bytes;
pub(crate) mod chunk_records;
pub mod foreign_chunks;
mod layer_record;
pub(crate) mod layer_records;
mod origin;

pub(crate) use layer_record::{LayerRecord, MAX_RECIPES, Stored, Trust};
pub(crate) use origin::{Origin, OriginIndex};

use thiserror::Error;

/// Manifest annotation of an image with records: [`VERSION`] of them.
pub(crate) const REPLAY: &str = "io.nydus-convert.replay";
/// Version of both records.
pub(crate) const VERSION: u32 = 1;
/// Section of a blob stream with the layer's record.
pub(crate) const LAYER_SECTION: &str = "layer.replay";
/// Section of a blob stream with the layer as it was, where nothing shorter gives it back.
pub(crate) const ORIGINAL_SECTION: &str = "layer.original";
/// Section of a blob stream of RAFS v5 with the chunks that no file refers to, where there are any.
pub(crate) const CHUNKS_SECTION: &str = "layer.chunks";

/// Section of a blob stream with the chunks of other blobs that the layer uses, where there are any.
pub(crate) const FOREIGN_SECTION: &str = "layer.foreign";

/// A record that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RecordError {
    /// It begins otherwise.
    #[error("this is no {what}")]
    NotARecord {
        /// What was expected.
        what: &'static str,
    },
    /// Made by a later program.
    #[error("a {what} of version {version}; this program knows {VERSION}")]
    Version {
        /// What it is.
        what: &'static str,
        /// Its version.
        version: u32,
    },
    /// It ends too early, or holds what no writer puts there.
    #[error("the {what} is damaged at {field}")]
    Damaged {
        /// What it is.
        what: &'static str,
        /// Where.
        field: &'static str,
    },
    /// Unpacked it would be larger than any real one.
    #[error("the {what} unpacks to more than {limit} bytes")]
    TooLarge {
        /// What it is.
        what: &'static str,
        /// The limit in bytes.
        limit: u64,
    },
}
