//! OCI → Nydus. Layers run side by side; what is committed is committed in manifest order, and the name comes last.
//!
//! ```text
//!   root ─► index? ─► each image ─► its layers (side by side) ─► merge.rs ─► bootstrap layer, config, manifest
//!                └──► what is no image: carried along                                   └─► index ─► commit
//! ```

mod layers;
pub(crate) mod merge;
mod streamed;
mod variants;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::num::NonZeroUsize;

use nydus_convert_oci::nydus;
use nydus_convert_oci::{
    self as oci, Annotations, Blob, Config, Descriptor, DiffId, Digest, Index, Manifest, Reference, Sink,
    Source, copy_image,
};
use nydus_convert_rafs::{self as rafs, BlobId, BlobName, FsVersion, Image};

use crate::dictionary::DictionaryError;
use crate::error::Error;
use crate::image::ImageError;
use crate::image::find::{self as images, Content, Entry, Found, FoundKind};
use crate::layer::{ConvertedLayer, Form, LayerIdentity, LayerRun, LostEntry, Packed, Spare};
use crate::options::{Dedup, Fidelity, IndexForm, Replay, ToNydusOptions};
use crate::remembered::{self, LayerRecord, Origin, OriginIndex, REPLAY, layer_records};
use crate::report::{
    Action, ImageReport, LayerReport, LossReport, SCHEMA_VERSION, SharedReport, ToNydusReport, ToolReport,
};
use crate::reuse::Reuse;
use crate::run::Run;

use layers::{convert_layers, identities};
pub(crate) use merge::tree_of;
pub use merge::{MergeError, merge};
pub use streamed::{StreamedLayer, to_nydus_stream};

/// Converts the image or index behind `source` and publishes the result in `sink`. Whatever fails, the sink is dropped
/// uncommitted.
pub fn to_nydus(
    source: &dyn Source,
    sink: Box<dyn Sink>,
    options: &ToNydusOptions,
    run: &Run<'_>,
) -> Result<ToNydusReport, Error> {
    check_options(options, run)?;
    let options = &options.effective();
    let reuse = Reuse::new(options, run)?;
    let layers = layer_run(source, sink.as_ref(), reuse.as_ref(), options, run);
    // What is not there is better said before anything is converted.
    let survey = images::survey(source, &options.platforms)?;
    survey.left_out.iter().for_each(|entry| run.observer.note(&entry.why));
    survey.labels_not_for_linux().for_each(|label| {
        run.observer
            .note(&format!("{label}: only Linux mounts Nydus images; its files are converted all the same"));
    });
    let mut conversion = Conversion::new(layers, options);
    let root = conversion.convert(source.root(), 0)?;
    let found = conversion.finish()?;
    publish(root, found, source.name(), sink, reuse.as_ref())
}

/// What all layers share under these options.
fn layer_run<'a>(
    source: &'a dyn Source,
    sink: &'a dyn Sink,
    reuse: Option<&'a Reuse>,
    options: &'a ToNydusOptions,
    run: &'a Run<'a>,
) -> LayerRun<'a> {
    let dedup = options.reuse.dedup;
    let form = match (options.oci_ref, options.tarfs) {
        (true, _) => Form::Referred(options.fs.chunk_size),
        (_, true) => Form::PlainTar(options.fs.chunk_size),
        _ => Form::Packed(Packed {
            fs: options.fs,
            fidelity: options.fidelity,
            dictionary: run.dictionary.as_ref(),
            dedup,
            reuse,
        }),
    };
    // A layer must know what is below it.
    let is_chained = dedup != Dedup::Layer;
    LayerRun {
        source,
        sink,
        form,
        replay: options.replay,
        prefetch: &options.prefetch,
        tmpdir: options.tmpdir.as_deref(),
        spare: Spare::new(run.resources.max_metadata),
        parallel_layers: if is_chained { NonZeroUsize::MIN } else { run.resources.parallel_layers },
        run,
    }
}

/// Whether the options go together, and with what is at hand.
fn check_options(options: &ToNydusOptions, run: &Run<'_>) -> Result<(), Error> {
    options.fs.check()?;
    if let Some(dictionary) = &run.dictionary {
        dictionary.check(&options.fs)?;
        if options.oci_ref {
            return Err(DictionaryError::Referred.into());
        }
    }
    options.check_form(run.dictionary.is_some())?;
    options.check_reuse(run.store.is_some(), run.dictionary.is_some())?;
    Ok(())
}

