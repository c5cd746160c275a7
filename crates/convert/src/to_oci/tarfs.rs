//! A layer whose tar is the blob.

use nydus_convert_oci::nydus::LayerStorage;
use nydus_convert_oci::{self as oci, DiffId};

use super::restoring::{PlainTar, RestoredTar, Restoring, TarSource};
use crate::layer::failure::LayerFailure;
use crate::options::Layers;

impl Restoring<'_> {
    /// The layer that the blob is, or was.
    pub(super) fn plain_tar(&self, tar: &PlainTar) -> Result<RestoredTar, LayerFailure> {
        let blob = self.job.blob;
        if let Some(record) = &tar.record {
            return self.recorded(TarSource::Blob, record);
        }
        let diff_id = DiffId(blob.digest);
        if self.job.expected.as_ref().is_some_and(|expected| expected.layer.digest != blob.digest) {
            return Err(LayerFailure::NoRecord { blob: blob.digest });
        }
        if self.run.options.layers != Layers::Original {
            let stored = self.with_blob(diff_id, |tar| self.compress(tar))?;
            return Ok(self.anew(stored, diff_id, true));
        }
        self.run.sink.copy(self.run.source, blob)?;
        Ok(RestoredTar {
            blob: oci::Blob { digest: blob.digest, size: blob.size },
            diff_id,
            storage: LayerStorage::Plain,
            exact: true,
            exact_tar: true,
            method: "the layer itself".to_owned(),
            from: Some(blob.digest),
        })
    }
}
