//! One inode record.

use std::io;

use zerocopy::IntoBytes;
use zerocopy::little_endian::{U32, U64};

use super::name::{Name, chunks_of};
use crate::emit::Emit;
use crate::file_type::FileType;
use crate::record::ChunkRecord;
use crate::v5::layout::{ALIGNMENT, InodeFlags, InodeRecord, NO_DEVICE};
use crate::{Directory, Image, Inode, InodeKind, Xattrs};

/// What a child adds to the size of its directory besides its name.
const CHILD_SIZE: u64 = 8;
/// Sizes of directories are multiples of this.
const DIRECTORY_SIZE: u64 = 4096;
/// Unit of `blocks`.
const SECTOR: u64 = 512;

/// Emits the record of a name.
pub(super) fn emit(image: &Image, name: &Name<'_>, out: &mut dyn Emit) -> io::Result<()> {
    let inode = image.tree.inode(name.id);
    out.put(head(name, inode).as_bytes())?;
    put_padded(name.name, out)?;
    if let InodeKind::Symlink { target } = &inode.kind {
        put_padded(target, out)?;
    }
    let xattrs = &inode.metadata.xattrs;
    if !xattrs.is_empty() {
        emit_xattrs(xattrs, out)?;
    }
    let step = u64::from(image.chunk_size.bytes());
    for (number, &at) in (0..).zip(chunks_of(inode)) {
        // The plan has seen to it that every chunk is known.
        if let Some(chunk) = image.chunk(at) {
            out.put(ChunkRecord::new(chunk, at.blob, at.index, number * step).as_bytes())?;
        }
    }
    Ok(())
}

fn head(name: &Name<'_>, inode: &Inode) -> InodeRecord {
    let metadata = &inode.metadata;
    let size = size(&inode.kind);
    // Lengths and counts were checked against limits that fit their fields.
    let (child_count, target_len) = match &inode.kind {
        InodeKind::Directory(directory) => (directory.len() as u32, 0),
        InodeKind::Symlink { target } => (0, target.len() as u16),
        _ => (chunks_of(inode).len() as u32, 0),
    };
    InodeRecord {
        digest: name.digest,
        parent: u64::from(name.parent).into(),
        number: u64::from(name.number).into(),
        uid: metadata.uid.into(),
        gid: metadata.gid.into(),
        project: 0.into(),
        mode: u32::from(FileType::of(&inode.kind).mode_bits() | metadata.mode).into(),
        size: size.into(),
        blocks: (size + xattrs_size(&metadata.xattrs).next_multiple_of(ALIGNMENT)).div_ceil(SECTOR).into(),
        flags: flags(name, inode).bits().into(),
        links: name.links.into(),
        child_index: name.first_child.into(),
        child_count: child_count.into(),
        name_len: (name.name.len() as u16).into(),
        target_len: target_len.into(),
        device: device(&inode.kind).into(),
        mtime_nanos: metadata.mtime.nanos.into(),
        // Two's complement: clients take the field for signed.
        mtime: metadata.mtime.seconds.cast_unsigned().into(),
        reserved: [0; 8],
    }
}

fn size(kind: &InodeKind) -> u64 {
    match kind {
        InodeKind::Directory(directory) => directory_size(directory),
        InodeKind::Regular { size, .. } => *size,
        InodeKind::Symlink { target } => target.len() as u64,
        InodeKind::CharDevice(_) | InodeKind::BlockDevice(_) | InodeKind::Fifo | InodeKind::Socket => 0,
    }
}

fn directory_size(directory: &Directory) -> u64 {
    let names: u64 = directory.iter().map(|(name, _)| name.len() as u64 + CHILD_SIZE).sum();
    names.max(1).next_multiple_of(DIRECTORY_SIZE)
}

fn flags(name: &Name<'_>, inode: &Inode) -> InodeFlags {
    let mut flags = InodeFlags::empty();
    flags.set(InodeFlags::SYMLINK, matches!(inode.kind, InodeKind::Symlink { .. }));
    flags.set(InodeFlags::HARDLINK, name.is_further);
    flags.set(InodeFlags::XATTR, !inode.metadata.xattrs.is_empty());
    flags
}

fn device(kind: &InodeKind) -> u32 {
    match kind {
        // Numbers that do not fit were refused before.
        InodeKind::CharDevice(number) | InodeKind::BlockDevice(number) => number.encode().unwrap_or_default(),
        InodeKind::Fifo => 0,
        _ => NO_DEVICE,
    }
}

/// Bytes of all attributes, without the number that says so.
fn xattrs_size(xattrs: &Xattrs) -> u64 {
    xattrs.iter().map(|(name, value)| size_of::<U32>() as u64 + pair_size(name, value)).sum()
}

/// Name, zero byte, value.
fn pair_size(name: &[u8], value: &[u8]) -> u64 {
    name.len() as u64 + 1 + value.len() as u64
}

fn emit_xattrs(xattrs: &Xattrs, out: &mut dyn Emit) -> io::Result<()> {
    let size = xattrs_size(xattrs);
    out.put(U64::new(size).as_bytes())?;
    for (name, value) in xattrs.iter() {
        // Both lengths were checked against limits far below.
        out.put(U32::new(pair_size(name, value) as u32).as_bytes())?;
        out.put(name)?;
        out.put(&[0])?;
        out.put(value)?;
    }
    out.zeros(size.next_multiple_of(ALIGNMENT) - size)
}

/// Bytes, and zeros up to a multiple of 8.
fn put_padded(bytes: &[u8], out: &mut dyn Emit) -> io::Result<()> {
    let len = bytes.len() as u64;
    out.put(bytes)?;
    out.zeros(len.next_multiple_of(ALIGNMENT) - len)
}
