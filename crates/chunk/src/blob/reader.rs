//! Reading blobs. Every number in a blob is a claim: checked against what is there before it is believed.
//!
//! A blob is opened from its end: by its table of contents, or, where it has none, from header to header backwards.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use nydus_convert_rafs::meta::{MetaError, ci, section};
use nydus_convert_rafs::{Blob, BlobFeatures, Chunk, ChunkDigest, CiLocation, Compressor};

use super::error::BlobError;
use super::sections::{self, Section, Toc};
use super::source::ReadAt;
use crate::cipher::Xts;
use crate::sha256::Sha256;

/// Plain bytes of a section that are believed whatever is stored: the chunk indexes of a sparse file of 2²⁴ chunks
/// compress to nothing, and are 128 MiB.
const BELIEVED: u64 = 256 << 20;
/// Plain bytes that are believed for each stored byte beyond that.
const BELIEVED_RATIO: u64 = 256;
/// Largest section that is held in memory: the largest bootstrap there can be.
const MAX_SECTION: u64 = 2 << 30;

/// A blob to read from. All reads are positional and independent, so one reader serves many threads.
#[derive(Debug)]
pub struct BlobReader<S> {
    source: S,
    size: u64,
    sections: Vec<Section>,
    toc: Option<Toc>,
    /// End of the chunk data, which begins at 0.
    data_size: u64,
}

/// What a blob says about its chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobMeta {
    /// The header of the chunk information: sizes, features, where the tables lie.
    pub header: ci::CiHeader,
    /// The chunks by number.
    pub chunks: Vec<Chunk>,
    /// Whether the blob holds the chunks' digests; else those in `chunks` are zero, and the bootstrap knows them.
    pub has_digests: bool,
}

impl<S: ReadAt> BlobReader<S> {
    /// Reads the table of contents, or the headers, and checks that all sections lie inside the stream.
    pub fn open(source: S) -> Result<Self, BlobError> {
        let size = source.size().map_err(|source| BlobError::Read { offset: 0, length: 0, source })?;
        let (sections, toc) = sections::find(&source, size)?;
        let data = sections.iter().find(|section| section.name == section::IMAGE_BLOB);
        let data_size = data.map_or(0, |data| data.compressed_size);
        Ok(Self { source, size, sections, toc, data_size })
    }

    /// Opens a stream that has no section headers: of RAFS v5 the chunks and nothing else, of v6 the chunks and their
    /// CI, which only a bootstrap can tell apart.
    pub fn open_raw(source: S) -> Result<Self, BlobError> {
        let size = source.size().map_err(|source| BlobError::Read { offset: 0, length: 0, source })?;
        Ok(Self { source, size, sections: Vec::new(), toc: None, data_size: size })
    }

    /// Opens the blob that a bootstrap lists as `blob`, with headers and table of contents or without.
    pub fn open_as(source: S, blob: &Blob) -> Result<Self, BlobError> {
        if blob.features.intersects(BlobFeatures::HAS_TAR_HEADER | BlobFeatures::HAS_TOC) {
            return Self::open(source);
        }
        let mut reader = Self::open_raw(source)?;
        if blob.ci.uncompressed_size != 0 {
            reader.data_size = reader.size.min(blob.ci.offset);
        }
        Ok(reader)
    }

    /// Length of the whole stream in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// All sections but the table of contents, in the order of the stream.
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// SHA-256 of the table of contents with its header, if there is one.
    pub fn toc_digest(&self) -> Option<[u8; 32]> {
        self.toc.map(|toc| toc.digest)
    }

    pub(super) fn toc(&self) -> Option<Toc> {
        self.toc
    }

    /// Length of the chunk data in bytes, 0 if there is none.
    pub fn data_size(&self) -> u64 {
        self.data_size
    }

    /// The bootstrap of the layer, checked against its digest where the blob has one.
    pub fn bootstrap(&self) -> Result<Vec<u8>, BlobError> {
        self.section(section::IMAGE_BOOT)?.ok_or(BlobError::Missing { section: section::IMAGE_BOOT })
    }

    /// The plain bytes of a section, checked against its digest where the blob has one; of the chunk data, the
    /// stored bytes. `None` if there is no such section.
    pub fn section(&self, name: &str) -> Result<Option<Vec<u8>>, BlobError> {
        let Some(section) = self.find(name) else { return Ok(None) };
        let is_data = name == section::IMAGE_BLOB;
        let plain_size = if is_data { section.compressed_size } else { section.uncompressed_size };
        let plain = self.plain(section, section.compressor, section.compressed_size, plain_size)?;
        let mut hash = Sha256::default();
        hash.update(&plain);
        if is_data {
            hash.update(&section::write(name, section.compressed_size));
        }
        if section.digest.is_some_and(|digest| digest != hash.digest()) {
            return Err(BlobError::SectionDigest { section: section.name.clone(), offset: section.offset });
        }
        Ok(Some(plain))
    }

    /// The chunks of the blob; `None` if it has none, or is of RAFS v5, whose blobs do not list their chunks.
    pub fn blob_meta(&self) -> Result<Option<BlobMeta>, BlobError> {
        let Some(meta) = self.find(section::BLOB_META) else {
            // Blobs of v5 have no table of contents either.
            let lost = self.toc.is_some() && self.find(section::IMAGE_BLOB).is_some();
            return if lost { Err(BlobError::Missing { section: section::BLOB_META }) } else { Ok(None) };
        };
        let header = self.ci_header(meta)?;
        self.believe_count(&header)?;
        let location = header.location;
        let payload =
            self.plain(meta, location.compressor, location.compressed_size, location.uncompressed_size)?;
        if meta.digest.is_some_and(|digest| digest != Sha256::of(&payload)) {
            return Err(BlobError::SectionDigest { section: meta.name.clone(), offset: meta.offset });
        }
        let mut chunks = ci::parse(&payload, &header).map_err(|source| structure(meta, source))?.chunks;
        let has_digests = self.fill_digests(&mut chunks)?;
        Ok(Some(BlobMeta { header, chunks, has_digests }))
    }

