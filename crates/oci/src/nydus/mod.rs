//! How a Nydus image looks in OCI form.
//!
//! ```text
//! manifest ── config   the source's, with other diff ids and one history entry more
//!          └─ layers   blob(layer 1) … blob(layer n)  [blobs of dictionaries …]  bootstrap
//!                      BLOB_MEDIA_TYPE, annotated BLOB                          tar+gzip, annotated BOOTSTRAP
//! ```
//! Names and values are those of the converter library of the containerd snapshotter; the snapshotter, the
//! daemon and the command line tools find an image by them.

mod assemble;
mod bootstrap;
#[cfg(test)]
mod tests;
mod unassemble;
mod variants;

use std::fmt;

pub use assemble::{IndexParts, ManifestParts, blob_descriptor, bootstrap_descriptor, config, index_entry};
pub use bootstrap::{Bootstrap, BootstrapError, BootstrapWriter, StoredBootstrap, read_bootstrap};
pub use unassemble::{LayerStorage, plain_annotations, plain_config, plain_index, plain_manifest};
pub use variants::{EMPTY_TAR, has_nydus, is_variant, variant_config, variant_manifest};

/// Media type of data blobs, in OCI and in Docker manifests (converter, `MediaTypeNydusBlob`).
pub const BLOB_MEDIA_TYPE: &str = "application/vnd.oci.image.layer.nydus.blob.v1";
/// Artifact type of Nydus entries in an index (converter, `ArtifactTypeNydusImageManifest`).
pub const ARTIFACT_TYPE: &str = "application/vnd.nydus.image.manifest.v1+json";
/// Media type of the config of a Nydus image that shares an index with its OCI variant: plain clients skip
/// the entry (converter).
pub const CONFIG_MEDIA_TYPE: &str = "application/vnd.nydus.image.config.v1+json";
/// `os.features` value that marked Nydus entries before artifact types did (converter before 2.3.5).
pub(crate) const LEGACY_OS_FEATURE: &str = "nydus.remoteimage.v1";

/// Layer annotation: this is a data blob; do not download it. Value `true` (snapshotter, `NydusDataLayer`).
pub const BLOB: &str = "containerd.io/snapshot/nydus-blob";
/// Layer annotation: this is the bootstrap. Value `true` (snapshotter, `NydusMetaLayer`).
pub const BOOTSTRAP: &str = "containerd.io/snapshot/nydus-bootstrap";
/// Layer and manifest annotation: version of the file system, `5` or `6` (converter, checker).
pub const FS_VERSION: &str = "containerd.io/snapshot/nydus-fs-version";
/// Layer annotation of images that reference their source's gzip layers: digest of that layer (converter,
/// snapshotter).
pub const REFERENCE_LAYER: &str = "containerd.io/snapshot/nydus-ref";
/// Manifest annotation: digest of the source manifest (converter).
pub const SOURCE_DIGEST: &str = "containerd.io/snapshot/nydus-source-digest";
/// Manifest annotation: the reference the source was read from (converter).
pub const SOURCE_REFERENCE: &str = "containerd.io/snapshot/nydus-source-reference";
/// Manifest annotation: what made the image (converter).
pub const BUILDER_VERSION: &str = "containerd.io/snapshot/nydus-builder-version";

/// Where the bootstrap is in its layer (converter; the snapshotter looks there first).
pub(crate) const BOOTSTRAP_PATH: &str = "image/image.boot";
/// Where it is in images of early tools (snapshotter, second choice).
pub(crate) const LEGACY_BOOTSTRAP_PATH: &str = "image.boot";
/// Where our own record of the source image is, behind the bootstrap: readers of others stop before it.
pub const ORIGIN_PATH: &str = "image/image.origin";
/// Where our own records of the layers are, if the blobs have no place for them.
pub const LAYERS_PATH: &str = "image/image.layers";

/// `created_by` of the bootstrap layer's history entry (converter).
pub(crate) const HISTORY_CREATED_BY: &str = "Nydus Converter";
/// Layer annotation: the empty layer of an image beside its Nydus variant. Value `true` (converter).
pub(crate) const EMPTY_LAYER: &str = "containerd.io/snapshot/nydus-empty-layer";
/// `comment` of that layer's history entry (converter).
pub(crate) const EMPTY_LAYER_COMMENT: &str = "Nydus Empty Layer";
/// `comment` of the bootstrap layer's history entry (converter; its way back recognises the entry by this).
pub(crate) const HISTORY_COMMENT: &str = "Nydus Bootstrap Layer";

/// The file system in an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FsVersion {
    /// RAFS v5.
    V5,
    /// RAFS v6 (EROFS).
    V6,
}

impl FsVersion {
    /// The annotation's value.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::V5 => "5",
            Self::V6 => "6",
        }
    }
}

impl fmt::Display for FsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
