//! The manifest of one image.

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::descriptor::{Annotations, Descriptor};
use crate::json::null_is_default;
use crate::media_type;
use crate::nydus;

/// Whose media types an image uses. The JSON is otherwise the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OCI image specification.
    Oci,
    /// Docker image manifest, version 2, schema 2.
    Docker,
}

impl Format {
    /// Media type of manifests.
    pub const fn manifest(self) -> &'static str {
        match self {
            Self::Oci => media_type::OCI_MANIFEST,
            Self::Docker => media_type::DOCKER_MANIFEST,
        }
    }

    /// Media type of indexes.
    pub const fn index(self) -> &'static str {
        match self {
            Self::Oci => media_type::OCI_INDEX,
            Self::Docker => media_type::DOCKER_LIST,
        }
    }

    /// Media type of image configs.
    pub const fn config(self) -> &'static str {
        match self {
            Self::Oci => media_type::OCI_CONFIG,
            Self::Docker => media_type::DOCKER_CONFIG,
        }
    }

    /// Media type of layers compressed with gzip.
    pub(crate) const fn layer_gzip(self) -> &'static str {
        match self {
            Self::Oci => media_type::OCI_LAYER_GZIP,
            Self::Docker => media_type::DOCKER_LAYER_GZIP,
        }
    }
}

/// An image manifest, OCI or Docker schema 2.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// Whose media types it uses.
    pub format: Format,
    /// Type of artifact, where one is stated.
    pub artifact_type: Option<String>,
    /// Descriptor of the config.
    pub config: Descriptor,
    /// The layers, the lowest first.
    pub layers: Vec<Descriptor>,
    /// The manifest that this one refers to.
    pub subject: Option<Descriptor>,
    /// Annotations of the manifest.
    pub annotations: Annotations,
    /// Fields that are not known here, in the order met.
    pub other: Map<String, Value>,
}

/// The JSON, without what says which sort of JSON it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    #[serde(rename = "schemaVersion")]
    _schema_version: Option<u64>,
    #[serde(rename = "mediaType")]
    _media_type: Option<String>,
    artifact_type: Option<String>,
    config: Descriptor,
    #[serde(default, deserialize_with = "null_is_default")]
    layers: Vec<Descriptor>,
    subject: Option<Descriptor>,
    #[serde(default, deserialize_with = "null_is_default")]
    annotations: Annotations,
    #[serde(flatten)]
    other: Map<String, Value>,
}

impl Manifest {
    pub(super) fn parse(format: Format, bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let Fields { artifact_type, config, layers, subject, annotations, other, .. } =
            serde_json::from_slice(bytes)?;
        Ok(Self { format, artifact_type, config, layers, subject, annotations, other })
    }

    /// Whether this is a Nydus image: its last layer is annotated as the bootstrap.
    pub fn is_nydus(&self) -> bool {
        self.nydus().is_some()
    }

    /// The layers of a Nydus image: data blobs (and whatever else lies below), and the bootstrap layer.
    pub fn nydus(&self) -> Option<(&[Descriptor], &Descriptor)> {
        let (bootstrap, blobs) = self.layers.split_last()?;
        bootstrap.annotations.contains_key(nydus::BOOTSTRAP).then_some((blobs, bootstrap))
    }

    /// The manifest as compact JSON in the specification's order of fields.
    pub fn to_json(&self) -> Vec<u8> {
        to_json(self)
    }
}

impl Serialize for Manifest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("schemaVersion", &2)?;
        map.serialize_entry("mediaType", self.format.manifest())?;
        if let Some(artifact_type) = &self.artifact_type {
            map.serialize_entry("artifactType", artifact_type)?;
        }
        map.serialize_entry("config", &self.config)?;
        map.serialize_entry("layers", &self.layers)?;
        if let Some(subject) = &self.subject {
            map.serialize_entry("subject", subject)?;
        }
        if !self.annotations.is_empty() {
            map.serialize_entry("annotations", &self.annotations)?;
        }
        self.other.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
        map.end()
    }
}

/// Compact JSON. Values of our own types have string keys and finite numbers: nothing that could fail.
pub(crate) fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}
