//! What the file system of an image has and its layers, laid over each other, have not: one more layer.
//!
//! ```text
//!   layers ─► overlay ─► laid ─┐
//!                              ├─► compare, by names, metadata and contents ─► Difference: files, whiteouts
//!   merged bootstrap ──────────┘
//! ```
//! Nothing of a file is read: equal contents have equal references, see [`Contents`].

use nydus_convert_rafs::{
    Directory, EntryPath, Image, Inode, InodeId, InodeKind, LINK_XATTR, Metadata, Tree, TreeError,
    WHITEOUT_PREFIX,
};

use super::contents::Contents;

/// Names that are reported one by one.
const EXAMPLES: usize = 5;

/// The layer that makes of some layers' tree that of the image.
#[derive(Debug, Default)]
pub struct Difference {
    /// Its files, with the merged image's chunk references, and its whiteouts. Every directory on the way is described.
    pub tree: Tree,
    /// Names that the layers have not, or have otherwise.
    pub written: u64,
    /// Names that the layers have and the image has not.
    pub removed: u64,
    /// The first of both.
    pub examples: Vec<EntryPath>,
}

/// The outcome of a comparison.
#[derive(Debug)]
pub struct Compared {
    /// None if the trees are equal.
    pub difference: Option<Difference>,
    /// Names of the image that no layer can have: sockets, and those that would be whiteouts.
    pub unfit: u64,
}

/// Whether the tree that layers make is the image's, but for what no layer can have.
pub fn is_same(laid: &Tree, merged: &Image, contents: &Contents) -> bool {
    Comparison::of(laid, merged, contents, true).is_equal()
}

/// What has to come on top of the tree `laid`, whose references are those of `contents`.
pub fn compare(laid: &Tree, merged: &Image, contents: &Contents) -> Result<Compared, TreeError> {
    let comparison = Comparison::of(laid, merged, contents, false);
    let unfit = comparison.unfit;
    let difference = if comparison.is_equal() { None } else { Some(Layer::of(&comparison)?) };
    Ok(Compared { difference, unfit })
}

/// Two trees and where they differ. Tables by [`InodeId::index`].
struct Comparison<'a> {
    laid: &'a Tree,
    image: &'a Image,
    contents: &'a Contents,
    /// The file of `laid` that is a file of the image, and the other way round.
    partner: Vec<Option<InodeId>>,
    taken: Vec<Option<InodeId>>,
    /// Which inodes of the image have to be written: with several names, all of them.
    differs: Vec<bool>,
    /// Directories of the image and names in them that it has not.
    surplus: Vec<(InodeId, &'a [u8])>,
    equal: bool,
    unfit: u64,
}

impl<'a> Comparison<'a> {
    fn of(laid: &'a Tree, image: &'a Image, contents: &'a Contents, only_whether: bool) -> Self {
        let count = image.tree.capacity();
        let mut comparison = Self {
            laid,
            image,
            contents,
            partner: vec![None; count],
            taken: vec![None; laid.capacity()],
            differs: vec![false; count],
            surplus: Vec::new(),
            equal: true,
            unfit: 0,
        };
        let mut stack = vec![(Some(laid.root()), image.tree.root())];
        while let Some((below, at)) = stack.pop() {
            comparison.compare_directories(below, at, &mut stack);
            if only_whether && !comparison.equal {
                break;
            }
        }
        comparison
    }

    fn is_equal(&self) -> bool {
        self.equal
    }

    fn compare_directories(
        &mut self,
        below: Option<InodeId>,
        at: InodeId,
        stack: &mut Vec<(Option<InodeId>, InodeId)>,
    ) {
        let metadata = |id| &self.laid.inode(id).metadata;
        if below.map(metadata) != Some(&self.image.tree.inode(at).metadata) {
            self.mark(at);
        }
        let below = below.and_then(|id| self.laid.directory(id));
        let Some(directory) = self.image.tree.directory(at) else { return };
        for (name, id) in directory.iter() {
            let under = below.and_then(|below| below.get(name));
            if name.starts_with(WHITEOUT_PREFIX) {
                self.unfit += 1;
            } else if self.image.tree.directory(id).is_some() {
                stack.push((under.filter(|under| self.laid.directory(*under).is_some()), id));
            } else if under.is_none() && self.image.tree.inode(id).kind == InodeKind::Socket {
                self.unfit += 1;
            } else if !self.is_same_file(under, id) {
                self.mark(id);
            }
        }
        for (name, _) in below.iter().flat_map(|below| below.iter()) {
            if directory.get(name).is_none() {
                self.surplus.push((at, name));
                self.equal = false;
            }
        }
    }

