//! Writing documents.

use super::error::{ImageError, MAX_CONFIG, MAX_MANIFEST};
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
