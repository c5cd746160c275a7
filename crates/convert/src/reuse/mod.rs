//! What the chunk store spares a conversion: layers that were converted before, chunks that were compressed before, and,
//! if asked for, blobs that images can share.
//!
//! ```text
//!   layer ──► key ──► store has it? ── yes ──► blob linked, mounted or copied into the sink, tree read: nothing else
//!                          │ no
//!                          ▼
//!                       packing ──► chunk: store has it? ── yes ──► its stored form is copied, or referred to
//!                          │                   │ no
//!                          ▼                   ▼
//!             blob ──► sink and store      compressed
//! ```
//! The bytes of a result do not depend on what the store has, except under [`Dedup::Store`], which says so.

mod below;
pub(crate) mod error;
mod fingerprint;
mod saved_layer;
mod saving;
mod tee;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use nydus_convert_chunk::store::{
    ChunkClass, ChunkStore, Description, Forms, Object, ObjectName, Snapshot, StoreError, StoredImage,
    StoredLayer,
};
use nydus_convert_chunk::{FinishedBlob, ReadAt};
use nydus_convert_oci::{self as oci, Digest, ErrorKind, PrehashedBlobWriter, Reference, Sink};
use nydus_convert_rafs::BlobId;

use crate::layer::converted::{ConvertedLayer, LayerIdentity};
use crate::layer::failure::LayerFailure;
use crate::options::{Dedup, ReuseOptions, ToNydusOptions};
use crate::report::ImageReport;
use crate::run::Run;

pub(crate) use below::Below;
use error::ReuseError;
pub(crate) use saving::worth_referring;
pub(crate) use tee::Tee;

/// Repositories that are asked for one blob before it is sent.
const MAX_MOUNTS: usize = 3;
/// Bytes moved at once.
const PIECE: usize = 1 << 20;

/// A store in use by one conversion.
#[derive(Debug)]
pub(crate) struct Reuse {
    store: ChunkStore,
    class: ChunkClass,
    /// What a layer's blob depends on beside the layer.
    fingerprint: String,
    pub options: ReuseOptions,
    /// What images may share chunks with.
    pub snapshot: Snapshot,
}

impl Reuse {
    /// Of the run's store, if it has one.
    pub fn new(options: &ToNydusOptions, run: &Run<'_>) -> Result<Option<Self>, ReuseError> {
        let Some(store) = run.store.clone() else { return Ok(None) };
        let snapshot = match options.reuse.snapshot {
            Some(snapshot) => {
                store.check_snapshot(snapshot)??;
                snapshot
            }
            None => store.snapshot()?,
        };
        Ok(Some(Self {
            store,
            class: fingerprint::class(&options.fs),
            fingerprint: fingerprint::of_layers(options, run.resources.max_layer_size),
            options: options.reuse.clone(),
            snapshot,
        }))
    }

    /// The store.
    pub fn store(&self) -> &ChunkStore {
        &self.store
    }

    /// A look for chunks that were stored before.
    pub fn forms(&self) -> Arc<Forms> {
        let snapshot = (self.options.dedup == Dedup::Store).then_some(self.snapshot);
        Arc::new(self.store.forms(&self.class, snapshot))
    }

    /// The blob of a layer in the making. A sink that can take it from the store is not written to.
    pub fn tee(&self, sink: &dyn Sink) -> Result<Tee<PrehashedBlobWriter>, LayerFailure> {
        let place = self.store.objects().file(ObjectName::blob(BlobId([0; 32])));
        let there = place.as_deref().and_then(|file| file.ancestors().find(|above| above.exists()));
        let inner = match there.is_some_and(|there| sink.can_adopt(there)) {
            true => None,
            false => Some(sink.blob()?.prehashed()),
        };
        Ok(Tee::new(inner, Some(self.store.begin()?)))
    }

