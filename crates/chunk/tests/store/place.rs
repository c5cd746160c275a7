//! The implementations, and what the suite puts into them.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use nydus_convert_chunk::store::{
    ChunkClass, ChunkStore, Description, Directory, Forms, Index, LayerKey, MemoryIndex, MemoryObjects,
    ObjectName, PruneStore, VerifyOptions, checksum,
};
use nydus_convert_chunk::{BlobWriter, Compression, FinishedBlob, Others, PackOptions, Packing, pack_with};
use nydus_convert_rafs::{BlobId, ChunkDigest, Digester};
use tempfile::TempDir;

use crate::support::{BOOTSTRAP, chunk, groups, options, pool};

/// A new, empty pair of objects and index.
pub struct Place {
    pub objects: Arc<dyn PruneStore>,
    pub index: Arc<dyn Index>,
    /// What they live in.
    pub dir: Option<TempDir>,
}

type Make = fn(Option<&Path>) -> (Arc<dyn PruneStore>, Arc<dyn Index>);

/// All implementations: the name, whether it lives in a directory, how to make one.
const IMPLEMENTATIONS: [(&str, bool, Make); 2] = [
    ("memory", false, |_| (Arc::new(MemoryObjects::default()), Arc::new(MemoryIndex::default()))),
    ("directory", true, |dir| {
        let objects = Directory::open(dir.unwrap()).unwrap();
        let index = objects.index().unwrap();
        (Arc::new(objects), Arc::new(index))
    }),
];

/// Runs a test with a new place of each implementation.
pub fn each(test: impl Fn(&Place)) {
    for (name, lives_in_directory, make) in IMPLEMENTATIONS {
        let _ = writeln!(std::io::stderr(), "{name}");
        let dir = lives_in_directory.then(|| TempDir::new().unwrap());
        let (objects, index) = make(dir.as_ref().map(TempDir::path));
        test(&Place { objects, index, dir });
    }
}

impl Place {
    pub fn store(&self) -> ChunkStore {
        ChunkStore::new(Arc::clone(&self.objects), Arc::clone(&self.index))
    }

    /// The same store as another process would have it, where that can be.
    pub fn another(&self) -> ChunkStore {
        match &self.dir {
            Some(dir) => ChunkStore::open(dir.path()).unwrap(),
            None => self.store(),
        }
    }

    pub fn bytes(&self, name: ObjectName) -> Option<Vec<u8>> {
        let object = self.objects.open(name).unwrap()?;
        let mut bytes = vec![0; object.size().unwrap() as usize];
        object.read_exact_at(&mut bytes, 0).unwrap();
        Some(bytes)
    }

    pub fn put(&self, name: ObjectName, bytes: &[u8]) {
        let mut object = self.objects.begin().unwrap();
        object.write_all(bytes).unwrap();
        object.finish(name).unwrap();
    }

    /// Changes one bit.
    pub fn damage(&self, name: ObjectName, at: usize) {
        let mut bytes = self.bytes(name).unwrap();
        bytes[at] ^= 4;
        self.put(name, &bytes);
    }
}

pub fn class() -> ChunkClass {
    ChunkClass::new("tests")
}

pub fn key(number: u8) -> LayerKey {
    LayerKey([number; 32])
}

pub fn zstd() -> PackOptions {
    options("zstd".parse::<Compression>().unwrap())
}

/// The digest and the length of a chunk.
pub fn wanted(number: usize) -> (ChunkDigest, u32) {
    let chunk = chunk(number);
    (Digester::Blake3.digest(&chunk), chunk.len() as u32)
}

pub struct Packed {
    pub bytes: Vec<u8>,
    pub finished: FinishedBlob,
    pub packing: Packing,
}

/// Packs chunks by their numbers, with stored forms of them or without.
pub fn packed_with(numbers: &[usize], forms: Option<Arc<Forms>>) -> Packed {
    let chunks: Vec<_> = numbers.iter().copied().map(chunk).collect();
    let mut writer = BlobWriter::new(Vec::new(), zstd().blob);
    let others = Others { forms, ..Others::default() };
    let packing = pack_with(&pool(2), &zstd(), groups(&chunks, &[3]), &mut writer, others).unwrap();
    let (bytes, finished) = writer.finish_data().unwrap().finish(BOOTSTRAP).unwrap();
    Packed { bytes, finished, packing }
}

pub fn packed(numbers: &[usize]) -> Packed {
    packed_with(numbers, None)
}

/// Publishes a blob.
pub fn try_publish(
    store: &ChunkStore,
    packed: &Packed,
    layer: Option<(LayerKey, &[u8])>,
) -> Result<BlobId, nydus_convert_chunk::store::StoreError> {
    let failed = |source| nydus_convert_chunk::store::StoreError::Object {
        action: "write",
        name: ObjectName::blob(packed.finished.id),
        source,
    };
    let mut data = store.begin()?;
    data.write_all(&packed.bytes).map_err(failed)?;
    let Packed { finished, .. } = packed;
    let description =
        Description { class: class(), blob: finished.blob.clone(), checks: finished.checks.clone() };
    let blob = (finished.id, finished.size, checksum(0, &packed.bytes));
    store.publish(blob, data, &description, layer)?;
    Ok(finished.id)
}

/// Packs chunks and publishes the blob.
pub fn publish(store: &ChunkStore, numbers: &[usize], layer: Option<(LayerKey, &[u8])>) -> BlobId {
    try_publish(store, &packed(numbers), layer).unwrap()
}

/// The blob that a chunk is found in, by a new look.
pub fn home(store: &ChunkStore, number: usize) -> Option<BlobId> {
    let found = store.forms(&class(), None).find(&[wanted(number)]).unwrap().pop().unwrap();
    found.map(|form| form.blob_id())
}

/// Asserts that all of a store is as it should be.
pub fn assert_sound(store: &ChunkStore) {
    assert_eq!(store.verify(VerifyOptions::default()).unwrap().problems, []);
    let sample = Some((100, 0));
    assert_eq!(store.verify(VerifyOptions { sample, ..VerifyOptions::default() }).unwrap().problems, []);
}

/// Numbers that look random and are the same every time.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % limit
    }
}
