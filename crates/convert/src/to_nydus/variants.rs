//! The images of an index that holds them beside their Nydus variants.

use std::io::Write as _;

use flate2::{Compression, GzBuilder};
use nydus_convert_oci::image::Format;
use nydus_convert_oci::nydus::{self, ARTIFACT_TYPE, EMPTY_TAR, SOURCE_DIGEST};
use nydus_convert_oci::{self as oci, Annotations, Blob, Descriptor, Index, Manifest, Platform};

use super::Conversion;
use crate::error::Error;
use crate::image::find::{self as images, Found};

impl Conversion<'_> {
    /// An image that stands alone and its Nydus variant, in an index.
    pub(super) fn pair(
        &mut self,
        found: &Found,
        manifest: &Manifest,
        converted: &Descriptor,
    ) -> Result<Descriptor, Error> {
        let image = self.variant(found, manifest)?;
        let nydus = nydus_entry(&found.descriptor, converted, found.platform.clone());
        let mut annotations = self.annotations();
        annotations.insert(SOURCE_DIGEST.to_owned(), found.descriptor.digest.to_string());
        let index = Index {
            format: Format::Oci,
            artifact_type: None,
            manifests: vec![image, nydus],
            unreadable: Vec::new(),
            subject: None,
            annotations,
            other: serde_json::Map::new(),
        };
        Ok(oci::image::put(self.run.sink, Format::Oci.index(), &index.to_json())?)
    }

    /// Writes an image as it is in such an index, and gives its entry.
    pub(super) fn variant(&self, found: &Found, manifest: &Manifest) -> Result<Descriptor, Error> {
        let (source, sink) = (self.run.source, self.run.sink);
        for layer in &manifest.layers {
            sink.copy(source, layer)?;
        }
        let config = nydus::variant_config(&images::read_config(source, manifest)?);
        let config = oci::image::put(sink, Format::Oci.config(), &config.to_json())?;
        let empty = gzip(&EMPTY_TAR).map_err(oci::Error::writing)?;
        let empty = sink.put(oci::media_type::OCI_LAYER_GZIP, &empty)?;
        let origin = found.descriptor.digest;
        let manifest = nydus::variant_manifest(manifest, origin, blob(&config), blob(&empty));
        let mut entry = oci::image::put(sink, Format::Oci.manifest(), &manifest.to_json())?;
        entry.annotations = entry_annotations(&found.descriptor);
        entry.annotations.insert(SOURCE_DIGEST.to_owned(), origin.to_string());
        entry.platform.clone_from(&found.platform);
        Ok(entry)
    }
}

/// The entry of a Nydus variant. `source` is the image's.
pub(super) fn nydus_entry(
    source: &Descriptor,
    converted: &Descriptor,
    platform: Option<Platform>,
) -> Descriptor {
    let source = Descriptor { annotations: entry_annotations(source), ..source.clone() };
    let platform = platform.unwrap_or_default();
    nydus::index_entry(Format::Oci, &source, blob(converted), platform, Some(ARTIFACT_TYPE))
}

/// What an entry says of the image, without the names that a layout has for it.
fn entry_annotations(source: &Descriptor) -> Annotations {
    let mut annotations = source.annotations.clone();
    annotations.remove(oci::layout::REF_NAME);
    annotations.remove(oci::layout::CONTAINERD_NAME);
    annotations
}

fn blob(descriptor: &Descriptor) -> Blob {
    Blob { digest: descriptor.digest, size: descriptor.size }
}

fn gzip(plain: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut out = GzBuilder::new().mtime(0).write(Vec::new(), Compression::default());
    out.write_all(plain)?;
    out.finish()
}
