//! The back of a blob: further sections, the bootstrap, in v6 the table of contents, and with them the blob's identity.

use std::borrow::Cow;
use std::io::{Read, Write};

use nydus_convert_rafs::meta::{section, toc, toc::TocEntry};
use nydus_convert_rafs::{Blob, BlobFeatures, BlobId, BlobName, Compressor, FsVersion};

use super::stream::{Stream, WriteError};
use crate::sha256::Sha256;

/// Longest name that a table of contents can hold, in bytes.
const MAX_SECTION_NAME: usize = 16;
/// Level of everything that is not a chunk, whatever the chunks use: the reference builder's.
const META_LEVEL: i32 = 3;
/// Bytes of a streamed section that are held at once.
const PIECE: usize = 256 << 10;

/// A blob whose chunk data is complete.
pub struct BlobTail<W> {
    stream: Stream<W>,
    version: FsVersion,
    entries: Vec<TocEntry>,
    blob: Option<Blob>,
    checks: Vec<u32>,
}

/// What a finished blob is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishedBlob {
    /// SHA-256 of the complete stream.
    pub id: BlobId,
    /// Length of the complete stream in bytes.
    pub size: u64,
    /// The blob as a merged bootstrap lists it: named, its bootstrap no longer its own, and, as the reference has
    /// it, without table of contents. `None` if the layer has no chunk: then no bootstrap lists it.
    pub blob: Option<Blob>,
    /// SHA-256 of the table of contents with its header; zero in v5, which has none.
    pub toc_digest: [u8; 32],
    /// Length of the table of contents with its header in bytes; 0 in v5.
    pub toc_size: u32,
    /// For every chunk the CRC-32C of its stored bytes; 0 for one that lies in a batch.
    pub checks: Vec<u32>,
}

impl<W: Write> BlobTail<W> {
    pub(super) fn new(
        stream: Stream<W>,
        version: FsVersion,
        entries: Vec<TocEntry>,
        (blob, checks): (Option<Blob>, Vec<u32>),
    ) -> Self {
        Self { stream, version, entries, blob, checks }
    }

    /// The blob as the layer's own bootstrap must list it; `None` if the layer has no chunk. Its `compressed_size`
    /// is where the bootstrap will start, so ask after all further sections are written. In v5 it is where the chunk
    /// data and its header end, from which readers take the end of the chunk data.
    pub fn blob(&self) -> Option<&Blob> {
        self.blob.as_ref()
    }

    /// Writes a further section; clients skip what they do not know. With `compress` it becomes a zstd frame, if
    /// that is smaller and there is a table of contents to say so. The name has 1 to 16 bytes, none of them NUL.
    pub fn section(&mut self, name: &str, bytes: &[u8], compress: bool) -> Result<(), WriteError> {
        self.check_name(name)?;
        self.write_section(name, bytes, compress)?;
        self.move_bootstrap();
        Ok(())
    }

    /// Writes a further section of exactly `length` bytes as it comes from `source`, uncompressed and never held as
    /// a whole. What `source` has beyond that is not touched. After an error the blob cannot be continued.
    pub fn section_from(&mut self, name: &str, length: u64, mut source: impl Read) -> Result<(), WriteError> {
        self.check_name(name)?;
        let offset = self.stream.position();
        let mut hash = Sha256::default();
        let mut buffer = vec![0; PIECE.min(length as usize)];
        let mut left = length;
        while left > 0 {
            let piece = &mut buffer[..left.min(PIECE as u64) as usize];
            if let Err(source) = source.read_exact(piece) {
                self.stream.abandon();
                let name = name.to_owned();
                return Err(WriteError::SectionSource { name, at: length - left, length, source });
            }
            hash.update(piece);
            self.stream.write(piece)?;
            left -= piece.len() as u64;
        }
        self.entries.push(raw_entry(name, offset, length, hash.digest()));
        self.stream.write(&section::write(name, length))?;
        self.move_bootstrap();
        Ok(())
    }

