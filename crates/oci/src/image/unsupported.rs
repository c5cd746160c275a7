//! Images that are understood and cannot be converted.

use std::fmt;

use thiserror::Error;

use crate::digest::Digest;

/// One layer of a manifest, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerAt {
    /// Its number, counted from 1.
    pub number: usize,
    /// How many layers there are.
    pub count: usize,
    /// Digest of the layer as stored.
    pub digest: Digest,
    /// Its media type, escaped.
    pub media_type: String,
}

impl fmt::Display for LayerAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "layer {} of {} ({})", self.number, self.count, self.digest)
    }
}

/// Why an image cannot be converted although it is understood.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UnsupportedImage {
    /// An artifact: a chart, a model, a signature, …
    #[error("it is an artifact of type \"{artifact_type}\"{}, not a container image", what_is(artifact_type))]
    Artifact {
        /// What it is.
        artifact_type: String,
    },
    /// A Docker image of before content addressing.
    #[error(
        "it is a Docker image of the obsolete schema 1; push it again with any current tool to get schema 2 or OCI"
    )]
    DockerSchema1,
    /// A layer is encrypted by ocicrypt.
    #[error("{layer} is encrypted ({media_type}); decrypt the image first", layer = .0, media_type = .0.media_type)]
    EncryptedLayer(LayerAt),
    /// A layer is not distributable, and not kept with the image.
    #[error("{layer} is not distributable ({media_type}) and not kept with the image", layer = .0, media_type = .0.media_type)]
    ForeignLayer(LayerAt),
    /// A layer that is not known.
    #[error("{layer} has the media type \"{media_type}\", which is no image layer", layer = .0, media_type = .0.media_type)]
    UnknownLayer(LayerAt),
}

/// What is known of artifacts by the beginning of their type.
const ARTIFACTS: &[(&str, &str)] = &[
    ("application/vnd.amazon.soci", "a SOCI index; convert the image that it is for"),
    ("application/vnd.buildkit.cacheconfig", "a build cache of BuildKit"),
    ("application/vnd.cncf.helm", "a Helm chart"),
    ("application/vnd.cncf.model", "a model"),
    ("application/vnd.docker.ai", "a model"),
    ("application/vnd.docker.plugin", "a plugin of Docker"),
    ("application/vnd.dev.cosign", "a signature"),
    ("application/vnd.dev.sigstore", "a signature"),
    ("application/vnd.cncf.notary", "a signature"),
    ("application/vnd.in-toto", "an attestation"),
    ("application/vnd.ollama", "a model"),
    ("application/vnd.wasm", "a WebAssembly module"),
    ("application/vnd.module.wasm", "a WebAssembly module"),
];

/// In brackets, what is known of artifacts of a type.
fn what_is(artifact_type: &str) -> String {
    let known = ARTIFACTS.iter().find(|(beginning, _)| artifact_type.starts_with(beginning));
    known.map(|(_, what)| format!(" ({what})")).unwrap_or_default()
}
