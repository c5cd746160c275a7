//! Bytes of memory that inodes and names take, about.

use super::inode::{Inode, InodeKind};
use crate::Xattrs;

/// Bytes that a name takes beside its own: its place in a list or search tree, and what the allocator adds.
const NAME: usize = 48;

/// Bytes that an attribute takes beside its name and value.
const ATTRIBUTE: usize = 96;

pub(super) const fn weight_of_name(name: &[u8]) -> usize {
    NAME + name.len()
}

/// What an inode takes without the names of its children and without its chunks.
pub(super) fn weight_of(inode: &Inode) -> usize {
    let target = if let InodeKind::Symlink { target } = &inode.kind { target.len() } else { 0 };
    // A list that grows has a half of room on average.
    size_of::<Inode>() * 3 / 2 + target + weight_of_xattrs(&inode.metadata.xattrs)
}

fn weight_of_xattrs(xattrs: &Xattrs) -> usize {
    xattrs.iter().map(|(name, value)| ATTRIBUTE + name.len() + value.len()).sum()
}
