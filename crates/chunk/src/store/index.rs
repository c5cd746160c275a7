//! The index: where chunks are, which blob a layer became.
//!
//! It is made of the objects and can be made of them again. What it says is checked against them before it is used.

use std::fmt;

use nydus_convert_rafs::{BlobId, ChunkDigest};

use super::{LayerKey, StoreError};

/// Numbers the blobs of one store in the order in which they came. A number is never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct BlobNumber(pub u32);

/// What a chunk's stored form depends on beside its bytes: two chunks of the same class with the same digest are stored
/// as the same bytes, and an image may refer to either.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkClass(String);

impl ChunkClass {
    /// Longest name in bytes.
    pub(crate) const MAX_LEN: usize = 255;

    /// From a name; one that is too long is cut to what tells it apart.
    pub fn new(name: &str) -> Self {
        if name.len() <= Self::MAX_LEN {
            return Self(name.to_owned());
        }
        Self(nydus_convert_rafs::Digester::Blake3.digest(name.as_bytes()).to_string())
    }

    /// The name, at most 255 bytes of text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChunkClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a chunk may be. The index compares only a part of the digest: the blob's description has all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IndexedChunk {
    /// Number of the blob in this index.
    pub blob: BlobNumber,
    /// The blob's name.
    pub id: BlobId,
    /// Number of the chunk in the blob.
    pub number: u32,
}

/// A blob that the index is to know.
#[derive(Debug, Clone)]
pub struct NewBlob<'a> {
    /// SHA-256 of the blob.
    pub id: BlobId,
    /// What its chunks are.
    pub class: &'a ChunkClass,
    /// Its chunks by number; those that lie in it by themselves.
    pub chunks: &'a [(ChunkDigest, u32)],
    /// The layers that became this blob.
    pub layers: &'a [LayerKey],
}

/// How much the index knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Number of blobs.
    pub blobs: u64,
    /// Different chunks, of each class.
    pub chunks: u64,
    /// Number of layers that became one of these blobs.
    pub layers: u64,
}

/// Finds chunks and layers. All look-ups come in batches; every change happens whole or not at all, and may be repeated.
pub trait Index: Send + Sync {
    /// Tells this store from others.
    fn id(&self) -> Result<u64, StoreError>;

    /// The number that the next blob gets.
    fn next(&self) -> Result<BlobNumber, StoreError>;

    /// Where chunks of a class may be, in blobs before a number. Of equal chunks the one that came first is known.
    fn find_chunks(
        &self,
        class: &ChunkClass,
        wanted: &[ChunkDigest],
        before: BlobNumber,
    ) -> Result<Vec<Option<IndexedChunk>>, StoreError>;

    /// Which blobs layers became.
    fn find_layers(&self, keys: &[LayerKey]) -> Result<Vec<Option<BlobId>>, StoreError>;

    /// The numbers of blobs.
    fn numbers(&self, blobs: &[BlobId]) -> Result<Vec<Option<BlobNumber>>, StoreError>;

    /// Adds a blob, or to a known one what is new of it; gives its number.
    fn publish(&self, blob: &NewBlob<'_>) -> Result<BlobNumber, StoreError>;

    /// Forgets a blob with these chunks of its class, and the layers that became it. Whether it was known.
    fn forget(&self, blob: BlobId, class: &ChunkClass, chunks: &[ChunkDigest]) -> Result<bool, StoreError>;

    /// Forgets everything but the store's [id](Index::id) and the numbers that were given; it is [partial](Index::is_partial) then.
    fn clear(&self) -> Result<(), StoreError>;

    /// Whether blobs of the store may be unknown to it because it was made anew beside them.
    fn is_partial(&self) -> Result<bool, StoreError>;

    /// All blobs of the store are known to it again.
    fn set_complete(&self) -> Result<(), StoreError>;

    /// All blobs, in the order of their numbers.
    fn blobs(&self) -> Result<Vec<(BlobNumber, BlobId)>, StoreError>;

    /// All layers with the blobs that they became.
    fn layers(&self) -> Result<Vec<(LayerKey, BlobId)>, StoreError>;

    /// Whether a blob was forgotten that had come before `before`, after the number `before` was the next one: then what
    /// was there at that time is not there any more.
    fn has_lost(&self, before: BlobNumber) -> Result<bool, StoreError>;

    /// How much there is.
    fn totals(&self) -> Result<Totals, StoreError>;

    /// An error if anything of it cannot be read or written any more.
    fn check(&self) -> Result<(), StoreError>;

    /// Bytes that it takes where it is kept.
    fn bytes(&self) -> Result<u64, StoreError>;
}

/// What the index compares of a digest, in bytes. With so many, two of a hundred million chunks agree by chance with a
/// probability below 10⁻⁸; the description, which has the whole digest, then says that it is another chunk.
pub(super) const PREFIX: usize = 10;

/// The part of a digest that the index compares.
pub(super) fn prefix(digest: &ChunkDigest) -> [u8; PREFIX] {
    let mut prefix = [0; PREFIX];
    prefix.copy_from_slice(&digest.0[..PREFIX]);
    prefix
}
