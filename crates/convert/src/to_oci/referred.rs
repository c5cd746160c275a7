//! A layer that never was anything else: it is taken as it is.

use std::io;

use nydus_convert_oci::nydus::LayerStorage;
use nydus_convert_oci::{self as oci, Compression, Descriptor, DiffId, Digest, HashingReader, decompress};

use super::restoring::{Expected, RestoredTar, Restoring};
use crate::image::referred;
use crate::layer::failure::LayerFailure;
use crate::options::Layers;

impl Restoring<'_> {
    /// The layer that the blob refers to, whose digest this is.
    pub(super) fn referred(&self, digest: Digest) -> Result<RestoredTar, LayerFailure> {
        let layer = self.original_layer(digest)?;
        if self.run.options.layers != Layers::Original {
            let (stored, diff_id, _) = self.with_plain(&layer, |tar| self.compress(tar))?;
            return Ok(self.anew(stored, diff_id, true));
        }
        self.run.sink.copy(self.run.source, &layer)?;
        let (diff_id, storage) = match &self.job.expected {
            Some(Expected { layer, diff_id }) => (*diff_id, storage_of(&layer.media_type)),
            None => {
                let read = |tar: &mut dyn io::Read| {
                    io::copy(tar, &mut io::sink()).map_err(|error| self.stream_error(error))
                };
                let (_, diff_id, compression) = self.with_plain(&layer, read)?;
                let storage = match compression {
                    Compression::None => LayerStorage::Plain,
                    Compression::Gzip => LayerStorage::Gzip,
                    Compression::Zstd => LayerStorage::Zstd,
                };
                (diff_id, storage)
            }
        };
        Ok(RestoredTar {
            blob: oci::Blob { digest: layer.digest, size: layer.size },
            diff_id,
            storage,
            exact: true,
            exact_tar: true,
            method: "the layer itself".to_owned(),
            from: Some(self.job.blob.digest),
        })
    }

    /// What is told of the layer: by the original manifest, by this one, or else by the blob that refers to it.
    fn original_layer(&self, digest: Digest) -> Result<Descriptor, LayerFailure> {
        if let Some(Expected { layer, .. }) = &self.job.expected {
            let (expected, actual) = (layer.digest, digest);
            let what = "the layer referred to";
            return if expected == actual {
                Ok(layer.clone())
            } else {
                Err(LayerFailure::Differs { what, expected, actual })
            };
        }
        if let Some(layer) = self.job.all.iter().find(|layer| layer.digest == digest) {
            return Ok(layer.clone());
        }
        let blob = super::blob::OpenBlob::open(self.run.source, self.job.blob)?;
        let blobs = blob.image.iter().flat_map(|image| &image.blobs);
        let size =
            blobs.into_iter().find(|blob| referred::is_referred(blob)).map(|blob| blob.compressed_size);
        let size =
            size.ok_or(LayerFailure::NotExact("nothing tells how long the layer is that it was made from"))?;
        Ok(referred::unlisted(digest, size))
    }

    /// The plain tar of a layer; gives the digest of the tar and what the layer is compressed with, too.
    fn with_plain<T>(
        &self,
        layer: &Descriptor,
        then: impl FnOnce(&mut dyn io::Read) -> Result<T, LayerFailure>,
    ) -> Result<(T, DiffId, Compression), LayerFailure> {
        let stored = self.run.source.open(layer)?;
        let limits = self.run.resources.stream_limits();
        let plain = decompress(stored, limits).map_err(|error| oci::Error::reading(layer.digest, error))?;
        let compression = plain.compression();
        let mut hashed = HashingReader::new(plain);
        let result = then(&mut hashed)?;
        io::copy(&mut hashed, &mut io::sink()).map_err(|error| self.stream_error(error))?;
        let diff_id = DiffId(hashed.finish().1);
        match &self.job.expected {
            Some(Expected { diff_id: expected, .. }) if *expected != diff_id => {
                Err(LayerFailure::DiffId { expected: *expected, actual: diff_id })
            }
            _ => Ok((result, diff_id, compression)),
        }
    }
}

fn storage_of(media_type: &str) -> LayerStorage {
    match media_type {
        _ if media_type.ends_with("gzip") => LayerStorage::Gzip,
        _ if media_type.ends_with("zstd") => LayerStorage::Zstd,
        _ => LayerStorage::Plain,
    }
}
