//! The front of a blob: chunk data, and the metadata that grows with it.
//!
//! A blob of RAFS v5 has neither chunk information nor digests nor a table of contents: only bootstraps know where its
//! chunks lie. In the plain address space they lie back to back, unless they shall be aligned.

use std::io::Write;

use nydus_convert_rafs::meta::{Batch, InBatch, ci, section, toc::TocEntry};
use nydus_convert_rafs::{
    Blob, BlobFeatures, BlobName, Chunk, ChunkDigest, ChunkFlags, ChunkTable, CiLocation, Cipher, Compressor,
    FsVersion, limits,
};

use super::options::BlobOptions;
use super::stream::{Stream, WriteError};
use super::tail::{self, BlobTail};
use crate::sha256::Sha256;

/// Chunks of v6 start at multiples of this in the plain address space.
const ALIGNMENT: u64 = 4096;

/// What stored chunks are padded with.
const PADDING: [u8; ALIGNMENT as usize] = [0; ALIGNMENT as usize];

/// Writes a blob with inline metadata, of RAFS v6 with table of contents, in one pass: chunks are appended in the order
/// of their numbers, then [`BlobWriter::finish_data`] goes on to the rest.
///
/// Per chunk some 70 bytes are kept. The sink gets few large writes; [`crate::pack`] hands over a group at once.
pub struct BlobWriter<W> {
    stream: Stream<W>,
    options: BlobOptions,
    limits: Limits,
    /// Every chunk with a number. The first `stored` are in the stream, the others are announced.
    chunks: Vec<Chunk>,
    stored: usize,
    /// End of the plain address space.
    plain: u64,
    batches: Vec<Batch>,
    members: Vec<InBatch>,
    /// Of every stored chunk the CRC-32C of its stored bytes; 0 for one in a batch.
    checks: Vec<u32>,
}

/// What was compressed as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// A chunk by itself: its stored length, its checksum if it was computed, and that of its stored bytes.
    Chunk { stored: usize, crc32: Option<u32>, check: u32 },
    /// The next `members` chunks back to back.
    Batch { members: usize, stored: usize },
}

impl Unit {
    fn stored(self) -> usize {
        match self {
            Self::Chunk { stored, .. } | Self::Batch { stored, .. } => stored,
        }
    }
}

/// What the offset and index fields of the format can hold.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) chunks: u32,
    pub(super) stored: u64,
    pub(super) plain: u64,
}

impl Limits {
    const FORMAT: Self = Self {
        chunks: limits::MAX_CHUNKS_PER_BLOB,
        stored: limits::MAX_COMPRESSED_BLOB,
        // The end has to fit the field too.
        plain: limits::MAX_UNCOMPRESSED_BLOB - ALIGNMENT,
    };
}

impl<W: Write> BlobWriter<W> {
    /// Starts a blob at the beginning of `sink`. The algorithms are recorded; the caller compresses and hashes.
    pub fn new(sink: W, options: BlobOptions) -> Self {
        Self::with_limits(sink, options, Limits::FORMAT)
    }

    pub(super) fn with_limits(sink: W, options: BlobOptions, limits: Limits) -> Self {
        Self {
            stream: Stream::new(sink, limits.stored),
            options,
            limits,
            chunks: Vec::new(),
            stored: 0,
            plain: 0,
            batches: Vec::new(),
            members: Vec::new(),
            checks: Vec::new(),
        }
    }

    /// Appends one chunk of `plain_size` bytes with its digest, and gives its number. `stored` is what the
    /// compressor made of it, or the plain bytes themselves if that was not smaller: equal lengths mean raw.
    ///
    /// Nothing is deduplicated here; [`crate::pack`] does that.
    pub fn append(&mut self, digest: ChunkDigest, plain_size: u32, stored: &[u8]) -> Result<u32, WriteError> {
        let number = self.announce(digest, plain_size as usize)?;
        let unit = Unit::Chunk { stored: stored.len(), crc32: None, check: crc32c::crc32c(stored) };
        self.store(stored, [unit])?;
        Ok(number)
    }

    /// Number of chunks in the stream.
    pub fn chunk_count(&self) -> usize {
        self.stored
    }

