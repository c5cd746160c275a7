//! A directory tree as a value, and the difference of two.
//!
//! [`Tree::read`] records what an image promises about a file: type, mode, owner, size, content (SHA-256), link target,
//! device number, mtime to the nanosecond, xattrs and hard-link group. It leaves out what it does not: inode numbers,
//! a directory's size and link count, atime and ctime. [`Tree::diff`] gives one readable line a difference.

use super::hex;
use rustix::fs::{lgetxattr, llistxattr};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Files by path relative to the root, raw bytes without a leading slash; the root itself is the empty path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree(pub BTreeMap<Vec<u8>, Node>);

/// One file of any type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub kind: Kind,
    /// Permission bits with setuid, setgid and sticky: `mode & 07777`.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Seconds and nanoseconds since the epoch.
    pub mtime: (i64, i64),
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// For a file with several names in the tree: the first of them in byte order, the same for the whole group.
    pub group: Option<Vec<u8>>,
    /// What stat says of the number of names; 1 for directories.
    pub nlink: u64,
}

/// What a file is, with what only that type has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Directory,
    File { size: u64, sha256: String },
    Symlink { target: Vec<u8> },
    CharDevice { major: u32, minor: u32 },
    BlockDevice { major: u32, minor: u32 },
    Fifo,
    Socket,
}

/// What a comparison leaves out because one side cannot hold it. `Ignore::default()` leaves out nothing.
#[derive(Clone, Debug, Default)]
pub struct Ignore {
    /// Compare times to the second only.
    pub nanoseconds: bool,
    /// The root directory's mode, owner, time and xattrs: few layers carry an entry for it.
    pub root: bool,
    /// The link count that stat reports. Groups are compared all the same.
    pub nlink: bool,
    /// Times of these paths: directories no layer has an entry for get the time of extraction.
    pub mtime_of: Vec<Vec<u8>>,
    /// Xattrs whose name begins with one of these.
    pub xattr_prefixes: Vec<Vec<u8>>,
}

impl Tree {
    /// Reads everything below `root`; content too. Needs the rights to read it all, so usually root.
    /// Panics on the first file that cannot be read: in a comparison that is a failure, not a difference.
    pub fn read(root: &Path) -> Tree {
        Tree::try_read(root).unwrap_or_else(|(path, error)| panic!("{}: {error}", path.display()))
    }

    /// [`Tree::read`] that gives the first path that could not be read, and why.
    pub fn try_read(root: &Path) -> Result<Tree, (PathBuf, io::Error)> {
        let mut reader = Reader::default();
        reader.visit(root, Vec::new())?;
        let Reader { mut nodes, names } = reader;
        for group in names.into_values().filter(|group| group.len() > 1) {
            let first = group.iter().min().cloned();
            for name in &group {
                nodes.get_mut(name).unwrap().group = first.clone();
            }
        }
        Ok(Tree(nodes))
    }

    /// One line for each path that is on one side only, and for each attribute that differs; empty when the trees agree.
    /// `self` is the left side of each line.
    pub fn diff(&self, other: &Tree, ignore: &Ignore) -> Vec<String> {
        let mut lines = Vec::new();
        for (path, left) in &self.0 {
            match other.0.get(path) {
                None => lines.push(format!("{}: only on the left", show(path))),
                Some(right) => {
                    let differences = left.diff(right, path, ignore);
                    lines.extend(differences.into_iter().map(|d| format!("{}: {d}", show(path))));
                }
            }
        }
        let added = other.0.keys().filter(|path| !self.0.contains_key(*path));
        lines.extend(added.map(|path| format!("{}: only on the right", show(path))));
        lines.sort();
        lines
    }

    /// Panics with the first differences if there are any.
    pub fn assert_same(&self, other: &Tree, ignore: &Ignore) {
        let lines = self.diff(other, ignore);
        let shown = lines.iter().take(40).map(String::as_str).collect::<Vec<_>>().join("\n");
        assert!(lines.is_empty(), "{} differences:\n{shown}", lines.len());
    }
}

impl Node {
    fn diff(&self, other: &Node, path: &[u8], ignore: &Ignore) -> Vec<String> {
        let mut lines = Vec::new();
        let mut compare = |what: &str, left: String, right: String| {
            if left != right {
                lines.push(format!("{what} {left} != {right}"));
            }
        };
        compare("type", self.kind.show(), other.kind.show());
        let group = |node: &Node| node.group.as_deref().map_or("none".to_owned(), show);
        compare("hard-link group", group(self), group(other));
        if path.is_empty() && ignore.root {
            return lines;
        }
        compare("mode", format!("{:04o}", self.mode), format!("{:04o}", other.mode));
        compare("uid", self.uid.to_string(), other.uid.to_string());
        compare("gid", self.gid.to_string(), other.gid.to_string());
        if !ignore.nlink {
            compare("nlink", self.nlink.to_string(), other.nlink.to_string());
        }
        if !ignore.mtime_of.iter().any(|p| p == path) {
            let time = |node: &Node| {
                let nanoseconds = if ignore.nanoseconds { 0 } else { node.mtime.1 };
                format!("{}.{nanoseconds:09}", node.mtime.0)
            };
            compare("mtime", time(self), time(other));
        }
        let xattrs = |node: &Node| {
            let kept = node.xattrs.iter().filter(|(name, _)| !ignore.xattr(name));
            kept.map(|(name, value)| format!("{}={}", show(name), hex(value))).collect::<Vec<_>>().join(" ")
        };
        compare("xattrs", format!("[{}]", xattrs(self)), format!("[{}]", xattrs(other)));
        lines
    }
}

