//! The versionless file tree: an arena of inodes, directories with children in byte order, hard links as several
//! names of one inode.
//!
//! Link counts are never stored: [`Tree::link_counts`] computes them, so they cannot disagree with the names.
//! Paths are resolved as an extracting program inside the root would: symbolic links in the middle of a path are
//! followed, scoped to the root, and the last component is not.

mod inode;
mod sweep;
mod walk;
mod weight;

use std::collections::VecDeque;

use thiserror::Error;

pub use self::inode::{Directory, Inode, InodeId, InodeKind};
pub use self::sweep::Renumbering;
pub use self::walk::WalkEntry;

use self::weight::{weight_of, weight_of_name};
use crate::named::Named;
use crate::{EntryPath, Metadata, display_bytes, limits};

/// Why an entry cannot have its place in the tree.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TreeError {
    /// The root can only be a directory.
    #[error("the root is not a directory")]
    RootNotDirectory,
    /// More symbolic links than Linux would follow.
    #[error("{path}: more than {} symbolic links on the way", limits::MAX_SYMLINK_FOLLOW)]
    SymlinkLoop {
        /// The path that was resolved.
        path: EntryPath,
    },
    /// Deeper than any client can name.
    #[error("{}: more than {} directories deep", shorten(path), limits::MAX_DEPTH)]
    TooDeep {
        /// The path that was resolved.
        path: EntryPath,
    },
    /// Hard links to directories do not exist.
    #[error("{path}: hard link to the directory {target}")]
    LinkToDirectory {
        /// The link.
        path: EntryPath,
        /// Its target.
        target: EntryPath,
    },
    /// More inodes than the arena can number.
    #[error("more than {} files in one tree", u32::MAX)]
    TooManyInodes,
    /// Links that lead through links again and again.
    #[error("{}: the symbolic links on the way to all entries have too many names to follow", shorten(path))]
    TooManySteps {
        /// The path that was resolved.
        path: EntryPath,
    },
    /// More memory than the tree may take.
    #[error("names, attributes and directories take more than {limit} bytes of memory")]
    TooLarge {
        /// The limit that was set.
        limit: usize,
    },
    /// A name that no file can have.
    #[error("'{}' is not a file name", display_bytes(name))]
    BadName {
        /// The bytes of the name.
        name: Vec<u8>,
    },
}

fn shorten(path: &EntryPath) -> String {
    let text: String = path.to_string().chars().take(80).collect();
    format!("{text}…")
}

/// A tree of files. Always has a root directory.
#[derive(Debug, Clone)]
pub struct Tree {
    inodes: Vec<Inode>,
    /// See [`Tree::weight`].
    weight: usize,
    /// Bytes of all inodes that were ever added, and names of links' targets that were followed while the tree grew.
    grown: u64,
    followed: u64,
    limit: usize,
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

impl Tree {
    /// A tree with an implicit root and nothing in it.
    pub fn new() -> Self {
        let root = Inode {
            metadata: Metadata::implicit_directory(),
            kind: InodeKind::Directory(Directory::new(true)),
        };
        Self { weight: weight_of(&root), inodes: vec![root], grown: 0, followed: 0, limit: usize::MAX }
    }

    /// The root directory.
    pub const fn root(&self) -> InodeId {
        InodeId(0)
    }

    /// Upper bound of all [`InodeId::index`] values of this tree.
    pub fn capacity(&self) -> usize {
        self.inodes.len()
    }

    /// The id with this [index](InodeId::index), if there is one.
    pub(crate) fn id_at(&self, index: usize) -> Option<InodeId> {
        u32::try_from(index).ok().filter(|_| index < self.inodes.len()).map(InodeId)
    }

    /// The inode with this id.
    pub fn inode(&self, id: InodeId) -> &Inode {
        &self.inodes[id.index()]
    }

    /// The inode with this id, to change. The caller keeps directories directories.
    pub fn inode_mut(&mut self, id: InodeId) -> &mut Inode {
        &mut self.inodes[id.index()]
    }

    /// The children, if the inode is a directory.
    pub fn directory(&self, id: InodeId) -> Option<&Directory> {
        match &self.inode(id).kind {
            InodeKind::Directory(directory) => Some(directory),
            _ => None,
        }
    }

    fn directory_mut(&mut self, id: InodeId) -> Option<&mut Directory> {
        match &mut self.inodes[id.index()].kind {
            InodeKind::Directory(directory) => Some(directory),
            _ => None,
        }
    }

