//! Platforms: `os/architecture[/variant]`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use thiserror::Error;

use crate::json::null_is_default;
use crate::kind::ErrorKind;
use crate::text::excerpt;

/// What an image runs on. Kept as it was written; compare with [`Platform::matches`], which knows the
/// aliases.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Platform {
    /// CPU architecture, in Go's names.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub architecture: String,
    /// Operating system, in Go's names.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub os: String,
    /// Version of the operating system (Windows).
    #[serde(rename = "os.version", default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Features of the operating system that the image needs.
    #[serde(
        rename = "os.features",
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub os_features: Vec<String>,
    /// Variant of the architecture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Everything else, in the order met.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Text that is not a platform.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("\"{text}\" is not a platform (os/architecture or os/architecture/variant, as in linux/arm64/v8)")]
pub struct PlatformError {
    /// The beginning of what was given, escaped.
    pub text: String,
}

impl PlatformError {
    /// What sort of failure this is.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

impl Platform {
    /// The platform `os/architecture`.
    pub fn new(os: impl Into<String>, architecture: impl Into<String>) -> Self {
        Self { os: os.into(), architecture: architecture.into(), ..Self::default() }
    }

    /// The same platform in the names that are compared: lower case, aliases resolved, a variant that is the
    /// architecture's default left out (`arm64/v8` is `arm64`) or filled in (`arm` is `arm/v7`), as
    /// containerd does it.
    #[must_use]
    pub fn normalized(&self) -> Self {
        let os = self.os.to_lowercase();
        let variant = self.variant.as_deref().unwrap_or_default().to_lowercase();
        let (architecture, variant) = normalize(&self.architecture.to_lowercase(), &variant);
        Self {
            os: if os == "macos" { "darwin".to_owned() } else { os },
            architecture,
            variant: Some(variant).filter(|variant| !variant.is_empty()),
            ..self.clone()
        }
    }

    /// Whether an image for this platform is what somebody means who asks for `wanted`: os, architecture and
    /// variant are the same.
    pub fn matches(&self, wanted: &Self) -> bool {
        let (mine, wanted) = (self.normalized(), wanted.normalized());
        (mine.os, mine.architecture, mine.variant) == (wanted.os, wanted.architecture, wanted.variant)
    }

    /// Whether it says what the image is for: builders leave out what they do not know.
    pub fn is_complete(&self) -> bool {
        !self.os.is_empty() && !self.architecture.is_empty()
    }

    /// Whether this is `unknown/unknown`, which marks index entries that are not images.
    pub(crate) fn is_unknown(&self) -> bool {
        self.os == "unknown" && self.architecture == "unknown"
    }
}

fn normalize(architecture: &str, variant: &str) -> (String, String) {
    let (architecture, variant) = match (architecture, variant) {
        ("i386", _) => ("386", ""),
        ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
        ("x86_64" | "x86-64" | "amd64", variant) => ("amd64", variant),
        ("aarch64" | "arm64", "8" | "v8") => ("arm64", ""),
        ("aarch64" | "arm64", "9" | "9.0" | "v9.0") => ("arm64", "v9"),
        ("aarch64" | "arm64", variant) => ("arm64", variant),
        ("armhf", _) => ("arm", "v7"),
        ("armel", _) => ("arm", "v6"),
        ("arm", "" | "7") => ("arm", "v7"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "6") => ("arm", "v6"),
        ("arm", "8") => ("arm", "v8"),
        other => other,
    };
    (architecture.to_owned(), variant.to_owned())
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(f, "/{variant}"))
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let error = || PlatformError { text: excerpt(text) };
        let is_word = |word: &&str| {
            !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        let mut words = text.split('/');
        let mut word = || words.next().map(|word| Some(word).filter(is_word).ok_or_else(error)).transpose();
        let os = word()?.ok_or_else(error)?;
        let architecture = word()?.ok_or_else(error)?;
        let variant = word()?;
        if word()?.is_some() {
            return Err(error());
        }
        Ok(Self { variant: variant.map(str::to_owned), ..Self::new(os, architecture) })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn platform(text: &str) -> Platform {
        text.parse().unwrap()
    }

    #[test]
    fn text_form() {
        for text in ["linux/amd64", "linux/arm64/v8", "windows/amd64", "linux/x86_64", "LINUX/AMD64"] {
            assert_eq!(platform(text).to_string(), text);
        }
        for bad in
            ["", "/", "linux", "linux/", "/amd64", "linux/arm/v7/x", "linux//v8", "linux/a b", "linux/amd64/"]
        {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }

    #[test]
    fn same_platforms() {
        let same = [
            ("linux/amd64", "Linux/x86_64"),
            ("linux/amd64", "linux/amd64/v1"),
            ("linux/arm64", "linux/aarch64/v8"),
            ("linux/arm64/9.0", "linux/arm64/v9"),
            ("linux/arm", "linux/armhf"),
            ("linux/arm/6", "linux/armel"),
            ("linux/386", "linux/i386"),
            ("macos/arm64", "darwin/arm64"),
        ];
        for (a, b) in same {
            assert!(platform(a).matches(&platform(b)), "{a} {b}");
            assert!(platform(b).matches(&platform(a)), "{a} {b}");
        }
        let different = [
            ("linux/amd64", "linux/arm64"),
            ("linux/amd64", "windows/amd64"),
            ("linux/amd64/v3", "linux/amd64"),
            ("linux/arm/v6", "linux/arm"),
            ("linux/arm64/v9", "linux/arm64"),
        ];
        for (a, b) in different {
            assert!(!platform(a).matches(&platform(b)), "{a} {b}");
        }
    }

    #[test]
    fn json_form() {
        let text = r#"{"architecture":"amd64","os":"windows","os.version":"10.0","os.features":["win32k"],"variant":"v1","x":1}"#;
        let platform: Platform = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&platform).unwrap(), text);
        for text in [r#"{"os":"linux"}"#, "{}", r#"{"architecture":"amd64"}"#] {
            let platform: Platform = serde_json::from_str(text).unwrap();
            assert!(!platform.is_complete());
            assert_eq!(serde_json::to_string(&platform).unwrap(), text);
        }
    }
}