    /// A layer that was converted before: its blob is brought into the sink. `None` if the store does not have it, or not
    /// undamaged any more.
    pub fn restore(
        &self,
        layer: &LayerIdentity,
        sink: &dyn Sink,
    ) -> Result<Option<ConvertedLayer>, LayerFailure> {
        // A blob that stands alone is better shared as a whole than chunk by chunk.
        let layer = match self.options.dedup {
            Dedup::Layer | Dedup::Image => *layer,
            Dedup::Store => LayerIdentity { below: None, ..*layer },
        };
        let Some(stored) = self.store.find_layer(fingerprint::key(&layer, &self.fingerprint))? else {
            return Ok(None);
        };
        if self.options.dedup == Dedup::Store {
            let number = self.store.index().numbers(&[stored.blob])?.pop().flatten();
            if number.is_none_or(|number| number >= self.snapshot.before()) {
                return Ok(None);
            }
        }
        let blob = oci::Blob { digest: Digest::from_sha256(stored.blob.0), size: stored.size };
        let is_there = self.is_mounted(stored.blob, blob, sink)? || bring_layer(&stored, blob, sink)?;
        let converted = saved_layer::read(&stored.body, blob, stored.description.blob);
        match converted {
            Some(converted) if is_there => Ok(Some(converted)),
            _ => {
                self.store.forget(stored.blob)?;
                Ok(None)
            }
        }
    }

    /// Keeps what a layer became, as a layer only if it has a key, and ends its blob in the sink. Blobs that turned out to be
    /// damaged are forgotten before.
    pub fn publish(
        &self,
        tee: Tee<PrehashedBlobWriter>,
        (finished, forms): (&FinishedBlob, Option<&Forms>),
        (layer, converted): (Option<&LayerIdentity>, &ConvertedLayer),
        sink: &dyn Sink,
    ) -> Result<(), LayerFailure> {
        for id in forms.map(Forms::all_damaged).unwrap_or_default() {
            self.store.forget(id)?;
        }
        let blob = converted.blob;
        let (inner, copy) = tee.into_parts();
        if inner.is_none() {
            self.store.hold(finished.id)?;
        }
        if let Some((copy, check)) = copy {
            let description = Description {
                class: self.class.clone(),
                blob: converted.merge.blob.clone(),
                checks: finished.checks.clone(),
            };
            let body = saved_layer::write(converted);
            // Under the widest scope the blob depends on what the store has.
            let layer = layer.filter(|_| self.options.dedup != Dedup::Store);
            let layer = layer.map(|layer| fingerprint::key(layer, &self.fingerprint)).zip(body.as_deref());
            self.store.publish((finished.id, finished.size, check), copy, &description, layer)?;
        }
        match inner {
            Some(inner) => drop(inner.finish_as(blob.digest, blob.size)?),
            None => self.hand_over(finished.id, blob, sink)?,
        }
        Ok(())
    }

    /// Gives the sink a blob that was just published.
    fn hand_over(&self, id: BlobId, blob: oci::Blob, sink: &dyn Sink) -> Result<(), LayerFailure> {
        let name = ObjectName::blob(id);
        if let Some(file) = self.store.objects().file(name)
            && sink.adopt(&file, blob)?
        {
            return Ok(());
        }
        let failed = |source| StoreError::Object { action: "read", name, source };
        let gone = || failed(std::io::ErrorKind::NotFound.into());
        let data = self.store.objects().open(name)?.ok_or_else(gone)?;
        match copy_blob(&data, blob, sink)? {
            true => Ok(()),
            false => Err(failed(std::io::ErrorKind::InvalidData.into()).into()),
        }
    }

    /// Brings a blob of the store into the sink.
    pub fn bring(&self, id: BlobId, sink: &dyn Sink) -> Result<oci::Blob, ReuseError> {
        let lost = || ReuseError::Blob { id };
        let name = ObjectName::blob(id);
        let data = self.store.objects().open(name)?.ok_or_else(lost)?;
        let size = data.size().map_err(|source| StoreError::Object { action: "read", name, source })?;
        let blob = oci::Blob { digest: Digest::from_sha256(id.0), size };
        let brought =
            self.is_mounted(id, blob, sink).and_then(|done| Ok(done || copy_blob(&data, blob, sink)?));
        let is_sound = brought.map_err(|failure| match failure {
            LayerFailure::Source(error) => ReuseError::Sink(error),
            LayerFailure::Store(error) => ReuseError::Store(error),
            _ => lost(),
        })?;
        if is_sound {
            return Ok(blob);
        }
        self.store.forget(id)?;
        Err(lost())
    }

