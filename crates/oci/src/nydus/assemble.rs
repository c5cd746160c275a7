//! Config, manifest and index of a Nydus image, made from those of its source. Everything here is a function
//! of its arguments.

use serde_json::{Value, json};

use crate::descriptor::{Annotations, Blob, Descriptor};
use crate::digest::{DiffId, Digest};
use crate::image::{Config, Format, Index, Manifest};
use crate::platform::Platform;

use super::{
    BLOB, BLOB_MEDIA_TYPE, BOOTSTRAP, BUILDER_VERSION, FS_VERSION, FsVersion, HISTORY_COMMENT,
    HISTORY_CREATED_BY, SOURCE_DIGEST, SOURCE_REFERENCE, StoredBootstrap,
};

/// The descriptor of a data blob.
pub fn blob_descriptor(blob: Blob) -> Descriptor {
    blob.descriptor(BLOB_MEDIA_TYPE).annotated(BLOB, "true")
}

/// The descriptor of a bootstrap layer.
pub fn bootstrap_descriptor(format: Format, bootstrap: Blob, fs_version: FsVersion) -> Descriptor {
    bootstrap
        .descriptor(format.layer_gzip())
        .annotated(BOOTSTRAP, "true")
        .annotated(FS_VERSION, fs_version.name())
}

/// The config of a Nydus image: the source's, with one diff id for each layer (a blob's is its digest: it
/// counts as uncompressed) and one history entry more, for the bootstrap.
pub fn config(source: &Config, blobs: &[Blob], bootstrap: &StoredBootstrap) -> Config {
    let diff_ids = blobs.iter().map(|blob| DiffId(blob.digest)).chain([bootstrap.diff_id]).collect();
    let entry = json!({ "created_by": HISTORY_CREATED_BY, "comment": HISTORY_COMMENT });
    let history: Vec<Value> = source.history().iter().cloned().chain([entry]).collect();
    source.with_layers(diff_ids, history)
}

/// What the manifest of a Nydus image is made from.
#[derive(Debug, Clone)]
pub struct ManifestParts<'a> {
    /// The source's manifest: its format and annotations stay.
    pub source: &'a Manifest,
    /// The source manifest's digest.
    pub source_digest: Digest,
    /// Where the source was read from, if that is to be recorded.
    pub source_reference: Option<&'a str>,
    /// The new config.
    pub config: Descriptor,
    /// The data blobs, in order: one for each source layer, then those of dictionaries.
    pub blobs: Vec<Descriptor>,
    /// The bootstrap layer.
    pub bootstrap: Descriptor,
    /// The file system.
    pub fs_version: FsVersion,
    /// What made the image, if that is to be recorded.
    pub builder_version: Option<&'a str>,
    /// Type of artifact in the manifest itself. Ordinary images have none; Docker manifests cannot have one.
    pub artifact_type: Option<&'a str>,
    /// The manifest this one refers to; its platform is left out.
    pub subject: Option<Descriptor>,
    /// The user's annotations: they win over all others.
    pub annotations: Annotations,
}

impl ManifestParts<'_> {
    /// Puts the manifest together. Fields of the source manifest that are not known here are left behind:
    /// nobody knows whether they would be true of another image.
    pub fn assemble(self) -> Manifest {
        let format = self.source.format;
        let mut annotations = self.source.annotations.clone();
        let mut annotate = |key: &str, value: String| annotations.insert(key.to_owned(), value);
        annotate(FS_VERSION, self.fs_version.to_string());
        annotate(SOURCE_DIGEST, self.source_digest.to_string());
        if let Some(reference) = self.source_reference {
            annotate(SOURCE_REFERENCE, reference.to_owned());
        }
        if let Some(version) = self.builder_version {
            annotate(BUILDER_VERSION, version.to_owned());
        }
        annotations.extend(self.annotations);
        let mut layers = self.blobs;
        layers.push(self.bootstrap);
        Manifest {
            format,
            artifact_type: self.artifact_type.filter(|_| format == Format::Oci).map(str::to_owned),
            config: self.config,
            layers,
            subject: self.subject.map(|subject| Descriptor { platform: None, ..subject }),
            annotations,
            other: serde_json::Map::new(),
        }
    }
}

/// The entry for a converted image: the new manifest in the place of `source`, its entry in the source's
/// index.
///
/// The source entry's annotations and platform stay; where it has no platform, `platform` (the config's) is
/// filled in.
///
/// `artifact_type` is [`ARTIFACT_TYPE`](super::ARTIFACT_TYPE) where the index holds OCI variants beside the
/// Nydus ones: clients tell them apart by it. In an index of Nydus images alone it says nothing, and the
/// skopeo of current distributions (1.9) cannot copy an index with it unchanged. Docker manifest lists have
/// no field for it.
pub fn index_entry(
    format: Format,
    source: &Descriptor,
    manifest: Blob,
    platform: Platform,
    artifact_type: Option<&str>,
) -> Descriptor {
    let mut entry = manifest.descriptor(format.manifest());
    entry.annotations = source.annotations.clone();
    entry.platform = Some(source.platform.clone().unwrap_or(platform));
    entry.artifact_type = artifact_type.filter(|_| format == Format::Oci).map(str::to_owned);
    entry
}

/// What the index of a Nydus image is made from.
#[derive(Debug, Clone)]
pub struct IndexParts<'a> {
    /// The source's index: its format and annotations stay.
    pub source: &'a Index,
    /// The entries, in order: [`index_entry`] of what was converted, and what is carried along as it is.
    pub entries: Vec<Descriptor>,
    /// The user's annotations: they win over the source's. Docker manifest lists cannot have any.
    pub annotations: Annotations,
}

impl IndexParts<'_> {
    /// Puts the index together. Unknown fields of the source index are left behind, as with manifests.
    pub fn assemble(self) -> Index {
        let format = self.source.format;
        let mut annotations = self.source.annotations.clone();
        if format == Format::Oci {
            annotations.extend(self.annotations);
        }
        Index {
            format,
            artifact_type: None,
            manifests: self.entries,
            unreadable: Vec::new(),
            subject: None,
            annotations,
            other: serde_json::Map::new(),
        }
    }
}
