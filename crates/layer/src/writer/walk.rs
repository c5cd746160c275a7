//! The order of a fresh layer, and what each name of the tree becomes in it.
//!
//! A directory comes before what it holds. Among siblings, whiteouts come first, because programs that unpack act on
//! them as they meet them, and `.wh..profile` must not remove the new `.profile`; otherwise names go in byte order.
//! Of an inode with several names the first one in this order is the file, the others are links to it.
//!
//! Memory grows with the number of inodes and the width of the directories on the way, not with the length of paths:
//! a hostile tree can have names of half a megabyte.

use std::borrow::Cow;

use nydus_convert_rafs::{
    DeviceNumber, EntryPath, Inode, InodeId, InodeKind, LINK_XATTR, Metadata, OPAQUE_MARKER, Tree,
    WHITEOUT_PREFIX,
};

use super::head::is_symlink_target;
use super::records::is_xattr_name;

/// Attributes by which overlayfs knows a directory that hides the layers below; the second one is for mounts without
/// privileges.
const OVERLAY_OPAQUE: [&[u8]; 2] = [b"trusted.overlay.opaque", b"user.overlay.opaque"];

/// How the tree says that files of lower layers are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whiteouts {
    /// As OCI layers do, by files named `.wh.…`: every name is written as it stands. Right for whole images too.
    Oci,
    /// As overlayfs does: a character device 0:0 becomes the empty file `.wh.NAME`, and a directory whose attribute
    /// `trusted.overlay.opaque` or `user.overlay.opaque` is `y` loses it and gets the file `.wh..wh..opq`.
    Overlay,
}

/// What a name becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// The inode itself.
    Inode,
    /// A link to another name.
    Link { target: Vec<u8> },
    /// An empty file that overlayfs spells otherwise.
    Marker,
    /// Nothing: no tar can hold the inode.
    LeftOut,
}

/// A name of the tree, or a marker that stands for something in it.
#[derive(Debug, Clone)]
pub(super) struct Step<'a> {
    pub id: InodeId,
    pub inode: &'a Inode,
    pub what: What,
}

struct Child<'a> {
    name: Cow<'a, [u8]>,
    id: InodeId,
    is_marker: bool,
}

/// A directory on the way from the root.
struct Level<'a> {
    id: InodeId,
    path_length: usize,
    children: std::vec::IntoIter<Child<'a>>,
}

/// Visits all names.
pub(super) struct Walk<'a> {
    tree: &'a Tree,
    whiteouts: Whiteouts,
    started: bool,
    stack: Vec<Level<'a>>,
    path: Vec<u8>,
    /// Directory and name under which each inode came first, by [`InodeId::index`].
    first: Vec<Option<(InodeId, &'a [u8])>>,
}

impl<'a> Walk<'a> {
    pub fn new(tree: &'a Tree, whiteouts: Whiteouts) -> Self {
        let first = vec![None; tree.capacity()];
        Self { tree, whiteouts, started: false, stack: Vec::new(), path: Vec::new(), first }
    }

    /// Where the last step is.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// Owner, mode, time and attributes that the step's entry gets.
    pub fn metadata(&self, step: &Step<'a>) -> Cow<'a, Metadata> {
        let metadata = &step.inode.metadata;
        let is_dropped = |name: &[u8]| {
            step.what == What::Marker
                || !is_xattr_name(name)
                || name == LINK_XATTR && outside_target(step.inode).is_some()
                || OVERLAY_OPAQUE.contains(&name) && is_opaque(step.inode, self.whiteouts)
        };
        if !metadata.xattrs.iter().any(|(name, _)| is_dropped(name)) {
            return Cow::Borrowed(metadata);
        }
        let kept = metadata.xattrs.iter().filter(|(name, _)| !is_dropped(name));
        let xattrs = kept.map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        Cow::Owned(Metadata { xattrs, ..*metadata })
    }

    fn start(&mut self) -> Option<Step<'a>> {
        self.started = true;
        self.enter(self.tree.root(), self.tree.root(), b"")
    }

