//! What goes wrong with registries, in the words of the user's question.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use crate::digest::Digest;
use crate::kind::ErrorKind;
use crate::media_type;

/// Why a registry did not do what was asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The registry knows no such image or blob.
    #[error("{host} has no {what}")]
    NotFound {
        /// The registry.
        host: String,
        /// The image or blob.
        what: String,
    },
    /// The registry wants (other) credentials, or does not let these do that.
    #[error("{host} refuses access to {what}{}; {login}", detail.as_deref().map(|text| format!(" ({text})")).unwrap_or_default())]
    Denied {
        /// The registry, or where it sends clients for a token.
        host: String,
        /// The repository.
        what: String,
        /// The registry's words, escaped.
        detail: Option<String>,
        /// Which credentials were refused, or why there were none.
        login: String,
    },
    /// An answer that is none, after all retries where a retry may help.
    #[error("{host} answers {status} to {request}{}", detail.as_deref().map(|text| format!(" ({text})")).unwrap_or_default())]
    Status {
        /// The registry.
        host: String,
        /// Method and path.
        request: String,
        /// HTTP status.
        status: u16,
        /// The registry's words, escaped.
        detail: Option<String>,
    },
    /// A manifest with something that not every registry takes was refused.
    #[error("the registry may take no manifest with {unusual}")]
    Manifest {
        /// What it has.
        unusual: Unusual,
        /// The registry's answer.
        source: Box<RegistryError>,
    },
    /// No answer, after all retries where a retry may help.
    #[error("{request} of {host} failed")]
    Transport {
        /// The registry.
        host: String,
        /// Method and path.
        request: String,
        /// Why.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// An answer that the distribution specification does not allow.
    #[error("{host} answers {request} {problem}")]
    Protocol {
        /// The registry.
        host: String,
        /// Method and path.
        request: String,
        /// What is wrong with the answer.
        problem: String,
    },
    /// Content was damaged on the way, or is damaged in the registry.
    #[error("{host} sends {actual} for {expected}: damaged on the way or in the registry")]
    Corrupt {
        /// The registry.
        host: String,
        /// What was asked for.
        expected: Digest,
        /// What came.
        actual: String,
    },
    /// A rule of this machine refuses the name.
    #[error("{name} is blocked by {}", file.display())]
    Blocked {
        /// The image.
        name: String,
        /// Where the rule stands.
        file: PathBuf,
    },
    /// Neither the mirrors of a registry nor the registry itself had the image.
    #[error("no mirror has it ({})", mirrors.join("; "))]
    Mirrors {
        /// What each mirror said.
        mirrors: Vec<String>,
        /// What sort of failure that of the registry is.
        kind: ErrorKind,
        /// What the registry said.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// A file with credentials, certificates or rules cannot be used.
    #[error("cannot use {} ({what})", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What it is for.
        what: &'static str,
        /// Why not.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// A credential helper failed.
    #[error("the credential helper docker-credential-{name} failed for {host}: {message}")]
    Helper {
        /// Name of the helper.
        name: String,
        /// The registry.
        host: String,
        /// Its words, escaped.
        message: String,
    },
    /// Staged content cannot be kept on this machine's disk.
    #[error("cannot stage content in {}", path.display())]
    Staging {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A blob could not be pushed, so the image cannot be published.
    #[error(transparent)]
    Push(Arc<RegistryError>),
    /// Something was written to an image that is published or given up.
    #[error("the image was already published or given up")]
    Closed,
}

/// What a manifest may have that not every registry takes: old ones, and those with a list of types that they allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unusual {
    /// It refers to another manifest.
    Subject,
    /// It, or an entry of an index, has an artifact type.
    ArtifactType,
    /// Its config has another type than that of images.
    ConfigType,
}

impl fmt::Display for Unusual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Subject => "a subject",
            Self::ArtifactType => "an artifact type",
            Self::ConfigType => "a config that is not of an image's type",
        })
    }
}

impl Unusual {
    /// What is most likely the reason that a registry refuses a manifest.
    pub(super) fn of(manifest: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Fields {
            subject: Option<Value>,
            artifact_type: Option<Value>,
            config: Option<Value>,
            #[serde(default)]
            manifests: Vec<Value>,
        }
        let fields: Fields = serde_json::from_slice(manifest).ok()?;
        let config_type = fields.config.as_ref().and_then(|config| config["mediaType"].as_str());
        if fields.subject.is_some() {
            Some(Self::Subject)
        } else if fields.artifact_type.is_some()
            || fields.manifests.iter().any(|entry| entry.get("artifactType").is_some())
        {
            Some(Self::ArtifactType)
        } else {
            config_type
                .filter(|of| ![media_type::OCI_CONFIG, media_type::DOCKER_CONFIG].contains(of))
                .map(|_| Self::ConfigType)
        }
    }
}

impl RegistryError {
    /// What sort of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::Denied { .. } | Self::Helper { .. } | Self::Blocked { .. } => ErrorKind::Access,
            Self::Mirrors { kind, .. } => *kind,
            Self::Manifest { source, .. } => source.kind(),
            Self::Push(source) => source.kind(),
            Self::Status { .. } | Self::Transport { .. } | Self::Protocol { .. } | Self::Corrupt { .. } => {
                ErrorKind::Network
            }
            Self::File { source, .. } => match source.downcast_ref::<io::Error>() {
                // A missing file is not a missing image.
                Some(error) if error.kind() != io::ErrorKind::NotFound => ErrorKind::of_system(error),
                _ => ErrorKind::Other,
            },
            Self::Staging { source, .. } => ErrorKind::of_system(source),
            Self::Closed => ErrorKind::Other,
        }
    }
}
