//! Locks between processes.
//!
//! [`LayoutLock`] is a file inside the layout that exists only while somebody holds or wants the lock. A
//! locked file rather than a locked directory, because network file systems lock only what is open for
//! writing.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::{LayoutError, OWN_PREFIX, io_error};

/// The right to change a layout's names, held for moments. Dropping it releases it.
pub(crate) struct LayoutLock {
    path: PathBuf,
    _file: File,
}

impl LayoutLock {
    /// Waits for the lock of the layout `dir`.
    pub fn acquire(dir: &Path) -> Result<Self, LayoutError> {
        let path = dir.join(format!("{OWN_PREFIX}.lock"));
        loop {
            let file = open_lock(&path).map_err(io_error("create", &path))?;
            file.lock().map_err(io_error("lock", &path))?;
            // Who held the lock before us has removed the file. If we locked that one, somebody else may have
            // locked its successor.
            if is_at(&file, &path).map_err(io_error("lock", &path))? {
                return Ok(Self { path, _file: file });
            }
        }
    }
}

impl Drop for LayoutLock {
    fn drop(&mut self) {
        // Still locked: whoever waits for this file will find that it is gone.
        let _ = fs::remove_file(&self.path);
    }
}

/// Opens a lock file, made if it is not there. A symbolic link in its place is refused.
pub(crate) fn open_lock(path: &Path) -> io::Result<File> {
    let no_follow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    OpenOptions::new().read(true).write(true).create(true).truncate(false).custom_flags(no_follow).open(path)
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let held = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok((held.dev(), held.ino()) == (there.dev(), there.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn one_at_a_time_and_no_trace() {
        let dir = tempfile::tempdir().unwrap();
        let (inside, entered) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let lock = LayoutLock::acquire(dir.path()).unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        entered.fetch_add(1, Ordering::SeqCst);
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(lock);
                    }
                });
            }
        });
        assert_eq!(entered.into_inner(), 400);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
