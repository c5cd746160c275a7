//! Why bytes are not a v5 bootstrap.

use thiserror::Error;

use crate::v5::BlobProblem;
use crate::{ChunkSizeError, EntryPath, TreeError, display_bytes, limits};

/// Why a bootstrap cannot be read. Offsets are in bytes from its start.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReadError {
    /// Too short for a superblock, too long for any reader, or no multiple of 8.
    #[error("a bootstrap of {size} bytes: not more than 8192, more than 2 GiB, or no multiple of 8")]
    Size {
        /// Length of the bytes.
        size: u64,
    },
    /// A field of the superblock has a value that readers refuse.
    #[error("superblock: {field} cannot be {value:#x}")]
    Superblock {
        /// Name of the field.
        field: &'static str,
        /// What the field holds.
        value: u64,
    },
    /// The flags name no compressor or hash, more than one, or something that v5 does not have.
    #[error("superblock: the flags {bits:#x} are undefined or contradict each other")]
    Flags {
        /// All flag bits.
        bits: u64,
    },
    /// The chunk size is none.
    #[error("superblock")]
    ChunkSize(#[from] ChunkSizeError),
    /// A table is misaligned, has an impossible size, or lies outside the bootstrap.
    #[error("{table} @ {offset:#x}: {size} bytes cannot lie there")]
    Table {
        /// Which table.
        table: &'static str,
        /// Where it should be.
        offset: u64,
        /// Its size in bytes.
        size: u64,
    },
    /// Two tables lie over each other.
    #[error("{table} and {other} overlap @ {offset:#x}")]
    TablesOverlap {
        /// The one.
        table: &'static str,
        /// The other.
        other: &'static str,
        /// Where.
        offset: u64,
    },
    /// More blobs than an image can have.
    #[error("more than {} blobs", limits::MAX_BLOBS)]
    TooManyBlobs,
    /// A blob that readers refuse.
    #[error("blob table @ {offset:#x}: blob {blob}: {problem}")]
    Blob {
        /// Where its entry lies.
        offset: u64,
        /// Position in the blob table, from 0.
        blob: usize,
        /// What is wrong with it.
        problem: BlobProblem,
    },
    /// The records of a chunk cannot be.
    #[error("blob {blob}: chunk {index}: {problem}")]
    Chunk {
        /// Position of the blob.
        blob: usize,
        /// Number of the chunk in its blob.
        index: u32,
        /// What is wrong with it.
        problem: ChunkProblem,
    },
    /// Something is wrong with an inode.
    #[error("{path}: @ {offset:#x}: {problem}")]
    Entry {
        /// The file.
        path: EntryPath,
        /// Where its record lies, or its slot of the inode table.
        offset: u64,
        /// What is wrong with it.
        problem: EntryProblem,
    },
    /// The prefetch table names an inode that no directory leads to.
    #[error("prefetch table @ {offset:#x}: there is no inode {number}")]
    Prefetch {
        /// Where the entry lies.
        offset: u64,
        /// The inode number in the table.
        number: u32,
    },
}

/// What is wrong with a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ChunkProblem {
    /// Flag bits that nobody defined.
    #[error("the flags {bits:#x} are undefined")]
    Flags {
        /// All flag bits.
        bits: u32,
    },
    /// There is no such blob.
    #[error("there is no blob {blob}")]
    Blob {
        /// The position that the chunk names.
        blob: u32,
    },
    /// Its place in the file is another than its position in the list.
    #[error("it claims the place {offset:#x} in the file")]
    FileOffset {
        /// The place in bytes.
        offset: u64,
    },
    /// It has another length than its place asks for.
    #[error("it is {actual} bytes long, not {expected}")]
    Length {
        /// Bytes that the place asks for.
        expected: u64,
        /// Bytes that the chunk has.
        actual: u32,
    },
    /// Two files have different records of it.
    #[error("two files describe it differently")]
    Differs,
    /// Its number or its place is outside the blob.
    #[error("the number or the place is outside the blob")]
    Place,
}

/// What is wrong with an inode.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EntryProblem {
    /// The inode table leads to no record.
    #[error("the inode table leads to {slot:#x}, where no record can be")]
    Slot {
        /// The entry: an offset in units of 8.
        slot: u32,
    },
    /// A part of it lies outside the bootstrap.
    #[error("the {part} lies outside the bootstrap")]
    OutOfBounds {
        /// Which part.
        part: &'static str,
    },
    /// It lies over a table, or all records together are larger than the bootstrap.
    #[error("the record lies over something else")]
    Overlap,
    /// The mode has no type.
    #[error("the mode {mode:#o} has no file type")]
    Mode {
        /// `st_mode`, as stored.
        mode: u32,
    },
    /// The link count is 0.
    #[error("the inode has no links")]
    NoLinks,
    /// A time that does not exist.
    #[error("the modification time {seconds}.{nanos:09} cannot be")]
    Time {
        /// Seconds since 1970, as stored.
        seconds: u64,
        /// Nanoseconds, as stored: 10⁹ or more.
        nanos: u32,
    },
    /// The extended attributes cannot be read.
    #[error("the extended attributes are damaged: {what}")]
    Xattr {
        /// In what respect.
        what: &'static str,
    },
    /// A symbolic link without a usable target.
    #[error("the symbolic link's target of {size} bytes is empty, too long, or contains a NUL byte")]
    Symlink {
        /// Length in bytes.
        size: u16,
    },
    /// A name that no file can have.
    #[error("'{}' is not a file name", display_bytes(name))]
    Name {
        /// The bytes of the name.
        name: Vec<u8>,
    },
    /// Names are not in strictly ascending order of their bytes.
    #[error("the name '{}' is out of order or there twice", display_bytes(name))]
    Order {
        /// The later name.
        name: Vec<u8>,
    },
    /// A directory with another number than its position.
    #[error("inode {position} has the number {number}")]
    Number {
        /// Position in the inode table, from 1.
        position: u32,
        /// What the record says.
        number: u64,
    },
    /// The record names another directory as the one that holds it.
    #[error("the record says that it lies in directory {parent}")]
    Parent {
        /// What the record says.
        parent: u64,
    },
    /// A directory whose children cannot be.
    #[error("the directory cannot have {count} children from {first} on")]
    Children {
        /// Number of the first child.
        first: u32,
        /// Number of children.
        count: u32,
    },
    /// An inode belongs to two directories.
    #[error("inode {position} belongs to two directories")]
    TwoParents {
        /// Position in the inode table, from 1.
        position: u32,
    },
    /// A further name of a file that does not exist or is different.
    #[error("it is a name of inode {number}, which does not exist or is another kind of file")]
    Link {
        /// Number of the file.
        number: u64,
    },
    /// Deeper than any client can name.
    #[error("more than {} directories deep", limits::MAX_DEPTH)]
    TooDeep,
    /// A file with holes, which no reader can read.
    #[error("the file has holes")]
    Hole,
    /// A file does not have the chunks that its size asks for.
    #[error("{count} chunks for {size} bytes")]
    ChunkCount {
        /// Number of chunks.
        count: u32,
        /// Size in bytes.
        size: u64,
    },
    /// A chunk of the file cannot be.
    #[error("chunk {number} of the file: {problem}")]
    Chunk {
        /// Position in the file.
        number: u64,
        /// What is wrong with it.
        problem: ChunkProblem,
    },
    /// The tree takes no such entry.
    #[error(transparent)]
    Tree(#[from] TreeError),
}
