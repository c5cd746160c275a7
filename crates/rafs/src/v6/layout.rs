//! The structures of a v6 bootstrap as they lie on disk.
//!
//! ```text
//! 0         zeros
//! 1024      EROFS superblock          Superblock
//! 1152      RAFS superblock           ExtendedSuperblock
//! 1408      device table              Device × blobs
//! T         blob table                BlobEntry × blobs      T: the next multiple of 4096
//!           prefetch table            u32 × entries
//! M         one block of zeros        so that no inode has number 0; M: the next multiple of 4096, 0 without blobs
//! M + 4096  inodes, directories, symbolic links
//! C         chunk table               ChunkRecord × chunks   C: the next multiple of 4096
//! ```
//!
//! Integers are little-endian, and nothing here has an alignment of its own.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Size of a block in bytes.
pub(crate) const BLOCK: u64 = 4096;

/// Unit of addresses in inodes and of the placement of content: a [`BLOCK`], or a sector of a tar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockSize {
    /// log₂ of the bytes.
    pub(crate) bits: u8,
}

impl BlockSize {
    /// That of every image whose blobs hold chunks of their own: 4096.
    pub(crate) const PAGE: Self = Self { bits: 12 };
    /// That of tarfs: 512.
    pub(crate) const SECTOR: Self = Self { bits: 9 };

    /// That of an image, by whether its blobs are tars.
    pub(crate) const fn of(tarfs: bool) -> Self {
        if tarfs { Self::SECTOR } else { Self::PAGE }
    }

    /// In bytes.
    pub(crate) const fn bytes(self) -> u64 {
        1 << self.bits
    }

    /// How far `offset` lies in its block.
    pub(crate) const fn within(self, offset: u64) -> u64 {
        offset % self.bytes()
    }

    /// In bytes, as lengths of slices are counted.
    pub(crate) const fn len(self) -> usize {
        1 << self.bits
    }
}
/// Inodes start at multiples of 32 bytes; their number counts these slots from the start of the metadata area.
pub(crate) const SLOT: u64 = 32;
/// Where the superblock lies.
pub(crate) const SUPERBLOCK_OFFSET: u64 = 1024;
/// Where the device table lies.
pub(crate) const DEVICES_OFFSET: u64 = 1408;
/// Number of the root directory in everything that is written here: the first slot after the unused block.
pub(crate) const ROOT_NID: u16 = 128;
/// Sequence number of a root that no entry of the source describes.
pub(crate) const ROOT_NUMBER: u32 = 1;
/// Alignment of blobs when bootstrap and blobs are laid end to end on one block device.
pub(crate) const FLAT_ALIGNMENT: u64 = 0x8_0000;

/// `magic` of a [`Superblock`].
pub(crate) const MAGIC: u32 = 0xe0f5_e1e2;
/// Bit of `feature_compat` that tells RAFS from other EROFS.
pub(crate) const COMPAT_RAFS_V6: u32 = 0x4000_0000;
/// `feature_incompat`: chunked files and a device table, exactly.
pub(crate) const INCOMPAT: u32 = 0xc;

