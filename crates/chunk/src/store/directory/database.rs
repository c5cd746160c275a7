//! The index as an embedded database, shared by any number of processes.
//!
//! ```text
//!   chunks    class u16 │ first 10 bytes of the digest  ─►  blob u32 │ number u32      20 bytes a chunk, big endian
//!   classes   name                                      ─►  class u16
//!   blobs     number u32                                ─►  id
//!   numbers   id                                        ─►  number u32
//!   layers    key                                       ─►  id
//!   became    id │ key                                  ─►  nothing: the same the other way round
//!   lost      number u32                                ─►  the next number when it was forgotten
//!   meta      "id", "next", "partial"                   ─►  u64
//! ```
//! A layer's chunks are added in one transaction, in the order of their keys: digests are spread evenly, so every page is
//! touched once at most. Memory is bounded by the cache, whatever the size of the database.
//!
//! The database checks little of what it reads, and panics on some damage. That comes out as an error, like damage that it
//! sees; after a failure the file is opened again, since the database refuses everything else.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nydus_convert_rafs::{BlobId, ChunkDigest};
use redb::{
    Builder, ConcurrencyMode, ReadOnlyDatabase, ReadTransaction, ReadableDatabase, ReadableTable,
    ReadableTableMetadata, Table, TableDefinition, TableError, WriteTransaction,
};

use crate::store::index::{PREFIX, prefix};
use crate::store::{BlobNumber, ChunkClass, Index, IndexedChunk, LayerKey, NewBlob, StoreError, Totals};

/// Bytes of pages in memory.
const CACHE: usize = 32 << 20;
const KEY: usize = 2 + PREFIX;

const CHUNKS: TableDefinition<'_, &[u8; KEY], &[u8; 8]> = TableDefinition::new("chunks");
const CLASSES: TableDefinition<'_, &str, u16> = TableDefinition::new("classes");
const BLOBS: TableDefinition<'_, u32, &[u8; 32]> = TableDefinition::new("blobs");
const NUMBERS: TableDefinition<'_, &[u8; 32], u32> = TableDefinition::new("numbers");
const LAYERS: TableDefinition<'_, &[u8; 32], &[u8; 32]> = TableDefinition::new("layers");
const BECAME: TableDefinition<'_, &[u8; 64], ()> = TableDefinition::new("became");
const LOST: TableDefinition<'_, u32, u32> = TableDefinition::new("lost");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// An index in one file.
pub struct Database {
    path: PathBuf,
    /// `None` after a failure.
    database: Mutex<Option<Arc<Handle>>>,
    /// Classes whose numbers are known: they never change.
    classes: Mutex<HashMap<ChunkClass, u16>>,
}

/// The open file. Opening and closing it for writing brings things to the disk, so that is done only by who writes.
enum Handle {
    ForReading(ReadOnlyDatabase),
    ForWriting(redb::Database),
}

impl Handle {
    fn open(path: &Path, to_write: bool) -> Result<Self, StoreError> {
        if !to_write && let Ok(database) = builder().open_read_only(path) {
            return Ok(Self::ForReading(database));
        }
        // One that was not closed is mended by who opens it for writing.
        Ok(Self::ForWriting(builder().open(path).map_err(failed)?))
    }

    fn begin_read(&self) -> Result<ReadTransaction, StoreError> {
        match self {
            Self::ForReading(database) => database.begin_read().map_err(failed),
            Self::ForWriting(database) => database.begin_read().map_err(failed),
        }
    }

