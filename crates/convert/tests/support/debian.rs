//! A real Debian image, made once per machine.
//!
//! `debian.sh` beside this file is the recipe. Its result is kept below the cache root under a name that holds the
//! recipe's hash, so an edited recipe makes a new image. A file lock lets one process make it while others wait;
//! an atomic rename makes it visible when it is whole.

use super::sha256_hex;
use super::tools::{Tool, available, cache_root};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

const RECIPE: &str = include_str!("debian.sh");

/// An OCI layout, ref name `latest`: linux of this machine's architecture, five gzip layers by buildah, some 3,600
/// files with every kind of change between layers. `None` where tools are missing (panics with `CI=true`).
pub fn debian_image() -> Option<PathBuf> {
    made().map(|dir| dir.join("layout"))
}

/// The base layer of [`debian_image`] as one plain GNU tar of some 120 MB: whole-second times, no xattrs, no fifos.
/// `None` where tools are missing (panics with `CI=true`).
pub fn debian_tar() -> Option<PathBuf> {
    made().map(|dir| dir.join("base.tar"))
}

fn made() -> Option<PathBuf> {
    if !available(&["debootstrap", "buildah", "setfattr", "apt-get", "root"]) {
        return None;
    }
    let root = cache_root();
    fs::create_dir_all(&root).unwrap();
    let lock = File::create(root.join("debian.lock")).unwrap();
    lock.lock().unwrap();
    let key = sha256_hex(RECIPE.as_bytes());
    let dir = root.join(format!("debian-{}", &key[..16]));
    if !dir.exists() {
        make(&root, &dir, &lock);
    }
    Some(dir)
}

fn make(root: &Path, dir: &Path, lock: &File) {
    let unfinished = root.join("debian.unfinished");
    remove_unfinished(&unfinished);
    let mut recipe = Tool::get("bash").command();
    // The recipe holds the lock too, as its (empty) standard input: it may outlive a killed test.
    recipe.stdin(lock.try_clone().unwrap());
    let output = recipe.arg("-c").arg(RECIPE).arg("debian.sh").arg(&unfinished).output().unwrap();
    assert!(
        output.status.success(),
        "debian.sh: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    fs::rename(&unfinished, dir).unwrap();
}

/// What a killed run left may still hold mounts: those first, then the files, never across a mount.
fn remove_unfinished(dir: &Path) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let below = |line: &&str| Path::new(line.split(' ').nth(4).unwrap_or("")).starts_with(dir);
    for line in mounts.lines().rev().filter(below) {
        Tool::get("umount").run(["-l", line.split(' ').nth(4).unwrap()]);
    }
    Tool::get("rm").run(["-rf".as_ref(), "--one-file-system".as_ref(), dir.as_os_str()]);
}