/// The EROFS superblock, 128 bytes.
///
/// | offset | size | field | value |
/// |---|---|---|---|
/// | 0 | 4 | magic | `0xe0f5e1e2` |
/// | 4 | 4 | checksum | 0 |
/// | 8 | 4 | feature_compat | `0x40000000` |
/// | 12 | 1 | log₂ of the block size | 12 |
/// | 13 | 1 | extension slots | 0 |
/// | 14 | 2 | root | 128 |
/// | 16 | 8 | inos | number of names, the root's included |
/// | 24 | 12 | build time | 0 |
/// | 36 | 4 | blocks | of all decompressed blobs |
/// | 40 | 4 | meta_blkaddr | start of the metadata area in blocks |
/// | 44 | 4 | xattr_blkaddr | 0 |
/// | 48 | 32 | uuid, volume name | 0 |
/// | 80 | 4 | feature_incompat | 12 |
/// | 84 | 2 | compression configuration | 0 |
/// | 86 | 2 | extra_devices | number of blobs |
/// | 88 | 2 | device table | 1408 / 128 |
/// | 90 | 38 | reserved | 0 |
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone)]
#[repr(C)]
pub(crate) struct Superblock {
    pub(crate) magic: U32,
    pub(crate) checksum: U32,
    pub(crate) feature_compat: U32,
    pub(crate) block_bits: u8,
    pub(crate) extension_slots: u8,
    pub(crate) root_nid: U16,
    pub(crate) inos: U64,
    pub(crate) build_time: U64,
    pub(crate) build_time_nanos: U32,
    pub(crate) blocks: U32,
    pub(crate) meta_block: U32,
    pub(crate) xattr_block: U32,
    pub(crate) uuid: [u8; 16],
    pub(crate) volume_name: [u8; 16],
    pub(crate) feature_incompat: U32,
    pub(crate) compression: U16,
    pub(crate) extra_devices: U16,
    pub(crate) device_slot: U16,
    pub(crate) reserved: [u8; 38],
}
const _: () = assert!(size_of::<Superblock>() == 128);
/// `device_slot` of every bootstrap.
pub(crate) const DEVICE_SLOT: u16 = 11;
const _: () = assert!(DEVICE_SLOT as u64 * size_of::<Device>() as u64 == DEVICES_OFFSET);

/// What RAFS adds to the superblock, 256 bytes.
///
/// | offset | size | field |
/// |---|---|---|
/// | 0 | 8 | flags |
/// | 8 | 8 | offset of the blob table |
/// | 16 | 4 | size of the blob table |
/// | 20 | 4 | chunk size |
/// | 24 | 8 | offset of the chunk table |
/// | 32 | 8 | size of the chunk table |
/// | 40 | 8 | offset of the prefetch table, 0 when there is none |
/// | 48 | 4 | size of the prefetch table |
/// | 52 | 204 | reserved |
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone)]
#[repr(C)]
pub(crate) struct ExtendedSuperblock {
    pub(crate) flags: U64,
    pub(crate) blob_table_offset: U64,
    pub(crate) blob_table_size: U32,
    pub(crate) chunk_size: U32,
    pub(crate) chunk_table_offset: U64,
    pub(crate) chunk_table_size: U64,
    pub(crate) prefetch_table_offset: U64,
    pub(crate) prefetch_table_size: U32,
    pub(crate) reserved: [u8; 204],
}
const _: () = assert!(size_of::<ExtendedSuperblock>() == 256);
const _: () = assert!(
    SUPERBLOCK_OFFSET as usize + size_of::<Superblock>() + size_of::<ExtendedSuperblock>()
        == DEVICES_OFFSET as usize
);

/// A slot of the device table, 128 bytes.
///
/// | offset | size | field |
/// |---|---|---|
/// | 0 | 64 | id of the blob |
/// | 64 | 4 | blocks of the decompressed blob |
/// | 68 | 4 | first block when everything lies on one device |
/// | 72 | 56 | reserved |
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone)]
#[repr(C)]
pub(crate) struct Device {
    pub(crate) id: [u8; 64],
    pub(crate) blocks: U32,
    pub(crate) mapped_block: U32,
    pub(crate) reserved: [u8; 56],
}
const _: () = assert!(size_of::<Device>() == 128);

