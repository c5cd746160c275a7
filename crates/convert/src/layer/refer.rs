//! One layer that stays as it is: only where its files lie is told.
//!
//! ```text
//!   stored stream ─► scan ─► inflate ─► LayerReader ─► Entries ──► tree
//!                     │         │                        └► chunks: offset in the tar, digest, number
//!                     └─ points ┴─ windows ──────────────────► contexts ─► metadata blob
//!   stored stream ─► sink, unchanged
//! ```

use nydus_convert_chunk::{
    Buffers, Numbered, OriginalLayer, PackError, Referring, number_chunks, write_referring,
};
use nydus_convert_oci::nydus;
use nydus_convert_oci::{self as oci, Compression, Descriptor, Digest, Watch};
use nydus_convert_rafs::meta::zran::{Context, InContext, Zran};
use nydus_convert_rafs::{
    self as rafs, Blob, BlobId, Chunk, ChunkFlags, ChunkRef, ChunkSize, FsVersion, Image, LayerTree,
};
use nydus_convert_recompress::seek::{self, SeekIndex, Windows};

use super::converted::{ConvertedLayer, MergeLayer};
use super::entries::{Entries, EntryOptions};
use super::failure::LayerFailure;
use super::form::REFERRED;
use super::input::{Inflating, LayerInput};
use super::task::Task;
use crate::report::{ReplayReport, WayBack};

/// Longest stored length that an entry holds.
const MAX_STORED: u64 = 0xff_ffff;

/// Hands the plain bytes of a gzip stream on.
struct WindowWatch(Windows);

impl Watch for WindowWatch {
    fn stored(&mut self, _: &[u8]) {}

    fn plain(&mut self, bytes: &[u8]) {
        self.0.plain(bytes);
    }

    fn member_end(&mut self) {}
}

/// Writes the blob that says where in the layer files lie.
pub(super) fn refer(
    task: &Task<'_>,
    chunk_size: ChunkSize,
    input: &LayerInput<'_>,
) -> Result<ConvertedLayer, LayerFailure> {
    let layers = task.layers;
    let Inflating { tar, compression, progress } = input.open(task, |stored| {
        let (stored, windows) = seek::scan(stored).map_err(LayerFailure::Thread)?;
        Ok((stored, WindowWatch(windows)))
    })?;
    if compression == Compression::Zstd {
        return Err(LayerFailure::CannotRefer("it is compressed with zstd"));
    }
    let proceed = || task.proceed();
    let max_content = layers.run.resources.max_layer_size;
    let options = EntryOptions::in_place(chunk_size, max_content, progress.meter(task), &proceed);
    let mut entries = Entries::new(tar, Buffers::new(layers.window()), options);
    let groups = entries.by_ref().inspect(|_| progress.report());
    let numbered = number_chunks(&layers.run.pool, (layers.window(), chunk_size, REFERRED.1), groups);
    let numbered = numbered.map_err(|error: PackError<LayerFailure>| LayerFailure::from(error))?;
    let (tar, mut contents, _) = entries.finish()?;
    let (ahead, actual, tar_bytes) = tar.finish();
    progress.report();
    let diff_id = input.compare(actual)?;
    let index = ahead.finish().map(|plain| plain.into_watch().0.finish());
    // A stream that no manifest describes is known now that it is read.
    let original = original(&input.read())?;
    let index = index.transpose().map_err(|_| UNKNOWN_STREAM)?.ok_or(UNKNOWN_STREAM)?;

    contents.place_chunks(&numbered.indexes, |index| ChunkRef { blob: 0, index });
    let (chunks, stored_chunks) = (numbered.indexes.len() as u64, numbered.chunks.len() as u64);
    let offsets = std::mem::take(&mut contents.offsets);
    let referring = places(numbered, &offsets, index.as_ref())?;
    let tail = write_referring(layers.sink.blob()?.prehashed(), original, &referring)?;
    drop(referring);
    let bootstrap = write_bootstrap(task, chunk_size, &mut contents.tree, tail.blob())?;
    let (sink, finished) = tail.finish(&bootstrap)?;
    let blob = sink.finish_as(Digest::from_sha256(finished.id.0), finished.size)?;
    proceed()?;
    if let LayerInput::Listed { layer, .. } = input {
        layers.sink.copy(layers.source, layer)?;
    }
    let method = Some("the layer itself is a part of the image".to_owned());
    Ok(ConvertedLayer {
        blob,
        diff_id,
        tar_bytes,
        entries: contents.entries,
        chunks,
        stored_chunks,
        losses: contents.losses,
        replay: ReplayReport { way_back: WayBack::Proven, method, bytes: 0 },
        foreign_chunks: 0,
        copied_chunks: 0,
        from_store: false,
        merge: MergeLayer { tree: contents.tree, blob: finished.blob, foreign: Vec::new() },
        tar: None,
    })
}

