//! Chunks that blobs of the store have: whether an image refers to them or gets copies is decided when all are known.
//!
//! ```text
//!   stream    a X b Y c X Z       X, Y: blob 7 of the store has them    Z: blob 9 has it
//!   numbers   0 N 1 N+1 2 N N+2   N = Candidates::FIRST
//!   decided   blob 7 pays, blob 9 does not
//!   numbers   0 F 1 F+1 2 F 3     F = Foreign::FIRST     own blob: a b c Z      elsewhere: X, Y
//! ```

use std::collections::{BTreeMap, HashMap};
use std::io::Write;

use nydus_convert_rafs::{Blob, BlobId, Chunk, ChunkDigest};

use crate::store::{BlobNumber, ChunkStore, ObjectName, StoreError, StoredForm};
use crate::{BlobWriter, Foreign, PackError, Packing};

/// What a blob of the store could save.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Saving {
    /// The blob's number in the store.
    pub blob: BlobNumber,
    /// SHA-256 of the blob.
    pub id: BlobId,
    /// Different chunks of it that the layer has.
    pub chunks: u64,
    /// Stored bytes of these.
    pub stored_bytes: u64,
}

/// A chunk of a blob of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The blob's number in the store.
    pub blob: BlobNumber,
    /// The blob's name.
    pub id: BlobId,
    /// The chunk's number in the blob.
    pub number: u32,
    /// Digest, lengths and place of the chunk in its blob.
    pub chunk: Chunk,
}

/// Chunks of one layer that the store has. Numbers are given out in the order of the stream.
#[derive(Debug, Default)]
pub struct Candidates {
    chunks: Vec<Candidate>,
    numbers: HashMap<(ChunkDigest, u32), u32>,
    heads: BTreeMap<BlobNumber, Blob>,
}

/// What became of [`Candidates`].
#[derive(Debug, Default)]
pub struct Resolved {
    /// The chunks that stay where they are, in the order of their numbers.
    pub elsewhere: Vec<Candidate>,
    /// The blobs that these lie in, without their chunks.
    pub heads: BTreeMap<BlobNumber, Blob>,
}

impl Candidates {
    /// Numbers from here on stand for candidates, as long as nothing is decided.
    pub(crate) const FIRST: u32 = 1 << 31;

    /// The number of a chunk that was found before, or is found now.
    pub(crate) fn number(
        &mut self,
        digest: &ChunkDigest,
        length: u32,
        form: Option<&StoredForm>,
    ) -> Option<u32> {
        if let Some(number) = self.numbers.get(&(*digest, length)) {
            return Some(*number);
        }
        let form = form?;
        let number = u32::try_from(self.chunks.len()).ok()?.checked_add(Self::FIRST)?;
        let (blob, id) = (form.blob_number(), form.blob_id());
        if let std::collections::btree_map::Entry::Vacant(head) = self.heads.entry(blob) {
            head.insert(form.blob()?.clone());
        }
        self.chunks.push(Candidate { blob, id, number: form.number(), chunk: *form.chunk() });
        self.numbers.insert((*digest, length), number);
        Some(number)
    }

    /// What each blob could save, in the order of their numbers.
    pub fn savings(&self) -> Vec<Saving> {
        let mut savings: BTreeMap<BlobNumber, Saving> = BTreeMap::new();
        for Candidate { blob, id, chunk, .. } in &self.chunks {
            let empty = Saving { blob: *blob, id: *id, chunks: 0, stored_bytes: 0 };
            let saving = savings.entry(*blob).or_insert(empty);
            saving.chunks += 1;
            saving.stored_bytes += u64::from(chunk.compressed_size);
        }
        savings.into_values().collect()
    }

    /// Decides: chunks of blobs that do not `pay` are copied into the layer's own blob, behind what it has, as they are
    /// stored. The others get numbers from [`Foreign::FIRST`] on, behind `foreign` chunks that have such numbers already.
    /// Numbers in `packing` are changed accordingly.
    ///
    /// # Errors
    /// A chunk that cannot be read any more, though it could when it was found, is a [`StoreError`].
    pub fn resolve<E, W: Write>(
        self,
        store: &ChunkStore,
        writer: &mut BlobWriter<W>,
        packing: &mut Packing,
        foreign: u32,
        pay: impl Fn(BlobNumber) -> bool,
    ) -> Result<Resolved, PackError<E>> {
        let mut copying = Copying { store, open: None, stored: Vec::new() };
        let mut elsewhere = Vec::new();
        let mut numbers = Vec::with_capacity(self.chunks.len());
        for candidate in self.chunks {
            if pay(candidate.blob) {
                // Below the numbers of candidates, of which there are not more.
                numbers.push(Foreign::FIRST + foreign + elsewhere.len() as u32);
                elsewhere.push(candidate);
                continue;
            }
            let stored = copying.read(&candidate)?;
            let length = candidate.chunk.uncompressed_size;
            numbers.push(writer.append(candidate.chunk.digest, length, stored)?);
            packing.new_chunks += 1;
            packing.copied_chunks += 1;
            packing.new_bytes += u64::from(length);
            packing.stored += stored.len() as u64;
        }
        for index in &mut packing.indexes {
            let nth = index.checked_sub(Self::FIRST);
            if let Some(number) = nth.and_then(|nth| numbers.get(nth as usize)) {
                *index = *number;
            }
        }
        let mut heads = self.heads;
        heads.retain(|blob, _| pay(*blob));
        Ok(Resolved { elsewhere, heads })
    }
}

/// Reads stored forms one by one; neighbours mostly lie in the same blob.
struct Copying<'a> {
    store: &'a ChunkStore,
    open: Option<(BlobId, crate::store::Object)>,
    stored: Vec<u8>,
}

impl Copying<'_> {
    fn read(&mut self, candidate: &Candidate) -> Result<&[u8], StoreError> {
        let name = ObjectName::blob(candidate.id);
        let failed = |source| StoreError::Object { action: "read", name, source };
        let object = match self.open.take().filter(|(id, _)| *id == candidate.id) {
            Some((_, object)) => object,
            None => {
                let gone = || failed(std::io::ErrorKind::NotFound.into());
                self.store.objects().open(name)?.ok_or_else(gone)?
            }
        };
        self.stored.resize(candidate.chunk.compressed_size as usize, 0);
        let read = object.read_exact_at(&mut self.stored, candidate.chunk.compressed_offset);
        self.open = Some((candidate.id, object));
        read.map_err(failed)?;
        Ok(&self.stored)
    }
}
