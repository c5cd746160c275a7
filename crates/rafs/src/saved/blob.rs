//! A blob's entry in the blob table, and its chunks, in structures of fixed size.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{MAGIC_BLOB, SavedError};
use crate::{
    Blob, BlobFeatures, BlobId, BlobName, Chunk, ChunkDigest, ChunkFlags, ChunkTable, CiLocation, Cipher,
    Compressor, Digester,
};

const BLOB: &str = "saved blob";
const CHUNK: &str = "saved chunk";

const THIS_BLOB: u32 = 0;
const BY_ID: u32 = 1;

/// | offset | size | field |
/// |---|---|---|
/// | 0 | 4 | magic, version |
/// | 4 | 4 | name: 0 the blob that the bootstrap lies in, 1 by id |
/// | 8 | 32 | id; zero if there is none |
/// | 40 | 4 | features |
/// | 44 | 4 | compressor |
/// | 48 | 4 | digester |
/// | 52 | 4 | number of chunks |
/// | 56 | 8 | compressed size |
/// | 64 | 8 | uncompressed size |
/// | 72 | 8 | offset of the chunk information |
/// | 80 | 8 | its stored length |
/// | 88 | 8 | its plain length |
/// | 96 | 4 | its compressor |
/// | 100 | 4 | length of the table of contents |
/// | 104 | 32 | its digest |
/// | 136 | 32 | digest of the metadata blob |
/// | 168 | 8 | its size |
///
/// Algorithms and features have the numbers that they have in blob tables.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawBlob {
    magic: [u8; 4],
    name: U32,
    id: [u8; 32],
    features: U32,
    compressor: U32,
    digester: U32,
    chunk_count: U32,
    compressed_size: U64,
    uncompressed_size: U64,
    ci_offset: U64,
    ci_compressed_size: U64,
    ci_uncompressed_size: U64,
    ci_compressor: U32,
    toc_size: U32,
    toc_digest: [u8; 32],
    meta_digest: [u8; 32],
    meta_size: U64,
}
const _: () = assert!(size_of::<RawBlob>() == 176);

/// | offset | size | field |
/// |---|---|---|
/// | 0 | 32 | digest |
/// | 32 | 4 | flags |
/// | 36 | 4 | stored length |
/// | 40 | 4 | plain length |
/// | 44 | 8 | place in the blob |
/// | 52 | 8 | place in the decompressed blob |
/// | 60 | 4 | CRC-32C |
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawChunk {
    digest: [u8; 32],
    flags: U32,
    compressed_size: U32,
    uncompressed_size: U32,
    compressed_offset: U64,
    uncompressed_offset: U64,
    crc32: U32,
}
const _: () = assert!(size_of::<RawChunk>() == Chunk::SAVED_LEN);

impl Blob {
    /// All fields but the chunks, for [`Blob::parse_head`]. An encrypted blob is an error: keys are written nowhere.
    pub fn write_head(&self) -> Result<Vec<u8>, SavedError> {
        if self.cipher != Cipher::None || self.features.contains(BlobFeatures::ENCRYPTED) {
            return Err(SavedError::Encrypted);
        }
        let (name, id) = match self.name {
            BlobName::ThisBlob => (THIS_BLOB, [0; 32]),
            BlobName::Id(BlobId(id)) => (BY_ID, id),
        };
        let raw = RawBlob {
            magic: MAGIC_BLOB,
            name: name.into(),
            id,
            features: self.features.bits().into(),
            compressor: self.compressor.id().into(),
            digester: self.digester.id().into(),
            chunk_count: self.chunk_count.into(),
            compressed_size: self.compressed_size.into(),
            uncompressed_size: self.uncompressed_size.into(),
            ci_offset: self.ci.offset.into(),
            ci_compressed_size: self.ci.compressed_size.into(),
            ci_uncompressed_size: self.ci.uncompressed_size.into(),
            ci_compressor: self.ci.compressor.id().into(),
            toc_size: self.toc_size.into(),
            toc_digest: self.toc_digest,
            meta_digest: self.meta_digest,
            meta_size: self.meta_size.into(),
        };
        Ok(raw.as_bytes().to_vec())
    }

