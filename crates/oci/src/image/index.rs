//! An index of images: one for each platform, and what else builders put there.

use std::fmt;

use serde::de::{self, SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::descriptor::{Annotations, Descriptor};
use crate::json::null_is_default;
use crate::media_type;
use crate::nydus;
use crate::platform::Platform;

use super::manifest::{Format, to_json};

/// Annotation by which docker's builder marks entries that say something about another entry (buildkit,
/// `docs/attestations/attestation-storage.md`).
pub const DOCKER_REFERENCE_TYPE: &str = "vnd.docker.reference.type";

/// An image index, OCI or Docker manifest list.
#[derive(Debug, Clone, PartialEq)]
pub struct Index {
    /// Whose media types it uses.
    pub format: Format,
    /// Type of artifact, where one is stated.
    pub artifact_type: Option<String>,
    /// Descriptors of the images and other entries, in order.
    pub manifests: Vec<Descriptor>,
    /// The entries that are no descriptors. Each spoils itself alone.
    pub unreadable: Vec<UnreadableEntry>,
    /// The manifest that this index refers to.
    pub subject: Option<Descriptor>,
    /// Annotations of the index.
    pub annotations: Annotations,
    /// Fields that are not known here, in the order met.
    pub other: Map<String, Value>,
}

/// Entries that are no descriptors, until the whole is none.
const MAX_UNREADABLE: usize = 100;

/// An entry of an index that is no descriptor.
#[derive(Debug, Clone, PartialEq)]
pub struct UnreadableEntry {
    /// Its place, from 1.
    pub number: usize,
    /// Its platform, where that can be read.
    pub platform: Option<Platform>,
    /// What is wrong with it.
    pub reason: String,
}

/// What an entry of an index is, as far as the entry itself tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// An image with tar layers, as far as the entry tells.
    Image,
    /// The Nydus variant of an image, by artifact type or by the legacy platform feature.
    Nydus,
    /// Another index.
    Index,
    /// Something that belongs to the images and is not one: an attestation, a signature, …
    Extra,
}

impl EntryKind {
    /// Classifies an entry.
    pub fn of(entry: &Descriptor) -> Self {
        let is_unknown = entry.platform.as_ref().is_some_and(Platform::is_unknown);
        if is_unknown || entry.annotations.contains_key(DOCKER_REFERENCE_TYPE) {
            return Self::Extra;
        }
        let feature =
            |platform: &Platform| platform.os_features.iter().any(|f| f == nydus::LEGACY_OS_FEATURE);
        match (entry.media_type.as_str(), entry.artifact_type.as_deref()) {
            (media_type::OCI_INDEX | media_type::DOCKER_LIST, _) => Self::Index,
            (media_type::OCI_MANIFEST, Some(nydus::ARTIFACT_TYPE)) => Self::Nydus,
            (media_type::OCI_MANIFEST | media_type::DOCKER_MANIFEST, _)
                if entry.platform.as_ref().is_some_and(feature) =>
            {
                Self::Nydus
            }
            (media_type::OCI_MANIFEST | media_type::DOCKER_MANIFEST, None) => Self::Image,
            // Builders that fill in the type of an ordinary image take it from its config.
            (media_type::OCI_MANIFEST, Some(media_type::OCI_CONFIG)) => Self::Image,
            (media_type::DOCKER_SCHEMA1 | media_type::DOCKER_SCHEMA1_SIGNED, _) => Self::Image,
            // Its content says what it is.
            (media_type, None) if media_type::is_generic(media_type) => Self::Image,
            _ => Self::Extra,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    #[serde(rename = "schemaVersion")]
    _schema_version: Option<u64>,
    #[serde(rename = "mediaType")]
    _media_type: Option<String>,
    artifact_type: Option<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    manifests: Entries,
    subject: Option<Descriptor>,
    #[serde(default, deserialize_with = "null_is_default")]
    annotations: Annotations,
    #[serde(flatten)]
    other: Map<String, Value>,
}

/// The entries, taken one by one: what is none takes far more memory as a value than as text.
#[derive(Default)]
struct Entries {
    manifests: Vec<Descriptor>,
    unreadable: Vec<UnreadableEntry>,
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;

        impl<'de> Visitor<'de> for List {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of descriptors")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Entries, A::Error> {
                let mut entries = Entries::default();
                let mut number = 0;
                while let Some(entry) = list.next_element()? {
                    number += 1;
                    entries.add(number, &entry).map_err(de::Error::custom)?;
                }
                Ok(entries)
            }
        }

        deserializer.deserialize_seq(List)
    }
}

impl Entries {
    fn add(&mut self, number: usize, entry: &Value) -> Result<(), serde_json::Error> {
        match Descriptor::deserialize(entry) {
            Ok(entry) => self.manifests.push(entry),
            Err(error) if self.unreadable.len() == MAX_UNREADABLE => return Err(error),
            Err(error) => {
                let platform = entry.get("platform").and_then(|value| Platform::deserialize(value).ok());
                self.unreadable.push(UnreadableEntry { number, platform, reason: error.to_string() });
            }
        }
        Ok(())
    }
}

impl Index {
    pub(super) fn parse(format: Format, bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let Fields { artifact_type, manifests, subject, annotations, other, .. } =
            serde_json::from_slice(bytes)?;
        let Entries { manifests, unreadable } = manifests;
        Ok(Self { format, artifact_type, manifests, unreadable, subject, annotations, other })
    }

    /// The entries with what they are.
    pub fn entries(&self) -> impl Iterator<Item = (EntryKind, &Descriptor)> {
        self.manifests.iter().map(|entry| (EntryKind::of(entry), entry))
    }

    /// The index as compact JSON in the specification's order of fields.
    pub fn to_json(&self) -> Vec<u8> {
        to_json(self)
    }
}

impl Serialize for Index {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("schemaVersion", &2)?;
        map.serialize_entry("mediaType", self.format.index())?;
        if let Some(artifact_type) = &self.artifact_type {
            map.serialize_entry("artifactType", artifact_type)?;
        }
        map.serialize_entry("manifests", &self.manifests)?;
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
