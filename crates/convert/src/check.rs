//! Verifying an image end to end: descriptors, structures, every chunk.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use nydus_convert_chunk::{BlobReader, Referred};
use nydus_convert_layer::LayerReader;
use nydus_convert_oci::{
    self as oci, Descriptor, DiffId, Digest, HashingReader, Manifest, Source, decompress,
};
use nydus_convert_rafs::{Blob, BlobId, BlobName, Chunk, ChunkTable, FsVersion, Image};

use crate::error::Error;
use crate::image::NydusError;
use crate::image::PlatformFilter;
use crate::image::blob_file::BlobFile;
use crate::image::find::{self as images, Found, FoundKind};
use crate::image::locate::find_blob;
use crate::image::nydus::read_bootstrap;
use crate::image::referred;
use crate::kind::Kind;
use crate::layer::failure::LayerFailure;
use crate::remembered::{CHUNKS_SECTION, chunk_records};
use crate::report::{CheckReport, CheckedImage, SCHEMA_VERSION};
use crate::run::{LayerLabel, Run};

/// Checks every image behind the source's root that the filter accepts. Problems are collected, so that one report has all
/// of them; an error is returned only for what cannot be looked at.
pub fn check(source: &dyn Source, platforms: &PlatformFilter, run: &Run<'_>) -> Result<CheckReport, Error> {
    let root = source.root();
    let checker = Checker { source, run };
    let mut report = CheckReport {
        schema_version: SCHEMA_VERSION,
        image: source.name().to_string(),
        reference: source.name().pinned(root.digest),
        images: Vec::new(),
        problems: Vec::new(),
    };
    let survey = images::survey(source, platforms)?;
    survey.left_out.iter().for_each(|entry| run.observer.note(&entry.why));
    for found in survey.found {
        let mut problems = Vec::new();
        report.images.push(checker.check_image(&found, &mut problems)?);
        let place = found.label().map(|label| format!("{label}: ")).unwrap_or_default();
        report.problems.extend(problems.iter().map(|problem| format!("{place}{}", chain(problem))));
    }
    Ok(report)
}

/// An error and its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.ends_with(&words) {
            text = format!("{text}: {words}");
        }
        next = cause.source();
    }
    text
}

struct Checker<'a> {
    source: &'a dyn Source,
    run: &'a Run<'a>,
}