    /// Every chunk with a number, stored or announced.
    pub(crate) fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// Gives the next number to a chunk that is yet to be stored.
    pub(crate) fn announce(&mut self, digest: ChunkDigest, plain_size: usize) -> Result<u32, WriteError> {
        self.check()?;
        let length = match u32::try_from(plain_size) {
            Ok(length @ 1..=limits::MAX_CHUNK_SIZE) => length,
            _ => return Err(self.fail(WriteError::ChunkLength { length: plain_size })),
        };
        let limit = self.limits.chunks;
        let Some(number) = u32::try_from(self.chunks.len()).ok().filter(|number| *number < limit) else {
            return Err(self.fail(WriteError::TooManyChunks { limit }));
        };
        let aligned = self.options.aligned || self.options.version == FsVersion::V6;
        let alignment = if aligned { ALIGNMENT } else { 1 };
        let end = self.plain + u64::from(length).next_multiple_of(alignment);
        if end > self.limits.plain {
            return Err(self.fail(WriteError::TooManyPlainBytes { limit: self.limits.plain }));
        }
        self.chunks.push(Chunk {
            digest,
            uncompressed_size: length,
            uncompressed_offset: self.plain,
            ..Chunk::default()
        });
        self.plain = end;
        Ok(number)
    }

    /// Stores the oldest announced chunks by `units`, whose stored lengths add up to `bytes`.
    pub(crate) fn store(
        &mut self,
        bytes: &[u8],
        units: impl IntoIterator<Item = Unit>,
    ) -> Result<(), WriteError> {
        if self.options.padded {
            return self.store_padded(bytes, units);
        }
        let mut offset = self.stream.position();
        for unit in units {
            match unit {
                Unit::Chunk { stored, crc32, check } => self.place_chunk(offset, stored, (crc32, check))?,
                Unit::Batch { members, stored } => self.place_batch(offset, members, stored)?,
            }
            offset += unit.stored() as u64;
        }
        self.stream.write(bytes)?;
        if offset == self.stream.position() { Ok(()) } else { Err(self.fail_order()) }
    }

    fn store_padded(
        &mut self,
        mut bytes: &[u8],
        units: impl IntoIterator<Item = Unit>,
    ) -> Result<(), WriteError> {
        for unit in units {
            let Unit::Chunk { stored, crc32, check } = unit else { return Err(self.fail_order()) };
            let Some((chunk, rest)) = bytes.split_at_checked(stored) else { return Err(self.fail_order()) };
            self.place_chunk(self.stream.position(), stored, (crc32, check))?;
            self.stream.write(chunk)?;
            let padding = stored.next_multiple_of(PADDING.len()) - stored;
            self.stream.write(&PADDING[..padding])?;
            bytes = rest;
        }
        if bytes.is_empty() { Ok(()) } else { Err(self.fail_order()) }
    }

    fn place_chunk(
        &mut self,
        offset: u64,
        stored: usize,
        (crc32, check): (Option<u32>, u32),
    ) -> Result<(), WriteError> {
        let Some(chunk) = self.chunks.get_mut(self.stored) else { return Err(self.fail_order()) };
        let plain = chunk.uncompressed_size;
        chunk.compressed_size = match u32::try_from(stored) {
            Ok(length) if (1..=plain).contains(&length) => length,
            _ => return Err(self.fail(WriteError::StoredLength { plain, stored })),
        };
        chunk.compressed_offset = offset;
        chunk.flags.set(ChunkFlags::COMPRESSED, chunk.compressed_size != plain);
        // Readers take a checksum of 0 for a damaged record.
        if let Some(crc32) = crc32.filter(|crc32| *crc32 != 0) {
            chunk.crc32 = crc32;
            chunk.flags.insert(ChunkFlags::HAS_CRC32);
        }
        self.checks.push(check);
        self.stored += 1;
        Ok(())
    }

    /// A member lies where its batch does, and has no stored length of its own.
    fn place_batch(&mut self, offset: u64, members: usize, stored: usize) -> Result<(), WriteError> {
        let first = self.stored;
        let Some(chunks) = self.chunks.get_mut(first..first + members) else { return Err(self.fail_order()) };
        let batch = self.batches.len() as u32;
        let mut plain = 0;
        for (number, chunk) in (first as u32..).zip(chunks) {
            self.members.push(InBatch { chunk: number, batch, offset: plain });
            plain += chunk.uncompressed_size;
            chunk.compressed_offset = offset;
            chunk.compressed_size = 0;
            chunk.flags.insert(ChunkFlags::COMPRESSED | ChunkFlags::BATCH);
        }
        let compressed_size = match u32::try_from(stored) {
            Ok(length) if (1..=plain).contains(&length) => length,
            _ => return Err(self.fail(WriteError::StoredLength { plain, stored })),
        };
        self.batches.push(Batch { compressed_offset: offset, compressed_size, uncompressed_size: plain });
        self.checks.resize(first + members, 0);
        self.stored += members;
        Ok(())
    }

