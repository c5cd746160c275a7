//! What the newer reference reader (crates `nydus-rafs` 0.4, `nydus-storage` 0.7) finds in an image.
//!
//! [`read`] opens a bootstrap and a directory of blobs as the reference daemon does, with the daemon's checks of every
//! chunk switched on, and gives every file of the image: metadata as the inode says it, content as a `read` of a mounted
//! file system gives it.

#![forbid(unsafe_code)]

mod sink;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use fuse_backend_rs::api::filesystem::{Context, FileSystem};
use nydus_api::ConfigV2;
use nydus_rafs::fs::Rafs;
use nydus_rafs::metadata::{RafsInode, RafsInodeWalkAction};
use sha2::{Digest, Sha256};

use sink::Window;

/// Bytes asked for in one read: a page more than a power of two, so that reads straddle chunks of every size.
const READ_BYTES: u32 = (128 << 10) + 4096;

/// Files by path relative to the root, raw bytes without a leading slash; the root is the empty path.
pub type Files = BTreeMap<Vec<u8>, File>;

/// One name in the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Inode number; names of one file share it.
    pub inode: u64,
    /// Type and permission bits, as `st_mode`.
    pub mode: u32,
    /// Number of names.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes: of a file's content, of a link's target; of a directory whatever the format needs.
    pub size: u64,
    /// Device number in the encoding of `new_encode_dev`; 0 for what is no device.
    pub rdev: u32,
    /// Seconds and nanoseconds since the epoch.
    pub mtime: (u64, u32),
    /// Extended attributes by full name.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Where a symbolic link leads.
    pub target: Option<Vec<u8>>,
    /// SHA-256 of a regular file's content, as it was read.
    pub sha256: Option<[u8; 32]>,
}

/// Reads the whole image of `bootstrap`, whose blobs are files of `blobs` named by blob id. `cache` is an empty
/// directory that the reader fills. The error names the path at which the reader gave up.
pub fn read(bootstrap: &Path, blobs: &Path, cache: &Path) -> io::Result<Files> {
    let config = serde_json::json!({
        "version": 2,
        "backend": { "type": "localfs", "localfs": { "dir": blobs } },
        "cache": { "type": "filecache", "validate": true, "filecache": { "work_dir": cache } },
        "rafs": { "mode": "direct", "enable_xattr": true },
    });
    let config = Arc::new(ConfigV2::from_str(&config.to_string())?);
    let (mut rafs, reader) = Rafs::new(&config, "oracle", bootstrap).map_err(io::Error::other)?;
    rafs.import(reader, None).map_err(io::Error::other)?;
    let mut files = Files::new();
    let root = rafs.get_root_inode()?;
    visit(&rafs, root.as_ref(), Vec::new(), &mut files)?;
    drop(root);
    // The inherent one: the trait has another of the same name.
    Rafs::destroy(&mut rafs)?;
    Ok(files)
}

fn visit(rafs: &Rafs, inode: &dyn RafsInode, path: Vec<u8>, files: &mut Files) -> io::Result<()> {
    let file = file(rafs, inode).map_err(|error| at(&path, &error))?;
    files.insert(path.clone(), file);
    if !inode.is_dir() {
        return Ok(());
    }
    for name in names(inode).map_err(|error| at(&path, &error))? {
        let mut child_path = path.clone();
        if !path.is_empty() {
            child_path.push(b'/');
        }
        child_path.extend_from_slice(&name);
        if files.contains_key(&child_path) {
            return Err(at(&child_path, &io::Error::other("listed twice")));
        }
        // By name and not by position: what is listed must be found by the reader's search too.
        let child =
            inode.get_child_by_name(OsStr::from_bytes(&name)).map_err(|error| at(&child_path, &error))?;
        visit(rafs, child.as_inode(), child_path, files)?;
    }
    Ok(())
}

/// The names in a directory, in the order of the listing.
fn names(directory: &dyn RafsInode) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    directory.walk_children_inodes(0, &mut |_, name, _, _| {
        let name = name.into_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
        Ok(RafsInodeWalkAction::Continue)
    })?;
    Ok(names)
}

fn file(rafs: &Rafs, inode: &dyn RafsInode) -> io::Result<File> {
    // The file system's own getattr dresses the root up; the inode says what the image holds.
    let attr = inode.get_attr();
    Ok(File {
        inode: inode.ino(),
        mode: attr.mode,
        nlink: attr.nlink,
        uid: attr.uid,
        gid: attr.gid,
        size: attr.size,
        rdev: if inode.is_blkdev() || inode.is_chrdev() { attr.rdev } else { 0 },
        mtime: (attr.mtime, attr.mtimensec),
        xattrs: xattrs(inode)?,
        target: if inode.is_symlink() { Some(inode.get_symlink()?.into_vec()) } else { None },
        sha256: if inode.is_reg() { Some(content(rafs, inode.ino(), attr.size)?) } else { None },
    })
}

fn xattrs(inode: &dyn RafsInode) -> io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut found = BTreeMap::new();
    for name in inode.get_xattrs()? {
        let value = inode.get_xattr(OsStr::from_bytes(&name))?;
        let value =
            value.ok_or_else(|| io::Error::other(format!("xattr {} is listed only", name.escape_ascii())))?;
        found.insert(name, value);
    }
    Ok(found)
}

/// Reads a file to its end, as the kernel would ask for it, and hashes what came.
fn content(rafs: &Rafs, inode: u64, size: u64) -> io::Result<[u8; 32]> {
    let context = Context::default();
    let mut hash = Sha256::new();
    let mut offset = 0;
    loop {
        let mut window = Window::new(READ_BYTES as usize);
        let read = rafs.read(&context, inode, 0, &mut window, READ_BYTES, offset, None, 0)?;
        if read == 0 {
            break;
        }
        if window.bytes().len() != read {
            return Err(io::Error::other(format!(
                "{read} bytes were promised, {} came",
                window.bytes().len()
            )));
        }
        hash.update(window.bytes());
        offset += read as u64;
    }
    if offset != size {
        return Err(io::Error::other(format!("size is {size} but {offset} bytes were read")));
    }
    Ok(hash.finalize().into())
}

fn at(path: &[u8], error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("/{}: {error}", path.escape_ascii()))
}
