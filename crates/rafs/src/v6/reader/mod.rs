//! Reads a v6 bootstrap, trusting nothing.
//!
//! What is accepted can be written again: every rule of the writer is a rule here. Allocations are bounded by the
//! length of the input.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

mod directory;
mod error;
mod inode;
mod superblock;
mod tables;
mod walk;
mod xattr;

pub use error::{ChunkProblem, ChunkUseProblem, EntryProblem, ReadError};

use self::superblock::Super;
use crate::input::Bytes;
use crate::{ChunkTable, Image};

/// Reads a bootstrap.
///
/// Where a bootstrap has no chunk table, the blobs of the image have no chunks, and the files refer to chunks that are
/// only known to the blobs themselves.
pub fn parse(bytes: &[u8]) -> Result<Image, ReadError> {
    read(bytes).map(|reading| reading.image)
}

/// An image and how it lay on disk.
pub(crate) struct Reading {
    pub(crate) image: Image,
    pub(crate) superblock: Super,
    /// Number on disk of every inode, by [`InodeId::index`](crate::InodeId::index).
    pub(crate) nids: Vec<u64>,
}

pub(crate) fn read(bytes: &[u8]) -> Result<Reading, ReadError> {
    let bytes = Bytes::new(bytes);
    let superblock = Super::read(bytes)?;
    let mut blobs = tables::blobs(bytes, &superblock)?;
    let walked = walk::walk(bytes, &superblock, &blobs)?;
    for (blob, chunks) in blobs.iter_mut().zip(walked.tar_chunks) {
        blob.chunks = ChunkTable::from_unsorted(chunks.into_iter().collect());
    }
    let prefetch = tables::prefetch(bytes, &superblock)
        .map(|(offset, nid)| walked.ids.get(&nid.into()).copied().ok_or(ReadError::Prefetch { offset, nid }))
        .collect::<Result<_, _>>()?;
    let image = Image {
        tree: walked.tree,
        blobs,
        chunk_size: superblock.chunk_size,
        compressor: superblock.compressor,
        digester: superblock.digester,
        tarfs: superblock.is_tarfs(),
        prefetch,
    };
    Ok(Reading { image, superblock, nids: walked.nids })
}
