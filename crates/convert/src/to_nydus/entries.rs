//! From the entries of a layer to its tree and to groups of chunks, in one pass.
//!
//! [`Entries`] is an iterator over groups of chunks; while it is drained it builds the tree beside them. A file
//! remembers which chunks of the stream are its own; where these come to lie in the blob is known only when the last
//! group is stored, and is filled in by [`Contents::place_chunks`].

use std::io::Read;
use std::ops::Range;

use nydus_convert_chunk::{Buffers, Group};
use nydus_convert_layer::{Entry, EntryKind, LayerReader};
use nydus_convert_rafs::{
    ChunkRef, ChunkSize, Directory, EntryPath, Inode, InodeId, InodeKind, LayerTree, Metadata, limits, v6,
};

use crate::error::LayerFailure;

/// Something of an entry that the target format cannot hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostEntry {
    /// The entry.
    pub path: EntryPath,
    /// What is lost.
    pub loss: Lost,
}

/// What is lost of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lost {
    /// Something of its metadata, or all of it.
    Inode(v6::Loss),
    /// The entry is of a type that no file system tree has.
    TypeFlag(u8),
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Inode(loss) => loss.fmt(f),
            Self::TypeFlag(flag) => {
                write!(f, "entries of type '{}' are no files", nydus_convert_rafs::display_bytes(&[*flag]))
            }
        }
    }
}

/// Reads a layer; see the module's description.
pub struct Entries<'a, R> {
    reader: LayerReader<R>,
    chunk_size: ChunkSize,
    buffers: Buffers,
    /// Says when to stop.
    proceed: &'a dyn Fn() -> Result<(), LayerFailure>,
    contents: Contents,
    max_content: u64,
    /// Bytes that the files still to come may have.
    content_left: u64,
    /// What is left of the file whose content is being read.
    remaining: u64,
    current: EntryPath,
}

/// What a layer held.
#[derive(Debug, Default)]
pub struct Contents {
    /// The tree; its files have no chunks yet.
    pub tree: LayerTree,
    /// What the format cannot hold, in tar order.
    pub losses: Vec<LostEntry>,
    /// Entries of the tar.
    pub entries: u64,
    files: Vec<(InodeId, Range<u64>)>,
    chunks: u64,
}

impl<'a, R: Read> Entries<'a, R> {
    /// Reads the layer that `source` gives as a plain tar; its files together may have `max_content` bytes.
    pub fn new(
        source: R,
        chunk_size: ChunkSize,
        max_content: u64,
        buffers: Buffers,
        proceed: &'a dyn Fn() -> Result<(), LayerFailure>,
    ) -> Self {
        Self {
            reader: LayerReader::new(source),
            chunk_size,
            buffers,
            proceed,
            contents: Contents::default(),
            max_content,
            content_left: max_content,
            remaining: 0,
            current: EntryPath::root(),
        }
    }

    /// Ends the layer: reads to the end of the stream and gives the source back.
    pub fn finish(self) -> Result<(R, Contents), LayerFailure> {
        let Self { reader, mut contents, .. } = self;
        let source = reader.finish()?;
        contents.tree.finish()?;
        Ok((source, contents))
    }

    fn next_group(&mut self) -> Result<Option<Group>, LayerFailure> {
        let mut group = self.buffers.group();
        loop {
            if self.remaining > 0 {
                let length = self.remaining.min(u64::from(self.chunk_size.bytes()));
                // A chunk has at most 16 MiB.
                if !group.fits(length as usize) {
                    return Ok(Some(group));
                }
                self.read_chunk(&mut group, length as usize)?;
            } else if let Some(entry) = self.reader.next_entry()? {
                self.place(entry)?;
            } else {
                return Ok((!group.is_empty()).then_some(group));
            }
        }
    }

    fn read_chunk(&mut self, group: &mut Group, length: usize) -> Result<(), LayerFailure> {
        (self.proceed)()?;
        let read = group.fill(length, |space| self.reader.read_content(space))?;
        if read != length {
            let missing = self.remaining - read as u64;
            return Err(LayerFailure::ShortContent { path: self.current.clone(), missing });
        }
        self.remaining -= length as u64;
        self.contents.chunks += 1;
        Ok(())
    }

