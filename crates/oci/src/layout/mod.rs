//! OCI image layouts: a directory of blobs and an index.
//!
//! ```text
//! DIR/oci-layout              {"imageLayoutVersion":"1.0.0"}
//! DIR/index.json              an image index; its entries' annotations name the images
//! DIR/blobs/sha256/<hex>      content, named by its digest
//! DIR/.nydus-convert-XXXXXX/  ours: what a run writes before it is published; locked while the run lives
//! DIR/.nydus-convert.lock     ours: held for moments while the layout changes, then removed
//! ```
//! [`LayoutSource`] reads; [`LayoutSink`] writes. Nothing under a final name is ever half-written,
//! `index.json` changes last, and a sink that is not committed leaves no trace.

mod error;
pub(crate) mod find;
pub(crate) mod index;
pub(crate) mod lock;
pub(crate) mod publish;
mod sink;
mod source;
pub(crate) mod staging;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

pub(crate) use error::io_error;
pub use error::{Instead, LAYOUT_VERSION, LayoutError, NoLayout};
pub use sink::LayoutSink;
pub use source::LayoutSource;

use crate::digest::Digest;

/// Annotation that names an image in a layout (image-spec, `annotations.md`).
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Annotation with the full name of an image, which containerd and docker write beside the short one.
pub const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// Bytes of an `index.json` that are read: some 100,000 images.
pub const MAX_INDEX_FILE: u64 = 32 << 20;
/// Bytes of an `oci-layout` that are read.
pub(crate) const MAX_LAYOUT_FILE: u64 = 4 << 10;

/// The common beginning of all names that sinks use for a while inside a layout.
pub(crate) const OWN_PREFIX: &str = ".nydus-convert";

/// `DIR/blobs/<algorithm>/<hex>`. Made of a parsed digest only, so it cannot point elsewhere.
fn blob_path(dir: &Path, digest: &Digest) -> PathBuf {
    dir.join("blobs").join(digest.algorithm().name()).join(digest.hex())
}

/// The bytes of a small file, or none if it does not exist.
fn read_small(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, LayoutError> {
    use std::io::Read as _;
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(io_error("read", path))?,
    };
    if !metadata.is_file() {
        // Opening a fifo would wait for ever.
        return Err(LayoutError::NotAFile { path: path.to_owned() });
    }
    let file = fs::File::open(path).map_err(io_error("read", path))?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(io_error("read", path))?;
    if bytes.len() as u64 > limit {
        return Err(LayoutError::TooLarge { path: path.to_owned(), limit });
    }
    Ok(Some(bytes))
}

/// Whether `dir` has the marker of a layout; an error if its version is not ours.
fn has_marker(dir: &Path) -> Result<bool, LayoutError> {
    let bytes = read_small(&dir.join("oci-layout"), MAX_LAYOUT_FILE)?;
    bytes.map_or(Ok(false), |bytes| check_marker(dir, &bytes).map(|()| true))
}

/// The content of a file `oci-layout` of the layout `place` must name our version.
pub(crate) fn check_marker(place: &Path, bytes: &[u8]) -> Result<(), LayoutError> {
    #[derive(Deserialize)]
    struct Marker {
        #[serde(rename = "imageLayoutVersion")]
        version: String,
    }
    let malformed = |source| LayoutError::Malformed { path: place.join("oci-layout"), source };
    let marker: Marker = serde_json::from_slice(bytes).map_err(malformed)?;
    if marker.version == LAYOUT_VERSION {
        return Ok(());
    }
    let version = crate::text::excerpt(&marker.version);
    Err(LayoutError::UnsupportedVersion { path: place.to_owned(), version })
}

/// The content of a file `oci-layout`.
pub(crate) fn marker() -> String {
    format!(r#"{{"imageLayoutVersion":"{LAYOUT_VERSION}"}}"#)
}
