//! A whole layer out of a tree.
//!
//! The content of all files is one stream, in the order of [`LayerPlan::files`]: who knows the order can read ahead,
//! in parallel, while the tar is written.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};

use nydus_convert_rafs::{EntryPath, InodeId, InodeKind, Tree, display_bytes};
use thiserror::Error;

use super::error::LayerWriteError;
use super::head::{Kind, encode, entry_path, padding};
use super::records::is_xattr_name;
use super::walk::{Step, Walk, What, Whiteouts};
use super::{END, write};

/// Bytes written to the target at a time.
const BUFFER: usize = 1 << 16;

/// What a tar cannot say of a tree.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Misfit {
    /// A socket: left out, as all programs do that make tars.
    #[error("{path}: no tar can hold a socket")]
    Socket {
        /// Its name; each of several names is reported.
        path: EntryPath,
    },
    /// A symbolic link to nothing, or to a name with a NUL byte: left out.
    #[error("{path}: no tar can hold a symbolic link to '{}'", display_bytes(target))]
    SymlinkTarget {
        /// The link.
        path: EntryPath,
        /// Its target.
        target: Vec<u8>,
    },
    /// An extended attribute whose name is empty or holds `=` or a NUL byte: dropped.
    #[error("{path}: no tar can hold an extended attribute named '{}'", display_bytes(name))]
    XattrName {
        /// The file, under its first name.
        path: EntryPath,
        /// The attribute's full name.
        name: Vec<u8>,
    },
}

/// How a tree becomes a layer: one layer's tree, or that of a merged image.
///
/// A directory that no source describes has no entry, unless it is empty; the root among them, if its metadata is what
/// such a directory has. An empty file with the attribute
/// [`LINK_XATTR`](nydus_convert_rafs::LINK_XATTR) becomes the hard link that it stands for.
#[derive(Debug, Clone, Copy)]
pub struct LayerPlan<'a> {
    tree: &'a Tree,
    whiteouts: Whiteouts,
}

impl<'a> LayerPlan<'a> {
    /// The plan for a tree whose whiteouts are spelled like that.
    pub const fn of(tree: &'a Tree, whiteouts: Whiteouts) -> Self {
        Self { tree, whiteouts }
    }

    /// The files that have content, each once, in the order in which their content is wanted.
    pub fn files(&self) -> impl Iterator<Item = InodeId> + use<'a> {
        self.steps().filter(|step| content_size(step) > 0).map(|step| step.id)
    }

    /// What will be missing from the layer, in order. Nobody is told when the layer is written.
    pub fn misfits(&self) -> impl Iterator<Item = Misfit> + use<'a> {
        let mut walk = self.steps();
        std::iter::from_fn(move || {
            let step = walk.next()?;
            Some(misfits_of(&step, walk.path()))
        })
        .flatten()
    }

    /// The tar, to be read. `content` is that of all files, in the order of [`LayerPlan::files`], without gaps.
    pub fn read<C: Read>(&self, content: C) -> LayerTar<'a, C> {
        LayerTar {
            walk: self.steps(),
            content,
            blocks: Vec::new(),
            taken: 0,
            remaining: 0,
            padding: 0,
            last_file: Vec::new(),
            state: State::Open,
        }
    }

    /// Writes the same tar; gives the target back, not flushed.
    ///
    /// # Errors
    /// `content` fails, ends early or does not end; the target fails; an entry's records exceed what readers take.
    pub fn write<W: Write>(&self, mut out: W, content: impl Read) -> Result<W, LayerWriteError> {
        let mut tar = self.read(content);
        let mut buffer = vec![0; BUFFER];
        loop {
            let mut filled = 0;
            while filled < buffer.len() {
                match tar.pull(&mut buffer[filled..])? {
                    0 => break,
                    count => filled += count,
                }
            }
            write(&mut out, &buffer[..filled])?;
            if filled < buffer.len() {
                return Ok(out);
            }
        }
    }

    fn steps(&self) -> Walk<'a> {
        Walk::new(self.tree, self.whiteouts)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Ended,
    Failed,
}

/// A layer as a stream of bytes, made while it is read. Errors are [`LayerWriteError`]s inside `io::Error`s.
pub struct LayerTar<'a, C> {
    walk: Walk<'a>,
    content: C,
    /// Headers, padding or the end, of which `taken` bytes have been read.
    blocks: Vec<u8>,
    taken: usize,
    /// Bytes of the present file's content that are still to come.
    remaining: u64,
    /// Bytes that fill its last block.
    padding: usize,
    /// The last file that has content, for errors.
    last_file: Vec<u8>,
    state: State,
}

impl<C> fmt::Debug for LayerTar<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("LayerTar");
        debug.field("at", &entry_path(self.walk.path())).field("remaining", &self.remaining);
        debug.field("state", &self.state).finish_non_exhaustive()
    }
}

