//! What some JSON is: an image, a Nydus image, an index, or something that cannot be converted, and why.
//!
//! The media type of the descriptor and that inside the JSON must agree, and the JSON must not have the
//! fields of another sort of document: what one client takes for an image and another for an index is
//! refused.

use std::fmt;

use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, excerpt};
use crate::media_type::{self, LayerForm};
use crate::nydus;
use crate::source::Source;

use super::index::Index;
use super::manifest::{Format, Manifest};
use super::{ImageError, MAX_MANIFEST};

/// What the content of a manifest's or index's descriptor is.
#[derive(Debug, Clone, PartialEq)]
pub enum ManifestKind {
    /// An image of tar layers.
    Image(Manifest),
    /// A Nydus image.
    Nydus(Manifest),
    /// An index.
    Index(Index),
    /// Something that is not a container image.
    Artifact {
        /// What it is.
        artifact_type: String,
    },
    /// An image in the format before content addressing.
    DockerSchema1,
    /// An image with an encrypted layer (the first one).
    EncryptedLayers(LayerAt),
    /// An image with a layer that is not kept with it (the first one).
    ForeignLayers(LayerAt),
    /// An image with a layer of an unknown sort (the first one).
    UnknownLayers(LayerAt),
}

/// One layer of a manifest, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerAt {
    /// Its number, counted from 1.
    pub number: usize,
    /// How many layers there are.
    pub count: usize,
    /// Its digest.
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
    /// Not an image.
    #[error("it is an artifact of type \"{artifact_type}\", not a container image")]
    Artifact {
        /// What it is.
        artifact_type: String,
    },
    /// Docker schema 1.
    #[error(
        "it is a Docker image of the obsolete schema 1; push it again with any current tool to get schema 2 or OCI"
    )]
    DockerSchema1,
    /// An encrypted layer.
    #[error("{layer} is encrypted ({media_type}); decrypt the image first", layer = .0, media_type = .0.media_type)]
    EncryptedLayer(LayerAt),
    /// A foreign layer.
    #[error("{layer} is not distributable ({media_type}) and not kept with the image", layer = .0, media_type = .0.media_type)]
    ForeignLayer(LayerAt),
    /// A layer that is not known.
    #[error("{layer} has the media type \"{media_type}\", which is no image layer", layer = .0, media_type = .0.media_type)]
    UnknownLayer(LayerAt),
}

impl ManifestKind {
    /// Classifies `bytes`, whose descriptor says `media_type` (empty where nobody says anything).
    pub fn parse(media_type: &str, bytes: &[u8]) -> Result<Self, ImageError> {
        let size = bytes.len() as u64;
        if size > MAX_MANIFEST {
            return Err(ImageError::TooLarge { what: "manifest", size, limit: MAX_MANIFEST });
        }
        let malformed = |source| ImageError::Malformed { digest: None, source };
        if !media_type.is_empty() && Form::of(media_type).is_none() {
            return not_a_manifest(media_type, bytes);
        }
        let outline: Outline = serde_json::from_slice(bytes).map_err(malformed)?;
        match outline.form(media_type)? {
            Form::Schema1 => Ok(Self::DockerSchema1),
            Form::Artifact => {
                let artifact_type = outline.artifact_type.as_deref().unwrap_or(media_type::OCI_ARTIFACT);
                Ok(Self::Artifact { artifact_type: excerpt(artifact_type) })
            }
            Form::Index(format) => Index::parse(format, bytes).map(Self::Index).map_err(malformed),
            Form::Manifest(_) if outline.config.is_none() => {
                Err(ImageError::MissingField { what: "manifest", field: "config" })
            }
            Form::Manifest(format) => Manifest::parse(format, bytes).map(classify).map_err(malformed),
        }
    }

    /// Reads and classifies the content of `descriptor`; the bytes come with it, for those who keep them
    /// verbatim.
    pub fn read(source: &dyn Source, descriptor: &Descriptor) -> Result<(Vec<u8>, Self), Error> {
        let bytes = source.read(descriptor, MAX_MANIFEST)?;
        let kind = Self::parse(&descriptor.media_type, &bytes).map_err(|error| match error {
            ImageError::Malformed { source, .. } => {
                ImageError::Malformed { digest: Some(descriptor.digest), source }
            }
            error => error,
        })?;
        Ok((bytes, kind))
    }

    /// Why this cannot be converted, if it cannot.
    pub fn refusal(&self) -> Option<UnsupportedImage> {
        match self {
            Self::Image(_) | Self::Nydus(_) | Self::Index(_) => None,
            Self::Artifact { artifact_type } => {
                Some(UnsupportedImage::Artifact { artifact_type: artifact_type.clone() })
            }
            Self::DockerSchema1 => Some(UnsupportedImage::DockerSchema1),
            Self::EncryptedLayers(layer) => Some(UnsupportedImage::EncryptedLayer(layer.clone())),
            Self::ForeignLayers(layer) => Some(UnsupportedImage::ForeignLayer(layer.clone())),
            Self::UnknownLayers(layer) => Some(UnsupportedImage::UnknownLayer(layer.clone())),
        }
    }
}

/// The sorts of documents that media types tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Manifest(Format),
    Index(Format),
    Artifact,
    Schema1,
}

