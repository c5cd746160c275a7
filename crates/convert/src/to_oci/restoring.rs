//! One layer: the tar from its record and the chunks of its blob, and from the tar the layer as it was stored.

use std::cell::Cell;
use std::io::{self, Read};
use std::num::NonZeroUsize;

use nydus_convert_layer::record::Record;
use nydus_convert_oci::image::Format;
use nydus_convert_oci::nydus::LayerStorage;
use nydus_convert_oci::{self as oci, BlobWriter, Descriptor, DiffId, Digest, HashingReader};
use nydus_convert_recompress::{Recipe, ReplayError, replay};

use super::blob::OpenBlob;
use super::payload::Payload;
use super::{Run, compress};
use crate::layer::failure::LayerFailure;
use crate::options::Layers;
use crate::remembered::{LayerRecord, ORIGINAL_SECTION, Stored};
use crate::run::LayerLabel;

/// A layer that is to be made.
pub struct LayerJob<'a> {
    /// The blob made of it.
    pub blob: &'a Descriptor,
    /// All layers of the Nydus image: files may use chunks of other blobs.
    pub all: &'a [Descriptor],
    /// The blob, if it is open.
    pub opened: Option<&'a OpenBlob>,
    /// Whether the blob is a plain tar, and what is remembered of it.
    pub tar: Option<PlainTar>,
    /// What it was, where the image says so.
    pub expected: Option<Expected>,
    /// For the observer.
    pub label: LayerLabel,
}

/// What is told of a blob that is a plain tar.
#[derive(Debug, Clone, Default)]
pub struct PlainTar {
    /// How the layer comes back, if the image remembers it.
    pub record: Option<LayerRecord>,
}

/// What a layer was.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    /// Its descriptor in the original manifest.
    pub layer: Descriptor,
    /// Digest of its plain tar, by the original config.
    pub diff_id: DiffId,
}

/// Where the plain tar of a layer comes from.
#[derive(Clone, Copy)]
pub enum TarSource<'a> {
    /// From the record and the chunks of the blob.
    Chunks(&'a OpenBlob),
    /// It is the blob.
    Blob,
}

impl LayerJob<'_> {
    /// Whether the same would come of both.
    pub fn is_same(&self, other: &Self) -> bool {
        self.blob.digest == other.blob.digest && self.expected == other.expected
    }

    /// The digest that people know the layer by.
    pub fn name(&self) -> Digest {
        self.expected.as_ref().map_or(self.blob.digest, |expected| expected.layer.digest)
    }
}

/// A layer that is in the sink.
#[derive(Debug, Clone)]
pub struct RestoredTar {
    /// Digest and size.
    pub blob: oci::Blob,
    /// Digest of the plain tar.
    pub diff_id: DiffId,
    /// How it is stored.
    pub storage: LayerStorage,
    /// Whether it is the original, bit for bit.
    pub exact: bool,
    /// Whether its plain tar is.
    pub exact_tar: bool,
    /// How it was made, in words.
    pub method: String,
    /// The blob that it was made from.
    pub from: Option<Digest>,
}

impl RestoredTar {
    /// Its entry in a manifest.
    pub fn descriptor(&self, format: Format) -> Descriptor {
        self.blob.descriptor(self.storage.media_type(format))
    }
}

/// A layer being made.
pub struct Restoring<'a> {
    pub run: &'a Run<'a>,
    pub job: &'a LayerJob<'a>,
    pub proceed: &'a dyn Fn() -> Result<(), LayerFailure>,
    /// Plain bytes read since the observer was told.
    advanced: Cell<u64>,
}

impl<'a> Restoring<'a> {
    /// At its beginning.
    pub fn new(
        run: &'a Run<'a>,
        job: &'a LayerJob<'a>,
        proceed: &'a dyn Fn() -> Result<(), LayerFailure>,
    ) -> Self {
        Self { run, job, proceed, advanced: Cell::new(0) }
    }

