//! From the entries of a layer to its tree and to groups of chunks, in one pass.
//!
//! [`Entries`] is an iterator over groups of chunks; while it is drained it builds the tree beside them. A file
//! remembers which chunks of the stream are its own; where these come to lie in the blob is known only when the last
//! group is stored, and is filled in by [`Contents::place_chunks`].
//!
//! With a recorder every byte of the tar is kept: what is framing in the record, and what is in no file (data behind
//! other entries, files that cannot be held, whatever follows the end) as chunks that no inode refers to.

use std::io::Read;
use std::ops::Range;
use std::path::Path;

use nydus_convert_chunk::{Buffers, Group};
use nydus_convert_layer::record::Recording;
use nydus_convert_layer::{Entry, EntryKind, Item, LayerError, LayerReader};
use nydus_convert_rafs::{
    ChunkRef, ChunkSize, Directory, EntryPath, FsVersion, Inode, InodeId, InodeKind, LayerTree, Loss,
    Metadata, is_whiteout, limits,
};

use super::allowance::Meter;
use super::deferred::Deferred;
use super::failure::LayerFailure;
use super::loss::{Lost, LostEntry};
use super::tape::LayerTape;
use crate::prefetch::Prefetch;

/// Mode of every symbolic link, whatever its header says: Linux makes them so.
const SYMLINK_MODE: u16 = 0o777;

/// How a layer is read.
pub struct EntryOptions<'a> {
    /// What has to hold the entries.
    pub version: FsVersion,
    /// Length of a chunk.
    pub chunk_size: ChunkSize,
    /// Bytes that the files together may have.
    pub max_content: u64,
    /// What the tree may weigh.
    pub meter: Meter,
    /// Whether everything is kept for the way back.
    pub record: bool,
    /// Whether a tar that stops being one is a loss instead of an error. Only with a record: the bytes must go somewhere.
    pub salvage: bool,
    /// What is to lie in front. If that is anything, what is to lie behind goes into [`Contents::deferred`].
    pub prefetch: Option<&'a Prefetch>,
    /// Where temporary files are made.
    pub tmpdir: Option<&'a Path>,
    /// Whether it is told where in the tar every chunk lies. A file that lies there only in part is an error.
    pub offsets: bool,
    /// Says when to stop.
    pub proceed: &'a dyn Fn() -> Result<(), LayerFailure>,
}

impl<'a> EntryOptions<'a> {
    /// For a tar whose files stay where they are: nothing is kept for the way back, and nothing is moved to the front.
    pub fn in_place(
        chunk_size: ChunkSize,
        max_content: u64,
        meter: Meter,
        proceed: &'a dyn Fn() -> Result<(), LayerFailure>,
    ) -> Self {
        Self {
            version: FsVersion::V6,
            chunk_size,
            max_content,
            meter,
            record: false,
            salvage: false,
            prefetch: None,
            tmpdir: None,
            offsets: true,
            proceed,
        }
    }
}

/// Reads a layer; see the module's description.
pub struct Entries<'a, R> {
    reader: LayerReader<R, LayerTape>,
    options: EntryOptions<'a>,
    buffers: Buffers,
    contents: Contents,
    /// Bytes that the files still to come may have.
    content_left: u64,
    reading: Reading,
    current: EntryPath,
    /// Whether what is read now is to lie in front.
    in_front: bool,
    /// A chunk from the recorder that did not fit into the last group.
    waiting: Option<Vec<u8>>,
}

/// What is being made into chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// Nothing: another item comes next.
    Items,
    /// The content of a new file.
    File { id: InodeId, size: u64 },
    /// What is left of a file's content.
    Content { remaining: u64 },
    /// Bytes of no file.
    Unclaimed,
    /// The layer is over.
    End,
}

/// What a layer held.
#[derive(Debug, Default)]
pub struct Contents {
    /// The tree; its files have no chunks yet.
    pub tree: LayerTree,
    /// What the format cannot hold, in tar order.
    pub losses: Vec<LostEntry>,
    losses_weight: usize,
    /// Entries of the tar.
    pub entries: u64,
    /// What is to lie behind all that the groups hold.
    pub deferred: Option<Deferred>,
    /// Where in the tar every chunk lies, if that was asked for.
    pub offsets: Vec<u64>,
    files: Vec<(InodeId, Range<u64>)>,
    chunks: u64,
}

