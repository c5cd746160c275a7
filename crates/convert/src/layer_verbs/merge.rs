//! Bootstraps of layers → the bootstrap of the image.
//!
//! What layers share is found here too: where several hold the same chunk, all files use the lowest copy. Markers of
//! removed files never reach the result, not even those of the lowest layer.

use std::collections::HashMap;

use nydus_convert_rafs::{
    Blob, BlobName, ChunkDigest, ChunkRef, ChunkTable, Digester, FsVersion, Image, LayerTree, overlay,
};

use super::error::VerbError;
use super::layer_bootstrap::LayerBootstrap;
use crate::error::Error;
use crate::prefetch::Prefetch;
use crate::report::{MergeReport, MergedBlob, SCHEMA_VERSION, ToolReport};
use crate::to_nydus::merge::keep_used_blobs;
use crate::to_nydus::{MergeError, tree_of};

/// The bootstrap of an image.
#[derive(Debug, Clone)]
pub struct MergedLayers {
    /// Version of the format: that of the layers.
    pub version: FsVersion,
    /// The bootstrap as a tree and its blobs.
    pub image: Image,
    /// The bootstrap as bytes.
    pub bootstrap: Vec<u8>,
}

/// Lays layers over each other, the lowest first. `prefetch` are the files that clients should fetch first.
pub fn merge_layers(layers: Vec<LayerBootstrap>, prefetch: &Prefetch) -> Result<MergedLayers, Error> {
    let Some(last) = layers.last() else { return Err(VerbError::NoLayers.into()) };
    let (version, chunk_size) = (last.version, last.image.chunk_size);
    let (compressor, digester) = (last.image.compressor, last.image.digester);
    let tarfs = last.image.tarfs;
    check_alike(&layers)?;
    let mut blobs = BlobTable::default();
    let mut tree = tree_of(layers.iter().map(|layer| layer.image.tree.weight()).sum());
    for (number, layer) in (1..).zip(layers) {
        let places = blobs.add(layer.image.blobs)?;
        let upper = LayerTree::of_bootstrap(layer.image.tree);
        overlay(&mut tree, upper, |at| places.get(at))
            .map_err(|source| MergeError::Overlay { number, source })?;
    }
    let blobs = keep_used_blobs(&mut tree, blobs.blobs.into_iter().map(Some).collect())?;
    let prefetch = prefetch.entries(&tree);
    let image = Image { tree, blobs, chunk_size, compressor, digester, tarfs, prefetch };
    let mut bootstrap = Vec::new();
    nydus_convert_rafs::write(version, &image, &mut bootstrap)?;
    Ok(MergedLayers { version, image, bootstrap })
}

/// What all layers of an image must have in common.
fn check_alike(layers: &[LayerBootstrap]) -> Result<(), VerbError> {
    let Some((first, rest)) = layers.split_first() else { return Ok(()) };
    let facts = |layer: &LayerBootstrap| {
        let mut facts = vec![
            ("the RAFS version", layer.version.to_string()),
            ("the chunk size", layer.image.chunk_size.bytes().to_string()),
            ("the kind of blobs", if layer.image.tarfs { "plain tars" } else { "chunks" }.to_owned()),
        ];
        // Version 5 has one compressor and one digester for all blobs.
        if layer.version == FsVersion::V5 {
            facts.push(("the digester", format!("{:?}", layer.image.digester).to_lowercase()));
            if !layer.image.blobs.is_empty() {
                facts.push(("the compressor", format!("{:?}", layer.image.compressor).to_lowercase()));
            }
        }
        facts
    };
    let mut expected = facts(first);
    for layer in rest {
        let found = facts(layer);
        for ((what, expected), (_, found)) in expected.iter().zip(&found) {
            if expected != found {
                let (name, expected, found) = (layer.name.clone(), expected.clone(), found.clone());
                return Err(VerbError::Differs { name, what, expected, found });
            }
        }
        if found.len() > expected.len() {
            expected = found;
        }
    }
    Ok(())
}

/// The blobs of all layers, each once, and where equal chunks lie lowest.
#[derive(Default)]
struct BlobTable {
    blobs: Vec<Blob>,
    numbers: HashMap<BlobName, u16>,
    lowest: HashMap<(Digester, ChunkDigest, u32), ChunkRef>,
}

/// Where the chunks of one layer's blobs lie in the image.
struct Places(Vec<Vec<(u32, ChunkRef)>>);

impl Places {
    fn get(&self, at: ChunkRef) -> ChunkRef {
        let chunks = self.0.get(usize::from(at.blob)).map(Vec::as_slice).unwrap_or_default();
        let found = chunks.binary_search_by_key(&at.index, |(index, _)| *index).ok();
        // The bootstrap's reader has checked every reference.
        found.and_then(|position| chunks.get(position)).map_or(at, |(_, place)| *place)
    }
}

impl BlobTable {
    fn add(&mut self, blobs: Vec<Blob>) -> Result<Places, MergeError> {
        let mut places = Vec::with_capacity(blobs.len());
        for blob in blobs {
            let number = match self.numbers.get(&blob.name) {
                Some(number) => *number,
                None => u16::try_from(self.blobs.len())
                    .map_err(|_| MergeError::TooManyBlobs { count: self.blobs.len() })?,
            };
            places.push(self.place_chunks(number, &blob));
            match self.blobs.get_mut(usize::from(number)) {
                // A dictionary's: every layer lists the chunks that it uses.
                Some(known) if known.chunks != blob.chunks => {
                    let both = known.chunks.iter().chain(blob.chunks.iter());
                    known.chunks =
                        ChunkTable::from_unsorted(both.map(|(index, chunk)| (index, *chunk)).collect());
                }
                Some(_) => {}
                None => {
                    self.numbers.insert(blob.name, number);
                    self.blobs.push(blob);
                }
            }
        }
        Ok(Places(places))
    }

    fn place_chunks(&mut self, number: u16, blob: &Blob) -> Vec<(u32, ChunkRef)> {
        let place = |(index, chunk): (u32, &nydus_convert_rafs::Chunk)| {
            let own = ChunkRef { blob: number, index };
            // Chunks of a plain tar have no digests.
            if chunk.digest.0 == [0; 32] {
                return (index, own);
            }
            let key = (blob.digester, chunk.digest, chunk.uncompressed_size);
            (index, *self.lowest.entry(key).or_insert(own))
        };
        blob.chunks.iter().map(place).collect()
    }
}

impl MergedLayers {
    /// What was made. `bootstrap` is the name of the file that it went to.
    pub fn report(&self, bootstrap: &str) -> MergeReport {
        let blobs = self.image.blobs.iter().map(|blob| MergedBlob {
            digest: match blob.name {
                BlobName::Id(id) => format!("sha256:{id}"),
                BlobName::ThisBlob => String::new(),
            },
            chunks: blob.chunk_count.into(),
        });
        let counts = self.image.tree.link_counts();
        MergeReport {
            schema_version: SCHEMA_VERSION,
            bootstrap: bootstrap.to_owned(),
            bootstrap_digest: nydus_convert_oci::Digest::sha256(&self.bootstrap).to_string(),
            bootstrap_bytes: self.bootstrap.len() as u64,
            fs_version: self.version.to_string(),
            inodes: counts.iter().filter(|count| **count > 0).count() as u64,
            blobs: blobs.collect(),
            tool: ToolReport::current(),
        }
    }
}
