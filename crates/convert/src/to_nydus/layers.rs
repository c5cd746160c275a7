//! All layers of one image, side by side. The first error *in manifest order* is the one that is told.

use std::collections::HashMap;

use nydus_convert_oci::{Config, Descriptor, DiffId, Manifest};

use crate::error::Error;
use crate::layer::failure::LayerFailure;
use crate::layer::{ConvertedLayer, LayerIdentity, LayerInput, LayerRun};
use crate::options::Dedup;
use crate::reuse::Below;
use crate::run::LayerLabel;
use crate::run::side_by_side;

/// What an image's layers are known by, in manifest order: their bytes, what image and manifest say of them, and, where
/// they may refer to the layers below them, these. Equal identities, equal conversions.
pub fn identities(manifest: &Manifest, config: &Config, dedup: Dedup) -> Vec<LayerIdentity> {
    let mut below = None;
    let pairs = manifest.layers.iter().zip(config.diff_ids());
    let identity = |(layer, diff_id): (&Descriptor, &DiffId)| {
        let identity = LayerIdentity { digest: layer.digest, size: layer.size, diff_id: *diff_id, below };
        if dedup != Dedup::Layer {
            below = Some(identity.chain());
        }
        identity
    };
    pairs.map(identity).collect()
}

/// A layer that is still to be converted.
struct Job<'a> {
    key: LayerIdentity,
    layer: &'a Descriptor,
    label: LayerLabel,
}

/// Converts the layers that `done` does not have yet and puts them there.
pub fn convert_layers(
    run: &LayerRun<'_>,
    platform: Option<String>,
    manifest: &Manifest,
    keys: &[LayerIdentity],
    done: &mut HashMap<LayerIdentity, ConvertedLayer>,
) -> Result<(), Error> {
    let jobs = jobs(platform, manifest, keys, done);
    let count = manifest.layers.len();
    let in_layer =
        |job: &Job<'_>, failure| Error::in_layer((job.label.number, count), job.layer.digest, failure);
    if run.form.is_chained() {
        return one_by_one(run, &jobs, keys, done, in_layer);
    }
    let converted = side_by_side(&jobs, run.parallel_layers, |job, give_up| {
        let layer = LayerInput::Listed { layer: job.layer, key: &job.key };
        run.convert(&layer, &job.label, &Below::default(), give_up)
    });
    match converted {
        Ok(converted) => done.extend(jobs.iter().map(|job| job.key).zip(converted)),
        Err((number, failure)) => {
            let Some(job) = jobs.get(number) else { return Ok(()) };
            return Err(in_layer(job, failure));
        }
    }
    Ok(())
}

/// From the lowest layer up: each may refer to those below it.
fn one_by_one(
    run: &LayerRun<'_>,
    jobs: &[Job<'_>],
    keys: &[LayerIdentity],
    done: &mut HashMap<LayerIdentity, ConvertedLayer>,
    in_layer: impl Fn(&Job<'_>, LayerFailure) -> Error,
) -> Result<(), Error> {
    let mut below = Below::default();
    for key in keys {
        if let Some(job) = jobs.iter().find(|job| job.key == *key && !done.contains_key(key)) {
            let layer = LayerInput::Listed { layer: job.layer, key };
            let converted = run.convert(&layer, &job.label, &below, &|| false);
            done.insert(*key, converted.map_err(|failure| in_layer(job, failure))?);
        }
        if let Some(layer) = done.get(key) {
            below.push(&layer.merge);
        }
    }
    Ok(())
}

/// One job for each layer that is not done, each layer once.
fn jobs<'a>(
    platform: Option<String>,
    manifest: &'a Manifest,
    keys: &[LayerIdentity],
    done: &HashMap<LayerIdentity, ConvertedLayer>,
) -> Vec<Job<'a>> {
    let mut jobs: Vec<Job<'a>> = Vec::new();
    for (position, (layer, key)) in manifest.layers.iter().zip(keys).enumerate() {
        if done.contains_key(key) || jobs.iter().any(|job| job.key == *key) {
            continue;
        }
        let label = LayerLabel {
            platform: platform.clone(),
            number: position + 1,
            count: manifest.layers.len(),
            digest: layer.digest.to_string(),
            size: layer.size,
        };
        jobs.push(Job { key: *key, layer, label });
    }
    jobs
}
