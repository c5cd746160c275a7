//! All layers of one image, side by side. The first error *in manifest order* is the one that is told.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use nydus_convert_oci::{Config, Descriptor, DiffId, Digest, Manifest};

use super::layer::{ConvertedLayer, LayerRun};
use crate::error::{Error, LayerFailure};
use crate::observer::LayerLabel;

/// A layer that is still to be converted.
struct Job<'a> {
    layer: &'a Descriptor,
    diff_id: DiffId,
    label: LayerLabel,
}

/// Converts the layers that `done` does not have yet and puts them there.
pub fn convert_layers(
    run: &LayerRun<'_>,
    platform: Option<String>,
    manifest: &Manifest,
    config: &Config,
    done: &mut HashMap<Digest, ConvertedLayer>,
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
            let Some(job) = jobs.get(number).filter(|_| number < failed.load(Ordering::Relaxed)) else { return };
            let give_up = || failed.load(Ordering::Relaxed) < number;
            let result = run.convert(job.layer, &job.diff_id, &job.label, &give_up);
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
        done.insert(job.layer.digest, layer);
    }
    Ok(())
}

/// One job for each layer that is not done, each layer once.
fn jobs<'a>(
    platform: Option<String>,
    manifest: &'a Manifest,
    config: &Config,
    done: &HashMap<Digest, ConvertedLayer>,
) -> Vec<Job<'a>> {
    let mut jobs: Vec<Job<'a>> = Vec::new();
    for (position, (layer, diff_id)) in manifest.layers.iter().zip(config.diff_ids()).enumerate() {
        if done.contains_key(&layer.digest) || jobs.iter().any(|job| job.layer.digest == layer.digest) {
            continue;
        }
        let label = LayerLabel {
            platform: platform.clone(),
            number: position + 1,
            count: manifest.layers.len(),
            digest: layer.digest.to_string(),
            size: layer.size,
        };
        jobs.push(Job { layer, diff_id: *diff_id, label });
    }
    jobs
}
