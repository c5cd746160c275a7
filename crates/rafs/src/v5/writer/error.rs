//! Why an image cannot be written as a v5 bootstrap.

use std::io;

use thiserror::Error;

use crate::v5::{BlobProblem, Loss};
use crate::{EntryPath, limits};

/// Why an image cannot be written.
#[derive(Debug, Error)]
pub enum WriteError {
    /// The output took no more bytes.
    #[error("writing the bootstrap failed")]
    Io(#[from] io::Error),
    /// An inode has something that v5 cannot hold; [`fit`](crate::v5::fit) it first.
    #[error("{path}: {loss}")]
    Unfit {
        /// The entry.
        path: EntryPath,
        /// What cannot be held.
        loss: Loss,
    },
    /// The root is no directory.
    #[error("the root is not a directory")]
    RootNotDirectory,
    /// A directory has more than one name, or lies below itself.
    #[error("{path}: the directory has more than one name")]
    DirectoryLinked {
        /// One of its names.
        path: EntryPath,
    },
    /// Deeper than any client can name.
    #[error("more than {} directories deep", limits::MAX_DEPTH)]
    TooDeep,
    /// A file does not have the chunks that its size asks for.
    #[error("{path}: {actual} chunks for {size} bytes, not {expected}")]
    ChunkCount {
        /// The file.
        path: EntryPath,
        /// Its size in bytes.
        size: u64,
        /// Chunks that the size asks for.
        expected: u64,
        /// Chunks that it has.
        actual: u64,
    },
    /// A file uses a chunk that its blob's table does not have.
    #[error("{path}: chunk {number} is chunk {index} of blob {blob}, which is not known")]
    UnknownChunk {
        /// The file.
        path: EntryPath,
        /// Position in the file.
        number: u64,
        /// Position of the blob in the image.
        blob: u16,
        /// Number of the chunk in its blob.
        index: u32,
    },
    /// A file uses a chunk of another length than its place asks for.
    #[error("{path}: chunk {number} is {actual} bytes long, not {expected}")]
    ChunkLength {
        /// The file.
        path: EntryPath,
        /// Position in the file.
        number: u64,
        /// Bytes that the place asks for.
        expected: u64,
        /// Bytes that the chunk has.
        actual: u32,
    },
    /// A chunk lies outside its blob, or has a number that its blob does not have.
    #[error("{path}: chunk {index} of blob {blob} lies outside its blob")]
    ChunkPlace {
        /// A file that uses it.
        path: EntryPath,
        /// Position of the blob in the image.
        blob: u16,
        /// Number of the chunk in its blob.
        index: u32,
    },
    /// More blobs than readers take.
    #[error("{count} blobs in one image, more than {}", limits::MAX_BLOBS)]
    TooManyBlobs {
        /// Number of blobs.
        count: usize,
    },
    /// A blob that readers would refuse, or that v5 cannot describe.
    #[error("blob {blob}: {problem}")]
    Blob {
        /// Position of the blob in the image.
        blob: usize,
        /// What is wrong with it.
        problem: BlobProblem,
    },
    /// An inode to prefetch that no name leads to.
    #[error("an inode to prefetch has no name in the tree")]
    PrefetchUnknown,
    /// More metadata than readers take: 2 GiB.
    #[error("the tree is too large for one bootstrap")]
    TooLarge,
}