impl<'a, R: Read> Entries<'a, R> {
    /// Reads the layer that `source` gives as a plain tar.
    pub fn new(source: R, buffers: Buffers, options: EntryOptions<'a>) -> Self {
        Self {
            reader: LayerReader::with_tape(source, LayerTape::new(options.record)),
            buffers,
            contents: Contents {
                deferred: options
                    .prefetch
                    .is_some_and(|prefetch| !prefetch.is_empty())
                    .then(|| Deferred::new(options.tmpdir.map(Path::to_owned))),
                ..Contents::default()
            },
            content_left: options.max_content,
            reading: Reading::Items,
            current: EntryPath::root(),
            in_front: false,
            waiting: None,
            options,
        }
    }

    /// Ends the layer: reads to the end of the stream and gives the source back, and the record if there is one.
    pub fn finish(self) -> Result<(R, Contents, Option<Recording>), LayerFailure> {
        let Self { reader, mut contents, .. } = self;
        let (source, tape) = reader.finish_with_tape()?;
        contents.tree.finish()?;
        Ok((source, contents, tape.finish()?))
    }

    fn next_group(&mut self) -> Result<Option<Group>, LayerFailure> {
        let mut group = self.buffers.group();
        let mut deferred_bytes = 0;
        // What is read by the caller comes behind everything that the reader passed over before.
        while self.put_unstored(&mut group, self.reading != Reading::Items)? {
            match self.reading {
                Reading::Items => self.next_item()?,
                Reading::File { id, size } => {
                    let first = self.contents.chunks;
                    let chunks = self.options.chunk_size.chunks_of(size);
                    self.contents.files.push((id, first..first + chunks));
                    self.reading = Reading::Content { remaining: size };
                }
                Reading::Content { remaining: 0 } => self.reading = Reading::Items,
                Reading::Content { remaining } => {
                    let length = remaining.min(u64::from(self.options.chunk_size.bytes()));
                    if !self.in_front && self.contents.deferred.is_some() {
                        self.defer_content(length as usize, remaining)?;
                        deferred_bytes += length as usize;
                        // Whoever takes the groups wants to know how far we are.
                        if deferred_bytes > Group::TARGET {
                            return Ok(Some(group));
                        }
                        continue;
                    }
                    // A chunk has at most 16 MiB.
                    if !group.fits(length as usize) {
                        return Ok(Some(group));
                    }
                    self.read_content(&mut group, length as usize, remaining)?;
                }
                Reading::Unclaimed => {
                    if !group.is_empty() {
                        return Ok(Some(group));
                    }
                    self.read_unclaimed(&mut group)?;
                }
                Reading::End => return Ok((!group.is_empty()).then_some(group)),
            }
        }
        Ok(Some(group))
    }

    /// Chunks from the recorder: as many as fit. Whether all of them did.
    fn put_unstored(&mut self, group: &mut Group, flush: bool) -> Result<bool, LayerFailure> {
        let max = self.options.chunk_size.bytes() as usize;
        loop {
            let tape = self.reader.tape_mut();
            let Some(chunk) = self.waiting.take().or_else(|| tape.take_unstored(max, flush)) else {
                return Ok(true);
            };
            (self.options.proceed)()?;
            if let Some(deferred) = &mut self.contents.deferred {
                deferred.push(self.contents.chunks, &chunk)?;
                self.contents.chunks += 1;
                continue;
            }
            if !group.fits(chunk.len()) {
                self.waiting = Some(chunk);
                return Ok(false);
            }
            group.push(&chunk);
            self.contents.chunks += 1;
        }
    }

    fn next_item(&mut self) -> Result<(), LayerFailure> {
        match self.reader.next_item() {
            Ok(Some(Item::Entry(entry))) => self.place(entry)?,
            Ok(Some(Item::Unclaimed)) if self.options.record => self.reading = Reading::Unclaimed,
            Ok(Some(Item::Unclaimed)) => {}
            Ok(None) => self.reading = Reading::End,
            Err(error) => self.salvage(error)?,
        }
        Ok(())
    }

    /// Goes on behind damage, with bytes only.
    fn salvage(&mut self, error: LayerError) -> Result<(), LayerFailure> {
        let is_damage = !matches!(
            error,
            LayerError::Read { .. } | LayerError::NotATar { .. } | LayerError::OtherFormat { .. }
        );
        if !self.options.salvage || !self.options.record || !is_damage {
            return Err(error.into());
        }
        let loss = Lost::Damage(error.to_string());
        self.contents.losses.push(LostEntry { path: EntryPath::root(), loss });
        self.reader.salvage();
        Ok(())
    }