/// Gives the result its name, and the report.
fn publish(
    root: Descriptor,
    made: Made,
    source: &Reference,
    sink: Box<dyn Sink>,
    reuse: Option<&Reuse>,
) -> Result<ToNydusReport, Error> {
    let Made { mut images, losses, notes } = made;
    let (digest, media_type, target) = (root.digest, root.media_type.clone(), sink.name().clone());
    sink.commit(root)?;
    if let Some(reuse) = reuse {
        reuse.name_shared(&mut images)?;
        reuse.remember(digest, (target.pinned(digest), source.to_string()), data_blobs(&images))?;
    }
    let snapshot = reuse.filter(|reuse| reuse.options.dedup == Dedup::Store).map(|reuse| reuse.snapshot);
    Ok(ToNydusReport {
        schema_version: SCHEMA_VERSION,
        source: source.to_string(),
        target: target.to_string(),
        reference: target.pinned(digest),
        digest: digest.to_string(),
        media_type,
        images,
        losses,
        notes,
        dedup_snapshot: snapshot.map(|snapshot| snapshot.to_string()),
        tool: ToolReport::current(),
    })
}

/// The blobs of all images, those of their layers and the others that these use.
fn data_blobs(images: &[ImageReport]) -> Vec<BlobId> {
    let layers = images.iter().flat_map(|image| &image.layers);
    let digests = layers.flat_map(|layer| {
        std::iter::once(&layer.blob_digest).chain(layer.shared.iter().map(|shared| &shared.blob_digest))
    });
    let ids = digests.filter_map(|digest| digest.strip_prefix("sha256:")?.parse().ok());
    ids.collect::<BTreeSet<BlobId>>().into_iter().collect()
}

/// A conversion under way.
struct Conversion<'a> {
    run: LayerRun<'a>,
    options: &'a ToNydusOptions,
    /// Layers that are done: many images of an index share some.
    done: HashMap<LayerIdentity, ConvertedLayer>,
    /// Those of them that no image has used yet.
    fresh: HashSet<LayerIdentity>,
    /// The indexes on the way to the image being converted, the outermost first.
    indexes: Vec<OriginIndex>,
    made: Made,
}

/// What became of the images.
#[derive(Default)]
struct Made {
    images: Vec<ImageReport>,
    losses: Vec<LossReport>,
    notes: Vec<LossReport>,
}

impl<'a> Conversion<'a> {
    fn new(run: LayerRun<'a>, options: &'a ToNydusOptions) -> Self {
        Self {
            run,
            options,
            done: HashMap::new(),
            fresh: HashSet::new(),
            indexes: Vec::new(),
            made: Made::default(),
        }
    }

    /// What became of the images; an error if none is there that was asked for, or if too much was lost.
    fn finish(self) -> Result<Made, Error> {
        let Self { made, options, run, .. } = self;
        if !made.images.iter().any(|image| image.action != Action::Carried) {
            return Err(Error::from(ImageError::NoImage));
        }
        if options.fidelity == Fidelity::Strict && !made.losses.is_empty() {
            return Err(Error::NotFaithful { losses: made.losses });
        }
        run.run.proceed()?;
        Ok(made)
    }

    /// Converts what a descriptor names; gives what stands in its place.
    fn convert(&mut self, descriptor: &Descriptor, depth: usize) -> Result<Descriptor, Error> {
        match images::read(self.run.source, descriptor, depth == 0)? {
            Content::Index(_) if depth == images::MAX_DEPTH => {
                Err(Error::from(ImageError::NestedIndex { digest: descriptor.digest }))
            }
            Content::Index(index) => {
                let bytes = self.run.source.read(descriptor, oci::image::MAX_MANIFEST)?;
                self.indexes.push(OriginIndex { media_type: descriptor.media_type.clone(), bytes });
                let converted = self.convert_index(descriptor, &index, depth);
                self.indexes.pop();
                converted
            }
            Content::One(found) => match (found.label(), self.convert_alone(&found, depth)) {
                (Some(platform), Err(source)) if depth > 0 => {
                    Err(Error::Platform { platform, source: Box::new(source) })
                }
                (_, result) => result,
            },
        }
    }

    /// Converts one image; at the top, what comes of it is the result.
    fn convert_alone(&mut self, found: &Found, depth: usize) -> Result<Descriptor, Error> {
        let converted = self.convert_one(found)?;
        match &found.kind {
            FoundKind::Oci(manifest) if depth == 0 && self.options.index == IndexForm::WithOci => {
                self.pair(found, manifest, &converted)
            }
            _ => Ok(converted),
        }
    }

