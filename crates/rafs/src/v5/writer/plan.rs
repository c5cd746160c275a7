//! Decides everything before the first byte is written: positions, numbers, digests, lengths of records.
//!
//! The root has position 1. The children of a directory have positions one after the other in byte order of their names;
//! then, sub-directory by sub-directory, come the children of those. The records lie in the order of their positions.
//!
//! Every check of the tree happens here.

use super::name::Name;
use super::{WriteError, chunks, record};
use crate::emit::measure;
use crate::fit::losses;
use crate::v5::layout::{ROOT_NAME, ROOT_NUMBER};
use crate::v5::{CAPACITY, Loss, digest};
use crate::{Directory, EntryPath, Image, Inode, InodeId, InodeKind, limits};

/// Everything that is decided.
pub(super) struct Plan<'a> {
    image: &'a Image,
    /// By position − 1.
    pub(super) names: Vec<Name<'a>>,
    /// Inodes, further names not counted.
    pub(super) inodes: u64,
    /// Whether any inode has extended attributes.
    pub(super) has_xattrs: bool,
    /// Position of the first name by [`InodeId::index`], 0 without one.
    numbers: Vec<u32>,
}

/// A directory whose children have no positions yet.
struct Visit<'a> {
    id: InodeId,
    position: u32,
    depth: usize,
    directory: &'a Directory,
}

impl<'a> Plan<'a> {
    pub(super) fn new(image: &'a Image) -> Result<Self, WriteError> {
        let tree = &image.tree;
        let mut plan = Self {
            image,
            names: Vec::with_capacity(tree.capacity()),
            inodes: 0,
            has_xattrs: false,
            numbers: vec![0; tree.capacity()],
        };
        plan.enter_all()?;
        plan.count_links();
        plan.digest_all();
        for name in &mut plan.names {
            name.length = measure(|out| record::emit(image, name, out))?;
        }
        Ok(plan)
    }

    fn inode(&self, name: &Name<'_>) -> &'a Inode {
        self.image.tree.inode(name.id)
    }

    /// Number of an inode, if any name leads to it.
    pub(super) fn number(&self, id: InodeId) -> Option<u32> {
        self.numbers.get(id.index()).copied().filter(|number| *number != 0)
    }

    fn enter_all(&mut self) -> Result<(), WriteError> {
        let tree = &self.image.tree;
        let root = tree.root();
        let directory = tree.directory(root).ok_or(WriteError::RootNotDirectory)?;
        if let Some(loss) = losses(None, tree.inode(root), &CAPACITY).into_iter().next() {
            return Err(WriteError::Unfit { path: EntryPath::root(), loss });
        }
        self.add(root, ROOT_NAME, 0)?;
        let mut stack = vec![Visit { id: root, position: ROOT_NUMBER, depth: 1, directory }];
        while let Some(visit) = stack.pop() {
            if visit.depth > limits::MAX_DEPTH {
                return Err(WriteError::TooDeep);
            }
            self.names[visit.position as usize - 1].first_child = next_position(&self.names)?;
            let first = stack.len();
            for (name, id) in visit.directory.iter() {
                self.check(visit.id, name, id)?;
                let position = self.add(id, name, visit.position)?;
                if let InodeKind::Directory(directory) = &tree.inode(id).kind {
                    stack.push(Visit { id, position, depth: visit.depth + 1, directory });
                }
            }
            stack[first..].reverse();
        }
        Ok(())
    }

    /// Gives a name the next position.
    fn add(&mut self, id: InodeId, name: &'a [u8], parent: u32) -> Result<u32, WriteError> {
        let position = next_position(&self.names)?;
        let known = self.numbers[id.index()];
        let inode = self.image.tree.inode(id);
        let number = match inode.kind {
            InodeKind::Regular { .. } if known != 0 => known,
            _ => position,
        };
        if known == 0 {
            self.numbers[id.index()] = position;
        }
        let is_further = number != position;
        self.inodes += u64::from(!is_further);
        self.has_xattrs |= !inode.metadata.xattrs.is_empty();
        let (first_child, links, digest, length) = (0, 1, [0; 32], 0);
        self.names.push(Name { id, name, parent, number, is_further, first_child, links, digest, length });
        Ok(position)
    }

    /// Whether the child `name` of a directory can be written.
    fn check(&self, directory: InodeId, name: &[u8], id: InodeId) -> Result<(), WriteError> {
        let path = || self.image.tree.path_of(directory).unwrap_or_default().join(name);
        let inode = self.image.tree.inode(id);
        if self.numbers[id.index()] != 0 {
            // Only the name is new.
            if matches!(inode.kind, InodeKind::Directory(_)) {
                return Err(WriteError::DirectoryLinked { path: path() });
            }
            if name.len() > limits::MAX_NAME {
                return Err(WriteError::Unfit {
                    path: path(),
                    loss: Loss::NameTooLong { length: name.len() },
                });
            }
            return Ok(());
        }
        if let Some(loss) = losses(Some(name), inode, &CAPACITY).into_iter().next() {
            return Err(WriteError::Unfit { path: path(), loss });
        }
        match &inode.kind {
            InodeKind::Regular { size, chunks } => chunks::check(self.image, *size, chunks, path),
            _ => Ok(()),
        }
    }

    /// Only regular files have several names, so everything else keeps one link.
    fn count_links(&mut self) {
        let links = self.image.tree.link_counts();
        for name in &mut self.names {
            if matches!(
                self.image.tree.inode(name.id).kind,
                InodeKind::Regular { .. } | InodeKind::Directory(_)
            ) {
                name.links = links[name.id.index()];
            }
        }
    }

    fn digest_all(&mut self) {
        let digester = self.image.digester;
        // Children have higher positions than their directories.
        for at in (0..self.names.len()).rev() {
            let name = &self.names[at];
            let digest = match &self.inode(name).kind {
                InodeKind::Directory(directory) => {
                    let first = name.first_child as usize - 1;
                    let children = &self.names[first..first + directory.len()];
                    digest::of_digests(digester, children.iter().map(|child| child.digest))
                }
                InodeKind::Regular { chunks, .. } => {
                    let digests =
                        chunks.iter().map(|at| self.image.chunk(*at).map_or([0; 32], |chunk| chunk.digest.0));
                    digest::of_digests(digester, digests)
                }
                InodeKind::Symlink { target } => digester.digest(target).0,
                InodeKind::CharDevice(_)
                | InodeKind::BlockDevice(_)
                | InodeKind::Fifo
                | InodeKind::Socket => digester.digest(&[]).0,
            };
            self.names[at].digest = digest;
        }
    }
}

fn next_position(names: &[Name<'_>]) -> Result<u32, WriteError> {
    u32::try_from(names.len()).ok().and_then(|count| count.checked_add(1)).ok_or(WriteError::TooLarge)
}
