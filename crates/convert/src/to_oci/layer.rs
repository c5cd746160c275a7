//! One layer: which way it comes back.

use nydus_convert_rafs::{Image, Tree};

use super::Run;
use super::blob::OpenBlob;
use super::guess::forget_guessed_directories;
use super::rebuild;
use super::restoring::{LayerJob, RestoredTar, Restoring, TarSource};
use crate::image::referred;
use crate::layer::failure::LayerFailure;
use crate::remembered::{LAYER_SECTION, LayerRecord};
use crate::run::LayerLabel;

/// Makes one layer; gives its file system too, if that became known on the way.
pub fn restore(
    run: &Run<'_>,
    job: &LayerJob<'_>,
    give_up: &dyn Fn() -> bool,
) -> Result<(RestoredTar, Option<Image>), LayerFailure> {
    run.observer.layer_started(&job.label);
    let proceed = || match run.stop.requested() {
        Some(signal) => Err(LayerFailure::Interrupted { signal }),
        None if give_up() => Err(LayerFailure::GivenUp),
        None => Ok(()),
    };
    let restored = Restoring::new(run, job, &proceed).restore()?;
    let LayerLabel { number, count, .. } = &job.label;
    tracing::info!("layer {number} of {count} ({}): {}", job.name(), restored.0.method);
    run.observer.layer_finished(&job.label, restored.0.blob.size);
    Ok(restored)
}

impl Restoring<'_> {
    fn restore(&self) -> Result<(RestoredTar, Option<Image>), LayerFailure> {
        if let Some(digest) = referred::reference(self.job.blob) {
            return Ok((self.referred(digest)?, None));
        }
        if let Some(tar) = &self.job.tar {
            return Ok((self.plain_tar(tar)?, None));
        }
        if let Some(blob) = self.job.opened {
            return Ok((self.of_blob(blob)?, None));
        }
        let mut blob = OpenBlob::open(self.run.source, self.job.blob)?;
        blob.open_foreign(self.run.source, self.job.all)?;
        if let Some(image) = &mut blob.image {
            // Nothing is known of other layers.
            forget_guessed_directories(&mut image.tree, &Tree::new());
        }
        let made = self.of_blob(&blob)?;
        Ok((made, blob.image))
    }

    fn of_blob(&self, blob: &OpenBlob) -> Result<RestoredTar, LayerFailure> {
        match (blob.section(LAYER_SECTION)?, &self.job.expected) {
            (Some(record), _) => self.recorded(TarSource::Chunks(blob), &LayerRecord::parse(&record)?),
            (None, Some(_)) => Err(LayerFailure::NoRecord { blob: self.job.blob.digest }),
            (None, None) => rebuild::layer(self, blob),
        }
    }
}
