//! One layer that becomes a blob of chunks.
//!
//! ```text
//!   open ─► pack ─► resolve: what stays in other blobs ─► seal: record, bootstrap ─► hand over: sink, chunk store
//! ```

use std::collections::HashSet;
use std::io::Write;
use std::sync::Arc;

use nydus_convert_chunk::store::Forms;
use nydus_convert_chunk::{BlobTail, BlobWriter, Buffers, FinishedBlob, Foreign, Group, Packing, pack_with};
use nydus_convert_layer::record::Recording;
use nydus_convert_oci::{self as oci, Compression, DiffId, Digest, PrehashedBlobWriter};
use nydus_convert_rafs::{self as rafs, Blob, FsVersion, Image, InodeKind, LayerTree, Tree};
use nydus_convert_recompress::Identified;

use super::converted::{ConvertedLayer, MergeLayer};
use super::elsewhere::Elsewhere;
use super::encoder::EncoderWatch;
use super::entries::{Contents, Entries, EntryOptions};
use super::failure::LayerFailure;
use super::form::Packed;
use super::input::{Inflating, LayerInput, Progress};
use super::neighbours::Neighbours;
use super::task::Task;
use super::way_back::Layer;
use crate::options::{Fidelity, Replay};
use crate::remembered::{CHUNKS_SECTION, chunk_records};
use crate::report::{ReplayReport, WayBack};
use crate::reuse::{Below, Tee};

/// A layer whose chunks are stored.
struct Stored {
    input: Read,
    contents: Contents,
    /// What the way back needs, if it is wanted.
    recording: Option<Recording>,
    packing: Packing,
    elsewhere: Elsewhere,
    /// Stored forms that were looked at in the chunk store.
    forms: Option<Arc<Forms>>,
}

/// What is known of a layer's stream at its end.
struct Read {
    compression: Compression,
    /// Who compressed it, if that was asked and found.
    identified: Option<Identified>,
    diff_id: DiffId,
    tar_bytes: u64,
}

/// Packs a layer, which may refer to those in `below`.
pub(super) fn pack(
    task: &Task<'_>,
    packed: &Packed<'_>,
    input: &LayerInput<'_>,
    below: &Below,
) -> Result<ConvertedLayer, LayerFailure> {
    let sink = task.layers.sink;
    let tee = match packed.reuse {
        Some(reuse) => reuse.tee(sink)?,
        None => Tee::new(Some(sink.blob()?.prehashed()), None),
    };
    let mut writer = BlobWriter::new(tee, packed.blob_options());
    let mut stored = store(task, packed, input, &mut writer, below)?;
    let mut tail = writer.finish_data()?;
    let replay = record(task, packed, input, &mut tail, &mut stored)?;
    let tree = &mut stored.contents.tree;
    let bootstrap = write_bootstrap(task, packed, tree, tail.blob(), &stored.elsewhere.blobs)?;
    let (tee, mut finished) = tail.finish(&bootstrap)?;
    let forms = stored.forms.take();
    let converted = stored.converted(&mut finished, replay);
    hand_over(task, packed, input, (tee, &finished, forms.as_deref()), &converted)?;
    Ok(converted)
}

impl Stored {
    /// What others may know of the layer, now that its blob is finished.
    fn converted(self, finished: &mut FinishedBlob, replay: ReplayReport) -> ConvertedLayer {
        let Self { input, contents, packing, elsewhere, .. } = self;
        ConvertedLayer {
            blob: oci::Blob { digest: Digest::from_sha256(finished.id.0), size: finished.size },
            diff_id: input.diff_id,
            tar_bytes: input.tar_bytes,
            entries: contents.entries,
            chunks: packing.indexes.len() as u64,
            stored_chunks: packing.new_chunks,
            foreign_chunks: elsewhere.chunks.len() as u64,
            copied_chunks: packing.copied_chunks,
            losses: contents.losses,
            replay,
            merge: MergeLayer { tree: contents.tree, blob: finished.blob.take(), foreign: elsewhere.blobs },
            tar: None,
            from_store: false,
        }
    }
}

