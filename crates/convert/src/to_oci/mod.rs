//! Nydus → OCI: every image as it was, where it remembers; else the same files in layers made anew.
//!
//! ```text
//!   root ─► index? ─► each image (image.rs) ─► its layers, side by side ─┬─ layer.rs: record + chunks ─► tar ─► layer
//!                │                                                       └─ rebuild.rs: tree ─► tar ─► layer
//!                └──► what is no Nydus image: carried along          ─► manifest ─► index ─► commit
//! ```

pub(crate) mod blob;
mod compress;
mod contents;
mod described;
mod difference;
mod guess;
mod image;
mod known;
pub(crate) mod layer;
mod layers;
mod payload;
pub(crate) mod rebuild;
mod referred;
pub(crate) mod restoring;
mod tarfs;

use std::collections::HashSet;

use nydus_convert_chunk::ordered::Pool;
use nydus_convert_oci::{self as oci, Descriptor, Digest, Index, Reference, Sink, Source, copy_image, nydus};

use crate::error::Error;
use crate::image::ImageError;
use crate::image::find::{self as images, Content, Entry, Found, FoundKind};
use crate::options::{Layers, ToOciOptions};
use crate::remembered::OriginIndex;
use crate::report::{Restoration, RestoredImage, SCHEMA_VERSION, ToOciReport};
use crate::run::{Observer, Resources, Stop};

/// Converts the Nydus image or index behind `source` back and publishes the result in `sink`. Whatever fails, the sink is
/// dropped uncommitted.
pub fn to_oci(
    source: &dyn Source,
    sink: Box<dyn Sink>,
    options: &ToOciOptions,
    run: &crate::Run<'_>,
) -> Result<ToOciReport, Error> {
    let crate::Run { resources, observer, stop, pool, .. } = run;
    let shared = run;
    let run =
        Run { source, sink: sink.as_ref(), options, resources: *resources, pool, observer: *observer, stop };
    images::survey(source, &options.platforms)?
        .left_out
        .iter()
        .for_each(|entry| shared.observer.note(&entry.why));
    let mut restoring = Restoring { run: &run, images: Vec::new() };
    let restored = restoring.restore(source.root(), source.name(), 0)?;
    let images = restoring.images;
    if !images.iter().any(|image| image.action != Restoration::Carried) {
        return Err(Error::from(ImageError::NotNydus { reference: source.name().to_string() }));
    }
    shared.proceed()?;
    let (root, exact) = (restored.descriptor, restored.exact);
    let (digest, media_type, target) = (root.digest, root.media_type.clone(), sink.name().clone());
    sink.commit(root)?;
    Ok(ToOciReport {
        schema_version: SCHEMA_VERSION,
        source: source.name().to_string(),
        target: target.to_string(),
        reference: target.pinned(digest),
        digest: digest.to_string(),
        media_type,
        exact,
        images,
    })
}

/// What all parts of a conversion share.
pub(crate) struct Run<'a> {
    pub source: &'a dyn Source,
    pub sink: &'a dyn Sink,
    pub options: &'a ToOciOptions,
    /// Bounds.
    pub resources: Resources,
    /// Who decompresses and compresses.
    pub pool: &'a Pool,
    pub observer: &'a dyn Observer,
    pub stop: &'a Stop,
}

/// A conversion under way.
struct Restoring<'a> {
    run: &'a Run<'a>,
    images: Vec<RestoredImage>,
}

/// What stands in the place of a manifest or index.
struct Restored {
    descriptor: Descriptor,
    /// Whether it is, bit for bit, what it was.
    exact: bool,
    /// The indexes that listed it, the outermost first.
    indexes: Vec<OriginIndex>,
}