    fn place(&mut self, entry: Entry) -> Result<(), LayerFailure> {
        (self.proceed)()?;
        self.contents.entries += 1;
        let Entry { path, kind, metadata, .. } = entry;
        let kind = match kind {
            EntryKind::Regular { size } => InodeKind::Regular { size, chunks: Vec::new() },
            EntryKind::Directory => InodeKind::Directory(Directory::new(false)),
            EntryKind::Symlink { target } => InodeKind::Symlink { target: target.into() },
            EntryKind::CharDevice(number) => InodeKind::CharDevice(number),
            EntryKind::BlockDevice(number) => InodeKind::BlockDevice(number),
            EntryKind::Fifo => InodeKind::Fifo,
            EntryKind::HardLink { target } => return self.place_link(path, target, metadata),
            EntryKind::Unsupported { typeflag } => {
                self.contents.losses.push(LostEntry { path, loss: Lost::TypeFlag(typeflag) });
                return Ok(());
            }
        };
        let mut inode = Inode { metadata, kind };
        let size = match inode.kind {
            InodeKind::Regular { size, .. } => size,
            _ => 0,
        };
        let chunks = self.chunk_size.chunks_of(size);
        if chunks > limits::MAX_CHUNKS_PER_FILE as u64 {
            self.lose(&path, vec![v6::Loss::TooManyChunks { chunks }]);
            return Ok(());
        }
        // Holes of a sparse file take no bytes of the tar, but time and a chunk each.
        self.content_left = self
            .content_left
            .checked_sub(size)
            .ok_or_else(|| LayerFailure::TooMuchContent { path: path.clone(), limit: self.max_content })?;
        if !self.fits(&path, &mut inode) {
            return Ok(());
        }
        let id = self.contents.tree.insert(&path, inode).map_err(|source| LayerFailure::at(&path, source))?;
        if size > 0 {
            let first = self.contents.chunks;
            self.contents.files.push((id, first..first + self.chunk_size.chunks_of(size)));
            self.remaining = size;
            self.current = path;
        }
        Ok(())
    }

    fn place_link(
        &mut self,
        path: EntryPath,
        target: EntryPath,
        metadata: Metadata,
    ) -> Result<(), LayerFailure> {
        let mut standing = Inode { metadata, kind: InodeKind::Regular { size: 0, chunks: Vec::new() } };
        // Only the name matters: a link has no metadata of its own.
        let losses = v6::fit(path.file_name(), &mut standing);
        if losses.iter().any(v6::Loss::drops_entry) {
            self.lose(&path, losses);
            return Ok(());
        }
        let Inode { metadata, .. } = standing;
        self.contents.tree.link(&path, &target, metadata).map_err(|source| LayerFailure::at(&path, source))
    }

    /// Whether the entry, changed to what the format can hold, stays.
    fn fits(&mut self, path: &EntryPath, inode: &mut Inode) -> bool {
        let losses = v6::fit(path.file_name(), inode);
        let stays = !losses.iter().any(v6::Loss::drops_entry);
        self.lose(path, losses);
        stays
    }

    fn lose(&mut self, path: &EntryPath, losses: Vec<v6::Loss>) {
        let lost = losses.into_iter().map(|loss| LostEntry { path: path.clone(), loss: Lost::Inode(loss) });
        self.contents.losses.extend(lost);
    }
}

impl<R: Read> Iterator for Entries<'_, R> {
    type Item = Result<Group, LayerFailure>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_group().transpose()
    }
}

impl Contents {
    /// Gives every file its chunks: `indexes` is the place of every chunk of the stream in the layer's blob.
    pub fn place_chunks(&mut self, indexes: &[u32]) {
        let tree = self.tree.tree_mut();
        for (id, range) in self.files.drain(..) {
            let own = indexes.get(range.start as usize..range.end as usize).unwrap_or_default();
            if let InodeKind::Regular { chunks, .. } = &mut tree.inode_mut(id).kind {
                *chunks = own.iter().map(|&index| ChunkRef { blob: 0, index }).collect();
            }
        }
    }
}
