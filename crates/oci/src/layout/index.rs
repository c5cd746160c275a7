//! The file `index.json`: finding images in it, and putting one in without touching anything else.
//!
//! Entries and fields that are not ours are kept as the text they are, to the byte. Entries are understood
//! only as far as needed: one strange entry does not hide the others.

use std::path::Path;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::text::excerpt;

use super::{CONTAINERD_NAME, LayoutError, MAX_INDEX_FILE, REF_NAME, read_small};

/// An `index.json`.
pub(crate) struct IndexFile {
    /// Every field but `manifests`, in order; where that one stood is where it goes.
    fields: Fields,
    manifests: Vec<Box<RawValue>>,
}

/// What one entry is known by.
pub(crate) struct Known {
    pub digest: String,
    ref_name: Option<String>,
    containerd_name: Option<String>,
}

struct Fields(Vec<(String, Box<RawValue>)>);

impl IndexFile {
    /// The index of a layout without images.
    pub fn empty() -> Self {
        Self { fields: Fields(Vec::new()), manifests: Vec::new() }
    }

    /// Reads `DIR/index.json`; none if there is no such file.
    pub fn read(dir: &Path) -> Result<Option<Self>, LayoutError> {
        let path = dir.join("index.json");
        let Some(bytes) = read_small(&path, MAX_INDEX_FILE)? else { return Ok(None) };
        Self::parse(&bytes).map(Some).map_err(|source| LayoutError::Malformed { path, source })
    }

    pub fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let fields: Fields = serde_json::from_slice(bytes)?;
        let manifests = fields.0.iter().find(|(name, _)| name == "manifests");
        let manifests = match manifests {
            Some((_, raw)) => serde_json::from_str::<Option<Vec<_>>>(raw.get())?.unwrap_or_default(),
            None => Vec::new(),
        };
        Ok(Self { fields, manifests })
    }

    /// What each entry is known by, in order.
    pub fn entries(&self) -> impl Iterator<Item = Known> {
        self.manifests.iter().map(|raw| known(raw))
    }

    /// The descriptor at position `index`.
    pub fn descriptor(&self, index: usize) -> Result<Descriptor, serde_json::Error> {
        serde_json::from_str(self.manifests.get(index).map_or("null", |raw| raw.get()))
    }

    /// Puts `root` in: under `name` in the place of the entry that has this name, else at the end. Without a
    /// name it takes the place only of an unnamed entry of the same digest.
    pub fn insert(&mut self, root: Descriptor, name: Option<&str>) -> Result<(), serde_json::Error> {
        let mut root = root;
        // Names it may have brought along are those it had where it came from.
        root.annotations.remove(REF_NAME);
        root.annotations.remove(CONTAINERD_NAME);
        if let Some(name) = name {
            root.annotations.insert(REF_NAME.to_owned(), name.to_owned());
        }
        let mut new = Some(serde_json::value::to_raw_value(&root)?);
        let mut manifests = Vec::with_capacity(self.manifests.len() + 1);
        for raw in std::mem::take(&mut self.manifests) {
            if is_replaced(&raw, name, &root.digest) {
                manifests.extend(new.take());
            } else {
                manifests.push(raw);
            }
        }
        manifests.extend(new);
        self.manifests = manifests;
        Ok(())
    }

    /// The file's new content.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }
}

impl Known {
    /// Whether somebody who says `name` can mean this entry.
    pub fn is_called(&self, name: &str) -> bool {
        self.names().any(|own| own == name)
    }

    /// How to name the entry in a message.
    pub fn label(&self) -> String {
        excerpt(self.names().next().unwrap_or(&self.digest))
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        [&self.ref_name, &self.containerd_name].into_iter().flatten().map(String::as_str)
    }
}

/// What identifies an entry. Anything that is not text where text belongs counts as absent.
fn known(raw: &RawValue) -> Known {
    let entry: Map<String, Value> = serde_json::from_str(raw.get()).unwrap_or_default();
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let annotations = entry.get("annotations");
    let annotation = |key| text(annotations.and_then(|all| all.get(key))).filter(|name| !name.is_empty());
    Known {
        digest: text(entry.get("digest")).unwrap_or_default(),
        ref_name: annotation(REF_NAME),
        containerd_name: annotation(CONTAINERD_NAME),
    }
}

fn is_replaced(raw: &RawValue, name: Option<&str>, digest: &Digest) -> bool {
    let entry = known(raw);
    match name {
        // Only the specification's annotation is a name here: containerd's says which registry an image came
        // from.
        Some(name) => entry.ref_name.as_deref() == Some(name),
        None => entry.names().next().is_none() && entry.digest == digest.to_string(),
    }
}

