//! From the root to the whole tree.
//!
//! Hostile bytes can lay records over each other to make a small file describe a huge tree. So a position of the inode
//! table belongs to one directory only, which excludes cycles too, and all records together may not be larger than the
//! bootstrap. Memory is thereby bounded by the length of the input.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use super::record::Head;
use super::superblock::Super;
use super::{ChunkProblem, EntryProblem, ReadError};
use crate::file_type::FileType;
use crate::input::Bytes;
use crate::record::ChunkRecord;
use crate::v5::layout::{ALIGNMENT, InodeFlags, ROOT_NUMBER, SUPERBLOCK_LEN};
use crate::{
    Chunk, ChunkRef, DeviceNumber, Directory, EntryPath, Inode, InodeId, InodeKind, Tree, TreeError, limits,
};

/// Length of an entry of the inode table.
const SLOT_LEN: u64 = size_of::<u32>() as u64;

/// The tree and where its inodes lie.
pub(super) struct Walked {
    pub(super) tree: Tree,
    /// By position in the inode table, from 1.
    pub(super) ids: Vec<Option<InodeId>>,
    /// Number on disk of every inode, by [`InodeId::index`].
    pub(super) numbers: Vec<u64>,
    /// See [`Reading`](super::Reading).
    pub(super) positions: Vec<u32>,
    /// By blob: every use of a chunk.
    pub(super) chunks: Vec<Vec<(u32, Chunk)>>,
}

/// A problem and where it is.
pub(super) type At = (u64, EntryProblem);

/// A directory whose children are still to be read.
struct Pending {
    id: InodeId,
    number: u32,
    depth: usize,
    offset: u64,
    first: u32,
    count: u32,
}

/// The first child's position and the number of children, of directories.
type Children = Option<(u32, u32)>;

/// A further name of a file, which may come before the file.
struct Link<'a> {
    directory: InodeId,
    offset: u64,
    head: Head<'a>,
}

struct Walker<'a> {
    bytes: Bytes<'a>,
    found: &'a Super,
    /// Bytes that records may still take.
    budget: u64,
    walked: Walked,
    /// Positions that belong to a directory.
    seen: Vec<bool>,
    pending: Vec<Pending>,
    links: Vec<Link<'a>>,
}

/// Where the record at a position of the inode table lies.
pub(super) fn offset(bytes: Bytes<'_>, found: &Super, position: u32) -> Result<u64, At> {
    let table = found.inodes;
    let at = u64::from(position).saturating_sub(1).saturating_mul(SLOT_LEN);
    let place = table.offset.saturating_add(at);
    let slot = match bytes.get(place, SLOT_LEN) {
        Some(&[a, b, c, d]) if position != 0 && at < table.size => u32::from_le_bytes([a, b, c, d]),
        _ => return Err((place, EntryProblem::OutOfBounds { part: "entry of the inode table" })),
    };
    let offset = u64::from(slot).saturating_mul(ALIGNMENT);
    if offset <= SUPERBLOCK_LEN || offset >= bytes.len() {
        return Err((place, EntryProblem::Slot { slot }));
    }
    Ok(offset)
}

/// Reads the tree.
pub(super) fn walk(bytes: Bytes<'_>, found: &Super, blobs: usize) -> Result<Walked, ReadError> {
    let positions = usize::try_from(found.inodes.size / SLOT_LEN).unwrap_or_default().saturating_add(1);
    let walked = Walked {
        tree: Tree::new(),
        ids: vec![None; positions],
        numbers: Vec::new(),
        positions: Vec::new(),
        chunks: vec![Vec::new(); blobs],
    };
    let seen = vec![false; positions];
    let budget = bytes.len();
    let mut walker = Walker { bytes, found, budget, walked, seen, pending: Vec::new(), links: Vec::new() };
    let at_root = |(offset, problem)| ReadError::Entry { path: EntryPath::root(), offset, problem };
    walker.root().map_err(at_root)?;
    while let Some(directory) = walker.pending.pop() {
        walker.read_directory(&directory)?;
    }
    walker.resolve_links()?;
    Ok(walker.walked)
}

impl<'a> Walker<'a> {
    fn root(&mut self) -> Result<(), At> {
        let offset = offset(self.bytes, self.found, ROOT_NUMBER)?;
        let at = |problem| (offset, problem);
        let head = Head::read(self.bytes, offset).map_err(at)?;
        if head.file_type != FileType::Directory {
            return Err(at(EntryProblem::Mode { mode: head.raw.mode.get() }));
        }
        self.claim(ROOT_NUMBER).map_err(at)?;
        let root = self.walked.tree.root();
        let (inode, children) = self.read_inode(&head, ROOT_NUMBER, offset)?;
        *self.walked.tree.inode_mut(root) = inode;
        self.enter(root, ROOT_NUMBER, 1, offset, children);
        Ok(())
    }

