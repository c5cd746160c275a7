//! Why earlier work cannot be used.

use nydus_convert_chunk::store::{SnapshotError, StoreError};
use nydus_convert_oci as oci;
use nydus_convert_rafs::BlobId;
use thiserror::Error;

/// Why earlier work cannot be used.
#[derive(Debug, Error)]
pub enum ReuseError {
    /// The chunk store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A state of the chunk store that cannot be had.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// What it is brought into.
    #[error(transparent)]
    Sink(#[from] oci::Error),
    /// A blob of the chunk store that is damaged or gone.
    #[error("blob {id} of the chunk store is damaged or gone")]
    Blob {
        /// The blob.
        id: BlobId,
    },
}