    fn convert_index(
        &mut self,
        descriptor: &Descriptor,
        index: &Index,
        depth: usize,
    ) -> Result<Descriptor, Error> {
        let index = &Index { format: self.format(index.format), ..index.clone() };
        // Those that clients choose from come first: the images, then Nydus images, then what belongs to them.
        let (mut images, mut entries, mut others) = (Vec::new(), Vec::new(), Vec::new());
        let with_oci = self.options.index == IndexForm::WithOci;
        for entry in &index.manifests {
            let found = match images::look(self.run.source, entry, &self.options.platforms)? {
                Entry::One(found) => found,
                Entry::Index(_) => {
                    entries.push(self.convert(entry, depth + 1)?);
                    continue;
                }
                Entry::Unwanted | Entry::LeftOut(_) => continue,
            };
            match &found.kind {
                FoundKind::Oci(_) if nydus::has_nydus(index, entry) => images.push(self.carry(&found)?),
                FoundKind::Oci(manifest) => {
                    let converted = self.convert(entry, depth + 1)?;
                    let platform = found.platform.clone();
                    if with_oci {
                        images.push(self.variant(&found, manifest)?);
                        entries.push(variants::nydus_entry(entry, &converted, platform));
                    } else {
                        let platform = platform.unwrap_or_default();
                        let blob = Blob { digest: converted.digest, size: converted.size };
                        entries.push(nydus::index_entry(index.format, entry, blob, platform, None));
                    }
                }
                FoundKind::Nydus(_) => {
                    let copied = self.convert(entry, depth + 1)?;
                    entries
                        .push(Descriptor { platform: copied.platform.or(found.platform.clone()), ..copied });
                }
                FoundKind::Other if with_oci => others.push(self.convert(entry, depth + 1)?),
                FoundKind::Other => entries.push(self.convert(entry, depth + 1)?),
            }
        }
        let entries: Vec<Descriptor> = images.into_iter().chain(entries).chain(others).collect();
        let same =
            index.manifests.iter().map(|entry| entry.digest).eq(entries.iter().map(|entry| entry.digest));
        if let Some(bytes) = self.indexes.last().map(|index| &index.bytes)
            && same
            && index.unreadable.is_empty()
            && self.options.annotations.is_empty()
        {
            return Ok(oci::image::put(self.run.sink, &descriptor.media_type, bytes)?);
        }
        let mut annotations = self.annotations();
        annotations.insert(nydus::SOURCE_DIGEST.to_owned(), descriptor.digest.to_string());
        let index = nydus::IndexParts { source: index, entries, annotations }.assemble();
        Ok(oci::image::put(self.run.sink, index.format.index(), &index.to_json())?)
    }

    /// The form of manifests and indexes: annotations of layers, which say what they refer to, are OCI's.
    fn format(&self, source: oci::image::Format) -> oci::image::Format {
        let refers = self.options.oci_ref
            || self.options.tarfs
            || self.options.referrer
            || self.options.index == IndexForm::WithOci;
        if refers { oci::image::Format::Oci } else { source }
    }

    /// The user's annotations.
    fn annotations(&self) -> Annotations {
        self.options.annotations.iter().cloned().collect()
    }

    fn convert_one(&mut self, found: &Found) -> Result<Descriptor, Error> {
        match &found.kind {
            FoundKind::Oci(manifest) => self.convert_image(found, manifest),
            FoundKind::Nydus(_) | FoundKind::Other => self.carry(found),
        }
    }

    /// Copies what is not to be converted.
    fn carry(&mut self, found: &Found) -> Result<Descriptor, Error> {
        let (action, note) = match &found.kind {
            FoundKind::Oci(_) => (Action::Carried, "has its Nydus variant beside it: copied unchanged"),
            FoundKind::Nydus(_) => (Action::Copied, "is a Nydus image already: copied unchanged"),
            FoundKind::Other => (Action::Carried, "is no image: carried along unchanged"),
        };
        let digest = found.descriptor.digest;
        self.run.run.observer.note(&format!("{digest} {note}"));
        copy_image(self.run.source, self.run.sink, &found.descriptor)?;
        self.made.images.push(ImageReport {
            platform: found.label(),
            action,
            source_digest: digest.to_string(),
            digest: digest.to_string(),
            layers: Vec::new(),
            bootstrap_bytes: 0,
            inodes: 0,
            blobs: 0,
        });
        Ok(found.descriptor.clone())
    }

