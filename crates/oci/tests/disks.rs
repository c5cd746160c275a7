//! Disks that are full or read-only. Needs the right to mount.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use nydus_convert_oci::{
    Descriptor, Error, ErrorKind, LayoutSink, LayoutSource, Sink as _, Source as _, media_type,
};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, mount_remount, unmount};
use support::{add_image, assert_unchanged, require, skip, snapshot};
use tempfile::{TempDir, tempdir};

/// A mounted directory; dropping it unmounts it.
struct Mounted {
    path: PathBuf,
    _dir: TempDir,
}

impl Mounted {
    /// A file system in memory; none where mounting is not allowed.
    fn tmpfs(options: &str) -> Option<Self> {
        let dir = tempdir().unwrap();
        let options = std::ffi::CString::new(options).unwrap();
        match mount("tmpfs", dir.path(), "tmpfs", MountFlags::empty(), &*options) {
            Ok(()) => Some(Self { path: dir.path().to_owned(), _dir: dir }),
            Err(error) => {
                skip(&format!("cannot mount: {error}"));
                None
            }
        }
    }

    /// A read-only view of `path`.
    fn read_only(path: &Path) -> Option<Self> {
        let dir = tempdir().unwrap();
        if let Err(error) = mount_bind(path, dir.path()) {
            skip(&format!("cannot mount: {error}"));
            return None;
        }
        let mounted = Self { path: dir.path().to_owned(), _dir: dir };
        mount_remount(&mounted.path, MountFlags::BIND | MountFlags::RDONLY, "").unwrap();
        Some(mounted)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = unmount(&self.path, UnmountFlags::DETACH);
    }
}

/// An image of one layer of `size` bytes, without any unwrapping.
fn try_image(dir: &Path, name: &str, size: usize) -> Result<Descriptor, Error> {
    let sink = LayoutSink::create(dir, Some(name))?;
    let mut writer = sink.blob()?;
    writer.write_all(&vec![7; size]).map_err(Error::writing)?;
    let layer = writer.finish()?;
    let config = sink.put(media_type::OCI_CONFIG, b"{}")?;
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "config": config,
        "layers": [layer.descriptor(media_type::OCI_LAYER)],
    });
    let root = sink.put(media_type::OCI_MANIFEST, manifest.to_string().as_bytes())?;
    sink.commit(root.clone())?;
    Ok(root)
}

#[test]
fn a_full_disk() {
    require!("root");
    let Some(disk) = Mounted::tmpfs("size=1m") else { return };
    for target in [disk.path.join("new/layout"), disk.path.join("old")] {
        if target.ends_with("old") {
            add_image(&target, Some("x"), "small");
        }
        let before = snapshot(&disk.path);
        let error = try_image(&target, "x", 4 << 20).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoSpace, "{error:?}");
        assert!(error.to_string().contains(target.to_str().unwrap()), "the path is named: {error}");
        assert_unchanged(&disk.path, &before);
        // What fits still goes in.
        try_image(&target, "x", 100 << 10).unwrap();
    }
}

/// A disk with room for `inodes` files fails at another step for every number: each one must leave the target
/// as it was.
#[test]
fn a_disk_that_fills_up_at_any_step() {
    require!("root");
    for with_layout in [false, true] {
        let (mut failures, mut inodes) = (0, if with_layout { 12 } else { 3 });
        loop {
            let Some(disk) = Mounted::tmpfs(&format!("size=1m,nr_inodes={inodes}")) else { return };
            let dir = disk.path.join("layout");
            if with_layout {
                match try_image(&dir, "old", 10) {
                    Ok(_) => {}
                    Err(_) => {
                        inodes += 1;
                        continue;
                    }
                }
            }
            let before = snapshot(&disk.path);
            match try_image(&dir, "x", 5000) {
                Ok(root) => {
                    assert_eq!(LayoutSource::open(&dir, Some("x"), None).unwrap().root().digest, root.digest);
                    break;
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::NoSpace, "{inodes}: {error:?}");
                    assert_unchanged(&disk.path, &before);
                    failures += 1;
                }
            }
            inodes += 1;
            assert!(inodes < 100);
        }
        assert!(with_layout || failures > 5, "{failures}");
    }
}

#[test]
fn a_read_only_target() {
    require!("root");
    let temp = tempdir().unwrap();
    let root = add_image(&temp.path().join("layout"), Some("x"), "content");
    fs::create_dir(temp.path().join("empty")).unwrap();
    let before = snapshot(temp.path());
    let Some(view) = Mounted::read_only(temp.path()) else { return };
    for target in ["layout", "empty", "new", "new/deeper"] {
        let error = try_image(&view.path.join(target), "x", 10).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Access, "{target}: {error:?}");
        assert!(
            error.to_string().contains(view.path.join(target).parent().unwrap().to_str().unwrap()),
            "{error}"
        );
        assert_unchanged(temp.path(), &before);
    }
    // Reading needs no more than reading.
    let source = LayoutSource::open(view.path.join("layout"), Some("x"), None).unwrap();
    assert_eq!(source.read(&root, 1 << 20).unwrap().len() as u64, root.size);
}
