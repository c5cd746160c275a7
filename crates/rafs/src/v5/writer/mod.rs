//! Writes an image as a v5 bootstrap: byte for byte what the reference builder writes for the same image.
//!
//! What differs by intent: extended attributes come in byte order of their names, where the reference has a random
//! order; every name of a file with extended attributes says that it has some; nanoseconds are kept; sizes of directories
//! are always those of their names.
//!
//! First everything is decided ([`Plan`], [`Frame`](tables::Frame)), then bytes are emitted in one pass forward.

mod chunks;
mod error;
mod name;
mod plan;
mod record;
mod tables;

use std::io::{BufWriter, Write};

pub use error::WriteError;

use self::plan::Plan;
use self::tables::Frame;
use super::layout::SUPERBLOCK_LEN;
use crate::Image;
use crate::emit::Stream;

/// Bytes collected before they go to the output.
const BUFFER: usize = 64 << 10;

/// Writes the bootstrap of `image`. Returns its length in bytes, a multiple of 8.
///
/// What v5 cannot hold of an inode is an error: see [`fit`](super::fit). Names of one inode that is no regular file
/// become files of their own. Nothing is written before everything has been checked.
pub fn write(image: &Image, out: &mut impl Write) -> Result<u64, WriteError> {
    tables::check_blobs(image)?;
    let plan = Plan::new(image)?;
    let frame = Frame::new(image, &plan)?;
    let mut out = Stream::new(BufWriter::with_capacity(BUFFER, out));
    tables::emit_superblock(image, &plan, &frame, &mut out)?;
    out.pad_to(SUPERBLOCK_LEN)?;
    tables::emit_inodes(&frame, &mut out)?;
    out.pad_to(frame.prefetch_table)?;
    tables::emit_prefetch(&frame, &mut out)?;
    out.pad_to(frame.blob_table)?;
    tables::emit_blobs(image, &mut out)?;
    out.pad_to(frame.extended_table)?;
    tables::emit_extended(image, &mut out)?;
    for name in &plan.names {
        record::emit(image, name, &mut out)?;
    }
    out.pad_to(frame.end)?;
    Ok(out.finish()?)
}
