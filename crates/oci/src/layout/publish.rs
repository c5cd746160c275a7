//! Moving finished files to their final names so that it can be undone.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::{LayoutError, OWN_PREFIX, io_error};

/// Changes to a layout that are not final yet. Dropping it before [`keep`](Self::keep) takes them back, the
/// last first.
#[derive(Default)]
pub(crate) struct Publication {
    undo: Vec<Undo>,
}

enum Undo {
    RemoveFile(PathBuf),
    RemoveDir(PathBuf),
    MoveBack { from: PathBuf, to: PathBuf },
}

impl Publication {
    /// Makes the directory `path` if it does not exist.
    pub fn dir(&mut self, path: &Path) -> Result<(), LayoutError> {
        match fs::create_dir(path) {
            Ok(()) => {
                self.undo.push(Undo::RemoveDir(path.to_owned()));
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match fs::metadata(path) {
                Ok(metadata) if metadata.is_dir() => Ok(()),
                Ok(_) => Err(error),
                // Gone again: whoever made it has taken it back.
                Err(gone) => Err(gone),
            },
            Err(error) => Err(error),
        }
        .map_err(io_error("create", path))
    }

    /// Makes the directory `path` and those above it that do not exist.
    pub fn dir_all(&mut self, path: &Path) -> Result<(), LayoutError> {
        let missing: Vec<&Path> = path
            .ancestors()
            // The empty path is where a relative one begins.
            .take_while(|above| !above.as_os_str().is_empty() && !above.exists())
            .collect();
        missing.into_iter().rev().try_for_each(|above| self.dir(above))
    }

    /// Moves the file `from` to the name `to`, which does not exist.
    pub fn file(&mut self, from: &Path, to: &Path) -> Result<(), LayoutError> {
        match fs::rename(from, to) {
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => copy_into_place(from, to),
            result => result,
        }
        .map_err(io_error("write", to))?;
        self.undo.push(Undo::RemoveFile(to.to_owned()));
        Ok(())
    }

    /// Moves the file `old` out of the way to the name `aside`.
    pub fn move_aside(&mut self, old: &Path, aside: PathBuf) -> Result<(), LayoutError> {
        fs::rename(old, &aside).map_err(io_error("replace", old))?;
        self.undo.push(Undo::MoveBack { from: aside, to: old.to_owned() });
        Ok(())
    }

    /// Makes everything final.
    pub fn keep(mut self) {
        self.undo.clear();
    }
}

impl Drop for Publication {
    fn drop(&mut self) {
        for step in self.undo.drain(..).rev() {
            // Nothing better can be done about a failure here than to go on. A directory that somebody else
            // has begun to use stays.
            let _ = match step {
                Undo::RemoveFile(path) => fs::remove_file(path),
                Undo::RemoveDir(path) => fs::remove_dir(path),
                Undo::MoveBack { from, to } => fs::rename(from, to),
            };
        }
    }
}

/// Where `blobs` is a symbolic link to another file system, a rename cannot do it: a copy beside the target
/// can.
fn copy_into_place(from: &Path, to: &Path) -> io::Result<()> {
    let dir = to.parent().unwrap_or(Path::new("."));
    let mut copy = tempfile::Builder::new()
        .prefix(&format!("{OWN_PREFIX}-"))
        .make_in(dir, |path| File::create_new(path))?;
    io::copy(&mut File::open(from)?, copy.as_file_mut())?;
    copy.as_file().sync_all()?;
    copy.persist(to)?;
    Ok(())
}

/// Writes a directory's names to the disk.
pub(crate) fn sync_dir(path: &Path) -> Result<(), LayoutError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(io_error("write", path))
}