    /// Refuses inodes that would make the tree [weigh](Tree::weight) more than this.
    pub const fn set_limit(&mut self, bytes: usize) {
        self.limit = bytes;
    }

    /// Adds an inode that no name leads to yet.
    pub fn add(&mut self, inode: Inode) -> Result<InodeId, TreeError> {
        let id = u32::try_from(self.inodes.len()).map_err(|_| TreeError::TooManyInodes)?;
        let weight = weight_of(&inode);
        self.weight += weight;
        self.grown += weight as u64;
        if self.weight > self.limit {
            return Err(TreeError::TooLarge { limit: self.limit });
        }
        self.inodes.push(inode);
        Ok(InodeId(id))
    }

    /// Gives an inode a name in a directory; an earlier child of that name loses it. The caller sees to it that a
    /// directory gets one name only, and no ancestor of itself as a child.
    pub fn set_child(&mut self, directory: InodeId, name: &[u8], child: InodeId) -> Result<(), TreeError> {
        if name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') || name.contains(&0) {
            return Err(TreeError::BadName { name: name.to_vec() });
        }
        if let Some(directory) = self.directory_mut(directory)
            && directory.children.insert(name, child).is_none()
        {
            self.weight += weight_of_name(name);
        }
        Ok(())
    }

    /// Takes a name out of a directory.
    pub(crate) fn remove_child(&mut self, directory: InodeId, name: &[u8]) -> Option<InodeId> {
        let child = self.directory_mut(directory)?.children.remove(name)?;
        self.weight = self.weight.saturating_sub(weight_of_name(name));
        Some(child)
    }

    /// Takes all names out of a directory.
    pub(crate) fn clear_children(&mut self, directory: InodeId) {
        if let Some(directory) = self.directory_mut(directory) {
            directory.children = Named::new();
        }
    }

    /// The inode of exactly this path, following no symbolic link.
    pub fn get(&self, path: &EntryPath) -> Option<InodeId> {
        path.components().try_fold(self.root(), |at, name| self.directory(at)?.get(name))
    }

    /// The inode that an extracting program finds at `path`: links on the way are followed, a last one is not.
    pub fn resolve(&self, path: &EntryPath) -> Result<Option<InodeId>, TreeError> {
        let Some(name) = path.file_name() else { return Ok(Some(self.root())) };
        let parent = path.parent().unwrap_or_default();
        Ok(match self.find_directory(&parent)?.0 {
            Found::Directory(id) => self.directory(id).and_then(|directory| directory.get(name)),
            Found::Missing { .. } => None,
        })
    }

    /// As [`Tree::resolve`], for a tree that is being made: what links cost is counted.
    pub(crate) fn resolve_counted(&mut self, path: &EntryPath) -> Result<Option<InodeId>, TreeError> {
        let Some(name) = path.file_name() else { return Ok(Some(self.root())) };
        Ok(match self.find_counted(&path.parent().unwrap_or_default())? {
            Found::Directory(id) => self.directory(id).and_then(|directory| directory.get(name)),
            Found::Missing { .. } => None,
        })
    }

    /// As [`Tree::find_directory`]. An entry of half a kilobyte can lead through 80,000 names; what all may is in proportion
    /// to the tree.
    fn find_counted(&mut self, path: &EntryPath) -> Result<Found, TreeError> {
        let (found, steps) = self.find_directory(path)?;
        self.followed += steps;
        if steps > 0 && self.followed > limits::FREE_STEPS + self.grown {
            return Err(TreeError::TooManySteps { path: path.clone() });
        }
        Ok(found)
    }

    /// The inode that a program finds that opens `path`: all links are followed, a last one too.
    pub fn resolve_all(&self, path: &EntryPath) -> Result<Option<InodeId>, TreeError> {
        Ok(match self.find_directory(path)?.0 {
            Found::Directory(id) => Some(id),
            // The walk stops at the first name that is no directory; if it is the last one, it may be a file.
            Found::Missing { last, rest, .. } => match rest.as_slice() {
                [name] => self.directory(last).and_then(|directory| directory.get(name)),
                _ => None,
            },
        })
    }

