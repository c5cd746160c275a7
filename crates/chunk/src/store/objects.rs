//! Objects: whole things by name. A ladder of traits, so that a place that can only be read is still of use.

use std::any::Any;
use std::collections::HashSet;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use nydus_convert_rafs::BlobId;

use super::{ObjectKind, ObjectName, StoreError};
use crate::ReadAt;

/// An object, to be read by ranges. Stays readable when the object is removed.
pub type Object = Arc<dyn ReadAt + Send + Sync>;

/// Something that lasts until it is dropped.
pub type Guard = Box<dyn Any + Send>;

/// An object, as lists tell of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Kind and id.
    pub name: ObjectName,
    /// Its length in bytes.
    pub size: u64,
    /// When it was put or used last.
    pub used: SystemTime,
}

/// A place whose objects can be read.
pub trait ReadStore: Send + Sync {
    /// An object; `None` if there is none of that name.
    fn open(&self, name: ObjectName) -> Result<Option<Object>, StoreError>;

    /// The file that holds an object alone and will not be changed, where there is one.
    fn file(&self, _name: ObjectName) -> Option<PathBuf> {
        None
    }

    /// All objects of a kind, in the order of their names.
    fn list(&self, kind: ObjectKind) -> Result<Vec<ObjectInfo>, StoreError>;
}

/// A place that takes objects.
pub trait WriteStore: ReadStore {
    /// A new object, which gets its name when it is complete. Dropped before that, it is forgotten.
    fn begin(&self) -> Result<Box<dyn NewObject>, StoreError>;

    /// Says that an object is used now, for those who remove what was not used for long.
    fn touch(&self, name: ObjectName) -> Result<(), StoreError>;

    /// While the guard lives nothing is removed: what is being put may not be in the index yet, and what was just found
    /// may not be held yet. Not to be kept for long.
    fn publishing(&self) -> Result<Guard, StoreError>;

    /// Keeps a blob from being removed as long as this store is open. To be asked for under the guard of
    /// [`WriteStore::publishing`].
    fn hold(&self, blob: BlobId) -> Result<(), StoreError>;
}

/// A place that objects can be removed from.
pub trait PruneStore: WriteStore {
    /// Waits until nobody publishes. While the guard lives nobody does.
    fn pruning(&self) -> Result<Guard, StoreError>;

    /// The blobs that somebody holds, in this process or another. To be asked for under the guard of
    /// [`PruneStore::pruning`].
    fn held(&self) -> Result<HashSet<BlobId>, StoreError>;

    /// Removes an object, if it is there.
    fn remove(&self, name: ObjectName) -> Result<(), StoreError>;

    /// Removes what processes left unfinished that have ended, unless it is only to be told; gives the number of bytes.
    fn sweep(&self, dry_run: bool) -> Result<u64, StoreError>;
}

/// An object in the making.
pub trait NewObject: Write + Send {
    /// Gives it its name, durably. An object that has this name already is replaced.
    fn finish(self: Box<Self>, name: ObjectName) -> Result<(), StoreError>;
}

/// All of a small object.
pub(super) fn read_all(name: ObjectName, object: &Object) -> Result<Vec<u8>, StoreError> {
    let failed = |source| StoreError::Object { action: "read", name, source };
    let size = object.size().map_err(failed)?;
    let mut bytes = Vec::new();
    let piece = 1 << 20;
    // Memory grows with what is there, not with what the size claims.
    while (bytes.len() as u64) < size {
        let start = bytes.len();
        let length = piece.min(usize::try_from(size - start as u64).unwrap_or(piece));
        bytes.resize(start + length, 0);
        object.read_exact_at(&mut bytes[start..], start as u64).map_err(failed)?;
    }
    Ok(bytes)
}

/// Puts a small object.
pub(super) fn put<S: WriteStore + ?Sized>(
    objects: &S,
    name: ObjectName,
    bytes: &[u8],
) -> Result<(), StoreError> {
    let mut object = objects.begin()?;
    object.write_all(bytes).map_err(|source: io::Error| StoreError::Object {
        action: "write",
        name,
        source,
    })?;
    object.finish(name)
}
