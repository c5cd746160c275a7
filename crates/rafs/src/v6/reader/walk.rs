//! From the root inode to the whole tree.
//!
//! Hostile bytes can name an inode many times, or lay inodes and directories over each other to make a small file
//! describe a huge tree. So a directory may be named once, a file is read once however many names it has, and all that
//! is read together may not be larger than the bootstrap. Memory is thereby bounded by the length of the input.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use std::collections::{BTreeMap, HashMap};

use zerocopy::FromBytes;

use super::directory::{self, Entry};
use super::inode::{Content, Found};
use super::superblock::Super;
use super::{ChunkUseProblem, EntryProblem, ReadError};
use crate::file_type::FileType;
use crate::input::Bytes;
use crate::v6::blob;
use crate::v6::layout::ROOT_NUMBER;
use crate::v6::layout::{CHUNK_FORMAT_MASK, CHUNK_INDEXES, ChunkIndex, SLOT};
use crate::{
    Blob, Chunk, ChunkRef, DeviceNumber, Directory, EntryPath, Inode, InodeId, InodeKind, Tree, limits,
};

/// Bits of the chunk format that are defined.
const CHUNK_FORMAT_BITS: u32 = CHUNK_INDEXES | 0x1f;

/// The tree and where its inodes lie.
pub(super) struct Walked {
    pub(super) tree: Tree,
    /// Number on disk of every inode, by [`InodeId::index`].
    pub(super) nids: Vec<u64>,
    pub(super) ids: HashMap<u64, InodeId>,
    /// Of tarfs, by blob: the chunks by number, as the files tell them. Else empty.
    pub(super) tar_chunks: Vec<BTreeMap<u32, Chunk>>,
}

/// A problem and where it is.
type At = (u64, EntryProblem);

/// A directory whose entries are still to be read.
struct Pending<'a> {
    id: InodeId,
    nid: u64,
    parent: u64,
    depth: usize,
    content: Content<'a>,
    offset: u64,
}

struct Walker<'a> {
    bytes: Bytes<'a>,
    found: &'a Super,
    blobs: &'a [Blob],
    /// Bytes that inodes and their content may still take.
    budget: u64,
    walked: Walked,
    pending: Vec<Pending<'a>>,
}

/// Reads the tree.
pub(super) fn walk(bytes: Bytes<'_>, found: &Super, blobs: &[Blob]) -> Result<Walked, ReadError> {
    let tree = Tree::new();
    let tars = if found.is_tarfs() { blobs.len() } else { 0 };
    let tar_chunks = vec![BTreeMap::new(); tars];
    let walked = Walked { tree, nids: Vec::new(), ids: HashMap::new(), tar_chunks };
    let mut walker = Walker { bytes, found, blobs, budget: bytes.len(), walked, pending: Vec::new() };
    walker.root().map_err(|(offset, problem)| ReadError::Entry {
        path: EntryPath::root(),
        offset,
        problem,
    })?;
    while let Some(directory) = walker.pending.pop() {
        walker.read_directory(&directory).map_err(|Failure { name, offset, problem }| {
            let path = walker.walked.tree.path_of(directory.id).unwrap_or_default();
            let path = name.map_or(path.clone(), |name| path.join(name));
            ReadError::Entry { path, offset, problem }
        })?;
    }
    Ok(walker.walked)
}

/// A problem with a directory, or with its child `name`.
struct Failure<'a> {
    name: Option<&'a [u8]>,
    offset: u64,
    problem: EntryProblem,
}

impl From<At> for Failure<'_> {
    fn from((offset, problem): At) -> Self {
        Self { name: None, offset, problem }
    }
}

impl<'a> Walker<'a> {
    fn root(&mut self) -> Result<(), At> {
        let nid = self.found.root_nid;
        let offset = self.offset(nid);
        let at = |problem| (offset, problem);
        let inode = Found::read(self.bytes, offset).map_err(at)?;
        self.spend(inode.head).map_err(at)?;
        if inode.file_type != FileType::Directory {
            return Err(at(EntryProblem::Mode { mode: inode.file_type.mode_bits() | inode.metadata.mode }));
        }
        let content = self.directory_content(&inode).map_err(at)?;
        let root = self.walked.tree.root();
        let implicit = inode.number == ROOT_NUMBER;
        *self.walked.tree.inode_mut(root) =
            Inode { metadata: inode.metadata, kind: InodeKind::Directory(Directory::new(implicit)) };
        self.walked.ids.insert(nid, root);
        self.walked.nids.push(nid);
        self.pending.push(Pending { id: root, nid, parent: nid, depth: 1, content, offset });
        Ok(())
    }