/// An entry of the blob table, 256 bytes.
///
/// | offset | size | field |
/// |---|---|---|
/// | 0 | 64 | id, or `x` 64 times for the blob that the bootstrap lies in |
/// | 64 | 4 | position in the table |
/// | 68 | 4 | chunk size |
/// | 72 | 4 | number of chunks |
/// | 76 | 4 | compressor |
/// | 80 | 4 | digester |
/// | 84 | 4 | features |
/// | 88 | 8 | compressed size |
/// | 96 | 8 | uncompressed size |
/// | 104 | 4 | size of the table of contents |
/// | 108 | 4 | compressor of the chunk information |
/// | 112 | 8 | offset of the chunk information |
/// | 120 | 8 | its stored size |
/// | 128 | 8 | its plain size |
/// | 136 | 32 | digest of the table of contents |
/// | 168 | 32 | digest of a separate metadata blob, or the cipher's key |
/// | 200 | 8 | size of a separate metadata blob, or the first half of the cipher's IV |
/// | 208 | 8 | second half of the cipher's IV |
/// | 216 | 4 | cipher |
/// | 220 | 36 | reserved |
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone)]
#[repr(C)]
pub(crate) struct BlobEntry {
    pub(crate) id: [u8; 64],
    pub(crate) index: U32,
    pub(crate) chunk_size: U32,
    pub(crate) chunk_count: U32,
    pub(crate) compressor: U32,
    pub(crate) digester: U32,
    pub(crate) features: U32,
    pub(crate) compressed_size: U64,
    pub(crate) uncompressed_size: U64,
    pub(crate) toc_size: U32,
    pub(crate) ci_compressor: U32,
    pub(crate) ci_offset: U64,
    pub(crate) ci_compressed_size: U64,
    pub(crate) ci_uncompressed_size: U64,
    pub(crate) toc_digest: [u8; 32],
    pub(crate) meta_digest: [u8; 32],
    pub(crate) meta_size: [u8; 8],
    pub(crate) iv_tail: [u8; 8],
    pub(crate) cipher: U32,
    pub(crate) reserved: [u8; 36],
}
const _: () = assert!(size_of::<BlobEntry>() == 256);
/// `id` of the blob that the bootstrap itself lies in.
pub(crate) const THIS_BLOB: [u8; 64] = [b'x'; 64];
/// `cipher` of an entry: AES-128-XTS.
pub(crate) const CIPHER_AES_128_XTS: u32 = 1;

/// An inode in its long form, 64 bytes: the only one that is written.
///
/// | offset | size | field |
/// |---|---|---|
/// | 0 | 2 | format: bit 0 set, bits 1–3 the [`Layout`] |
/// | 2 | 2 | xattr count: 0, or 1 + (bytes − 12) / 4 |
/// | 4 | 2 | mode with the type |
/// | 6 | 2 | reserved |
/// | 8 | 8 | size |
/// | 16 | 4 | block address, chunk format or device number |
/// | 20 | 4 | sequence number |
/// | 24 | 4 | uid |
/// | 28 | 4 | gid |
/// | 32 | 8 | mtime, seconds |
/// | 40 | 4 | mtime, nanoseconds |
/// | 44 | 4 | links |
/// | 48 | 16 | reserved |
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone)]
#[repr(C)]
pub(crate) struct ExtendedInode {
    pub(crate) format: U16,
    pub(crate) xattr_count: U16,
    pub(crate) mode: U16,
    pub(crate) reserved: U16,
    pub(crate) size: U64,
    pub(crate) place: U32,
    pub(crate) number: U32,
    pub(crate) uid: U32,
    pub(crate) gid: U32,
    pub(crate) mtime: U64,
    pub(crate) mtime_nanos: U32,
    pub(crate) links: U32,
    pub(crate) reserved2: [u8; 16],
}
const _: () = assert!(size_of::<ExtendedInode>() == 64);

/// An inode in its short form, 32 bytes: read, never written.
///
/// | offset | size | field |
/// |---|---|---|
/// | 0 | 2 | format: bit 0 clear, bits 1–3 the [`Layout`] |
/// | 2 | 2 | xattr count |
/// | 4 | 2 | mode with the type |
/// | 6 | 2 | links |
/// | 8 | 4 | size |
/// | 12 | 4 | reserved |
/// | 16 | 4 | block address, chunk format or device number |
/// | 20 | 4 | sequence number |
/// | 24 | 2 | uid |
/// | 26 | 2 | gid |
/// | 28 | 4 | reserved |
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone)]
#[repr(C)]
pub(crate) struct CompactInode {
    pub(crate) format: U16,
    pub(crate) xattr_count: U16,
    pub(crate) mode: U16,
    pub(crate) links: U16,
    pub(crate) size: U32,
    pub(crate) reserved: U32,
    pub(crate) place: U32,
    pub(crate) number: U32,
    pub(crate) uid: U16,
    pub(crate) gid: U16,
    pub(crate) reserved2: U32,
}
const _: () = assert!(size_of::<CompactInode>() == 32);