    /// Whether there was no failure yet.
    pub(crate) fn check(&self) -> Result<(), WriteError> {
        self.stream.check()
    }

    /// Refuses all that would follow.
    pub(crate) fn abandon(&mut self) {
        self.stream.abandon();
    }

    fn fail(&mut self, error: WriteError) -> WriteError {
        self.abandon();
        error
    }

    /// Chunks announced and stored do not match.
    fn fail_order(&mut self) -> WriteError {
        self.fail(WriteError::Abandoned)
    }

    /// Ends the chunk data and writes what describes it: a header, and in v6 CI and digests with theirs.
    pub fn finish_data(mut self) -> Result<BlobTail<W>, WriteError> {
        if self.stored != self.chunks.len() {
            return Err(WriteError::Abandoned);
        }
        if self.chunks.is_empty() {
            return Ok(BlobTail::new(self.stream, self.options.version, Vec::new(), (None, Vec::new())));
        }
        let mut entries = vec![self.write_data_header()?];
        if self.batches.is_empty() {
            // Only chunk information of version 2 has room for checksums, and only batches need that version.
            self.chunks.iter_mut().for_each(forget_checksum);
        }
        let (features, ci) = match self.options.version {
            FsVersion::V5 => (FEATURES_V5, CiLocation::default()),
            FsVersion::V6 => {
                let ci = self.write_ci(&mut entries)?;
                entries.push(self.write_digests()?);
                (self.features(), ci)
            }
        };
        let blob = Blob {
            name: BlobName::ThisBlob,
            features,
            compressor: self.options.compressor.compressor(),
            digester: self.options.digester,
            chunk_count: self.count(),
            compressed_size: self.stream.position(),
            uncompressed_size: self.plain,
            ci,
            toc_size: 0,
            toc_digest: [0; 32],
            meta_digest: [0; 32],
            meta_size: 0,
            cipher: Cipher::None,
            chunks: table_of(self.chunks),
        };
        Ok(BlobTail::new(self.stream, self.options.version, entries, (Some(blob), self.checks)))
    }

    fn features(&self) -> BlobFeatures {
        if self.batches.is_empty() {
            FEATURES
        } else {
            FEATURES.union(BlobFeatures::BATCH).union(BlobFeatures::CHUNK_INFO_V2)
        }
    }

    fn count(&self) -> u32 {
        // `announce` keeps the count below 2²⁴.
        self.chunks.len() as u32
    }

    /// The digest in this entry covers the header too: so the reference builder has it, and so readers must find it.
    fn write_data_header(&mut self) -> Result<TocEntry, WriteError> {
        let size = self.stream.position();
        self.stream.write(&section::write(section::IMAGE_BLOB, size))?;
        Ok(TocEntry {
            name: section::IMAGE_BLOB.to_owned(),
            compressor: Compressor::None,
            digest: self.stream.digest(),
            offset: 0,
            compressed_size: size,
            uncompressed_size: self.plain,
        })
    }

    fn information(&mut self) -> Result<(Vec<u8>, ci::CiTable), WriteError> {
        if self.batches.is_empty() {
            return Ok((ci::write_entries(&self.chunks)?, ci::CiTable::default()));
        }
        let mut all = ci::ChunkInformation {
            chunks: std::mem::take(&mut self.chunks),
            batches: std::mem::take(&mut self.batches),
            members: std::mem::take(&mut self.members),
        };
        let written = ci::write(&all);
        self.chunks = std::mem::take(&mut all.chunks);
        self.batches = all.batches;
        Ok(written?)
    }

