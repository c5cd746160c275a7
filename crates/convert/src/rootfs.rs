//! A directory tree as the tar of one layer.
//!
//! ```text
//!   directory ─► scan: names, owners, times, attributes, in the order of names ─► tar, file by file
//! ```
//! The tar is a function of the tree: no clock, no names of users, no inode numbers. The first name of a file that has
//! several is the file, the others are hard links to it. Symbolic links are not followed.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use nydus_convert_layer::{EntryKind, LayerWriteError, LayerWriter};
use nydus_convert_oci::ErrorKind;
use nydus_convert_rafs::{DeviceNumber, EntryPath, Metadata, PathError, Timestamp, Xattrs};
use thiserror::Error;

/// Bytes written at once.
const BUFFER: usize = 256 << 10;
/// Bytes of one attribute's value, and of all names of a file: what Linux allows.
const MAX_XATTR: usize = 64 << 10;

/// Attributes that are the image's business, by the beginnings of their names. Others (`security.selinux`,
/// `trusted.overlay.…`) say how this machine holds the files.
const XATTRS: [&[u8]; 4] = [b"user.", b"security.capability", b"security.ima", b"system.posix_acl_"];

/// Why a directory tree cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RootfsError {
    /// Not a directory.
    #[error("{} is not a directory", path.display())]
    NotADirectory {
        /// What was named.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot read {}", path.display())]
    Io {
        /// What was to be read.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A name that no layer can have.
    #[error("{} cannot be in a layer", path.display())]
    Path {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: PathError,
    },
}

impl RootfsError {
    /// What sort of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotADirectory { .. } => ErrorKind::NotFound,
            Self::Io { source, .. } => ErrorKind::of_io(source),
            Self::Path { .. } => ErrorKind::Unsupported,
        }
    }
}

/// A directory tree that was looked through: all but the content of its files.
pub struct Rootfs {
    root: PathBuf,
    files: Vec<Found>,
    sockets: Vec<EntryPath>,
}

struct Found {
    path: EntryPath,
    kind: EntryKind,
    metadata: Metadata,
}

impl Rootfs {
    /// Looks through the directory `root`.
    pub fn scan(root: &Path) -> Result<Self, RootfsError> {
        if !fs::metadata(root).map_err(in_file(root))?.is_dir() {
            return Err(RootfsError::NotADirectory { path: root.to_owned() });
        }
        // A link to a directory is the directory.
        let root = fs::canonicalize(root).map_err(in_file(root))?;
        let mut found = Self { root, files: Vec::new(), sockets: Vec::new() };
        let mut names = HashMap::new();
        // The next ones to look at, the first one last.
        let mut pending = vec![Vec::new()];
        while let Some(name) = pending.pop() {
            if found.take(&name, &mut names)? {
                pending.extend(found.children(&name)?);
            }
        }
        Ok(found)
    }

    /// Sockets, which no layer can hold: they are left out.
    pub fn sockets(&self) -> &[EntryPath] {
        &self.sockets
    }

    /// The tar, written by a thread while it is read. A file that changes meanwhile is an error.
    pub fn into_tar(self) -> io::Result<Box<dyn Read + Send>> {
        let (reader, writer) = io::pipe()?;
        let writing = std::thread::Builder::new().name("rootfs".to_owned());
        let writing = writing.spawn(move || self.write(BufWriter::with_capacity(BUFFER, writer)))?;
        Ok(Box::new(Piped { reader, writing: Some(writing) }))
    }