/// The bootstrap of the layer alone. The tree stays: merging needs it.
fn write_bootstrap(
    task: &Task<'_>,
    chunk_size: ChunkSize,
    layer: &mut LayerTree,
    blob: Option<&Blob>,
) -> Result<Vec<u8>, LayerFailure> {
    let prefetch = task.layers.prefetch.entries(layer.tree());
    let image = Image {
        tree: std::mem::take(layer.tree_mut()),
        blobs: blob.cloned().into_iter().collect(),
        chunk_size,
        compressor: REFERRED.0,
        digester: REFERRED.1,
        tarfs: false,
        prefetch,
    };
    let mut bootstrap = Vec::new();
    rafs::write(FsVersion::V6, &image, &mut bootstrap)?;
    *layer.tree_mut() = image.tree;
    Ok(bootstrap)
}

/// The blobs of an image: for each layer the one that refers to it, then the layers themselves, each once. Clients take
/// them for blobs, which are not unpacked, and whoever copies the image takes them along.
pub(super) fn describe(blobs: impl Iterator<Item = Descriptor>, layers: &[Descriptor]) -> Vec<Descriptor> {
    let referring = blobs
        .zip(layers)
        .map(|(blob, layer)| blob.annotated(nydus::REFERENCE_LAYER, layer.digest.to_string()));
    let mut all: Vec<Descriptor> = referring.collect();
    for layer in layers {
        if all.iter().all(|other| other.digest != layer.digest) {
            all.push(nydus::blob_descriptor(oci::Blob { digest: layer.digest, size: layer.size }));
        }
    }
    all
}

const UNKNOWN_STREAM: LayerFailure =
    LayerFailure::CannotRefer("its gzip stream has members that decoders read differently");

/// What bootstraps know the layer by.
fn original(layer: &Descriptor) -> Result<OriginalLayer, LayerFailure> {
    let no_sha256 = LayerFailure::CannotRefer("its digest is no SHA-256");
    if layer.digest.algorithm() != oci::Algorithm::Sha256 {
        return Err(no_sha256);
    }
    let id: BlobId = layer.digest.hex().parse().map_err(|_| no_sha256)?;
    Ok(OriginalLayer { id, size: layer.size })
}

/// Says of every chunk where it lies; `offsets` are those of all chunks of the stream in the tar.
fn places(numbered: Numbered, offsets: &[u64], index: Option<&SeekIndex>) -> Result<Referring, LayerFailure> {
    let Numbered { mut chunks, firsts, .. } = numbered;
    let places = firsts.iter().filter_map(|first| offsets.get(*first).copied());
    let Some(index) = index else {
        for (chunk, offset) in chunks.iter_mut().zip(places) {
            (chunk.compressed_offset, chunk.compressed_size) = (offset, chunk.uncompressed_size);
        }
        return Ok(Referring::Plain(chunks));
    };
    let mut contexts = Contexts { index, zran: Zran::default(), point: None };
    for (chunk, plain) in chunks.into_iter().zip(places) {
        contexts.add(chunk, plain)?;
    }
    Ok(Referring::Gzip(contexts.zran))
}

/// Contexts in the making.
struct Contexts<'a> {
    index: &'a SeekIndex,
    zran: Zran,
    /// The point that the last context begins at.
    point: Option<usize>,
}

impl Contexts<'_> {
    /// Adds the chunk that lies at `plain` of the tar, behind all that were added.
    fn add(&mut self, chunk: Chunk, plain: u64) -> Result<(), LayerFailure> {
        let number = self.index.point_before(plain).ok_or(UNKNOWN_STREAM)?;
        let point = self.index.points().get(number).ok_or(UNKNOWN_STREAM)?;
        if self.point != Some(number) {
            self.point = Some(number);
            self.zran.contexts.push(Context {
                in_offset: point.stored,
                out_offset: point.plain,
                byte: point.byte,
                bits: point.bits,
                dictionary_offset: self.zran.dictionaries.len() as u64,
                // 32 KiB at most.
                dictionary_len: point.dictionary.len() as u32,
                ..Context::default()
            });
            self.zran.dictionaries.extend_from_slice(&point.dictionary);
        }
        let end = plain + u64::from(chunk.uncompressed_size);
        let too_long = |_| LayerFailure::CannotRefer("a block of its gzip stream has more than 4 GiB");
        let context = self.zran.contexts.len() as u32 - 1;
        if let Some(context) = self.zran.contexts.last_mut() {
            context.out_len = u32::try_from(end - point.plain).map_err(too_long)?;
            let in_len = self.index.safe_for(end).saturating_sub(point.stored);
            context.in_len = u32::try_from(in_len).map_err(too_long)?;
        }
        let offset = u32::try_from(plain - point.plain).map_err(too_long)?;
        self.zran.places.push(InContext { context, offset });
        let (from, to) = (self.index.about(plain), self.index.about(end));
        self.zran.chunks.push(Chunk {
            flags: ChunkFlags::COMPRESSED,
            compressed_offset: from,
            compressed_size: (to - from).min(MAX_STORED) as u32,
            ..chunk
        });
        Ok(())
    }
}