impl<C: Read> LayerTar<'_, C> {
    fn pull(&mut self, buffer: &mut [u8]) -> Result<usize, LayerWriteError> {
        if self.state == State::Failed {
            return Err(LayerWriteError::Stopped);
        }
        let result = self.step(buffer);
        if result.is_err() {
            self.state = State::Failed;
        }
        result
    }

    fn step(&mut self, buffer: &mut [u8]) -> Result<usize, LayerWriteError> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let waiting = &self.blocks[self.taken..];
            if !waiting.is_empty() {
                let count = waiting.len().min(buffer.len());
                buffer[..count].copy_from_slice(&waiting[..count]);
                self.taken += count;
                return Ok(count);
            }
            if self.remaining > 0 {
                return self.read_content(buffer);
            }
            if self.state == State::Ended {
                return Ok(0);
            }
            self.next_blocks()?;
        }
    }

    /// Makes the headers of the next entry, or the end.
    fn next_blocks(&mut self) -> Result<(), LayerWriteError> {
        self.blocks.clear();
        self.taken = 0;
        let Some(step) = self.walk.next() else {
            self.check_surplus()?;
            self.blocks.resize(END, 0);
            self.state = State::Ended;
            return Ok(());
        };
        let Some(kind) = kind_of(&step) else { return Ok(()) };
        encode(self.walk.path(), kind, &self.walk.metadata(&step), &mut self.blocks)?;
        self.remaining = content_size(&step);
        self.padding = padding(self.remaining);
        if self.remaining > 0 {
            self.walk.path().clone_into(&mut self.last_file);
        }
        Ok(())
    }

    fn read_content(&mut self, buffer: &mut [u8]) -> Result<usize, LayerWriteError> {
        let most = usize::try_from(self.remaining).map_or(buffer.len(), |left| left.min(buffer.len()));
        let count = self.read_source(&mut buffer[..most])?;
        if count == 0 {
            let (path, missing) = (entry_path(&self.last_file), self.remaining);
            return Err(LayerWriteError::ContentTooShort { path, missing });
        }
        self.remaining -= count as u64;
        if self.remaining == 0 {
            self.blocks.clear();
            self.blocks.resize(self.padding, 0);
            self.taken = 0;
        }
        Ok(count)
    }

    fn check_surplus(&mut self) -> Result<(), LayerWriteError> {
        match self.read_source(&mut [0])? {
            0 => Ok(()),
            _ => Err(LayerWriteError::ContentTooLong { path: entry_path(&self.last_file), surplus: 1 }),
        }
    }

    fn read_source(&mut self, buffer: &mut [u8]) -> Result<usize, LayerWriteError> {
        loop {
            match self.content.read(buffer) {
                Err(source) if source.kind() == ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(LayerWriteError::Content { path: entry_path(&self.last_file), source });
                }
                Ok(count) => return Ok(count),
            }
        }
    }
}

impl<C: Read> Read for LayerTar<'_, C> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.pull(buffer).map_err(|error| match &error {
            LayerWriteError::Content { source, .. } => io::Error::new(source.kind(), error),
            LayerWriteError::ContentTooShort { .. } => io::Error::new(ErrorKind::UnexpectedEof, error),
            _ => io::Error::new(ErrorKind::InvalidData, error),
        })
    }
}

/// What the step's entry is; `None` if it has none.
fn kind_of<'a>(step: &'a Step<'_>) -> Option<Kind<'a>> {
    Some(match &step.what {
        What::LeftOut => return None,
        What::Marker => Kind::Regular { size: 0 },
        What::Link { target } => Kind::HardLink { target },
        What::Inode => match &step.inode.kind {
            InodeKind::Directory(_) => Kind::Directory,
            InodeKind::Regular { size, .. } => Kind::Regular { size: *size },
            InodeKind::Symlink { target } => Kind::Symlink { target },
            InodeKind::CharDevice(number) => Kind::CharDevice(*number),
            InodeKind::BlockDevice(number) => Kind::BlockDevice(*number),
            InodeKind::Fifo => Kind::Fifo,
            InodeKind::Socket => return None,
        },
    })
}

fn content_size(step: &Step<'_>) -> u64 {
    match (&step.what, &step.inode.kind) {
        (What::Inode, InodeKind::Regular { size, .. }) => *size,
        _ => 0,
    }
}

fn misfits_of(step: &Step<'_>, path: &[u8]) -> Vec<Misfit> {
    match (&step.what, &step.inode.kind) {
        (What::LeftOut, InodeKind::Symlink { target }) => {
            vec![Misfit::SymlinkTarget { path: entry_path(path), target: target.to_vec() }]
        }
        (What::LeftOut, _) => vec![Misfit::Socket { path: entry_path(path) }],
        (What::Inode, _) => {
            let names = step.inode.metadata.xattrs.iter().map(|(name, _)| name);
            let bad = names.filter(|name| !is_xattr_name(name));
            bad.map(|name| Misfit::XattrName { path: entry_path(path), name: name.to_vec() }).collect()
        }
        _ => Vec::new(),
    }
}