/// Where the content of an inode lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// In blocks from `place` on.
    FlatPlain,
    /// Full blocks from `place` on, the rest right behind the inode and its extended attributes.
    FlatInline,
    /// In chunks of blobs, listed behind the inode.
    ChunkBased,
}

impl Layout {
    /// The `format` field of a long inode.
    pub(crate) const fn format(self) -> u16 {
        match self {
            Self::FlatPlain => 0x1,
            Self::FlatInline => 0x5,
            Self::ChunkBased => 0x9,
        }
    }

    /// The layout that a `format` field names, whatever its bit 0 says.
    pub(crate) const fn of_format(format: u16) -> Option<Self> {
        match format | 1 {
            0x1 => Some(Self::FlatPlain),
            0x5 => Some(Self::FlatInline),
            0x9 => Some(Self::ChunkBased),
            _ => None,
        }
    }
}

/// Chunk format in `place` of a regular file: entries of 8 bytes follow; bits 0–4 are log₂(chunk) − 12.
pub(crate) const CHUNK_INDEXES: u32 = 0x20;
/// The bits of `place` that say something about chunks.
pub(crate) const CHUNK_FORMAT_MASK: u32 = 0xffff;

/// Before the extended attributes of an inode, 12 bytes: a name filter and the number of shared attributes, both 0.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Default)]
#[repr(C)]
pub(crate) struct XattrHeader {
    pub(crate) name_filter: U32,
    pub(crate) shared_count: u8,
    pub(crate) reserved: [u8; 7],
}
const _: () = assert!(size_of::<XattrHeader>() == 12);

/// Before one extended attribute, 4 bytes. The name without its prefix and the value follow, then zeros up to a
/// multiple of 4.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone)]
#[repr(C)]
pub(crate) struct XattrEntry {
    pub(crate) name_len: u8,
    pub(crate) name_index: u8,
    pub(crate) value_size: U16,
}
const _: () = assert!(size_of::<XattrEntry>() == 4);

/// Namespaces of extended attributes: `name_index`, prefix, and whether a suffix follows.
pub(crate) const XATTR_PREFIXES: [(u8, &[u8], bool); 5] = [
    (1, b"user.", true),
    (2, b"system.posix_acl_access", false),
    (3, b"system.posix_acl_default", false),
    (4, b"trusted.", true),
    (6, b"security.", true),
];

/// An entry of a directory, 12 bytes. All entries of a block come first, then all their names.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone)]
#[repr(C)]
pub(crate) struct Dirent {
    pub(crate) nid: U64,
    pub(crate) name_offset: U16,
    pub(crate) file_type: u8,
    pub(crate) reserved: u8,
}
const _: () = assert!(size_of::<Dirent>() == 12);

/// A use of a chunk by a file, 8 bytes.
///
/// | offset | size | field |
/// |---|---|---|
/// | 0 | 2 | bits 0–15 of the chunk's number |
/// | 2 | 1 | position of the blob + 1 |
/// | 3 | 1 | bits 16–23 of the chunk's number |
/// | 4 | 4 | offset in the decompressed blob, in blocks |
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone)]
#[repr(C)]
pub(crate) struct ChunkIndex {
    pub(crate) number_low: U16,
    pub(crate) device: u8,
    pub(crate) number_high: u8,
    pub(crate) block: U32,
}
const _: () = assert!(size_of::<ChunkIndex>() == 8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_have_one_number_each() {
        for layout in [Layout::FlatPlain, Layout::FlatInline, Layout::ChunkBased] {
            assert_eq!(Layout::of_format(layout.format()), Some(layout));
            assert_eq!(Layout::of_format(layout.format() & !1), Some(layout));
        }
        for bad in [0x2, 0x3, 0x7, 0xb, 0x11, 0x8001] {
            assert_eq!(Layout::of_format(bad), None, "{bad:#x}");
        }
    }
}
