//! The layers of one image: those that it remembers, or those that its blobs describe and what these lack.

use std::sync::Arc;

use nydus_convert_oci::{Descriptor, Manifest};
use nydus_convert_rafs::{Image, Tree};

use super::Run;
use super::contents::Contents;
use super::described::{Choice, Described, choose, lay};
use super::difference::{Compared, Difference, compare, settle_placeholders};
use super::guess::forget_guessed_directories;
use super::known::Known;
use super::layer;
use super::rebuild;
use super::restoring::{Expected, LayerJob, PlainTar, RestoredTar};
use crate::error::Error;
use crate::image::{Found, NydusError, referred};
use crate::layer::failure::LayerFailure;
use crate::options::Lacking;
use crate::remembered::layer_records;
use crate::report::{DifferenceReport, Mended};
use crate::run::{LayerLabel, side_by_side};
use crate::to_nydus::merge::keep_used_blobs;

/// The layers of an image, and what there is to say of them.
pub struct Layered {
    /// In the order of the manifest.
    pub tars: Vec<RestoredTar>,
    /// Where they do not make the image.
    pub difference: Option<DifferenceReport>,
}

/// The layers that the image remembers: their digests prove what they are, whatever the bootstrap shows.
pub fn remembered(
    run: &Run<'_>,
    (found, manifest): (&Found, &Manifest),
    known: &Known,
    mut merged: Image,
    records: Option<&[u8]>,
) -> Result<Layered, Error> {
    let blobs = blobs_of(manifest);
    let jobs = jobs_of_origin(found, known, blobs)?;
    let jobs = if merged.tarfs { with_tars(jobs, records)? } else { jobs };
    let (tars, images): (Vec<_>, Vec<_>) = restore_layers(run, &jobs)?.into_iter().unzip();
    let images = jobs.iter().map(|job| job.blob).zip(images).collect();
    let digest = found.descriptor.digest;
    let difference = match originals_differ(run, (images, blobs), &mut merged) {
        Err(LayerFailure::Interrupted { signal }) => return Err(Error::Interrupted { signal }),
        // The layers are what they are, compared or not.
        Err(failure) => {
            run.observer
                .note(&format!("{digest}: its layers were not compared with its bootstrap: {failure}"));
            None
        }
        Ok(difference) => difference.map(|difference| report(&difference, Mended::Original)),
    };
    if let Some(difference) = &difference {
        let text = describe(difference);
        run.observer
            .note(&format!("{digest}: the layers are the original ones; its bootstrap shows others: {text}"));
    }
    Ok(Layered { tars, difference })
}

/// What the merged bootstrap has that the original layers have not. A layer that was not opened has no image yet.
fn originals_differ(
    run: &Run<'_>,
    (images, blobs): (Vec<(&Descriptor, Option<Image>)>, &[Descriptor]),
    merged: &mut Image,
) -> Result<Option<Difference>, LayerFailure> {
    let (contents, mut laid) = (Contents::of(merged), Tree::new());
    let proceed = || proceed(run);
    for (blob, image) in images {
        let image = match image {
            Some(image) => Some(image),
            None => {
                let how = (&run.resources, &proceed as &dyn Fn() -> _);
                Described::open(run.source, (blob, blobs), merged, how)?.into_image()
            }
        };
        let mut image = image.ok_or(LayerFailure::NoBootstrap)?;
        let mut tree = std::mem::take(&mut image.tree);
        forget_guessed_directories(&mut tree, &merged.tree);
        lay(&mut laid, (tree, &image), &contents).map_err(LayerFailure::Overlay)?;
    }
    settle_placeholders(&mut merged.tree, &laid)?;
    Ok(compare(&laid, merged, &contents)?.difference)
}

/// The layers of an image that does not remember them: those that its blobs describe, and one more for what these lack.
pub fn rebuilt(
    run: &Run<'_>,
    (found, manifest): (&Found, &Manifest),
    mut merged: Image,
    records: Option<&[u8]>,
) -> Result<Layered, Error> {
    let blobs = blobs_of(manifest);
    let own: Vec<&Descriptor> = blobs.iter().filter(|blob| !referred::is_original(blobs, blob)).collect();
    let described = open_all(run, (&own, blobs), &merged)?;
    let described: Vec<_> = own.iter().copied().zip(&described).collect();
    let choice = choose(&described, &mut merged).map_err(NydusError::Layers)?;
    let (chosen, difference) = resolve(run, found, choice)?;
    let count = chosen.len() + usize::from(difference.is_some());
    let jobs = chosen.iter().filter_map(|at| described.get(*at)).enumerate();
    let jobs = jobs.map(|(position, (blob, described))| LayerJob {
        blob,
        all: blobs,
        opened: described.blob(),
        tar: None,
        expected: None,
        label: label(found, position, count, blob),
    });
    let jobs = if merged.tarfs { with_tars(jobs.collect(), records)? } else { jobs.collect() };
    let mut tars: Vec<_> = restore_layers(run, &jobs)?.into_iter().map(|(tar, _)| tar).collect();
    let Some((layer, report)) = difference else { return Ok(Layered { tars, difference: None }) };
    let image = match layer {
        Some(mut tree) => {
            let blobs =
                keep_used_blobs(&mut tree, std::mem::take(&mut merged.blobs).into_iter().map(Some).collect());
            Image { tree, blobs: blobs.map_err(Error::Merge)?, ..merged }
        }
        None => merged,
    };
    tars.push(rebuild::extra(run, (found, manifest), &image, (count, count))?);
    Ok(Layered { tars, difference: Some(report) })
}

