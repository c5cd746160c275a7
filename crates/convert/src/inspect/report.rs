//! What an inspection tells: the JSON of `inspect --json`. Sizes and offsets are in bytes.

use nydus_convert_oci::Annotations;
use nydus_convert_rafs::Place;
use serde::Serialize;

/// All images behind a reference.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// Version of this shape.
    pub schema_version: u32,
    /// The reference as given.
    pub image: String,
    /// The reference, pinned by digest.
    pub reference: String,
    /// What the reference leads to: a manifest or an index.
    pub media_type: String,
    /// What cannot be used, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// The images in order.
    pub images: Vec<InspectedImage>,
}

/// An image of the source: its documents, layers and file system.
#[derive(Debug, Clone, Serialize)]
pub struct InspectedImage {
    /// `os/arch[/variant]`, where known.
    pub platform: Option<String>,
    /// `nydus`, `oci`, or `other` for what is no image to run.
    pub kind: &'static str,
    /// Digest of the manifest.
    pub digest: String,
    /// Media type of the manifest.
    pub media_type: String,
    /// Digest of the config.
    pub config: Option<String>,
    /// Annotations of the manifest.
    pub annotations: Annotations,
    /// Layers in manifest order.
    pub layers: Vec<InspectedLayer>,
    /// Of a Nydus image: what its bootstrap and blobs hold.
    pub file_system: Option<InspectedFileSystem>,
}

/// One layer of a manifest.
#[derive(Debug, Clone, Serialize)]
pub struct InspectedLayer {
    /// Digest as stored.
    pub digest: String,
    /// Media type in the manifest.
    pub media_type: String,
    /// Stored length in bytes.
    pub size: u64,
    /// What the config says of the plain content.
    pub diff_id: Option<String>,
    /// `tar`, `blob` or `bootstrap`.
    pub content: &'static str,
    /// Annotations of the layer.
    pub annotations: Annotations,
}

/// A RAFS file system.
#[derive(Debug, Clone, Serialize)]
pub struct InspectedFileSystem {
    /// Version of RAFS: `5` or `6`.
    pub fs_version: String,
    /// Names of the superblock's flags.
    pub flags: Vec<String>,
    /// The superblock's compressor; blobs have their own.
    pub compressor: String,
    /// Hash that names chunks.
    pub digester: String,
    /// Length of a full chunk in bytes.
    pub chunk_size: u32,
    /// Length of the bootstrap in bytes.
    pub bootstrap_bytes: u64,
    /// Whether the image holds a record of the image that it was made from.
    pub remembers_original: bool,
    /// Tables of the bootstrap.
    pub tables: Vec<InspectedTable>,
    /// Files by type, names of one file counted once.
    pub inodes: InodeCounts,
    /// What deduplication and compression do: uses of chunks, chunks used, bytes.
    pub chunks: Stored,
    /// What is fetched first, as paths.
    pub prefetch: Vec<String>,
    /// The blob table in order.
    pub blobs: Vec<InspectedBlob>,
    /// Every name, if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<InspectedFile>>,
}

/// A table of the bootstrap.
#[derive(Debug, Clone, Serialize)]
pub struct InspectedTable {
    /// What the table holds, in a word.
    pub name: &'static str,
    /// Where it starts, in bytes from the start of the bootstrap.
    pub offset: u64,
    /// Its length in bytes.
    pub size: u64,
}

impl From<&Place> for InspectedTable {
    fn from(&Place { name, offset, size }: &Place) -> Self {
        Self { name, offset, size }
    }
}

/// Numbers of files by type.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct InodeCounts {
    /// Directories, the root included.
    pub directories: u64,
    /// Regular files, names of one file counted once.
    pub files: u64,
    /// Names of regular files and others beyond the first.
    pub further_names: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Character and block devices.
    pub devices: u64,
    /// Fifos and sockets.
    pub pipes: u64,
    /// Plain bytes of all regular files.
    pub file_bytes: u64,
}

/// Chunks as the files of an image use them.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Stored {
    /// Times that a file uses a chunk.
    pub uses: u64,
    /// Different chunks that are used.
    pub used: u64,
    /// Plain bytes of all uses.
    pub use_bytes: u64,
    /// Plain bytes of the different chunks.
    pub plain_bytes: u64,
    /// Their stored bytes; members of a batch count nothing, because only the batch has a stored length.
    pub stored_bytes: u64,
}

/// One entry of the blob table.
#[derive(Debug, Clone, Serialize)]
pub struct InspectedBlob {
    /// Position in the table.
    pub index: usize,
    /// SHA-256 of the object that holds the chunks.
    pub id: String,
    /// Names of the feature bits.
    pub features: Vec<String>,
    /// How chunks are stored.
    pub compressor: String,
    /// How chunks are named.
    pub digester: String,
    /// Chunks in the blob.
    pub chunk_count: u32,
    /// Stored length as the blob table has it.
    pub compressed_size: u64,
    /// Length of the plain address space.
    pub uncompressed_size: u64,
    /// Where the chunk information lies.
    pub chunk_information: Option<BlobSection>,
    /// Id of a metadata blob of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata_blob: Option<String>,
    /// Whether the chunks are encrypted. Keys are not shown.
    pub encrypted: bool,
    /// What the image's files use of it.
    pub used: Stored,
    /// Sections of the blob, if it was opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sections: Option<Vec<BlobSection>>,
    /// Batches, if it was opened.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub batches: Vec<InspectedBatch>,
    /// Every chunk, if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chunks: Option<Vec<InspectedChunk>>,
}

/// A part of a blob.
#[derive(Debug, Clone, Serialize)]
pub struct BlobSection {
    /// Its name, such as `image.blob`.
    pub name: String,
    /// Where it starts, in bytes from the start of the blob.
    pub offset: u64,
    /// Stored length in bytes.
    pub stored: u64,
    /// Plain length in bytes.
    pub plain: u64,
    /// How it is stored.
    pub compressor: String,
}

/// Small chunks that are stored together.
#[derive(Debug, Clone, Serialize)]
pub struct InspectedBatch {
    /// Where it starts, in bytes from the start of the blob.
    pub offset: u64,
    /// Stored length in bytes.
    pub stored: u32,
    /// Plain length of all members together in bytes.
    pub plain: u32,
}

/// One chunk of a blob.
#[derive(Debug, Clone, Serialize)]
pub struct InspectedChunk {
    /// Its number in the blob.
    pub index: u32,
    /// Digest of the plain bytes, where somebody knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Where the stored bytes start, in bytes from the start of the blob.
    pub offset: u64,
    /// Stored length in bytes, 0 for members of a batch.
    pub stored: u32,
    /// Place in the plain address space.
    pub plain_offset: u64,
    /// Plain length in bytes.
    pub plain: u32,
    /// Names of its flags.
    pub flags: Vec<String>,
    /// CRC-32C of the plain bytes, where the blob has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crc32c: Option<String>,
    /// Times that a file of the image uses it.
    pub uses: u64,
}

/// One name of the file system.
#[derive(Debug, Clone, Serialize)]
pub struct InspectedFile {
    /// What `ls` tells.
    #[serde(flatten)]
    pub listed: crate::image::list::Listed,
    /// Its chunks in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub chunks: Vec<ChunkPlace>,
}

/// A chunk by its place.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct ChunkPlace {
    /// Position of the blob in the blob table.
    pub blob: u16,
    /// Number of the chunk in the blob.
    pub index: u32,
}