    /// Puts an inode at `path`. Missing parents become implicit directories, as does anything on the way that is
    /// neither a directory nor a symbolic link. A directory over a directory keeps the children and takes the new
    /// metadata; everything else replaces what was there.
    pub fn insert(&mut self, path: &EntryPath, inode: Inode) -> Result<InodeId, TreeError> {
        let is_directory = matches!(inode.kind, InodeKind::Directory(_));
        let Some(name) = path.file_name() else {
            if !is_directory {
                return Err(TreeError::RootNotDirectory);
            }
            let root = self.root();
            self.replace_directory_metadata(root, inode.metadata);
            return Ok(root);
        };
        let parent = self.make_directory(&path.parent().unwrap_or_default())?;
        let existing = self.directory(parent).and_then(|directory| directory.get(name));
        if let Some(existing) = existing
            && is_directory
            && self.directory(existing).is_some()
        {
            self.replace_directory_metadata(existing, inode.metadata);
            return Ok(existing);
        }
        let id = self.add(inode)?;
        self.set_child(parent, name, id)?;
        Ok(id)
    }

    /// Gives an existing inode one more name: a hard link.
    pub fn link(&mut self, path: &EntryPath, target: InodeId) -> Result<(), TreeError> {
        let Some(name) = path.file_name() else { return Err(TreeError::RootNotDirectory) };
        if self.directory(target).is_some() {
            return Err(TreeError::LinkToDirectory { path: path.clone(), target: path.clone() });
        }
        let parent = self.make_directory(&path.parent().unwrap_or_default())?;
        self.set_child(parent, name, target)
    }

    pub(crate) fn replace_directory_metadata(&mut self, id: InodeId, metadata: Metadata) {
        let inode = &mut self.inodes[id.index()];
        let before = weight_of(inode);
        inode.metadata = metadata;
        self.weight = (self.weight + weight_of(inode)).saturating_sub(before);
        if let Some(directory) = self.directory_mut(id) {
            directory.implicit = false;
        }
    }

    /// The directory at `path`, links followed, made if it is missing.
    pub(crate) fn make_directory(&mut self, path: &EntryPath) -> Result<InodeId, TreeError> {
        let (mut at, mut depth, rest) = match self.find_counted(path)? {
            Found::Directory(id) => return Ok(id),
            Found::Missing { last, depth, rest } => (last, depth, rest),
        };
        for name in rest {
            depth += 1;
            if depth > limits::MAX_DEPTH {
                return Err(TreeError::TooDeep { path: path.clone() });
            }
            let id = self.add(Inode {
                metadata: Metadata::implicit_directory(),
                kind: InodeKind::Directory(Directory::new(true)),
            })?;
            self.set_child(at, &name, id)?;
            at = id;
        }
        Ok(at)
    }

    /// Follows `path` to a directory, through symbolic links, never above the root. Says how many names there were in the
    /// links' targets, too.
    fn find_directory(&self, path: &EntryPath) -> Result<(Found, u64), TreeError> {
        let mut steps = 0;
        let mut stack = vec![self.root()];
        let mut pending: VecDeque<Vec<u8>> = path.components().map(<[u8]>::to_vec).collect();
        let mut followed = 0;
        while let Some(name) = pending.pop_front() {
            let at = stack.last().copied().unwrap_or(self.root());
            if name == b".." {
                stack.truncate(stack.len().saturating_sub(1).max(1));
                continue;
            }
            let child = self.directory(at).and_then(|directory| directory.get(&name));
            match child.map(|id| (id, &self.inode(id).kind)) {
                Some((id, InodeKind::Directory(_))) => stack.push(id),
                Some((_, InodeKind::Symlink { target })) => {
                    followed += 1;
                    if followed > limits::MAX_SYMLINK_FOLLOW {
                        return Err(TreeError::SymlinkLoop { path: path.clone() });
                    }
                    if target.first() == Some(&b'/') {
                        stack.truncate(1);
                    }
                    let parts = target.split(|&byte| byte == b'/');
                    let parts = parts.filter(|part| !part.is_empty() && *part != b".");
                    for part in parts.rev() {
                        pending.push_front(part.to_vec());
                        steps += 1;
                    }
                }
                _ => {
                    pending.push_front(name);
                    if !pending.iter().any(|name| name == b"..") {
                        let rest = pending.into();
                        return Ok((Found::Missing { last: at, depth: stack.len(), rest }, steps));
                    }
                    pending = cancel_parents(pending);
                }
            }
            if stack.len() > limits::MAX_DEPTH {
                return Err(TreeError::TooDeep { path: path.clone() });
            }
        }
        Ok((Found::Directory(stack.last().copied().unwrap_or(self.root())), steps))
    }

    /// Every inode that some name leads to, with its link count, in the order in which they were added.
    pub fn inodes(&self) -> impl Iterator<Item = (InodeId, &Inode, u32)> {
        let counts = self.link_counts().into_iter();
        let all = (0..).map(InodeId).zip(&self.inodes).zip(counts);
        all.filter(|(_, links)| *links > 0).map(|((id, inode), links)| (id, inode, links))
    }

