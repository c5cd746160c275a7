//! One layer that becomes a blob as a plain tar: the kernel takes it for a device, and files are ranges of it.
//!
//! ```text
//!   stored stream ─► decompress ─► tee ─► LayerReader ─► Entries ──► tree
//!                                   │                      └► chunks: offset in the tar, length
//!                                   └► sink (a layer that is a plain tar is copied instead)
//! ```

use std::io::{self, Read, Write};

use nydus_convert_chunk::Buffers;
use nydus_convert_oci::nydus;
use nydus_convert_oci::{self as oci, Algorithm, Compression, Descriptor, DiffId, PrehashedBlobWriter};
use nydus_convert_rafs::{
    Blob, BlobFeatures, BlobId, BlobName, Chunk, ChunkRef, ChunkSize, CiLocation, Cipher, Compressor, limits,
};
use nydus_convert_recompress::Identified;

use super::allowance::Meter;
use super::converted::{ConvertedLayer, MergeLayer, TarLayer};
use super::encoder::EncoderWatch;
use super::entries::{Contents, Entries, EntryOptions};
use super::failure::LayerFailure;
use super::form::PLAIN_TAR;
use super::input::{Inflating, LayerInput};
use super::task::Task;
use super::way_back::Layer;
use crate::options::Replay;
use crate::remembered::{LayerRecord, Stored};
use crate::report::{ReplayReport, WayBack};

/// What the reference builder says of the chunk information that is not there.
const CI_COMPRESSOR: Compressor = Compressor::Lz4Block;
/// Unit of places in a tar, and of a device.
const SECTOR: u64 = 512;

/// Writes on what is read.
struct Tee<R> {
    inner: R,
    out: Option<PrehashedBlobWriter>,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        if let Some(out) = &mut self.out {
            out.write_all(buffer.get(..read).unwrap_or_default())?;
        }
        Ok(read)
    }
}

/// Makes the layer's tar a blob.
pub(super) fn keep(
    task: &Task<'_>,
    chunk_size: ChunkSize,
    input: &LayerInput<'_>,
) -> Result<ConvertedLayer, LayerFailure> {
    let LayerInput::Listed { layer, key } = input else {
        return Err(LayerFailure::NoTarfs("its digest is unknown"));
    };
    let (layers, id) = (task.layers, id(&key.diff_id)?);
    let watch = EncoderWatch::new(matches!(layers.replay, Replay::Auto | Replay::Proven), layer.size);
    let Inflating { tar, compression, progress } = input.open(task, |stored| Ok((stored, watch)))?;
    let is_plain = compression == Compression::None;
    let out = if is_plain { None } else { Some(layers.sink.blob()?.prehashed()) };
    let tar = tar.through(|inner| Tee { inner, out });
    let max_content = layers.run.resources.max_layer_size;
    let bounds =
        Bounds { chunk_size, window_bytes: layers.window(), max_content, meter: progress.meter(task) };
    let proceed = || task.proceed();
    let ReadTar { source: tar, contents, lengths } = read_tar(tar, bounds, &proceed, || progress.report())?;
    let (Tee { inner: ahead, out }, actual, tar_bytes) = tar.finish();
    progress.report();
    let diff_id = input.compare(actual)?;
    let blob = blob(id, tar_bytes, &contents.offsets, &lengths)?;

    let identified = ahead.finish().and_then(|plain| plain.into_watch().finish());
    let known = Layer { descriptor: layer, diff_id, tar_size: tar_bytes, compression };
    let (record, replay) = record(task, &known, identified)?;
    let keeps_original = record.as_ref().is_some_and(|record| record.stored == Stored::Kept);
    if is_plain || keeps_original {
        layers.sink.copy(layers.source, layer)?;
    }
    let stored = match out {
        Some(out) => out.finish_as(diff_id.0, tar_bytes)?,
        None => oci::Blob { digest: layer.digest, size: layer.size },
    };
    Ok(ConvertedLayer {
        blob: stored,
        diff_id,
        tar_bytes,
        entries: contents.entries,
        chunks: lengths.len() as u64,
        stored_chunks: lengths.len() as u64,
        losses: contents.losses,
        replay,
        foreign_chunks: 0,
        copied_chunks: 0,
        from_store: false,
        merge: MergeLayer { tree: contents.tree, blob, foreign: Vec::new() },
        tar: Some(TarLayer { record, keeps_original }),
    })
}

/// What is kept for the way back, beside the tar.
fn record(
    task: &Task<'_>,
    layer: &Layer<'_>,
    identified: Option<Identified>,
) -> Result<(Option<LayerRecord>, ReplayReport), LayerFailure> {
    let layers = task.layers;
    if layers.replay == Replay::None {
        return Ok((None, ReplayReport { way_back: WayBack::None, method: None, bytes: 0 }));
    }
    let source = (layers.source, layers.run.resources.stream_limits());
    let decision = layer.decide(layers.replay, identified, source, &|| task.proceed())?;
    let (record, report) = layer.record(Vec::new(), decision);
    Ok((Some(record), report))
}