    fn visit(&mut self, parent: InodeId, child: &Child<'a>) -> Option<Step<'a>> {
        let (id, inode) = (child.id, self.tree.inode(child.id));
        let step = |what| Some(Step { id, inode, what });
        // A generated name is always a marker; the others are the tree's own.
        let Cow::Borrowed(name) = child.name else { return step(What::Marker) };
        if child.is_marker {
            return step(What::Marker);
        }
        match &inode.kind {
            InodeKind::Directory(_) => return self.enter(parent, id, name),
            InodeKind::Socket => return step(What::LeftOut),
            InodeKind::Symlink { target } if !is_symlink_target(target) => return step(What::LeftOut),
            _ => {}
        }
        if let Some(target) = outside_target(inode) {
            return step(What::Link { target: target.as_bytes().to_vec() });
        }
        if self.first[id.index()].is_some() {
            return step(What::Link { target: self.first_path(id) });
        }
        self.first[id.index()] = Some((parent, name));
        step(What::Inode)
    }

    /// Begins a directory. There is no step if no source describes it: whoever unpacks makes it when something comes
    /// below it, and over a lower layer it changes nothing.
    fn enter(&mut self, parent: InodeId, id: InodeId, name: &'a [u8]) -> Option<Step<'a>> {
        // A second name of a directory, which only wrong callers make, is passed over; else the walk might not end.
        if self.first[id.index()].replace((parent, name)).is_some() {
            return None;
        }
        let step = Step { id, inode: self.tree.inode(id), what: What::Inode };
        let children = self.children(id);
        let is_needed = children.is_empty() && id != self.tree.root();
        let is_implicit = self.tree.directory(id).is_some_and(|directory| directory.implicit);
        let is_default = *self.metadata(&step) == Metadata::implicit_directory();
        self.stack.push(Level { id, path_length: self.path.len(), children: children.into_iter() });
        (is_needed || !is_implicit || !is_default).then_some(step)
    }

    fn children(&self, id: InodeId) -> Vec<Child<'a>> {
        let Some(directory) = self.tree.directory(id) else { return Vec::new() };
        let mut children: Vec<_> = directory
            .iter()
            .map(|(name, id)| {
                let is_marker = is_overlay_whiteout(self.tree.inode(id), self.whiteouts);
                let name = if is_marker { [WHITEOUT_PREFIX, name].concat().into() } else { name.into() };
                Child { name, id, is_marker }
            })
            .collect();
        if is_opaque(self.tree.inode(id), self.whiteouts) {
            children.push(Child { name: OPAQUE_MARKER.into(), id, is_marker: true });
        }
        children.sort_by(|a, b| {
            let key = |child: &Child<'_>| !child.name.starts_with(WHITEOUT_PREFIX);
            key(a).cmp(&key(b)).then_with(|| a.name.cmp(&b.name))
        });
        // A tree with both spellings of one whiteout.
        children.dedup_by(|a, b| a.name == b.name);
        children
    }

    fn first_path(&self, id: InodeId) -> Vec<u8> {
        let mut names = Vec::new();
        let mut at = id;
        while at != self.tree.root()
            && let Some((parent, name)) = self.first[at.index()]
        {
            names.push(name);
            at = parent;
        }
        names.reverse();
        names.join(&b'/')
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Step<'a>;

    fn next(&mut self) -> Option<Step<'a>> {
        if !self.started
            && let Some(root) = self.start()
        {
            return Some(root);
        }
        loop {
            let level = self.stack.last_mut()?;
            let parent = level.id;
            self.path.truncate(level.path_length);
            let Some(child) = level.children.next() else {
                self.stack.pop();
                continue;
            };
            if !self.path.is_empty() {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(&child.name);
            if let Some(step) = self.visit(parent, &child) {
                return Some(step);
            }
        }
    }
}

/// What the empty file stands for that a layer's own bootstrap has in place of a link into a lower layer. A value that
/// cannot be a link's target makes it an ordinary file.
fn outside_target(inode: &Inode) -> Option<EntryPath> {
    let InodeKind::Regular { size: 0, .. } = inode.kind else { return None };
    let target = EntryPath::parse(inode.metadata.xattrs.get(LINK_XATTR)?).ok()?;
    (!target.is_root()).then_some(target)
}

fn is_overlay_whiteout(inode: &Inode, whiteouts: Whiteouts) -> bool {
    whiteouts == Whiteouts::Overlay
        && inode.kind == InodeKind::CharDevice(DeviceNumber { major: 0, minor: 0 })
}

fn is_opaque(inode: &Inode, whiteouts: Whiteouts) -> bool {
    whiteouts == Whiteouts::Overlay
        && matches!(inode.kind, InodeKind::Directory(_))
        && OVERLAY_OPAQUE.iter().any(|name| inode.metadata.xattrs.get(name) == Some(b"y"))
}
