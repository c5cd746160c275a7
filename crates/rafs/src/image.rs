//! What a bootstrap says besides its tree: blobs, chunk size, algorithms.

use bitflags::bitflags;

use crate::{BlobId, ChunkSize, ChunkTable, Compressor, Digester, InodeId, Tree};

bitflags! {
    /// Feature bits of a blob, as stored in the blob table and in the CI header.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct BlobFeatures: u32 {
        /// Uncompressed chunks start at multiples of 4096.
        const ALIGNED = 0x0001;
        /// The bootstrap lies inside this blob.
        const INLINED_FS_META = 0x0002;
        /// CI entries are 24 bytes.
        const CHUNK_INFO_V2 = 0x0004;
        /// The CI is followed by zran tables.
        const ZRAN = 0x0008;
        /// Chunk data and RAFS metadata are different objects.
        const SEPARATE = 0x0010;
        /// The blob holds the digests of its chunks.
        const INLINED_CHUNK_DIGEST = 0x0020;
        /// Chunks lie in a plain tar.
        const TARFS = 0x0040;
        /// The CI is followed by a batch table.
        const BATCH = 0x0080;
        /// Chunks are encrypted.
        const ENCRYPTED = 0x0100;
        /// A synthetic chunk dictionary.
        const IS_CHUNKDICT_GENERATED = 0x0200;
        /// Copies of chunks to prefetch.
        const IS_SEPARATED_WITH_PREFETCH_FILES = 0x0400;
        /// Data lies in a foreign backend.
        const EXTERNAL = 0x0800;
        /// Sections carry tar headers.
        const HAS_TAR_HEADER = 0x1000_0000;
        /// The blob ends with a table of contents.
        const HAS_TOC = 0x2000_0000;
        /// Written by every builder that knows tables of contents.
        const CAP_TAR_TOC = 0x4000_0000;
    }
}

/// The name of a blob in a bootstrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlobName {
    /// The blob that the bootstrap itself lies in: its id is not known when the bootstrap is written.
    ThisBlob,
    /// A blob by its id.
    Id(BlobId),
}

/// Encryption of a blob: read, never written.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub enum Cipher {
    /// Not encrypted.
    #[default]
    None,
    /// AES-128-XTS with the key and tweak that the blob table carries.
    Aes128Xts {
        /// Two AES-128 keys.
        key: [u8; 32],
        /// The first tweak.
        iv: [u8; 16],
    },
}

impl std::fmt::Debug for Cipher {
    /// Keys do not belong into logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Aes128Xts { .. } => "Aes128Xts",
        })
    }
}

/// Where the compression information (CI) of a blob lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CiLocation {
    /// How the payload is stored.
    pub compressor: Compressor,
    /// Offset in the object that holds it.
    pub offset: u64,
    /// Stored length of the payload in bytes.
    pub compressed_size: u64,
    /// Plain length of the payload in bytes.
    pub uncompressed_size: u64,
}

/// One entry of the blob table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// Which object holds the chunks.
    pub name: BlobName,
    /// What the blob holds, and how.
    pub features: BlobFeatures,
    /// How its chunks are stored.
    pub compressor: Compressor,
    /// How its chunks are named.
    pub digester: Digester,
    /// Number of chunks in the blob (the bootstrap may use fewer).
    pub chunk_count: u32,
    /// See the format description: depends on how the blob was written.
    pub compressed_size: u64,
    /// Size of the virtual decompressed blob.
    pub uncompressed_size: u64,
    /// Where the CI lies.
    pub ci: CiLocation,
    /// Length of the table of contents with its header, 0 if not told.
    pub toc_size: u32,
    /// SHA-256 of the table of contents with its header, zero if not told.
    pub toc_digest: [u8; 32],
    /// SHA-256 of the separate metadata blob, zero if there is none.
    pub meta_digest: [u8; 32],
    /// Size of the separate metadata blob, 0 if there is none.
    pub meta_size: u64,
    /// How its chunks are encrypted.
    pub cipher: Cipher,
    /// The chunks that are known.
    pub chunks: ChunkTable,
}

/// A whole bootstrap in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// The files.
    pub tree: Tree,
    /// The blob table, in order.
    pub blobs: Vec<Blob>,
    /// Chunk size of every file.
    pub chunk_size: ChunkSize,
    /// The superblock's compressor (blobs have their own).
    pub compressor: Compressor,
    /// The superblock's digester (blobs have their own).
    pub digester: Digester,
    /// Whether the blobs are plain tars as they are, and files are ranges of them (tarfs). Only RAFS v6 has such images.
    pub tarfs: bool,
    /// What to fetch first, in order.
    pub prefetch: Vec<InodeId>,
}

impl Image {
    /// The digest and place of a chunk that a file uses.
    pub fn chunk(&self, at: crate::ChunkRef) -> Option<&crate::Chunk> {
        self.blobs.get(usize::from(at.blob))?.chunks.get(at.index)
    }
}
