//! The config of an image: how to run it, how it came about, and the diff ids of its layers.

use serde::Deserialize as _;
use serde_json::{Map, Value};

use crate::descriptor::Descriptor;
use crate::digest::DiffId;
use crate::error::Error;
use crate::platform::Platform;
use crate::source::Source;

use super::manifest::{Manifest, to_json};
use super::{ImageError, MAX_CONFIG};

/// An image config with all its fields, known or not, in their order.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    fields: Map<String, Value>,
    diff_ids: Vec<DiffId>,
}

impl Config {
    /// Parses a config. Without `rootfs` it has no layers.
    pub fn parse(bytes: &[u8]) -> Result<Self, ImageError> {
        let size = bytes.len() as u64;
        if size > MAX_CONFIG {
            return Err(ImageError::TooLarge { what: "config", size, limit: MAX_CONFIG });
        }
        let malformed = |source| ImageError::Malformed { digest: None, source };
        let fields: Map<String, Value> = serde_json::from_slice(bytes).map_err(malformed)?;
        let diff_ids =
            fields.get("rootfs").and_then(|rootfs| rootfs.get("diff_ids")).filter(|ids| !ids.is_null());
        let diff_ids = match diff_ids {
            Some(ids) => Vec::deserialize(ids).map_err(malformed)?,
            None => Vec::new(),
        };
        Ok(Self { fields, diff_ids })
    }

    /// Reads the config that `descriptor` names; the bytes come with it, for those who keep them verbatim.
    pub fn read(source: &dyn Source, descriptor: &Descriptor) -> Result<(Vec<u8>, Self), Error> {
        let bytes = source.read(descriptor, MAX_CONFIG)?;
        let config = Self::parse(&bytes).map_err(|error| match error {
            ImageError::Malformed { source, .. } => {
                ImageError::Malformed { digest: Some(descriptor.digest), source }
            }
            error => error,
        })?;
        Ok((bytes, config))
    }

    /// The diff ids, the lowest layer first.
    pub fn diff_ids(&self) -> &[DiffId] {
        &self.diff_ids
    }

    /// The history, the oldest entry first; empty where there is none.
    pub fn history(&self) -> &[Value] {
        self.fields.get("history").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// All fields, in their order.
    pub fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }

    /// The platform, for descriptors that state none. None where the config has no `os` or `architecture`.
    pub fn platform(&self) -> Option<Platform> {
        let text = |key| self.fields.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let mut platform = Platform::new(text("os")?, text("architecture")?);
        platform.variant = text("variant").map(str::to_owned);
        platform.os_version = text("os.version").map(str::to_owned);
        let features =
            self.fields.get("os.features").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        platform.os_features = features.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        Some(platform)
    }

    /// The same config with other layers: `rootfs.diff_ids` and `history` are replaced in their places,
    /// everything else stays.
    #[must_use]
    pub(crate) fn with_layers(&self, diff_ids: Vec<DiffId>, history: Vec<Value>) -> Self {
        let mut fields = self.fields.clone();
        let ids = diff_ids.iter().map(|id| Value::String(id.to_string())).collect();
        match fields.get_mut("rootfs").and_then(Value::as_object_mut) {
            Some(rootfs) => {
                rootfs.entry("type").or_insert_with(|| "layers".into());
                rootfs.insert("diff_ids".to_owned(), Value::Array(ids));
            }
            None => {
                let rootfs =
                    [("type".to_owned(), "layers".into()), ("diff_ids".to_owned(), Value::Array(ids))];
                fields.insert("rootfs".to_owned(), Value::Object(rootfs.into_iter().collect()));
            }
        }
        fields.insert("history".to_owned(), Value::Array(history));
        Self { fields, diff_ids }
    }

    /// The config as compact JSON, fields in their order.
    pub fn to_json(&self) -> Vec<u8> {
        to_json(&self.fields)
    }
}

/// The manifest and the config must speak of the same number of layers; otherwise layers and diff ids cannot
/// be paired.
pub fn check_layers(manifest: &Manifest, config: &Config) -> Result<(), ImageError> {
    let (layers, diff_ids) = (manifest.layers.len(), config.diff_ids.len());
    if layers == diff_ids { Ok(()) } else { Err(ImageError::LayerCount { layers, diff_ids }) }
}
