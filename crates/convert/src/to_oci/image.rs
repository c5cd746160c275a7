//! One image: what it remembers, its layers, config and manifest.

use nydus_convert_oci::nydus::{self, LayerStorage};
use nydus_convert_oci::{
    self as oci, Config, Descriptor, DiffId, Digest, Hasher, Index, Manifest, ManifestKind,
};

use nydus_convert_rafs::Tree;

use super::layer::{self, Expected, LayerJob, RestoredTar};
use super::tarfs::PlainTar;
use super::{Restored, Run, parse_origin, rebuild};
use crate::error::Error;
use crate::image::ImageError;
use crate::image::NydusError;
use crate::image::find::{self as images, Found};
use crate::image::nydus::MAX_BOOTSTRAP;
use crate::image::referred;
use crate::layer::failure::LayerFailure;
use crate::options::Layers;
use crate::remembered::{Origin, layer_records};
use crate::report::{Restoration, RestoredImage, RestoredLayer};
use crate::run::LayerLabel;
use crate::run::side_by_side;

/// What an image remembers, parsed.
struct Known {
    origin: Origin,
    manifest: Manifest,
    config: Config,
}

impl Known {
    /// Reads the record; the digests that the Nydus manifest and the original one name must be those of its parts.
    fn parse(bytes: &[u8], nydus: &Manifest) -> Result<Self, Error> {
        let origin = parse_origin(bytes)?;
        let same = |expected: Digest, bytes: &[u8]| {
            let mut hasher = Hasher::new(expected.algorithm());
            hasher.update(bytes);
            let actual = hasher.finish();
            if actual == expected { Ok(()) } else { Err(NydusError::Origin { expected, actual }) }
        };
        let named = nydus.annotations.get(nydus::SOURCE_DIGEST).and_then(|digest| digest.parse().ok());
        if let Some(named) = named {
            same(named, &origin.manifest)?;
        }
        let in_origin = oci::Error::from;
        let manifest = match ManifestKind::parse(&origin.media_type, &origin.manifest).map_err(in_origin)? {
            ManifestKind::Image(manifest) => manifest,
            _ => return Err(NydusError::OriginIsNoImage.into()),
        };
        same(manifest.config.digest, &origin.config)?;
        let config = Config::parse(&origin.config).map_err(in_origin)?;
        oci::image::check_layers(&manifest, &config).map_err(in_origin)?;
        Ok(Self { origin, manifest, config })
    }
}

/// Converts one Nydus image back.
pub(super) fn restore(
    run: &Run<'_>,
    found: &Found,
    manifest: &Manifest,
) -> Result<(Restored, RestoredImage), Error> {
    let Some((blobs, bootstrap)) = manifest.nydus() else {
        return Err(Error::from(ImageError::NotNydus { reference: found.descriptor.digest.to_string() }));
    };
    let config = images::read_config(run.source, manifest)?;
    let stored =
        nydus::read_bootstrap(run.source.open(bootstrap)?, MAX_BOOTSTRAP).map_err(oci::Error::from)?;
    let known = stored.origin.as_deref().map(|bytes| Known::parse(bytes, manifest)).transpose()?;
    let (_, merged) = nydus_convert_rafs::parse(&stored.bytes).map_err(NydusError::from)?;
    let jobs = match &known {
        Some(known) => jobs_of_origin(found, known, (blobs, &merged.tree))?,
        None => jobs_of_blobs(found, (blobs, &merged.tree), nydus::source_layers(&config, blobs.len())),
    };
    let jobs = if merged.tarfs { with_tars(jobs, stored.layers.as_deref())? } else { jobs };
    let tars = match restore_layers(run, &jobs) {
        // Blobs that hold chunks and nothing else: only the whole file system can be had.
        Err(Error::Layer { source, .. }) if known.is_none() && is_bare(&source) => {
            run.observer
                .note("the blobs do not describe their layers: the whole file system becomes one layer");
            vec![rebuild::whole(run, found, manifest, &merged)?]
        }
        result => result?,
    };
    let (descriptor, action, indexes) = match known {
        Some(known) => {
            let exact = tars.iter().all(|tar| tar.exact);
            let descriptor = write_known(run, &known, &tars, exact)?;
            let action = if exact { Restoration::Exact } else { Restoration::Rebuilt };
            (descriptor, action, known.origin.indexes)
        }
        None => (write_fresh(run, manifest, &config, &tars)?, Restoration::Rebuilt, Vec::new()),
    };
    let report = RestoredImage {
        platform: found.label(),
        action,
        source_digest: found.descriptor.digest.to_string(),
        digest: descriptor.digest.to_string(),
        layers: tars.iter().map(layer_report).collect(),
    };
    Ok((Restored { descriptor, exact: action == Restoration::Exact, indexes }, report))
}

fn is_bare(failure: &LayerFailure) -> bool {
    matches!(failure, LayerFailure::NoBootstrap)
}

/// The same where the blobs are plain tars; `records` are those of all layers.
fn with_tars<'a>(jobs: Vec<LayerJob<'a>>, records: Option<&[u8]>) -> Result<Vec<LayerJob<'a>>, Error> {
    let records = records.map(layer_records::parse).transpose().map_err(Error::Record)?;
    let mut records = records.unwrap_or_default().into_iter();
    let with_tar = |job| LayerJob { tar: Some(PlainTar { record: records.next() }), ..job };
    Ok(jobs.into_iter().map(with_tar).collect())
}

