//! Which image of a layout is meant.

use std::io::Read;
use std::path::Path;

use serde::Deserialize;

use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::Error;
use crate::image::MAX_MANIFEST;
use crate::media_type;
use crate::text::excerpt;
use crate::verify::VerifyError;

use super::LayoutError;
use super::index::IndexFile;

/// Opens a blob of the layout, verified.
pub(crate) trait Open: Fn(&Descriptor) -> Result<Box<dyn Read + Send>, Error> {}
impl<F: Fn(&Descriptor) -> Result<Box<dyn Read + Send>, Error>> Open for F {}

/// The image that `name` and `pin` mean:
///
/// * By `name`: an entry of `index.json` with this `org.opencontainers.image.ref.name` or
///   `io.containerd.image.name`. With a `pin` as well, it must have this digest.
/// * By `pin` alone: an entry with this digest, or an image inside an index that has an entry.
/// * By neither: the only image there is.
///
/// `place` is the layout in messages.
pub(crate) fn find_root(
    place: &Path,
    index: &IndexFile,
    (name, pin): (Option<&str>, Option<&Digest>),
    open: impl Open,
) -> Result<Descriptor, Error> {
    match (find(place, index, name, pin), pin) {
        (Err(missing @ LayoutError::RefMissing { .. }), Some(pin)) if name.is_none() => {
            Ok(find_inside(index, pin, open)?.ok_or(missing)?)
        }
        (found, _) => Ok(found?),
    }
}

/// The entry of `index.json` that `name` and `pin` mean.
fn find(
    dir: &Path,
    index: &IndexFile,
    name: Option<&str>,
    pin: Option<&Digest>,
) -> Result<Descriptor, LayoutError> {
    let entries: Vec<_> = index.entries().collect();
    if entries.is_empty() {
        return Err(LayoutError::Empty { path: dir.to_owned() });
    }
    let pin_text = pin.map(Digest::to_string);
    let chosen: Vec<usize> = entries
        .iter()
        .enumerate()
        .filter(|(_, entry)| match (name, &pin_text) {
            (Some(name), _) => entry.is_called(name),
            (None, Some(pin)) => entry.digest == *pin,
            (None, None) => true,
        })
        .map(|(position, _)| position)
        .collect();
    let labels = |positions: &[usize]| -> Vec<String> {
        positions.iter().filter_map(|&position| entries.get(position)).map(|entry| entry.label()).collect()
    };
    let Some(&first) = chosen.first() else {
        let reference = excerpt(name.or(pin_text.as_deref()).unwrap_or_default());
        let available = entries.iter().map(|entry| entry.label()).collect();
        return Err(LayoutError::RefMissing { path: dir.to_owned(), reference, available });
    };
    let digest_at = |position: usize| entries.get(position).map(|entry| entry.digest.as_str());
    // Two names of one image are one image.
    if chosen.iter().any(|&position| digest_at(position) != digest_at(first)) {
        let available = match name {
            Some(_) => chosen.iter().filter_map(|&position| digest_at(position)).map(excerpt).collect(),
            None => labels(&chosen),
        };
        return Err(LayoutError::Ambiguous { path: dir.to_owned(), available });
    }
    let descriptor = index
        .descriptor(first)
        .map_err(|source| LayoutError::Malformed { path: dir.join("index.json"), source })?;
    match (name, pin) {
        (Some(name), Some(pin)) if descriptor.digest != *pin => {
            let mismatch = VerifyError::DigestMismatch { expected: *pin, actual: descriptor.digest };
            let (path, reference) = (dir.to_owned(), excerpt(name));
            Err(LayoutError::PinMismatch { path, reference, source: Box::new(mismatch) })
        }
        _ => Ok(descriptor),
    }
}

/// The image with digest `pin` inside one of the layout's indexes: people pin one platform of an index that
/// way.
fn find_inside(index: &IndexFile, pin: &Digest, open: impl Open) -> Result<Option<Descriptor>, Error> {
    #[derive(Deserialize)]
    struct Inner {
        #[serde(default)]
        manifests: Option<Vec<serde_json::Value>>,
    }
    for position in 0..index.entries().count() {
        let Ok(entry) = index.descriptor(position) else { continue };
        let is_index = matches!(entry.media_type.as_str(), media_type::OCI_INDEX | media_type::DOCKER_LIST);
        if !is_index || entry.size > MAX_MANIFEST {
            continue;
        }
        let mut bytes = Vec::new();
        open(&entry)?.read_to_end(&mut bytes).map_err(|source| Error::reading(entry.digest, source))?;
        let Ok(inner) = serde_json::from_slice::<Inner>(&bytes) else { continue };
        let descriptors = inner.manifests.unwrap_or_default().into_iter();
        let mut descriptors =
            descriptors.filter_map(|value| serde_json::from_value::<Descriptor>(value).ok());
        if let Some(found) = descriptors.find(|descriptor| descriptor.digest == *pin) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}