    fn mark(&mut self, id: InodeId) {
        self.differs[id.index()] = true;
        self.equal = false;
    }

    /// Whether a file is what the layers have in its place: equal, and a link of the same names.
    fn is_same_file(&mut self, under: Option<InodeId>, id: InodeId) -> bool {
        let Some(under) = under.filter(|under| self.laid.directory(*under).is_none()) else { return false };
        let (left, right) = (self.laid.inode(under), self.image.tree.inode(id));
        // The layers know the link, the image only that there is one.
        if is_placeholder(right) {
            return true;
        }
        match (self.partner[id.index()], self.taken[under.index()]) {
            (None, None) => {
                let same = left.metadata == right.metadata && self.is_same_kind(&left.kind, &right.kind);
                if same {
                    (self.partner[id.index()], self.taken[under.index()]) = (Some(under), Some(id));
                }
                same
            }
            (partner, taken) => partner == Some(under) && taken == Some(id),
        }
    }

    fn is_same_kind(&self, left: &InodeKind, right: &InodeKind) -> bool {
        match (left, right) {
            (
                InodeKind::Regular { size, chunks },
                InodeKind::Regular { size: other_size, chunks: other_chunks },
            ) => {
                let others = other_chunks.iter().map(|at| self.contents.place(self.image, *at));
                size == other_size && chunks.iter().copied().eq(others)
            }
            (left, right) => left == right,
        }
    }
}

/// A layer being made of a comparison.
struct Layer<'a> {
    merged: &'a Tree,
    /// The directory and name of each directory of the image, by its index.
    above: Vec<Option<(InodeId, &'a [u8])>>,
    /// What an inode of the image is in the layer.
    made: Vec<Option<InodeId>>,
    difference: Difference,
}

impl<'a> Layer<'a> {
    fn of(comparison: &Comparison<'a>) -> Result<Difference, TreeError> {
        let merged = &comparison.image.tree;
        let (count, root) = (merged.capacity(), merged.root());
        let difference = Difference::default();
        let mut layer = Self { merged, above: vec![None; count], made: vec![None; count], difference };
        layer.made[root.index()] = Some(layer.difference.tree.root());
        let mut stack = vec![root];
        while let Some(at) = stack.pop() {
            layer.write_directory(comparison, at, &mut stack)?;
        }
        for (at, name) in &comparison.surplus {
            layer.remove(*at, name)?;
        }
        Ok(layer.difference)
    }

    fn write_directory(
        &mut self,
        comparison: &Comparison<'a>,
        at: InodeId,
        stack: &mut Vec<InodeId>,
    ) -> Result<(), TreeError> {
        if comparison.differs[at.index()] {
            self.directory(at)?;
            if at == self.merged.root() {
                self.describe_root();
            }
            self.note(|layer| layer.path(at));
            self.difference.written += 1;
        }
        let Some(directory) = self.merged.directory(at) else { return Ok(()) };
        for (name, id) in directory.iter().filter(|(name, _)| !name.starts_with(WHITEOUT_PREFIX)) {
            if self.merged.directory(id).is_some() {
                self.above[id.index()] = Some((at, name));
            } else if comparison.differs[id.index()] {
                self.write_file(at, name, id)?;
            }
        }
        let directories = directory.iter().rev().map(|(_, id)| id);
        stack.extend(directories.filter(|id| self.above[id.index()].is_some()));
        Ok(())
    }

