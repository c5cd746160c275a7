//! One inode: its fields, its extended attributes, and where its content lies.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use super::{EntryProblem, xattr};
use crate::file_type::FileType;
use crate::input::Bytes;
use crate::v6::layout::{BlockSize, CompactInode, ExtendedInode, Layout};
use crate::{Metadata, Timestamp, limits};

/// An inode as it is found.
pub(super) struct Found {
    pub(super) file_type: FileType,
    pub(super) metadata: Metadata,
    pub(super) size: u64,
    /// Block address, chunk format or device number.
    pub(super) place: u32,
    /// Sequence number; means nothing but for the root of a layer.
    pub(super) number: u32,
    layout: Layout,
    format: u16,
    /// End of the inode and its extended attributes.
    end: u64,
    /// Bytes of the inode and its extended attributes.
    pub(super) head: u64,
}

/// The fields that both forms of an inode have.
struct Fields {
    format: u16,
    xattr_count: u16,
    mode: u16,
    links: u32,
    size: u64,
    place: u32,
    number: u32,
    uid: u32,
    gid: u32,
    mtime: u64,
    mtime_nanos: u32,
    length: u64,
}

impl Fields {
    fn read(bytes: Bytes<'_>, offset: u64) -> Result<Self, EntryProblem> {
        let outside = EntryProblem::OutOfBounds { part: "inode" };
        let [low, high] = bytes.read::<[u8; 2]>(offset).ok_or(outside.clone())?;
        if u16::from_le_bytes([low, high]) & 1 == 0 {
            bytes.read::<CompactInode>(offset).map(|inode| Self::of_compact(&inode)).ok_or(outside)
        } else {
            bytes.read::<ExtendedInode>(offset).map(|inode| Self::of_extended(&inode)).ok_or(outside)
        }
    }

    fn of_compact(inode: &CompactInode) -> Self {
        Self {
            format: inode.format.get(),
            xattr_count: inode.xattr_count.get(),
            mode: inode.mode.get(),
            links: inode.links.get().into(),
            size: inode.size.get().into(),
            place: inode.place.get(),
            number: inode.number.get(),
            uid: inode.uid.get().into(),
            gid: inode.gid.get().into(),
            mtime: 0,
            mtime_nanos: 0,
            length: size_of::<CompactInode>() as u64,
        }
    }

    fn of_extended(inode: &ExtendedInode) -> Self {
        Self {
            format: inode.format.get(),
            xattr_count: inode.xattr_count.get(),
            mode: inode.mode.get(),
            links: inode.links.get(),
            size: inode.size.get(),
            place: inode.place.get(),
            number: inode.number.get(),
            uid: inode.uid.get(),
            gid: inode.gid.get(),
            mtime: inode.mtime.get(),
            mtime_nanos: inode.mtime_nanos.get(),
            length: size_of::<ExtendedInode>() as u64,
        }
    }

    fn time(&self) -> Result<Timestamp, EntryProblem> {
        let nanos = self.mtime_nanos;
        match nanos {
            0..1_000_000_000 => Ok(Timestamp { seconds: self.mtime.cast_signed(), nanos }),
            _ => Err(EntryProblem::Time { seconds: self.mtime, nanos }),
        }
    }
}

impl Found {
    /// Reads the inode at `offset`.
    pub(super) fn read(bytes: Bytes<'_>, offset: u64) -> Result<Self, EntryProblem> {
        let fields = Fields::read(bytes, offset)?;
        let format = fields.format;
        let layout = Layout::of_format(format).ok_or(EntryProblem::Format { format })?;
        let file_type = FileType::of_mode(fields.mode).ok_or(EntryProblem::Mode { mode: fields.mode })?;
        // Content of regular files lies in blobs, content of everything else in the bootstrap.
        if (layout == Layout::ChunkBased) != (file_type == FileType::Regular) {
            return Err(EntryProblem::Layout { format });
        }
        if fields.links == 0 {
            return Err(EntryProblem::NoLinks);
        }
        let xattrs_at = offset.saturating_add(fields.length);
        let xattrs_size = xattr::size(fields.xattr_count);
        let xattrs = bytes
            .get(xattrs_at, xattrs_size)
            .ok_or(EntryProblem::OutOfBounds { part: "list of extended attributes" })?;
        Ok(Self {
            file_type,
            metadata: Metadata {
                mode: fields.mode & 0o7777,
                uid: fields.uid,
                gid: fields.gid,
                mtime: fields.time()?,
                xattrs: xattr::parse(xattrs)?,
            },
            size: fields.size,
            place: fields.place,
            number: fields.number,
            layout,
            format,
            end: xattrs_at.saturating_add(xattrs_size),
            head: fields.length.saturating_add(xattrs_size),
        })
    }

    /// The content of a directory or symbolic link.
    pub(super) fn content<'a>(
        &self,
        bytes: Bytes<'a>,
        block: BlockSize,
    ) -> Result<Content<'a>, EntryProblem> {
        let block_size = block.bytes();
        let outside = || EntryProblem::OutOfBounds { part: "content" };
        let (blocks_size, tail_size) = match self.layout {
            Layout::FlatPlain => (self.size, 0),
            Layout::FlatInline => {
                let tail = block.within(self.size);
                (self.size.saturating_sub(tail), tail)
            }
            Layout::ChunkBased => return Err(EntryProblem::Layout { format: self.format }),
        };
        if block.within(self.end).saturating_add(tail_size) > block_size {
            return Err(EntryProblem::InlineCrossesBlock);
        }
        // The address of no blocks means nothing.
        let blocks_at = if blocks_size == 0 { 0 } else { u64::from(self.place).saturating_mul(block_size) };
        Ok(Content {
            blocks: bytes.get(blocks_at, blocks_size).ok_or_else(outside)?,
            blocks_at,
            tail: bytes.get(self.end, tail_size).ok_or_else(outside)?,
            tail_at: self.end,
            block,
        })
    }

    /// The chunk index entries of a regular file, and where they lie.
    pub(super) fn chunk_indexes<'a>(
        &self,
        bytes: Bytes<'a>,
        count: u64,
    ) -> Result<(u64, &'a [u8]), EntryProblem> {
        let outside = || EntryProblem::OutOfBounds { part: "list of chunks" };
        let start = self.end.checked_next_multiple_of(8).ok_or_else(outside)?;
        let size = count.checked_mul(8).ok_or_else(outside)?;
        if count > limits::MAX_CHUNKS_PER_FILE as u64 {
            return Err(outside());
        }
        Ok((start, bytes.get(start, size).ok_or_else(outside)?))
    }
}

/// Content that lies in the bootstrap: blocks, then what follows the inode.
#[derive(Clone, Copy)]
pub(super) struct Content<'a> {
    blocks: &'a [u8],
    blocks_at: u64,
    tail: &'a [u8],
    tail_at: u64,
    block: BlockSize,
}

impl<'a> Content<'a> {
    pub(super) fn to_vec(self) -> Vec<u8> {
        [self.blocks, self.tail].concat()
    }

    /// The content in blocks, with the offset of each; the last one may be shorter.
    pub(super) fn blocks(self) -> impl Iterator<Item = (u64, &'a [u8])> {
        let offsets = (0..)
            .map(move |number: u64| self.blocks_at.saturating_add(number.saturating_mul(self.block.bytes())));
        let blocks = offsets.zip(self.blocks.chunks(self.block.len()));
        blocks.chain((!self.tail.is_empty()).then_some((self.tail_at, self.tail)))
    }
}
