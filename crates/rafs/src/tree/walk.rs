//! All names of a tree, one after another.

use super::{Inode, InodeId, Tree};
use crate::EntryPath;
use crate::named::Iter;

/// One name met by [`Tree::walk`].
#[derive(Debug, Clone)]
pub struct WalkEntry<'a> {
    /// Path from the root.
    pub path: EntryPath,
    /// The inode of that name.
    pub id: InodeId,
    /// What the tree has under this id.
    pub inode: &'a Inode,
}

impl Tree {
    /// All names in depth-first order, the root first, siblings in byte order. Takes memory for the depth of the tree, not
    /// for its width.
    pub fn walk(&self) -> impl Iterator<Item = WalkEntry<'_>> {
        self.walk_from(EntryPath::root(), self.root())
    }

    /// The same from `start` on, which is at `path`.
    pub fn walk_from(&self, path: EntryPath, start: InodeId) -> impl Iterator<Item = WalkEntry<'_>> {
        let mut start = Some((path, start));
        // The directories on the way, each with the names that are still to come.
        let mut open: Vec<(EntryPath, Iter<'_, InodeId>)> = Vec::new();
        std::iter::from_fn(move || {
            let (path, id) = match start.take() {
                Some(start) => start,
                None => next_of(&mut open)?,
            };
            if let Some(directory) = self.directory(id) {
                open.push((path.clone(), directory.children.iter()));
            }
            Some(WalkEntry { path, id, inode: self.inode(id) })
        })
    }
}

/// The next name of the innermost directory that has one.
fn next_of(open: &mut Vec<(EntryPath, Iter<'_, InodeId>)>) -> Option<(EntryPath, InodeId)> {
    loop {
        let (path, names) = open.last_mut()?;
        if let Some((name, id)) = names.next() {
            return Some((path.join(name), *id));
        }
        open.pop();
    }
}
