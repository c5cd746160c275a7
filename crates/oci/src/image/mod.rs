//! Manifests, indexes and configs: parsed without losing anything, classified, checked against each other.
//!
//! [`ManifestKind`] says what some JSON is; [`Manifest`], [`Index`] and [`Config`] are what it holds.

mod config;
mod error;
mod index;
mod kind;
mod manifest;
mod outline;
#[cfg(test)]
mod tests;
mod unsupported;

pub use config::{Config, check_layers};
pub use error::{ImageError, MAX_CONFIG, MAX_MANIFEST};
pub use index::{EntryKind, Index, UnreadableEntry};
pub use kind::ManifestKind;
pub use manifest::{Format, Manifest};
pub use unsupported::{LayerAt, UnsupportedImage};

use crate::descriptor::Descriptor;
use crate::error::Error;
use crate::sink::Sink;
use crate::transfer::is_manifest;

/// Writes a manifest, index or config.
///
/// # Errors
/// One that is larger than anybody reads, and the sink's.
pub fn put(sink: &dyn Sink, media_type: &str, bytes: &[u8]) -> Result<Descriptor, Error> {
    let (what, limit) =
        if is_manifest(media_type) { ("manifest", MAX_MANIFEST) } else { ("config", MAX_CONFIG) };
    let size = bytes.len() as u64;
    if size > limit {
        return Err(ImageError::TooLarge { what, size, limit }.into());
    }
    sink.put(media_type, bytes)
}
