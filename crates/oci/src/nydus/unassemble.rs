//! The other way: config, manifest and index of a plain image from those of a Nydus image that does not remember what
//! it was made from.

use serde_json::Value;

use crate::descriptor::{Annotations, Descriptor};
use crate::digest::DiffId;
use crate::image::{Config, Format, Index, Manifest};
use crate::media_type;

use super::HISTORY_COMMENT;

/// Annotations that speak of a Nydus image, by the beginning of their keys: the snapshotter's and our own.
const NYDUS_ANNOTATIONS: [&str; 2] = ["containerd.io/snapshot/nydus-", "io.nydus-convert."];

/// The config without what conversion added, and with the diff ids of the layers made anew.
pub fn plain_config(nydus: &Config, diff_ids: Vec<DiffId>) -> Config {
    let is_ours = |entry: &Value| entry.get("comment").and_then(Value::as_str) == Some(HISTORY_COMMENT);
    let history = nydus.history().iter().filter(|entry| !is_ours(entry)).cloned().collect();
    nydus.with_layers(diff_ids, history)
}

/// How many of the blobs of a Nydus image are layers of the image it was made from: the first ones, as many as its
/// history tells of; blobs of dictionaries follow them and have no entry. All of them if the history tells nothing.
pub fn source_layers(nydus: &Config, blobs: usize) -> usize {
    let is_layer = |entry: &&Value| {
        let empty = entry.get("empty_layer").and_then(Value::as_bool).unwrap_or(false);
        !empty && entry.get("comment").and_then(Value::as_str) != Some(HISTORY_COMMENT)
    };
    match nydus.history().iter().filter(is_layer).count() {
        told @ 1.. if told < blobs => told,
        _ => blobs,
    }
}

/// The manifest of the plain image.
pub fn plain_manifest(nydus: &Manifest, config: Descriptor, layers: Vec<Descriptor>) -> Manifest {
    Manifest {
        format: nydus.format,
        artifact_type: None,
        config,
        layers,
        subject: None,
        annotations: plain_annotations(&nydus.annotations),
        other: nydus.other.clone(),
    }
}

/// An index of plain images.
pub fn plain_index(nydus: &Index, manifests: Vec<Descriptor>) -> Index {
    Index {
        format: nydus.format,
        artifact_type: None,
        manifests,
        subject: None,
        annotations: plain_annotations(&nydus.annotations),
        other: nydus.other.clone(),
    }
}

/// Annotations without those that speak of a Nydus image.
pub fn plain_annotations(nydus: &Annotations) -> Annotations {
    let speaks_of_nydus = |key: &str| NYDUS_ANNOTATIONS.iter().any(|prefix| key.starts_with(prefix));
    nydus
        .iter()
        .filter(|(key, _)| !speaks_of_nydus(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// How a layer is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerStorage {
    /// Not compressed.
    Plain,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
}

impl LayerStorage {
    /// The media type of such a layer in a manifest of this format.
    pub const fn media_type(self, format: Format) -> &'static str {
        match (self, format) {
            (Self::Plain, Format::Oci) => media_type::OCI_LAYER,
            (Self::Plain, Format::Docker) => media_type::DOCKER_LAYER,
            (Self::Gzip, _) => format.layer_gzip(),
            (Self::Zstd, Format::Oci) => media_type::OCI_LAYER_ZSTD,
            (Self::Zstd, Format::Docker) => media_type::DOCKER_LAYER_ZSTD,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn config(history: Value) -> Config {
        let ids = [json!(format!("sha256:{}", "1".repeat(64)))];
        let config =
            json!({ "os": "linux", "rootfs": { "type": "layers", "diff_ids": ids }, "history": history });
        Config::parse(config.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn history_tells_which_blobs_are_layers() {
        let ours = json!({ "created_by": "Nydus Converter", "comment": HISTORY_COMMENT });
        let two = config(json!([{ "created_by": "a" }, { "empty_layer": true }, {}, ours]));
        assert_eq!([1, 2, 3, 5].map(|blobs| source_layers(&two, blobs)), [1, 2, 2, 2]);
        let none = config(json!([]));
        assert_eq!([1, 3].map(|blobs| source_layers(&none, blobs)), [1, 3]);
        assert_eq!(plain_config(&two, Vec::new()).history().len(), 3);
    }

    #[test]
    fn annotations_of_others_stay() {
        let all = ["containerd.io/snapshot/nydus-fs-version", "io.nydus-convert.replay", "org.example"];
        let all: Annotations = all.iter().map(|key| ((*key).to_owned(), String::new())).collect();
        assert_eq!(plain_annotations(&all).into_keys().collect::<Vec<_>>(), ["org.example"]);
    }
}