    fn read_directory(&mut self, at: &Pending<'a>) -> Result<(), Failure<'a>> {
        if at.depth > limits::MAX_DEPTH {
            return Err((at.offset, EntryProblem::TooDeep).into());
        }
        let first = self.pending.len();
        let (mut dots, mut failed) = (0_u32, None);
        let visited = directory::visit(at.content, |entry| {
            let target = match entry.name {
                b"." => at.nid,
                b".." => at.parent,
                _ => {
                    return self.child(at, &entry).map_err(|failure| {
                        failed = failure.name;
                        (failure.offset, failure.problem)
                    });
                }
            };
            dots = dots.saturating_add(1);
            let fine = entry.nid == target && entry.file_type == FileType::Directory.dirent_type();
            if fine { Ok(()) } else { Err((entry.offset, EntryProblem::Dots)) }
        });
        visited.map_err(|(offset, problem)| Failure { name: failed, offset, problem })?;
        if dots != 2 {
            return Err((at.offset, EntryProblem::Dots).into());
        }
        // The first sub-directory comes next.
        self.pending.get_mut(first..).unwrap_or_default().reverse();
        Ok(())
    }

    fn child(&mut self, at: &Pending<'a>, entry: &Entry<'a>) -> Result<(), Failure<'a>> {
        let wrong = |problem| Failure { name: None, offset: entry.offset, problem };
        if entry.nid == 0 {
            return Err(wrong(EntryProblem::Dirent { what: "an entry leads to inode 0" }));
        }
        let known = self.walked.ids.get(&entry.nid).copied();
        let id = match known {
            Some(id) => id,
            None => self.read_inode(at, entry).map_err(|(offset, problem)| Failure {
                name: Some(entry.name),
                offset,
                problem,
            })?,
        };
        let kind = &self.walked.tree.inode(id).kind;
        if known.is_some() && matches!(kind, InodeKind::Directory(_)) {
            return Err(wrong(EntryProblem::DirectoryLinked));
        }
        if FileType::of(kind).dirent_type() != entry.file_type {
            return Err(wrong(EntryProblem::FileType { file_type: entry.file_type }));
        }
        self.walked.tree.set_child(at.id, entry.name, id).map_err(|error| wrong(error.into()))
    }

    /// Reads the inode that an entry leads to for the first time.
    fn read_inode(&mut self, parent: &Pending<'a>, entry: &Entry<'a>) -> Result<InodeId, At> {
        let offset = self.offset(entry.nid);
        let at = |problem| (offset, problem);
        let inode = Found::read(self.bytes, offset).map_err(at)?;
        self.spend(inode.head).map_err(at)?;
        let (kind, content) = match inode.file_type {
            FileType::Directory => {
                let content = self.directory_content(&inode).map_err(at)?;
                (InodeKind::Directory(Directory::new(false)), Some(content))
            }
            FileType::Regular => (self.regular(&inode, offset)?, None),
            FileType::Symlink => (self.symlink(&inode).map_err(at)?, None),
            FileType::CharDevice => (InodeKind::CharDevice(DeviceNumber::decode(inode.place)), None),
            FileType::BlockDevice => (InodeKind::BlockDevice(DeviceNumber::decode(inode.place)), None),
            FileType::Fifo => (InodeKind::Fifo, None),
            FileType::Socket => (InodeKind::Socket, None),
        };
        let id = self
            .walked
            .tree
            .add(Inode { metadata: inode.metadata, kind })
            .map_err(|error| at(error.into()))?;
        self.walked.ids.insert(entry.nid, id);
        self.walked.nids.push(entry.nid);
        if let Some(content) = content {
            let depth = parent.depth.saturating_add(1);
            self.pending.push(Pending { id, nid: entry.nid, parent: parent.nid, depth, content, offset });
        }
        Ok(id)
    }