    fn read_directory(&mut self, at: &Pending) -> Result<(), ReadError> {
        if at.depth > limits::MAX_DEPTH {
            return Err(self.failure(at.id, None, (at.offset, EntryProblem::TooDeep)));
        }
        let first = self.pending.len();
        let mut previous: &[u8] = &[];
        for position in (at.first..).take(usize::try_from(at.count).unwrap_or_default()) {
            let offset =
                offset(self.bytes, self.found, position).map_err(|found| self.failure(at.id, None, found))?;
            let head = Head::read(self.bytes, offset)
                .map_err(|problem| self.failure(at.id, None, (offset, problem)))?;
            let name = head.name;
            self.check_name(at, position, &head, previous)
                .map_err(|problem| self.failure(at.id, None, (offset, problem)))?;
            previous = name;
            self.child(at, position, offset, head).map_err(|found| self.failure(at.id, Some(name), found))?;
        }
        // The first sub-directory comes next.
        self.pending.get_mut(first..).unwrap_or_default().reverse();
        Ok(())
    }

    /// Whether a record can be a child of this directory, behind the child called `previous`.
    fn check_name(
        &mut self,
        at: &Pending,
        position: u32,
        head: &Head<'a>,
        previous: &[u8],
    ) -> Result<(), EntryProblem> {
        self.claim(position)?;
        let name = head.name;
        if name.is_empty()
            || name.len() > limits::MAX_NAME
            || name == b"."
            || name == b".."
            || name.contains(&b'/')
            || name.contains(&0)
        {
            return Err(EntryProblem::Name { name: name.to_vec() });
        }
        if name <= previous {
            return Err(EntryProblem::Order { name: name.to_vec() });
        }
        let parent = head.raw.parent.get();
        if parent == u64::from(at.number) { Ok(()) } else { Err(EntryProblem::Parent { parent }) }
    }

    fn child(&mut self, at: &Pending, position: u32, offset: u64, head: Head<'a>) -> Result<(), At> {
        let is_directory = head.file_type == FileType::Directory;
        if head.number() != Some(position) {
            let number = head.raw.number.get();
            if is_directory || number == 0 {
                return Err((offset, EntryProblem::Number { position, number }));
            }
            self.spend(offset, head.end()).map_err(|problem| (offset, problem))?;
            self.walked.positions.push(position);
            self.links.push(Link { directory: at.id, offset, head });
            return Ok(());
        }
        let tree = |error: TreeError| (offset, error.into());
        let (inode, children) = self.read_inode(&head, position, offset)?;
        let id = self.walked.tree.add(inode).map_err(tree)?;
        self.enter(id, position, at.depth.saturating_add(1), offset, children);
        self.walked.tree.set_child(at.id, head.name, id).map_err(tree)
    }

    /// Reads what a record holds, and which positions the children of a directory have.
    fn read_inode(&mut self, head: &Head<'a>, number: u32, offset: u64) -> Result<(Inode, Children), At> {
        let at = |problem| (offset, problem);
        let body = head.body(self.bytes).map_err(at)?;
        self.spend(offset, body.end).map_err(at)?;
        let metadata = head.metadata(&body).map_err(at)?;
        let mut children = None;
        let device = DeviceNumber::decode(head.raw.device.get());
        let kind = match head.file_type {
            FileType::Directory => {
                children = Some(self.children(head, number).map_err(at)?);
                InodeKind::Directory(Directory::new(false))
            }
            FileType::Regular => self.regular(head, body.records()).map_err(at)?,
            FileType::Symlink => {
                let target = body.target;
                if target.contains(&0) {
                    return Err(at(EntryProblem::Symlink { size: head.raw.target_len.get() }));
                }
                InodeKind::Symlink { target: target.into() }
            }
            FileType::CharDevice => InodeKind::CharDevice(device),
            FileType::BlockDevice => InodeKind::BlockDevice(device),
            FileType::Fifo => InodeKind::Fifo,
            FileType::Socket => InodeKind::Socket,
        };
        Ok((Inode { metadata, kind }, children))
    }

    fn children(&self, head: &Head<'a>, number: u32) -> Result<(u32, u32), EntryProblem> {
        let (first, count) = (head.raw.child_index.get(), head.raw.child_count.get());
        let last = u64::from(first).saturating_add(count.into()).saturating_sub(1);
        if count == 0 || first > number && last <= self.found.inodes.size / SLOT_LEN {
            Ok((first, count))
        } else {
            Err(EntryProblem::Children { first, count })
        }
    }

