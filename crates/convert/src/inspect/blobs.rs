//! Blobs: what the bootstrap says of them, and what they say of themselves.

use std::collections::BTreeMap;

use nydus_convert_chunk::{BlobError, BlobReader};
use nydus_convert_rafs::meta::section;
use nydus_convert_rafs::{
    Blob, BlobFeatures, BlobName, Chunk, ChunkDigest, ChunkFlags, ChunkRef, CiLocation, Cipher, Image,
    InodeKind,
};

use super::report::{BlobSection, InspectedBatch, InspectedBlob, InspectedChunk, Stored};
use crate::image::blob_file::BlobFile;

/// How often the files of an image use each chunk.
pub(super) struct Uses {
    counts: BTreeMap<ChunkRef, u64>,
    blobs: Vec<Stored>,
}

impl Uses {
    pub(super) fn of(image: &Image) -> Self {
        let mut counts: BTreeMap<ChunkRef, u64> = BTreeMap::new();
        for (_, inode, _) in image.tree.inodes() {
            if let InodeKind::Regular { chunks, .. } = &inode.kind {
                for chunk in chunks.iter() {
                    *counts.entry(*chunk).or_default() += 1;
                }
            }
        }
        let mut blobs = vec![Stored::default(); image.blobs.len()];
        for (at, count) in &counts {
            let (Some(sum), Some(chunk)) = (blobs.get_mut(usize::from(at.blob)), image.chunk(*at)) else {
                continue;
            };
            sum.uses += count;
            sum.used += 1;
            sum.use_bytes += count * u64::from(chunk.uncompressed_size);
            sum.plain_bytes += u64::from(chunk.uncompressed_size);
            sum.stored_bytes += u64::from(chunk.compressed_size);
        }
        Self { counts, blobs }
    }

    pub(super) fn total(&self) -> Stored {
        self.blobs.iter().fold(Stored::default(), |sum, blob| Stored {
            uses: sum.uses + blob.uses,
            used: sum.used + blob.used,
            use_bytes: sum.use_bytes + blob.use_bytes,
            plain_bytes: sum.plain_bytes + blob.plain_bytes,
            stored_bytes: sum.stored_bytes + blob.stored_bytes,
        })
    }

    fn of_blob(&self, index: usize) -> Stored {
        self.blobs.get(index).copied().unwrap_or_default()
    }

    fn of_chunk(&self, blob: usize, index: u32) -> u64 {
        let blob = u16::try_from(blob).unwrap_or(u16::MAX);
        self.counts.get(&ChunkRef { blob, index }).copied().unwrap_or_default()
    }

    /// Fills in the uses of chunks that were listed.
    fn count(&self, blob: usize, chunks: &mut [InspectedChunk]) {
        for chunk in chunks {
            chunk.uses = self.of_chunk(blob, chunk.index);
        }
    }
}

/// What the blob table says.
pub(super) fn of_bootstrap(index: usize, blob: &Blob, uses: &Uses) -> InspectedBlob {
    let mut chunks: Vec<InspectedChunk> =
        blob.chunks.iter().map(|(number, chunk)| describe(number, chunk)).collect();
    uses.count(index, &mut chunks);
    // Of plain tars, other builders name a compressor of what is not there.
    let place = CiLocation { compressor: Default::default(), ..blob.ci };
    let has_information = place != CiLocation::default();
    InspectedBlob {
        index,
        id: match blob.name {
            BlobName::ThisBlob => "this blob".to_owned(),
            BlobName::Id(id) => id.to_string(),
        },
        features: features(blob.features),
        compressor: blob.compressor.to_string(),
        digester: blob.digester.to_string(),
        chunk_count: blob.chunk_count,
        compressed_size: blob.compressed_size,
        uncompressed_size: blob.uncompressed_size,
        chunk_information: has_information.then(|| BlobSection {
            name: "chunk information".to_owned(),
            offset: blob.ci.offset,
            stored: blob.ci.compressed_size,
            plain: blob.ci.uncompressed_size,
            compressor: blob.ci.compressor.to_string(),
        }),
        metadata_blob: (blob.meta_digest != [0; 32])
            .then(|| blob.meta_digest.iter().map(|byte| format!("{byte:02x}")).collect()),
        encrypted: blob.cipher != Cipher::None,
        used: uses.of_blob(index),
        sections: None,
        batches: Vec::new(),
        chunks: Some(chunks),
    }
}

fn features(features: BlobFeatures) -> Vec<String> {
    let mut names: Vec<String> = features.iter_names().map(|(name, _)| name.to_lowercase()).collect();
    match features.bits() & !BlobFeatures::all().bits() {
        0 => {}
        unknown => names.push(format!("{unknown:#x}")),
    }
    names
}

/// Adds what the blob says of itself.
pub(super) fn look_inside(
    record: &mut InspectedBlob,
    reader: &BlobReader<BlobFile>,
    blob: &Blob,
) -> Result<(), BlobError> {
    let sections = reader.sections().iter().map(|section| BlobSection {
        name: section.name.clone(),
        offset: section.offset,
        stored: section.compressed_size,
        plain: section.uncompressed_size,
        compressor: section.compressor.to_string(),
    });
    record.sections = Some(sections.collect());
    let Some((_, information)) = reader.information(blob)? else { return Ok(()) };
    record.batches = information
        .batches
        .iter()
        .map(|batch| InspectedBatch {
            offset: batch.compressed_offset,
            stored: batch.compressed_size,
            plain: batch.uncompressed_size,
        })
        .collect();
    let known = record.chunks.take().unwrap_or_default();
    let known: BTreeMap<u32, InspectedChunk> = known.into_iter().map(|chunk| (chunk.index, chunk)).collect();
    let digests = reader.section(section::BLOB_DIGEST)?.unwrap_or_default();
    let mut digests = digests.as_chunks::<32>().0.iter();
    let chunks = (0..).zip(&information.chunks).map(|(index, chunk)| {
        let digest = digests.next().map_or(chunk.digest, |digest| ChunkDigest(*digest));
        let mut chunk = describe(index, &Chunk { digest, ..*chunk });
        // The bootstrap knows digests and uses, the blob knows how its chunks are stored.
        if let Some(known) = known.get(&index) {
            chunk.digest = chunk.digest.or_else(|| known.digest.clone());
            chunk.uses = known.uses;
        }
        chunk
    });
    record.chunks = Some(chunks.collect());
    Ok(())
}

fn describe(index: u32, chunk: &Chunk) -> InspectedChunk {
    let flags = chunk.flags.difference(ChunkFlags::HAS_CRC32);
    InspectedChunk {
        index,
        digest: (chunk.digest != ChunkDigest::default()).then(|| chunk.digest.to_string()),
        offset: chunk.compressed_offset,
        stored: chunk.compressed_size,
        plain_offset: chunk.uncompressed_offset,
        plain: chunk.uncompressed_size,
        flags: flags.iter_names().map(|(name, _)| name.to_lowercase()).collect(),
        crc32c: chunk.flags.contains(ChunkFlags::HAS_CRC32).then(|| format!("{:08x}", chunk.crc32)),
        uses: 0,
    }
}
