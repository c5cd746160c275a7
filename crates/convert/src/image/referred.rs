//! Blobs that only refer to an original layer: where both are in an image.
//!
//! ```text
//!   layers   metadata blob, annotated with the digest of its layer … │ original layers │ bootstrap
//! ```
//! The reference converter leaves the original layers out of the manifest; then they are looked for by their digests,
//! where the image is.

use nydus_convert_chunk::Referred;
use nydus_convert_oci::nydus::REFERENCE_LAYER;
use nydus_convert_oci::{self as oci, Descriptor, Digest, Source};
use nydus_convert_rafs::{Blob, BlobFeatures, BlobId, BlobName};

use super::blob_file::BlobFile;
use super::error::{ImageError, NydusError};
use super::locate::find_layer;

/// The layer that a metadata blob refers to, if it is one.
pub fn reference(layer: &Descriptor) -> Option<Digest> {
    layer.annotations.get(REFERENCE_LAYER)?.parse().ok()
}

/// Whether one of `layers` is there because another one refers to it.
pub fn is_original(layers: &[Descriptor], layer: &Descriptor) -> bool {
    reference(layer).is_none() && layers.iter().any(|other| reference(other) == Some(layer.digest))
}

/// Whether the chunks of a blob lie in an original layer.
pub fn is_referred(blob: &Blob) -> bool {
    blob.features.contains(BlobFeatures::SEPARATE)
}

/// The metadata blob of a referred layer.
pub fn find_meta<'a>(layers: &'a [Descriptor], blob: &Blob) -> Result<&'a Descriptor, NydusError> {
    let id = BlobName::Id(BlobId(blob.meta_digest));
    find_layer(layers, id).map_err(|unknown| NydusError::UnknownBlob { id: unknown.id })
}

/// The original layer, whether the manifest lists it or not.
pub fn find_data(layers: &[Descriptor], blob: &Blob) -> Result<Descriptor, NydusError> {
    match (find_layer(layers, blob.name), blob.name) {
        (Ok(layer), _) => Ok(layer.clone()),
        (Err(_), BlobName::Id(id)) => Ok(unlisted(Digest::from_sha256(id.0), blob.compressed_size)),
        (Err(unknown), BlobName::ThisBlob) => Err(NydusError::UnknownBlob { id: unknown.id }),
    }
}

/// A layer that no manifest at hand describes.
pub fn unlisted(digest: Digest, size: u64) -> Descriptor {
    oci::Blob { digest, size }.descriptor(oci::media_type::OCI_LAYER_GZIP)
}

/// Opens both blobs of a referred layer; gives the digest of the metadata blob too.
pub fn open(
    source: &dyn Source,
    layers: &[Descriptor],
    blob: &Blob,
) -> Result<(Digest, Referred<BlobFile>), ImageError> {
    let (meta, data) = (find_meta(layers, blob)?, find_data(layers, blob)?);
    let digest = meta.digest;
    let referred = Referred::open(BlobFile::open(source, meta)?, BlobFile::open(source, &data)?);
    Ok((digest, referred.map_err(|source| NydusError::Blob { digest, source })?))
}