    /// What [`Blob::write_head`] wrote, without chunks.
    pub fn parse_head(bytes: &[u8]) -> Result<Self, SavedError> {
        let raw = RawBlob::read_from_bytes(bytes);
        let raw = raw.ok().filter(|raw| raw.magic == MAGIC_BLOB);
        let raw = raw.ok_or(SavedError::Magic { structure: BLOB })?;
        let refuse = |offset, field, value: U32| SavedError::Field {
            structure: BLOB,
            offset,
            field,
            value: value.get().into(),
        };
        let name = match raw.name.get() {
            THIS_BLOB if raw.id == [0; 32] => BlobName::ThisBlob,
            BY_ID => BlobName::Id(BlobId(raw.id)),
            _ => return Err(refuse(4, "name", raw.name)),
        };
        let features = BlobFeatures::from_bits(raw.features.get());
        let features = features.ok_or_else(|| refuse(40, "features", raw.features))?;
        if features.contains(BlobFeatures::ENCRYPTED) {
            return Err(SavedError::Encrypted);
        }
        let compressor =
            |offset, id: U32| Compressor::from_id(id.get()).ok_or_else(|| refuse(offset, "compressor", id));
        let digester = Digester::from_id(raw.digester.get());
        Ok(Self {
            name,
            features,
            compressor: compressor(44, raw.compressor)?,
            digester: digester.ok_or_else(|| refuse(48, "digester", raw.digester))?,
            chunk_count: raw.chunk_count.get(),
            compressed_size: raw.compressed_size.get(),
            uncompressed_size: raw.uncompressed_size.get(),
            ci: CiLocation {
                compressor: compressor(96, raw.ci_compressor)?,
                offset: raw.ci_offset.get(),
                compressed_size: raw.ci_compressed_size.get(),
                uncompressed_size: raw.ci_uncompressed_size.get(),
            },
            toc_size: raw.toc_size.get(),
            toc_digest: raw.toc_digest,
            meta_digest: raw.meta_digest,
            meta_size: raw.meta_size.get(),
            cipher: Cipher::None,
            chunks: ChunkTable::default(),
        })
    }
}

impl Chunk {
    /// Length of a saved chunk in bytes.
    pub const SAVED_LEN: usize = 64;

    /// All fields, for [`Chunk::parse_saved`].
    pub fn write_saved(&self) -> [u8; Self::SAVED_LEN] {
        let raw = RawChunk {
            digest: self.digest.0,
            flags: self.flags.bits().into(),
            compressed_size: self.compressed_size.into(),
            uncompressed_size: self.uncompressed_size.into(),
            compressed_offset: self.compressed_offset.into(),
            uncompressed_offset: self.uncompressed_offset.into(),
            crc32: self.crc32.into(),
        };
        zerocopy::transmute!(raw)
    }

    /// What [`Chunk::write_saved`] wrote. Only the flags are checked: whether the chunk lies inside a blob is known to who
    /// has the blob.
    pub fn parse_saved(bytes: &[u8; Self::SAVED_LEN]) -> Result<Self, SavedError> {
        let raw: RawChunk = zerocopy::transmute!(*bytes);
        let bits = raw.flags.get();
        let flags = ChunkFlags::from_bits(bits).ok_or(SavedError::Field {
            structure: CHUNK,
            offset: 32,
            field: "flags",
            value: bits.into(),
        })?;
        Ok(Self {
            digest: ChunkDigest(raw.digest),
            flags,
            compressed_size: raw.compressed_size.get(),
            uncompressed_size: raw.uncompressed_size.get(),
            compressed_offset: raw.compressed_offset.get(),
            uncompressed_offset: raw.uncompressed_offset.get(),
            crc32: raw.crc32.get(),
        })
    }
}
