//! Laying one layer's tree over the tree of the layers below it, as OCI defines it.
//!
//! Whiteouts and opaque markers act on the layers below only, whatever their position in the layer. What must be seen
//! in *tar order* (a hard link to a name that the layer has not mentioned yet) is remembered by [`LayerTree`] as a
//! [`Link`] and resolved here: such a link means the lower layer's file if there is one, else the one that follows.

use std::collections::HashMap;

use thiserror::Error;

use crate::{
    ChunkRef, Directory, EntryPath, Inode, InodeId, InodeKind, Metadata, Renumbering, Tree, TreeError,
};

/// Prefix of a file name that removes the rest of the name from the layers below.
pub const WHITEOUT_PREFIX: &[u8] = b".wh.";
/// File name that hides all of the directory's entries from the layers below.
pub const OPAQUE_MARKER: &[u8] = b".wh..wh..opq";
/// In the bootstrap of a single layer, a hard link whose target lies in a lower layer is an empty file with this
/// extended attribute; the value is the target's path without a leading slash.
pub const LINK_XATTR: &[u8] = b"trusted.nydus-convert.hardlink";

/// A hard link whose target the layer had not mentioned when the link came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Path of the link.
    pub path: EntryPath,
    /// Path of the file that it is another name of.
    pub target: EntryPath,
    /// The empty file that stands in its place.
    pub(crate) placeholder: InodeId,
    /// The inode that the same layer brought later under the target's name.
    pub(crate) forward: Option<InodeId>,
    /// Whether the layer had a file of the target's last name before: through a symbolic link of a lower layer the target can
    /// be that.
    pub(crate) earlier: bool,
}

/// The tree of one layer: with its whiteouts as files, and with links that may lead out of the layer.
#[derive(Debug, Clone, Default)]
pub struct LayerTree {
    tree: Tree,
    links: Vec<Link>,
    /// The target of the link that each placeholder stands for.
    pending: HashMap<InodeId, EntryPath>,
    links_weight: usize,
}

/// Why layers cannot be laid over each other.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OverlayError {
    /// A hard link to nothing.
    #[error("{path}: hard link to {target}, which neither this layer nor a lower one has")]
    MissingLinkTarget {
        /// The link.
        path: EntryPath,
        /// What it points to.
        target: EntryPath,
    },
    /// An entry has no place.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

impl LayerTree {
    /// An empty layer.
    pub fn new() -> Self {
        Self::default()
    }

    /// The layer whose own bootstrap shows `tree`.
    ///
    /// A bootstrap does not say which directories the layer describes and which are there only because something lies
    /// below them: those that have the metadata of the latter are taken for such. Links out of the layer are found
    /// by their [`LINK_XATTR`]; a link that could be resolved inside the layer stays resolved.
    pub fn of_bootstrap(mut tree: Tree) -> Self {
        let guessed = Metadata::implicit_directory();
        let directories: Vec<InodeId> =
            tree.inodes().filter(|(_, inode, _)| inode.metadata == guessed).map(|(id, ..)| id).collect();
        let root = tree.root();
        for id in directories {
            if let InodeKind::Directory(directory) = &mut tree.inode_mut(id).kind {
                directory.implicit = id == root || !directory.is_empty();
            }
        }
        Self::of_tree(tree)
    }

    /// As [`LayerTree::of_bootstrap`], where it is known which directories the layer describes: those that are not
    /// [implicit](Directory::implicit).
    pub fn of_tree(tree: Tree) -> Self {
        let links = tree.walk().filter_map(|entry| link_of(entry.path, entry.id, entry.inode)).collect();
        Self::of_parts(tree, links)
    }

    /// A finished layer.
    pub(crate) fn of_parts(tree: Tree, links: Vec<Link>) -> Self {
        let pending = links.iter().map(|link| (link.placeholder, link.target.clone())).collect();
        let links_weight = links.iter().map(weight_of).sum();
        Self { tree, links, pending, links_weight }
    }

    /// The layer as its own bootstrap shows it. Complete after [`LayerTree::finish`].
    pub const fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The same, to set chunks in.
    pub const fn tree_mut(&mut self) -> &mut Tree {
        &mut self.tree
    }