    /// Link counts by [`InodeId::index`]: for a directory 2 plus its sub-directories, else the number of names; 0 for
    /// inodes that no name leads to.
    pub fn link_counts(&self) -> Vec<u32> {
        let mut counts = vec![0_u32; self.inodes.len()];
        counts[0] = 2;
        let mut stack = vec![self.root()];
        while let Some(at) = stack.pop() {
            for (_, child) in self.directory(at).into_iter().flat_map(Directory::iter) {
                if self.directory(child).is_some() {
                    counts[child.index()] += 2;
                    counts[at.index()] += 1;
                    stack.push(child);
                } else {
                    counts[child.index()] += 1;
                }
            }
        }
        counts
    }
}

/// Trees are equal if the same names lead to equal inodes and the same names are links of each other.
impl PartialEq for Tree {
    fn eq(&self, other: &Self) -> bool {
        let mut mine = vec![None; self.inodes.len()];
        let mut theirs = vec![None; other.inodes.len()];
        let mut stack = vec![(self.root(), other.root())];
        while let Some((a, b)) = stack.pop() {
            match (mine[a.index()], theirs[b.index()]) {
                (None, None) => {}
                (Some(x), Some(y)) if x == b && y == a => continue,
                _ => return false,
            }
            mine[a.index()] = Some(b);
            theirs[b.index()] = Some(a);
            let (left, right) = (self.inode(a), other.inode(b));
            if left.metadata != right.metadata {
                return false;
            }
            match (&left.kind, &right.kind) {
                (InodeKind::Directory(l), InodeKind::Directory(r)) => {
                    if !l.iter().map(|(name, _)| name).eq(r.iter().map(|(name, _)| name)) {
                        return false;
                    }
                    stack.extend(l.iter().zip(r.iter()).map(|((_, left), (_, right))| (left, right)));
                }
                (l, r) if l == r => {}
                _ => return false,
            }
        }
        true
    }
}

enum Found {
    Directory(InodeId),
    /// `last` exists, `rest` does not.
    Missing {
        last: InodeId,
        depth: usize,
        rest: Vec<Vec<u8>>,
    },
}