    fn convert_image(&mut self, found: &Found, manifest: &Manifest) -> Result<Descriptor, Error> {
        let config = images::read_config(self.run.source, manifest)?;
        let fresh = std::mem::take(&mut self.fresh);
        let earlier: HashSet<LayerIdentity> =
            self.done.keys().copied().filter(|key| !fresh.contains(key)).collect();
        let keys = identities(manifest, &config, self.options.reuse.dedup);
        convert_layers(&self.run, found.label(), manifest, &keys, &mut self.done)?;
        let layers: Vec<&ConvertedLayer> = keys.iter().filter_map(|key| self.done.get(key)).collect();

        let fs = self.options.fs;
        let merged = layers.iter().map(|layer| layer.merge.clone()).collect();
        let (compressor, digester) = self.run.form.algorithms();
        let mut image = merge(merged, fs.chunk_size, compressor, digester)?;
        image.tarfs = self.options.tarfs;
        self.set_prefetch(found, &mut image);
        let mut bootstrap = Vec::new();
        rafs::write(fs.version, &image, &mut bootstrap).map_err(Error::Bootstrap)?;
        let mut blobs = self.run.form.describe(&layers, &manifest.layers);
        blobs.extend(self.copy_foreign(&image, &layers)?.into_iter().map(nydus::blob_descriptor));
        let records = layers.iter().filter_map(|layer| layer.tar.as_ref()?.record.as_ref()).collect();
        let written = self.write_image(found, (manifest, &config), blobs, &bootstrap, records)?;

        let mut report = image_report(found, &written, &image, bootstrap.len() as u64);
        for ((descriptor, key), layer) in manifest.layers.iter().zip(&keys).zip(layers) {
            let reused = earlier.contains(key);
            report.layers.push(layer_report(descriptor, &key.diff_id, layer, reused));
            if !reused {
                let (notes, losses): (Vec<_>, Vec<_>) =
                    layer.losses.iter().partition(|lost| lost.loss.is_note());
                self.made.losses.extend(losses.into_iter().map(|lost| loss_report(descriptor, lost)));
                self.made.notes.extend(notes.into_iter().map(|lost| loss_report(descriptor, lost)));
            }
        }
        self.made.images.push(report);
        Ok(written)
    }

    /// Brings the blobs into the sink that are used and are no layer's own: those of the bootstrap in its order, then
    /// those that only the way back needs.
    fn copy_foreign(&self, image: &Image, layers: &[&ConvertedLayer]) -> Result<Vec<Blob>, Error> {
        let own: HashSet<BlobName> =
            layers.iter().filter_map(|layer| layer.merge.blob.as_ref()).map(|blob| blob.name).collect();
        let names = layers.iter().flat_map(|layer| &layer.merge.foreign).map(|blob| blob.name);
        let foreign: Vec<BlobName> = names.filter(|name| !own.contains(name)).collect();
        let listed = image.blobs.iter().map(|blob| blob.name).filter(|name| foreign.contains(name));
        let mut seen = HashSet::new();
        let ids = listed.chain(foreign.iter().copied()).filter_map(|name| match name {
            BlobName::Id(id) => seen.insert(id).then_some(id),
            BlobName::ThisBlob => None,
        });
        let bring = |id| match self.run.form.packed() {
            Some(Packed { dictionary: Some(dictionary), .. }) => Ok(dictionary.copy_blob(id, self.run.sink)?),
            Some(Packed { reuse: Some(reuse), .. }) => Ok(reuse.bring(id, self.run.sink)?),
            _ => Err(Error::StoredBlob { id }),
        };
        ids.map(bring).collect()
    }

    /// Lists what clients fetch first, and says which patterns name nothing.
    fn set_prefetch(&self, found: &Found, image: &mut Image) {
        let prefetch = &self.options.prefetch;
        image.prefetch = prefetch.entries(&image.tree);
        for pattern in prefetch.unknown(&image.tree) {
            let digest = found.descriptor.digest;
            self.run.run.observer.note(&format!("{digest} has no {pattern} that could be fetched first"));
        }
    }

    /// The image as it is before it is converted.
    fn origin(&self, found: &Found, manifest: &Manifest) -> Result<Vec<u8>, Error> {
        let source = self.run.source;
        let origin = Origin {
            media_type: found.descriptor.media_type.clone(),
            manifest: source.read(&found.descriptor, oci::image::MAX_MANIFEST)?,
            config: source.read(&manifest.config, oci::image::MAX_CONFIG)?,
            indexes: self.indexes.clone(),
        };
        origin.write().map_err(Error::Origin)
    }

