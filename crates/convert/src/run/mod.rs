//! One run of an operation: who works, with what bounds, what of earlier work is at hand, who watches, whether to stop.

pub(crate) mod observer;
mod readahead;
mod resources;
mod side_by_side;

use nydus_convert_chunk::ordered::Pool;
use nydus_convert_chunk::store::ChunkStore;

use crate::dictionary::ChunkDictionary;
use observer::Interrupted;

pub use observer::{LayerLabel, Observer, Stop};
pub(crate) use readahead::ReadAhead;
pub use resources::Resources;
pub(crate) use side_by_side::side_by_side;

/// One run of an operation. Nothing in it shows in the output, but what the store and the dictionary are asked for.
pub struct Run<'a> {
    /// Bounds of threads and memory, and limits of what a source may take.
    pub resources: Resources,
    /// Gets progress and notes.
    pub observer: &'a dyn Observer,
    /// Whether to stop.
    pub stop: &'a Stop,
    /// Where finished work is kept: the layers that a conversion makes go there, and are taken from there.
    pub store: Option<ChunkStore>,
    /// Images whose chunks are used where a layer brings the same.
    pub dictionary: Option<ChunkDictionary>,
    /// Who hashes and compresses.
    pub(crate) pool: Pool,
}

impl<'a> Run<'a> {
    /// With these bounds, and threads of its own; no store and no dictionary.
    pub fn new(resources: Resources, observer: &'a dyn Observer, stop: &'a Stop) -> Self {
        let pool = Pool::new(resources.jobs);
        Self { resources, observer, stop, store: None, dictionary: None, pool }
    }

    /// With a chunk store.
    #[must_use]
    pub fn with_store(self, store: Option<ChunkStore>) -> Self {
        Self { store, ..self }
    }

    /// With a chunk dictionary.
    #[must_use]
    pub fn with_dictionary(self, dictionary: Option<ChunkDictionary>) -> Self {
        Self { dictionary, ..self }
    }

    /// An error if something asked to stop.
    pub(crate) fn proceed(&self) -> Result<(), Interrupted> {
        self.stop.check()
    }
}