/// A layer that no blob describes: its tree, or none for that of the whole image; and the report of it.
type Extra = (Option<Tree>, DifferenceReport);

/// Which blobs are layers, and what comes on top of them; says so, or refuses.
fn resolve(run: &Run<'_>, found: &Found, choice: Choice) -> Result<(Vec<usize>, Option<Extra>), Error> {
    let note = |text: &str| run.observer.note(&format!("{}: {text}", found.descriptor.digest));
    let (chosen, compared, mended) = match choice {
        Choice::Unknown(all, why) => {
            note(&format!("its layers were not compared with its bootstrap: {why}"));
            return Ok((all, None));
        }
        Choice::Layers(chosen, compared) => (chosen, compared, Mended::OneMoreLayer),
        Choice::Whole(compared) => (Vec::new(), compared, Mended::OneLayer),
    };
    let Compared { difference, unfit } = compared;
    if unfit > 0 {
        note(&format!(
            "{unfit} names are left out that no layer can have: sockets, and names that begin with .wh."
        ));
    }
    let Some(difference) = difference else { return Ok((chosen, None)) };
    let report = report(&difference, mended);
    let text = describe(&report);
    if run.options.lacking == Lacking::Refuse {
        return Err(NydusError::Incomplete(text).into());
    }
    note(&match mended {
        Mended::OneLayer => format!("{text}: one layer holds all files"),
        _ => format!("{text}: one more layer holds the difference"),
    });
    Ok((chosen, Some(((mended == Mended::OneMoreLayer).then_some(difference.tree), report))))
}

fn report(difference: &Difference, result: Mended) -> DifferenceReport {
    let Difference { written, removed, examples, .. } = difference;
    let examples = examples.iter().map(ToString::to_string).collect();
    DifferenceReport { result, written: *written, removed: *removed, examples }
}

fn describe(difference: &DifferenceReport) -> String {
    let DifferenceReport { written, removed, examples, .. } = difference;
    let examples = examples.join(", ");
    format!(
        "the layers that its blobs describe lack {written} names of the image and have {removed} others ({examples})"
    )
}

fn blobs_of(manifest: &Manifest) -> &[Descriptor] {
    manifest.nydus().map_or(&[], |(blobs, _)| blobs)
}

fn proceed(run: &Run<'_>) -> Result<(), LayerFailure> {
    Ok(run.stop.check()?)
}

/// Opens all blobs, each once, to see which are layers.
fn open_all(
    run: &Run<'_>,
    (own, all): (&[&Descriptor], &[Descriptor]),
    merged: &Image,
) -> Result<Vec<Arc<Described>>, Error> {
    let (unique, places) = unique(own, |blob, other| blob.digest == other.digest);
    let threads = run.resources.parallel_layers;
    let opened = side_by_side(&unique, threads, |blob, give_up| {
        let proceed = || if give_up() { Err(LayerFailure::GivenUp) } else { proceed(run) };
        Described::open(run.source, (blob, all), merged, (&run.resources, &proceed)).map(Arc::new)
    });
    let opened = opened.map_err(|(number, failure)| {
        let digest = unique.get(number).map_or(run.source.root().digest, |blob| blob.digest);
        let number = places.iter().position(|place| *place == number).unwrap_or_default();
        Error::in_layer((number + 1, own.len()), digest, failure)
    })?;
    Ok(places.into_iter().filter_map(|place| opened.get(place).cloned()).collect())
}

/// Those of `all` that are unlike those before them, and the position among these of what each of `all` is like.
fn unique<T>(all: &[T], is_same: impl Fn(&T, &T) -> bool) -> (Vec<&T>, Vec<usize>) {
    let mut unique: Vec<&T> = Vec::new();
    let mut places = Vec::with_capacity(all.len());
    for one in all {
        let place = unique.iter().position(|other| is_same(other, one)).unwrap_or_else(|| {
            unique.push(one);
            unique.len() - 1
        });
        places.push(place);
    }
    (unique, places)
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
    blobs: &'a [Descriptor],
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
            LayerJob { blob, all: blobs, opened: None, tar: None, expected: Some(expected), label }
        })
        .collect())
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

/// A layer, and its file system where that became known.
type Made = (RestoredTar, Option<Image>);

/// All layers, side by side; a layer that comes twice is made once.
fn restore_layers(run: &Run<'_>, jobs: &[LayerJob<'_>]) -> Result<Vec<Made>, Error> {
    let (unique, places) = unique(jobs, LayerJob::is_same);
    let threads = run.resources.parallel_layers;
    let restored = side_by_side(&unique, threads, |job, give_up| layer::restore(run, job, give_up));
    let restored = restored.map_err(|(number, failure)| {
        let label = unique.get(number).map(|job| (job.label.number, job.label.count, job.name()));
        let (number, count, digest) = label.unwrap_or((0, 0, run.source.root().digest));
        Error::in_layer((number, count), digest, failure)
    })?;
    let mut restored: Vec<Made> = restored;
    let again: Vec<bool> = (1..)
        .zip(&places)
        .map(|(next, place)| places.iter().skip(next).any(|other| other == place))
        .collect();
    let made = places.into_iter().zip(again).filter_map(|(place, again)| {
        let (tar, image) = restored.get_mut(place)?;
        Some((tar.clone(), if again { image.clone() } else { image.take() }))
    });
    Ok(made.collect())
}