    fn write_ci(&mut self, entries: &mut Vec<TocEntry>) -> Result<CiLocation, WriteError> {
        let (payload, table) = self.information()?;
        let (stored, compressor) = tail::shrink(section::BLOB_META, &payload)?;
        let location = CiLocation {
            compressor,
            offset: self.stream.position(),
            compressed_size: stored.len() as u64,
            uncompressed_size: payload.len() as u64,
        };
        self.stream.write(&stored)?;
        entries.push(TocEntry {
            name: section::BLOB_META.to_owned(),
            compressor,
            digest: Sha256::of(&payload),
            offset: location.offset,
            compressed_size: location.compressed_size,
            uncompressed_size: location.uncompressed_size,
        });
        let features = self.features();
        let header = ci::CiHeader { features, entries: self.count(), location, table }.write();
        entries.push(tail::raw_entry(
            section::BLOB_META_HEADER,
            self.stream.position(),
            header.len() as u64,
            Sha256::of(&header),
        ));
        self.stream.write(&header)?;
        let size = location.compressed_size + header.len() as u64;
        self.stream.write(&section::write(section::BLOB_META, size))?;
        Ok(location)
    }

    fn write_digests(&mut self) -> Result<TocEntry, WriteError> {
        let (offset, size) = (self.stream.position(), 32 * self.chunks.len() as u64);
        let mut hash = Sha256::default();
        // In pieces: there can be half a gigabyte of them.
        for chunks in self.chunks.chunks(4096) {
            let digests: Vec<u8> = chunks.iter().flat_map(|chunk| chunk.digest.0).collect();
            hash.update(&digests);
            self.stream.write(&digests)?;
        }
        self.stream.write(&section::write(section::BLOB_DIGEST, size))?;
        Ok(tail::raw_entry(section::BLOB_DIGEST, offset, size, hash.digest()))
    }
}

/// All chunks by number. Taken from the back in a few pieces whose memory is given back on the way, so that there are
/// never two copies of a list that can take a gigabyte.
fn table_of(mut chunks: Vec<Chunk>) -> ChunkTable {
    let piece = chunks.len() / 8 + 1;
    let mut records = Vec::with_capacity(chunks.len());
    while !chunks.is_empty() {
        let (start, end) = (chunks.len().saturating_sub(piece), chunks.len());
        // Numbers stay below 2²⁴.
        records.extend((start as u32..end as u32).zip(chunks.drain(start..)).rev());
        chunks.shrink_to_fit();
    }
    ChunkTable::from_unsorted(records)
}

fn forget_checksum(chunk: &mut Chunk) {
    chunk.flags.remove(ChunkFlags::HAS_CRC32);
    chunk.crc32 = 0;
}

/// Of the blob as its own bootstrap lists it.
pub(super) const FEATURES: BlobFeatures = BlobFeatures::ALIGNED
    .union(BlobFeatures::INLINED_FS_META)
    .union(BlobFeatures::INLINED_CHUNK_DIGEST)
    .union(BlobFeatures::HAS_TAR_HEADER)
    .union(BlobFeatures::HAS_TOC)
    .union(BlobFeatures::CAP_TAR_TOC);