/// How a tar is read.
pub(crate) struct Bounds {
    /// Length of a chunk.
    pub(crate) chunk_size: ChunkSize,
    /// Memory for content under way.
    pub(crate) window_bytes: usize,
    /// Bytes that all files together may have.
    pub(crate) max_content: u64,
    /// What the tree may weigh.
    pub(crate) meter: Meter,
}

/// A tar that was read to its end.
pub(crate) struct ReadTar<R> {
    /// What it was read from.
    pub(crate) source: R,
    /// What it holds; the chunks of files are numbered in the order of the tar.
    pub(crate) contents: Contents,
    /// Bytes of every chunk.
    pub(crate) lengths: Vec<u32>,
}

/// Reads a plain tar. `advance` is called now and then.
pub(crate) fn read_tar<R: Read>(
    plain: R,
    bounds: Bounds,
    proceed: &dyn Fn() -> Result<(), LayerFailure>,
    advance: impl Fn(),
) -> Result<ReadTar<R>, LayerFailure> {
    let options = EntryOptions::in_place(bounds.chunk_size, bounds.max_content, bounds.meter, proceed);
    let mut entries = Entries::new(plain, Buffers::new(bounds.window_bytes), options);
    let mut lengths: Vec<u32> = Vec::new();
    for group in entries.by_ref() {
        // A chunk has at most 16 MiB.
        lengths.extend(group?.chunks().map(|chunk| chunk.len() as u32));
        advance();
    }
    let (source, mut contents, _) = entries.finish()?;
    let indexes: Vec<u32> = (0..).take(lengths.len()).collect();
    contents.place_chunks(&indexes, |index| ChunkRef { blob: 0, index });
    Ok(ReadTar { source, contents, lengths })
}

/// What bootstraps know the tar by.
fn id(diff_id: &DiffId) -> Result<BlobId, LayerFailure> {
    let no_sha256 = LayerFailure::NoTarfs("the digest of its tar is no SHA-256");
    if diff_id.0.algorithm() != Algorithm::Sha256 {
        return Err(no_sha256);
    }
    diff_id.0.hex().parse().map_err(|_| no_sha256)
}

/// The tar as a bootstrap lists it, with chunks at these offsets; `None` if it has no chunks.
pub(crate) fn blob(
    id: BlobId,
    tar_bytes: u64,
    offsets: &[u64],
    lengths: &[u32],
) -> Result<Option<Blob>, LayerFailure> {
    if lengths.is_empty() {
        return Ok(None);
    }
    if !tar_bytes.is_multiple_of(SECTOR) || offsets.iter().any(|offset| !offset.is_multiple_of(SECTOR)) {
        return Err(LayerFailure::NoTarfs("its tar is no whole number of blocks of 512 bytes"));
    }
    let chunk_count = u32::try_from(lengths.len()).ok().filter(|count| *count <= limits::MAX_CHUNKS_PER_BLOB);
    let chunk_count =
        chunk_count.ok_or(LayerFailure::NoTarfs("it has too many chunks; use a larger --chunk-size"))?;
    let chunk = |(&offset, &length): (&u64, &u32)| Chunk {
        compressed_size: length,
        uncompressed_size: length,
        compressed_offset: offset,
        uncompressed_offset: offset,
        ..Chunk::default()
    };
    Ok(Some(Blob {
        name: BlobName::Id(id),
        features: BlobFeatures::TARFS | BlobFeatures::CAP_TAR_TOC,
        compressor: PLAIN_TAR.0,
        digester: PLAIN_TAR.1,
        chunk_count,
        compressed_size: tar_bytes,
        uncompressed_size: tar_bytes,
        ci: CiLocation { compressor: CI_COMPRESSOR, ..CiLocation::default() },
        toc_size: 0,
        toc_digest: [0; 32],
        meta_digest: [0; 32],
        meta_size: 0,
        cipher: Cipher::None,
        chunks: offsets.iter().zip(lengths).map(chunk).collect(),
    }))
}

/// The blobs of an image: the tars in the order of the layers, then the layers that are kept as they were, each once.
pub(super) fn describe(layers: &[&ConvertedLayer], originals: &[Descriptor]) -> Vec<Descriptor> {
    let keeps = |layer: &ConvertedLayer| layer.tar.as_ref().is_some_and(|tar| tar.keeps_original);
    let pairs = || layers.iter().zip(originals);
    let tars = pairs().map(|(layer, original)| {
        let tar = nydus::blob_descriptor(layer.blob);
        match keeps(layer) {
            true => tar.annotated(nydus::REFERENCE_LAYER, original.digest.to_string()),
            false => tar,
        }
    });
    let mut all: Vec<Descriptor> = tars.collect();
    for (_, original) in pairs().filter(|(layer, _)| keeps(layer)) {
        if all.iter().all(|other| other.digest != original.digest) {
            all.push(nydus::blob_descriptor(oci::Blob { digest: original.digest, size: original.size }));
        }
    }
    all
}