    fn write_file(&mut self, at: InodeId, name: &[u8], id: InodeId) -> Result<(), TreeError> {
        let parent = self.directory(at)?;
        let file = match self.made[id.index()] {
            Some(file) => file,
            None => self.difference.tree.add(self.merged.inode(id).clone())?,
        };
        self.made[id.index()] = Some(file);
        self.note(|layer| layer.path(at).join(name));
        self.difference.written += 1;
        self.difference.tree.set_child(parent, name, file)
    }

    fn remove(&mut self, at: InodeId, name: &[u8]) -> Result<(), TreeError> {
        let parent = self.directory(at)?;
        let kind = InodeKind::Regular { size: 0, chunks: Vec::new() };
        let whiteout = self.difference.tree.add(Inode { metadata: Metadata::default(), kind })?;
        self.note(|layer| layer.path(at).join(name));
        self.difference.removed += 1;
        self.difference.tree.set_child(parent, &[WHITEOUT_PREFIX, name].concat(), whiteout)
    }

    /// A directory of the image in the layer, made with all those above it.
    fn directory(&mut self, at: InodeId) -> Result<InodeId, TreeError> {
        let mut missing = Vec::new();
        let mut next = at;
        let mut parent = loop {
            match (self.made[next.index()], self.above[next.index()]) {
                (Some(made), _) => break made,
                (None, Some((above, name))) => {
                    missing.push((next, name));
                    next = above;
                }
                // Only the root has nothing above it.
                (None, None) => break self.difference.tree.root(),
            }
        };
        for (id, name) in missing.into_iter().rev() {
            let metadata = self.merged.inode(id).metadata.clone();
            let kind = InodeKind::Directory(Directory::new(false));
            let made = self.difference.tree.add(Inode { metadata, kind })?;
            self.difference.tree.set_child(parent, name, made)?;
            self.made[id.index()] = Some(made);
            parent = made;
        }
        Ok(parent)
    }

    fn describe_root(&mut self) {
        let metadata = self.merged.inode(self.merged.root()).metadata.clone();
        let root = self.difference.tree.root();
        let inode = self.difference.tree.inode_mut(root);
        inode.metadata = metadata;
        if let InodeKind::Directory(directory) = &mut inode.kind {
            directory.implicit = false;
        }
    }

    fn note(&mut self, path: impl FnOnce(&Self) -> EntryPath) {
        if self.difference.examples.len() < EXAMPLES {
            let path = path(self);
            self.difference.examples.push(path);
        }
    }

    fn path(&self, at: InodeId) -> EntryPath {
        let mut names = Vec::new();
        let mut next = at;
        while let Some((above, name)) = self.above[next.index()] {
            names.push(name);
            next = above;
        }
        names.into_iter().rev().fold(EntryPath::root(), |path, name| path.join(name))
    }
}

/// Whether a file of a merged bootstrap only stands for a hard link that the merging program did not understand.
fn is_placeholder(inode: &Inode) -> bool {
    matches!(inode.kind, InodeKind::Regular { size: 0, .. })
        && inode.metadata.xattrs.get(LINK_XATTR).is_some()
}

/// Makes links of the [placeholders](LINK_XATTR) that `laid` has no file for; of those that lead nowhere, empty files.
pub fn settle_placeholders(merged: &mut Tree, laid: &Tree) -> Result<(), TreeError> {
    if !merged.inodes().any(|(_, inode, _)| is_placeholder(inode)) {
        return Ok(());
    }
    let placeholders = merged.walk().filter(|entry| is_placeholder(entry.inode));
    let unknown =
        placeholders.filter(|entry| laid.get(&entry.path).is_none_or(|id| laid.directory(id).is_some()));
    let unknown: Vec<(EntryPath, InodeId)> = unknown.map(|entry| (entry.path, entry.id)).collect();
    for (path, id) in unknown {
        let target =
            merged.inode(id).metadata.xattrs.get(LINK_XATTR).and_then(|target| EntryPath::parse(target).ok());
        let target = target.and_then(|target| merged.resolve(&target).ok().flatten());
        match target.filter(|target| merged.directory(*target).is_none() && *target != id) {
            Some(target) => merged.link(&path, target)?,
            None => drop(merged.inode_mut(id).metadata.xattrs.remove(LINK_XATTR)),
        }
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests;
