//! Inodes, and the names in directories.

use crate::named::Named;
use crate::{ChunkRef, DeviceNumber, Metadata};

/// Names an inode of one tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InodeId(pub(super) u32);

impl InodeId {
    /// Position in the arena, for tables beside the tree. Always below [`Tree::capacity`](super::Tree::capacity).
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Metadata and content of one inode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inode {
    /// Owner, mode, time, extended attributes.
    pub metadata: Metadata,
    /// Type and content.
    pub kind: InodeKind,
}

/// Type and content of an inode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InodeKind {
    /// A directory.
    Directory(Directory),
    /// A regular file.
    Regular {
        /// Length in bytes.
        size: u64,
        /// Its chunks in order; each but the last is one chunk size long.
        chunks: Vec<ChunkRef>,
    },
    /// A symbolic link.
    Symlink {
        /// Target bytes, uninterpreted.
        target: Box<[u8]>,
    },
    /// A character device.
    CharDevice(DeviceNumber),
    /// A block device.
    BlockDevice(DeviceNumber),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// The children of a directory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Directory {
    pub(super) children: Named<InodeId>,
    /// Whether no source describes this directory: it exists because something lies below it. Over a lower layer such
    /// a directory changes nothing.
    pub implicit: bool,
}

impl Directory {
    /// A directory without children.
    pub const fn new(implicit: bool) -> Self {
        Self { children: Named::new(), implicit }
    }

    /// A child by name.
    pub fn get(&self, name: &[u8]) -> Option<InodeId> {
        self.children.get(name).copied()
    }

    /// Names and children in order of the names' bytes.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&[u8], InodeId)> + ExactSizeIterator {
        self.children.iter().map(|(name, id)| (name, *id))
    }

    /// Number of children.
    pub fn len(&self) -> usize {
        self.children.len()
    }

    /// Whether there are no children.
    pub fn is_empty(&self) -> bool {
        self.children.len() == 0
    }
}