    /// The layer that a record describes.
    pub(super) fn recorded(
        &self,
        from: TarSource<'_>,
        record: &LayerRecord,
    ) -> Result<RestoredTar, LayerFailure> {
        if let Some(Expected { layer, diff_id }) = &self.job.expected {
            same("the record's layer", layer.digest, record.digest)?;
            same("the record's tar", diff_id.0, record.diff_id.0)?;
        }
        if self.run.options.layers != Layers::Original {
            return self.compressed_anew(from, record);
        }
        match &record.stored {
            Stored::Unknown if self.job.expected.is_none() => self.compressed_anew(from, record),
            Stored::Unknown => Err(LayerFailure::NotExact(
                "only the plain tar was kept: who compressed the layer was not recognised when it was converted",
            )),
            Stored::Plain => self.exact(from, record, "not compressed".to_owned(), |tar, mut out| {
                io::copy(tar, &mut out).map_err(|error| self.stream_error(error))?;
                Ok(out)
            }),
            Stored::Recipes { recipes, .. } => self.by_recipes(from, record, recipes),
            Stored::Kept => self.kept(from, record),
        }
    }

    /// Tries the recipes one after another: which one is right, the digest decides.
    fn by_recipes(
        &self,
        from: TarSource<'_>,
        record: &LayerRecord,
        recipes: &[Vec<u8>],
    ) -> Result<RestoredTar, LayerFailure> {
        for recipe in recipes {
            let recipe = Recipe::parse(recipe)?;
            let made = self.exact(from, record, recipe.method().to_string(), |tar, mut out| {
                replay(&recipe, tar, &mut out, self.threads()).map_err(|error| self.replay_error(error))?;
                Ok(out)
            });
            match made {
                Err(failure) if failure.is_other_stream() => {}
                result => return result,
            }
        }
        Err(LayerFailure::NotExact(
            "none of the encoders that fitted a sample of the layer makes all of it (--replay proven finds out when converting)",
        ))
    }

    /// Layers are made side by side; the threads left over help with one.
    fn threads(&self) -> NonZeroUsize {
        let resources = &self.run.resources;
        let share = resources.jobs.get() / resources.parallel_layers.get().min(self.job.label.count.max(1));
        NonZeroUsize::new(share).unwrap_or(NonZeroUsize::MIN)
    }

    /// The layer as it was: `store` makes it of the tar.
    fn exact(
        &self,
        from: TarSource<'_>,
        record: &LayerRecord,
        method: String,
        store: impl FnOnce(&mut dyn Read, BlobWriter) -> Result<BlobWriter, LayerFailure>,
    ) -> Result<RestoredTar, LayerFailure> {
        let out = self.with_tar(from, record, |tar| store(tar, self.run.sink.blob()?))?;
        self.original(out, record, method)
    }

    fn kept(&self, from: TarSource<'_>, record: &LayerRecord) -> Result<RestoredTar, LayerFailure> {
        let missing = LayerFailure::NotExact("the layer was kept as it was, but its blob does not hold it");
        let original = match from {
            TarSource::Chunks(blob) => blob.reader.section_reader(ORIGINAL_SECTION),
            TarSource::Blob => None,
        };
        let original = original.ok_or(missing)?;
        let mut out = self.run.sink.blob()?;
        let mut original = Watched { inner: original, restoring: self };
        io::copy(&mut original, &mut out).map_err(|error| self.stream_error(error))?;
        self.original(out, record, "kept as it was".to_owned())
    }

    /// Accepts what was written if it is the original.
    fn original(
        &self,
        out: BlobWriter,
        record: &LayerRecord,
        method: String,
    ) -> Result<RestoredTar, LayerFailure> {
        let stored = out.finish_as(record.digest, record.size).map_err(LayerFailure::Source)?;
        Ok(RestoredTar {
            blob: stored,
            diff_id: record.diff_id,
            storage: match (&record.stored, self.job.expected.as_ref().map(|expected| &expected.layer)) {
                (Stored::Plain, _) => LayerStorage::Plain,
                (Stored::Kept, Some(layer)) if layer.media_type.ends_with("zstd") => LayerStorage::Zstd,
                _ => LayerStorage::Gzip,
            },
            exact: true,
            exact_tar: true,
            method,
            from: Some(self.job.blob.digest),
        })
    }

    fn compressed_anew(
        &self,
        from: TarSource<'_>,
        record: &LayerRecord,
    ) -> Result<RestoredTar, LayerFailure> {
        let stored = self.with_tar(from, record, |tar| self.compress(tar))?;
        Ok(self.anew(stored, record.diff_id, true))
    }

