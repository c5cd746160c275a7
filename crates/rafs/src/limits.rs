//! Every bound of the format, with its reason.

/// Smallest chunk size: one EROFS block.
pub(crate) const MIN_CHUNK_SIZE: u32 = 0x1000;
/// Largest chunk size: the readers' limit, 16 MiB.
pub const MAX_CHUNK_SIZE: u32 = 0x100_0000;
/// Blobs of one image: the EROFS device id and the reference builder's tables stop at 254.
pub const MAX_BLOBS: usize = 254;
/// Chunks of one blob: the chunk index has 24 bits.
pub const MAX_CHUNKS_PER_BLOB: u32 = (1 << 24) - 1;
/// Length of one name in bytes: Linux's `NAME_MAX`.
pub(crate) const MAX_NAME: usize = 255;
/// Length of a symbolic link's target in bytes: Linux refuses 4096 and more, so do the readers.
pub(crate) const MAX_SYMLINK: usize = 4095;
/// Length of one extended attribute's value in bytes: a 16-bit field in EROFS.
pub(crate) const MAX_XATTR_VALUE: usize = 0xffff;
/// The same in v5: Linux's `XATTR_SIZE_MAX`, which the reference builder checks too.
pub(crate) const MAX_XATTR_VALUE_V5: usize = 0x1_0000;
/// Largest v5 bootstrap in bytes: the readers' limit.
pub(crate) const MAX_V5_BOOTSTRAP: u64 = 0x8000_0000;
/// Length of one extended attribute's full name in bytes: Linux's `XATTR_NAME_MAX`.
pub(crate) const MAX_XATTR_NAME: usize = 255;
/// All extended attributes of one inode together, in bytes as stored: `i_xattr_icount` is a 16-bit count of 4 bytes.
pub(crate) const MAX_XATTRS_TOTAL: usize = 12 + 4 * (0xffff - 1);
/// Largest compressed blob in bytes: 40-bit offsets.
pub const MAX_COMPRESSED_BLOB: u64 = 1 << 40;
/// Largest uncompressed blob in bytes: 44-bit offsets.
pub const MAX_UNCOMPRESSED_BLOB: u64 = 1 << 44;
/// Symbolic links followed while one path is resolved, as in Linux.
pub(crate) const MAX_SYMLINK_FOLLOW: usize = 40;
/// Depth of directories: PATH_MAX / 2, no client can name anything deeper.
pub const MAX_DEPTH: usize = 2048;
/// Chunks of one file: the reference builder's limit.
pub const MAX_CHUNKS_PER_FILE: usize = 1 << 24;
/// Plain length of one blob's chunk information: entries of 24 bytes for every possible chunk, the readers' limit.
pub(crate) const MAX_CHUNK_INFORMATION: u64 = 24 << 24;
/// Sections of one blob: readers of the table of contents read the last 4096 bytes only, which hold 28 entries.
pub const MAX_TOC_ENTRIES: usize = 28;

/// Names in the targets of symbolic links that are followed while a tree grows, beside one for each byte of the tree.
pub(crate) const FREE_STEPS: u64 = 1 << 25;
