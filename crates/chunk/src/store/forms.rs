//! Chunks in the form in which they were stored before.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use nydus_convert_rafs::{Blob, BlobId, Chunk, ChunkDigest};

use super::description::{Front, lies_alone};
use super::{BlobNumber, ChunkClass, ChunkStore, Object, ObjectName, Snapshot, StoreError};

/// Blobs that are open at once; each takes two files.
const MAX_OPEN: usize = 64;

/// Finds chunks of one class. May be asked from several threads at once.
pub struct Forms {
    store: ChunkStore,
    class: ChunkClass,
    before: BlobNumber,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// `None` for one that cannot be used.
    open: HashMap<BlobNumber, Option<Arc<OpenBlob>>>,
    damaged: BTreeSet<BlobId>,
}

struct OpenBlob {
    number: BlobNumber,
    id: BlobId,
    data: Object,
    description: Object,
    front: Front,
}

/// A chunk in a blob of the store.
#[derive(Clone)]
pub struct StoredForm {
    blob: Arc<OpenBlob>,
    number: u32,
    chunk: Chunk,
    check: u32,
}

impl StoredForm {
    /// The blob, without its chunks.
    pub(crate) fn blob(&self) -> Option<&Blob> {
        self.blob.front.head.as_ref()
    }

    /// The number of the blob in the store.
    pub(crate) fn blob_number(&self) -> BlobNumber {
        self.blob.number
    }

    /// The name of the blob.
    pub fn blob_id(&self) -> BlobId {
        self.blob.id
    }

    /// The number of the chunk in its blob.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Digest, lengths and place of the chunk in its blob.
    pub fn chunk(&self) -> &Chunk {
        &self.chunk
    }

    /// Bytes of the stored form.
    pub fn length(&self) -> usize {
        self.chunk.compressed_size as usize
    }

    /// Whether the stored form is the plain bytes.
    pub(crate) fn is_raw(&self) -> bool {
        self.chunk.compressed_size == self.chunk.uncompressed_size
    }

    /// The stored form of [`StoredForm::length`] bytes; `false` if it is not what it was when it was stored.
    pub fn read(&self, buffer: &mut [u8]) -> bool {
        self.blob.data.read_exact_at(buffer, self.chunk.compressed_offset).is_ok()
            && crc32c::crc32c(buffer) == self.check
    }
}

impl ChunkStore {
    /// Looks for chunks of a class, in the blobs that a snapshot has, or all.
    pub fn forms(&self, class: &ChunkClass, snapshot: Option<Snapshot>) -> Forms {
        let before = snapshot.map_or(BlobNumber(u32::MAX), Snapshot::before);
        Forms { store: self.clone(), class: class.clone(), before, state: Mutex::default() }
    }
}

impl Forms {
    /// The stored forms of chunks by digest and plain length, those that there are.
    pub fn find(&self, wanted: &[(ChunkDigest, u32)]) -> Result<Vec<Option<StoredForm>>, StoreError> {
        let digests: Vec<ChunkDigest> = wanted.iter().map(|(digest, _)| *digest).collect();
        let found = self.store.index().find_chunks(&self.class, &digests, self.before)?;
        let form = |(found, (digest, length)): (Option<_>, &(ChunkDigest, u32))| {
            let Some(super::IndexedChunk { blob, id, number }) = found else { return Ok(None) };
            let Some(blob) = self.open(blob, id)? else { return Ok(None) };
            let Ok(Some((chunk, check))) = blob.front.record(&blob.description, number) else {
                self.damaged(id);
                return Ok(None);
            };
            // The index compares a part of the digest.
            let is_it = chunk.digest == *digest && chunk.uncompressed_size == *length && lies_alone(&chunk);
            Ok(is_it.then_some(StoredForm { blob, number, chunk, check }))
        };
        found.into_iter().zip(wanted).map(form).collect()
    }

    /// Says that a blob is not what it should be: it is not used any more.
    pub(crate) fn damaged(&self, id: BlobId) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.damaged.insert(id);
        for blob in state.open.values_mut() {
            if blob.as_ref().is_some_and(|blob| blob.id == id) {
                *blob = None;
            }
        }
    }

    /// The blobs that turned out to be damaged, or not to be there.
    pub fn all_damaged(&self) -> Vec<BlobId> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).damaged.iter().copied().collect()
    }

    fn open(&self, number: BlobNumber, id: BlobId) -> Result<Option<Arc<OpenBlob>>, StoreError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(blob) = state.open.get(&number) {
            return Ok(blob.clone());
        }
        if state.open.len() >= MAX_OPEN {
            // Those that cannot be used are remembered: what is found must not change in one conversion.
            state.open.retain(|_, blob| blob.is_none());
        }
        let mut blob = match state.damaged.contains(&id) {
            true => None,
            false => self.open_anew(number, id)?.map(Arc::new),
        };
        if blob.is_none() {
            // As long as the index knows it, it tells of no other place for these chunks.
            state.damaged.insert(id);
        }
        // Equal blobs can be made with different options.
        blob = blob.filter(|blob| blob.front.class == self.class);
        state.open.insert(number, blob.clone());
        Ok(blob)
    }

    /// `None` if a part of it is missing or damaged.
    fn open_anew(&self, number: BlobNumber, id: BlobId) -> Result<Option<OpenBlob>, StoreError> {
        let objects = self.store.objects();
        let guard = objects.publishing()?;
        objects.hold(id)?;
        let data = objects.open(ObjectName::blob(id))?;
        let description = objects.open(ObjectName::description(id))?;
        drop(guard);
        let (Some(data), Some(description)) = (data, description) else { return Ok(None) };
        let Ok(Some(front)) = Front::read(&description) else { return Ok(None) };
        objects.touch(ObjectName::blob(id))?;
        Ok(Some(OpenBlob { number, id, data, description, front }))
    }
}