    /// What is told of a layer that was compressed anew.
    pub fn anew(&self, stored: oci::Blob, diff_id: DiffId, exact_tar: bool) -> RestoredTar {
        let layers = self.run.options.layers;
        RestoredTar {
            blob: stored,
            diff_id,
            storage: compress::storage(layers),
            exact: false,
            exact_tar,
            method: compress::describe(layers),
            from: Some(self.job.blob.digest),
        }
    }

    /// Compresses a tar as asked for and puts it into the sink.
    pub fn compress(&self, tar: &mut dyn Read) -> Result<oci::Blob, LayerFailure> {
        let out = self.run.sink.blob()?;
        let out = compress::compress(self.run.pool, self.run.options.layers, tar, out)
            .map_err(|error| self.stream_error(error))?;
        Ok(out.finish()?)
    }

    /// Makes the tar of a record, hands it to `then`, and checks that it was read to its end and is the original.
    fn with_tar<T>(
        &self,
        from: TarSource<'_>,
        record: &LayerRecord,
        then: impl FnOnce(&mut dyn Read) -> Result<T, LayerFailure>,
    ) -> Result<T, LayerFailure> {
        let TarSource::Chunks(blob) = from else { return self.with_blob(record.diff_id, then) };
        let tar = Record::parse(&record.tar, record.tar_size)?;
        let numbers = tar.slices().map(|slice| slice.chunk);
        let chunks = blob.read_ahead(self.run.pool, self.window_bytes(), numbers);
        let payload = Payload::new(chunks, tar.slices());
        self.with_hashed(tar.rebuild(payload), record.diff_id, then)
    }

    /// As [`Restoring::with_tar`], of a blob that is the tar.
    pub(super) fn with_blob<T>(
        &self,
        diff_id: DiffId,
        then: impl FnOnce(&mut dyn Read) -> Result<T, LayerFailure>,
    ) -> Result<T, LayerFailure> {
        self.with_hashed(self.run.source.open(self.job.blob)?, diff_id, then)
    }

    fn with_hashed<T>(
        &self,
        tar: impl Read,
        diff_id: DiffId,
        then: impl FnOnce(&mut dyn Read) -> Result<T, LayerFailure>,
    ) -> Result<T, LayerFailure> {
        let mut hashed = HashingReader::new(Watched { inner: tar, restoring: self });
        let result = then(&mut hashed)?;
        // Whoever reads a tar may stop at its end without asking for more.
        io::copy(&mut hashed, &mut io::sink()).map_err(|error| self.stream_error(error))?;
        same("the tar", diff_id.0, hashed.finish().1)?;
        Ok(result)
    }

    /// Memory for chunks under way.
    pub fn window_bytes(&self) -> usize {
        let resources = &self.run.resources;
        resources.window_bytes / resources.parallel_layers
    }

    /// What an error of reading or writing a stream was before it became one.
    pub fn stream_error(&self, error: io::Error) -> LayerFailure {
        if let Err(stopped) = (self.proceed)() {
            return stopped;
        }
        LayerFailure::of_stream(self.job.blob.digest, error)
    }

    fn replay_error(&self, error: ReplayError) -> LayerFailure {
        match error {
            ReplayError::Read(error) | ReplayError::Write(error) => self.stream_error(error),
            error => LayerFailure::Replay(error),
        }
    }
}

fn same(what: &'static str, expected: Digest, actual: Digest) -> Result<(), LayerFailure> {
    if expected == actual { Ok(()) } else { Err(LayerFailure::Differs { what, expected, actual }) }
}

/// Tells the observer of what is read, and stops when asked to.
pub struct Watched<'a, R> {
    pub inner: R,
    pub restoring: &'a Restoring<'a>,
}

/// Bytes between two words to the observer.
const STEP: u64 = 1 << 20;

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Restoring { run, job, proceed, advanced } = self.restoring;
        proceed().map_err(|_| io::Error::other("stopped"))?;
        let read = self.inner.read(buffer)?;
        advanced.set(advanced.get() + read as u64);
        if advanced.get() >= STEP {
            run.observer.layer_advanced(&job.label, advanced.take());
        }
        Ok(read)
    }
}
