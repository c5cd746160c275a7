//! One layer: from the stored stream to a finished blob and what merging needs, in one pass.

use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nydus_convert_chunk::ordered::Pool;
use nydus_convert_chunk::{BlobOptions, BlobTail, BlobWriter, Buffers, Foreign, PackOptions, pack_with};
use nydus_convert_oci::{
    self as oci, Algorithm, Compression, Descriptor, DiffId, Digest, ErrorKind, Hasher, Sink, Source,
    decompress_watched,
};
use nydus_convert_rafs::{self as rafs, Blob, FsVersion, Image, InodeKind, LayerTree, Tree};

use super::entries::{Entries, EntryOptions, LostEntry};
use super::merge::MergeLayer;
use super::other_blobs::OtherBlobs;
use super::tarfs::TarLayer;
use super::unread::Unread;
use super::watch::EncoderWatch;
use super::way_back::Layer;
use crate::dictionary::ChunkDictionary;
use crate::error::{Kind, LayerFailure};
use crate::observer::{LayerLabel, Observer, Stop};
use crate::options::{Dedup, Fidelity, FsOptions, Replay, Resources, ToNydusOptions};
use crate::prefetch::Prefetch;
use crate::readahead::ReadAhead;
use crate::replay::{CHUNKS_SECTION, chunk_records};
use crate::report::{ReplayReport, WayBack};
use crate::reuse::{Lower, Reuse, Tee};

/// A layer that is done.
#[derive(Debug, Clone)]
pub struct ConvertedLayer {
    /// The blob stream, as the sink holds it.
    pub blob: oci::Blob,
    /// Digest of the plain tar.
    pub diff_id: DiffId,
    /// Length of the plain tar.
    pub tar_bytes: u64,
    /// Entries of the tar.
    pub entries: u64,
    /// Chunks of the layer's files.
    pub chunks: u64,
    /// Chunks kept.
    pub stored_chunks: u64,
    /// Different chunks of other blobs that are used.
    pub foreign_chunks: u64,
    /// Of the chunks kept those that were copied from the chunk store.
    pub copied_chunks: u64,
    /// What the format cannot hold.
    pub losses: Vec<LostEntry>,
    /// What is kept for the way back.
    pub replay: ReplayReport,
    /// What merging needs.
    pub merge: MergeLayer,
    /// Of an image of plain tars: what else it keeps.
    pub tar: Option<TarLayer>,
    /// Whether the chunk store had all of it.
    pub from_store: bool,
}

/// What all layers of a run share.
pub struct LayerRun<'a> {
    /// Where layers come from.
    pub source: &'a dyn Source,
    /// Where blobs go.
    pub sink: &'a dyn Sink,
    /// The file system asked for.
    pub fs: FsOptions,
    /// Whether layers stay as they are, and are only referred to.
    pub oci_ref: bool,
    /// Whether layers become plain tars, and are blobs as such.
    pub tarfs: bool,
    /// What is kept for the way back.
    pub replay: Replay,
    /// Whether damage is a loss or an error.
    pub fidelity: Fidelity,
    /// Chunks that need not be kept.
    pub dictionary: Option<&'a ChunkDictionary>,
    /// What layers may refer to.
    pub dedup: Dedup,
    /// Where finished work is kept.
    pub reuse: Option<&'a Reuse>,
    /// What is to lie in front.
    pub prefetch: &'a Prefetch,
    /// Bounds.
    pub resources: Resources,
    /// Where temporary files are made.
    pub tmpdir: Option<&'a Path>,
    /// Who hashes and compresses.
    pub pool: &'a Pool,
    /// Who watches.
    pub observer: &'a dyn Observer,
    /// Whether to stop.
    pub stop: &'a Stop,
}

