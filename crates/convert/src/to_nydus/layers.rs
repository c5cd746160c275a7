//! All layers of one image, side by side. The first error *in manifest order* is the one that is told.

use std::collections::HashMap;

use nydus_convert_oci::{Config, Descriptor, DiffId, Digest, Manifest};

use super::layer::{ConvertedLayer, LayerRun};
use super::unread::Unread;
use crate::error::Error;
use crate::observer::LayerLabel;
use crate::side_by_side::side_by_side;

/// What a layer is known by: its bytes, and what image and manifest say of them. Equal keys, equal conversions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LayerKey {
    digest: Digest,
    size: u64,
    /// Digest of the plain tar, by the image's config.
    pub diff_id: DiffId,
}

impl LayerKey {
    /// The keys of an image's layers, in manifest order.
    pub fn all(manifest: &Manifest, config: &Config) -> Vec<Self> {
        let pairs = manifest.layers.iter().zip(config.diff_ids());
        pairs
            .map(|(layer, diff_id)| Self { digest: layer.digest, size: layer.size, diff_id: *diff_id })
            .collect()
    }
}

/// A layer that is still to be converted.
struct Job<'a> {
    key: LayerKey,
    layer: &'a Descriptor,
    label: LayerLabel,
}

/// Converts the layers that `done` does not have yet and puts them there.
pub fn convert_layers(
    run: &LayerRun<'_>,
    platform: Option<String>,
    manifest: &Manifest,
    config: &Config,
    done: &mut HashMap<LayerKey, ConvertedLayer>,
) -> Result<(), Error> {
    let jobs = jobs(platform, manifest, config, done);
    let count = manifest.layers.len();
    let converted = side_by_side(&jobs, run.resources.parallel_layers, |job, give_up| {
        let layer = Unread::Listed { layer: job.layer, diff_id: &job.key.diff_id };
        run.convert(&layer, &job.label, give_up)
    });
    match converted {
        Ok(converted) => done.extend(jobs.iter().map(|job| job.key).zip(converted)),
        Err((number, failure)) => {
            let Some(job) = jobs.get(number) else { return Ok(()) };
            return Err(Error::in_layer((job.label.number, count), job.layer.digest, failure));
        }
    }
    Ok(())
}

/// One job for each layer that is not done, each layer once.
fn jobs<'a>(
    platform: Option<String>,
    manifest: &'a Manifest,
    config: &Config,
    done: &HashMap<LayerKey, ConvertedLayer>,
) -> Vec<Job<'a>> {
    let mut jobs: Vec<Job<'a>> = Vec::new();
    for (position, (layer, key)) in manifest.layers.iter().zip(LayerKey::all(manifest, config)).enumerate() {
        if done.contains_key(&key) || jobs.iter().any(|job| job.key == key) {
            continue;
        }
        let label = LayerLabel {
            platform: platform.clone(),
            number: position + 1,
            count: manifest.layers.len(),
            digest: layer.digest.to_string(),
            size: layer.size,
        };
        jobs.push(Job { key, layer, label });
    }
    jobs
}