impl Kind {
    fn show(&self) -> String {
        match self {
            Kind::Directory => "directory".to_owned(),
            Kind::File { size, sha256 } => format!("file of {size} bytes, sha256 {sha256}"),
            Kind::Symlink { target } => format!("symlink to {}", show(target)),
            Kind::CharDevice { major, minor } => format!("character device {major}:{minor}"),
            Kind::BlockDevice { major, minor } => format!("block device {major}:{minor}"),
            Kind::Fifo => "fifo".to_owned(),
            Kind::Socket => "socket".to_owned(),
        }
    }
}

impl Ignore {
    fn xattr(&self, name: &[u8]) -> bool {
        self.xattr_prefixes.iter().any(|prefix| name.starts_with(prefix))
    }
}

/// Bytes for a person: quoted, what is not printable ASCII escaped.
fn show(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}

#[derive(Default)]
struct Reader {
    nodes: BTreeMap<Vec<u8>, Node>,
    /// Names of each inode with more than one, by device and inode number.
    names: BTreeMap<(u64, u64), Vec<Vec<u8>>>,
}

impl Reader {
    fn visit(&mut self, path: &Path, name: Vec<u8>) -> Result<(), (PathBuf, io::Error)> {
        let at = |error| (path.to_owned(), error);
        let stat = fs::symlink_metadata(path).map_err(at)?;
        let is_dir = stat.is_dir();
        if !is_dir && stat.nlink() > 1 {
            self.names.entry((stat.dev(), stat.ino())).or_default().push(name.clone());
        }
        let node = Node {
            kind: kind(path, &stat).map_err(at)?,
            mode: stat.mode() & 0o7777,
            uid: stat.uid(),
            gid: stat.gid(),
            mtime: (stat.mtime(), stat.mtime_nsec()),
            xattrs: xattrs(path).map_err(at)?,
            group: None,
            nlink: if is_dir { 1 } else { stat.nlink() },
        };
        self.nodes.insert(name.clone(), node);
        if !is_dir {
            return Ok(());
        }
        for entry in fs::read_dir(path).map_err(at)? {
            let entry = entry.map_err(at)?;
            let mut child = name.clone();
            if !child.is_empty() {
                child.push(b'/');
            }
            child.extend_from_slice(entry.file_name().as_bytes());
            // A directory that lists one name twice would hide here: a map keeps the last.
            if self.nodes.contains_key(&child) {
                return Err((entry.path(), io::Error::other("listed twice")));
            }
            self.visit(&entry.path(), child)?;
        }
        Ok(())
    }
}

fn kind(path: &Path, stat: &fs::Metadata) -> io::Result<Kind> {
    let kind = stat.file_type();
    let (major, minor) = (rustix::fs::major(stat.rdev()), rustix::fs::minor(stat.rdev()));
    Ok(if kind.is_dir() {
        Kind::Directory
    } else if kind.is_file() {
        let mut hash = Sha256::new();
        let read = io::copy(&mut File::open(path)?, &mut HashWriter(&mut hash))?;
        if read != stat.len() {
            return Err(io::Error::other(format!("size is {} but {read} bytes were read", stat.len())));
        }
        Kind::File { size: read, sha256: hex(&hash.finalize()) }
    } else if kind.is_symlink() {
        Kind::Symlink { target: fs::read_link(path)?.into_os_string().into_vec() }
    } else if kind.is_char_device() {
        Kind::CharDevice { major, minor }
    } else if kind.is_block_device() {
        Kind::BlockDevice { major, minor }
    } else if kind.is_fifo() {
        Kind::Fifo
    } else {
        Kind::Socket
    })
}

/// `io::copy` needs a writer; the hash takes slices.
struct HashWriter<'a>(&'a mut Sha256);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Xattrs of the file itself, symlinks not followed. A file system without xattrs has none.
fn xattrs(path: &Path) -> io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    // The largest list and the largest value that Linux gives.
    const MOST: usize = 65536;
    let mut list = vec![0; MOST];
    let length = match llistxattr(path, &mut list[..]) {
        Err(rustix::io::Errno::OPNOTSUPP) => 0,
        other => other?,
    };
    let mut found = BTreeMap::new();
    let mut value = vec![0; MOST];
    for name in list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let length = lgetxattr(path, name, &mut value[..])?;
        found.insert(name.to_vec(), value[..length].to_vec());
    }
    Ok(found)
}
