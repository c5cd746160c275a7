//! What a tree weighs, and how it gets rid of what no name leads to.

use super::Tree;
use super::inode::{InodeId, InodeKind};
use super::weight::{weight_of, weight_of_name};

/// New numbers of the inodes that a sweep left, in the order of the old ones.
#[derive(Debug, Clone)]
pub struct Renumbering(Vec<Option<InodeId>>);

impl Renumbering {
    /// The inode's new number; none if it is gone.
    pub fn of(&self, id: InodeId) -> Option<InodeId> {
        self.0.get(id.index()).copied().flatten()
    }
}

impl Tree {
    /// Bytes of memory that the tree takes, about: inodes, names, attributes, targets. Chunks are not counted, and what no
    /// name leads to any more is, until [`LayerTree::sweep`](crate::LayerTree::sweep) frees it.
    pub const fn weight(&self) -> usize {
        self.weight
    }

    /// Frees what no name leads to. The order of what is left stays.
    pub(crate) fn sweep(&mut self) -> Renumbering {
        let counts = self.link_counts();
        let mut numbers = Vec::with_capacity(counts.len());
        let mut next = 0;
        for links in &counts {
            numbers.push((*links > 0).then_some(InodeId(next)));
            next += u32::from(*links > 0);
        }
        let moved = Renumbering(numbers);
        let mut links = counts.into_iter();
        self.inodes.retain(|_| links.next().is_some_and(|links| links > 0));
        self.weight = 0;
        for inode in &mut self.inodes {
            self.weight += weight_of(inode);
            if let InodeKind::Directory(directory) = &mut inode.kind {
                self.weight += directory.iter().map(|(name, _)| weight_of_name(name)).sum::<usize>();
                directory.children.for_each_mut(|id| *id = moved.of(*id).unwrap_or(*id));
            }
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Directory, EntryPath, Inode, Metadata};

    fn path(text: &str) -> EntryPath {
        EntryPath::parse(text.as_bytes()).unwrap()
    }

    fn file(size: u64) -> Inode {
        Inode { metadata: Metadata::default(), kind: InodeKind::Regular { size, chunks: Vec::new() } }
    }

    #[test]
    fn what_was_replaced_is_freed_and_the_rest_keeps_its_order() {
        let mut tree = Tree::new();
        let empty = tree.weight();
        for number in 0..40 {
            tree.insert(&path(&format!("keep/{number}")), file(number)).unwrap();
            tree.insert(&path("top/a/b/c/d"), file(100 + number)).unwrap();
            tree.insert(&path("top"), file(200 + number)).unwrap();
        }
        let kept = tree.get(&path("keep/7")).unwrap();
        let gone = tree.insert(&path("gone"), file(1)).unwrap();
        tree.remove_child(tree.root(), b"gone");
        let (before, sizes) = (tree.clone(), sizes(&tree));
        let moved = tree.sweep();
        assert_eq!(moved.of(gone), None);
        assert_eq!(moved.of(kept), tree.get(&path("keep/7")));
        // The root, a directory with 40 files, and the last file on top.
        assert_eq!(tree.capacity(), 43);
        assert!(tree == before && tree.weight() < before.weight());
        assert_eq!(self::sizes(&tree), sizes);
        // Counting anew gives what was counted while it grew.
        let weight = tree.weight();
        tree.sweep();
        assert_eq!(tree.weight(), weight);
        tree.clear_children(tree.root());
        tree.sweep();
        assert_eq!(tree.weight(), empty);
    }

    fn sizes(tree: &Tree) -> Vec<Option<u64>> {
        let size =
            |inode: &Inode| if let InodeKind::Regular { size, .. } = inode.kind { Some(size) } else { None };
        tree.inodes().map(|(_, inode, _)| size(inode)).collect()
    }

    #[test]
    fn the_limit_holds_for_parents_too() {
        let mut tree = Tree::new();
        tree.set_limit(100_000);
        let deep = |name: u32| path(&format!("{name}/{}", "d/".repeat(100)));
        let directory =
            || Inode { metadata: Metadata::default(), kind: InodeKind::Directory(Directory::default()) };
        let placed = (0..1000).take_while(|name| tree.insert(&deep(*name), directory()).is_ok()).count();
        assert!((2..8).contains(&placed), "{placed}");
        assert!(tree.weight() < 101_000);
    }
}