/// The same in v5, where nothing says whether chunks are aligned.
const FEATURES_V5: BlobFeatures =
    BlobFeatures::INLINED_FS_META.union(BlobFeatures::HAS_TAR_HEADER).union(BlobFeatures::CAP_TAR_TOC);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const DIGEST: ChunkDigest = ChunkDigest([1; 32]);

    fn writer(limits: Limits) -> BlobWriter<Vec<u8>> {
        BlobWriter::with_limits(Vec::new(), BlobOptions::default(), limits)
    }

    #[test]
    fn limits_are_errors() {
        let mut full = writer(Limits { chunks: 2, ..Limits::FORMAT });
        assert_eq!([0, 1].map(|_| full.append(DIGEST, 5, b"abc").unwrap()), [0, 1]);
        assert!(matches!(full.append(DIGEST, 5, b"abc"), Err(WriteError::TooManyChunks { limit: 2 })));
        assert!(matches!(full.append(DIGEST, 5, b"abc"), Err(WriteError::Abandoned)));
        assert!(matches!(full.finish_data(), Err(WriteError::Abandoned)));

        let mut full = writer(Limits { stored: 5, ..Limits::FORMAT });
        full.append(DIGEST, 5, b"abc").unwrap();
        assert!(matches!(full.append(DIGEST, 5, b"abc"), Err(WriteError::TooManyStoredBytes { limit: 5 })));

        let mut full = writer(Limits { plain: 8192, ..Limits::FORMAT });
        full.append(DIGEST, 1, b"a").unwrap();
        full.append(DIGEST, 4096, b"a").unwrap();
        assert!(matches!(full.append(DIGEST, 1, b"a"), Err(WriteError::TooManyPlainBytes { limit: 8192 })));
    }

    #[test]
    fn lengths_that_no_chunk_has() {
        let large = limits::MAX_CHUNK_SIZE + 1;
        for (plain, stored) in [(0, &b"a"[..]), (large, b"a")] {
            let error = writer(Limits::FORMAT).append(DIGEST, plain, stored).unwrap_err();
            assert!(matches!(error, WriteError::ChunkLength { length } if length == plain as usize));
        }
        for (plain, stored) in [(4, &b""[..]), (4, b"abcde")] {
            let error = writer(Limits::FORMAT).append(DIGEST, plain, stored).unwrap_err();
            assert!(matches!(error, WriteError::StoredLength { plain: 4, .. }));
        }
    }

    #[test]
    fn addresses() {
        let mut blob = writer(Limits::FORMAT);
        for (plain, stored) in [(10, &b"0123456789"[..]), (5000, b"abc"), (4096, b"x")] {
            blob.append(DIGEST, plain, stored).unwrap();
        }
        let at = |chunk: &Chunk| (chunk.compressed_offset, chunk.uncompressed_offset, chunk.flags.bits());
        assert_eq!(
            blob.chunks().iter().map(at).collect::<Vec<_>>(),
            [(0, 0, 0), (10, 4096, 1), (13, 12288, 1)]
        );
        let tail = blob.finish_data().unwrap();
        assert_eq!(tail.blob().unwrap().uncompressed_size, 16384);
    }

    #[test]
    fn padded_chunks_lie_where_the_plain_ones_do() {
        let options =
            BlobOptions { padded: true, compressor: crate::Compression::None, ..BlobOptions::default() };
        let mut blob = BlobWriter::new(Vec::new(), options);
        for plain in [&b"0123456789"[..], &[1; 5000], &[2; 4096], &[3]] {
            blob.append(DIGEST, plain.len() as u32, plain).unwrap();
        }
        let at = |chunk: &Chunk| (chunk.compressed_offset, chunk.uncompressed_offset, chunk.compressed_size);
        let places: Vec<_> = blob.chunks().iter().map(at).collect();
        assert_eq!(places, [(0, 0, 10), (4096, 4096, 5000), (12288, 12288, 4096), (16384, 16384, 1)]);
        let (bytes, _) = blob.finish_data().unwrap().finish(b"bootstrap").unwrap();
        assert_eq!(
            (&bytes[..11], &bytes[9095..9098], bytes[16384], bytes[16385]),
            (&b"0123456789\0"[..], &[1, 0, 0][..], 3, 0)
        );
        let data = nydus_convert_rafs::meta::section::parse(bytes[20480..].first_chunk().unwrap()).unwrap();
        assert_eq!((data.name.as_str(), data.size), (section::IMAGE_BLOB, 20480));
    }

    #[test]
    fn addresses_of_version_5_have_no_gaps() {
        let options = BlobOptions { version: FsVersion::V5, ..BlobOptions::default() };
        let mut blob = BlobWriter::new(Vec::new(), options);
        for (plain, stored) in [(10, &b"0123456789"[..]), (5000, b"abc"), (4096, b"x")] {
            blob.append(DIGEST, plain, stored).unwrap();
        }
        let at = |chunk: &Chunk| (chunk.compressed_offset, chunk.uncompressed_offset, chunk.flags.bits());
        assert_eq!(blob.chunks().iter().map(at).collect::<Vec<_>>(), [(0, 0, 0), (10, 10, 1), (13, 5010, 1)]);
        let mut tail = blob.finish_data().unwrap();
        tail.section("further", b"section", true).unwrap();
        let blob = tail.blob().unwrap();
        assert_eq!((blob.uncompressed_size, blob.features.bits()), (9106, 0x5000_0002));
        // Readers take the end of the chunk data from this, less a header.
        assert_eq!(blob.compressed_size, 14 + 512);
        let (_, finished) = tail.finish(b"bootstrap").unwrap();
        assert_eq!(finished.blob.unwrap().features.bits(), 0x5000_0000);
        assert_eq!((finished.toc_size, finished.toc_digest), (0, [0; 32]));
        assert_eq!(finished.size, 14 + 512 + 7 + 512 + 9 + 512);
    }
}
