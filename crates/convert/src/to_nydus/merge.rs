//! From the layers' trees to one image: overlay, lowest copies, blob table.

use std::collections::HashMap;

use nydus_convert_rafs::{
    Blob, BlobName, ChunkDigest, ChunkRef, ChunkSize, ChunkTable, Compressor, Digester, Image, InodeKind,
    OverlayError, Tree, limits, overlay,
};
use thiserror::Error;

use crate::kind::Kind;
use crate::layer::converted::MergeLayer;
use crate::layer::failure::is_too_much;

/// Why layers do not make an image.
#[derive(Debug, Error)]
pub enum MergeError {
    /// A layer does not fit on those below.
    #[error("layer {number}: {source}")]
    Overlay {
        /// Position from 1.
        number: usize,
        /// Why.
        source: OverlayError,
    },
    /// More blobs than an image can list.
    #[error("the files lie in {count} blobs; an image holds at most {}", limits::MAX_BLOBS)]
    TooManyBlobs {
        /// How many there are.
        count: usize,
    },
}

impl MergeError {
    /// What sort of failure this is.
    pub(crate) const fn kind(&self) -> Kind {
        match self {
            Self::Overlay { source: OverlayError::Tree(error), .. } if is_too_much(error) => Kind::Resources,
            Self::Overlay { .. } | Self::TooManyBlobs { .. } => Kind::Failed,
        }
    }
}

/// A tree for layers that weigh so much together. Paths of one layer that lead through links of another make directories
/// that neither has.
pub(crate) fn tree_of(layers_weight: usize) -> Tree {
    let mut tree = Tree::new();
    tree.set_limit(layers_weight.saturating_mul(2).saturating_add(SPARE));
    tree
}

/// What a merged tree may weigh beside twice the trees that it is made of.
const SPARE: usize = 32 << 20;

/// Lays the layers over each other, the lowest first. Where several layers hold the same chunk, all files use the
/// lowest copy, so that a client fetches it once. Blobs that no file uses are left out; those of other images come last,
/// in the order in which the layers list them.
pub fn merge(
    layers: Vec<MergeLayer>,
    chunk_size: ChunkSize,
    compressor: Compressor,
    digester: Digester,
) -> Result<Image, MergeError> {
    let mut lowest: HashMap<ChunkDigest, ChunkRef> = HashMap::new();
    let mut tree = tree_of(layers.iter().map(|layer| layer.tree.weight()).sum());
    let mut blobs: Vec<Option<Blob>> = Vec::with_capacity(layers.len());
    // A blob of another image, or of a layer below, may be a layer's own.
    let own: HashMap<BlobName, usize> = layers
        .iter()
        .enumerate()
        .rev()
        .filter_map(|(at, layer)| Some((layer.blob.as_ref()?.name, at)))
        .collect();
    let (mut foreign, first_foreign) = (Vec::new(), layers.len());
    for (position, layer) in (0_u16..).zip(layers) {
        let MergeLayer { tree: upper, blob, foreign: others } = layer;
        let has_own = u16::from(blob.is_some());
        let number = |blob: Blob| match own.get(&blob.name) {
            Some(position) => *position as u16,
            None => (first_foreign + add_blob(&mut foreign, blob)) as u16,
        };
        let others: Vec<u16> = others.into_iter().map(number).collect();
        let places: Vec<ChunkRef> = blob
            .iter()
            .flat_map(|blob| blob.chunks.iter())
            .map(|(index, chunk)| match chunk.digest == ChunkDigest::default() {
                // Ranges of a plain tar have no digests.
                true => ChunkRef { blob: first_like(&blobs, blob.as_ref(), position), index },
                false => *lowest.entry(chunk.digest).or_insert(ChunkRef { blob: position, index }),
            })
            .collect();
        let place = |at: ChunkRef| match at.blob.checked_sub(has_own) {
            None => places.get(at.index as usize).copied().unwrap_or(at),
            Some(nth) => others.get(usize::from(nth)).map_or(at, |&blob| ChunkRef { blob, ..at }),
        };
        overlay(&mut tree, upper, place)
            .map_err(|source| MergeError::Overlay { number: usize::from(position) + 1, source })?;
        blobs.push(blob);
    }
    blobs.extend(foreign.into_iter().map(Some));
    let blobs = keep_used_blobs(&mut tree, blobs)?;
    Ok(Image { tree, blobs, chunk_size, compressor, digester, tarfs: false, prefetch: Vec::new() })
}

/// Position of the first blob of the same name; `own` if there is none.
fn first_like(blobs: &[Option<Blob>], blob: Option<&Blob>, own: u16) -> u16 {
    let name = blob.map(|blob| blob.name);
    let same = |(_, other): &(u16, &Option<Blob>)| other.as_ref().map(|other| other.name) == name;
    (0..).zip(blobs).find(same).map_or(own, |(position, _)| position)
}

/// Adds a blob, or its chunks to those of the same blob; gives its position.
fn add_blob(blobs: &mut Vec<Blob>, blob: Blob) -> usize {
    let Some(position) = blobs.iter().position(|known| known.name == blob.name) else {
        blobs.push(blob);
        return blobs.len() - 1;
    };
    let known = &mut blobs[position].chunks;
    let all = known.iter().chain(blob.chunks.iter()).map(|(number, chunk)| (number, *chunk));
    *known = ChunkTable::from_unsorted(all.collect());
    position
}

/// Drops the blobs that no file uses and renumbers the others, in layer order.
pub(crate) fn keep_used_blobs(tree: &mut Tree, blobs: Vec<Option<Blob>>) -> Result<Vec<Blob>, MergeError> {
    let mut used = vec![false; blobs.len()];
    let mut files = Vec::new();
    for entry in tree.walk() {
        if let InodeKind::Regular { chunks, .. } = &entry.inode.kind {
            chunks.iter().for_each(|chunk| used[usize::from(chunk.blob)] = true);
            files.push(entry.id);
        }
    }
    let mut numbers = vec![0_u16; blobs.len()];
    let mut kept = Vec::new();
    for ((blob, used), number) in blobs.into_iter().zip(used).zip(&mut numbers) {
        if let (Some(blob), true) = (blob, used) {
            *number = kept.len() as u16;
            kept.push(blob);
        }
    }
    if kept.len() > limits::MAX_BLOBS {
        return Err(MergeError::TooManyBlobs { count: kept.len() });
    }
    // A file with several names is met several times and must be renumbered once.
    files.sort_unstable();
    files.dedup();
    for id in files {
        if let InodeKind::Regular { chunks, .. } = &mut tree.inode_mut(id).kind {
            chunks.iter_mut().for_each(|chunk| chunk.blob = numbers[usize::from(chunk.blob)]);
        }
    }
    Ok(kept)
}
