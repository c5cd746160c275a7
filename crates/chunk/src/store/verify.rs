//! Whether what the store has is what it was.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;

use nydus_convert_rafs::BlobId;

use super::description::lies_alone;
use super::layer::LayerObject;
use super::objects::read_all;
use super::{
    BlobNumber, ChunkStore, Description, LayerKey, NewBlob, Object, ObjectInfo, ObjectKind, ObjectName,
    StoreError, StoredImage,
};
use crate::sha256::Sha256;

/// Bytes read at once.
const PIECE: usize = 1 << 20;

/// How much is verified, and what happens to damaged objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VerifyOptions {
    /// Of how many chunks in a hundred the stored bytes are read, and a number that decides which; `None` reads all
    /// blobs as a whole.
    pub sample: Option<(u8, u64)>,
    /// Whether what is damaged is forgotten, so that it is made again: blobs, the blobs of layers, results.
    pub repair: bool,
    /// Whether the index is made anew from the objects.
    pub rebuild: bool,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The object that is damaged or missing.
    pub name: ObjectName,
    /// What is wrong with it, in words.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.what)
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyReport {
    /// Blobs that were looked at.
    pub blobs: u64,
    /// Layers that were looked at.
    pub layers: u64,
    /// Results that were looked at.
    pub images: u64,
    /// Chunks whose stored bytes were compared with their checksums; none where whole blobs were.
    pub chunks: u64,
    /// Bytes of blobs that were read.
    pub bytes: u64,
    /// Objects that the index does not know: what a process left that was ended between putting them and telling the
    /// index. They are complete, nobody uses them, and pruning removes them.
    pub unlisted: u64,
    /// Objects that are damaged or missing.
    pub problems: Vec<Problem>,
    /// Blobs that were forgotten because they, or their layers, are damaged.
    pub forgotten: Vec<BlobId>,
}

impl ChunkStore {
    /// Looks at all objects. Others may use the store meanwhile; what they remove is no problem.
    pub fn verify(&self, options: VerifyOptions) -> Result<VerifyReport, StoreError> {
        let mut run = Verification { store: self, options, report: VerifyReport::default() };
        if options.rebuild {
            run.rebuild()?;
        }
        self.index().check()?;
        let mut damaged = run.blobs()?;
        damaged.extend(run.layers()?);
        let damaged_images = run.images()?;
        if options.repair {
            for id in damaged {
                self.forget(id)?;
                run.report.forgotten.push(id);
            }
            for id in damaged_images {
                self.remove_image(id)?;
            }
        }
        Ok(run.report)
    }
}

struct Verification<'a> {
    store: &'a ChunkStore,
    options: VerifyOptions,
    report: VerifyReport,
}

