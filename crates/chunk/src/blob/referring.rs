//! Writing blobs that hold no chunks of their own, but tell where they lie in a layer of the original image.
//!
//! ```text
//!   CI entries, zran contexts, dictionaries (zstd) ‖ CI header (4096) │ blob.meta header         512
//!   chunk digests, 32 bytes each                                      │ blob.digest header       512
//!   bootstrap (zstd)                                                  │ image.boot header        512
//!   table of contents, 128 bytes each                                 │ rafs.blob.toc header     512
//! ```

use std::io::Write;

use nydus_convert_rafs::meta::ci::{self, ChunkInformation, CiTable};
use nydus_convert_rafs::meta::toc::TocEntry;
use nydus_convert_rafs::meta::zran::{self, Zran};
use nydus_convert_rafs::meta::{MetaError, section};
use nydus_convert_rafs::{
    Blob, BlobFeatures, BlobId, BlobName, Chunk, CiLocation, Cipher, Compressor, Digester, FsVersion, limits,
};

use super::stream::{Stream, WriteError};
use super::tail::{self, BlobTail};
use crate::sha256::Sha256;

/// Of the blob as its own bootstrap lists it; of a gzip layer ZRAN besides.
const FEATURES: BlobFeatures = BlobFeatures::ALIGNED
    .union(BlobFeatures::INLINED_FS_META)
    .union(BlobFeatures::CHUNK_INFO_V2)
    .union(BlobFeatures::SEPARATE)
    .union(BlobFeatures::INLINED_CHUNK_DIGEST)
    .union(BlobFeatures::HAS_TAR_HEADER)
    .union(BlobFeatures::HAS_TOC)
    .union(BlobFeatures::CAP_TAR_TOC);

/// A layer that chunks lie in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OriginalLayer {
    /// SHA-256 of the layer as it is stored.
    pub id: BlobId,
    /// Its stored length in bytes.
    pub size: u64,
}

/// The chunks of an original layer, with SHA-256 digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Referring {
    /// In a gzip stream.
    Gzip(Zran),
    /// In a plain tar: stored raw, each at its offset.
    Plain(Vec<Chunk>),
}

impl Referring {
    /// The chunks by number.
    pub(crate) fn chunks(&self) -> &[Chunk] {
        match self {
            Self::Gzip(zran) => &zran.chunks,
            Self::Plain(chunks) => chunks,
        }
    }

    fn features(&self) -> BlobFeatures {
        match self {
            Self::Gzip(_) => FEATURES | BlobFeatures::ZRAN,
            Self::Plain(_) => FEATURES,
        }
    }

    fn payload(&self) -> Result<(Vec<u8>, CiTable), MetaError> {
        match self {
            Self::Gzip(zran) => zran::write(zran),
            Self::Plain(chunks) => {
                ci::write(&ChunkInformation { chunks: chunks.clone(), ..ChunkInformation::default() })
            }
        }
    }
}

/// Writes a blob that tells of the chunks of `layer`, up to where its bootstrap begins. The payload of the chunk
/// information, some 2 % of the layer, is held as a whole.
pub fn write_referring<W: Write>(
    sink: W,
    layer: OriginalLayer,
    referring: &Referring,
) -> Result<BlobTail<W>, WriteError> {
    let mut stream = Stream::new(sink, limits::MAX_COMPRESSED_BLOB);
    let chunks = referring.chunks();
    let Some(last) = chunks.last() else {
        return Ok(BlobTail::new(stream, FsVersion::V6, Vec::new(), (None, Vec::new())));
    };
    let mut entries = Vec::new();
    let ci = write_ci(&mut stream, &mut entries, referring)?;
    entries.push(write_digests(&mut stream, chunks)?);
    let blob = Blob {
        name: BlobName::Id(layer.id),
        features: referring.features(),
        compressor: Compressor::Gzip,
        digester: Digester::Sha256,
        // The payload was written: there are no more than numbers.
        chunk_count: chunks.len() as u32,
        compressed_size: layer.size,
        uncompressed_size: (last.uncompressed_offset + u64::from(last.uncompressed_size))
            .next_multiple_of(4096),
        ci,
        toc_size: 0,
        toc_digest: [0; 32],
        meta_digest: [0; 32],
        meta_size: 0,
        cipher: Cipher::None,
        chunks: chunks.iter().copied().collect(),
    };
    Ok(BlobTail::new(stream, FsVersion::V6, entries, (Some(blob), Vec::new())))
}

fn write_ci<W: Write>(
    stream: &mut Stream<W>,
    entries: &mut Vec<TocEntry>,
    referring: &Referring,
) -> Result<CiLocation, WriteError> {
    let (payload, table) = referring.payload()?;
    let (stored, compressor) = tail::shrink(section::BLOB_META, &payload)?;
    let location = CiLocation {
        compressor,
        offset: stream.position(),
        compressed_size: stored.len() as u64,
        uncompressed_size: payload.len() as u64,
    };
    stream.write(&stored)?;
    entries.push(TocEntry {
        name: section::BLOB_META.to_owned(),
        compressor,
        digest: Sha256::of(&payload),
        offset: location.offset,
        compressed_size: location.compressed_size,
        uncompressed_size: location.uncompressed_size,
    });
    let (features, count) = (referring.features(), referring.chunks().len() as u32);
    let header = ci::CiHeader { features, entries: count, location, table }.write();
    let (at, size) = (stream.position(), header.len() as u64);
    entries.push(tail::raw_entry(section::BLOB_META_HEADER, at, size, Sha256::of(&header)));
    stream.write(&header)?;
    stream.write(&section::write(section::BLOB_META, location.compressed_size + size))?;
    Ok(location)
}

fn write_digests<W: Write>(stream: &mut Stream<W>, chunks: &[Chunk]) -> Result<TocEntry, WriteError> {
    let offset = stream.position();
    let digests: Vec<u8> = chunks.iter().flat_map(|chunk| chunk.digest.0).collect();
    let size = digests.len() as u64;
    stream.write(&digests)?;
    stream.write(&section::write(section::BLOB_DIGEST, size))?;
    Ok(tail::raw_entry(section::BLOB_DIGEST, offset, size, Sha256::of(&digests)))
}