/// Takes `..` and the name before it out of components of which the first does not exist.
fn cancel_parents(pending: VecDeque<Vec<u8>>) -> VecDeque<Vec<u8>> {
    let mut rest: VecDeque<Vec<u8>> = VecDeque::new();
    for name in pending {
        if name == b".." && rest.back().is_some_and(|last| last != b"..") {
            rest.pop_back();
        } else {
            rest.push_back(name);
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn path(text: &str) -> EntryPath {
        EntryPath::parse(text.as_bytes()).unwrap()
    }

    fn file(size: u64) -> Inode {
        Inode { metadata: Metadata::default(), kind: InodeKind::Regular { size, chunks: Vec::new() } }
    }

    fn symlink(target: &str) -> Inode {
        let target = target.as_bytes().into();
        Inode { metadata: Metadata::default(), kind: InodeKind::Symlink { target } }
    }

    fn directory(mode: u16) -> Inode {
        let metadata = Metadata { mode, ..Metadata::default() };
        Inode { metadata, kind: InodeKind::Directory(Directory::default()) }
    }

    fn names(tree: &Tree) -> Vec<String> {
        tree.walk().map(|entry| entry.path.to_string()).collect()
    }

    #[test]
    fn parents_appear_and_are_implicit() {
        let mut tree = Tree::new();
        tree.insert(&path("a/b/c"), file(1)).unwrap();
        assert_eq!(names(&tree), ["/", "/a", "/a/b", "/a/b/c"]);
        assert!(tree.directory(tree.get(&path("a")).unwrap()).unwrap().implicit);
        tree.insert(&path("a"), directory(0o700)).unwrap();
        let a = tree.get(&path("a")).unwrap();
        assert!(!tree.directory(a).unwrap().implicit);
        assert_eq!(tree.inode(a).metadata.mode, 0o700);
        assert_eq!(names(&tree).len(), 4);
    }

    #[test]
    fn files_and_directories_replace_each_other() {
        let mut tree = Tree::new();
        tree.insert(&path("x/y"), file(1)).unwrap();
        tree.insert(&path("x"), file(2)).unwrap();
        assert_eq!(names(&tree), ["/", "/x"]);
        tree.insert(&path("x"), directory(0o755)).unwrap();
        tree.insert(&path("x/z"), file(3)).unwrap();
        assert_eq!(names(&tree), ["/", "/x", "/x/z"]);
        tree.insert(&path("x/z/below"), file(4)).unwrap();
        assert_eq!(names(&tree), ["/", "/x", "/x/z", "/x/z/below"]);
        assert_eq!(tree.insert(&path(""), file(1)), Err(TreeError::RootNotDirectory));
    }

    #[test]
    fn symbolic_links_on_the_way_are_followed_inside_the_root() {
        for (target, expected) in [
            ("usr/lib", "/usr/lib/f"),
            ("/usr/lib", "/usr/lib/f"),
            ("../../usr/./lib/", "/usr/lib/f"),
            ("usr/x/../lib", "/usr/lib/f"),
            ("usr/x/../../y/../usr/lib", "/usr/lib/f"),
        ] {
            let mut tree = Tree::new();
            tree.insert(&path("lib"), symlink(target)).unwrap();
            tree.insert(&path("lib/f"), file(1)).unwrap();
            assert!(names(&tree).contains(&expected.to_owned()), "{target}: {:?}", names(&tree));
            assert_eq!(tree.resolve(&path("lib/f")).unwrap(), tree.get(&path("usr/lib/f")));
            assert!(matches!(
                tree.inode(tree.resolve(&path("lib")).unwrap().unwrap()).kind,
                InodeKind::Symlink { .. }
            ));
        }
        let mut tree = Tree::new();
        tree.insert(&path("bin/sh"), symlink("/bin/dash")).unwrap();
        let dash = tree.insert(&path("bin/dash"), file(1)).unwrap();
        assert_eq!(tree.resolve_all(&path("bin/sh")), Ok(Some(dash)));
        assert_eq!(tree.resolve_all(&path("bin/dash/x")), Ok(None));
        assert_eq!(tree.resolve_all(&path("bin")).unwrap(), tree.get(&path("bin")));
        tree.insert(&path("a"), symlink("b")).unwrap();
        tree.insert(&path("b"), symlink("a")).unwrap();
        assert!(matches!(tree.resolve_all(&path("a")), Err(TreeError::SymlinkLoop { .. })));
        assert!(matches!(tree.insert(&path("a/f"), file(1)), Err(TreeError::SymlinkLoop { .. })));
    }

    #[test]
    fn steps_through_links_are_bounded() {
        let mut tree = Tree::new();
        let deep = "d/".repeat(1000);
        tree.insert(&path(&deep), directory(0)).unwrap();
        for number in 0..39 {
            let target = format!("{deep}{}s{}", "../".repeat(1000), number + 1);
            tree.insert(&path(&format!("s{number}")), symlink(&target)).unwrap();
        }
        tree.insert(&path("s39"), symlink(".")).unwrap();
        // 78,000 names for each.
        let placed = (0..10_000).take_while(|n| tree.insert(&path(&format!("s0/f{n}")), file(*n)).is_ok());
        assert!((100..1000).contains(&placed.count()));
        let error = tree.insert(&path("s0/f"), file(1)).unwrap_err();
        assert!(matches!(error, TreeError::TooManySteps { .. }), "{error}");
        assert!(tree.insert(&path("f"), file(1)).is_ok());
    }

    #[test]
    fn depth_is_bounded() {
        let mut tree = Tree::new();
        let deep = path(&"d/".repeat(limits::MAX_DEPTH + 1));
        assert!(matches!(tree.insert(&deep, directory(0)), Err(TreeError::TooDeep { .. })));
        let fine = path(&"d/".repeat(limits::MAX_DEPTH - 1));
        tree.insert(&fine, directory(0)).unwrap();
    }

    #[test]
    fn links_are_counted_and_compared() {
        let mut tree = Tree::new();
        let id = tree.insert(&path("a"), file(1)).unwrap();
        tree.link(&path("d/b"), id).unwrap();
        let counts = tree.link_counts();
        assert_eq!(counts[id.index()], 2);
        assert_eq!(counts[tree.root().index()], 3);
        assert_eq!(counts[tree.get(&path("d")).unwrap().index()], 2);

        let mut copies = Tree::new();
        copies.insert(&path("a"), file(1)).unwrap();
        copies.insert(&path("d/b"), file(1)).unwrap();
        assert_ne!(tree, copies);
        assert_eq!(tree, tree.clone());
        let d = tree.get(&path("d")).unwrap();
        assert!(matches!(tree.link(&path("e"), d), Err(TreeError::LinkToDirectory { .. })));
    }
}