impl Verification<'_> {
    fn problem(&mut self, name: ObjectName, what: impl Into<String>) {
        self.report.problems.push(Problem { name, what: what.into() });
    }

    /// Makes the index again from the objects, in the order in which they were used last.
    fn rebuild(&mut self) -> Result<(), StoreError> {
        let objects = self.store.objects();
        let guard = objects.pruning()?;
        let mut layers: BTreeMap<BlobId, Vec<LayerKey>> = BTreeMap::new();
        for info in objects.list(ObjectKind::Layer)? {
            let Some(object) = objects.open(info.name)? else { continue };
            if let Some(layer) = LayerObject::parse(&read_all(info.name, &object)?) {
                layers.entry(layer.blob).or_default().push(LayerKey(info.name.id));
            }
        }
        self.store.index().clear()?;
        let mut blobs = objects.list(ObjectKind::Blob)?;
        blobs.sort_by_key(|info| (info.used, info.name));
        for ObjectInfo { name, .. } in blobs {
            let id = BlobId(name.id);
            let Some(description) = self.store.describe(id)? else { continue };
            let (chunks, class) = (description.alone(), &description.class);
            let layers = layers.remove(&id).unwrap_or_default();
            self.store.index().publish(&NewBlob { id, class, chunks: &chunks, layers: &layers })?;
        }
        self.store.index().set_complete()?;
        drop(guard);
        Ok(())
    }

    /// Gives the blobs that are damaged.
    fn blobs(&mut self) -> Result<BTreeSet<BlobId>, StoreError> {
        let mut damaged = BTreeSet::new();
        let known: BTreeMap<BlobId, BlobNumber> =
            self.store.index().blobs()?.into_iter().map(|(number, id)| (id, number)).collect();
        for (id, number) in &known {
            let before = self.report.problems.len();
            self.blob(*id)?;
            if self.report.problems.len() > before {
                // What was removed while we looked is no problem, also if it came back: then with another number.
                if self.store.index().numbers(&[*id])?.pop().flatten() != Some(*number) {
                    self.report.problems.truncate(before);
                } else {
                    damaged.insert(*id);
                }
            }
            self.report.blobs += 1;
        }
        for kind in [ObjectKind::Blob, ObjectKind::Description] {
            let listed = self.store.objects().list(kind)?;
            self.report.unlisted +=
                listed.iter().filter(|info| !known.contains_key(&BlobId(info.name.id))).count() as u64;
        }
        Ok(damaged)
    }

    fn blob(&mut self, id: BlobId) -> Result<(), StoreError> {
        let (name, described) = (ObjectName::blob(id), ObjectName::description(id));
        let objects = self.store.objects();
        let Some(data) = objects.open(name)? else {
            self.problem(name, "the index knows it, but it is not there");
            return Ok(());
        };
        let description = match objects.open(described)? {
            Some(object) => Description::read(&object).ok().flatten(),
            None => {
                self.problem(described, "its blob is there, but it is not");
                return Ok(());
            }
        };
        let Some(description) = description else {
            self.problem(described, "it is damaged");
            return Ok(());
        };
        match self.options.sample {
            None => self.whole_blob(id, &data),
            Some((percent, seed)) => self.some_chunks(id, &data, &description, (percent, seed)),
        }
        Ok(())
    }

    fn whole_blob(&mut self, id: BlobId, data: &Object) {
        match digest_of(data) {
            Ok((digest, size)) => {
                self.report.bytes += size;
                if digest != id.0 {
                    self.problem(ObjectName::blob(id), format!("it has the digest {}", BlobId(digest)));
                }
            }
            Err(error) => self.problem(ObjectName::blob(id), format!("it cannot be read: {error}")),
        }
    }

    fn some_chunks(
        &mut self,
        id: BlobId,
        data: &Object,
        description: &Description,
        (percent, seed): (u8, u64),
    ) {
        let chunks = description.blob.iter().flat_map(|blob| blob.chunks.iter());
        for ((number, chunk), check) in chunks.zip(&description.checks) {
            // Any spreading will do: the seed decides which chunks come to lie in front.
            let spread = (u64::from(number) ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
            if !lies_alone(chunk) || spread % 100 >= u64::from(percent) {
                continue;
            }
            let mut stored = vec![0; chunk.compressed_size as usize];
            let read = data.read_exact_at(&mut stored, chunk.compressed_offset);
            self.report.chunks += 1;
            self.report.bytes += stored.len() as u64;
            match read {
                Err(error) => {
                    self.problem(ObjectName::blob(id), format!("chunk {number} cannot be read: {error}"))
                }
                Ok(()) if crc32c::crc32c(&stored) != *check => {
                    self.problem(ObjectName::blob(id), format!("chunk {number} is not what was stored"))
                }
                Ok(()) => {}
            }
        }
    }

    /// Gives the blobs whose layers are damaged.
    fn layers(&mut self) -> Result<BTreeSet<BlobId>, StoreError> {
        let mut damaged = BTreeSet::new();
        let known: BTreeMap<LayerKey, BlobId> = self.store.index().layers()?.into_iter().collect();
        for (key, blob) in &known {
            self.report.layers += 1;
            let object = self.store.objects().open(key.object())?;
            let problem = match object {
                None => "the index knows it, but it is not there",
                Some(object) => match LayerObject::parse(&read_all(key.object(), &object)?) {
                    None => "it is damaged",
                    // It was published anew: by somebody who is about to tell the index, or was ended before that.
                    Some(layer) if layer.blob != *blob => {
                        self.report.unlisted += 1;
                        continue;
                    }
                    Some(_) => continue,
                },
            };
            if self.store.index().find_layers(&[*key])?.pop().flatten() == Some(*blob) {
                self.problem(key.object(), problem);
                damaged.insert(*blob);
            }
        }
        let listed = self.store.objects().list(ObjectKind::Layer)?;
        self.report.unlisted +=
            listed.iter().filter(|info| !known.contains_key(&LayerKey(info.name.id))).count() as u64;
        Ok(damaged)
    }

    /// Gives the results whose objects are damaged.
    fn images(&mut self) -> Result<Vec<[u8; 32]>, StoreError> {
        let mut damaged = Vec::new();
        for info in self.store.objects().list(ObjectKind::Image)? {
            let Some(object) = self.store.objects().open(info.name)? else { continue };
            self.report.images += 1;
            if StoredImage::parse(info.name.id, &read_all(info.name, &object)?).is_none() {
                self.problem(info.name, "it is damaged");
                damaged.push(info.name.id);
            }
        }
        Ok(damaged)
    }
}

/// SHA-256 and length of an object.
fn digest_of(object: &Object) -> io::Result<([u8; 32], u64)> {
    let size = object.size()?;
    let mut hash = Sha256::default();
    let mut buffer = vec![0; PIECE];
    let mut at = 0;
    while at < size {
        let length = (size - at).min(PIECE as u64) as usize;
        let piece = buffer.get_mut(..length).unwrap_or_default();
        object.read_exact_at(piece, at)?;
        hash.update(piece);
        at += length as u64;
    }
    Ok((hash.digest(), size))
}
