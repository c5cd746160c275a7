//! What the store keeps of a layer beside its blob.
//!
//! ```text
//!   one zstd frame of:
//!   facts: length u32, JSON │ tree: length u64, as rafs saves it │ other blobs: count u32
//!                                              each: head: length u32, bytes │ chunks: count u32, { number u32, chunk 64 }
//! ```
//! Layers that lost something are not kept: what they lost is told every time they are converted.

use serde::{Deserialize, Serialize};

use nydus_convert_oci::{Blob as StoredBlob, DiffId};
use nydus_convert_rafs::{Blob, Chunk, ChunkRef, ChunkTable, InodeKind, LayerTree};

use crate::layer::converted::{ConvertedLayer, MergeLayer};
use crate::report::ReplayReport;

/// Level of the frame.
const LEVEL: i32 = 3;
/// Most bytes that a frame may hold: the tree of a layer with tens of millions of files.
const MAX_PLAIN: usize = 4 << 30;

#[derive(Debug, Serialize, Deserialize)]
struct Facts {
    diff_id: String,
    tar_bytes: u64,
    entries: u64,
    chunks: u64,
    stored_chunks: u64,
    foreign_chunks: u64,
    replay: ReplayReport,
}

/// `None` if the layer is not one to be kept.
pub(super) fn write(layer: &ConvertedLayer) -> Option<Vec<u8>> {
    if !layer.losses.is_empty() || layer.tar.is_some() {
        return None;
    }
    let facts = Facts {
        diff_id: layer.diff_id.to_string(),
        tar_bytes: layer.tar_bytes,
        entries: layer.entries,
        chunks: layer.chunks,
        stored_chunks: layer.stored_chunks,
        foreign_chunks: layer.foreign_chunks,
        replay: layer.replay.clone(),
    };
    let facts = serde_json::to_vec(&facts).ok()?;
    let tree = layer.merge.tree.write();
    let mut plain = Vec::with_capacity(facts.len() + tree.len() + 64);
    plain.extend(u32::try_from(facts.len()).ok()?.to_le_bytes());
    plain.extend(facts);
    plain.extend((tree.len() as u64).to_le_bytes());
    plain.extend(tree);
    plain.extend(u32::try_from(layer.merge.foreign.len()).ok()?.to_le_bytes());
    for other in &layer.merge.foreign {
        let head = other.write_head().ok()?;
        plain.extend(u32::try_from(head.len()).ok()?.to_le_bytes());
        plain.extend(head);
        plain.extend(u32::try_from(other.chunks.len()).ok()?.to_le_bytes());
        for (number, chunk) in other.chunks.iter() {
            plain.extend(number.to_le_bytes());
            plain.extend(chunk.write_saved());
        }
    }
    let mut body = (plain.len() as u64).to_le_bytes().to_vec();
    body.extend(zstd::bulk::compress(&plain, LEVEL).ok()?);
    Some(body)
}

/// The layer whose blob is `stored`, with the chunks that `blob` lists; `None` if the body is not one.
pub(super) fn read(body: &[u8], stored: StoredBlob, blob: Option<Blob>) -> Option<ConvertedLayer> {
    let (length, frame) = body.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok().filter(|length| *length <= MAX_PLAIN)?;
    let plain = zstd::bulk::decompress(frame, length).ok().filter(|plain| plain.len() == length)?;
    let mut rest = plain.as_slice();
    let length = take_u32(&mut rest)? as usize;
    let facts: Facts = serde_json::from_slice(take(&mut rest, length)?).ok()?;
    let (length, tail) = rest.split_first_chunk::<8>()?;
    rest = tail;
    let tree = LayerTree::parse(take(&mut rest, usize::try_from(u64::from_le_bytes(*length)).ok()?)?).ok()?;
    let count = take_u32(&mut rest)?;
    let foreign = (0..count).map(|_| other(&mut rest)).collect::<Option<Vec<Blob>>>()?;
    let diff_id: DiffId = facts.diff_id.parse().ok()?;
    let merge = MergeLayer { tree, blob, foreign };
    (rest.is_empty() && are_there(&merge)).then_some(ConvertedLayer {
        blob: stored,
        diff_id,
        tar_bytes: facts.tar_bytes,
        entries: facts.entries,
        chunks: facts.chunks,
        stored_chunks: facts.stored_chunks,
        foreign_chunks: facts.foreign_chunks,
        copied_chunks: 0,
        losses: Vec::new(),
        replay: facts.replay,
        merge,
        tar: None,
        from_store: true,
    })
}

/// Whether all chunks that files refer to are there.
fn are_there(layer: &MergeLayer) -> bool {
    let tables: Vec<&ChunkTable> = layer.blob.iter().chain(&layer.foreign).map(|blob| &blob.chunks).collect();
    let is_there =
        |at: &ChunkRef| tables.get(usize::from(at.blob)).is_some_and(|table| table.get(at.index).is_some());
    layer.tree.tree().inodes().all(|(_, inode, _)| match &inode.kind {
        InodeKind::Regular { chunks, .. } => chunks.iter().all(is_there),
        _ => true,
    })
}

fn other(rest: &mut &[u8]) -> Option<Blob> {
    let length = take_u32(rest)? as usize;
    let head = Blob::parse_head(take(rest, length)?).ok()?;
    let count = take_u32(rest)?;
    let mut chunks = Vec::new();
    for _ in 0..count {
        let number = take_u32(rest)?;
        let record = take(rest, Chunk::SAVED_LEN)?.first_chunk()?;
        chunks.push((number, Chunk::parse_saved(record).ok()?));
    }
    Some(Blob { chunks: ChunkTable::from_unsorted(chunks), ..head })
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(taken)
}

fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    let (number, tail) = rest.split_first_chunk::<4>()?;
    *rest = tail;
    Some(u32::from_le_bytes(*number))
}
