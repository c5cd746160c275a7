//! A store in memory: for tests, and for what lasts no longer than one run.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use nydus_convert_rafs::{BlobId, ChunkDigest};

use super::index::{PREFIX, prefix};
use super::{
    BlobNumber, ChunkClass, Guard, Index, IndexedChunk, LayerKey, NewBlob, NewObject, Object, ObjectInfo,
    ObjectKind, ObjectName, PruneStore, ReadStore, StoreError, Totals, WriteStore,
};

/// Objects in memory. Clones are handles to the same objects.
#[derive(Clone, Default)]
pub struct MemoryObjects(Arc<Shared>);

/// The bytes of an object, and when it was used last.
type Kept = (Arc<Vec<u8>>, SystemTime);

#[derive(Default)]
struct Shared {
    objects: Mutex<BTreeMap<ObjectName, Kept>>,
    held: Mutex<HashSet<BlobId>>,
    gate: Gate,
}

/// Lets many publish or one prune.
#[derive(Default)]
struct Gate {
    /// How many publish, or [`PRUNING`].
    publishing: Mutex<usize>,
    changed: Condvar,
}

/// Of one who publishes.
struct Publishing(Arc<Shared>);

/// Of the one who prunes.
struct Pruning(Arc<Shared>);

/// Marks that somebody prunes.
const PRUNING: usize = usize::MAX;

impl Drop for Publishing {
    fn drop(&mut self) {
        *lock(&self.0.gate.publishing) -= 1;
        self.0.gate.changed.notify_all();
    }
}

