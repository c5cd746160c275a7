//! Decides everything before the first byte is written: numbers, places, links, and which chunks are listed.
//!
//! Directories are visited from the root, each before its sub-directories. A visit numbers the children, places the
//! directory and then those of its children that are no directories. Every check of the tree happens here.

use super::chunks::ChunkUses;
use super::placement::{Area, Placed, inline_part};
use super::{WriteError, directory, xattr};
use crate::emit::{Emit, measure};
use crate::file_type::FileType;
use crate::fit::losses;
use crate::v6::layout::{BlockSize, ExtendedInode, ROOT_NUMBER, SLOT};
use crate::v6::{CAPACITY, Loss};
use crate::{BlobName, Directory, EntryPath, Image, Inode, InodeId, InodeKind, Tree, limits};

/// What is decided of one inode. Slot and number are zero until a name leads to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    /// Start of the inode in slots of the metadata area: its number on disk.
    pub(super) slot: u32,
    /// First block of content, relative to the metadata area.
    pub(super) block: u32,
    /// Bytes of content in the bootstrap: directories and symbolic links only.
    pub(super) size: u32,
    /// Sequence number, from 1 for the root.
    pub(super) number: u32,
    /// Links.
    pub(super) links: u32,
    /// The directory that holds a directory; the root holds itself.
    parent: InodeId,
}

impl Node {
    fn unplaced(root: InodeId) -> Self {
        Self { slot: 0, block: 0, size: 0, number: 0, links: 0, parent: root }
    }
}

/// A run of bytes in the metadata area.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Piece {
    /// Where it starts, in slots.
    pub(super) slot: u32,
    /// Whose it is.
    pub(super) id: InodeId,
    /// Which part of it.
    pub(super) part: Part,
}

/// The parts of an inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// Inode, extended attributes, and what follows them.
    Head,
    /// Content in blocks of its own.
    Blocks,
}

/// Everything that is decided.
pub(super) struct Plan<'a> {
    pub(super) block: BlockSize,
    tree: &'a Tree,
    nodes: Vec<Node>,
    /// In order of their places.
    pub(super) pieces: Vec<Piece>,
    /// Names in the tree, the root's included.
    pub(super) names: u64,
    /// Whether any inode has extended attributes.
    pub(super) has_xattrs: bool,
    /// End of the metadata area, relative to its start.
    pub(super) end: u64,
    pub(super) chunks: ChunkUses<'a>,
}

impl<'a> Plan<'a> {
    pub(super) fn new(image: &'a Image) -> Result<Self, WriteError> {
        let tree = &image.tree;
        let block = BlockSize::of(image.tarfs);
        let mut planner = Planner {
            root_number: root_number(image),
            plan: Self {
                block,
                tree,
                nodes: vec![Node::unplaced(tree.root()); tree.capacity()],
                pieces: Vec::with_capacity(tree.capacity()),
                names: 1,
                has_xattrs: false,
                end: 0,
                chunks: ChunkUses::new(image),
            },
            area: Area::new(block),
        };
        planner.visit_all()?;
        let Planner { mut plan, area, .. } = planner;
        plan.end = area.end();
        plan.pieces.sort_unstable();
        plan.chunks.sort();
        Ok(plan)
    }

    /// What is decided of an inode; `None` if no name leads to it.
    pub(super) fn node(&self, id: InodeId) -> Option<&Node> {
        self.nodes.get(id.index()).filter(|node| node.slot != 0)
    }

    /// The number and type of an inode, as a directory lists it.
    pub(super) fn locate(&self, id: InodeId) -> (u64, FileType) {
        (self.nodes[id.index()].slot.into(), FileType::of(&self.tree.inode(id).kind))
    }

    /// Emits what is a directory's content or a symbolic link's.
    pub(super) fn emit_content(&self, id: InodeId, out: &mut dyn Emit) -> std::io::Result<()> {
        match &self.tree.inode(id).kind {
            InodeKind::Directory(directory) => {
                let parent = self.nodes[id.index()].parent;
                directory::emit(self.block, directory, id, parent, |id| self.locate(id), out)
            }
            InodeKind::Symlink { target } => out.put(target),
            _ => Ok(()),
        }
    }
}

/// The root's sequence number. The reference builder numbers the root of a *layer* as it meets it: the one it starts
/// with is the first inode, and the entry for the root, if the tar has one, is the next. No reader looks at it.
fn root_number(image: &Image) -> u32 {
    let is_layer = image.blobs.iter().any(|blob| blob.name == BlobName::ThisBlob);
    let described = image.tree.directory(image.tree.root()).is_some_and(|root| !root.implicit);
    if is_layer && described { ROOT_NUMBER + 1 } else { ROOT_NUMBER }
}

/// A directory that is still to be visited.
struct Visit<'a> {
    id: InodeId,
    depth: usize,
    directory: &'a Directory,
}

struct Planner<'a> {
    root_number: u32,
    plan: Plan<'a>,
    area: Area,
}