    fn check_name(&self, name: &str) -> Result<(), WriteError> {
        let reserved = [
            section::IMAGE_BLOB,
            section::BLOB_META,
            section::BLOB_META_HEADER,
            section::BLOB_DIGEST,
            section::IMAGE_BOOT,
            section::TOC,
        ];
        let fits = (1..=MAX_SECTION_NAME).contains(&name.len()) && !name.contains('\0');
        if !fits || reserved.contains(&name) || self.entries.iter().any(|entry| entry.name == name) {
            return Err(WriteError::SectionName { name: name.to_owned() });
        }
        Ok(())
    }

    /// The bootstrap will start behind what was written last.
    fn move_bootstrap(&mut self) {
        if let (Some(blob), FsVersion::V6) = (&mut self.blob, self.version)
            && !blob.features.contains(BlobFeatures::SEPARATE)
        {
            blob.compressed_size = self.stream.position();
        }
    }

    /// Writes the layer's bootstrap and the table of contents, flushes the sink and gives it back.
    pub fn finish(mut self, bootstrap: &[u8]) -> Result<(W, FinishedBlob), WriteError> {
        self.write_section(section::IMAGE_BOOT, bootstrap, true)?;
        let (toc_digest, toc_size) = match self.version {
            FsVersion::V5 => ([0; 32], 0),
            FsVersion::V6 => self.write_table()?,
        };
        let id = BlobId(self.stream.digest());
        let size = self.stream.position();
        let blob = self.blob.map(|blob| {
            let blob = Blob { features: blob.features.difference(BlobFeatures::INLINED_FS_META), ..blob };
            // Its chunks lie elsewhere: the blob has the name of that place, and tells of this one.
            match blob.features.contains(BlobFeatures::SEPARATE) {
                true => Blob { meta_digest: id.0, meta_size: size, ..blob },
                false => Blob { name: BlobName::Id(id), ..blob },
            }
        });
        let finished = FinishedBlob { id, size, blob, toc_digest, toc_size, checks: self.checks };
        Ok((self.stream.finish()?, finished))
    }

    /// Gives the digest and the length of the table with its header.
    fn write_table(&mut self) -> Result<([u8; 32], u32), WriteError> {
        let mut table = toc::write(&self.entries)?;
        table.extend(section::write(section::TOC, table.len() as u64));
        self.stream.write(&table)?;
        // A handful of entries of 128 bytes.
        Ok((Sha256::of(&table), table.len() as u32))
    }

    fn write_section(&mut self, name: &str, bytes: &[u8], compress: bool) -> Result<(), WriteError> {
        let (stored, compressor) = if compress && self.version == FsVersion::V6 {
            shrink(name, bytes)?
        } else {
            (Cow::Borrowed(bytes), Compressor::None)
        };
        self.entries.push(TocEntry {
            name: name.to_owned(),
            compressor,
            digest: Sha256::of(bytes),
            offset: self.stream.position(),
            compressed_size: stored.len() as u64,
            uncompressed_size: bytes.len() as u64,
        });
        self.stream.write(&stored)?;
        self.stream.write(&section::write(name, stored.len() as u64))
    }
}

/// A zstd frame of `bytes`, or the bytes themselves if it is not smaller.
pub(super) fn shrink<'a>(name: &str, bytes: &'a [u8]) -> Result<(Cow<'a, [u8]>, Compressor), WriteError> {
    let stored = zstd::bulk::compress(bytes, META_LEVEL)
        .map_err(|source| WriteError::Compress { name: name.to_owned(), source })?;
    if stored.len() < bytes.len() {
        Ok((Cow::Owned(stored), Compressor::Zstd))
    } else {
        Ok((Cow::Borrowed(bytes), Compressor::None))
    }
}

/// The entry of a section that is stored as it is.
pub(super) fn raw_entry(name: &str, offset: u64, size: u64, digest: [u8; 32]) -> TocEntry {
    TocEntry {
        name: name.to_owned(),
        compressor: Compressor::None,
        digest,
        offset,
        compressed_size: size,
        uncompressed_size: size,
    }
}