    /// The links that are resolved only when the layer is laid over others.
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// Bytes of memory that the layer takes, about; see [`Tree::weight`].
    pub fn weight(&self) -> usize {
        self.tree.weight() + self.links_weight
    }

    /// Frees the inodes that later entries replaced. The order of those that are left stays.
    pub fn sweep(&mut self) -> Renumbering {
        let moved = self.tree.sweep();
        // What no name leads to is replaced for good: nothing gives it a name again.
        self.links.retain_mut(|link| {
            link.forward = link.forward.and_then(|id| moved.of(id));
            moved.of(link.placeholder).map(|id| link.placeholder = id).is_some()
        });
        let pending = std::mem::take(&mut self.pending).into_iter();
        self.pending = pending.filter_map(|(id, target)| Some((moved.of(id)?, target))).collect();
        self.links_weight = self.links.iter().map(weight_of).sum();
        moved
    }

    /// Puts an entry in its place; see [`Tree::insert`].
    pub fn insert(&mut self, path: &EntryPath, inode: Inode) -> Result<InodeId, TreeError> {
        self.tree.insert(path, inode)
    }

    /// Takes note of a whiteout or marker, whatever its type: an empty file of that name. It replaces nothing and follows no
    /// link: where its directory is something else in this layer, there is nothing that it could hide, and it is passed over.
    pub fn whiteout(&mut self, path: &EntryPath, metadata: Metadata) -> Result<(), TreeError> {
        if self.is_in_the_way(path) {
            return Ok(());
        }
        let kind = InodeKind::Regular { size: 0, chunks: Vec::new() };
        self.tree.insert(path, Inode { metadata, kind }).map(drop)
    }

    /// Whether something on the way to `path` is no directory.
    pub fn is_in_the_way(&self, path: &EntryPath) -> bool {
        let mut at = self.tree.root();
        for name in path.parent().unwrap_or_default().components() {
            match self.tree.directory(at).map(|directory| directory.get(name)) {
                Some(Some(child)) => at = child,
                Some(None) => return false,
                None => return true,
            }
        }
        self.tree.directory(at).is_none()
    }

    /// A hard link entry. Its own metadata is used only while the target is unknown: a link has none of its own.
    pub fn link(
        &mut self,
        path: &EntryPath,
        target: &EntryPath,
        metadata: Metadata,
    ) -> Result<(), TreeError> {
        match self.tree.resolve_counted(target)? {
            Some(id) if self.tree.directory(id).is_some() => {
                Err(TreeError::LinkToDirectory { path: path.clone(), target: target.clone() })
            }
            Some(id) => match self.pending.get(&id).cloned() {
                // A link to a link that is not resolved is one more link to the same unknown.
                Some(target) => self.add_pending(path, &target, metadata),
                None => self.tree.link(path, id),
            },
            None => self.add_pending(path, target, metadata),
        }
    }

    fn add_pending(
        &mut self,
        path: &EntryPath,
        target: &EntryPath,
        mut metadata: Metadata,
    ) -> Result<(), TreeError> {
        metadata.xattrs.insert(LINK_XATTR.to_vec(), target.as_bytes().to_vec());
        let kind = InodeKind::Regular { size: 0, chunks: Vec::new() };
        let placeholder = self.tree.insert(path, Inode { metadata, kind })?;
        self.pending.insert(placeholder, target.clone());
        let link =
            Link { path: path.clone(), target: target.clone(), placeholder, forward: None, earlier: false };
        self.links_weight += weight_of(&link);
        self.links.push(link);
        Ok(())
    }

    /// Ends the layer: links that a later entry replaced are forgotten, links to a later entry of the layer get it.
    pub fn finish(&mut self) -> Result<(), TreeError> {
        let mut links = std::mem::take(&mut self.links);
        if !links.is_empty() {
            let names = self.tree.link_counts();
            links.retain(|link| names.get(link.placeholder.index()).is_some_and(|names| *names > 0));
        }
        let mut kept = Vec::with_capacity(links.len());
        for mut link in links {
            if self.tree.resolve_counted(&link.path)? != Some(link.placeholder) {
                continue;
            }
            let target = self.tree.resolve_counted(&link.target)?;
            link.forward =
                target.filter(|id| self.tree.directory(*id).is_none() && !self.pending.contains_key(id));
            kept.push(link);
        }
        self.find_namesakes(&mut kept);
        for link in &kept {
            if let Some(id) = link.forward {
                self.tree.link(&link.path, id)?;
            }
        }
        self.links = kept;
        Ok(())
    }
}

