//! Bytes to a layer's tree.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use super::numbers::Reader;
use super::{Before, MAGIC_TREE, MAX_IN_RUNS, SavedError, head};
use crate::{
    ChunkRef, DeviceNumber, Directory, EntryPath, Inode, InodeId, InodeKind, LayerTree, Link, Metadata,
    Timestamp, Tree, TreeError, Xattrs, limits,
};

const STRUCTURE: &str = "saved layer";

/// Numbers of chunks have 24 bits.
const INDEX_END: u64 = 1 << 24;

impl LayerTree {
    /// The layer that [`LayerTree::write`] wrote: finished, with the same tree, the same directories implicit, the same
    /// links still to settle.
    ///
    /// The bytes are not trusted; the tree is one, its names are names. What only the blobs could tell is left to the
    /// caller: whether there are the chunks that files refer to, and whether they are as long as the file.
    pub fn parse(bytes: &[u8]) -> Result<Self, SavedError> {
        let mut reader = Reader::new(STRUCTURE, bytes);
        reader.magic(&MAGIC_TREE)?;
        let mut parser = Parser { reader, tree: Tree::new(), named: 1, before: Before::default() };
        parser.tree()?;
        let links = parser.links()?;
        parser.reader.end()?;
        Ok(Self::of_parts(parser.tree, links))
    }
}

struct Parser<'a> {
    reader: Reader<'a>,
    tree: Tree,
    /// Number of inodes that names lead to so far, the root among them. They are the first of the tree.
    named: u64,
    before: Before,
}

/// A directory, some of whose entries are still to come.
struct Open<'a> {
    id: InodeId,
    left: u64,
    last: Option<&'a [u8]>,
}

