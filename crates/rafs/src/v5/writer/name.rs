//! One name of the tree.

use crate::{ChunkRef, Inode, InodeId, InodeKind};

/// What is decided of one name.
pub(super) struct Name<'a> {
    pub(super) id: InodeId,
    pub(super) name: &'a [u8],
    /// Number of the directory that holds it; 0 for the root.
    pub(super) parent: u32,
    /// Its own position, or that of the first name of the same file.
    pub(super) number: u32,
    /// Whether another name of the same file came first.
    pub(super) is_further: bool,
    /// Position of the first child; 0 for what is no directory.
    pub(super) first_child: u32,
    pub(super) links: u32,
    pub(super) digest: [u8; 32],
    /// Length of the record in bytes.
    pub(super) length: u64,
}

/// The chunks of a regular file.
pub(super) fn chunks_of(inode: &Inode) -> &[ChunkRef] {
    match &inode.kind {
        InodeKind::Regular { chunks, .. } => chunks,
        _ => &[],
    }
}