impl LayerTree {
    /// Finds out which links that lead out of the layer have a namesake of their target before them.
    fn find_namesakes(&self, links: &mut [Link]) {
        let wanted = |link: &Link| link.forward.is_none();
        let mut first: HashMap<Vec<u8>, Option<InodeId>> = HashMap::new();
        for link in links.iter().filter(|link| wanted(link)) {
            first.entry(link.target.file_name().unwrap_or_default().to_vec()).or_default();
        }
        if first.is_empty() {
            return;
        }
        for entry in self.tree.walk().filter(|entry| !self.pending.contains_key(&entry.id)) {
            if let Some(name) = entry.path.file_name()
                && let Some(known) = first.get_mut(name)
            {
                *known = Some(known.map_or(entry.id, |known| known.min(entry.id)));
            }
        }
        for link in links.iter_mut().filter(|link| wanted(link)) {
            let namesake = first.get(link.target.file_name().unwrap_or_default()).copied().flatten();
            link.earlier = namesake.is_some_and(|id| id < link.placeholder);
        }
    }
}

/// What a link takes, with its place among those that are pending.
fn weight_of(link: &Link) -> usize {
    2 * size_of::<Link>() + link.path.as_bytes().len() + 2 * link.target.as_bytes().len()
}

/// The link out of its layer that a file of a bootstrap stands for.
fn link_of(path: EntryPath, placeholder: InodeId, inode: &Inode) -> Option<Link> {
    let InodeKind::Regular { size: 0, .. } = inode.kind else { return None };
    let target = EntryPath::parse(inode.metadata.xattrs.get(LINK_XATTR)?).ok()?;
    Some(Link { path, target, placeholder, forward: None, earlier: false })
}

/// Lays `upper` over `base`. `place` maps the chunk references of the layer to those of the image.
pub fn overlay(
    base: &mut Tree,
    upper: LayerTree,
    mut place: impl FnMut(ChunkRef) -> ChunkRef,
) -> Result<(), OverlayError> {
    let LayerTree { tree: mut upper, links, .. } = upper;
    // What the links meant that the layer could not resolve: a program that unpacks it meets the files below first. A whiteout
    // acts by its name, whatever it links to.
    let mut outside = Vec::new();
    for link in links.iter().filter(|link| !is_whiteout(&link.path)) {
        let below = base.resolve_counted(&link.target)?.filter(|id| base.directory(*id).is_none());
        if below.is_some() || link.forward.is_none() {
            outside.push((link, below));
        }
    }

    let root = upper.root();
    if upper.directory(root).is_some_and(|directory| !directory.implicit) {
        let metadata = std::mem::take(&mut upper.inode_mut(root).metadata);
        base.replace_directory_metadata(base.root(), metadata);
    }
    let mut moved: HashMap<InodeId, InodeId> = HashMap::new();
    let mut work = vec![(EntryPath::root(), base.root(), root)];
    while let Some((path, below, above)) = work.pop() {
        apply_whiteouts(base, below, &upper, above);
        let children: Vec<(Box<[u8]>, InodeId)> = upper.directory(above).map_or_else(Vec::new, |directory| {
            let visible = directory.iter().filter(|(name, _)| !name.starts_with(WHITEOUT_PREFIX));
            visible.map(|(name, id)| (name.into(), id)).collect()
        });
        for (name, child) in children {
            if upper.directory(child).is_some() {
                let path = path.join(&name);
                let target = overlay_directory(base, below, &path, &name, &mut upper, child)?;
                work.push((path, target, child));
            } else {
                let id = match moved.get(&child) {
                    Some(id) => *id,
                    None => {
                        let id = base.add(take_leaf(&mut upper, child, &mut place))?;
                        moved.insert(child, id);
                        id
                    }
                };
                base.set_child(below, &name, id)?;
            }
        }
    }
    let own: HashMap<InodeId, InodeId> = moved.into_iter().map(|(above, id)| (id, above)).collect();
    for (link, below) in outside {
        resolve(base, link, below, &own)?;
    }
    Ok(())
}

