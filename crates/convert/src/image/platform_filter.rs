//! Which images of an index are meant.

use nydus_convert_oci::Platform;
use serde::{Deserialize, Serialize};

/// Which images of an index are meant.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlatformFilter {
    /// Every image.
    #[default]
    All,
    /// The images for these platforms; it is an error if one of them has none.
    Only(Vec<Platform>),
}

impl PlatformFilter {
    /// Whether an entry is meant. Entries without a platform belong to the whole index.
    pub(crate) fn wants(&self, platform: Option<&Platform>) -> bool {
        match (self, platform) {
            (Self::All, _) => true,
            (Self::Only(wanted), Some(platform)) => wanted.iter().any(|wanted| platform.matches(wanted)),
            (Self::Only(_), None) => false,
        }
    }
}

impl std::fmt::Display for PlatformFilter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Only(wanted) => {
                let names: Vec<String> = wanted.iter().map(Platform::to_string).collect();
                f.write_str(&names.join(","))
            }
        }
    }
}
