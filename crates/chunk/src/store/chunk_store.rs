//! Objects and index together.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nydus_convert_rafs::BlobId;
use thiserror::Error;

use super::layer::LayerObject;
use super::objects::{put, read_all};
use super::{
    BlobNumber, ChunkClass, Description, Directory, Index, LayerKey, MemoryIndex, MemoryObjects, NewBlob,
    NewObject, Object, ObjectKind, ObjectName, PruneStore, StoreError, StoredImage, Totals,
};

/// Bytes read at once.
const PIECE: usize = 256 << 10;

/// A chunk store. Clones are handles to the same store.
#[derive(Clone)]
pub struct ChunkStore {
    objects: Arc<dyn PruneStore>,
    index: Arc<dyn Index>,
}

/// A layer that is in the store.
pub struct StoredLayer {
    /// SHA-256 of the blob that the layer became.
    pub blob: BlobId,
    /// Length of the blob in bytes.
    pub size: u64,
    /// The blob's bytes. They are what they should be if [`StoredLayer::is_sound`] says so, or their SHA-256.
    pub data: Object,
    /// A file of its own that the blob lies in, where there is one.
    pub file: Option<PathBuf>,
    check: u32,
    /// The blob's chunks.
    pub description: Description,
    /// What merging needs, as it was published.
    pub body: Vec<u8>,
}

impl StoredLayer {
    /// Whether the blob is what was published, by its checksum (CRC-32C): that finds damage, in a fraction of the time
    /// that its digest takes.
    pub fn is_sound(&self) -> bool {
        let mut piece = vec![0; PIECE];
        let (mut at, mut check) = (0, 0);
        while at < self.size {
            let length = usize::try_from(self.size - at).map_or(PIECE, |left| left.min(PIECE));
            let Some(piece) = piece.get_mut(..length) else { return false };
            if self.data.read_exact_at(piece, at).is_err() {
                return false;
            }
            check = crc32c::crc32c_append(check, piece);
            at += length as u64;
        }
        check == self.check
    }
}

/// The state of a store at some time: all blobs that it had then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    store: u64,
    before: BlobNumber,
}

/// Why a snapshot cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SnapshotError {
    /// It is not the name of one.
    #[error("'{text}' is not the name of a snapshot of a chunk store, as reports tell it")]
    Text {
        /// What was given.
        text: String,
    },
    /// It is one of another store.
    #[error("the snapshot {snapshot} is one of another chunk store")]
    OtherStore {
        /// The snapshot.
        snapshot: Snapshot,
    },
    /// The store was never in that state.
    #[error("the chunk store has not come to the snapshot {snapshot} yet")]
    Future {
        /// The snapshot.
        snapshot: Snapshot,
    },
    /// Some of it was removed or was damaged.
    #[error("blobs of the snapshot {snapshot} are not in the chunk store any more")]
    Lost {
        /// The snapshot.
        snapshot: Snapshot,
    },
}

/// `0123456789abcdef-17`
impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.store, self.before.0)
    }
}

impl std::str::FromStr for Snapshot {
    type Err = SnapshotError;

    fn from_str(text: &str) -> Result<Self, SnapshotError> {
        let parsed = text.split_once('-').and_then(|(store, before)| {
            let store = u64::from_str_radix(store, 16).ok().filter(|_| store.len() == 16)?;
            Some(Self { store, before: BlobNumber(before.parse().ok()?) })
        });
        parsed.ok_or_else(|| SnapshotError::Text { text: text.to_owned() })
    }
}

impl Snapshot {
    /// The number that the next blob had then.
    pub const fn before(self) -> BlobNumber {
        self.before
    }
}

impl ChunkStore {
    /// Of any objects and index that belong together.
    pub fn new(objects: Arc<dyn PruneStore>, index: Arc<dyn Index>) -> Self {
        Self { objects, index }
    }