    /// `None` if it is open for reading alone.
    fn begin_write(&self) -> Result<Option<WriteTransaction>, StoreError> {
        match self {
            Self::ForReading(_) => Ok(None),
            Self::ForWriting(database) => database.begin_write().map(Some).map_err(failed),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What goes through [`Database::run`], which tells what it is.
fn failed(error: impl Into<redb::Error>) -> StoreError {
    StoreError::Index(Box::new(error.into()))
}

/// A failure of the operating system is no damage.
fn as_reported(path: &Path, error: StoreError) -> StoreError {
    let StoreError::Index(error) = error else { return error };
    let of_content = [io::ErrorKind::UnexpectedEof, io::ErrorKind::InvalidData];
    match error.downcast::<redb::Error>().map(|error| *error) {
        Ok(redb::Error::Io(source)) if !of_content.contains(&source.kind()) => {
            StoreError::Io { action: "use", path: path.to_owned(), source }
        }
        Ok(error) => StoreError::Index(Box::new(error)),
        Err(error) => StoreError::Index(error),
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE).set_concurrency_mode(ConcurrencyMode::MultiWriter);
    builder
}

/// Makes an empty index as `new`, and gives it its name. Where two do so at a time, the first one counts.
fn make(path: &Path, new: &Path, is_partial: bool) -> Result<(), StoreError> {
    let database = Some(Arc::new(Handle::ForWriting(builder().create(new).map_err(failed)?)));
    let (database, classes) = (Mutex::new(database), Mutex::default());
    let index = Database { path: new.to_owned(), database, classes };
    index.write(|transaction| {
        let mut meta = transaction.open_table(META).map_err(failed)?;
        // Random by what the operating system seeds hash maps with.
        meta.insert("id", RandomState::new().hash_one(path)).map_err(failed)?;
        meta.insert("partial", u64::from(is_partial)).map_err(failed)?;
        Ok(())
    })?;
    drop(index);
    match std::fs::hard_link(new, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed(error)),
        _ => path.parent().map_or(Ok(()), super::files::sync_dir),
    }
}

impl Database {
    /// Makes an index at `path`, whole in the directory `unfinished` before it has its name: a process that is killed
    /// meanwhile leaves nothing that others would take for an index.
    pub fn make(path: &Path, unfinished: &Path, is_partial: bool) -> Result<(), StoreError> {
        // A name that no other process or thread takes.
        let new = unfinished.join(format!("index-{:016x}", RandomState::new().hash_one(path)));
        let made = make(path, &new, is_partial);
        let _ = std::fs::remove_file(&new);
        made.map_err(|error| as_reported(path, error))
    }

    /// Opens the index at `path`.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let index = Self { path: path.to_owned(), database: Mutex::default(), classes: Mutex::default() };
        index.run(false, |_| Ok(()))?;
        Ok(index)
    }

    /// The database, which is opened if it is not.
    fn current(&self, to_write: bool) -> Result<Arc<Handle>, StoreError> {
        let mut database = lock(&self.database);
        match &*database {
            Some(handle) if !to_write || matches!(**handle, Handle::ForWriting(_)) => {
                return Ok(Arc::clone(handle));
            }
            Some(_) => {}
            // It may be another file by now.
            None => lock(&self.classes).clear(),
        }
        Ok(Arc::clone(database.insert(Arc::new(Handle::open(&self.path, to_write)?))))
    }

    /// Runs what uses the database, again if it was of no use because something before had failed.
    fn run<T>(&self, to_write: bool, f: impl Fn(&Handle) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let attempt = || {
            let database = self.current(to_write)?;
            let result = f(&database);
            if result.is_err() {
                let mut current = lock(&self.database);
                current.take_if(|current| Arc::ptr_eq(current, &database));
            }
            result
        };
        let caught = || match catch_unwind(AssertUnwindSafe(attempt)) {
            Ok(result) => result,
            Err(panic) => {
                self.close();
                Err(panicked(panic.as_ref()))
            }
        };
        let mut result = caught();
        if matches!(&result, Err(StoreError::Index(error)) if is_previous(error.as_ref())) {
            result = caught();
        }
        result.map_err(|error| as_reported(&self.path, error))
    }

    /// Closes the file, which reads and writes: that too may panic on damage. Whoever needs it opens it again.
    fn close(&self) {
        let database = lock(&self.database).take();
        // There is nothing to add to the error of what was done before.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(database)));
    }

    fn read<T>(&self, find: impl Fn(&ReadTransaction) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.run(false, |database| find(&database.begin_read()?))
    }

    /// Runs `change` in a transaction: all of it happens, or nothing.
    fn write<T>(&self, change: impl Fn(&WriteTransaction) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.run(true, |database| {
            let read_only = || StoreError::Index("it is open for reading alone".into());
            let transaction = database.begin_write()?.ok_or_else(read_only)?;
            let changed = change(&transaction)?;
            transaction.commit().map_err(failed)?;
            Ok(changed)
        })
    }

    fn meta(&self, name: &str) -> Result<Option<u64>, StoreError> {
        self.read(|transaction| {
            let Some(meta) = opened(transaction.open_table(META))? else { return Ok(None) };
            Ok(meta.get(name).map_err(failed)?.map(|value| value.value()))
        })
    }

    /// The number of a class, if it has one.
    fn class(&self, transaction: &ReadTransaction, class: &ChunkClass) -> Result<Option<u16>, StoreError> {
        if let Some(number) = lock(&self.classes).get(class) {
            return Ok(Some(*number));
        }
        let Some(classes) = opened(transaction.open_table(CLASSES))? else { return Ok(None) };
        let found = classes.get(class.as_str()).map_err(failed)?.map(|number| number.value());
        if let Some(number) = found {
            lock(&self.classes).insert(class.clone(), number);
        }
        Ok(found)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.close();
    }
}

fn is_previous(error: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    matches!(error.downcast_ref(), Some(redb::Error::PreviousIo))
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> StoreError {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    StoreError::Index(format!("it is damaged: {}", text.unwrap_or("the database panicked")).into())
}

/// A table, if it was ever written to.
fn opened<T>(table: Result<T, TableError>) -> Result<Option<T>, StoreError> {
    match table {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

fn key(class: u16, digest: &ChunkDigest) -> [u8; KEY] {
    let mut key = [0; KEY];
    key[..2].copy_from_slice(&class.to_be_bytes());
    key[2..].copy_from_slice(&prefix(digest));
    key
}

fn place(blob: u32, number: u32) -> [u8; 8] {
    ((u64::from(blob) << 32) | u64::from(number)).to_be_bytes()
}

fn parse_place(bytes: &[u8; 8]) -> (u32, u32) {
    let both = u64::from_be_bytes(*bytes);
    ((both >> 32) as u32, both as u32)
}

/// The number of a class; it gets one if it has none.
fn class_number(transaction: &WriteTransaction, class: &ChunkClass) -> Result<u16, StoreError> {
    let mut classes = transaction.open_table(CLASSES).map_err(failed)?;
    if let Some(number) = classes.get(class.as_str()).map_err(failed)? {
        return Ok(number.value());
    }
    let too_many = |_| StoreError::Index("it has too many classes of chunks".into());
    let number = u16::try_from(classes.len().map_err(failed)?).map_err(too_many)?;
    classes.insert(class.as_str(), number).map_err(failed)?;
    Ok(number)
}

/// The next number; it is taken.
fn take_number(meta: &mut Table<'_, &'static str, u64>) -> Result<u32, StoreError> {
    let next = meta.get("next").map_err(failed)?.map_or(0, |next| next.value());
    let number = u32::try_from(next).map_err(|_| StoreError::Index("it has too many blobs".into()))?;
    meta.insert("next", next + 1).map_err(failed)?;
    Ok(number)
}

/// The number of a blob; it gets one if it has none.
fn blob_number(transaction: &WriteTransaction, id: &BlobId) -> Result<u32, StoreError> {
    let mut numbers = transaction.open_table(NUMBERS).map_err(failed)?;
    if let Some(number) = numbers.get(&id.0).map_err(failed)? {
        return Ok(number.value());
    }
    let number = take_number(&mut transaction.open_table(META).map_err(failed)?)?;
    numbers.insert(&id.0, number).map_err(failed)?;
    transaction.open_table(BLOBS).map_err(failed)?.insert(number, &id.0).map_err(failed)?;
    Ok(number)
}

fn joined(id: &[u8; 32], key: &[u8; 32]) -> [u8; 64] {
    let mut joined = [0; 64];
    joined[..32].copy_from_slice(id);
    joined[32..].copy_from_slice(key);
    joined
}

/// Forgets the layers that became a blob.
fn forget_layers(transaction: &WriteTransaction, blob: &BlobId) -> Result<(), StoreError> {
    let mut became = transaction.open_table(BECAME).map_err(failed)?;
    let mut layers = transaction.open_table(LAYERS).map_err(failed)?;
    let all = joined(&blob.0, &[0; 32])..=joined(&blob.0, &[0xff; 32]);
    for entry in
        became.extract_from_if::<&[u8; 64], _>(all.start()..=all.end(), |_, ()| true).map_err(failed)?
    {
        let (joined, _) = entry.map_err(failed)?;
        if let Some(key) = joined.value().last_chunk::<32>() {
            layers.remove(key).map_err(failed)?;
        }
    }
    Ok(())
}

impl Index for Database {
    fn id(&self) -> Result<u64, StoreError> {
        Ok(self.meta("id")?.unwrap_or_default())
    }

    fn next(&self) -> Result<BlobNumber, StoreError> {
        // Numbers that are given fit.
        Ok(BlobNumber(self.meta("next")?.unwrap_or_default() as u32))
    }

    fn find_chunks(
        &self,
        class: &ChunkClass,
        wanted: &[ChunkDigest],
        before: BlobNumber,
    ) -> Result<Vec<Option<IndexedChunk>>, StoreError> {
        self.read(|transaction| {
            let nothing = || Ok(vec![None; wanted.len()]);
            let Some(class) = self.class(transaction, class)? else { return nothing() };
            let Some(chunks) = opened(transaction.open_table(CHUNKS))? else { return nothing() };
            let Some(blobs) = opened(transaction.open_table(BLOBS))? else { return nothing() };
            let mut ids: HashMap<u32, Option<BlobId>> = HashMap::new();
            let mut found = Vec::with_capacity(wanted.len());
            for digest in wanted {
                let Some(at) = chunks.get(&key(class, digest)).map_err(failed)? else {
                    found.push(None);
                    continue;
                };
                let (blob, number) = parse_place(at.value());
                let id = match ids.get(&blob) {
                    Some(id) => *id,
                    None => {
                        let id = blobs.get(blob).map_err(failed)?.map(|id| BlobId(*id.value()));
                        ids.insert(blob, id);
                        id
                    }
                };
                let blob = BlobNumber(blob);
                found.push(id.filter(|_| blob < before).map(|id| IndexedChunk { blob, id, number }));
            }
            Ok(found)
        })
    }

    fn find_layers(&self, keys: &[LayerKey]) -> Result<Vec<Option<BlobId>>, StoreError> {
        self.read(|transaction| {
            let Some(layers) = opened(transaction.open_table(LAYERS))? else {
                return Ok(vec![None; keys.len()]);
            };
            let find = |key: &LayerKey| Ok(layers.get(&key.0).map_err(failed)?.map(|id| BlobId(*id.value())));
            keys.iter().map(find).collect()
        })
    }

    fn numbers(&self, blobs: &[BlobId]) -> Result<Vec<Option<BlobNumber>>, StoreError> {
        self.read(|transaction| {
            let Some(numbers) = opened(transaction.open_table(NUMBERS))? else {
                return Ok(vec![None; blobs.len()]);
            };
            let find = |id: &BlobId| {
                Ok(numbers.get(&id.0).map_err(failed)?.map(|number| BlobNumber(number.value())))
            };
            blobs.iter().map(find).collect()
        })
    }

    fn publish(&self, blob: &NewBlob<'_>) -> Result<BlobNumber, StoreError> {
        self.write(|transaction| {
            let class = class_number(transaction, blob.class)?;
            let number = blob_number(transaction, &blob.id)?;
            let mut sorted: Vec<([u8; KEY], u32)> =
                blob.chunks.iter().map(|(digest, chunk)| (key(class, digest), *chunk)).collect();
            sorted.sort_unstable();
            let mut chunks = transaction.open_table(CHUNKS).map_err(failed)?;
            let blobs = transaction.open_table(BLOBS).map_err(failed)?;
            let mut known = HashMap::from([(number, true)]);
            for (key, chunk) in &sorted {
                let of = chunks.get(key).map_err(failed)?.map(|at| parse_place(at.value()).0);
                // Entries may be left of a blob whose description could not be read when it was forgotten.
                let is_known = match of.map(|of| (of, known.get(&of))) {
                    None => false,
                    Some((_, Some(is_known))) => *is_known,
                    Some((of, None)) => {
                        let is_known = blobs.get(of).map_err(failed)?.is_some();
                        known.insert(of, is_known);
                        is_known
                    }
                };
                if !is_known {
                    chunks.insert(key, &place(number, *chunk)).map_err(failed)?;
                }
            }
            let mut layers = transaction.open_table(LAYERS).map_err(failed)?;
            let mut became = transaction.open_table(BECAME).map_err(failed)?;
            for key in blob.layers {
                let before = layers.insert(&key.0, &blob.id.0).map_err(failed)?.map(|id| *id.value());
                if let Some(before) = before {
                    became.remove(&joined(&before, &key.0)).map_err(failed)?;
                }
                became.insert(&joined(&blob.id.0, &key.0), ()).map_err(failed)?;
            }
            Ok(BlobNumber(number))
        })
    }

    fn forget(&self, blob: BlobId, class: &ChunkClass, digests: &[ChunkDigest]) -> Result<bool, StoreError> {
        self.write(|transaction| {
            forget_layers(transaction, &blob)?;
            let removed = transaction
                .open_table(NUMBERS)
                .map_err(failed)?
                .remove(&blob.0)
                .map_err(failed)?
                .map(|number| number.value());
            let Some(number) = removed else { return Ok(false) };
            transaction.open_table(BLOBS).map_err(failed)?.remove(number).map_err(failed)?;
            let class = class_number(transaction, class)?;
            let mut keys: Vec<[u8; KEY]> = digests.iter().map(|digest| key(class, digest)).collect();
            keys.sort_unstable();
            let mut chunks = transaction.open_table(CHUNKS).map_err(failed)?;
            for key in &keys {
                let is_its =
                    chunks.get(key).map_err(failed)?.is_some_and(|at| parse_place(at.value()).0 == number);
                if is_its {
                    chunks.remove(key).map_err(failed)?;
                }
            }
            // What is told of the store from here on is told of another state, so a number is used up.
            let next = take_number(&mut transaction.open_table(META).map_err(failed)?)?;
            transaction.open_table(LOST).map_err(failed)?.insert(number, next).map_err(failed)?;
            Ok(true)
        })
    }

    fn clear(&self) -> Result<(), StoreError> {
        self.write(|transaction| {
            let mut meta = transaction.open_table(META).map_err(failed)?;
            let next = take_number(&mut meta)?;
            meta.insert("partial", 1).map_err(failed)?;
            {
                let blobs = transaction.open_table(BLOBS).map_err(failed)?;
                let mut lost = transaction.open_table(LOST).map_err(failed)?;
                for entry in blobs.iter().map_err(failed)? {
                    lost.insert(entry.map_err(failed)?.0.value(), next).map_err(failed)?;
                }
            }
            transaction.delete_table(CHUNKS).map_err(failed)?;
            transaction.delete_table(BLOBS).map_err(failed)?;
            transaction.delete_table(NUMBERS).map_err(failed)?;
            transaction.delete_table(LAYERS).map_err(failed)?;
            transaction.delete_table(BECAME).map_err(failed)?;
            Ok(())
        })
    }

    fn is_partial(&self) -> Result<bool, StoreError> {
        Ok(self.meta("partial")? == Some(1))
    }

    fn set_complete(&self) -> Result<(), StoreError> {
        self.write(|transaction| {
            transaction.open_table(META).map_err(failed)?.insert("partial", 0).map_err(failed)?;
            Ok(())
        })
    }

    fn blobs(&self) -> Result<Vec<(BlobNumber, BlobId)>, StoreError> {
        self.read(|transaction| {
            let Some(blobs) = opened(transaction.open_table(BLOBS))? else { return Ok(Vec::new()) };
            let entries = blobs.iter().map_err(failed)?;
            let pair = |entry: Result<(redb::AccessGuard<'_, u32>, redb::AccessGuard<'_, &[u8; 32]>), _>| {
                let (number, id) = entry.map_err(|error: redb::StorageError| failed(error))?;
                Ok((BlobNumber(number.value()), BlobId(*id.value())))
            };
            entries.map(pair).collect()
        })
    }

    fn layers(&self) -> Result<Vec<(LayerKey, BlobId)>, StoreError> {
        self.read(|transaction| {
            let Some(layers) = opened(transaction.open_table(LAYERS))? else { return Ok(Vec::new()) };
            let mut all = Vec::new();
            for entry in layers.iter().map_err(failed)? {
                let (key, id) = entry.map_err(failed)?;
                all.push((LayerKey(*key.value()), BlobId(*id.value())));
            }
            Ok(all)
        })
    }

    fn has_lost(&self, before: BlobNumber) -> Result<bool, StoreError> {
        self.read(|transaction| {
            let Some(lost) = opened(transaction.open_table(LOST))? else { return Ok(false) };
            for entry in lost.range(..before.0).map_err(failed)? {
                if before.0 <= entry.map_err(failed)?.1.value() {
                    return Ok(true);
                }
            }
            Ok(false)
        })
    }

    fn totals(&self) -> Result<Totals, StoreError> {
        self.read(|transaction| {
            let length = |table: Option<u64>| table.unwrap_or_default();
            let blobs = opened(transaction.open_table(BLOBS))?.map(|table| table.len()).transpose();
            let chunks = opened(transaction.open_table(CHUNKS))?.map(|table| table.len()).transpose();
            let layers = opened(transaction.open_table(LAYERS))?.map(|table| table.len()).transpose();
            Ok(Totals {
                blobs: length(blobs.map_err(failed)?),
                chunks: length(chunks.map_err(failed)?),
                layers: length(layers.map_err(failed)?),
            })
        })
    }

    fn check(&self) -> Result<(), StoreError> {
        // The check wants a handle that nobody shares.
        self.close();
        let check = || builder().open(&self.path).map_err(failed)?.check_integrity().map_err(failed);
        let checked =
            catch_unwind(AssertUnwindSafe(check)).unwrap_or_else(|panic| Err(panicked(panic.as_ref())));
        // `false` tells of what a process left that was killed; it is mended.
        checked.map(drop).map_err(|error| as_reported(&self.path, error))
    }

    fn bytes(&self) -> Result<u64, StoreError> {
        let metadata = std::fs::metadata(&self.path);
        let failed = |source| StoreError::Io { action: "read", path: self.path.clone(), source };
        Ok(metadata.map_err(failed)?.len())
    }
}