impl Checker<'_> {
    fn check_image(&self, found: &Found, problems: &mut Vec<Error>) -> Result<CheckedImage, Error> {
        let mut checked = CheckedImage {
            platform: found.label(),
            kind: "other",
            digest: found.descriptor.digest.to_string(),
            layers: 0,
            inodes: 0,
            chunks: 0,
            bytes: 0,
        };
        match &found.kind {
            FoundKind::Nydus(manifest) => {
                checked.kind = "nydus";
                checked.layers = manifest.layers.len() as u64;
                self.check_nydus(found, manifest, &mut checked, problems)?;
            }
            FoundKind::Oci(manifest) => {
                checked.kind = "oci";
                checked.layers = manifest.layers.len() as u64;
                self.check_oci(found, manifest, problems)?;
            }
            FoundKind::Other => self.check_all_bytes(&found.descriptor, problems),
        }
        Ok(checked)
    }

    fn check_nydus(
        &self,
        found: &Found,
        manifest: &Manifest,
        checked: &mut CheckedImage,
        problems: &mut Vec<Error>,
    ) -> Result<(), Error> {
        let config = images::read_config(self.source, manifest)?;
        let image = match read_bootstrap(self.source, manifest) {
            Ok(image) => image,
            // Of another format, and alone: not looked at rather than wrong.
            Err(error) if error.kind() == Kind::Source && found.descriptor == *self.source.root() => {
                return Err(error.into());
            }
            Err(error) => {
                problems.push(error.into());
                return Ok(());
            }
        };
        checked.inodes = image.tree.link_counts().iter().filter(|count| **count > 0).count() as u64;
        let unknown = image.blobs.iter().filter_map(|blob| match referred::is_referred(blob) {
            true => referred::find_meta(&manifest.layers, blob).err(),
            false => find_blob(manifest, blob.name).err(),
        });
        problems.extend(unknown.map(Error::from));
        let Some((bootstrap, blobs)) = manifest.layers.split_last() else { return Ok(()) };
        for (position, layer) in blobs.iter().enumerate() {
            let label = label(found, manifest, position, layer);
            self.run.observer.layer_started(&label);
            let diff_id = config.diff_ids().get(position).copied();
            match self.check_blob(blobs, layer, diff_id, &image) {
                Ok((chunks, bytes)) => {
                    checked.chunks += chunks;
                    checked.bytes += bytes;
                }
                Err(error) => problems.push(error),
            }
            self.run.observer.layer_advanced(&label, layer.size);
            self.run.observer.layer_finished(&label, layer.size);
        }
        problems
            .extend(self.check_bootstrap_layer(manifest, bootstrap, config.diff_ids().last().copied()).err());
        Ok(())
    }

    /// One blob layer; gives the number of chunks compared and their plain bytes.
    fn check_blob(
        &self,
        layers: &[Descriptor],
        layer: &Descriptor,
        diff_id: Option<DiffId>,
        image: &Image,
    ) -> Result<(u64, u64), Error> {
        let digest = layer.digest;
        let in_blob = |source| NydusError::Blob { digest, source };
        // Blobs count as their own uncompressed form.
        if diff_id != Some(DiffId(digest)) {
            return Err(NydusError::BlobDiffId { digest }.into());
        }
        let id: BlobId = digest.hex().parse().map_err(|_| NydusError::BlobDiffId { digest })?;
        if referred::is_original(layers, layer) {
            return self.check_original(layer).map(|()| (0, 0));
        }
        if image.tarfs {
            return self.check_plain_tar(layer, id, image);
        }
        let reader = Arc::new(BlobReader::open(BlobFile::open(self.source, layer)?).map_err(in_blob)?);
        let own = reader.bootstrap().map_err(in_blob)?;
        let (version, own) = nydus_convert_rafs::parse(&own)
            .map_err(|source| NydusError::LayerBootstrap { digest, source })?;
        if referred::reference(layer).is_some() {
            return self.check_referred(layers, layer, image, &own);
        }
        // The image's record of the blob, or, for a blob that no file of the image uses any more, the blob's own.
        let used = image.blobs.iter().find(|blob| blob.name == BlobName::Id(id));
        let own = own.blobs.iter().find(|blob| blob.name == BlobName::ThisBlob);
        let record = match (version, own) {
            (FsVersion::V5, Some(own)) => {
                let list = reader.section(CHUNKS_SECTION).map_err(in_blob)?;
                Some(Cow::Owned(with_all_chunks(own, used, list.as_deref(), digest)?))
            }
            _ => used.or(own).map(Cow::Borrowed),
        };
        let verified = reader.verify(&self.run.pool, Some(id), record.as_deref()).map_err(in_blob)?;
        Ok((verified.chunks, verified.plain_bytes))
    }

    /// A blob that refers to a layer: what it says of the layer, and the layer, if nobody else does.
    fn check_referred(
        &self,
        layers: &[Descriptor],
        layer: &Descriptor,
        image: &Image,
        own: &Image,
    ) -> Result<(u64, u64), Error> {
        let digest = layer.digest;
        let in_blob = |source| NydusError::Blob { digest, source };
        let id: BlobId = digest.hex().parse().map_err(|_| NydusError::BlobDiffId { digest })?;
        let used = image.blobs.iter().find(|blob| referred::is_referred(blob) && blob.meta_digest == id.0);
        let Some(record) = used.or(own.blobs.iter().find(|blob| referred::is_referred(blob))) else {
            let reader = Arc::new(BlobReader::open(BlobFile::open(self.source, layer)?).map_err(in_blob)?);
            reader.verify(&self.run.pool, Some(id), None).map_err(in_blob)?;
            return Ok((0, 0));
        };
        let data = referred::find_data(layers, record)?;
        if referred::reference(layer) != Some(data.digest) {
            return Err(NydusError::UnknownBlob { id: data.digest.hex().to_owned() }.into());
        }
        if !layers.iter().any(|layer| layer.digest == data.digest) {
            self.check_original(&data)?;
        }
        let referred =
            Referred::open(BlobFile::open(self.source, layer)?, BlobFile::open(self.source, &data)?);
        let verified = referred.and_then(|referred| referred.verify(&self.run.pool, id, record));
        let verified = verified.map_err(in_blob)?;
        Ok((verified.chunks, verified.plain_bytes))
    }

    /// A blob that is a plain tar: it has one digest, that of the whole. Gives the chunks and bytes of files in it.
    fn check_plain_tar(&self, layer: &Descriptor, id: BlobId, image: &Image) -> Result<(u64, u64), Error> {
        self.check_original(layer)?;
        let Some(blob) = image.blobs.iter().find(|blob| blob.name == BlobName::Id(id)) else {
            return Ok((0, 0));
        };
        if blob.compressed_size != layer.size {
            let (digest, expected, actual) = (layer.digest, blob.compressed_size, layer.size);
            return Err(NydusError::TarLength { digest, expected, actual }.into());
        }
        let bytes = blob.chunks.iter().map(|(_, chunk)| u64::from(chunk.uncompressed_size)).sum();
        Ok((blob.chunks.len() as u64, bytes))
    }

    /// A layer that is referred to: its bytes are what its descriptor says.
    fn check_original(&self, layer: &Descriptor) -> Result<(), Error> {
        let reading = |error| oci::Error::reading(layer.digest, error);
        io::copy(&mut self.source.open(layer)?, &mut io::sink()).map_err(reading)?;
        Ok(())
    }

    fn check_bootstrap_layer(
        &self,
        manifest: &Manifest,
        layer: &Descriptor,
        diff_id: Option<DiffId>,
    ) -> Result<(), Error> {
        let plain = decompress(self.source.open(layer)?, self.run.resources.stream_limits())
            .map_err(|error| oci::Error::reading(layer.digest, error))?;
        let mut hashed = HashingReader::new(plain);
        io::copy(&mut hashed, &mut io::sink()).map_err(|error| oci::Error::reading(layer.digest, error))?;
        let (_, actual, _) = hashed.finish();
        self.compare_diff_id(manifest, manifest.layers.len(), layer, diff_id, DiffId(actual))
    }

    /// A plain image: every layer is what its descriptor and its diff id say, and a tar that can be read.
    fn check_oci(&self, found: &Found, manifest: &Manifest, problems: &mut Vec<Error>) -> Result<(), Error> {
        let config = images::read_config(self.source, manifest)?;
        for (position, layer) in manifest.layers.iter().enumerate() {
            let label = label(found, manifest, position, layer);
            self.run.observer.layer_started(&label);
            let diff_id = config.diff_ids().get(position).copied();
            problems.extend(self.check_tar(manifest, position + 1, layer, diff_id).err());
            self.run.observer.layer_advanced(&label, layer.size);
            self.run.observer.layer_finished(&label, layer.size);
        }
        Ok(())
    }

    fn check_tar(
        &self,
        manifest: &Manifest,
        number: usize,
        layer: &Descriptor,
        diff_id: Option<DiffId>,
    ) -> Result<(), Error> {
        let plain = decompress(self.source.open(layer)?, self.run.resources.stream_limits())
            .map_err(|error| oci::Error::reading(layer.digest, error))?;
        let mut entries = LayerReader::new(HashingReader::new(plain));
        let read = (|| {
            while entries.next_entry()?.is_some() {}
            entries.finish()
        })();
        let hashed = read.map_err(|error| failure(manifest, number, layer, LayerFailure::Tar(error)))?;
        self.compare_diff_id(manifest, number, layer, diff_id, DiffId(hashed.finish().1))
    }

    fn compare_diff_id(
        &self,
        manifest: &Manifest,
        number: usize,
        layer: &Descriptor,
        expected: Option<DiffId>,
        actual: DiffId,
    ) -> Result<(), Error> {
        match expected {
            Some(expected) if expected != actual => {
                Err(failure(manifest, number, layer, LayerFailure::DiffId { expected, actual }))
            }
            _ => Ok(()),
        }
    }

    /// Something else: its bytes are what their descriptor says.
    fn check_all_bytes(&self, descriptor: &Descriptor, problems: &mut Vec<Error>) {
        let read = self.source.open(descriptor).and_then(|mut bytes| {
            io::copy(&mut bytes, &mut io::sink())
                .map_err(|error| oci::Error::reading(descriptor.digest, error))
        });
        problems.extend(read.err().map(Error::from));
    }
}

