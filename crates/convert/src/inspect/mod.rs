//! Looking at all that an image is made of: manifests, layers, bootstrap, blobs, chunks, files, deduplication.
//!
//! Nothing is verified beyond what reading needs; `check` does that. Blobs are opened only where asked for, because
//! they can be far away.

mod blobs;
mod files;
mod report;
mod text;

use nydus_convert_chunk::BlobReader;
use nydus_convert_oci::{Descriptor, Manifest, Source, nydus};
use nydus_convert_rafs::{self as rafs, Blob, Image};
use serde::{Deserialize, Serialize};

pub use report::{
    BlobSection, ChunkPlace, InodeCounts, InspectedBatch, InspectedBlob, InspectedChunk, InspectedFile,
    InspectedFileSystem, InspectedImage, InspectedLayer, InspectedTable, Inspection, Stored,
};

use crate::error::Error;
use crate::image::ImageError;
use crate::image::NydusError;
use crate::image::PlatformFilter;
use crate::image::blob_file::BlobFile;
use crate::image::find::{self as images, Found, FoundKind};
use crate::image::locate::find_blob;
use crate::image::nydus::MAX_BOOTSTRAP;
use crate::image::referred;
use crate::remembered::REPLAY;
use crate::report::SCHEMA_VERSION;

/// How deep to look.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InspectOptions {
    /// Which images of an index.
    pub platforms: PlatformFilter,
    /// Open the blobs and list their sections.
    pub blobs: bool,
    /// List every chunk; opens the blobs.
    pub chunks: bool,
    /// List every file with its chunks.
    pub files: bool,
}

/// Describes every image behind the source's root.
pub fn inspect(source: &dyn Source, options: &InspectOptions) -> Result<Inspection, Error> {
    let root = source.root();
    let images::Survey { found, left_out, .. } = images::survey(source, &options.platforms)?;
    Ok(Inspection {
        schema_version: SCHEMA_VERSION,
        image: source.name().to_string(),
        reference: source.name().pinned(root.digest),
        media_type: root.media_type.clone(),
        left_out: left_out.into_iter().map(|entry| entry.why).collect(),
        images: found.iter().map(|found| describe(source, found, options)).collect::<Result<_, _>>()?,
    })
}

fn describe(source: &dyn Source, found: &Found, options: &InspectOptions) -> Result<InspectedImage, Error> {
    let mut image = InspectedImage {
        platform: found.label(),
        kind: "other",
        digest: found.descriptor.digest.to_string(),
        media_type: found.descriptor.media_type.clone(),
        config: None,
        annotations: Default::default(),
        layers: Vec::new(),
        file_system: None,
    };
    let manifest = match &found.kind {
        FoundKind::Oci(manifest) | FoundKind::Nydus(manifest) => manifest,
        FoundKind::Other => return Ok(image),
    };
    let is_nydus = matches!(found.kind, FoundKind::Nydus(_));
    image.kind = if is_nydus { "nydus" } else { "oci" };
    image.config = Some(manifest.config.digest.to_string());
    image.annotations = manifest.annotations.clone();
    let config = images::read_config(source, manifest)?;
    for (position, layer) in manifest.layers.iter().enumerate() {
        let diff_id = config.diff_ids().get(position).map(ToString::to_string);
        let is_last = position + 1 == manifest.layers.len();
        let content = match (is_nydus, is_last) {
            (false, _) => "tar",
            (true, false) => "blob",
            (true, true) => "bootstrap",
        };
        image.layers.push(describe_layer(layer, diff_id, content));
    }
    if is_nydus {
        image.file_system = Some(describe_file_system(source, manifest, options)?);
    }
    Ok(image)
}

fn describe_layer(layer: &Descriptor, diff_id: Option<String>, content: &'static str) -> InspectedLayer {
    InspectedLayer {
        digest: layer.digest.to_string(),
        media_type: layer.media_type.clone(),
        size: layer.size,
        diff_id,
        content,
        annotations: layer.annotations.clone(),
    }
}

fn describe_file_system(
    source: &dyn Source,
    manifest: &Manifest,
    options: &InspectOptions,
) -> Result<InspectedFileSystem, Error> {
    let missing = || Error::from(ImageError::NotNydus { reference: source.name().to_string() });
    let layer = source.open(manifest.layers.last().ok_or_else(missing)?)?;
    let layer = nydus::read_bootstrap(layer, MAX_BOOTSTRAP).map_err(nydus_convert_oci::Error::from)?;
    let (frame, image) = rafs::describe(&layer.bytes).map_err(NydusError::Bootstrap)?;
    let uses = blobs::Uses::of(&image);
    let mut described = Vec::with_capacity(image.blobs.len());
    for (index, blob) in image.blobs.iter().enumerate() {
        let mut record = blobs::of_bootstrap(index, blob, &uses);
        if options.blobs || options.chunks {
            let reader = open_blob(source, manifest, &image, index)?;
            let digest = describing(manifest, blob)?.digest;
            blobs::look_inside(&mut record, &reader, blob)
                .map_err(|source| NydusError::Blob { digest, source })?;
        }
        if !options.chunks {
            record.chunks = None;
        }
        described.push(record);
    }
    let prefetch = files::paths_of(&image.tree, &image.prefetch);
    Ok(InspectedFileSystem {
        fs_version: frame.version.to_string(),
        flags: frame.flags,
        compressor: image.compressor.to_string(),
        digester: image.digester.to_string(),
        chunk_size: image.chunk_size.bytes(),
        bootstrap_bytes: layer.bytes.len() as u64,
        remembers_original: layer.origin.is_some() && manifest.annotations.contains_key(REPLAY),
        tables: frame.tables.iter().map(InspectedTable::from).collect(),
        inodes: files::count(&image),
        chunks: uses.total(),
        prefetch,
        blobs: described,
        files: options.files.then(|| files::list(&image)).transpose()?,
    })
}

/// The layer that tells of the chunks of a blob.
fn describing<'a>(manifest: &'a Manifest, blob: &Blob) -> Result<&'a Descriptor, NydusError> {
    match referred::is_referred(blob) {
        true => referred::find_meta(&manifest.layers, blob),
        false => find_blob(manifest, blob.name),
    }
}

fn open_blob(
    source: &dyn Source,
    manifest: &Manifest,
    image: &Image,
    index: usize,
) -> Result<BlobReader<BlobFile>, Error> {
    let blob = &image.blobs[index];
    let descriptor = describing(manifest, blob)?;
    let file = BlobFile::open(source, descriptor)?;
    let digest = descriptor.digest;
    Ok(BlobReader::open_as(file, blob).map_err(|source| NydusError::Blob { digest, source })?)
}
