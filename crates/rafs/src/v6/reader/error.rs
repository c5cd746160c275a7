//! Why bytes are not a v6 bootstrap.

use thiserror::Error;

use crate::v6::BlobProblem;
use crate::{ChunkSizeError, EntryPath, TreeError, display_bytes, limits};

/// Why a bootstrap cannot be read. Offsets are in bytes from its start.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReadError {
    /// Too short for superblocks, or no whole number of blocks.
    #[error("a bootstrap of {size} bytes: not a whole number of blocks of 4096")]
    Size {
        /// Length of the bytes.
        size: u64,
    },
    /// A field of the EROFS superblock has a value that readers refuse.
    #[error("superblock @ {offset:#x}: {field} cannot be {value:#x}")]
    Superblock {
        /// Name of the field.
        field: &'static str,
        /// Where the superblock lies.
        offset: u64,
        /// What the field holds.
        value: u64,
    },
    /// The flags name no compressor or hash, more than one, or something undefined.
    #[error("RAFS superblock @ {offset:#x}: the flags {bits:#x} are undefined or contradict each other")]
    Flags {
        /// Where the superblock lies.
        offset: u64,
        /// All flag bits.
        bits: u64,
    },
    /// The chunk size is none.
    #[error("RAFS superblock @ {offset:#x}")]
    ChunkSize {
        /// Where the superblock lies.
        offset: u64,
        /// Why not.
        source: ChunkSizeError,
    },
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
    /// A record of the chunk table that cannot be.
    #[error("chunk table @ {offset:#x}: {problem}")]
    Chunk {
        /// Where the record lies.
        offset: u64,
        /// What is wrong with it.
        problem: ChunkProblem,
    },
    /// Something is wrong with an inode or a directory entry.
    #[error("{path}: @ {offset:#x}: {problem}")]
    Entry {
        /// The file, or the directory whose entry is wrong.
        path: EntryPath,
        /// Where the structure lies.
        offset: u64,
        /// What is wrong with it.
        problem: EntryProblem,
    },
    /// The prefetch table names an inode that no directory leads to.
    #[error("prefetch table @ {offset:#x}: there is no inode {nid}")]
    Prefetch {
        /// Where the entry lies.
        offset: u64,
        /// The inode number in the table.
        nid: u32,
    },
}

/// What is wrong with a chunk record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ChunkProblem {
    /// Flag bits that nobody defined.
    #[error("the chunk has the undefined flags {bits:#x}")]
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
    /// The blob has no chunk of that number.
    #[error("there is no chunk {index}")]
    Index {
        /// The number.
        index: u32,
    },
    /// Another record has the same blob and number.
    #[error("blob {blob} has two chunks {index}")]
    Duplicate {
        /// Position of the blob.
        blob: usize,
        /// Number of the chunk.
        index: u32,
    },
    /// Zero bytes, or more than the chunk size.
    #[error("the chunk is {size} bytes long")]
    Size {
        /// Plain length in bytes.
        size: u32,
    },
    /// It lies outside its blob, or not on a block boundary.
    #[error("the chunk lies outside its blob or on no block boundary")]
    Place,
}

/// What is wrong with an inode or a directory.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EntryProblem {
    /// A part of it lies outside the bootstrap.
    #[error("the {part} lies outside the bootstrap")]
    OutOfBounds {
        /// Which part.
        part: &'static str,
    },
    /// All parts of all inodes together are larger than the bootstrap: some lie over each other.
    #[error("files lie over each other")]
    Overlap,
    /// The format field has undefined bits.
    #[error("the inode has the undefined format {format:#x}")]
    Format {
        /// The format field.
        format: u16,
    },
    /// The content is stored in a way that files of this type cannot have.
    #[error("the content of a file of this type cannot be stored with format {format:#x}")]
    Layout {
        /// The format field.
        format: u16,
    },
    /// The mode has no type.
    #[error("the mode {mode:#o} has no file type")]
    Mode {
        /// `st_mode`, as stored.
        mode: u16,
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
        size: u64,
    },
    /// Content behind the inode crosses a block boundary.
    #[error("the content behind the inode crosses a block boundary")]
    InlineCrossesBlock,
    /// The file is not listed by chunk indexes.
    #[error("the chunk format {format:#x} cannot be read")]
    ChunkFormat {
        /// The field.
        format: u32,
    },
    /// A chunk index leads nowhere.
    #[error("chunk {number} of the file: {problem}")]
    Chunk {
        /// Position in the file.
        number: u64,
        /// Where it leads.
        problem: ChunkUseProblem,
    },
    /// A directory without entries, which lacks even itself.
    #[error("the directory has no content")]
    EmptyDirectory,
    /// A block of directory entries is damaged.
    #[error("the directory entries are damaged: {what}")]
    Dirent {
        /// In what respect.
        what: &'static str,
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
    /// An entry says another type than its inode.
    #[error("the entry has type {file_type}, its inode another")]
    FileType {
        /// What the entry says.
        file_type: u8,
    },
    /// `.` or `..` is missing or leads elsewhere.
    #[error("'.' or '..' is missing or leads elsewhere")]
    Dots,
    /// A directory has a second name.
    #[error("the directory has more than one name")]
    DirectoryLinked,
    /// Deeper than any client can name.
    #[error("more than {} directories deep", limits::MAX_DEPTH)]
    TooDeep,
    /// The tree takes no such entry.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// Why a chunk index leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ChunkUseProblem {
    /// There is no such blob.
    #[error("there is no device {device}")]
    Device {
        /// Position of the blob + 1.
        device: u8,
    },
    /// The blob has no chunk of that number.
    #[error("blob {blob} has no chunk {index}")]
    Unknown {
        /// Position of the blob.
        blob: u16,
        /// Number of the chunk.
        index: u32,
    },
    /// The index says another place than the chunk's record.
    #[error("the index says block {block}, the chunk table another")]
    Block {
        /// What the index says.
        block: u32,
    },
    /// The chunk has another length than its place asks for.
    #[error("the chunk is {actual} bytes long, not {expected}")]
    Length {
        /// Bytes that the place asks for.
        expected: u64,
        /// Bytes that the chunk has.
        actual: u32,
    },
    /// Of tarfs: the chunk lies outside of the tar.
    #[error("block {block} lies outside of blob {blob}")]
    Place {
        /// Position of the blob.
        blob: u16,
        /// What the index says.
        block: u32,
    },
}

impl ReadError {
    /// The field that tells RAFS from other EROFS.
    pub(crate) const MARK: &'static str = "feature_compat";
}