/// Reads the layer to its end and stores its chunks.
fn store(
    task: &Task<'_>,
    packed: &Packed<'_>,
    input: &LayerInput<'_>,
    writer: &mut BlobWriter<impl Write>,
    below: &Below,
) -> Result<Stored, LayerFailure> {
    let layers = task.layers;
    let watch =
        EncoderWatch::new(matches!(layers.replay, Replay::Auto | Replay::Proven), input.descriptor().size);
    let Inflating { tar, compression, progress } = input.open(task, |stored| Ok((stored, watch)))?;
    let proceed = || task.proceed();
    let buffers = Buffers::new(layers.window());
    let mut entries = Entries::new(tar, buffers.clone(), entry_options(task, packed, &progress, &proceed));

    let options = packed.pack_options(layers.window());
    let mut neighbours = Neighbours::new(packed, below);
    let mut lookup = neighbours.lookup();
    let mut foreign = lookup.as_mut().map(|lookup| Foreign::new(lookup));
    let mut pack = |groups: &mut dyn Iterator<Item = Result<Group, LayerFailure>>| {
        let others = neighbours.of(foreign.as_mut());
        Ok::<_, LayerFailure>(pack_with(&layers.run.pool, &options, groups, writer, others)?)
    };
    let mut packing = pack(&mut entries.by_ref().inspect(|_| progress.report()))?;
    let (tar, mut contents, recording) = entries.finish()?;
    let (ahead, actual, tar_bytes) = tar.finish();
    progress.report();
    let diff_id = input.compare(actual)?;
    if let Some(deferred) = contents.deferred.take() {
        packing = deferred.pack(&buffers, &contents.in_front(layers.prefetch), packing, |groups| {
            pack(&mut groups.map(|group| proceed().and(group)))
        })?;
    }
    let hits = foreign.map(|foreign| foreign.hits().to_vec()).unwrap_or_default();
    let (elsewhere, forms) = neighbours.resolve(writer, &mut packing, hits)?;
    contents.place_chunks(&packing.indexes, |number| elsewhere.place(number));
    let identified = ahead.finish().and_then(|plain| plain.into_watch().finish());
    let input = Read { compression, identified, diff_id, tar_bytes };
    Ok(Stored { input, contents, recording, packing, elsewhere, forms })
}

fn entry_options<'a>(
    task: &Task<'a>,
    packed: &Packed<'_>,
    progress: &Progress<'_>,
    proceed: &'a dyn Fn() -> Result<(), LayerFailure>,
) -> EntryOptions<'a> {
    let layers = task.layers;
    EntryOptions {
        version: packed.fs.version,
        chunk_size: packed.fs.chunk_size,
        max_content: layers.run.resources.max_layer_size,
        meter: progress.meter(task),
        record: layers.replay != Replay::None,
        salvage: packed.fidelity == Fidelity::Warn,
        prefetch: Some(layers.prefetch),
        tmpdir: layers.tmpdir,
        offsets: false,
        proceed,
    }
}

/// Writes what the way back needs behind the chunks.
fn record(
    task: &Task<'_>,
    packed: &Packed<'_>,
    input: &LayerInput<'_>,
    tail: &mut BlobTail<impl Write>,
    stored: &mut Stored,
) -> Result<ReplayReport, LayerFailure> {
    let layers = task.layers;
    let Some(recording) = stored.recording.take() else {
        return Ok(ReplayReport { way_back: WayBack::None, method: None, bytes: 0 });
    };
    let Read { compression, diff_id, tar_bytes, .. } = stored.input;
    let descriptor = &input.read();
    let layer = Layer { descriptor, diff_id, tar_size: tar_bytes, compression };
    let source = (layers.source, layers.run.resources.stream_limits());
    let decision = layer.decide(layers.replay, stored.input.identified.take(), source, &|| task.proceed())?;
    let mut replay = layer.write(tail, recording.write(&stored.packing.indexes)?, decision, layers.source)?;
    replay.bytes += stored.elsewhere.describe(tail)?;
    if packed.fs.version == FsVersion::V5 {
        replay.bytes += describe_unused_chunks(tail, stored.contents.tree.tree())?;
    }
    Ok(replay)
}

/// Bootstraps of v5 describe the chunks of files, and the way back needs the others too. Gives the section's length.
fn describe_unused_chunks(tail: &mut BlobTail<impl Write>, tree: &Tree) -> Result<u64, LayerFailure> {
    let Some(blob) = tail.blob() else { return Ok(0) };
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

/// The bootstrap of the layer alone. The tree stays: merging needs it.
fn write_bootstrap(
    task: &Task<'_>,
    packed: &Packed<'_>,
    layer: &mut LayerTree,
    blob: Option<&Blob>,
    others: &[Blob],
) -> Result<Vec<u8>, LayerFailure> {
    let prefetch = task.layers.prefetch.entries(layer.tree());
    let image = Image {
        tree: std::mem::take(layer.tree_mut()),
        blobs: blob.into_iter().chain(others).cloned().collect(),
        chunk_size: packed.fs.chunk_size,
        compressor: packed.fs.compression.compressor(),
        digester: packed.fs.digester,
        tarfs: false,
        prefetch,
    };
    let mut bootstrap = Vec::new();
    rafs::write(packed.fs.version, &image, &mut bootstrap)?;
    *layer.tree_mut() = image.tree;
    Ok(bootstrap)
}

/// Ends the blob in the sink, and keeps the layer in the chunk store.
fn hand_over(
    task: &Task<'_>,
    packed: &Packed<'_>,
    input: &LayerInput<'_>,
    (tee, finished, forms): (Tee<PrehashedBlobWriter>, &FinishedBlob, Option<&Forms>),
    converted: &ConvertedLayer,
) -> Result<(), LayerFailure> {
    if let Some(reuse) = packed.reuse {
        let key = packed.dictionary.is_none().then(|| input.key(converted.diff_id));
        return reuse.publish(tee, (finished, forms), (key.as_ref(), converted), task.layers.sink);
    }
    if let (Some(sink), _) = tee.into_parts() {
        sink.finish_as(converted.blob.digest, converted.blob.size)?;
    }
    Ok(())
}
