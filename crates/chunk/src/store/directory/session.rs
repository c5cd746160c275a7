//! Who uses the store now, and which blobs.
//!
//! A session is a file that its process keeps locked, with the ids of the blobs that it holds, 32 bytes each. The lock
//! goes with the process, however that ends.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use nydus_convert_rafs::BlobId;

use super::files::{failed, is_taken};
use crate::store::StoreError;

/// Names tried before giving up: another session of this process, or of one that had its number, has the others.
const TRIES: u32 = 1 << 16;

/// The session of this process.
pub(super) struct Session {
    name: String,
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    file: File,
    held: HashSet<BlobId>,
}

impl Session {
    /// Begins a session. Nobody may sweep meanwhile: before it is locked it looks like one that has ended.
    pub fn begin(dir: &Path) -> Result<Self, StoreError> {
        for number in 0..TRIES {
            let name = format!("{}-{number}", std::process::id());
            let path = dir.join(&name);
            match OpenOptions::new().create_new(true).append(true).open(&path) {
                Ok(file) => {
                    file.lock().map_err(failed("lock", &path))?;
                    return Ok(Self { name, path, state: Mutex::new(State { file, held: HashSet::new() }) });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed("make", &path)(error)),
            }
        }
        Err(failed("make a session in", dir)(io::ErrorKind::AlreadyExists.into()))
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The blobs that this session holds.
    pub fn held(&self) -> HashSet<BlobId> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).held.clone()
    }

    /// One more blob.
    pub fn hold(&self, blob: BlobId) -> Result<(), StoreError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.held.contains(&blob) {
            return Ok(());
        }
        if let Err(error) = state.file.write_all(&blob.0) {
            // A part of an id would shift all ids behind it.
            let _ = state.file.set_len(state.held.len() as u64 * 32);
            return Err(failed("write", &self.path)(error));
        }
        state.held.insert(blob);
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// What another process's session holds; `None` if that process has ended.
pub(super) fn of_others(path: &Path) -> Result<Option<Vec<BlobId>>, StoreError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("open", path)(error)),
    };
    let lock = file.try_lock_shared();
    if !is_taken(&lock) {
        return lock.map(|()| None).map_err(|error| failed("lock", path)(error.into()));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(failed("read", path))?;
    let (ids, _) = bytes.as_chunks::<32>();
    Ok(Some(ids.iter().map(|id| BlobId(*id)).collect()))
}