    /// Whether the sink has a blob, or can take it from a repository of its registry that an image of the store went to.
    fn is_mounted(&self, id: BlobId, blob: oci::Blob, sink: &dyn Sink) -> Result<bool, LayerFailure> {
        let Some(host) = sink.host() else { return Ok(false) };
        if sink.has(&oci::nydus::blob_descriptor(blob))? {
            return Ok(true);
        }
        let mut tried = BTreeSet::new();
        for image in self.store.images()?.iter().filter(|image| image.blobs.contains(&id)) {
            let Ok(Reference::Registry(name)) = image.name.parse() else { continue };
            if name.host == host
                && tried.insert(name.repository.clone())
                && tried.len() <= MAX_MOUNTS
                && sink.mount(&name.repository, blob)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Says which images the blobs were made for that are used beside the layers' own.
    pub fn name_shared(&self, images: &mut [ImageReport]) -> Result<(), StoreError> {
        let known = if self.options.dedup == Dedup::Store { self.store.images()? } else { Vec::new() };
        for image in images {
            let own: Vec<String> = image.layers.iter().map(|layer| layer.blob_digest.clone()).collect();
            for shared in image.layers.iter_mut().flat_map(|layer| &mut layer.shared) {
                if own.contains(&shared.blob_digest) {
                    continue;
                }
                let has = |image: &&StoredImage| {
                    image.blobs.iter().any(|id| Digest::from_sha256(id.0).to_string() == shared.blob_digest)
                };
                shared.image = known.iter().find(has).map(|image| image.name.clone());
            }
        }
        Ok(())
    }

    /// Remembers which blobs of the store a result is made of. An image without any needs no store, or was copied: what the
    /// store knew of it before stays.
    pub fn remember(
        &self,
        digest: Digest,
        (name, source): (String, String),
        blobs: Vec<BlobId>,
    ) -> Result<(), StoreError> {
        // Digests of results are SHA-256.
        let Ok(id) = <[u8; 32]>::try_from(digest.as_bytes()) else { return Ok(()) };
        let known = self.store.index().numbers(&blobs)?;
        let blobs: Vec<BlobId> =
            blobs.into_iter().zip(known).filter_map(|(id, known)| known.map(|_| id)).collect();
        if blobs.is_empty() {
            return Ok(());
        }
        let made = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        self.store.put_image(&StoredImage { id, name, source, made, blobs })
    }
}

/// Brings the blob of a layer into the sink; where both are on one file system, without copying it. Whether it is sound.
fn bring_layer(stored: &StoredLayer, blob: oci::Blob, sink: &dyn Sink) -> Result<bool, LayerFailure> {
    if sink.has(&oci::nydus::blob_descriptor(blob))? {
        return Ok(true);
    }
    if let Some(file) = &stored.file
        && sink.can_adopt(file)
    {
        if !stored.is_sound() {
            return Ok(false);
        }
        if sink.adopt(file, blob)? {
            return Ok(true);
        }
    }
    copy_blob(&stored.data, blob, sink)
}

/// Copies a blob, unless the sink has it. Whether it is what its digest says.
fn copy_blob(data: &Object, blob: oci::Blob, sink: &dyn Sink) -> Result<bool, LayerFailure> {
    if sink.has(&oci::nydus::blob_descriptor(blob))? {
        return Ok(true);
    }
    let mut writer = sink.blob()?;
    let mut rest = Sequential { data, at: 0, end: blob.size };
    let mut buffer = vec![0; PIECE];
    loop {
        let read = match rest.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            // As good as damaged.
            Err(_) => return Ok(false),
        };
        writer.write_all(buffer.get(..read).unwrap_or_default()).map_err(oci::Error::writing)?;
    }
    match writer.finish_as(blob.digest, blob.size) {
        Err(error) if error.kind() == ErrorKind::Verification => Ok(false),
        finished => Ok(finished.map(|_| true)?),
    }
}

/// Reads an object from front to end.
struct Sequential<'a> {
    data: &'a Object,
    at: u64,
    end: u64,
}

impl Read for Sequential<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = buffer.len().min(usize::try_from(self.end - self.at).unwrap_or(usize::MAX));
        let space = buffer.get_mut(..length).unwrap_or_default();
        self.data.read_exact_at(space, self.at)?;
        self.at += length as u64;
        Ok(length)
    }
}