/// Gives a link that leads out of its layer its file. `below` is what the lower layers have at its target, `own` are the
/// layer's own files in the merged tree.
fn resolve(
    base: &mut Tree,
    link: &Link,
    below: Option<InodeId>,
    own: &HashMap<InodeId, InodeId>,
) -> Result<(), OverlayError> {
    let merged = base.resolve_counted(&link.target)?.filter(|id| base.directory(*id).is_none());
    let is_itself = |id: &InodeId| own.get(id) == Some(&link.placeholder);
    // Through a symbolic link of a lower layer the target can be a file of this one, and an earlier entry than the link.
    let earlier = merged.filter(|id| link.earlier && own.contains_key(id) && !is_itself(id));
    match earlier.or(below).or(merged.filter(|id| !is_itself(id))) {
        Some(id) => Ok(base.link(&link.path, id)?),
        // A link to itself, where there is no file: nothing.
        None if merged.is_some() => {
            if let (Some(parent), Some(name)) = (link.path.parent(), link.path.file_name())
                && let Some(parent) = base.resolve_counted(&parent)?
            {
                base.remove_child(parent, name);
            }
            Ok(())
        }
        None => {
            let (path, target) = (link.path.clone(), link.target.clone());
            Err(OverlayError::MissingLinkTarget { path, target })
        }
    }
}

/// Whether the last name of a path is that of a whiteout or marker.
pub fn is_whiteout(path: &EntryPath) -> bool {
    path.file_name().is_some_and(|name| name.starts_with(WHITEOUT_PREFIX))
}

/// Removes from `below` what the whiteouts among `above`'s children name. Names that begin with `.wh..wh.` belong to
/// the union file system that invented whiteouts: the opaque marker acts, the others mean nothing.
fn apply_whiteouts(base: &mut Tree, below: InodeId, upper: &Tree, above: InodeId) {
    let Some(directory) = upper.directory(above) else { return };
    if directory.get(OPAQUE_MARKER).is_some() {
        base.clear_children(below);
    }
    for (name, _) in directory.iter() {
        if let Some(hidden) = name.strip_prefix(WHITEOUT_PREFIX)
            && !hidden.starts_with(WHITEOUT_PREFIX)
        {
            base.remove_child(below, hidden);
        }
    }
}

/// The directory of `base` that the children of the upper directory `child` belong into.
fn overlay_directory(
    base: &mut Tree,
    parent: InodeId,
    path: &EntryPath,
    name: &[u8],
    upper: &mut Tree,
    child: InodeId,
) -> Result<InodeId, TreeError> {
    let implicit = upper.directory(child).is_some_and(|directory| directory.implicit);
    let existing = base.directory(parent).and_then(|directory| directory.get(name));
    if let Some(existing) = existing {
        let is_directory = base.directory(existing).is_some();
        // A directory that no entry describes changes nothing; through a symbolic link it is the link's target,
        // because the program that extracts the layer walks through the link.
        if implicit && is_directory {
            return Ok(existing);
        }
        if implicit && matches!(base.inode(existing).kind, InodeKind::Symlink { .. }) {
            return base.make_directory(path);
        }
        if is_directory {
            let metadata = std::mem::take(&mut upper.inode_mut(child).metadata);
            base.replace_directory_metadata(existing, metadata);
            return Ok(existing);
        }
    }
    let metadata = std::mem::take(&mut upper.inode_mut(child).metadata);
    let kind = InodeKind::Directory(Directory::new(implicit));
    let id = base.add(Inode { metadata, kind })?;
    base.set_child(parent, name, id)?;
    Ok(id)
}

