//! Reads a v5 bootstrap, trusting nothing.
//!
//! Allocations are bounded by the length of the input. What is accepted can be written again, but for extended
//! attributes of namespaces that writers refuse and blobs with features that v5 cannot have.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

mod digests;
mod error;
mod record;
mod superblock;
mod tables;
mod walk;

pub use digests::{DigestError, check_digests};
pub use error::{ChunkProblem, EntryProblem, ReadError};

use self::superblock::Super;
use crate::Image;
use crate::input::Bytes;

/// Reads a bootstrap.
///
/// Blobs have the image's compressor and digester, no chunk information, and the chunks that files use. Names of one file
/// become links of the inode whose number they have; what their own records say besides is not looked at. The digests of
/// inodes are not looked at either: [`check_digests`] does that.
pub fn parse(bytes: &[u8]) -> Result<Image, ReadError> {
    read(bytes).map(|reading| reading.image)
}

/// An image and how it lay on disk.
pub(crate) struct Reading {
    pub(crate) image: Image,
    pub(crate) superblock: Super,
    /// Number on disk of every inode, by [`InodeId::index`](crate::InodeId::index).
    pub(crate) numbers: Vec<u64>,
    /// Positions in the inode table that the tree uses, further names of files included, in order of their meeting.
    positions: Vec<u32>,
}

pub(crate) fn read(bytes: &[u8]) -> Result<Reading, ReadError> {
    let bytes = Bytes::new(bytes);
    let superblock = Super::read(bytes)?;
    let mut blobs = tables::blobs(bytes, &superblock)?;
    let walked = walk::walk(bytes, &superblock, blobs.len())?;
    for ((position, blob), chunks) in blobs.iter_mut().enumerate().zip(walked.chunks) {
        tables::set_chunks(blob, position, chunks)?;
    }
    let find = |number: u32| walked.ids.get(usize::try_from(number).ok()?).copied().flatten();
    let prefetch = tables::prefetch(bytes, &superblock)
        .map(|(offset, number)| find(number).ok_or(ReadError::Prefetch { offset, number }))
        .collect::<Result<_, _>>()?;
    let image = Image {
        tree: walked.tree,
        blobs,
        chunk_size: superblock.chunk_size,
        compressor: superblock.compressor,
        digester: superblock.digester,
        tarfs: false,
        prefetch,
    };
    Ok(Reading { image, superblock, numbers: walked.numbers, positions: walked.positions })
}
