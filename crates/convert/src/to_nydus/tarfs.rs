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
use nydus_convert_oci::{
    self as oci, Algorithm, Compression, Descriptor, DiffId, PrehashedBlobWriter, decompress_watched,
};
use nydus_convert_rafs::{
    Blob, BlobFeatures, BlobId, BlobName, Chunk, ChunkRef, ChunkSize, CiLocation, Cipher, Compressor,
    Digester, FsVersion, limits,
};

use super::entries::{Contents, Entries, EntryOptions};
use super::layer::{ConvertedLayer, Counted, LayerRun, PlainTar};
use super::merge::MergeLayer;
use super::watch::EncoderWatch;
use super::way_back::Layer;
use crate::error::LayerFailure;
use crate::observer::LayerLabel;
use crate::options::Replay;
use crate::prefetch::Prefetch;
use crate::readahead::ReadAhead;
use crate::replay::{LayerRecord, Stored};
use crate::report::{ReplayReport, WayBack};

/// What an image of tars says of its chunks.
pub const COMPRESSOR: Compressor = Compressor::None;
/// The format has no other, and no digests of chunks either.
pub const DIGESTER: Digester = Digester::Sha256;
/// What the reference builder says of the chunk information that is not there.
const CI_COMPRESSOR: Compressor = Compressor::Lz4Block;
/// Unit of places in a tar, and of a device.
const SECTOR: u64 = 512;

/// What the image keeps of a layer that its tar does not tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TarLayer {
    /// How the layer comes back, if that is wanted; its tar record is empty, since the tar is there.
    pub record: Option<LayerRecord>,
    /// Whether the layer as it was is a part of the image, too.
    pub keeps_original: bool,
}

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

impl LayerRun<'_> {
    /// As [`LayerRun::convert`], for a layer that becomes a blob as a plain tar.
    pub(super) fn tar_stream(
        &self,
        layer: &Descriptor,
        diff_id: &DiffId,
        label: &LayerLabel,
        give_up: &dyn Fn() -> bool,
    ) -> Result<ConvertedLayer, LayerFailure> {
        let should_stop = || match self.stop.requested() {
            Some(signal) => Err(LayerFailure::Interrupted { signal }),
            None if give_up() => Err(LayerFailure::GivenUp),
            None => Ok(()),
        };
        let id = id(diff_id)?;
        let reading = |error| oci::Error::reading(layer.digest, error);
        let (stored, advanced) = Counted::new(self.source.open(layer)?);
        let watch = EncoderWatch::new(matches!(self.replay, Replay::Auto | Replay::Proven), layer.size);
        let limit = self.resources.max_layer_size;
        let plain = decompress_watched(stored, limit, watch).map_err(reading)?;
        let compression = plain.compression();
        let is_plain = compression == Compression::None;
        let out = if is_plain { None } else { Some(self.sink.blob()?.prehashed()) };
        let tee = Tee { inner: ReadAhead::new(plain).map_err(LayerFailure::Thread)?, out };
        let plain = PlainTar::new(tee, true);
        let window_bytes = self.resources.window_bytes / self.resources.parallel_layers;
        let bounds = Bounds { chunk_size: self.fs.chunk_size, window_bytes, max_content: limit };
        let advance = || self.observer.layer_advanced(label, advanced.take());
        let ReadTar { source: plain, contents, lengths } = read_tar(plain, &bounds, &should_stop, advance)?;
        let (Tee { inner: ahead, out }, actual, tar_bytes) = plain.finish();
        self.observer.layer_advanced(label, advanced.take());
        if let Some(actual) = actual.map(DiffId).filter(|actual| actual != diff_id) {
            return Err(LayerFailure::DiffId { expected: *diff_id, actual });
        }
        let blob = blob(id, tar_bytes, &contents.offsets, &lengths)?;

        let identified = ahead.finish().and_then(|plain| plain.into_watch().finish());
        let known = Layer { descriptor: layer, diff_id: *diff_id, tar_size: tar_bytes, compression };
        let decision = match self.replay {
            Replay::None => None,
            wanted => Some(known.decide(wanted, identified, (self.source, limit), &should_stop)?),
        };
        let (record, replay) = match decision {
            Some(decision) => {
                let (record, report) = known.record(Vec::new(), decision);
                (Some(record), report)
            }
            None => (None, ReplayReport { way_back: WayBack::None, method: None, bytes: 0 }),
        };
        let keeps_original = record.as_ref().is_some_and(|record| record.stored == Stored::Kept);
        if is_plain || keeps_original {
            self.sink.copy(self.source, layer)?;
        }
        let stored = match out {
            Some(out) => out.finish_as(diff_id.0, tar_bytes)?,
            None => oci::Blob { digest: layer.digest, size: layer.size },
        };
        Ok(ConvertedLayer {
            blob: stored,
            diff_id: *diff_id,
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
}

/// How a tar is read.
pub(crate) struct Bounds {
    /// Length of a chunk.
    pub(crate) chunk_size: ChunkSize,
    /// Memory for content under way.
    pub(crate) window_bytes: usize,
    /// Bytes that all files together may have.
    pub(crate) max_content: u64,
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
    bounds: &Bounds,
    proceed: &dyn Fn() -> Result<(), LayerFailure>,
    advance: impl Fn(),
) -> Result<ReadTar<R>, LayerFailure> {
    let options = EntryOptions {
        version: FsVersion::V6,
        chunk_size: bounds.chunk_size,
        max_content: bounds.max_content,
        record: false,
        salvage: false,
        // Nothing is moved, so nothing is moved to the front.
        prefetch: &Prefetch::default(),
        tmpdir: None,
        offsets: true,
        proceed,
    };
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
        compressor: COMPRESSOR,
        digester: DIGESTER,
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
