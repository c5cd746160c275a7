//! What is wrong with a manifest, index or config.

use std::fmt;

use thiserror::Error;

use super::unsupported::UnsupportedImage;
use crate::digest::Digest;
use crate::kind::ErrorKind;

/// Bytes of a manifest or index that are read: what registries and other clients take at most (4 MiB in the
/// distribution project, containerd and skopeo). An image of 10,000 layers fits.
pub const MAX_MANIFEST: u64 = 4 << 20;

/// Bytes of a config that are read. To registries a config is a blob like any other; twice the size of a
/// manifest leaves room for histories that hold whole scripts, and one parsed config still takes less memory
/// than a layer's window.
pub const MAX_CONFIG: u64 = 8 << 20;

/// What is wrong with a manifest, index or config.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ImageError {
    /// Not JSON, or not of the shape its media type demands.
    #[error("{}is malformed", subject(digest))]
    Malformed {
        /// Digest of the JSON, where known.
        digest: Option<Digest>,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A field that must be there is not.
    #[error("the {what} has no \"{field}\"")]
    MissingField {
        /// Manifest, index or config.
        what: &'static str,
        /// The field.
        field: &'static str,
    },
    /// Larger than is read.
    #[error("the {what} has {size} bytes; at most {limit} are read")]
    TooLarge {
        /// Manifest, index or config.
        what: &'static str,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// A manifest that is an index as well, or the like: two clients could see two different images.
    #[error("it is a \"{media_type}\" but has a field \"{field}\": its meaning is ambiguous")]
    Ambiguous {
        /// Media type, escaped.
        media_type: String,
        /// The field that does not belong there.
        field: &'static str,
    },
    /// A schema version that does not exist.
    #[error("schema version {version} is unknown")]
    SchemaVersion {
        /// The version.
        version: u64,
    },
    /// The manifest and the config disagree about the number of layers.
    #[error("the manifest has {layers} layers, the config {diff_ids} diff ids")]
    LayerCount {
        /// Layers of the manifest.
        layers: usize,
        /// Diff ids of the config.
        diff_ids: usize,
    },
    /// Indexes inside indexes, too many of them.
    #[error("indexes are nested more than {limit} deep")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// Understood, but nothing that can be converted.
    #[error(transparent)]
    Unsupported(#[from] UnsupportedImage),
}

impl ImageError {
    /// What sort of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Malformed { .. }
            | Self::MissingField { .. }
            | Self::Ambiguous { .. }
            | Self::LayerCount { .. } => ErrorKind::Verification,
            Self::TooLarge { .. } | Self::TooDeep { .. } => ErrorKind::ResourceLimit,
            Self::SchemaVersion { .. } | Self::Unsupported(_) => ErrorKind::Unsupported,
        }
    }
}

fn subject(digest: &Option<Digest>) -> impl fmt::Display {
    digest.map_or("the JSON ".to_owned(), |digest| format!("{digest} "))
}
