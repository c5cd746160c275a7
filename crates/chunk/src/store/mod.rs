//! The chunk store: what conversions made, kept so that it is not made again.
//!
//! ```text
//!   ChunkStore ──► objects   ReadStore ⊂ WriteStore ⊂ PruneStore    whole things by name, put at once or not at all
//!       │            blobs          data blobs, as they are pushed         named by their SHA-256
//!       │            descriptions   a blob's head, and a record for        named by their blob
//!       │                           every chunk: digest, place, checksum
//!       │            layers         what merging needs of a layer          named by source and options
//!       │            images         which blobs a result is made of        named by its digest
//!       └────────► index     Index: chunk → blob and number, layer → blob; made of the objects, never the only copy
//! ```
//! What the store says is checked before it is used: records and stored chunks by checksums, blobs by their digests. What
//! is damaged counts as not there, is forgotten, and so made again.
//!
//! Nothing here depends on where objects lie: puts may be repeated, an object appears whole or not, look-ups come in
//! batches, and the index tells of a blob only after its objects are there. [`MemoryObjects`] and [`MemoryIndex`], and
//! [`Directory`] and [`Database`], are the implementations; `tests/store/` runs one suite over both.

mod checksum;
mod chunk_store;
mod description;
mod directory;
mod error;
mod forms;
mod image;
mod index;
mod layer;
mod memory;
mod name;
mod objects;
mod prune;
mod verify;

pub use checksum::checksum;
pub use chunk_store::{ChunkStore, Snapshot, SnapshotError, StoredLayer};
pub use description::Description;
pub use directory::{Database, Directory};
pub use error::StoreError;
pub use forms::{Forms, StoredForm};
pub use image::StoredImage;
pub use index::{BlobNumber, ChunkClass, Index, IndexedChunk, NewBlob, Totals};
pub use layer::LayerKey;
pub use memory::{MemoryIndex, MemoryObjects};
pub use name::{ObjectKind, ObjectName};
pub use objects::{Guard, NewObject, Object, ObjectInfo, PruneStore, ReadStore, WriteStore};
pub use prune::{Kept, PrunePolicy, PruneReport, Pruned, Reason};
pub use verify::{Problem, VerifyOptions, VerifyReport};