impl<'a> Planner<'a> {
    fn visit_all(&mut self) -> Result<(), WriteError> {
        let tree = self.plan.tree;
        let root = tree.root();
        let inode = tree.inode(root);
        let directory = tree.directory(root).ok_or(WriteError::RootNotDirectory)?;
        if let Some(loss) = losses(None, inode, &CAPACITY).into_iter().next() {
            return Err(WriteError::Unfit { path: EntryPath::root(), loss });
        }
        let root_node = &mut self.plan.nodes[root.index()];
        (root_node.number, root_node.links) = (self.root_number, 2);
        let mut stack = vec![Visit { id: root, depth: 1, directory }];
        while let Some(visit) = stack.pop() {
            if visit.depth > limits::MAX_DEPTH {
                return Err(WriteError::TooDeep);
            }
            self.place_directory(&visit)?;
            let first = stack.len();
            for (name, id) in visit.directory.iter() {
                let inode = tree.inode(id);
                self.enter(visit.id, name, id, inode)?;
                if let InodeKind::Directory(directory) = &inode.kind {
                    stack.push(Visit { id, depth: visit.depth + 1, directory });
                } else if self.plan.nodes[id.index()].slot == 0 {
                    self.place_leaf(visit.id, name, id, inode)?;
                }
            }
            stack[first..].reverse();
        }
        Ok(())
    }

    /// Numbers one name and counts it as a link.
    fn enter(
        &mut self,
        parent: InodeId,
        name: &[u8],
        id: InodeId,
        inode: &'a Inode,
    ) -> Result<(), WriteError> {
        self.plan.names += 1;
        let number = u32::try_from(self.plan.names).map_err(|_| WriteError::TooLarge)?;
        let node = &mut self.plan.nodes[id.index()];
        let is_directory = matches!(inode.kind, InodeKind::Directory(_));
        if node.number == 0 {
            node.number = number;
            if let Some(loss) = losses(Some(name), inode, &CAPACITY).into_iter().next() {
                return Err(WriteError::Unfit { path: self.path_of(parent, name), loss });
            }
        } else if is_directory {
            return Err(WriteError::DirectoryLinked { path: self.path_of(parent, name) });
        } else if name.len() > limits::MAX_NAME {
            let loss = Loss::NameTooLong { length: name.len() };
            return Err(WriteError::Unfit { path: self.path_of(parent, name), loss });
        }
        if is_directory {
            (node.links, node.parent) = (2, parent);
            self.plan.nodes[parent.index()].links += 1;
        } else {
            node.links += 1;
        }
        if let InodeKind::Regular { size, chunks } = &inode.kind {
            // Every name counts: of all uses of a chunk, the last one met is recorded.
            self.plan
                .chunks
                .record(*size, chunks)
                .map_err(|problem| problem.at(self.path_of(parent, name)))?;
        }
        Ok(())
    }

    fn place_directory(&mut self, visit: &Visit<'a>) -> Result<(), WriteError> {
        let nowhere = |_| (0, FileType::Directory);
        let size = measure(|out| {
            directory::emit(self.plan.block, visit.directory, visit.id, visit.id, nowhere, out)
        })?;
        let head = self.head_size(self.plan.tree.inode(visit.id))?;
        let placed = self.area.place_with_content(head, size);
        self.set_place(visit.id, placed, head, size)
    }

    fn place_leaf(
        &mut self,
        parent: InodeId,
        name: &[u8],
        id: InodeId,
        inode: &Inode,
    ) -> Result<(), WriteError> {
        let head = self.head_size(inode)?;
        match &inode.kind {
            InodeKind::Directory(_) => Err(WriteError::DirectoryLinked { path: self.path_of(parent, name) }),
            InodeKind::Symlink { target } => {
                let size = target.len() as u64;
                let placed = self.area.place_with_content(head, size);
                self.set_place(id, placed, head, size)
            }
            InodeKind::Regular { chunks, .. } => {
                let inode = self.area.place_file(head, chunks.len() as u64);
                self.set_place(id, Placed { inode, data: 0 }, head, 0)
            }
            InodeKind::CharDevice(_) | InodeKind::BlockDevice(_) | InodeKind::Fifo | InodeKind::Socket => {
                let inode = self.area.place_special(head);
                self.set_place(id, Placed { inode, data: 0 }, head, 0)
            }
        }
    }

    fn head_size(&mut self, inode: &Inode) -> Result<u64, WriteError> {
        let xattrs = measure(|out| xattr::emit(&inode.metadata.xattrs, out))?;
        self.plan.has_xattrs |= xattrs != 0;
        Ok(size_of::<ExtendedInode>() as u64 + xattrs)
    }

    fn set_place(&mut self, id: InodeId, placed: Placed, head: u64, size: u64) -> Result<(), WriteError> {
        let slot = u32::try_from(placed.inode / SLOT).map_err(|_| WriteError::TooLarge)?;
        let node = &mut self.plan.nodes[id.index()];
        node.slot = slot;
        node.block =
            u32::try_from(placed.data / self.plan.block.bytes()).map_err(|_| WriteError::TooLarge)?;
        node.size = u32::try_from(size).map_err(|_| WriteError::TooLarge)?;
        self.plan.pieces.push(Piece { slot, id, part: Part::Head });
        if size != inline_part(self.plan.block, head, size) {
            let slot = u32::try_from(placed.data / SLOT).map_err(|_| WriteError::TooLarge)?;
            self.plan.pieces.push(Piece { slot, id, part: Part::Blocks });
        }
        Ok(())
    }

    /// The path of the child `name` of a directory, for messages.
    fn path_of(&self, directory: InodeId, name: &[u8]) -> EntryPath {
        self.plan.tree.path_of(directory).unwrap_or_default().join(name)
    }
}
