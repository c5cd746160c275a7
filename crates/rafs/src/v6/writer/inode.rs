//! The head of an inode: the inode itself, its extended attributes, and what follows them.

use std::io;

use zerocopy::IntoBytes;

use super::placement::inline_part;
use super::plan::{Node, Part, Piece, Plan};
use super::xattr;
use crate::emit::{Emit, Window, measure};
use crate::file_type::FileType;
use crate::v6::layout::{BlockSize, CHUNK_INDEXES, ChunkIndex, ExtendedInode, Layout};
use crate::{ChunkRef, Image, Inode, InodeKind};

/// Largest number that the chunk format's five bits hold.
const MAX_CHUNK_BITS: u32 = 31;

/// Emits a piece of the metadata area, which starts at block `area`.
pub(super) fn emit(
    piece: &Piece,
    image: &Image,
    plan: &Plan<'_>,
    area: u32,
    out: &mut dyn Emit,
) -> io::Result<()> {
    let inode = image.tree.inode(piece.id);
    let Some(node) = plan.node(piece.id) else { return Ok(()) };
    let xattr_size = measure(|out| xattr::emit(&inode.metadata.xattrs, out))?;
    let head = size_of::<ExtendedInode>() as u64 + xattr_size;
    let size = u64::from(node.size);
    let inline = inline_part(plan.block, head, size);
    match piece.part {
        Part::Blocks => plan.emit_content(piece.id, &mut Window::new(out, 0, size - inline)),
        Part::Head => {
            out.put(raw(inode, node, xattr_size, inline, area, (image, plan.block)).as_bytes())?;
            xattr::emit(&inode.metadata.xattrs, out)?;
            if let InodeKind::Regular { chunks, .. } = &inode.kind {
                out.zeros(head.next_multiple_of(8) - head)?;
                return chunks
                    .iter()
                    .try_for_each(|chunk| out.put(chunk_index(image, plan.block, *chunk).as_bytes()));
            }
            plan.emit_content(piece.id, &mut Window::new(out, size - inline, inline))
        }
    }
}

fn raw(
    inode: &Inode,
    node: &Node,
    xattr_size: u64,
    inline: u64,
    area: u32,
    (image, block): (&Image, BlockSize),
) -> ExtendedInode {
    let metadata = &inode.metadata;
    let flat = if inline == 0 { Layout::FlatPlain } else { Layout::FlatInline };
    let (layout, size, place) = match &inode.kind {
        InodeKind::Directory(_) | InodeKind::Symlink { .. } => (flat, node.size.into(), area + node.block),
        InodeKind::Regular { size, chunks } => {
            (Layout::ChunkBased, *size, chunk_format(image, block, *size, chunks))
        }
        InodeKind::CharDevice(number) | InodeKind::BlockDevice(number) => {
            // Numbers that do not fit were refused before.
            (Layout::FlatPlain, 0, number.encode().unwrap_or_default())
        }
        InodeKind::Fifo | InodeKind::Socket => (Layout::FlatPlain, 0, 0),
    };
    ExtendedInode {
        format: layout.format().into(),
        xattr_count: xattr::count(xattr_size).into(),
        mode: (FileType::of(&inode.kind).mode_bits() | (metadata.mode & 0o7777)).into(),
        reserved: 0.into(),
        size: size.into(),
        place: place.into(),
        number: node.number.into(),
        uid: metadata.uid.into(),
        gid: metadata.gid.into(),
        // Times before 1970 were refused before.
        // Two's complement: clients take the field for signed.
        mtime: metadata.mtime.seconds.cast_unsigned().into(),
        mtime_nanos: metadata.mtime.nanos.into(),
        links: node.links.into(),
        reserved2: [0; 16],
    }
}

/// The chunk format of a file. Files whose chunks follow each other in one blob are one large chunk to the kernel,
/// which can then map them in one go; other readers look at the image's chunk size alone.
fn chunk_format(image: &Image, block: BlockSize, size: u64, chunks: &[ChunkRef]) -> u32 {
    let step = u64::from(image.chunk_size.bytes());
    let offset = |chunk: &ChunkRef| image.chunk(*chunk).map(|chunk| chunk.uncompressed_offset);
    let follows = |pair: &[ChunkRef]| match pair {
        [a, b] => a.blob == b.blob && offset(a).map(|offset| offset + step) == offset(b),
        _ => false,
    };
    let one_run = chunks.len() > 1 && chunks.windows(2).all(follows);
    let large = size.checked_next_power_of_two().filter(|_| one_run).map_or(step, |size| size.max(step));
    let bits = large.ilog2() - u32::from(block.bits);
    CHUNK_INDEXES | if bits <= MAX_CHUNK_BITS { bits } else { step.ilog2() - u32::from(block.bits) }
}

fn chunk_index(image: &Image, block: BlockSize, chunk: ChunkRef) -> ChunkIndex {
    let [low0, low1, high, _] = chunk.index.to_le_bytes();
    // Chunks exist and lie where 32 bits of blocks reach: checked before.
    let offset = image.chunk(chunk).map_or(0, |chunk| chunk.uncompressed_offset);
    ChunkIndex {
        number_low: u16::from_le_bytes([low0, low1]).into(),
        device: (chunk.blob + 1) as u8,
        number_high: high,
        block: ((offset / block.bytes()) as u32).into(),
    }
}
