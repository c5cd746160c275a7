//! Checking a whole blob: its id, its form, every section, every chunk.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Arc;

use nydus_convert_rafs::meta::section;
use nydus_convert_rafs::meta::toc::{self, TocEntry};
use nydus_convert_rafs::{Blob, BlobFeatures, BlobId, Chunk, ChunkFlags, Cipher, Compressor};

use super::error::BlobError;
use super::reader::{BlobMeta, BlobReader};
use super::sections::Section;
use super::source::ReadAt;
use crate::ordered::Pool;
use crate::sha256::Sha256;

/// Bytes that are read at once, and plain bytes that one hand-over to a thread is worth.
const PIECE: usize = 1 << 20;

/// What [`BlobReader::verify`] found to be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// SHA-256 of the stream.
    pub id: BlobId,
    /// Chunks that were decompressed and compared with their digests.
    pub chunks: u64,
    /// Plain length of these chunks in bytes.
    pub plain_bytes: u64,
}

impl<S: ReadAt + Send + Sync + 'static> BlobReader<S> {
    /// Checks everything that can be checked.
    ///
    /// Always: that the sections and their headers are in the one form that writers give them, and, where there is
    /// a table of contents, every section's digest. With `id`: the digest of the stream, so that no bit can differ.
    /// With `blob`, the blob's record in a bootstrap: that it agrees with the blob, and every chunk, on the pool.
    pub fn verify(
        self: &Arc<Self>,
        pool: &Pool,
        id: Option<BlobId>,
        blob: Option<&Blob>,
    ) -> Result<Verified, BlobError> {
        let actual = self.check_id(id)?;
        // Of an encrypted blob the table of contents has the digests of the plain CI.
        let encrypted = blob.is_some_and(|blob| blob.cipher != Cipher::None);
        let hidden = |section: &&Section| {
            encrypted && [section::BLOB_META, section::BLOB_META_HEADER].contains(&section.name.as_str())
        };
        for section in self.sections().iter().filter(|section| !hidden(section)) {
            self.check_section(section)?;
        }
        let mut verified = Verified { id: actual, chunks: 0, plain_bytes: 0 };
        if blob.is_none() {
            self.blob_meta()?;
        }
        if let Some(blob) = blob {
            let meta = self.meta_of(blob)?;
            if let Some(meta) = &meta {
                self.check_record(meta, blob)?;
            }
            let chunks = known_chunks(meta, blob);
            verified.chunks = chunks.len() as u64;
            verified.plain_bytes = chunks
                .iter()
                .map(|(_, chunk)| u64::from(chunk.uncompressed_size))
                .fold(0, u64::saturating_add);
            self.check_chunks(pool, chunks, blob)?;
        }
        Ok(verified)
    }

    /// What can be checked of a metadata blob without the layer that its chunks lie in.
    pub(super) fn verify_stored(&self, id: BlobId) -> Result<Verified, BlobError> {
        let id = self.check_id(Some(id))?;
        self.sections().iter().try_for_each(|section| self.check_section(section))?;
        Ok(Verified { id, chunks: 0, plain_bytes: 0 })
    }

    /// The form, and the digest of the stream.
    fn check_id(&self, id: Option<BlobId>) -> Result<BlobId, BlobError> {
        self.check_form()?;
        let actual = self.check_stream()?;
        match id.filter(|expected| *expected != actual) {
            Some(expected) => Err(BlobError::Id { expected, actual }),
            None => Ok(actual),
        }
    }

    /// Sections tile the stream, each with its header; the headers and the table have no bit to spare.
    fn check_form(&self) -> Result<(), BlobError> {
        let mut at = 0_u64;
        let mut payload = None;
        let elsewhere = self.toc().and_then(|toc| toc.elsewhere);
        if let Some((_, size, _)) = elsewhere {
            at = self.expect(section::IMAGE_BLOB, at, &section::write(section::IMAGE_BLOB, size))?;
        }
        for section in self.sections() {
            if section.offset != at {
                return Err(BlobError::NotCanonical { section: section.name.clone(), offset: at });
            }
            at = section.end();
            // The CI payload and its header share one section header, behind both.
            if section.name == section::BLOB_META && self.toc().is_some() {
                payload = Some(section.compressed_size);
                continue;
            }
            let (name, size) = match payload.take() {
                Some(size) => (section::BLOB_META, section.compressed_size.saturating_add(size)),
                None => (section.name.as_str(), section.compressed_size),
            };
            at = self.expect(&section.name, at, &section::write(name, size))?;
        }
        let Some(table) = self.toc() else { return Ok(()) };
        if table.offset != at || payload.is_some() {
            return Err(BlobError::NotCanonical { section: section::TOC.to_owned(), offset: at });
        }
        let elsewhere = elsewhere.map(|(digest, compressed_size, uncompressed_size)| TocEntry {
            name: section::IMAGE_BLOB.to_owned(),
            compressor: Compressor::None,
            digest,
            offset: compressed_size.wrapping_neg(),
            compressed_size,
            uncompressed_size,
        });
        let entries: Vec<TocEntry> = elsewhere.into_iter().chain(self.sections().iter().map(entry)).collect();
        let mut bytes = toc::write(&entries).map_err(|source| BlobError::Structure {
            section: section::TOC.to_owned(),
            offset: at,
            source,
        })?;
        bytes.extend(section::write(section::TOC, bytes.len() as u64));
        self.expect(section::TOC, at, &bytes)?;
        Ok(())
    }

    /// The blob has `expected` at `offset`. Gives where that ends.
    fn expect(&self, section: &str, offset: u64, expected: &[u8]) -> Result<u64, BlobError> {
        let mut actual = vec![0; expected.len()];
        self.read(offset, &mut actual)?;
        if actual != expected {
            return Err(BlobError::NotCanonical { section: section.to_owned(), offset });
        }
        Ok(offset.saturating_add(expected.len() as u64))
    }

    /// SHA-256 of the stream; on the way, of the chunk data.
    fn check_stream(&self) -> Result<BlobId, BlobError> {
        let mut hash = Sha256::default();
        let mut start = 0;
        let data = self.find(section::IMAGE_BLOB);
        if let Some((data, expected)) = data.and_then(|data| Some((data, data.digest?))) {
            // It covers the header behind the data too, and data is always first.
            let end = data.end().saturating_add(section::HEADER_LEN as u64);
            self.hash_range(start..end, &mut hash)?;
            if hash.digest() != expected {
                return Err(BlobError::SectionDigest { section: data.name.clone(), offset: data.offset });
            }
            start = end;
        }
        self.hash_range(start..self.size(), &mut hash)?;
        Ok(BlobId(hash.digest()))
    }

    fn check_section(&self, section: &Section) -> Result<(), BlobError> {
        let Some(expected) = section.digest.filter(|_| section.name != section::IMAGE_BLOB) else {
            return Ok(());
        };
        if section.compressor == Compressor::None {
            let mut hash = Sha256::default();
            self.hash_range(section.offset..section.end(), &mut hash)?;
            if hash.digest() != expected || section.compressed_size != section.uncompressed_size {
                return Err(BlobError::SectionDigest {
                    section: section.name.clone(),
                    offset: section.offset,
                });
            }
        } else {
            self.section(&section.name)?;
        }
        Ok(())
    }

    fn hash_range(&self, range: Range<u64>, hash: &mut Sha256) -> Result<(), BlobError> {
        let mut buffer = vec![0; PIECE];
        let mut at = range.start;
        while at < range.end {
            let left = usize::try_from(range.end.saturating_sub(at)).unwrap_or(PIECE).min(PIECE);
            let piece = buffer.get_mut(..left).unwrap_or_default();
            self.read(at, piece)?;
            hash.update(piece);
            at = at.saturating_add(left as u64);
        }
        Ok(())
    }

    /// The record in the bootstrap and the blob itself say the same.
    fn check_record(&self, meta: &BlobMeta, blob: &Blob) -> Result<(), BlobError> {
        let header = &meta.header;
        let own =
            |features: BlobFeatures| u64::from(features.difference(BlobFeatures::INLINED_FS_META).bits());
        let plain_end = meta.chunks.last().map_or(0, |chunk| {
            let end = chunk.uncompressed_offset.saturating_add(u64::from(chunk.uncompressed_size));
            end.checked_next_multiple_of(4096).unwrap_or(end)
        });
        let fields = [
            ("the number of chunks", u64::from(blob.chunk_count), u64::from(header.entries)),
            ("the features", own(blob.features), own(header.features)),
            ("the offset", blob.ci.offset, header.location.offset),
            ("the stored size", blob.ci.compressed_size, header.location.compressed_size),
            ("the plain size", blob.ci.uncompressed_size, header.location.uncompressed_size),
            ("the compressor", blob.ci.compressor as u64, header.location.compressor as u64),
            ("the size of the plain blob", blob.uncompressed_size, plain_end),
        ];
        for (field, expected, found) in fields {
            if expected != found {
                return Err(BlobError::Disagrees {
                    section: section::BLOB_META_HEADER,
                    field,
                    expected,
                    found,
                });
            }
        }
        if blob.toc_size != 0 && self.toc_digest() != Some(blob.toc_digest) {
            return Err(BlobError::SectionDigest { section: section::TOC.to_owned(), offset: self.size() });
        }
        for (number, chunk) in blob.chunks.iter() {
            let known = usize::try_from(number).ok().and_then(|number| meta.chunks.get(number));
            if !known.is_some_and(|known| same_chunk(known, chunk, meta.has_digests)) {
                return Err(BlobError::ChunkRecord { number });
            }
        }
        Ok(())
    }

    /// What the blob itself says of its chunks; nothing, in RAFS v5.
    fn meta_of(&self, blob: &Blob) -> Result<Option<BlobMeta>, BlobError> {
        // Version 6 cannot do without: its chunks are always aligned, and described.
        let described = blob.ci.uncompressed_size != 0 || self.toc().is_some();
        if !described {
            return Ok(None);
        }
        let plain = !blob.features.intersects(BlobFeatures::BATCH | BlobFeatures::ENCRYPTED);
        if plain && !self.sections().is_empty() {
            return Ok(Some(self.blob_meta()?.ok_or(BlobError::Missing { section: section::BLOB_META })?));
        }
        let found = self.information(blob)?;
        let (header, information) = found.ok_or(BlobError::Missing { section: section::BLOB_META })?;
        let mut chunks = information.chunks;
        let has_digests = self.fill_digests(&mut chunks)?;
        Ok(Some(BlobMeta { header, chunks, has_digests }))
    }

    /// Every chunk decompresses to what its digest says.
    fn check_chunks(
        self: &Arc<Self>,
        pool: &Pool,
        chunks: Vec<(u32, Chunk)>,
        blob: &Blob,
    ) -> Result<(), BlobError> {
        let (source, chunks) = (self.chunks_of(blob)?, Arc::new(chunks));
        let window = NonZeroUsize::MIN.saturating_add(pool.threads().saturating_mul(2));
        let groups = Groups { chunks: Arc::clone(&chunks), at: 0 };
        let check = move |worker: &mut crate::Worker, group: Range<usize>| {
            let mut plain = Vec::new();
            let group = chunks.get(group).unwrap_or_default();
            group.iter().try_for_each(|(number, chunk)| source.read_chunk(worker, *number, chunk, &mut plain))
        };
        pool.map(groups, window, check).collect()
    }
}

