//! Indexes that hold an image and its Nydus variant: what the image looks like there.
//!
//! ```text
//!   index ─┬─ image, changed     an empty layer below all others      first: clients take the first that fits
//!          ├─ …
//!          └─ its Nydus variant  artifact type, config of its own type: plain clients pass it over
//! ```
//! The empty layer keeps the snapshots of the two apart: a client that puts the Nydus variant in the place of the image
//! must not do so for the same image pulled elsewhere.

use serde_json::json;

use crate::descriptor::{Blob, Descriptor};
use crate::digest::{DiffId, Digest};
use crate::image::{Config, Format, Index, Manifest};
use crate::media_type::{self, DOCKER_LAYER, DOCKER_LAYER_GZIP, DOCKER_LAYER_ZSTD};

use super::{EMPTY_LAYER, EMPTY_LAYER_COMMENT, HISTORY_CREATED_BY, SOURCE_DIGEST};

/// The plain tar of the empty layer: an end, and nothing before it.
pub const EMPTY_TAR: [u8; 1024] = [0; 1024];

/// The config of the image: the empty layer is the lowest.
pub fn variant_config(source: &Config) -> Config {
    let empty = DiffId(Digest::sha256(&EMPTY_TAR));
    let diff_ids = [empty].into_iter().chain(source.diff_ids().iter().copied()).collect();
    let mut history = source.history().to_vec();
    // A history that tells nothing needs no entry for this one.
    if !history.is_empty() {
        history.insert(0, json!({ "created_by": HISTORY_CREATED_BY, "comment": EMPTY_LAYER_COMMENT }));
    }
    source.with_layers(diff_ids, history)
}

/// The manifest of the image, in OCI's form: the Docker form has no annotations for layers.
pub fn variant_manifest(
    source: &Manifest,
    source_digest: Digest,
    config: Blob,
    empty_layer: Blob,
) -> Manifest {
    let empty = empty_layer.descriptor(media_type::OCI_LAYER_GZIP).annotated(EMPTY_LAYER, "true");
    let layers = source.layers.iter().map(|layer| Descriptor {
        media_type: match layer.media_type.as_str() {
            DOCKER_LAYER => media_type::OCI_LAYER,
            DOCKER_LAYER_GZIP => media_type::OCI_LAYER_GZIP,
            DOCKER_LAYER_ZSTD => media_type::OCI_LAYER_ZSTD,
            other => other,
        }
        .to_owned(),
        ..layer.clone()
    });
    let mut annotations = source.annotations.clone();
    annotations.insert(SOURCE_DIGEST.to_owned(), source_digest.to_string());
    Manifest {
        format: Format::Oci,
        artifact_type: source.artifact_type.clone(),
        config: config.descriptor(media_type::OCI_CONFIG),
        layers: [empty].into_iter().chain(layers).collect(),
        subject: source.subject.clone(),
        annotations,
        other: source.other.clone(),
    }
}

/// Whether `entry` of `index` is an image that was put there beside its Nydus variant.
pub fn is_variant(index: &Index, entry: &Descriptor) -> bool {
    entry.annotations.contains_key(SOURCE_DIGEST) && has_nydus(index, entry)
}

/// Whether the image behind `entry` has a Nydus variant in `index`: one for the same platform.
pub fn has_nydus(index: &Index, entry: &Descriptor) -> bool {
    use crate::image::EntryKind;
    EntryKind::of(entry) == EntryKind::Image
        && index.entries().any(|(kind, other)| match (kind, &entry.platform, &other.platform) {
            (EntryKind::Nydus, Some(own), Some(other)) => other.matches(own) && own.matches(other),
            _ => false,
        })
}
