//! What the kernel needs to mount a Nydus image with EROFS alone: the bootstrap, and every blob as a device, in order.

use nydus_convert_oci::{Digest, Platform, Source, nydus};
use nydus_convert_rafs::{self as rafs, Blob, BlobFeatures, ChunkFlags, FsVersion};

use super::error::{ImageError, NydusError};
use super::find::{FoundKind, find_one};
use super::locate::find_blob;
use super::nydus::MAX_BOOTSTRAP;

/// An image that the kernel can mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelMount {
    /// The file system to mount.
    pub bootstrap: Vec<u8>,
    /// The blobs, in the order of the file system's devices.
    pub devices: Vec<Digest>,
}

/// Finds what to mount for `platform`; an error if the kernel would refuse the image or show wrong data.
pub fn kernel_mount(source: &dyn Source, platform: Option<&Platform>) -> Result<KernelMount, ImageError> {
    let missing = || ImageError::NotNydus { reference: source.name().to_string() };
    let FoundKind::Nydus(manifest) = find_one(source, platform)?.kind else { return Err(missing()) };
    let layer = source.open(manifest.layers.last().ok_or_else(missing)?)?;
    let layer = nydus::read_bootstrap(layer, MAX_BOOTSTRAP).map_err(nydus_convert_oci::Error::from)?;
    let (frame, image) = rafs::describe(&layer.bytes).map_err(NydusError::Bootstrap)?;
    if frame.version == FsVersion::V5 {
        return Err(ImageError::NotForTheKernel {
            why: "it is RAFS v5, which only FUSE clients read".to_owned(),
        });
    }
    let mut devices = Vec::with_capacity(image.blobs.len());
    for blob in &image.blobs {
        let digest = find_blob(&manifest, blob.name)?.digest;
        if let Some(why) = obstacle(blob) {
            return Err(ImageError::NotForTheKernel { why: format!("in the blob {digest} {why}") });
        }
        devices.push(digest);
    }
    Ok(KernelMount { bootstrap: layer.bytes, devices })
}

/// Why the stored bytes of a blob are not what a device must hold.
fn obstacle(blob: &Blob) -> Option<&'static str> {
    let hidden = BlobFeatures::BATCH | BlobFeatures::ZRAN | BlobFeatures::ENCRYPTED;
    if blob.features.intersects(hidden) {
        return Some("chunks are batched, encrypted or in a gzip stream");
    }
    if blob.chunks.is_empty() {
        return Some("the places of the chunks are unknown");
    }
    blob.chunks.iter().find_map(|(_, chunk)| {
        if chunk.flags.contains(ChunkFlags::COMPRESSED) {
            Some("chunks are compressed")
        } else if chunk.compressed_offset != chunk.uncompressed_offset {
            Some("chunks are packed without gaps")
        } else {
            None
        }
    })
}
