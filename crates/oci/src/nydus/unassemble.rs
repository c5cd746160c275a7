//! The other way: config, manifest and index of a plain image from those of a Nydus image that does not remember what
//! it was made from.

use serde_json::{Value, json};

use crate::descriptor::{Annotations, Descriptor};
use crate::digest::DiffId;
use crate::image::{Config, Format, Index, Manifest};
use crate::media_type;

use super::HISTORY_COMMENT;

/// Annotations that speak of a Nydus image, by the beginning of their keys: the snapshotter's and our own.
const NYDUS_ANNOTATIONS: [&str; 2] = ["containerd.io/snapshot/nydus-", "io.nydus-convert."];

/// `created_by` of history entries for layers that no entry of the image speaks of.
const HISTORY_REBUILT_BY: &str = "nydus-convert to-oci";

/// The config without what conversion added, and with the diff ids of the layers made anew.
pub fn plain_config(nydus: &Config, diff_ids: Vec<DiffId>) -> Config {
    let is_ours = |entry: &Value| entry.get("comment").and_then(Value::as_str) == Some(HISTORY_COMMENT);
    let history = nydus.history().iter().filter(|entry| !is_ours(entry)).cloned().collect();
    let history = fit_history(history, diff_ids.len());
    nydus.with_layers(diff_ids, history)
}

/// A history of as many layers: entries are added for those that it does not speak of, and entries of others say that
/// they made none. A history that speaks of no layer stays as it is: it is optional.
fn fit_history(mut history: Vec<Value>, layers: usize) -> Vec<Value> {
    let is_layer = |entry: &Value| !entry.get("empty_layer").and_then(Value::as_bool).unwrap_or(false);
    let spoken_of = history.iter().filter(|entry| is_layer(entry)).count();
    if spoken_of == 0 {
        return history;
    }
    for entry in history.iter_mut().filter(|entry| is_layer(entry)).skip(layers) {
        if let Some(entry) = entry.as_object_mut() {
            entry.insert("empty_layer".to_owned(), Value::Bool(true));
        }
    }
    let missing = layers.saturating_sub(spoken_of);
    history.extend((0..missing).map(|_| json!({ "created_by": HISTORY_REBUILT_BY })));
    history
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
        unreadable: Vec::new(),
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
    /// Compressed with gzip.
    Gzip,
    /// Compressed with zstd.
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

    fn config(history: Value) -> Config {
        let ids = [json!(format!("sha256:{}", "1".repeat(64)))];
        let config =
            json!({ "os": "linux", "rootfs": { "type": "layers", "diff_ids": ids }, "history": history });
        Config::parse(config.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn history_fits_the_layers() {
        let ours = json!({ "created_by": "Nydus Converter", "comment": HISTORY_COMMENT });
        let id = || format!("sha256:{}", "2".repeat(64)).parse().unwrap();
        let fitted = |history: Value, layers: usize| {
            let config = plain_config(&config(history), (0..layers).map(|_| id()).collect());
            assert_eq!(config.diff_ids().len(), layers);
            Value::from(config.history())
        };
        let (a, b, none) = (json!({ "created_by": "a" }), json!({}), json!({ "empty_layer": true }));
        let two = || json!([a, none, b, ours]);
        assert_eq!(fitted(two(), 2), json!([a, none, b]));
        let empty = json!({ "created_by": "a", "empty_layer": true });
        assert_eq!(fitted(two(), 1), json!([a, none, none]));
        assert_eq!(fitted(two(), 0), json!([empty, none, none]));
        let made = json!({ "created_by": HISTORY_REBUILT_BY });
        assert_eq!(fitted(two(), 4), json!([a, none, b, made, made]));
        assert_eq!(fitted(json!([none, ours]), 3), json!([none]));
        assert_eq!(fitted(json!([]), 3), json!([]));
    }

    #[test]
    fn annotations_of_others_stay() {
        let all = ["containerd.io/snapshot/nydus-fs-version", "io.nydus-convert.replay", "org.example"];
        let all: Annotations = all.iter().map(|key| ((*key).to_owned(), String::new())).collect();
        assert_eq!(plain_annotations(&all).into_keys().collect::<Vec<_>>(), ["org.example"]);
    }
}