/// A blob of v5 with all chunks that anybody knows: its own bootstrap, its list of further ones, and the image.
fn with_all_chunks(
    own: &Blob,
    used: Option<&Blob>,
    list: Option<&[u8]>,
    digest: Digest,
) -> Result<Blob, NydusError> {
    let mut own = own.clone();
    if let Some(list) = list {
        chunk_records::add(list, &mut own).map_err(|source| NydusError::ChunkList { digest, source })?;
    }
    let Some(used) = used else { return Ok(own) };
    let mut all: Vec<(u32, Chunk)> = own.chunks.iter().map(|(number, chunk)| (number, *chunk)).collect();
    for (number, chunk) in used.chunks.iter() {
        match own.chunks.get(number) {
            Some(known) if known != chunk => return Err(NydusError::ChunkDiffers { digest, number }),
            Some(_) => {}
            None => all.push((number, *chunk)),
        }
    }
    Ok(Blob { chunks: ChunkTable::from_unsorted(all), ..used.clone() })
}

fn label(found: &Found, manifest: &Manifest, position: usize, layer: &Descriptor) -> LayerLabel {
    LayerLabel {
        platform: found.label(),
        number: position + 1,
        count: manifest.layers.len(),
        digest: layer.digest.to_string(),
        size: layer.size,
    }
}

fn failure(manifest: &Manifest, number: usize, layer: &Descriptor, source: LayerFailure) -> Error {
    Error::Layer { number, count: manifest.layers.len(), digest: layer.digest, source: Box::new(source) }
}
