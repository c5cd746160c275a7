//! How a running conversion tells where it is, and how it is told to stop.

use std::sync::atomic::{AtomicI32, Ordering};

/// A layer that is being worked on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerLabel {
    /// Platform of the image, where the source is an index.
    pub platform: Option<String>,
    /// Position in the image, from 1.
    pub number: usize,
    /// Layers of the image.
    pub count: usize,
    /// Digest of the layer as it is stored.
    pub digest: String,
    /// Stored length in bytes.
    pub size: u64,
}

/// Watches a conversion. Called from several threads, often: implementations return quickly.
pub trait Observer: Sync {
    /// A layer is begun.
    fn layer_started(&self, _layer: &LayerLabel) {}
    /// So many more stored bytes of the layer were read.
    fn layer_advanced(&self, _layer: &LayerLabel, _bytes: u64) {}
    /// A layer is done: so many bytes were written for it.
    fn layer_finished(&self, _layer: &LayerLabel, _written: u64) {}
    /// Something worth a line.
    fn note(&self, _text: &str) {}
}

/// Watches nothing.
impl Observer for () {}

/// A request to stop, seen within about a chunk's time.
#[derive(Debug, Default)]
pub struct Stop(AtomicI32);

impl Stop {
    /// No request yet.
    pub const fn new() -> Self {
        Self(AtomicI32::new(0))
    }

    /// Asks to stop; `signal` is the number of the signal that asked.
    pub fn request(&self, signal: i32) {
        self.0.store(signal, Ordering::Relaxed);
    }

    /// The signal that asked to stop, if any did.
    pub fn requested(&self) -> Option<i32> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            signal => Some(signal),
        }
    }

    /// An error if something asked to stop.
    pub(crate) fn check(&self) -> Result<(), Interrupted> {
        self.requested().map_or(Ok(()), |signal| Err(Interrupted { signal }))
    }
}

/// Something asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub(crate) struct Interrupted {
    /// The signal.
    pub signal: i32,
}