    /// Writes bootstrap layer, config and manifest.
    fn write_image(
        &self,
        found: &Found,
        (source, config): (&Manifest, &Config),
        blobs: Vec<Descriptor>,
        bootstrap: &[u8],
        records: Vec<&LayerRecord>,
    ) -> Result<Descriptor, Error> {
        let sink = self.run.sink;
        let layer = nydus::BootstrapWriter::new(sink.blob()?.prehashed(), bootstrap.len() as u64, |out| {
            out.write_all(bootstrap)
        });
        let mut layer = layer.map_err(oci::Error::from)?;
        let mut annotations = self.annotations();
        if self.options.replay != Replay::None {
            layer.extra(nydus::ORIGIN_PATH, &self.origin(found, source)?).map_err(oci::Error::from)?;
            if self.options.tarfs {
                let records = layer_records::write(records.into_iter());
                layer.extra(nydus::LAYERS_PATH, &records).map_err(oci::Error::from)?;
            }
            annotations.insert(REPLAY.to_owned(), remembered::VERSION.to_string());
        }
        let (out, stored) = layer.finish().map_err(oci::Error::from)?;
        out.finish_as(stored.blob.digest, stored.blob.size)?;

        let contents: Vec<Blob> =
            blobs.iter().map(|blob| Blob { digest: blob.digest, size: blob.size }).collect();
        let config = nydus::config(config, &contents, &stored);
        let source = &Manifest { format: self.format(source.format), ..source.clone() };
        // Beside images, plain clients must not take it for one.
        let config_type = match self.options.index {
            IndexForm::NydusOnly => source.format.config(),
            IndexForm::WithOci => nydus::CONFIG_MEDIA_TYPE,
        };
        let fs_version = match self.options.fs.version {
            FsVersion::V5 => nydus::FsVersion::V5,
            FsVersion::V6 => nydus::FsVersion::V6,
        };
        let manifest = nydus::ManifestParts {
            source,
            source_digest: found.descriptor.digest,
            // A path of this machine would make the output depend on where it was made.
            source_reference: None,
            config: oci::image::put(sink, config_type, &config.to_json())?,
            blobs,
            bootstrap: nydus::bootstrap_descriptor(source.format, stored.blob, fs_version),
            fs_version,
            builder_version: Some(concat!("nydus-convert-", env!("CARGO_PKG_VERSION"))),
            // What refers to something is found by its type.
            artifact_type: self.options.referrer.then_some(nydus::ARTIFACT_TYPE),
            subject: self.options.referrer.then(|| subject(&found.descriptor)),
            annotations,
        };
        Ok(oci::image::put(sink, source.format.manifest(), &manifest.assemble().to_json())?)
    }
}

/// An image as a subject: what it is, and nothing of where it stood.
fn subject(image: &Descriptor) -> Descriptor {
    Descriptor::new(image.media_type.clone(), image.digest, image.size)
}

fn image_report(found: &Found, written: &Descriptor, image: &Image, bootstrap_bytes: u64) -> ImageReport {
    ImageReport {
        platform: found.label(),
        action: Action::Converted,
        source_digest: found.descriptor.digest.to_string(),
        digest: written.digest.to_string(),
        layers: Vec::new(),
        bootstrap_bytes,
        inodes: image.tree.link_counts().iter().filter(|count| **count > 0).count() as u64,
        blobs: image.blobs.len() as u64,
    }
}

fn layer_report(source: &Descriptor, diff_id: &DiffId, layer: &ConvertedLayer, reused: bool) -> LayerReport {
    LayerReport {
        source_digest: source.digest.to_string(),
        diff_id: diff_id.to_string(),
        blob_digest: layer.blob.digest.to_string(),
        source_bytes: source.size,
        tar_bytes: layer.tar_bytes,
        blob_bytes: layer.blob.size,
        entries: layer.entries,
        chunks: layer.chunks,
        stored_chunks: layer.stored_chunks,
        foreign_chunks: layer.foreign_chunks,
        copied_chunks: layer.copied_chunks,
        reused,
        from_store: layer.from_store,
        shared: layer.merge.foreign.iter().map(shared_report).collect(),
        replay: layer.replay.clone(),
    }
}

fn shared_report(blob: &rafs::Blob) -> SharedReport {
    let digest = match blob.name {
        BlobName::Id(id) => Digest::from_sha256(id.0).to_string(),
        BlobName::ThisBlob => String::new(),
    };
    let saved_bytes = blob.chunks.iter().map(|(_, chunk)| u64::from(chunk.compressed_size)).sum();
    SharedReport { blob_digest: digest, chunks: blob.chunks.len() as u64, saved_bytes, image: None }
}

fn loss_report(source: &Descriptor, lost: &LostEntry) -> LossReport {
    LossReport {
        layer: source.digest.to_string(),
        path: lost.path.to_string(),
        problem: lost.loss.to_string(),
    }
}
