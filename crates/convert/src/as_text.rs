//! Options in JSON: what has a text form is that text.

use std::fmt::Display;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serializer, de};

/// Writes the text.
pub fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Reads the text.
pub fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
}

/// The same for what may be absent.
pub mod option {
    use super::*;

    /// Writes the text, or null.
    pub fn serialize<T: Display, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.collect_str(value),
            None => serializer.serialize_none(),
        }
    }

    /// Reads the text, or null.
    pub fn deserialize<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let text: Option<String> = Option::deserialize(deserializer)?;
        text.map(|text| text.parse().map_err(de::Error::custom)).transpose()
    }
}

/// A chunk size as its number of bytes.
pub mod bytes {
    use nydus_convert_rafs::ChunkSize;

    use super::*;

    /// Writes the number.
    pub fn serialize<S: Serializer>(value: &ChunkSize, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(value.bytes())
    }

    /// Reads the number.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ChunkSize, D::Error> {
        ChunkSize::new(u64::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fmt::Debug;

    use nydus_convert_oci::Platform;
    use nydus_convert_rafs::{ChunkSize, Digester, FsVersion};
    use serde::Serialize;
    use serde::de::DeserializeOwned;

    use crate::layer_verbs::TarBootstrapOptions;
    use crate::{
        Compression, Dedup, Fidelity, FsOptions, IndexForm, Layers, PlatformFilter, Prefetch, Replay,
        Resources, ReuseOptions, ToNydusOptions, ToOciOptions,
    };

    fn there_and_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) -> String {
        let text = serde_json::to_string(value).unwrap();
        assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), value, "{text}");
        text
    }

    #[test]
    fn options_are_json() {
        let options = ToNydusOptions {
            fs: FsOptions {
                version: FsVersion::V5,
                compression: Compression::Lz4Block,
                digester: Digester::Sha256,
                chunk_size: ChunkSize::new(4096).unwrap(),
                aligned_chunks: true,
                ..FsOptions::default()
            },
            fidelity: Fidelity::Warn,
            platforms: PlatformFilter::Only(vec![Platform::new("linux", "arm64")]),
            replay: Replay::Proven,
            reuse: ReuseOptions {
                dedup: Dedup::Store,
                min_saving: "2.5".parse().unwrap(),
                ..ReuseOptions::default()
            },
            prefetch: Prefetch::parse(b"/usr/bin\n/etc/passwd\n").unwrap(),
            index: IndexForm::WithOci,
            referrer: true,
            annotations: vec![("a".to_owned(), "b".to_owned())],
            tmpdir: Some("/tmp".into()),
            ..ToNydusOptions::default()
        };
        let text = there_and_back(&options);
        for part in [
            r#""version":"5""#,
            r#""compression":"lz4_block""#,
            r#""chunk_size":4096"#,
            r#""min_saving":"2.50%""#,
            r#""prefetch":["/usr/bin","/etc/passwd"]"#,
            r#""index":"with_oci""#,
        ] {
            assert!(text.contains(part), "{text}");
        }
        there_and_back(&ToNydusOptions::default());
        there_and_back(&ToOciOptions { layers: Layers::Zstd(19), ..ToOciOptions::default() });
        there_and_back(&Resources::default());
        there_and_back(&TarBootstrapOptions::default());
    }

    #[test]
    fn what_is_left_out_is_the_default_and_what_is_unknown_an_error() {
        let options: ToNydusOptions = serde_json::from_str(r#"{"fs":{"version":"5"}}"#).unwrap();
        let fs = FsOptions { version: FsVersion::V5, ..FsOptions::default() };
        assert_eq!(options, ToNydusOptions { fs, ..ToNydusOptions::default() });
        for text in [r#"{"fs":{"version":"7"}}"#, r#"{"fs":{"chunk_size":5}}"#, r#"{"dedupe":"store"}"#] {
            assert!(serde_json::from_str::<ToNydusOptions>(text).is_err(), "{text}");
        }
    }
}