    /// In a directory; one that is empty or not there becomes a store.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let directory = Directory::open(dir)?;
        let index = directory.index()?;
        Ok(Self::new(Arc::new(directory), Arc::new(index)))
    }

    /// In a directory that is a store already.
    pub fn open_existing(dir: &Path) -> Result<Self, StoreError> {
        let directory = Directory::open_existing(dir)?;
        let index = directory.index()?;
        Ok(Self::new(Arc::new(directory), Arc::new(index)))
    }

    /// The same, to make its index anew with [`ChunkStore::verify`]: one that cannot be opened any more is no obstacle. The
    /// index is removed, or, as long as others use the store and so can open it, emptied by verifying.
    pub fn open_to_rebuild(dir: &Path) -> Result<Self, StoreError> {
        let directory = Directory::open_existing(dir)?;
        let removed = directory.remove_index();
        let index = match (removed, directory.index()) {
            (Ok(()) | Err(StoreError::InUse { .. }), Ok(index)) => index,
            (Err(error), _) | (Ok(()), Err(error)) => return Err(error),
        };
        Ok(Self::new(Arc::new(directory), Arc::new(index)))
    }

    /// In memory, for as long as it lives.
    pub fn in_memory() -> Self {
        Self::new(Arc::new(MemoryObjects::default()), Arc::new(MemoryIndex::default()))
    }

    /// The objects: blobs, their descriptions, layers, results.
    pub fn objects(&self) -> &dyn PruneStore {
        self.objects.as_ref()
    }

    /// The index, which finds chunks and layers.
    pub fn index(&self) -> &dyn Index {
        self.index.as_ref()
    }

    /// A blob in the making, for [`ChunkStore::publish`].
    pub fn begin(&self) -> Result<Box<dyn NewObject>, StoreError> {
        self.objects.begin()
    }

    /// Takes in a blob whose bytes were written to `data`, with their CRC-32C, and what became this blob: a layer by its
    /// key, with what merging needs. The caller answers for the names. May be repeated; what is there is replaced.
    pub fn publish(
        &self,
        (id, size, check): (BlobId, u64, u32),
        data: Box<dyn NewObject>,
        description: &Description,
        layer: Option<(LayerKey, &[u8])>,
    ) -> Result<BlobNumber, StoreError> {
        let described = description.write().map_err(|error| StoreError::Object {
            action: "write",
            name: ObjectName::description(id),
            source: std::io::Error::other(error),
        })?;
        let guard = self.objects.publishing()?;
        data.finish(ObjectName::blob(id))?;
        put(self.objects.as_ref(), ObjectName::description(id), &described)?;
        if let Some((key, body)) = layer {
            let object = LayerObject { blob: id, size, check, body: body.to_vec() };
            put(self.objects.as_ref(), key.object(), &object.write())?;
        }
        let layers: Vec<LayerKey> = layer.iter().map(|(key, _)| *key).collect();
        let chunks = description.alone();
        let number = self.index.publish(&NewBlob {
            id,
            class: &description.class,
            chunks: &chunks,
            layers: &layers,
        })?;
        drop(guard);
        Ok(number)
    }

    /// A layer that was published, if all of it is there. It is held from now on.
    pub fn find_layer(&self, key: LayerKey) -> Result<Option<StoredLayer>, StoreError> {
        let Some(Some(blob)) = self.index.find_layers(&[key])?.pop() else { return Ok(None) };
        let guard = self.objects.publishing()?;
        self.objects.hold(blob)?;
        let layer = self.objects.open(key.object())?;
        let data = self.objects.open(ObjectName::blob(blob))?;
        let description = self.objects.open(ObjectName::description(blob))?;
        drop(guard);
        let (Some(layer), Some(data), Some(description)) = (layer, data, description) else {
            return Ok(None);
        };
        let Some(layer) = LayerObject::parse(&read_all(key.object(), &layer)?) else { return Ok(None) };
        let Ok(Some(description)) = Description::read(&description) else { return Ok(None) };
        if layer.blob != blob || data.size().ok() != Some(layer.size) {
            return Ok(None);
        }
        self.objects.touch(ObjectName::blob(blob))?;
        let file = self.objects.file(ObjectName::blob(blob));
        let LayerObject { size, check, body, .. } = layer;
        Ok(Some(StoredLayer { blob, size, data, file, check, description, body }))
    }

    /// Keeps a blob from being removed as long as the store is open, also one that is yet to come.
    pub fn hold(&self, id: BlobId) -> Result<(), StoreError> {
        let _guard = self.objects.publishing()?;
        self.objects.hold(id)
    }

    /// What the store has now.
    pub fn snapshot(&self) -> Result<Snapshot, StoreError> {
        // Not in the middle of pruning, which at last finds copies of lost chunks in blobs that were there before.
        let _guard = self.objects.publishing()?;
        Ok(Snapshot { store: self.index.id()?, before: self.index.next()? })
    }

    /// Whether a snapshot is of this store, and all of it is there still.
    pub fn check_snapshot(&self, snapshot: Snapshot) -> Result<Result<(), SnapshotError>, StoreError> {
        let now = self.snapshot()?;
        Ok(if snapshot.store != now.store {
            Err(SnapshotError::OtherStore { snapshot })
        } else if snapshot.before > now.before {
            Err(SnapshotError::Future { snapshot })
        } else if self.index.has_lost(snapshot.before)? {
            Err(SnapshotError::Lost { snapshot })
        } else {
            Ok(())
        })
    }

    /// Forgets a blob, because it is damaged or not wanted: it and its layers are not found any more. Its objects go
    /// with [`ChunkStore::prune`].
    pub fn forget(&self, id: BlobId) -> Result<(), StoreError> {
        // Pruning works with a list of what the index knows.
        let _guard = self.objects.publishing()?;
        self.forget_now(id)
    }

    /// The same for those who have a guard.
    pub(super) fn forget_now(&self, id: BlobId) -> Result<(), StoreError> {
        let (class, chunks) = match self.describe(id)? {
            Some(description) => (description.class.clone(), description.alone()),
            // The index passes over entries of blobs that it does not know.
            None => (ChunkClass::new(""), Vec::new()),
        };
        let digests: Vec<_> = chunks.into_iter().map(|(digest, _)| digest).collect();
        self.index.forget(id, &class, &digests)?;
        Ok(())
    }

    /// The description of a blob, if it is there and sound.
    pub(crate) fn describe(&self, id: BlobId) -> Result<Option<Description>, StoreError> {
        let Some(object) = self.objects.open(ObjectName::description(id))? else { return Ok(None) };
        Ok(Description::read(&object).ok().flatten())
    }

    /// Remembers what a result is made of.
    pub fn put_image(&self, image: &StoredImage) -> Result<(), StoreError> {
        put(self.objects.as_ref(), StoredImage::object(image.id), image.write().as_bytes())
    }

    /// All results that are remembered, the oldest first.
    pub fn images(&self) -> Result<Vec<StoredImage>, StoreError> {
        let mut images = Vec::new();
        for info in self.objects.list(ObjectKind::Image)? {
            let Some(object) = self.objects.open(info.name)? else { continue };
            images.extend(StoredImage::parse(info.name.id, &read_all(info.name, &object)?));
        }
        images.sort_by_key(|image| (image.made, image.id));
        Ok(images)
    }

    /// Forgets a result; its blobs stay until [`ChunkStore::prune`].
    pub fn remove_image(&self, id: [u8; 32]) -> Result<(), StoreError> {
        self.objects.remove(StoredImage::object(id))
    }

    /// How much the index knows.
    pub fn totals(&self) -> Result<Totals, StoreError> {
        self.index.totals()
    }
}

impl fmt::Debug for ChunkStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChunkStore").finish_non_exhaustive()
    }
}

/// The same store, not an equal one.
impl PartialEq for ChunkStore {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.index, &other.index)
    }
}

impl Eq for ChunkStore {}