    /// Takes one file; says whether it is a directory.
    fn take(&mut self, name: &[u8], names: &mut HashMap<(u64, u64), EntryPath>) -> Result<bool, RootfsError> {
        let file = self.file(name);
        let stat = fs::symlink_metadata(&file).map_err(in_file(&file))?;
        let path =
            EntryPath::parse(name).map_err(|source| RootfsError::Path { path: file.clone(), source })?;
        let kind = stat.file_type();
        let known = names.get(&(stat.dev(), stat.ino())).filter(|_| stat.nlink() > 1 && !kind.is_dir());
        let kind = match known {
            Some(target) => EntryKind::HardLink { target: target.clone() },
            None if kind.is_dir() => EntryKind::Directory,
            None if kind.is_file() => EntryKind::Regular { size: stat.size() },
            None if kind.is_symlink() => {
                let target = fs::read_link(&file).map_err(in_file(&file))?;
                EntryKind::Symlink { target: target.into_os_string().into_vec() }
            }
            None if kind.is_char_device() => EntryKind::CharDevice(device(stat.rdev())),
            None if kind.is_block_device() => EntryKind::BlockDevice(device(stat.rdev())),
            None if kind.is_fifo() => EntryKind::Fifo,
            None => {
                self.sockets.push(path);
                return Ok(false);
            }
        };
        if stat.nlink() > 1 && known.is_none() {
            names.insert((stat.dev(), stat.ino()), path.clone());
        }
        let metadata = Metadata {
            mode: (stat.mode() & 0o7777) as u16,
            uid: stat.uid(),
            gid: stat.gid(),
            mtime: Timestamp { seconds: stat.mtime(), nanos: stat.mtime_nsec() as u32 },
            xattrs: xattrs(&file).map_err(in_file(&file))?,
        };
        let is_directory = matches!(kind, EntryKind::Directory);
        self.files.push(Found { path, kind, metadata });
        Ok(is_directory)
    }

    /// What a directory holds, the last name first.
    fn children(&self, name: &[u8]) -> Result<Vec<Vec<u8>>, RootfsError> {
        let dir = self.file(name);
        let mut children = Vec::new();
        for entry in fs::read_dir(&dir).map_err(in_file(&dir))? {
            let child = entry.map_err(in_file(&dir))?.file_name();
            children.push(if name.is_empty() {
                child.as_bytes().to_vec()
            } else {
                [name, child.as_bytes()].join(&b'/')
            });
        }
        children.sort_unstable_by(|a, b| b.cmp(a));
        Ok(children)
    }

    fn file(&self, name: &[u8]) -> PathBuf {
        self.root.join(std::ffi::OsStr::from_bytes(name))
    }

    fn write(self, out: impl io::Write) -> Result<(), LayerWriteError> {
        let mut tar = LayerWriter::new(out);
        for Found { path, kind, metadata } in &self.files {
            tar.append(path, kind, metadata)?;
            if let EntryKind::Regular { size: 1.. } = kind {
                let file = open(&self.file(path.as_bytes()));
                let file = file.map_err(|source| LayerWriteError::Content { path: path.clone(), source })?;
                tar.copy_content(file)?;
            }
        }
        tar.finish()?.flush().map_err(|source| LayerWriteError::Write { source })
    }
}

/// Opens a regular file; what has become something else since does not block.
fn open(file: &Path) -> io::Result<File> {
    use rustix::fs::OFlags;
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    OpenOptions::new().read(true).custom_flags(flags).open(file)
}

fn device(number: u64) -> DeviceNumber {
    DeviceNumber { major: rustix::fs::major(number), minor: rustix::fs::minor(number) }
}

/// The attributes of a file itself, not of what it links to.
fn xattrs(file: &Path) -> io::Result<Xattrs> {
    let mut all = Xattrs::new();
    let mut names = vec![0; MAX_XATTR];
    let length = match rustix::fs::llistxattr(file, &mut names[..]) {
        // A file system without them.
        Err(rustix::io::Errno::NOTSUP) => return Ok(all),
        length => length?,
    };
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        if !XATTRS.iter().any(|known| name.starts_with(known)) {
            continue;
        }
        let mut value = vec![0; MAX_XATTR];
        let length = rustix::fs::lgetxattr(file, name, &mut value[..])?;
        value.truncate(length);
        all.insert(name.to_vec(), value);
    }
    Ok(all)
}

fn in_file(path: &Path) -> impl FnOnce(io::Error) -> RootfsError {
    move |source| RootfsError::Io { path: path.to_owned(), source }
}

/// What a thread writes; its end is the thread's verdict.
struct Piped {
    reader: io::PipeReader,
    writing: Option<JoinHandle<Result<(), LayerWriteError>>>,
}

impl Read for Piped {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.reader.read(buffer)?;
        if n > 0 || buffer.is_empty() {
            return Ok(n);
        }
        match self.writing.take().map(JoinHandle::join) {
            None | Some(Ok(Ok(()))) => Ok(0),
            Some(Ok(Err(error))) => Err(io::Error::other(error)),
            Some(Err(_)) => Err(io::Error::other("the thread that reads the directory ended")),
        }
    }
}
