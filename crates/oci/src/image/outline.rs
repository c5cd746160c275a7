//! What a field of a document is, without holding it: a list may have millions of entries.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A field of any type.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Field {
    /// Whether it is null, or a list or object without anything in it.
    pub is_empty: bool,
    /// The text that it is.
    text: Option<String>,
    /// The text in `mediaType` of an object, or of the first entry of a list.
    pub media_type: Option<String>,
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor)
    }
}

struct FieldVisitor;

impl<'de> Visitor<'de> for FieldVisitor {
    type Value = Field;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_unit<E>(self) -> Result<Field, E> {
        Ok(Field { is_empty: true, ..Field::default() })
    }

    fn visit_bool<E>(self, _: bool) -> Result<Field, E> {
        Ok(Field::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Field, E> {
        Ok(Field::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Field, E> {
        Ok(Field::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Field, E> {
        Ok(Field::default())
    }

    fn visit_str<E>(self, text: &str) -> Result<Field, E> {
        Ok(Field { text: Some(text.to_owned()), ..Field::default() })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Field, A::Error> {
        let Some(first) = entries.next_element::<Field>()? else { return self.visit_unit() };
        while entries.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Field { media_type: first.media_type, ..Field::default() })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Field, A::Error> {
        let mut field = Field { is_empty: true, ..Field::default() };
        while let Some(name) = fields.next_key::<String>()? {
            field.is_empty = false;
            if name == "mediaType" {
                field.media_type = fields.next_value::<Field>()?.text;
            } else {
                fields.next_value::<IgnoredAny>()?;
            }
        }
        Ok(field)
    }
}