impl Restoring<'_> {
    fn restore(&mut self, at: &Descriptor, name: &Reference, depth: usize) -> Result<Restored, Error> {
        match images::read(self.run.source, at, depth == 0)? {
            Content::Index(_) if depth == images::MAX_DEPTH => {
                Err(Error::from(ImageError::NestedIndex { digest: at.digest }))
            }
            Content::Index(index) => self.restore_index(&index, name, depth),
            Content::One(found) => match (found.label(), self.restore_one(&found)) {
                (Some(platform), Err(source)) if depth > 0 => {
                    Err(Error::Platform { platform, source: Box::new(source) })
                }
                (_, result) => result,
            },
        }
    }

    fn restore_one(&mut self, found: &Found) -> Result<Restored, Error> {
        if let FoundKind::Nydus(manifest) = &found.kind {
            let (restored, report) = image::restore(self.run, found, manifest)?;
            self.images.push(report);
            return Ok(restored);
        }
        let digest = found.descriptor.digest;
        self.run.observer.note(&format!("{digest} is no Nydus image: carried along unchanged"));
        copy_image(self.run.source, self.run.sink, &found.descriptor)?;
        self.images.push(RestoredImage {
            platform: found.label(),
            action: Restoration::Carried,
            source_digest: digest.to_string(),
            digest: digest.to_string(),
            layers: Vec::new(),
            difference: None,
        });
        Ok(Restored { descriptor: found.descriptor.clone(), exact: true, indexes: Vec::new() })
    }

    fn restore_index(&mut self, index: &Index, name: &Reference, depth: usize) -> Result<Restored, Error> {
        let mut entries = Vec::with_capacity(index.manifests.len());
        let mut has_variants = false;
        for entry in &index.manifests {
            if nydus::is_variant(index, entry) {
                // What its Nydus variant remembers is the image as it was before it was put here.
                has_variants = true;
                continue;
            }
            match images::look(self.run.source, entry, &self.run.options.platforms)? {
                Entry::Unwanted | Entry::LeftOut(_) => {}
                Entry::One(_) | Entry::Index(_) => {
                    entries.push((entry, self.restore(entry, name, depth + 1)?));
                }
            }
        }
        let origin = common_index(&entries, depth);
        if let Some((origin, bytes)) = &origin
            && entries.iter().all(|(_, restored)| restored.exact)
            && is_complete(origin, &entries)
        {
            let descriptor = oci::image::put(self.run.sink, &bytes.media_type, &bytes.bytes)?;
            let indexes = first_chain(&entries);
            return Ok(Restored { descriptor, exact: true, indexes });
        }
        // One of several platforms: the image itself is what has the digest that people know.
        // So it is if it had no index.
        let stood_alone = has_variants && entries.iter().all(|(_, restored)| restored.indexes.len() <= depth);
        let was_one = origin.is_some() || stood_alone;
        if let ([_], Some((_, only))) = (&entries[..], entries.first().filter(|_| was_one)) {
            let descriptor = Descriptor { platform: None, ..only.descriptor.clone() };
            return Ok(Restored { descriptor, exact: only.exact, indexes: first_chain(&entries) });
        }
        if self.run.options.layers == Layers::Original && origin.is_some() {
            self.run
                .observer
                .note("the original index lists images that are not here: the index is made anew");
        }
        let indexes = first_chain(&entries);
        let manifests = entries.into_iter().map(|(entry, restored)| {
            let listed = origin.iter().flat_map(|(index, _)| &index.manifests);
            let mut listed = listed.filter(|listed| listed.digest == restored.descriptor.digest);
            listed.next().cloned().unwrap_or_else(|| described_as(entry, restored.descriptor))
        });
        let fresh = image::fresh_index(index, manifests.collect());
        let descriptor = oci::image::put(self.run.sink, fresh.format.index(), &fresh.to_json())?;
        Ok(Restored { descriptor, exact: false, indexes })
    }
}

type Entries<'a> = [(&'a Descriptor, Restored)];

/// The index that all images remember at this depth, parsed and as it was.
fn common_index(entries: &Entries<'_>, depth: usize) -> Option<(Index, OriginIndex)> {
    let mut known = entries.iter().filter(|(_, restored)| !restored.indexes.is_empty());
    let first = known.next()?.1.indexes.get(depth)?;
    if known.any(|(_, restored)| restored.indexes.get(depth) != Some(first)) {
        return None;
    }
    match nydus_convert_oci::ManifestKind::parse(&first.media_type, &first.bytes) {
        Ok(nydus_convert_oci::ManifestKind::Index(index)) => Some((index, first.clone())),
        _ => None,
    }
}

/// Whether everything the original index lists is there.
fn is_complete(origin: &Index, entries: &Entries<'_>) -> bool {
    let there: HashSet<Digest> = entries.iter().map(|(_, restored)| restored.descriptor.digest).collect();
    origin.unreadable.is_empty() && origin.manifests.iter().all(|entry| there.contains(&entry.digest))
}

/// The indexes above these entries, as the first one that remembers tells.
fn first_chain(entries: &Entries<'_>) -> Vec<OriginIndex> {
    let mut chains = entries.iter().map(|(_, restored)| &restored.indexes);
    chains.find(|chain| !chain.is_empty()).cloned().unwrap_or_default()
}

/// The entry of a new index for what came of `entry`.
fn described_as(entry: &Descriptor, restored: Descriptor) -> Descriptor {
    Descriptor { platform: entry.platform.clone(), ..restored }
}
