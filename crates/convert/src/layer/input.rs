//! A layer on its way in: how every conversion of a layer begins and ends, whatever the layer becomes.
//!
//! ```text
//!   source ─► counted ─► inflated, on a thread of its own ─► hashed ─► … the form reads the tar …
//!                                                                  └─► compare(): the digest of the tar is the config's
//! ```

use std::cell::Cell;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nydus_convert_oci::{
    self as oci, Algorithm, Compression, Decompressor, Descriptor, DiffId, Digest, Hasher, Watch,
    decompress_watched,
};

use super::allowance::{Allowance, Meter, Stored};
use super::converted::LayerIdentity;
use super::failure::LayerFailure;
use super::task::Task;
use crate::run::ReadAhead;
use crate::run::{LayerLabel, Observer};

/// A layer that is to be read.
pub enum LayerInput<'a> {
    /// A manifest and a config say what it is.
    Listed {
        /// Its entry in the manifest.
        layer: &'a Descriptor,
        /// What it is known by; the digest of its plain tar is the config's.
        key: &'a LayerIdentity,
    },
    /// A stream that no manifest describes.
    Stream {
        /// Stands for it as long as it is not read.
        placeholder: &'a Descriptor,
        /// What it was; asked when it is read to its end.
        read: &'a dyn Fn() -> Descriptor,
    },
}

/// A layer that is being inflated.
pub struct Inflating<'a, R, W> {
    /// The plain tar; what is read is counted and, where that says something new, hashed.
    pub tar: PlainTar<ReadAhead<Decompressor<R, W>>>,
    /// How the layer is compressed.
    pub compression: Compression,
    /// Who wants to know how far it is.
    pub progress: Progress<'a>,
}

impl LayerInput<'_> {
    /// What the source knows it by.
    pub fn descriptor(&self) -> &Descriptor {
        match self {
            Self::Listed { layer, .. } => layer,
            Self::Stream { placeholder, .. } => placeholder,
        }
    }

    /// What it is known by, when it was read to its end and its plain tar has this digest.
    pub fn key(&self, diff_id: DiffId) -> LayerIdentity {
        match self {
            Self::Listed { key, .. } => **key,
            Self::Stream { read, .. } => {
                let Descriptor { digest, size, .. } = read();
                LayerIdentity { digest, size, diff_id, below: None }
            }
        }
    }

    /// What it was, at its end.
    pub fn read(&self) -> Descriptor {
        match self {
            Self::Listed { layer, .. } => (*layer).clone(),
            Self::Stream { read, .. } => read(),
        }
    }

    /// Begins to read. `tap` may look at the stored bytes, and gives the watch for the inflater.
    pub fn open<'a, R: Read + Send + 'static, W: Watch + Send + 'static>(
        &self,
        task: &Task<'a>,
        tap: impl FnOnce(Counted) -> Result<(R, W), LayerFailure>,
    ) -> Result<Inflating<'a, R, W>, LayerFailure> {
        let (stored, read) = Counted::new(task.layers.source.open(self.descriptor())?);
        let (stored, watch) = tap(stored)?;
        let plain = decompress_watched(stored, task.layers.run.resources.stream_limits(), watch)
            .map_err(|error| self.reading(error))?;
        let compression = plain.compression();
        // An uncompressed layer whose digest is its diff id has been compared with it already.
        let is_compared = compression == Compression::None
            && self.diff_id().is_some_and(|id| id.0 == self.descriptor().digest);
        let tar = PlainTar::new(ReadAhead::new(plain).map_err(LayerFailure::Thread)?, !is_compared);
        let progress =
            Progress { observer: task.layers.run.observer, label: task.label, read, reported: Cell::new(0) };
        Ok(Inflating { tar, compression, progress })
    }

    /// The digest of the plain tar, which is what the config says. `actual` is what was hashed.
    pub fn compare(&self, actual: Option<Digest>) -> Result<DiffId, LayerFailure> {
        match (self.diff_id().copied(), actual.map(DiffId)) {
            (Some(expected), Some(actual)) if expected != actual => {
                Err(LayerFailure::DiffId { expected, actual })
            }
            (Some(known), _) | (None, Some(known)) => Ok(known),
            // What was not hashed is listed.
            (None, None) => Ok(DiffId(self.descriptor().digest)),
        }
    }

    /// Digest of its plain tar, if a config says it.
    fn diff_id(&self) -> Option<&DiffId> {
        match self {
            Self::Listed { key, .. } => Some(&key.diff_id),
            Self::Stream { .. } => None,
        }
    }

    /// An error of its bytes.
    fn reading(&self, error: io::Error) -> LayerFailure {
        match self {
            Self::Listed { layer, .. } => oci::Error::reading(layer.digest, error).into(),
            Self::Stream { .. } => LayerFailure::Input(error),
        }
    }
}

/// Counts the plain bytes, and hashes them unless that would say nothing new.
pub struct PlainTar<R> {
    inner: R,
    hasher: Option<Hasher>,
    count: u64,
}

impl<R> PlainTar<R> {
    fn new(inner: R, hash: bool) -> Self {
        Self { inner, hasher: hash.then(|| Hasher::new(Algorithm::Sha256)), count: 0 }
    }

    /// The same bytes through one more stage; nothing may have been read yet.
    pub fn through<S>(self, stage: impl FnOnce(R) -> S) -> PlainTar<S> {
        PlainTar { inner: stage(self.inner), hasher: self.hasher, count: self.count }
    }

    /// The source, the digest, if there was need of it, and the number of bytes read.
    pub fn finish(self) -> (R, Option<Digest>, u64) {
        (self.inner, self.hasher.map(Hasher::finish), self.count)
    }
}

impl<R: Read> Read for PlainTar<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..read]);
        }
        self.count += read as u64;
        Ok(read)
    }
}

/// Counts what is read, on whatever thread.
pub struct Counted {
    inner: Box<dyn Read + Send>,
    count: Arc<AtomicU64>,
}

impl Counted {
    fn new(inner: Box<dyn Read + Send>) -> (Self, Arc<AtomicU64>) {
        let count = Arc::new(AtomicU64::new(0));
        (Self { inner, count: Arc::clone(&count) }, count)
    }
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Reports how far a layer is.
pub struct Progress<'a> {
    observer: &'a dyn Observer,
    label: &'a LayerLabel,
    read: Arc<AtomicU64>,
    reported: Cell<u64>,
}

impl Progress<'_> {
    /// Reports the stored bytes read since the last call.
    pub fn report(&self) {
        let read = self.read.load(Ordering::Relaxed);
        self.observer.layer_advanced(self.label, read - self.reported.replace(read));
    }

    /// What the layer's tree may weigh.
    pub fn meter(&self, task: &Task<'_>) -> Meter {
        Meter::new(Allowance::new(task.layers.spare.clone(), Stored::Read(self.stored())))
    }

    /// The stored bytes read so far, counted on.
    pub fn stored(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.read)
    }
}