/// Runs of chunks of about [`PIECE`] plain bytes.
struct Groups {
    chunks: Arc<Vec<(u32, Chunk)>>,
    at: usize,
}

impl Iterator for Groups {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        let mut bytes = 0_u64;
        while let Some((_, chunk)) = self.chunks.get(self.at).filter(|_| bytes < PIECE as u64) {
            bytes = bytes.saturating_add(u64::from(chunk.uncompressed_size));
            self.at = self.at.saturating_add(1);
        }
        (start < self.at).then_some(start..self.at)
    }
}

/// All chunks whose digests are known, with their numbers: from the blob itself, else from the bootstrap.
fn known_chunks(meta: Option<BlobMeta>, blob: &Blob) -> Vec<(u32, Chunk)> {
    match meta {
        Some(meta) if meta.has_digests => (0..).zip(meta.chunks).collect(),
        _ => blob.chunks.iter().map(|(number, chunk)| (number, *chunk)).collect(),
    }
}

/// The CI cannot hold flags and checksums, and may not have digests. Bootstraps do not know where members of batches
/// lie.
fn same_chunk(ci: &Chunk, record: &Chunk, with_digest: bool) -> bool {
    let stored = (ci.compressed_offset, ci.compressed_size)
        == (record.compressed_offset, record.compressed_size)
        || ci.flags.contains(ChunkFlags::BATCH);
    stored
        && (ci.uncompressed_offset, ci.uncompressed_size)
            == (record.uncompressed_offset, record.uncompressed_size)
        && (!with_digest || ci.digest == record.digest)
}

fn entry(section: &Section) -> TocEntry {
    TocEntry {
        name: section.name.clone(),
        compressor: section.compressor,
        digest: section.digest.unwrap_or_default(),
        offset: section.offset,
        compressed_size: section.compressed_size,
        uncompressed_size: section.uncompressed_size,
    }
}