    fn directory_content(&mut self, inode: &Found) -> Result<Content<'a>, EntryProblem> {
        if inode.size == 0 {
            return Err(EntryProblem::EmptyDirectory);
        }
        self.spend(inode.size)?;
        inode.content(self.bytes, self.found.block)
    }

    fn symlink(&mut self, inode: &Found) -> Result<InodeKind, EntryProblem> {
        let size = inode.size;
        if size == 0 || size > limits::MAX_SYMLINK as u64 {
            return Err(EntryProblem::Symlink { size });
        }
        self.spend(size)?;
        let target = inode.content(self.bytes, self.found.block)?.to_vec();
        if target.contains(&0) {
            return Err(EntryProblem::Symlink { size });
        }
        Ok(InodeKind::Symlink { target: target.into() })
    }

    fn regular(&mut self, inode: &Found, offset: u64) -> Result<InodeKind, At> {
        let at = |problem| (offset, problem);
        let format = inode.place & CHUNK_FORMAT_MASK;
        if format & CHUNK_INDEXES == 0 || format & !CHUNK_FORMAT_BITS != 0 {
            return Err(at(EntryProblem::ChunkFormat { format }));
        }
        let count = self.found.chunk_size.chunks_of(inode.size);
        let (start, indexes) = inode.chunk_indexes(self.bytes, count).map_err(at)?;
        self.spend(indexes.len() as u64).map_err(at)?;
        let (indexes, _) = indexes.as_chunks::<{ size_of::<ChunkIndex>() }>();
        let mut chunks = Vec::with_capacity(indexes.len());
        for (number, raw) in (0_u64..).zip(indexes) {
            let chunk = self.chunk(raw, number, inode.size).map_err(|problem| {
                (start.saturating_add(number.saturating_mul(8)), EntryProblem::Chunk { number, problem })
            })?;
            chunks.push(chunk);
        }
        Ok(InodeKind::Regular { size: inode.size, chunks })
    }

    fn chunk(&mut self, raw: &[u8; 8], number: u64, file_size: u64) -> Result<ChunkRef, ChunkUseProblem> {
        let unknown_device = ChunkUseProblem::Device { device: 0 };
        let index = ChunkIndex::read_from_bytes(raw).map_err(|_| unknown_device)?;
        let device = index.device;
        let blob = device.checked_sub(1).ok_or(unknown_device)?;
        let [low, middle] = index.number_low.get().to_le_bytes();
        let chunk =
            ChunkRef { blob: blob.into(), index: u32::from_le_bytes([low, middle, index.number_high, 0]) };
        let found = self.blobs.get(usize::from(blob)).ok_or(ChunkUseProblem::Device { device })?;
        let unknown = ChunkUseProblem::Unknown { blob: chunk.blob, index: chunk.index };
        let block = index.block.get();
        let step = u64::from(self.found.chunk_size.bytes());
        let expected = file_size.saturating_sub(number.saturating_mul(step)).min(step);
        if let Some(known) = self.walked.tar_chunks.get_mut(usize::from(blob)) {
            let place = u64::from(block).saturating_mul(self.found.block.bytes());
            return tar_chunk(found, known, chunk, block, place, expected);
        }
        if self.found.chunks.size == 0 {
            // Some images come without a chunk table: the blobs alone know their chunks.
            return if blob::has_chunk(found, chunk.index) { Ok(chunk) } else { Err(unknown) };
        }
        let record = found.chunks.get(chunk.index).ok_or(unknown)?;
        if u64::from(block).checked_mul(self.found.block.bytes()) != Some(record.uncompressed_offset) {
            return Err(ChunkUseProblem::Block { block });
        }
        if u64::from(record.uncompressed_size) != expected {
            return Err(ChunkUseProblem::Length { expected, actual: record.uncompressed_size });
        }
        Ok(chunk)
    }

    fn offset(&self, nid: u64) -> u64 {
        self.found.area.saturating_add(nid.saturating_mul(SLOT))
    }

    fn spend(&mut self, size: u64) -> Result<(), EntryProblem> {
        self.budget = self.budget.checked_sub(size).ok_or(EntryProblem::Overlap)?;
        Ok(())
    }
}

/// Notes a chunk of a tar. No table lists it: it is what the index says, and as long as the file asks for. The reference
/// reader takes the last chunk of a file that is a whole number of chunks for empty.
fn tar_chunk(
    blob: &Blob,
    known: &mut BTreeMap<u32, Chunk>,
    at: ChunkRef,
    block: u32,
    place: u64,
    length: u64,
) -> Result<ChunkRef, ChunkUseProblem> {
    let outside = ChunkUseProblem::Place { blob: at.blob, block };
    let size = u32::try_from(length).map_err(|_| outside)?;
    let chunk = Chunk {
        compressed_size: size,
        uncompressed_size: size,
        compressed_offset: place,
        uncompressed_offset: place,
        ..Chunk::default()
    };
    if !blob::has_chunk(blob, at.index) {
        return Err(ChunkUseProblem::Unknown { blob: at.blob, index: at.index });
    }
    if !blob::holds(blob, &chunk) {
        return Err(outside);
    }
    let first = *known.entry(at.index).or_insert(chunk);
    if first.uncompressed_offset != place {
        return Err(ChunkUseProblem::Block { block });
    }
    if first.uncompressed_size != size {
        return Err(ChunkUseProblem::Length { expected: length, actual: first.uncompressed_size });
    }
    Ok(at)
}
