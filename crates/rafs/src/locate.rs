//! From an inode back to its path: for messages only, so nothing is kept for it.

use crate::{Directory, EntryPath, InodeId, Tree};

impl Tree {
    /// The path of a directory, if any leads to it. Searches the whole tree: for messages.
    pub(crate) fn path_of(&self, directory: InodeId) -> Option<EntryPath> {
        let mut parents: Vec<Option<InodeId>> = vec![None; self.capacity()];
        let mut stack = vec![self.root()];
        while let Some(at) = stack.pop() {
            if at == directory {
                return Some(self.path_through(directory, &parents));
            }
            for (_, child) in self.directory(at).into_iter().flat_map(Directory::iter) {
                if child != self.root() && self.directory(child).is_some() && parents[child.index()].is_none()
                {
                    parents[child.index()] = Some(at);
                    stack.push(child);
                }
            }
        }
        None
    }

    fn path_through(&self, directory: InodeId, parents: &[Option<InodeId>]) -> EntryPath {
        let mut names = Vec::new();
        let mut at = directory;
        while let Some(parent) = parents[at.index()] {
            let mut children = self.directory(parent).into_iter().flat_map(Directory::iter);
            names.extend(children.find(|(_, child)| *child == at).map(|(name, _)| name));
            at = parent;
        }
        names.iter().rev().fold(EntryPath::root(), |path, name| path.join(name))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Inode, InodeKind, Metadata};

    #[test]
    fn directories_are_found() {
        let mut tree = Tree::new();
        let directory =
            || Inode { metadata: Metadata::default(), kind: InodeKind::Directory(Directory::default()) };
        let path = EntryPath::parse(b"usr/lib/x").unwrap();
        let id = tree.insert(&path, directory()).unwrap();
        tree.insert(&EntryPath::parse(b"usr/bin").unwrap(), directory()).unwrap();
        assert_eq!(tree.path_of(id), Some(path));
        assert_eq!(tree.path_of(tree.root()), Some(EntryPath::root()));
        let nameless = tree.add(directory()).unwrap();
        assert_eq!(tree.path_of(nameless), None);
        // A directory below itself, which only wrong callers make, does not hang the search.
        tree.set_child(id, b"loop", id).unwrap();
        assert_eq!(tree.path_of(nameless), None);
    }
}