/// One job for each layer of the original image.
fn jobs_of_origin<'a>(
    found: &Found,
    known: &Known,
    (blobs, merged): (&'a [Descriptor], &'a Tree),
) -> Result<Vec<LayerJob<'a>>, Error> {
    let layers = &known.manifest.layers;
    let (expected, actual) = (layers.len(), blobs.len());
    // Blobs of dictionaries may follow.
    if actual < expected {
        return Err(NydusError::LayersAreMissing { expected, actual }.into());
    }
    let jobs = blobs.iter().zip(layers).zip(known.config.diff_ids()).enumerate();
    Ok(jobs
        .map(|(position, ((blob, layer), diff_id))| {
            let expected = Expected { layer: layer.clone(), diff_id: *diff_id };
            let label = label(found, position, layers.len(), blob);
            LayerJob { blob, all: blobs, merged, tar: None, expected: Some(expected), label }
        })
        .collect())
}

/// One job for each of the first `count` blobs.
fn jobs_of_blobs<'a>(
    found: &Found,
    (blobs, merged): (&'a [Descriptor], &'a Tree),
    count: usize,
) -> Vec<LayerJob<'a>> {
    let own = blobs.iter().filter(|blob| !referred::is_original(blobs, blob));
    let jobs = own.take(count).enumerate();
    jobs.map(|(position, blob)| LayerJob {
        blob,
        all: blobs,
        merged,
        tar: None,
        expected: None,
        label: label(found, position, count, blob),
    })
    .collect()
}

fn label(found: &Found, position: usize, count: usize, blob: &Descriptor) -> LayerLabel {
    LayerLabel {
        platform: found.label(),
        number: position + 1,
        count,
        digest: blob.digest.to_string(),
        size: blob.size,
    }
}

/// All layers, side by side; a layer that comes twice is made once.
fn restore_layers(run: &Run<'_>, jobs: &[LayerJob<'_>]) -> Result<Vec<RestoredTar>, Error> {
    let mut unique: Vec<&LayerJob<'_>> = Vec::new();
    let mut places = Vec::with_capacity(jobs.len());
    for job in jobs {
        let place = unique.iter().position(|other| other.is_same(job)).unwrap_or_else(|| {
            unique.push(job);
            unique.len() - 1
        });
        places.push(place);
    }
    let threads = run.resources.parallel_layers;
    let restored = side_by_side(&unique, threads, |job, give_up| layer::restore(run, job, give_up));
    let restored = restored.map_err(|(number, failure)| {
        let label = unique.get(number).map(|job| (job.label.number, job.label.count, job.name()));
        let (number, count, digest) = label.unwrap_or((0, 0, run.source.root().digest));
        Error::in_layer((number, count), digest, failure)
    })?;
    Ok(places.into_iter().filter_map(|place| restored.get(place).cloned()).collect())
}

/// Config and manifest of an image that remembers: verbatim if its layers are the original ones, else with the layers
/// that were made anew.
fn write_known(run: &Run<'_>, known: &Known, tars: &[RestoredTar], exact: bool) -> Result<Descriptor, Error> {
    let config = run.sink.put(&known.manifest.config.media_type, &known.origin.config)?;
    if exact {
        return Ok(run.sink.put(&known.origin.media_type, &known.origin.manifest)?);
    }
    let layers = known.manifest.layers.iter().zip(tars).map(|(original, tar)| {
        let descriptor = tar.descriptor(known.manifest.format);
        Descriptor { annotations: original.annotations.clone(), ..descriptor }
    });
    let manifest = Manifest {
        config: Descriptor { size: config.size, ..known.manifest.config.clone() },
        layers: layers.collect(),
        ..known.manifest.clone()
    };
    Ok(run.sink.put(manifest.format.manifest(), &manifest.to_json())?)
}

/// Config and manifest of an image that does not remember.
fn write_fresh(
    run: &Run<'_>,
    nydus: &Manifest,
    config: &Config,
    tars: &[RestoredTar],
) -> Result<Descriptor, Error> {
    let format = nydus.format;
    let diff_ids: Vec<DiffId> = tars.iter().map(|tar| tar.diff_id).collect();
    let config = nydus::plain_config(config, diff_ids);
    let config = run.sink.put(format.config(), &config.to_json())?;
    let layers = tars.iter().map(|tar| tar.descriptor(format)).collect();
    let manifest = nydus::plain_manifest(nydus, config, layers);
    Ok(run.sink.put(format.manifest(), &manifest.to_json())?)
}

/// An index of images that were made anew.
pub(super) fn fresh_index(nydus: &Index, manifests: Vec<Descriptor>) -> Index {
    nydus::plain_index(nydus, manifests)
}

/// How layers are stored when they are made anew.
pub(super) fn storage(layers: Layers) -> LayerStorage {
    match layers {
        Layers::Original | Layers::Gzip(_) => LayerStorage::Gzip,
        Layers::Zstd(_) => LayerStorage::Zstd,
        Layers::Plain => LayerStorage::Plain,
    }
}

fn layer_report(tar: &RestoredTar) -> RestoredLayer {
    RestoredLayer {
        blob_digest: tar.from.map(|blob| blob.to_string()),
        digest: tar.blob.digest.to_string(),
        diff_id: tar.diff_id.to_string(),
        bytes: tar.blob.size,
        exact: tar.exact,
        exact_tar: tar.exact_tar,
        method: tar.method.clone(),
    }
}