impl<'a> LayerRun<'a> {
    /// What these options ask for.
    pub fn new(
        (source, sink, reuse): (&'a dyn Source, &'a dyn Sink, Option<&'a Reuse>),
        options: &'a ToNydusOptions,
        pool: &'a Pool,
        observer: &'a dyn Observer,
        stop: &'a Stop,
    ) -> Self {
        Self {
            source,
            sink,
            fs: options.fs,
            oci_ref: options.oci_ref,
            tarfs: options.tarfs,
            replay: options.replay,
            fidelity: options.fidelity,
            dictionary: options.chunk_dict.as_ref(),
            dedup: options.reuse.dedup,
            reuse,
            prefetch: &options.prefetch,
            resources: options.resources,
            tmpdir: options.tmpdir.as_deref(),
            pool,
            observer,
            stop,
        }
    }

    /// Converts one layer; it may refer to those in `lower`. Asked again and again, `give_up` says whether the result is
    /// still wanted.
    pub fn convert(
        &self,
        layer: &Unread<'_>,
        label: &LayerLabel,
        lower: &Lower,
        give_up: &dyn Fn() -> bool,
    ) -> Result<ConvertedLayer, LayerFailure> {
        self.observer.layer_started(label);
        let converted = match layer {
            _ if self.oci_ref => self.refer_stream(layer, label, give_up),
            Unread::Listed { layer, key } if self.tarfs => {
                self.tar_stream(layer, &key.diff_id, label, give_up)
            }
            _ => self.restore(layer, label).and_then(|restored| match restored {
                Some(restored) => Ok(restored),
                None => self.convert_stream(layer, label, lower, give_up),
            }),
        };
        match converted {
            Ok(converted) => {
                self.observer.layer_finished(label, converted.blob.size);
                Ok(converted)
            }
            Err(failure) => Err(match layer {
                Unread::Listed { layer, .. } => self.root_cause(layer, failure),
                Unread::Stream { .. } => failure,
            }),
        }
    }

    /// The layer as the chunk store has it.
    fn restore(
        &self,
        layer: &Unread<'_>,
        label: &LayerLabel,
    ) -> Result<Option<ConvertedLayer>, LayerFailure> {
        // Blobs that use a dictionary depend on it.
        let (Unread::Listed { layer, key }, Some(reuse), None) = (layer, self.reuse, self.dictionary) else {
            return Ok(None);
        };
        let restored = reuse.restore(key, self.sink)?;
        if restored.is_some() {
            self.observer.layer_advanced(label, layer.size);
        }
        Ok(restored)
    }

    fn convert_stream(
        &self,
        unread: &Unread<'_>,
        label: &LayerLabel,
        lower: &Lower,
        give_up: &dyn Fn() -> bool,
    ) -> Result<ConvertedLayer, LayerFailure> {
        let layer = unread.descriptor();
        let (stored, advanced) = Counted::new(self.source.open(layer)?);
        let watch = EncoderWatch::new(matches!(self.replay, Replay::Auto | Replay::Proven), layer.size);
        let plain = decompress_watched(stored, self.resources.max_layer_size, watch)
            .map_err(|error| unread.reading(error))?;
        // An uncompressed layer whose digest is its diff id has been compared with it already.
        let compression = plain.compression();
        let compared =
            compression == Compression::None && unread.diff_id().is_some_and(|id| id.0 == layer.digest);
        let plain = PlainTar::new(ReadAhead::new(plain).map_err(LayerFailure::Thread)?, !compared);
        let window_bytes = self.resources.window_bytes / self.resources.parallel_layers;
        let should_stop = || match self.stop.requested() {
            Some(signal) => Err(LayerFailure::Interrupted { signal }),
            None if give_up() => Err(LayerFailure::GivenUp),
            None => Ok(()),
        };
        let options = EntryOptions {
            version: self.fs.version,
            chunk_size: self.fs.chunk_size,
            max_content: self.resources.max_layer_size,
            record: self.replay != Replay::None,
            salvage: self.fidelity == Fidelity::Warn,
            prefetch: self.prefetch,
            tmpdir: self.tmpdir,
            offsets: false,
            proceed: &should_stop,
        };
        let buffers = Buffers::new(window_bytes);
        let mut entries = Entries::new(plain, buffers.clone(), options);

        let tee = match self.reuse {
            Some(reuse) => reuse.tee(self.sink)?,
            None => Tee::new(Some(self.sink.blob()?.prehashed()), None),
        };
        let mut writer = BlobWriter::new(tee, self.blob_options());
        let groups = entries.by_ref().inspect(|_| self.observer.layer_advanced(label, advanced.take()));
        let pack_options = self.pack_options(window_bytes);
        let mut others = OtherBlobs::new(self, lower);
        let mut lookup = others.lookup();
        let mut foreign = lookup.as_mut().map(|lookup| Foreign::new(lookup));
        let mut packing =
            pack_with(self.pool, &pack_options, groups, &mut writer, others.of(foreign.as_mut()))?;
        let (plain, mut contents, recording) = entries.finish()?;
        let (ahead, actual, tar_bytes) = plain.finish();
        self.observer.layer_advanced(label, advanced.take());
        let diff_id = match (unread.diff_id().copied(), actual.map(DiffId)) {
            (Some(expected), Some(actual)) if expected != actual => {
                return Err(LayerFailure::DiffId { expected, actual });
            }
            (Some(known), _) | (None, Some(known)) => known,
            // What was not hashed is listed.
            (None, None) => DiffId(layer.digest),
        };

        if let Some(aside) = contents.aside.take() {
            packing = aside.pack(&buffers, &contents.in_front(self.prefetch), packing, |groups| {
                let groups = groups.map(|group| should_stop().and(group));
                let others = others.of(foreign.as_mut());
                Ok(pack_with(self.pool, &pack_options, groups, &mut writer, others)?)
            })?;
        }
        let hits = foreign.map(|foreign| foreign.hits().to_vec()).unwrap_or_default();
        let (elsewhere, forms) = others.settle(&mut writer, &mut packing, hits)?;
        contents.place_chunks(&packing.indexes, |number| elsewhere.place(number));
        let mut tail = writer.finish_data()?;
        let mut replay = ReplayReport { way_back: WayBack::None, method: None, bytes: 0 };
        if let Some(recording) = recording {
            let identified = ahead.finish().and_then(|plain| plain.into_watch().finish());
            let descriptor = &unread.read();
            let layer = Layer { descriptor, diff_id, tar_size: tar_bytes, compression };
            let source = (self.source, self.resources.max_layer_size);
            let decision = layer.decide(self.replay, identified, source, &should_stop)?;
            replay = layer.write(&mut tail, recording.write(&packing.indexes)?, decision, self.source)?;
            replay.bytes += elsewhere.describe(&mut tail)?;
            replay.bytes += self.describe_unused_chunks(&mut tail, contents.tree.tree_mut())?;
        }
        let (bootstrap, tree) = self.write_bootstrap(contents.tree, tail.blob(), &elsewhere.blobs)?;
        let (tee, mut finished) = tail.finish(&bootstrap)?;
        let blob = oci::Blob { digest: Digest::from_sha256(finished.id.0), size: finished.size };
        let converted = ConvertedLayer {
            blob,
            diff_id,
            tar_bytes,
            entries: contents.entries,
            chunks: packing.indexes.len() as u64,
            stored_chunks: packing.new_chunks,
            foreign_chunks: elsewhere.chunks.len() as u64,
            copied_chunks: packing.copied_chunks,
            losses: contents.losses,
            replay,
            merge: MergeLayer { tree, blob: finished.blob.take(), foreign: elsewhere.blobs },
            tar: None,
            from_store: false,
        };
        match self.reuse {
            Some(reuse) => {
                let key = self.dictionary.is_none().then(|| unread.key(diff_id));
                let made = (key.as_ref(), &converted);
                reuse.publish(tee, (&finished, forms.as_deref()), made, self.sink)?;
            }
            None => {
                if let (Some(sink), _) = tee.into_parts() {
                    sink.finish_as(blob.digest, blob.size)?;
                }
            }
        }
        Ok(converted)
    }

    fn blob_options(&self) -> BlobOptions {
        BlobOptions {
            version: self.fs.version,
            compressor: self.fs.compression,
            digester: self.fs.digester,
            batch_size: self.fs.batch_size,
            aligned: self.fs.aligned_chunks,
            padded: self.fs.kernel_mountable,
        }
    }

    fn pack_options(&self, window_bytes: usize) -> PackOptions {
        PackOptions { blob: self.blob_options(), chunk_size: self.fs.chunk_size, window_bytes }
    }

    /// Bootstraps of v5 describe the chunks of files, and the way back needs the others too. Gives the section's
    /// length.
    fn describe_unused_chunks(
        &self,
        tail: &mut BlobTail<impl Write>,
        tree: &Tree,
    ) -> Result<u64, LayerFailure> {
        let (FsVersion::V5, Some(blob)) = (self.fs.version, tail.blob()) else { return Ok(0) };
        let mut used = HashSet::new();
        for (_, inode, _) in tree.inodes() {
            if let InodeKind::Regular { chunks, .. } = &inode.kind {
                // The layer's own blob comes first.
                used.extend(chunks.iter().filter(|chunk| chunk.blob == 0).map(|chunk| chunk.index));
            }
        }
        let unused: Vec<_> = blob.chunks.iter().filter(|(number, _)| !used.contains(number)).collect();
        if unused.is_empty() {
            return Ok(0);
        }
        let list = chunk_records::write(unused.into_iter());
        tail.section(CHUNKS_SECTION, &list, false)?;
        Ok(list.len() as u64)
    }

    /// The bootstrap of the layer alone; gives the tree back, merging needs it.
    fn write_bootstrap(
        &self,
        mut layer: LayerTree,
        blob: Option<&Blob>,
        others: &[Blob],
    ) -> Result<(Vec<u8>, LayerTree), LayerFailure> {
        let prefetch = self.prefetch.entries(layer.tree());
        let image = Image {
            tree: std::mem::take(layer.tree_mut()),
            blobs: blob.into_iter().chain(others).cloned().collect(),
            chunk_size: self.fs.chunk_size,
            compressor: self.fs.compression.compressor(),
            digester: self.fs.digester,
            tarfs: false,
            prefetch,
        };
        let mut bootstrap = Vec::new();
        rafs::write(self.fs.version, &image, &mut bootstrap)?;
        *layer.tree_mut() = image.tree;
        Ok((bootstrap, layer))
    }

    /// Damaged bytes break the parser before their digest is known to be wrong. The digest is the better error, so
    /// the stored layer is read once more to its end.
    fn root_cause(&self, layer: &Descriptor, failure: LayerFailure) -> LayerFailure {
        if !failure.may_be_damage()
            || failure.kind() == Kind::NotFaithful && !matches!(failure, LayerFailure::DiffId { .. })
        {
            return failure;
        }
        let verified = self.source.open(layer).and_then(|mut stored| {
            io::copy(&mut stored, &mut io::sink()).map_err(|error| oci::Error::reading(layer.digest, error))
        });
        match verified {
            Err(error) if matches!(error.kind(), ErrorKind::Verification | ErrorKind::Network) => {
                LayerFailure::Source(error)
            }
            _ => failure,
        }
    }
}

/// Counts the plain bytes, and hashes them unless that would tell nothing new.
pub(super) struct PlainTar<R> {
    inner: R,
    hasher: Option<Hasher>,
    count: u64,
}

impl<R> PlainTar<R> {
    pub(super) fn new(inner: R, hash: bool) -> Self {
        Self { inner, hasher: hash.then(|| Hasher::new(Algorithm::Sha256)), count: 0 }
    }

    /// The source, the digest, if it was asked for, and the number of bytes read.
    pub(super) fn finish(self) -> (R, Option<Digest>, u64) {
        (self.inner, self.hasher.map(Hasher::finish), self.count)
    }
}

impl<R: Read> Read for PlainTar<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..read]);
        }
        self.count += read as u64;
        Ok(read)
    }
}

/// Counts what is read, on whatever thread.
pub(super) struct Counted<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

/// The other end of [`Counted`].
pub(super) struct Advanced(Arc<AtomicU64>);

impl<R> Counted<R> {
    pub(super) fn new(inner: R) -> (Self, Advanced) {
        let count = Arc::new(AtomicU64::new(0));
        (Self { inner, count: Arc::clone(&count) }, Advanced(count))
    }
}

impl Advanced {
    /// Bytes read since the last call.
    pub(super) fn take(&self) -> u64 {
        self.0.swap(0, Ordering::Relaxed)
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