    fn read_content(&mut self, group: &mut Group, length: usize, remaining: u64) -> Result<(), LayerFailure> {
        (self.options.proceed)()?;
        if self.options.offsets {
            let sparse = || LayerFailure::CannotReferSparse { path: self.current.clone() };
            self.contents.offsets.push(self.reader.content_offset().ok_or_else(sparse)?);
        }
        let read = group.fill(length, |space| self.reader.read_content(space))?;
        if self.is_all_of_file() {
            group.mark_file();
        }
        self.content_read(read, length, remaining)
    }

    fn defer_content(&mut self, length: usize, remaining: u64) -> Result<(), LayerFailure> {
        (self.options.proceed)()?;
        let is_all_of_file = self.is_all_of_file();
        let Some(deferred) = &mut self.contents.deferred else { return Ok(()) };
        let read = deferred.fill(self.contents.chunks, length, |space| self.reader.read_content(space))?;
        if is_all_of_file {
            deferred.mark_file();
        }
        self.content_read(read, length, remaining)
    }

    /// Whether the file that is read is one chunk.
    fn is_all_of_file(&self) -> bool {
        self.contents.files.last().is_some_and(|(_, chunks)| chunks.end - chunks.start == 1)
    }

    /// A chunk of a file was read, or the tar ended in it.
    fn content_read(&mut self, read: usize, length: usize, remaining: u64) -> Result<(), LayerFailure> {
        if read != length {
            let missing = remaining - read as u64;
            return Err(LayerFailure::ShortContent { path: self.current.clone(), missing });
        }
        self.reader.tape_mut().chunk_done();
        self.reading = Reading::Content { remaining: remaining - length as u64 };
        self.contents.chunks += 1;
        Ok(())
    }

    fn read_unclaimed(&mut self, group: &mut Group) -> Result<(), LayerFailure> {
        (self.options.proceed)()?;
        let length = self.options.chunk_size.bytes() as usize;
        let read = match &mut self.contents.deferred {
            Some(deferred) => {
                deferred.fill(self.contents.chunks, length, |space| self.reader.read_stored(space))?
            }
            None => group.fill(length, |space| self.reader.read_stored(space))?,
        };
        if read == 0 {
            self.reading = Reading::Items;
        } else {
            self.reader.tape_mut().chunk_done();
            self.contents.chunks += 1;
        }
        Ok(())
    }

    fn place(&mut self, entry: Entry) -> Result<(), LayerFailure> {
        (self.options.proceed)()?;
        self.contents.entries += 1;
        let Entry { path, kind, metadata, offset } = entry;
        self.weigh(&path, offset)?;
        if path.is_root() && kind != EntryKind::Directory {
            self.push_loss(LostEntry { path, loss: Lost::Root });
            return Ok(());
        }
        // What a whiteout names is hidden in the layers below, whatever stands in its way here.
        if is_whiteout(&path) && self.contents.tree.is_in_the_way(&path) {
            return Ok(());
        }
        let kind = match kind {
            EntryKind::Regular { size } => InodeKind::Regular { size, chunks: Vec::new() },
            EntryKind::Directory => InodeKind::Directory(Directory::new(false)),
            EntryKind::Symlink { target } => InodeKind::Symlink { target: target.into() },
            EntryKind::CharDevice(number) => InodeKind::CharDevice(number),
            EntryKind::BlockDevice(number) => InodeKind::BlockDevice(number),
            EntryKind::Fifo => InodeKind::Fifo,
            EntryKind::HardLink { target } => return self.place_link(path, target, metadata),
            EntryKind::Unsupported { typeflag } => {
                self.push_loss(LostEntry { path, loss: Lost::TypeFlag(typeflag) });
                return Ok(());
            }
        };
        let mut inode = Inode { metadata, kind };
        let size = match inode.kind {
            InodeKind::Regular { size, .. } => size,
            InodeKind::Symlink { .. } => {
                inode.metadata.mode = SYMLINK_MODE;
                0
            }
            _ => 0,
        };
        let chunks = self.options.chunk_size.chunks_of(size);
        if chunks > limits::MAX_CHUNKS_PER_FILE as u64 {
            self.lose(&path, vec![Loss::TooManyChunks { chunks }]);
            return Ok(());
        }
        // Holes of a sparse file take no bytes of the tar, but time and a chunk each.
        self.content_left = self.content_left.checked_sub(size).ok_or_else(|| {
            LayerFailure::TooMuchContent { path: path.clone(), limit: self.options.max_content }
        })?;
        if !self.fits(&path, &mut inode) {
            return Ok(());
        }
        let id = self.contents.tree.insert(&path, inode).map_err(|source| LayerFailure::at(&path, source))?;
        if size > 0 {
            self.reading = Reading::File { id, size };
            self.in_front = self.options.prefetch.is_some_and(|prefetch| prefetch.covers(&path));
            self.current = path;
        }
        Ok(())
    }

