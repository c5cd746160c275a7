//! One inode record and its parts.
//!
//! ```text
//! 0      128    name     target            attributes             chunks
//! | head | name | target | size u64 | pair | pair | … | record 0 | record 1 | …
//! ```
//!
//! Every part starts at a multiple of 8. Targets belong to symbolic links, chunks to regular files, attributes to those
//! that say so.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use zerocopy::FromBytes;
use zerocopy::little_endian::{U32, U64};

use super::EntryProblem;
use crate::file_type::FileType;
use crate::input::Bytes;
use crate::record::ChunkRecord;
use crate::v5::layout::{ALIGNMENT, InodeFlags, InodeRecord};
use crate::{Metadata, Timestamp, Xattrs, limits};

/// The head of a record and its name.
pub(super) struct Head<'a> {
    pub(super) raw: InodeRecord,
    pub(super) file_type: FileType,
    pub(super) flags: InodeFlags,
    /// As stored; whether it can be a name is for the directory to say.
    pub(super) name: &'a [u8],
    /// Where the next part starts.
    end: u64,
}

/// The parts that follow the name.
pub(super) struct Body<'a> {
    pub(super) target: &'a [u8],
    xattrs: &'a [u8],
    /// Whole [`ChunkRecord`]s.
    pub(super) chunks: &'a [u8],
    /// End of the record.
    pub(super) end: u64,
}

/// Goes over the parts of a record.
struct Cursor<'a> {
    bytes: Bytes<'a>,
    at: u64,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, len: u64, part: &'static str) -> Result<&'a [u8], EntryProblem> {
        let outside = EntryProblem::OutOfBounds { part };
        let taken = self.bytes.get(self.at, len).ok_or(outside.clone())?;
        let end = self.at.checked_add(len).and_then(|end| end.checked_next_multiple_of(ALIGNMENT));
        self.at = end.ok_or(outside)?;
        Ok(taken)
    }
}

impl<'a> Head<'a> {
    pub(super) fn read(bytes: Bytes<'a>, offset: u64) -> Result<Self, EntryProblem> {
        let mut cursor = Cursor { bytes, at: offset };
        let head = cursor.take(size_of::<InodeRecord>() as u64, "inode")?;
        let raw =
            InodeRecord::read_from_bytes(head).map_err(|_| EntryProblem::OutOfBounds { part: "inode" })?;
        let mode = raw.mode.get();
        let file_type = u16::try_from(mode).ok().and_then(FileType::of_mode);
        let name = cursor.take(raw.name_len.get().into(), "name")?;
        if raw.links.get() == 0 {
            return Err(EntryProblem::NoLinks);
        }
        Ok(Self {
            file_type: file_type.ok_or(EntryProblem::Mode { mode })?,
            flags: InodeFlags::from_bits_retain(raw.flags.get()),
            raw,
            name,
            end: cursor.at,
        })
    }

    /// End of the head and the name.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    pub(super) fn body(&self, bytes: Bytes<'a>) -> Result<Body<'a>, EntryProblem> {
        let mut cursor = Cursor { bytes, at: self.end };
        let mut body = Body { target: &[], xattrs: &[], chunks: &[], end: 0 };
        if self.file_type == FileType::Symlink {
            let size = self.raw.target_len.get();
            if size == 0 || usize::from(size) > limits::MAX_SYMLINK {
                return Err(EntryProblem::Symlink { size });
            }
            body.target = cursor.take(size.into(), "target")?;
        }
        if self.flags.contains(InodeFlags::XATTR) {
            let part = "list of extended attributes";
            let size: U64 = bytes.read(cursor.at).ok_or(EntryProblem::OutOfBounds { part })?;
            cursor.take(size_of::<U64>() as u64, part)?;
            body.xattrs = cursor.take(size.get(), part)?;
        }
        if self.file_type == FileType::Regular {
            let size = u64::from(self.raw.child_count.get()).saturating_mul(size_of::<ChunkRecord>() as u64);
            body.chunks = cursor.take(size, "list of chunks")?;
        }
        body.end = cursor.at;
        Ok(body)
    }

    /// Number of the inode in the form of positions in the inode table.
    pub(super) fn number(&self) -> Option<u32> {
        u32::try_from(self.raw.number.get()).ok()
    }

    pub(super) fn metadata(&self, body: &Body<'a>) -> Result<Metadata, EntryProblem> {
        let raw = &self.raw;
        let (seconds, nanos) = (raw.mtime.get(), raw.mtime_nanos.get());
        if nanos >= 1_000_000_000 {
            return Err(EntryProblem::Time { seconds, nanos });
        }
        let mtime = Timestamp { seconds: seconds.cast_signed(), nanos };
        let mode = u16::try_from(raw.mode.get() & 0o7777).unwrap_or_default();
        Ok(Metadata { mode, uid: raw.uid.get(), gid: raw.gid.get(), mtime, xattrs: body.xattrs()? })
    }
}

impl Body<'_> {
    pub(super) fn records(&self) -> impl Iterator<Item = ChunkRecord> {
        let (records, _) = self.chunks.as_chunks::<{ size_of::<ChunkRecord>() }>();
        records.iter().filter_map(|record| ChunkRecord::read_from_bytes(record).ok())
    }

    fn xattrs(&self) -> Result<Xattrs, EntryProblem> {
        let damaged = |what| EntryProblem::Xattr { what };
        let mut xattrs = Xattrs::new();
        let mut rest = self.xattrs;
        while !rest.is_empty() {
            let (length, after) =
                U32::read_from_prefix(rest).map_err(|_| damaged("a length is cut short"))?;
            let length = usize::try_from(length.get()).map_err(|_| damaged("a length cannot be"))?;
            let (pair, after) = after.split_at_checked(length).ok_or(damaged("an entry is cut short"))?;
            let end = pair.iter().position(|byte| *byte == 0).ok_or(damaged("a name has no end"))?;
            let (name, value) = pair.split_at_checked(end).unwrap_or_default();
            if name.is_empty() || name.len() > limits::MAX_XATTR_NAME {
                return Err(damaged("a name cannot be"));
            }
            if xattrs.get(name).is_some() {
                return Err(damaged("a name is there twice"));
            }
            xattrs.insert(name.to_vec(), value.get(1..).unwrap_or_default().to_vec());
            rest = after;
        }
        Ok(xattrs)
    }
}
