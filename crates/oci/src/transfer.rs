//! Copying an image with everything below it, unchanged.

use serde::Deserialize;
use serde_json::Value;

use crate::descriptor::Descriptor;
use crate::error::Error;
use crate::image::{ImageError, MAX_MANIFEST};
use crate::media_type;
use crate::sink::Sink;
use crate::source::Source;

/// Indexes inside indexes that are followed. Real images have one level; a chain of digests cannot be
/// circular, but it can be long.
const MAX_DEPTH: usize = 8;

/// Copies `descriptor` and, if it is a manifest or an index, everything it names: image or artifact, Nydus or
/// not. What it names is complete in `sink` before it itself is.
pub fn copy_image(source: &dyn Source, sink: &dyn Sink, descriptor: &Descriptor) -> Result<(), Error> {
    copy_below(source, sink, descriptor, MAX_DEPTH)
}

fn copy_below(
    source: &dyn Source,
    sink: &dyn Sink,
    descriptor: &Descriptor,
    depth: usize,
) -> Result<(), Error> {
    if is_manifest(&descriptor.media_type) {
        let depth = depth.checked_sub(1).ok_or(ImageError::TooDeep { limit: MAX_DEPTH })?;
        let bytes = source.read(descriptor, MAX_MANIFEST)?;
        for child in children(descriptor, &bytes)? {
            copy_below(source, sink, &child, depth)?;
        }
    }
    sink.copy(source, descriptor)
}

/// Whether content of this media type names other content by descriptors.
pub(crate) fn is_manifest(media_type: &str) -> bool {
    matches!(
        media_type,
        media_type::OCI_MANIFEST
            | media_type::OCI_INDEX
            | media_type::OCI_ARTIFACT
            | media_type::DOCKER_MANIFEST
            | media_type::DOCKER_LIST
    )
}

/// Every descriptor of a manifest or index of any sort, but for `subject`, which names what the image belongs
/// to, not what belongs to it.
fn children(descriptor: &Descriptor, bytes: &[u8]) -> Result<Vec<Descriptor>, Error> {
    #[derive(Deserialize)]
    struct Parts {
        config: Option<Value>,
        layers: Option<Vec<Value>>,
        manifests: Option<Vec<Value>>,
        blobs: Option<Vec<Value>>,
    }
    let malformed = |source| ImageError::Malformed { digest: Some(descriptor.digest), source };
    let parts: Parts = serde_json::from_slice(bytes).map_err(malformed)?;
    let lists = [parts.layers, parts.blobs, parts.manifests].into_iter().flatten().flatten();
    let all = parts.config.into_iter().chain(lists);
    all.map(|value| serde_json::from_value(value).map_err(|error| malformed(error).into())).collect()
}