    /// Now and then, whether what the entries so far left in memory is in proportion to the tar up to `offset`.
    fn weigh(&mut self, path: &EntryPath, offset: u64) -> Result<(), LayerFailure> {
        let Contents { tree, files, losses_weight, .. } = &mut self.contents;
        if !self.options.meter.is_due(tree.weight() + *losses_weight) {
            return Ok(());
        }
        let moved = tree.sweep();
        files.retain_mut(|(id, _)| moved.of(*id).map(|new| *id = new).is_some());
        let bytes = tree.weight() + *losses_weight;
        if self.options.meter.grants(bytes, offset) {
            return Ok(());
        }
        Err(LayerFailure::TooMuchMetadata { path: path.clone(), bytes: bytes as u64 })
    }

    fn place_link(
        &mut self,
        path: EntryPath,
        target: EntryPath,
        metadata: Metadata,
    ) -> Result<(), LayerFailure> {
        let mut standing = Inode { metadata, kind: InodeKind::Regular { size: 0, chunks: Vec::new() } };
        // Only the name matters: a link has no metadata of its own.
        let losses = self.options.version.fit(path.file_name(), &mut standing);
        if losses.iter().any(Loss::drops_entry) {
            self.lose(&path, losses);
            return Ok(());
        }
        let Inode { metadata, .. } = standing;
        if is_whiteout(&path) {
            let placed = self.contents.tree.whiteout(&path, metadata);
            return placed.map_err(|source| LayerFailure::at(&path, source));
        }
        self.contents.tree.link(&path, &target, metadata).map_err(|source| LayerFailure::at(&path, source))
    }

    /// Whether the entry, changed to what the format can hold, stays.
    fn fits(&mut self, path: &EntryPath, inode: &mut Inode) -> bool {
        let losses = self.options.version.fit(path.file_name(), inode);
        let stays = !losses.iter().any(Loss::drops_entry);
        self.lose(path, losses);
        stays
    }

    fn lose(&mut self, path: &EntryPath, losses: Vec<Loss>) {
        for loss in losses {
            self.push_loss(LostEntry { path: path.clone(), loss: Lost::Inode(loss) });
        }
    }

    fn push_loss(&mut self, lost: LostEntry) {
        let text = lost.path.as_bytes().len() + lost.loss.to_string().len();
        self.contents.losses_weight += size_of::<LostEntry>() + text;
        self.contents.losses.push(lost);
    }
}

impl<R: Read> Iterator for Entries<'_, R> {
    type Item = Result<Group, LayerFailure>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_group().transpose()
    }
}

impl Contents {
    /// The chunks of files that are to lie in front, by all the names that the finished tree has for them; ascending.
    pub fn in_front(&self, prefetch: &Prefetch) -> Vec<Range<u64>> {
        let covered = prefetch.covered(self.tree.tree());
        let files = self.files.iter().filter(|(id, _)| covered.contains(id));
        files.map(|(_, chunks)| chunks.clone()).collect()
    }

    /// Gives every file its chunks: `indexes` are the numbers of all chunks of the stream, `place` says where they lie.
    pub fn place_chunks(&mut self, indexes: &[u32], place: impl Fn(u32) -> ChunkRef) {
        let tree = self.tree.tree_mut();
        for (id, range) in self.files.drain(..) {
            let own = indexes.get(range.start as usize..range.end as usize).unwrap_or_default();
            if let InodeKind::Regular { chunks, .. } = &mut tree.inode_mut(id).kind {
                *chunks = own.iter().map(|&number| place(number)).collect();
            }
        }
    }
}
