//! Descriptors: what one piece of content is, how large, and under which digest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::digest::Digest;
use crate::json::null_is_default;
use crate::platform::Platform;

/// Annotations in the order of their keys.
pub type Annotations = BTreeMap<String, String>;

/// A descriptor of the OCI image specification (or of a Docker manifest, which is a subset of it). Fields
/// that are not known here are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Media type of the content; empty where none is stated.
    #[serde(default, deserialize_with = "null_is_default")]
    pub media_type: String,
    /// The content's digest.
    pub digest: Digest,
    /// The content's size in bytes.
    pub size: u64,
    /// Annotations of the descriptor.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Annotations::is_empty")]
    pub annotations: Annotations,
    /// The platform of the image behind an index entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// The type of artifact behind an index entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Everything else (`urls`, `data`, extensions), in the order met.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Descriptor {
    /// A descriptor with nothing but the three required fields.
    pub fn new(media_type: impl Into<String>, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.into(),
            digest,
            size,
            annotations: Annotations::new(),
            platform: None,
            artifact_type: None,
            other: Map::new(),
        }
    }

    /// The same with one annotation more.
    #[must_use]
    pub fn annotated(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.annotations.insert(key.into(), value.into());
        self
    }
}

/// Content that was stored: a descriptor without a media type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blob {
    /// The content's digest.
    pub digest: Digest,
    /// The content's size in bytes.
    pub size: u64,
}

impl Blob {
    /// The SHA-256 and size of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self { digest: Digest::sha256(bytes), size: bytes.len() as u64 }
    }

    /// The descriptor of this content as `media_type`.
    pub fn descriptor(self, media_type: impl Into<String>) -> Descriptor {
        Descriptor::new(media_type, self.digest, self.size)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn unknown_fields_survive() {
        let text = r#"{"mediaType":"a/b","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":3,"annotations":{"b":"2","z":"1"},"platform":{"architecture":"arm64","os":"linux","os.version":"1","variant":"v8","features":["x"]},"artifactType":"c/d","urls":["u"],"data":"eHg=","x-y":{"z":[1,null]}}"#;
        let descriptor: Descriptor = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&descriptor).unwrap(), text);
    }

    #[test]
    fn hostile_descriptors() {
        let digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let bad = [
            "{}".to_owned(),
            "null".to_owned(),
            format!(r#"{{"mediaType":"a","digest":"{digest}"}}"#),
            format!(r#"{{"mediaType":"a","digest":"{digest}","size":-1}}"#),
            format!(r#"{{"mediaType":"a","digest":"{digest}","size":1.5}}"#),
            format!(r#"{{"mediaType":"a","digest":"{digest}","size":18446744073709551616}}"#),
            format!(r#"{{"mediaType":"a","digest":"{digest}","size":1,"size":2}}"#),
            format!(r#"{{"mediaType":"a","digest":"{digest}","size":1,"annotations":{{"a":1}}}}"#),
            r#"{"mediaType":"a","digest":"sha256:../../../etc/passwd","size":1}"#.to_owned(),
        ];
        for text in &bad {
            assert!(serde_json::from_str::<Descriptor>(text).is_err(), "{text}");
        }
        let nulls =
            format!(r#"{{"mediaType":"a","digest":"{digest}","size":1,"annotations":null,"platform":null}}"#);
        assert!(serde_json::from_str::<Descriptor>(&nulls).is_ok());
        // What it is, its content says then.
        let untyped = format!(r#"{{"mediaType":null,"digest":"{digest}","size":1}}"#);
        assert_eq!(serde_json::from_str::<Descriptor>(&untyped).unwrap().media_type, "");
    }
}
