//! One image: what it remembers, its layers, config and manifest.

use nydus_convert_oci::{self as oci, Config, Descriptor, DiffId, Index, Manifest, nydus};

use super::known::Known;
use super::layers::{Layered, rebuilt, remembered};
use super::restoring::RestoredTar;
use super::{Restored, Run};
use crate::error::Error;
use crate::image::find as images;
use crate::image::nydus::MAX_BOOTSTRAP;
use crate::image::{Found, ImageError, NydusError};
use crate::report::{Restoration, RestoredImage, RestoredLayer};

/// Converts one Nydus image back.
pub(super) fn restore(
    run: &Run<'_>,
    found: &Found,
    manifest: &Manifest,
) -> Result<(Restored, RestoredImage), Error> {
    let Some((_, bootstrap)) = manifest.nydus() else {
        let reference = found.descriptor.digest.to_string();
        return Err(ImageError::NotNydus { reference }.into());
    };
    let config = images::read_config(run.source, manifest)?;
    let stored =
        nydus::read_bootstrap(run.source.open(bootstrap)?, MAX_BOOTSTRAP).map_err(oci::Error::from)?;
    let known = stored.origin.as_deref().map(|bytes| Known::parse(bytes, manifest)).transpose()?;
    let (_, merged) = nydus_convert_rafs::parse(&stored.bytes).map_err(NydusError::from)?;
    let records = stored.layers.as_deref();
    let Layered { tars, difference } = match &known {
        Some(known) => remembered(run, (found, manifest), known, merged, records)?,
        None => rebuilt(run, (found, manifest), merged, records)?,
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
        difference,
    };
    Ok((Restored { descriptor, exact: action == Restoration::Exact, indexes }, report))
}

/// Config and manifest of an image that remembers: verbatim if its layers are the original ones, else with the layers
/// that were made anew.
fn write_known(run: &Run<'_>, known: &Known, tars: &[RestoredTar], exact: bool) -> Result<Descriptor, Error> {
    let config = oci::image::put(run.sink, &known.manifest.config.media_type, &known.origin.config)?;
    if exact {
        return Ok(oci::image::put(run.sink, &known.origin.media_type, &known.origin.manifest)?);
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
    Ok(oci::image::put(run.sink, manifest.format.manifest(), &manifest.to_json())?)
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
    let config = oci::image::put(run.sink, format.config(), &config.to_json())?;
    let layers = tars.iter().map(|tar| tar.descriptor(format)).collect();
    let manifest = nydus::plain_manifest(nydus, config, layers);
    Ok(oci::image::put(run.sink, format.manifest(), &manifest.to_json())?)
}

/// An index of images that were made anew.
pub(super) fn fresh_index(nydus: &Index, manifests: Vec<Descriptor>) -> Index {
    nydus::plain_index(nydus, manifests)
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
