//! All layers of one image, side by side. The first error *in manifest order* is the one that is told.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use nydus_convert_oci::{Config, Descriptor, DiffId, Digest, Manifest};

use super::layer::{ConvertedLayer, LayerRun};
use crate::error::{Error, LayerFailure};
use crate::observer::LayerLabel;

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
    let next = AtomicUsize::new(0);
    // The lowest job that failed: those above it need not go on, those below it might fail too.
    let failed = AtomicUsize::new(usize::MAX);
    let results = Mutex::new(HashMap::new());
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = jobs.get(number).filter(|_| number < failed.load(Ordering::Relaxed)) else {
                return;
            };
            let give_up = || failed.load(Ordering::Relaxed) < number;
            let result = run.convert(job.layer, &job.key.diff_id, &job.label, &give_up);
            if result.is_err() {
                failed.fetch_min(number, Ordering::Relaxed);
            }
            results.lock().unwrap_or_else(PoisonError::into_inner).insert(number, result);
        }
    };
    thread::scope(|scope| {
        let threads = run.resources.parallel_layers.get().min(jobs.len());
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (number, job) in jobs.iter().enumerate() {
        let result = results.remove(&number).unwrap_or(Err(LayerFailure::GivenUp));
        let layer = result.map_err(|failure| match failure {
            LayerFailure::Interrupted { signal } => Error::Interrupted { signal },
            failure => Error::Layer {
                number: job.label.number,
                count,
                digest: job.layer.digest,
                source: Box::new(failure),
            },
        })?;
        done.insert(job.key, layer);
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
