//! Disks that are full. Needs the right to mount.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::{env, fs};

use nydus_convert_chunk::store::{ChunkStore, PrunePolicy};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tempfile::{TempDir, tempdir};

use crate::place::{assert_sound, key, packed, try_publish};

/// A file system in memory; dropping it unmounts it.
struct Disk {
    path: PathBuf,
    _dir: TempDir,
}

impl Disk {
    /// `None` where mounting is not allowed.
    fn of(kibibytes: usize) -> Option<Self> {
        let dir = tempdir().unwrap();
        let size = std::ffi::CString::new(format!("size={kibibytes}k")).unwrap();
        match mount("tmpfs", dir.path(), "tmpfs", MountFlags::empty(), &*size) {
            Ok(()) => Some(Self { path: dir.path().to_owned(), _dir: dir }),
            Err(error) => {
                assert!(env::var_os("CI").is_none_or(|ci| ci != "true"), "CI must not skip: {error}");
                let _ = writeln!(io::stderr(), "SKIP full disks: cannot mount: {error}");
                None
            }
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = unmount(&self.path, UnmountFlags::DETACH);
    }
}

fn publish(store: &ChunkStore, number: usize) -> Result<(), nydus_convert_chunk::store::StoreError> {
    let body = vec![number as u8; 9000];
    let numbers: Vec<_> = (number * 5..number * 5 + 8).collect();
    try_publish(store, &packed(&numbers), Some((key(number as u8), &body))).map(drop)
}

fn unfinished(disk: &Path) -> usize {
    fs::read_dir(disk.join("store/unfinished")).unwrap().count()
}

/// The disk is full at another step for every size of what else lies on it.
#[test]
fn a_full_disk_is_an_error_and_no_damage() {
    const SIZE: usize = 700;
    let Some(disk) = Disk::of(SIZE) else { return };
    let (dir, filler) = (disk.path.join("store"), disk.path.join("filler"));
    let mut failures = 0;
    for free in (0..160).step_by(4) {
        let _ = fs::remove_dir_all(&dir);
        let store = ChunkStore::open(&dir).unwrap();
        publish(&store, 0).unwrap();
        // All but what is to be free.
        let mut file = fs::File::create(&filler).unwrap();
        while file.write(&[7; 4096]).is_ok() {}
        file.set_len(file.metadata().unwrap().len().saturating_sub(free << 10)).unwrap();
        drop(file);
        let mut done = 1;
        let error = loop {
            match publish(&store, done) {
                Ok(()) => done += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(error.io().map(io::Error::kind), Some(io::ErrorKind::StorageFull), "{free}: {error:?}");
        failures += usize::from(done == 1);
        assert_eq!(unfinished(&disk.path), 0, "{free}: {error:?}");
        fs::remove_file(&filler).unwrap();
        // Who has the store open can go on, and whoever opens it.
        for store in [store, ChunkStore::open(&dir).unwrap()] {
            assert_sound(&store);
            for number in 0..done {
                assert!(store.find_layer(key(number as u8)).unwrap().is_some(), "{free} {number}");
            }
            publish(&store, done).unwrap();
            done += 1;
            store.prune(&PrunePolicy::default()).unwrap();
            assert_sound(&store);
        }
    }
    assert!(failures > 5, "{failures}");
}

/// What a session holds is written too.
#[test]
fn a_hold_that_could_not_be_written_is_none() {
    let Some(disk) = Disk::of(400) else { return };
    let (dir, filler) = (disk.path.join("store"), disk.path.join("filler"));
    let store = ChunkStore::open(&dir).unwrap();
    publish(&store, 0).unwrap();
    let mut file = fs::File::create(&filler).unwrap();
    while file.write(&[7; 4096]).is_ok() {}
    drop(file);
    let user = ChunkStore::open(&dir).unwrap();
    let error = user.find_layer(key(0)).err().unwrap();
    assert_eq!(error.io().map(io::Error::kind), Some(io::ErrorKind::StorageFull), "{error:?}");
    fs::remove_file(&filler).unwrap();
    let layer = user.find_layer(key(0)).unwrap().unwrap();
    let report = store.prune(&PrunePolicy { blobs: vec![layer.blob], ..PrunePolicy::default() }).unwrap();
    assert_eq!((report.pruned.len(), report.kept.len()), (0, 1));
}
