//! What is done with files, and how it fails.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use crate::store::StoreError;

pub(super) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { action, path, source }
}

/// Makes new names last.
pub(super) fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed("write", dir))
}

/// Whether a lock could not be had because somebody else has it.
pub(super) fn is_taken(result: &Result<(), TryLockError>) -> bool {
    matches!(result, Err(TryLockError::WouldBlock))
}
