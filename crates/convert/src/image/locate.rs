//! Which layer of a manifest a blob of the bootstrap is.

use nydus_convert_oci::{Descriptor, Manifest};
use nydus_convert_rafs::BlobName;

use super::error::{NydusError, UnknownBlob};

/// The layer that a blob of the bootstrap is.
pub fn find_blob(manifest: &Manifest, name: BlobName) -> Result<&Descriptor, NydusError> {
    find_layer(&manifest.layers, name).map_err(|UnknownBlob { id }| NydusError::UnknownBlob { id })
}

/// The one of these layers that a blob is.
pub fn find_layer(layers: &[Descriptor], name: BlobName) -> Result<&Descriptor, UnknownBlob> {
    let id = match name {
        BlobName::Id(id) => id.to_string(),
        BlobName::ThisBlob => "of the layer itself".to_owned(),
    };
    layers.iter().find(|layer| layer.digest.hex() == id).ok_or(UnknownBlob { id })
}
