//! Registries without the referrers API: what refers to an image is listed in an index under a tag made of its digest
//! (distribution specification 1.1, "Referrers Tag Schema").

use serde::Deserialize;

use super::client::Client;
use super::error::RegistryError;
use super::http::{Payload, Request};
use super::source::fetch_manifest;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::Error;
use crate::image::{Format, Index, ManifestKind};
use crate::media_type as mt;

/// The parts of a manifest that its entry in such an index is made of.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Referrer {
    subject: Option<Subject>,
    artifact_type: Option<String>,
    config: Option<Config>,
    #[serde(default)]
    annotations: Option<crate::descriptor::Annotations>,
}

#[derive(Deserialize)]
struct Subject {
    digest: Digest,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    media_type: String,
}

/// Lists a manifest that was written, if it refers to another one. To be called where the registry did not say that it
/// has taken note itself (`OCI-Subject`).
pub(super) fn list(client: &Client, descriptor: &Descriptor, bytes: &[u8]) -> Result<(), RegistryError> {
    let Ok(Referrer { subject: Some(subject), artifact_type, config, annotations }) =
        serde_json::from_slice(bytes)
    else {
        return Ok(());
    };
    let mut entry = Descriptor::new(descriptor.media_type.clone(), descriptor.digest, descriptor.size);
    entry.artifact_type = artifact_type.or(config.map(|config| config.media_type));
    entry.annotations = annotations.unwrap_or_default();
    let tag = format!("{}-{}", subject.digest.algorithm().name(), subject.digest.hex());
    let mut index = read(client, &tag)?;
    if index.manifests.iter().any(|listed| listed.digest == entry.digest) {
        return Ok(());
    }
    index.manifests.push(entry);
    let bytes = index.to_json();
    let request = Request::new("PUT", client.url(&format!("manifests/{tag}")))
        .header("content-type", mt::OCI_INDEX)
        .payload(Payload::Bytes(&bytes));
    let answer = client.call(&request)?;
    match answer.status() {
        200..=202 => {
            answer.discard();
            Ok(())
        }
        _ => Err(client.status(&request, answer)),
    }
}

/// The index under `tag`, or an empty one. What is no index there is replaced: nothing else may have such a tag.
fn read(client: &Client, tag: &str) -> Result<Index, RegistryError> {
    let empty = || Index {
        format: Format::Oci,
        artifact_type: None,
        manifests: Vec::new(),
        unreadable: Vec::new(),
        subject: None,
        annotations: Default::default(),
        other: serde_json::Map::new(),
    };
    match fetch_manifest(client, tag, None, tag) {
        Ok((descriptor, bytes)) => match ManifestKind::parse(&descriptor.media_type, &bytes) {
            Ok(ManifestKind::Index(index)) => Ok(index),
            _ => Ok(empty()),
        },
        Err(Error::Registry(error)) => match *error {
            RegistryError::NotFound { .. } => Ok(empty()),
            error => Err(error),
        },
        Err(_) => Ok(empty()),
    }
}
