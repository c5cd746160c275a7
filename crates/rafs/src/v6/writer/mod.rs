//! Writes an image as a v6 bootstrap: byte for byte what the reference builder writes for the same image.
//!
//! What differs by intent: extended attributes come in byte order of their names, where the reference has a random
//! order; the device table of a merged image says where a blob lies on a device that holds everything, which version 2.2
//! of the reference leaves out and later ones write; the chunk table of a merged image names files that are still there,
//! where the reference repeats what the layers said. Without blobs the reference writes the prefetch table over the first
//! bytes of the file; here there is none.
//!
//! First everything is decided ([`Plan`], [`Frame`](tables::Frame)), then bytes are emitted in one pass forward.

mod chunks;
mod directory;
mod error;
mod inode;
mod placement;
mod plan;
mod tables;
mod xattr;

use std::io::{BufWriter, Write};

pub use error::WriteError;

use self::plan::Plan;
use self::tables::Frame;
use super::layout::{DEVICES_OFFSET, SLOT, SUPERBLOCK_OFFSET};
use crate::Image;
use crate::emit::Stream;

/// Bytes collected before they go to the output.
const BUFFER: usize = 64 << 10;

/// Writes the bootstrap of `image`. Returns its length in bytes, a multiple of 4096.
///
/// What v6 cannot hold of an inode is an error: see [`fit`](super::fit). Nothing is written before everything has been
/// checked.
pub fn write(image: &Image, out: &mut impl Write) -> Result<u64, WriteError> {
    tables::check_blobs(image)?;
    let plan = Plan::new(image)?;
    let frame = Frame::new(image, &plan)?;
    let mut out = Stream::new(BufWriter::with_capacity(BUFFER, out));
    out.pad_to(SUPERBLOCK_OFFSET)?;
    tables::emit_superblocks(image, &plan, &frame, &mut out)?;
    out.pad_to(DEVICES_OFFSET)?;
    tables::emit_devices(image, &frame, &mut out)?;
    if !image.blobs.is_empty() {
        out.pad_to(frame.blob_table)?;
        tables::emit_blobs(image, &frame, &mut out)?;
    }
    for piece in &plan.pieces {
        out.pad_to(frame.area + u64::from(piece.slot) * SLOT)?;
        inode::emit(piece, image, &plan, frame.area_block(plan.block), &mut out)?;
    }
    out.pad_to(frame.chunk_table)?;
    tables::emit_chunks(&plan, &mut out)?;
    out.pad_to(frame.end)?;
    Ok(out.finish()?)
}
