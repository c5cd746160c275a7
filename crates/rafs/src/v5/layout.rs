//! The structures of a v5 bootstrap as they lie on disk.
//!
//! ```text
//! 0      superblock             Superblock, zeros up to 8192
//! 8192   inode table            u32 × entries
//!        prefetch table         u32 × entries
//!        blob table             8 bytes and the id, × blobs
//!        extended blob table    ExtendedBlob × blobs
//!        records                InodeRecord, name, target, attributes, ChunkRecord × chunks
//! ```
//!
//! Every part starts at a multiple of 8. Integers are little-endian.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// `magic` of a [`Superblock`].
pub(crate) const MAGIC: u32 = 0x5241_4653;
/// `version` of a [`Superblock`].
pub(crate) const VERSION: u32 = 0x500;
/// Length of the superblock in bytes.
pub(crate) const SUPERBLOCK_LEN: u64 = 8192;
/// Everything starts at a multiple of this, and the inode table counts in it.
pub(crate) const ALIGNMENT: u64 = 8;

/// The superblock: its fields take 80 bytes, zeros up to [`SUPERBLOCK_LEN`] follow.
///
/// | offset | size | field | value |
/// |---|---|---|---|
/// | 0 | 4 | magic | `0x52414653` |
/// | 4 | 4 | version | `0x500` |
/// | 8 | 4 | size of the superblock | 8192 |
/// | 12 | 4 | chunk size | |
/// | 16 | 8 | flags | |
/// | 24 | 8 | inodes, hard links counted once | |
/// | 32 | 8 | offset of the inode table | 8192 |
/// | 40 | 8 | offset of the prefetch table | |
/// | 48 | 8 | offset of the blob table | |
/// | 56 | 4 | entries of the inode table | names, the root's included |
/// | 60 | 4 | entries of the prefetch table | |
/// | 64 | 4 | size of the blob table with its padding | |
/// | 68 | 4 | entries of the extended blob table | number of blobs |
/// | 72 | 8 | offset of the extended blob table | |
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone)]
#[repr(C)]
pub(crate) struct Superblock {
    pub(crate) magic: U32,
    pub(crate) version: U32,
    pub(crate) size: U32,
    pub(crate) chunk_size: U32,
    pub(crate) flags: U64,
    pub(crate) inodes: U64,
    pub(crate) inode_table_offset: U64,
    pub(crate) prefetch_table_offset: U64,
    pub(crate) blob_table_offset: U64,
    pub(crate) inode_table_entries: U32,
    pub(crate) prefetch_table_entries: U32,
    pub(crate) blob_table_size: U32,
    pub(crate) extended_table_entries: U32,
    pub(crate) extended_table_offset: U64,
}
const _: () = assert!(size_of::<Superblock>() == 80);

/// The head of an inode record, 128 bytes.
///
/// | offset | size | field |
/// |---|---|---|
/// | 0 | 32 | digest of the content |
/// | 32 | 8 | number of the directory that holds it, 0 for the root |
/// | 40 | 8 | number: its position in the inode table, from 1; for a further name of a file that of the first |
/// | 48 | 4 | uid |
/// | 52 | 4 | gid |
/// | 56 | 4 | project |
/// | 60 | 4 | mode with the type |
/// | 64 | 8 | size |
/// | 72 | 8 | size in units of 512 |
/// | 80 | 8 | [`InodeFlags`] |
/// | 88 | 4 | links |
/// | 92 | 4 | directory: number of the first child |
/// | 96 | 4 | directory: number of children; regular file: number of chunks |
/// | 100 | 2 | length of the name |
/// | 102 | 2 | length of the target |
/// | 104 | 4 | device number |
/// | 108 | 4 | mtime, nanoseconds |
/// | 112 | 8 | mtime, seconds |
/// | 120 | 8 | reserved |
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone)]
#[repr(C)]
pub(crate) struct InodeRecord {
    pub(crate) digest: [u8; 32],
    pub(crate) parent: U64,
    pub(crate) number: U64,
    pub(crate) uid: U32,
    pub(crate) gid: U32,
    pub(crate) project: U32,
    pub(crate) mode: U32,
    pub(crate) size: U64,
    pub(crate) blocks: U64,
    pub(crate) flags: U64,
    pub(crate) links: U32,
    pub(crate) child_index: U32,
    pub(crate) child_count: U32,
    pub(crate) name_len: U16,
    pub(crate) target_len: U16,
    pub(crate) device: U32,
    pub(crate) mtime_nanos: U32,
    pub(crate) mtime: U64,
    pub(crate) reserved: [u8; 8],
}
const _: () = assert!(size_of::<InodeRecord>() == 128);

bitflags::bitflags! {
    /// `flags` of an inode. Readers let unknown ones through.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) struct InodeFlags: u64 {
        const SYMLINK = 0x1;
        /// A further name of a file. Nobody relies on it.
        const HARDLINK = 0x2;
        /// Extended attributes follow.
        const XATTR = 0x4;
        /// Not all of the file is in chunks.
        const HAS_HOLE = 0x8;
        const _ = !0;
    }
}

/// `device` of what is no device.
pub(crate) const NO_DEVICE: u32 = u32::MAX;
/// Name of the root.
pub(crate) const ROOT_NAME: &[u8] = b"/";
/// Number of the root.
pub(crate) const ROOT_NUMBER: u32 = 1;

/// What the extended blob table says of a blob, 64 bytes.
///
/// | offset | size | field |
/// |---|---|---|
/// | 0 | 4 | number of chunks |
/// | 4 | 4 | features |
/// | 8 | 8 | uncompressed size |
/// | 16 | 8 | compressed size |
/// | 24 | 40 | reserved |
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone)]
#[repr(C)]
pub(crate) struct ExtendedBlob {
    pub(crate) chunk_count: U32,
    pub(crate) features: U32,
    pub(crate) uncompressed_size: U64,
    pub(crate) compressed_size: U64,
    pub(crate) reserved: [u8; 40],
}
const _: () = assert!(size_of::<ExtendedBlob>() == 64);

/// Id of the blob that the bootstrap itself lies in.
pub(crate) const THIS_BLOB: &[u8] = &[b'x'; 64];