/// Moves a file out of the upper tree.
fn take_leaf(upper: &mut Tree, id: InodeId, place: &mut impl FnMut(ChunkRef) -> ChunkRef) -> Inode {
    let empty = Inode { metadata: Metadata::default(), kind: InodeKind::Fifo };
    let mut inode = std::mem::replace(upper.inode_mut(id), empty);
    if let InodeKind::Regular { chunks, .. } = &mut inode.kind {
        chunks.iter_mut().for_each(|chunk| *chunk = place(*chunk));
    }
    inode
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn path(text: &str) -> EntryPath {
        EntryPath::parse(text.as_bytes()).unwrap()
    }

    /// A layer from lines: `d PATH`, `f PATH`, `s PATH TARGET`, `l PATH TARGET`. The mode tells the layer.
    fn layer(mode: u16, lines: &[&str]) -> LayerTree {
        let metadata = Metadata { mode, ..Metadata::default() };
        let mut layer = LayerTree::new();
        for line in lines {
            let mut words = line.split(' ');
            let kind = words.next().unwrap();
            let at = path(words.next().unwrap());
            let kind = match kind {
                "d" => InodeKind::Directory(Directory::default()),
                "f" => InodeKind::Regular { size: 0, chunks: Vec::new() },
                "s" => InodeKind::Symlink { target: words.next().unwrap().as_bytes().into() },
                "l" => {
                    layer.link(&at, &path(words.next().unwrap()), metadata.clone()).unwrap();
                    continue;
                }
                _ => unreachable!("{line}"),
            };
            layer.insert(&at, Inode { metadata: metadata.clone(), kind }).unwrap();
        }
        layer.finish().unwrap();
        layer
    }

    fn merge(layers: Vec<LayerTree>) -> Tree {
        let mut base = Tree::new();
        for layer in layers {
            overlay(&mut base, layer, |chunk| chunk).unwrap();
        }
        base
    }

    /// `PATH:MODE` of everything but the root.
    fn show(tree: &Tree) -> Vec<String> {
        tree.walk().skip(1).map(|entry| format!("{}:{}", entry.path, entry.inode.metadata.mode)).collect()
    }

    #[test]
    fn whiteouts_act_on_lower_layers_only_wherever_they_stand() {
        let lower = ["d a", "f a/x", "f a/y", "f b"];
        let tree = merge(vec![layer(1, &lower), layer(2, &["f a/y", "f a/.wh.x", "f a/.wh.y", "f .wh.b"])]);
        assert_eq!(show(&tree), ["/a:1", "/a/y:2"]);
    }

    #[test]
    fn opaque_directories_hide_what_lies_below() {
        let lower = ["d a", "f a/x", "d a/s", "f a/s/y"];
        let tree = merge(vec![layer(1, &lower), layer(2, &["d a", "f a/new", "f a/.wh..wh..opq"])]);
        assert_eq!(show(&tree), ["/a:2", "/a/new:2"]);
        let tree = merge(vec![layer(1, &lower), layer(2, &["f .wh..wh..opq"])]);
        assert_eq!(show(&tree), Vec::<String>::new());
    }

    #[test]
    fn markers_of_the_lowest_layer_vanish_too() {
        let tree = merge(vec![layer(
            1,
            &["f .wh.x", "d a", "f a/.wh..wh..opq", "f .wh..wh.plnk", "f .wh.", "f a/b"],
        )]);
        assert_eq!(show(&tree), ["/a:1", "/a/b:1"]);
    }

    #[test]
    fn directories_that_no_entry_describes_keep_the_lower_metadata() {
        let tree = merge(vec![layer(1, &["d a", "f a/x"]), layer(2, &["f a/y"])]);
        assert_eq!(show(&tree), ["/a:1", "/a/x:1", "/a/y:2"]);
        let tree = merge(vec![layer(1, &["d a", "f a/x"]), layer(2, &["d a", "f a/y"])]);
        assert_eq!(show(&tree), ["/a:2", "/a/x:1", "/a/y:2"]);
    }

    #[test]
    fn paths_lead_through_lower_symbolic_links() {
        let lower = ["d usr", "d usr/lib", "f usr/lib/old", "s lib usr/lib"];
        let tree = merge(vec![layer(1, &lower), layer(2, &["f lib/new", "f lib/.wh.old"])]);
        assert_eq!(show(&tree), ["/lib:1", "/usr:1", "/usr/lib:1", "/usr/lib/new:2"]);
        let tree = merge(vec![layer(1, &lower), layer(2, &["d lib", "f lib/new"])]);
        assert_eq!(show(&tree), ["/lib:2", "/lib/new:2", "/usr:1", "/usr/lib:1", "/usr/lib/old:1"]);
    }

    #[test]
    fn types_replace_each_other() {
        let tree = merge(vec![layer(1, &["d a", "f a/x", "f b"]), layer(2, &["f a", "d b", "f b/y"])]);
        assert_eq!(show(&tree), ["/a:2", "/b:2", "/b/y:2"]);
    }

    #[test]
    fn links_reach_into_lower_layers_and_forward() {
        let tree = merge(vec![layer(1, &["f t"]), layer(2, &["l a t", "l b a", "f .wh.t"])]);
        assert_eq!(show(&tree), ["/a:1", "/b:1"]);
        assert_eq!(tree.get(&path("a")), tree.get(&path("b")));

        let tree = merge(vec![layer(1, &["l a t", "l b a", "f t"])]);
        assert_eq!(tree.get(&path("a")), tree.get(&path("t")));
        assert_eq!(tree.get(&path("b")), tree.get(&path("t")));

        // The lower file is what an extracting program finds when it meets the link.
        let tree = merge(vec![layer(1, &["f t"]), layer(2, &["l a t", "f t"])]);
        assert_eq!(show(&tree), ["/a:1", "/t:2"]);

        // A replaced link leaves nothing behind.
        let tree = merge(vec![layer(1, &["l a nowhere", "f a"])]);
        assert_eq!(show(&tree), ["/a:1"]);
    }

    #[test]
    fn a_layer_comes_back_from_its_own_bootstrap() {
        let implicit = Metadata::implicit_directory().mode;
        let lower = || layer(1, &["d a", "f a/t", "d b"]);
        let upper = layer(2, &["f a/new", "l link a/t", "l more link", "d b"]);
        let again = LayerTree::of_bootstrap(upper.tree().clone());
        assert_eq!(again.links(), upper.links());
        assert_eq!(show(upper.tree())[0], format!("/a:{implicit}"));
        let tree = merge(vec![lower(), again]);
        assert_eq!(show(&tree), show(&merge(vec![lower(), upper])));
        assert_eq!(tree.get(&path("more")), tree.get(&path("a/t")));
    }

    #[test]
    fn whiteouts_that_are_links_act_by_their_names() {
        let mut upper = layer(2, &["l .wh.a b", "l .wh.b nowhere", "l .wh.c .wh.a"]);
        upper.finish().unwrap();
        let tree = merge(vec![layer(1, &["f a", "f b", "f c", "f d"]), upper]);
        assert_eq!(show(&tree), ["/d:1"]);
    }

    #[test]
    fn whiteouts_replace_and_follow_nothing_of_their_layer() {
        let whiteout =
            |layer: &mut LayerTree, at: &str| layer.whiteout(&path(at), Metadata::default()).unwrap();
        let mut upper = layer(2, &["f a", "s l d"]);
        for at in ["a/.wh.x", "a/b/.wh.x", "l/.wh.y", "l/.wh..wh..opq", "d/.wh.z"] {
            whiteout(&mut upper, at);
        }
        let tree = merge(vec![layer(1, &["d d", "f d/y", "f d/z"]), upper]);
        assert_eq!(show(&tree), ["/a:2", "/d:1", "/d/y:1", "/l:2"]);
    }

    #[test]
    fn links_to_nothing_are_errors() {
        let mut base = Tree::new();
        let upper = layer(1, &["l a nowhere"]);
        let error = overlay(&mut base, upper, |chunk| chunk).unwrap_err();
        assert_eq!(error, OverlayError::MissingLinkTarget { path: path("a"), target: path("nowhere") });
    }

    #[test]
    fn hard_links_stay_links_and_chunks_are_placed() {
        let mut upper = LayerTree::new();
        let chunks = vec![ChunkRef { blob: 0, index: 7 }];
        let kind = InodeKind::Regular { size: 1, chunks };
        upper.insert(&path("a"), Inode { metadata: Metadata::default(), kind }).unwrap();
        upper.link(&path("b"), &path("a"), Metadata::default()).unwrap();
        upper.finish().unwrap();
        let mut base = Tree::new();
        overlay(&mut base, upper, |chunk| ChunkRef { blob: 3, ..chunk }).unwrap();
        let a = base.get(&path("a")).unwrap();
        assert_eq!(base.get(&path("b")), Some(a));
        let InodeKind::Regular { chunks, .. } = &base.inode(a).kind else { unreachable!() };
        assert_eq!(chunks, &[ChunkRef { blob: 3, index: 7 }]);
    }
}