impl Form {
    fn of(media_type: &str) -> Option<Self> {
        match media_type {
            media_type::OCI_MANIFEST => Some(Self::Manifest(Format::Oci)),
            media_type::DOCKER_MANIFEST => Some(Self::Manifest(Format::Docker)),
            media_type::OCI_INDEX => Some(Self::Index(Format::Oci)),
            media_type::DOCKER_LIST => Some(Self::Index(Format::Docker)),
            media_type::OCI_ARTIFACT => Some(Self::Artifact),
            media_type::DOCKER_SCHEMA1 | media_type::DOCKER_SCHEMA1_SIGNED => Some(Self::Schema1),
            _ => None,
        }
    }
}

/// The fields that tell what a document is, of any type.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outline {
    schema_version: Option<u64>,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Value>,
    layers: Option<Value>,
    manifests: Option<Value>,
    fs_layers: Option<Value>,
}

impl Outline {
    /// Which form the descriptor's and the document's own words add up to.
    fn form(&self, descriptor: &str) -> Result<Form, ImageError> {
        let own = self.media_type.as_deref().filter(|own| !own.is_empty());
        if let Some(own) = own.filter(|own| !descriptor.is_empty() && *own != descriptor) {
            let (descriptor, content) = (excerpt(descriptor), excerpt(own));
            return Err(ImageError::MediaTypeMismatch { descriptor, content });
        }
        let stated = Some(descriptor).filter(|stated| !stated.is_empty()).or(own);
        let form = match stated {
            Some(stated) => Form::of(stated).unwrap_or(Form::Artifact),
            None if self.fs_layers.is_some() || self.schema_version == Some(1) => Form::Schema1,
            None if self.manifests.is_some() => Form::Index(Format::Oci),
            None => Form::Manifest(Format::Oci),
        };
        match self.schema_version {
            // What a registry that speaks schema 1 sends calls itself all sorts of things.
            Some(1) => return Ok(Form::Schema1),
            None | Some(2) => {}
            Some(version) => return Err(ImageError::SchemaVersion { version }),
        }
        match self.foreign_field(form) {
            Some(field) => {
                Err(ImageError::Ambiguous { media_type: excerpt(stated.unwrap_or_default()), field })
            }
            None => Ok(form),
        }
    }

    /// A field, not empty, that belongs to another form.
    fn foreign_field(&self, form: Form) -> Option<&'static str> {
        let (config, layers) = (("config", &self.config), ("layers", &self.layers));
        let (manifests, fs_layers) = (("manifests", &self.manifests), ("fsLayers", &self.fs_layers));
        let foreign = match form {
            Form::Manifest(_) => vec![manifests, fs_layers],
            Form::Index(_) => vec![config, layers, fs_layers],
            Form::Artifact | Form::Schema1 => vec![],
        };
        let is_empty = |value: &Value| match value {
            Value::Null => true,
            Value::Array(items) => items.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            _ => false,
        };
        foreign
            .into_iter()
            .find(|(_, value)| value.as_ref().is_some_and(|value| !is_empty(value)))
            .map(|(name, _)| name)
    }
}

/// Content whose descriptor does not even claim to be a manifest.
fn not_a_manifest(media_type: &str, bytes: &[u8]) -> Result<ManifestKind, ImageError> {
    let content = serde_json::from_slice::<Outline>(bytes).ok().and_then(|outline| outline.media_type);
    match content.filter(|content| Form::of(content).is_some()) {
        Some(content) => {
            Err(ImageError::MediaTypeMismatch { descriptor: excerpt(media_type), content: excerpt(&content) })
        }
        None => Ok(ManifestKind::Artifact { artifact_type: excerpt(media_type) }),
    }
}

fn classify(manifest: Manifest) -> ManifestKind {
    if manifest.is_nydus() {
        return ManifestKind::Nydus(manifest);
    }
    if !is_image_config(&manifest) {
        let artifact_type = manifest.artifact_type.as_deref().unwrap_or(&manifest.config.media_type);
        return ManifestKind::Artifact { artifact_type: excerpt(artifact_type) };
    }
    let forms: Vec<LayerForm> =
        manifest.layers.iter().map(|layer| LayerForm::of(&layer.media_type)).collect();
    let all_unknown = forms.iter().all(|form| *form == LayerForm::Unknown);
    if let Some(first) = manifest.layers.first().filter(|_| all_unknown) {
        // Attestations have an image's config, and layers that are anything but layers.
        let artifact_type = manifest.artifact_type.as_deref().unwrap_or(&first.media_type);
        return ManifestKind::Artifact { artifact_type: excerpt(artifact_type) };
    }
    let first_that_is = |wanted: LayerForm| {
        let index = forms.iter().position(|form| *form == wanted)?;
        let layer = manifest.layers.get(index)?;
        let media_type = excerpt(&layer.media_type);
        Some(LayerAt { number: index + 1, count: forms.len(), digest: layer.digest, media_type })
    };
    if let Some(layer) = first_that_is(LayerForm::Encrypted) {
        return ManifestKind::EncryptedLayers(layer);
    }
    if let Some(layer) = first_that_is(LayerForm::Foreign) {
        return ManifestKind::ForeignLayers(layer);
    }
    // A Nydus blob without a bootstrap above it is nothing that can be read either.
    if let Some(layer) = first_that_is(LayerForm::Unknown).or_else(|| first_that_is(LayerForm::NydusBlob)) {
        return ManifestKind::UnknownLayers(layer);
    }
    ManifestKind::Image(manifest)
}

fn is_image_config(manifest: &Manifest) -> bool {
    match manifest.config.media_type.as_str() {
        media_type::OCI_CONFIG | media_type::DOCKER_CONFIG | nydus::CONFIG_MEDIA_TYPE => true,
        // Written by early Docker versions; Docker itself still takes it for an image.
        "application/octet-stream" => manifest.format == Format::Docker,
        _ => false,
    }
}