impl Serialize for IndexFile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let has = |wanted| self.fields.0.iter().any(|(name, _)| name == wanted);
        let mut map = serializer.serialize_map(None)?;
        if !has("schemaVersion") {
            map.serialize_entry("schemaVersion", &2)?;
        }
        for (name, value) in &self.fields.0 {
            if name == "manifests" {
                map.serialize_entry(name, &self.manifests)?;
            } else {
                map.serialize_entry(name, value)?;
            }
        }
        if !has("manifests") {
            map.serialize_entry("manifests", &self.manifests)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an image index")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields: Vec<(String, Box<RawValue>)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    if fields.iter().any(|(other, _)| *other == name) {
                        return Err(serde::de::Error::custom(format_args!(
                            "duplicate field `{}`",
                            excerpt(&name)
                        )));
                    }
                    fields.push((name, value));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(FieldsVisitor)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn root(content: &[u8]) -> Descriptor {
        crate::Blob::of(content).descriptor("m/t")
    }

    fn inserted(text: &str, name: Option<&str>) -> String {
        let mut index = IndexFile::parse(text.as_bytes()).unwrap();
        index.insert(root(b"x"), name).unwrap();
        String::from_utf8(index.to_json().unwrap()).unwrap()
    }

    fn entry(name: &str) -> String {
        let root = serde_json::to_string(&root(b"x").annotated(REF_NAME, name)).unwrap();
        assert!(root.contains("size"));
        root
    }

    #[test]
    fn a_new_index() {
        let mut index = IndexFile::empty();
        index.insert(root(b"x"), Some("a")).unwrap();
        let text = String::from_utf8(index.to_json().unwrap()).unwrap();
        assert_eq!(text, format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entry("a")));
    }

    #[test]
    fn everything_else_keeps_its_bytes() {
        let odd = r#"{ "digest":"blake3:00", "size": 1.50e3 , "annotations": {"org.opencontainers.image.ref.name" :"b"} }"#;
        let text = format!(
            r#"{{"x":{{"n": 123456789012345678901234567890}},"schemaVersion": 2,"manifests":[7,{odd},{{"annotations":{{"org.opencontainers.image.ref.name":"a"}}}}],"annotations":null}}"#
        );
        let expected = format!(
            r#"{{"x":{{"n": 123456789012345678901234567890}},"schemaVersion":2,"manifests":[7,{odd},{}],"annotations":null}}"#,
            entry("a")
        );
        assert_eq!(inserted(&text, Some("a")), expected);
        let appended = inserted(&text, Some("c"));
        assert!(appended.contains(odd) && appended.contains(&format!("}},{}]", entry("c"))), "{appended}");
    }

    #[test]
    fn one_entry_for_a_name() {
        let named = r#"{"annotations":{"org.opencontainers.image.ref.name":"a"}}"#;
        let text = format!(r#"{{"schemaVersion":2,"manifests":[{named},1,{named}]}}"#);
        let expected = format!(r#"{{"schemaVersion":2,"manifests":[{},1]}}"#, entry("a"));
        assert_eq!(inserted(&text, Some("a")), expected);
        // Where containerd says an image came from is no name of this layout.
        let other = r#"{"annotations":{"io.containerd.image.name":"a"}}"#;
        let text = format!(r#"{{"schemaVersion":2,"manifests":[{other}]}}"#);
        assert!(inserted(&text, Some("a")).contains(other));
    }

    #[test]
    fn unnamed_images_are_told_apart_by_digest() {
        let once = inserted(r#"{"schemaVersion":2,"manifests":null}"#, None);
        assert_eq!(inserted(&once, None), once);
        let mut index = IndexFile::parse(once.as_bytes()).unwrap();
        index.insert(root(b"y"), None).unwrap();
        assert_eq!(index.entries().count(), 2);
    }

    #[test]
    fn damaged_files() {
        for text in
            ["", "[]", "{", "{\"manifests\":{}}", "{\"manifests\":[1}", "{\"a\":1,\"a\":2}", "\u{1}", "{} x"]
        {
            assert!(IndexFile::parse(text.as_bytes()).is_err(), "{text}");
        }
        // What is not looked into may be as deep as it likes; what is looked into is then as good as absent.
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let text = format!(r#"{{"schemaVersion":2,"x":{deep},"manifests":[{{"digest":{deep}}}]}}"#);
        assert!(inserted(&text, Some("a")).contains(&deep));
    }
}
