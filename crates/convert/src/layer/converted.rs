//! What a layer became, as far as others may know it: the chunk store, merging, reports.

use nydus_convert_oci::{self as oci, Algorithm, DiffId, Digest, Hasher};
use nydus_convert_rafs::{Blob, LayerTree};

use super::loss::LostEntry;
use crate::remembered::LayerRecord;
use crate::report::ReplayReport;

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

/// What merging needs of one layer.
#[derive(Debug, Clone)]
pub struct MergeLayer {
    /// The layer's tree. Its chunk references number the layer's own blob, if there is one, and then `foreign`.
    pub tree: LayerTree,
    /// The layer's blob as a merged bootstrap lists it; `None` for a layer without file data of its own.
    pub blob: Option<Blob>,
    /// Other blobs that the layer uses, with the chunks that it uses.
    pub foreign: Vec<Blob>,
}

/// What the image keeps of a layer that its tar does not tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TarLayer {
    /// How the layer comes back, if that is wanted; its tar record is empty, since the tar is there.
    pub record: Option<LayerRecord>,
    /// Whether the layer as it was is a part of the image, too.
    pub keeps_original: bool,
}

/// A layer, and the layers below it if its blob depends on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LayerIdentity {
    /// Digest of the stored layer.
    pub digest: Digest,
    /// Its stored length.
    pub size: u64,
    /// Digest of its plain tar.
    pub diff_id: DiffId,
    /// Stands for the layers below it, if its blob may refer to theirs.
    pub below: Option<Digest>,
}

impl LayerIdentity {
    /// What layers above this one have below them.
    pub fn chain(&self) -> Digest {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(self.text().as_bytes());
        hasher.finish()
    }

    /// All of it on a line: equal text, equal layers.
    pub fn text(&self) -> String {
        let below = self.below.map_or_else(|| "-".to_owned(), |below| below.to_string());
        format!("layer {} {} {} {below}\n", self.digest, self.size, self.diff_id)
    }
}