    fn regular(
        &mut self,
        head: &Head<'a>,
        records: impl Iterator<Item = ChunkRecord>,
    ) -> Result<InodeKind, EntryProblem> {
        let (size, count) = (head.raw.size.get(), head.raw.child_count.get());
        if head.flags.contains(InodeFlags::HAS_HOLE) {
            return Err(EntryProblem::Hole);
        }
        let most = limits::MAX_CHUNKS_PER_FILE as u64;
        if self.found.chunk_size.chunks_of(size) != u64::from(count) || u64::from(count) > most {
            return Err(EntryProblem::ChunkCount { count, size });
        }
        let chunks = (0..)
            .zip(records)
            .map(|(number, record)| {
                self.chunk(&record, number, size).map_err(|problem| EntryProblem::Chunk { number, problem })
            })
            .collect::<Result<_, _>>()?;
        Ok(InodeKind::Regular { size, chunks })
    }

    fn chunk(&mut self, record: &ChunkRecord, number: u64, size: u64) -> Result<ChunkRef, ChunkProblem> {
        let chunk = record.chunk().ok_or(ChunkProblem::Flags { bits: record.flags.get() })?;
        let step = u64::from(self.found.chunk_size.bytes());
        let start = number.saturating_mul(step);
        if record.file_offset.get() != start {
            return Err(ChunkProblem::FileOffset { offset: record.file_offset.get() });
        }
        let expected = size.saturating_sub(start).min(step);
        if u64::from(chunk.uncompressed_size) != expected {
            return Err(ChunkProblem::Length { expected, actual: chunk.uncompressed_size });
        }
        let blob = record.blob.get();
        let index = record.index.get();
        let position = u16::try_from(blob).map_err(|_| ChunkProblem::Blob { blob })?;
        let chunks = self.walked.chunks.get_mut(usize::from(position));
        chunks.ok_or(ChunkProblem::Blob { blob })?.push((index, chunk));
        Ok(ChunkRef { blob: position, index })
    }

    /// Gives further names to the files they belong to.
    fn resolve_links(&mut self) -> Result<(), ReadError> {
        for Link { directory, offset, head } in std::mem::take(&mut self.links) {
            let number = head.raw.number.get();
            let owner = head.number().and_then(|number| usize::try_from(number).ok());
            let owner = owner.and_then(|number| self.walked.ids.get(number).copied().flatten());
            let fits = |id: &InodeId| {
                let kind = &self.walked.tree.inode(*id).kind;
                FileType::of(kind) == head.file_type
                    && match kind {
                        InodeKind::Regular { size, .. } => *size == head.raw.size.get(),
                        _ => true,
                    }
            };
            let Some(id) = owner.filter(fits) else {
                let problem = EntryProblem::Link { number };
                return Err(self.failure(directory, Some(head.name), (offset, problem)));
            };
            self.walked
                .tree
                .set_child(directory, head.name, id)
                .map_err(|error| self.failure(directory, None, (offset, error.into())))?;
        }
        Ok(())
    }

    /// Notes that the tree has an inode.
    fn enter(&mut self, id: InodeId, number: u32, depth: usize, offset: u64, children: Children) {
        if let Some((first, count)) = children {
            self.pending.push(Pending { id, number, depth, offset, first, count });
        }
        if let Some(slot) = usize::try_from(number).ok().and_then(|at| self.walked.ids.get_mut(at)) {
            *slot = Some(id);
        }
        self.walked.numbers.push(number.into());
        self.walked.positions.push(number);
    }

    /// Notes that a position belongs to a directory.
    fn claim(&mut self, position: u32) -> Result<(), EntryProblem> {
        let seen = usize::try_from(position).ok().and_then(|at| self.seen.get_mut(at));
        match seen {
            Some(seen) if !*seen => {
                *seen = true;
                Ok(())
            }
            _ => Err(EntryProblem::TwoParents { position }),
        }
    }

    /// Takes the bytes of a record out of the budget.
    fn spend(&mut self, start: u64, end: u64) -> Result<(), EntryProblem> {
        let over = |table: crate::input::Table| start < table.end().unwrap_or(u64::MAX) && end > table.offset;
        if self.found.tables().any(over) {
            return Err(EntryProblem::Overlap);
        }
        let size = end.saturating_sub(start);
        self.budget = self.budget.checked_sub(size).ok_or(EntryProblem::Overlap)?;
        Ok(())
    }

    /// A problem with a directory, or with its child `name`.
    fn failure(&self, directory: InodeId, name: Option<&[u8]>, (offset, problem): At) -> ReadError {
        let path = self.walked.tree.path_of(directory).unwrap_or_default();
        let path = name.map_or(path.clone(), |name| path.join(name));
        ReadError::Entry { path, offset, problem }
    }
}