    /// Each chunk takes a byte at least, so that no small blob can make us allocate for many. Members of a batch take
    /// no byte each, but their plain bytes are believed only so far; chunks that lie elsewhere take none here.
    pub(super) fn believe_count(&self, header: &ci::CiHeader) -> Result<(), BlobError> {
        let (count, limit) = (header.entries, self.data_size());
        let believed = if header.features.contains(BlobFeatures::BATCH) { 1 << 16 } else { 1 };
        let elsewhere = header.features.contains(BlobFeatures::SEPARATE);
        if u64::from(count) > limit.saturating_mul(believed) && !elsewhere {
            return Err(BlobError::TooManyChunks { count, limit });
        }
        Ok(())
    }

    pub(super) fn source(&self) -> &S {
        &self.source
    }

    pub(super) fn find(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), BlobError> {
        sections::read(&self.source, offset, buffer)
    }

    /// The CI header of `meta`, which must point at `meta`.
    fn ci_header(&self, meta: &Section) -> Result<ci::CiHeader, BlobError> {
        let (offset, payload_size) = match self.find(section::BLOB_META_HEADER) {
            Some(header) => (header.offset, meta.compressed_size),
            // Without table of contents the section is the payload and the header behind it.
            None => {
                let payload = meta.compressed_size.saturating_sub(ci::HEADER_LEN as u64);
                (meta.offset.saturating_add(payload), payload)
            }
        };
        let mut bytes = [0; ci::HEADER_LEN];
        self.read(offset, &mut bytes)?;
        let header = ci::CiHeader::parse(&bytes).map_err(|source| BlobError::Structure {
            section: section::BLOB_META_HEADER.to_owned(),
            offset,
            source,
        })?;
        let disagrees = |field, expected, found| {
            let section = section::BLOB_META_HEADER;
            if expected == found {
                Ok(())
            } else {
                Err(BlobError::Disagrees { section, field, expected, found })
            }
        };
        disagrees("the payload's offset", meta.offset, header.location.offset)?;
        disagrees("the payload's stored size", payload_size, header.location.compressed_size)?;
        if meta.digest.is_some() {
            disagrees("the payload's plain size", meta.uncompressed_size, header.location.uncompressed_size)?;
        }
        Ok(header)
    }

    pub(super) fn fill_digests(&self, chunks: &mut [Chunk]) -> Result<bool, BlobError> {
        let Some(digests) = self.section(section::BLOB_DIGEST)? else { return Ok(false) };
        let (digests, rest) = digests.as_chunks::<32>();
        if digests.len() != chunks.len() || !rest.is_empty() {
            return Err(BlobError::Disagrees {
                section: section::BLOB_DIGEST,
                field: "the number of chunks",
                expected: chunks.len() as u64,
                found: digests.len() as u64,
            });
        }
        for (chunk, digest) in chunks.iter_mut().zip(digests) {
            chunk.digest = ChunkDigest(*digest);
        }
        Ok(true)
    }

    /// Reads and decompresses the first `stored_size` bytes of a section.
    fn plain(
        &self,
        section: &Section,
        compressor: Compressor,
        stored_size: u64,
        plain_size: u64,
    ) -> Result<Vec<u8>, BlobError> {
        let &Section { ref name, offset, .. } = section;
        let location =
            CiLocation { compressor, offset, compressed_size: stored_size, uncompressed_size: plain_size };
        self.plain_at(name, &location, None)
    }

    /// Reads, decrypts and decompresses what lies at `location`; `name` is for errors.
    pub(super) fn plain_at(
        &self,
        name: &str,
        location: &CiLocation,
        cipher: Option<&Xts>,
    ) -> Result<Vec<u8>, BlobError> {
        let &CiLocation { compressor, offset, compressed_size: stored_size, uncompressed_size: plain_size } =
            location;
        let name = || name.to_owned();
        let limit = BELIEVED.max(stored_size.saturating_mul(BELIEVED_RATIO)).min(MAX_SECTION);
        let too_large = |size| BlobError::TooLarge { section: name(), offset, size, limit };
        let to_usize = |size: u64| {
            let size_ok = usize::try_from(size).ok().filter(|_| size <= limit);
            size_ok.ok_or_else(|| too_large(size))
        };
        let (stored_len, plain_len) = (to_usize(stored_size)?, to_usize(plain_size)?);
        let mut stored = vec![0; stored_len];
        self.read(offset, &mut stored)?;
        if let Some(cipher) = cipher {
            let length = cipher.decrypt(&mut stored, None);
            stored.truncate(length);
        }
        if compressor == Compressor::None && stored.len() == plain_len {
            return Ok(stored);
        }
        let mut plain = vec![0; plain_len];
        let result = compressor.decompress(&stored, &mut plain);
        result.map_err(|source| BlobError::Decompress { section: name(), offset, source })?;
        Ok(plain)
    }
}

fn structure(section: &Section, source: MetaError) -> BlobError {
    BlobError::Structure { section: section.name.clone(), offset: section.offset, source }
}