impl Parser<'_> {
    fn tree(&mut self) -> Result<(), SavedError> {
        let (offset, bits) = (self.reader.offset(), self.reader.byte()?);
        if bits & head::KIND != head::DIRECTORY {
            return Err(self.reader.refuse(offset, "the root's head", bits.into()));
        }
        let (inode, left) = self.inode(offset, bits)?;
        let root = self.tree.root();
        *self.tree.inode_mut(root) = inode;
        let mut stack = vec![Open { id: root, left, last: None }];
        while let Some(open) = stack.last_mut() {
            let Some(left) = open.left.checked_sub(1) else {
                stack.pop();
                continue;
            };
            open.left = left;
            let offset = self.reader.offset();
            let name = self.reader.bytes("name")?;
            if open.last.replace(name).is_some_and(|last| last >= name) {
                let structure = self.reader.structure();
                return Err(SavedError::Order { structure, offset, name: name.to_vec() });
            }
            let parent = open.id;
            let (id, left) = self.child()?;
            self.tree.set_child(parent, name, id).map_err(|error| self.no_place(offset, error))?;
            if let Some(left) = left {
                if stack.len() > limits::MAX_DEPTH {
                    return Err(SavedError::TooDeep { structure: self.reader.structure(), offset });
                }
                stack.push(Open { id, left, last: None });
            }
        }
        Ok(())
    }

    fn no_place(&self, offset: u64, source: TreeError) -> SavedError {
        SavedError::Tree { structure: self.reader.structure(), offset, source }
    }

    /// What a name leads to; of a directory, which is always new, also how many entries follow.
    fn child(&mut self) -> Result<(InodeId, Option<u64>), SavedError> {
        let (offset, bits) = (self.reader.offset(), self.reader.byte()?);
        if bits & head::KIND == head::LINK {
            if bits != head::LINK {
                return Err(self.reader.refuse(offset, "head", bits.into()));
            }
            let (offset, number) = (self.reader.offset(), self.reader.number("inode")?);
            return Ok((self.file(offset, "inode", number, number)?, None));
        }
        let (inode, left) = self.inode(offset, bits)?;
        let is_directory = matches!(inode.kind, InodeKind::Directory(_));
        let id = self.tree.add(inode).map_err(|error| self.no_place(offset, error))?;
        self.named = self.named.saturating_add(1);
        Ok((id, is_directory.then_some(left)))
    }

    /// The earlier inode of this number, which is no directory. `value` is what the field holds.
    fn file(&self, offset: u64, field: &'static str, number: u64, value: u64) -> Result<InodeId, SavedError> {
        let index = usize::try_from(number).ok().filter(|_| number < self.named);
        let id = index.and_then(|index| self.tree.id_at(index));
        let file = id.filter(|id| self.tree.directory(*id).is_none());
        file.ok_or_else(|| self.reader.refuse(offset, field, value))
    }

    /// The rest of an inode, after its head; of a directory also the number of its entries.
    fn inode(&mut self, offset: u64, bits: u8) -> Result<(Inode, u64), SavedError> {
        let (kind, implicit) = (bits & head::KIND, bits & head::IMPLICIT != 0);
        if implicit && kind != head::DIRECTORY {
            return Err(self.reader.refuse(offset, "head", bits.into()));
        }
        let metadata = self.metadata(bits)?;
        let mut left = 0;
        let kind = match kind {
            head::DIRECTORY => {
                left = self.reader.number("number of entries")?;
                InodeKind::Directory(Directory::new(implicit))
            }
            head::REGULAR => {
                let size = self.reader.number("size")?;
                InodeKind::Regular { size, chunks: self.chunks()? }
            }
            head::SYMLINK => InodeKind::Symlink { target: self.reader.bytes("target")?.into() },
            head::CHAR_DEVICE => InodeKind::CharDevice(self.device()?),
            head::BLOCK_DEVICE => InodeKind::BlockDevice(self.device()?),
            head::FIFO => InodeKind::Fifo,
            head::SOCKET => InodeKind::Socket,
            _ => return Err(self.reader.refuse(offset, "head", bits.into())),
        };
        Ok((Inode { metadata, kind }, left))
    }

    fn device(&mut self) -> Result<DeviceNumber, SavedError> {
        let major = self.reader.narrow("major device number")?;
        Ok(DeviceNumber { major, minor: self.reader.narrow("minor device number")? })
    }

    fn metadata(&mut self, bits: u8) -> Result<Metadata, SavedError> {
        let (reader, before) = (&mut self.reader, &mut self.before);
        if bits & head::MODE != 0 {
            let offset = reader.offset();
            before.mode = reader.narrow("mode")?;
            if before.mode > 0o7777 {
                return Err(reader.refuse(offset, "mode", before.mode.into()));
            }
        }
        if bits & head::OWNER != 0 {
            before.uid = reader.narrow("owner")?;
            before.gid = reader.narrow("group")?;
        }
        if bits & head::MTIME != 0 {
            let seconds = before.mtime.seconds.wrapping_add(reader.signed("seconds")?);
            let (offset, nanos): (_, u32) = (reader.offset(), reader.narrow("nanoseconds")?);
            if nanos >= 1_000_000_000 {
                return Err(reader.refuse(offset, "nanoseconds", nanos.into()));
            }
            before.mtime = Timestamp { seconds, nanos };
        }
        let (mode, uid, gid, mtime) = (before.mode, before.uid, before.gid, before.mtime);
        let xattrs = if bits & head::XATTRS != 0 { self.xattrs()? } else { Xattrs::new() };
        Ok(Metadata { mode, uid, gid, mtime, xattrs })
    }

    fn xattrs(&mut self) -> Result<Xattrs, SavedError> {
        let mut xattrs = Xattrs::new();
        let mut last: Option<&[u8]> = None;
        for _ in 0..self.reader.number("number of extended attributes")? {
            let offset = self.reader.offset();
            let name = self.reader.bytes("name of an extended attribute")?;
            if last.replace(name).is_some_and(|last| last >= name) {
                let structure = self.reader.structure();
                return Err(SavedError::Order { structure, offset, name: name.to_vec() });
            }
            xattrs.insert(name.to_vec(), self.reader.bytes("value of an extended attribute")?.to_vec());
        }
        Ok(xattrs)
    }

    fn chunks(&mut self) -> Result<Vec<ChunkRef>, SavedError> {
        let mut chunks = Vec::new();
        for _ in 0..self.reader.number("number of runs")? {
            let offset = self.reader.offset();
            let value = self.reader.number("run")?;
            let more = value >> 1;
            if more > 0 {
                let in_runs = self.before.in_runs.saturating_add(more).saturating_add(1);
                if in_runs > MAX_IN_RUNS {
                    return Err(self.reader.refuse(offset, "run", value));
                }
                self.before.in_runs = in_runs;
            }
            if value & 1 != 0 {
                self.before.blob = self.reader.narrow("blob")?;
                self.before.index = self.before.index.wrapping_add(self.reader.signed("chunk")?);
            }
            let refuse = |index: i64| self.reader.refuse(offset, "chunk", index.cast_unsigned());
            let first = u32::try_from(self.before.index).map_err(|_| refuse(self.before.index))?;
            let last = u64::from(first).saturating_add(more);
            if last >= INDEX_END {
                return Err(self.reader.refuse(offset, "chunk", last));
            }
            let last = u32::try_from(last).map_err(|_| self.reader.refuse(offset, "chunk", last))?;
            let blob = self.before.blob;
            chunks.extend((first..=last).map(|index| ChunkRef { blob, index }));
            self.before.index = i64::from(last).wrapping_add(1);
        }
        Ok(chunks)
    }

    fn links(&mut self) -> Result<Vec<Link>, SavedError> {
        let mut links = Vec::new();
        for _ in 0..self.reader.number("number of links")? {
            let offset = self.reader.offset();
            let path = self.path()?;
            if path.is_root() {
                return Err(self.no_place(offset, TreeError::RootNotDirectory));
            }
            let target = self.path()?;
            let (offset, value) = (self.reader.offset(), self.reader.number("placeholder")?);
            let placeholder = self.reference(offset, "placeholder", value, value)?;
            let earlier = match (self.reader.offset(), self.reader.number("earlier")?) {
                (_, 0) => false,
                (_, 1) => true,
                (offset, value) => return Err(self.reader.refuse(offset, "earlier", value)),
            };
            let (offset, value) = (self.reader.offset(), self.reader.number("forward")?);
            let forward = match value.checked_sub(1) {
                Some(reference) => Some(self.reference(offset, "forward", reference, value)?),
                None => None,
            };
            links.push(Link { path, target, placeholder, forward, earlier });
        }
        Ok(links)
    }

    fn path(&mut self) -> Result<EntryPath, SavedError> {
        let offset = self.reader.offset();
        let raw = self.reader.bytes("path")?;
        let path = EntryPath::parse(raw).ok().filter(|path| path.as_bytes() == raw);
        let structure = self.reader.structure();
        path.ok_or_else(|| SavedError::Path { structure, offset, path: raw.to_vec() })
    }

    /// The inode that a link mentions. One that no name leads to is known to be there, and no more: it gets an inode that
    /// nothing looks at.
    fn reference(
        &mut self,
        offset: u64,
        field: &'static str,
        reference: u64,
        value: u64,
    ) -> Result<InodeId, SavedError> {
        match reference.checked_sub(1) {
            Some(number) => self.file(offset, field, number, value),
            None => {
                let kind = InodeKind::Regular { size: 0, chunks: Vec::new() };
                let inode = Inode { metadata: Metadata::default(), kind };
                self.tree.add(inode).map_err(|error| self.no_place(offset, error))
            }
        }
    }
}