impl Drop for Pruning {
    fn drop(&mut self) {
        *lock(&self.0.gate.publishing) = 0;
        self.0.gate.changed.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gate {
    /// Waits until the count is as wanted, and changes it.
    fn pass(&self, may: impl Fn(usize) -> bool, change: impl Fn(usize) -> usize) {
        let mut count = lock(&self.publishing);
        while !may(*count) {
            count = self.changed.wait(count).unwrap_or_else(PoisonError::into_inner);
        }
        *count = change(*count);
    }
}

impl ReadStore for MemoryObjects {
    fn open(&self, name: ObjectName) -> Result<Option<Object>, StoreError> {
        Ok(lock(&self.0.objects).get(&name).map(|(bytes, _)| Arc::clone(bytes) as Object))
    }

    fn list(&self, kind: ObjectKind) -> Result<Vec<ObjectInfo>, StoreError> {
        let objects = lock(&self.0.objects);
        let of_kind = objects.iter().filter(|(name, _)| name.kind == kind);
        let info = |(name, (bytes, used)): (&ObjectName, &Kept)| ObjectInfo {
            name: *name,
            size: bytes.len() as u64,
            used: *used,
        };
        Ok(of_kind.map(info).collect())
    }
}

impl WriteStore for MemoryObjects {
    fn begin(&self) -> Result<Box<dyn NewObject>, StoreError> {
        Ok(Box::new(NewBytes { bytes: Vec::new(), home: self.clone() }))
    }

    fn touch(&self, name: ObjectName) -> Result<(), StoreError> {
        if let Some((_, used)) = lock(&self.0.objects).get_mut(&name) {
            *used = SystemTime::now();
        }
        Ok(())
    }

    fn publishing(&self) -> Result<Guard, StoreError> {
        self.0.gate.pass(|count| count != PRUNING, |count| count + 1);
        Ok(Box::new(Publishing(Arc::clone(&self.0))))
    }

    fn hold(&self, blob: BlobId) -> Result<(), StoreError> {
        lock(&self.0.held).insert(blob);
        Ok(())
    }
}

impl PruneStore for MemoryObjects {
    fn pruning(&self) -> Result<Guard, StoreError> {
        self.0.gate.pass(|count| count == 0, |_| PRUNING);
        Ok(Box::new(Pruning(Arc::clone(&self.0))))
    }

    fn held(&self) -> Result<HashSet<BlobId>, StoreError> {
        Ok(lock(&self.0.held).clone())
    }

    fn remove(&self, name: ObjectName) -> Result<(), StoreError> {
        lock(&self.0.objects).remove(&name);
        Ok(())
    }

    fn sweep(&self, _dry_run: bool) -> Result<u64, StoreError> {
        Ok(0)
    }
}

struct NewBytes {
    bytes: Vec<u8>,
    home: MemoryObjects,
}

impl Write for NewBytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl NewObject for NewBytes {
    fn finish(self: Box<Self>, name: ObjectName) -> Result<(), StoreError> {
        lock(&self.home.0.objects).insert(name, (Arc::new(self.bytes), SystemTime::now()));
        Ok(())
    }
}

/// An index in memory. Clones are handles to the same index.
#[derive(Clone, Default)]
pub struct MemoryIndex(Arc<Mutex<Tables>>);

#[derive(Default)]
struct Tables {
    next: u32,
    blobs: BTreeMap<BlobNumber, BlobId>,
    numbers: HashMap<BlobId, BlobNumber>,
    chunks: HashMap<(ChunkClass, [u8; PREFIX]), (BlobNumber, u32)>,
    layers: BTreeMap<LayerKey, BlobId>,
    /// Blobs that were forgotten, and the next number before that.
    lost: Vec<(BlobNumber, BlobNumber)>,
    is_partial: bool,
}

impl Index for MemoryIndex {
    /// There is one of each only as long as it lives.
    fn id(&self) -> Result<u64, StoreError> {
        Ok(Arc::as_ptr(&self.0) as usize as u64)
    }

    fn next(&self) -> Result<BlobNumber, StoreError> {
        Ok(BlobNumber(lock(&self.0).next))
    }

    fn find_chunks(
        &self,
        class: &ChunkClass,
        wanted: &[ChunkDigest],
        before: BlobNumber,
    ) -> Result<Vec<Option<IndexedChunk>>, StoreError> {
        let tables = lock(&self.0);
        let find = |digest: &ChunkDigest| {
            let (blob, number) = *tables.chunks.get(&(class.clone(), prefix(digest)))?;
            let id = *tables.blobs.get(&blob).filter(|_| blob < before)?;
            Some(IndexedChunk { blob, id, number })
        };
        Ok(wanted.iter().map(find).collect())
    }

    fn find_layers(&self, keys: &[LayerKey]) -> Result<Vec<Option<BlobId>>, StoreError> {
        let tables = lock(&self.0);
        Ok(keys.iter().map(|key| tables.layers.get(key).copied()).collect())
    }

    fn numbers(&self, blobs: &[BlobId]) -> Result<Vec<Option<BlobNumber>>, StoreError> {
        let tables = lock(&self.0);
        Ok(blobs.iter().map(|id| tables.numbers.get(id).copied()).collect())
    }

    fn publish(&self, blob: &NewBlob<'_>) -> Result<BlobNumber, StoreError> {
        let mut tables = lock(&self.0);
        let number = match tables.numbers.get(&blob.id) {
            Some(number) => *number,
            None => {
                let number = BlobNumber(tables.next);
                tables.next += 1;
                tables.numbers.insert(blob.id, number);
                tables.blobs.insert(number, blob.id);
                number
            }
        };
        for (digest, chunk) in blob.chunks {
            let key = (blob.class.clone(), prefix(digest));
            let known = tables.chunks.get(&key).is_some_and(|(blob, _)| tables.blobs.contains_key(blob));
            if !known {
                tables.chunks.insert(key, (number, *chunk));
            }
        }
        tables.layers.extend(blob.layers.iter().map(|key| (*key, blob.id)));
        Ok(number)
    }

    fn forget(&self, blob: BlobId, class: &ChunkClass, chunks: &[ChunkDigest]) -> Result<bool, StoreError> {
        let mut tables = lock(&self.0);
        tables.layers.retain(|_, id| *id != blob);
        let Some(number) = tables.numbers.remove(&blob) else { return Ok(false) };
        tables.blobs.remove(&number);
        for digest in chunks {
            let key = (class.clone(), prefix(digest));
            if tables.chunks.get(&key).is_some_and(|(blob, _)| *blob == number) {
                tables.chunks.remove(&key);
            }
        }
        let next = BlobNumber(tables.next);
        tables.lost.push((number, next));
        // What is told of the store from here on is told of another state.
        tables.next += 1;
        Ok(true)
    }

    fn clear(&self) -> Result<(), StoreError> {
        let mut tables = lock(&self.0);
        let next = BlobNumber(tables.next);
        let lost = std::mem::take(&mut tables.lost);
        let lost = lost.into_iter().chain(tables.blobs.keys().map(|number| (*number, next))).collect();
        *tables = Tables { next: next.0 + 1, lost, is_partial: true, ..Tables::default() };
        Ok(())
    }

    fn is_partial(&self) -> Result<bool, StoreError> {
        Ok(lock(&self.0).is_partial)
    }

    fn set_complete(&self) -> Result<(), StoreError> {
        lock(&self.0).is_partial = false;
        Ok(())
    }

    fn blobs(&self) -> Result<Vec<(BlobNumber, BlobId)>, StoreError> {
        Ok(lock(&self.0).blobs.iter().map(|(number, id)| (*number, *id)).collect())
    }

    fn layers(&self) -> Result<Vec<(LayerKey, BlobId)>, StoreError> {
        Ok(lock(&self.0).layers.iter().map(|(key, id)| (*key, *id)).collect())
    }

    fn has_lost(&self, before: BlobNumber) -> Result<bool, StoreError> {
        Ok(lock(&self.0).lost.iter().any(|(number, next)| *number < before && before <= *next))
    }

    fn totals(&self) -> Result<Totals, StoreError> {
        let tables = lock(&self.0);
        let (blobs, chunks, layers) = (tables.blobs.len(), tables.chunks.len(), tables.layers.len());
        Ok(Totals { blobs: blobs as u64, chunks: chunks as u64, layers: layers as u64 })
    }

    fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// It is kept nowhere.
    fn bytes(&self) -> Result<u64, StoreError> {
        Ok(0)
    }
}
