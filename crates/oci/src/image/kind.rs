//! What some JSON is: an image, a Nydus image, an index, or something that cannot be converted, and why.
//!
//! The fields of the document decide, then what it says of itself; what a descriptor or a server says of it comes last, since
//! both are wrong too often. A document with the fields of two sorts is refused: what one client takes for an image and another
//! for an index.

use serde::Deserialize;

use crate::descriptor::Descriptor;
use crate::error::Error;
use crate::media_type::{self, LayerForm};
use crate::nydus;
use crate::source::Source;
use crate::text::excerpt;

use super::error::{ImageError, MAX_MANIFEST};
use super::index::Index;
use super::manifest::{Format, Manifest};
use super::outline::Field;
use super::unsupported::{LayerAt, UnsupportedImage};

/// What the content of a manifest's or index's descriptor is.
#[derive(Debug, Clone, PartialEq)]
pub enum ManifestKind {
    /// An image of tar layers.
    Image(Manifest),
    /// A Nydus image.
    Nydus(Manifest),
    /// An image index or manifest list.
    Index(Index),
    /// Something that is not a container image.
    Artifact {
        /// Its artifact type, or else its media type, escaped.
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

impl ManifestKind {
    /// Classifies `bytes`, whose descriptor says `media_type` (empty where nobody says anything).
    pub fn parse(media_type: &str, bytes: &[u8]) -> Result<Self, ImageError> {
        let size = bytes.len() as u64;
        if size > MAX_MANIFEST {
            return Err(ImageError::TooLarge { what: "manifest", size, limit: MAX_MANIFEST });
        }
        let malformed = |source| ImageError::Malformed { digest: None, source };
        let is_known = media_type::is_generic(media_type) || Form::of(media_type).is_some();
        let outline: Outline = match serde_json::from_slice(bytes) {
            Ok(outline) => outline,
            Err(_) if !media_type.is_empty() && Form::of(media_type).is_none() => {
                return Ok(Self::Artifact { artifact_type: excerpt(media_type) });
            }
            Err(error) => return Err(malformed(error)),
        };
        if !is_known && !outline.is_typed() {
            return Ok(Self::Artifact { artifact_type: excerpt(media_type) });
        }
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
    config: Option<Field>,
    layers: Option<Field>,
    manifests: Option<Field>,
    fs_layers: Option<Field>,
}

impl Outline {
    /// What the document is: by its fields, then by what it says of itself, then by what its descriptor says.
    fn form(&self, descriptor: &str) -> Result<Form, ImageError> {
        let stated =
            [self.media_type.as_deref().unwrap_or_default(), descriptor].into_iter().find_map(Form::of);
        match self.schema_version {
            // What a registry that speaks schema 1 sends calls itself all sorts of things.
            Some(1) => return Ok(Form::Schema1),
            None | Some(2) => {}
            Some(version) => return Err(ImageError::SchemaVersion { version }),
        }
        if let Some(Form::Artifact) = stated {
            return Ok(Form::Artifact);
        }
        let format = match stated {
            Some(Form::Manifest(format) | Form::Index(format)) => format,
            _ if self.is_dockers() => Format::Docker,
            _ => Format::Oci,
        };
        let has = |field: &Option<Field>| field.as_ref().is_some_and(|field| !field.is_empty);
        let (manifests, layers) = (has(&self.manifests), has(&self.config) || has(&self.layers));
        let form = match stated {
            Some(Form::Manifest(_)) if layers => Form::Manifest(format),
            Some(Form::Manifest(_)) if !manifests => Form::Manifest(format),
            _ if self.manifests.is_some() => Form::Index(format),
            _ if layers => Form::Manifest(format),
            _ if has(&self.fs_layers) => Form::Schema1,
            Some(stated) => stated,
            None => Form::Manifest(format),
        };
        let fields = [("manifests", &self.manifests), ("fsLayers", &self.fs_layers)];
        let foreign = match form {
            Form::Manifest(_) => &fields[..],
            Form::Index(_) => &[("config", &self.config), ("layers", &self.layers), fields[1]],
            Form::Artifact | Form::Schema1 => &[],
        };
        match foreign.iter().find(|(_, field)| has(field)) {
            Some((field, _)) => {
                let media_type = excerpt(self.media_type.as_deref().unwrap_or(descriptor));
                Err(ImageError::Ambiguous { media_type, field })
            }
            None => Ok(form),
        }
    }

    /// Whether it says of itself that it is one of the documents that images are made of.
    fn is_typed(&self) -> bool {
        self.media_type.as_deref().and_then(Form::of).is_some()
    }

    /// Whether a document that does not say what it is has Docker's types inside.
    fn is_dockers(&self) -> bool {
        let manifests = self.manifests.as_ref().filter(|field| !field.is_empty);
        let first = manifests.or(self.config.as_ref());
        let media_type = first.and_then(|field| field.media_type.as_deref());
        media_type.is_some_and(|media_type| media_type.starts_with("application/vnd.docker."))
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
        // Early Docker versions and some mirrors write anything; moby takes these for images too. Whether it is one, its layers
        // say, or the lack of them in a manifest of Docker's.
        media_type => {
            let mut layers = manifest.layers.iter().map(|layer| layer.media_type.as_str());
            let is_image = manifest.format == Format::Docker
                || layers.any(|layer| {
                    !media_type::is_generic(layer) && LayerForm::of(layer) != LayerForm::Unknown
                });
            media_type::is_generic(media_type) && is_image && manifest.artifact_type.is_none()
        }
    }
}
