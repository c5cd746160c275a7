//! The chunk record: 80 bytes that every version of the format shares.
//!
//! ```text
//! 0                               32     36    40         44           48        56        64        72    76    80
//! | digest                        | blob | flags| stored  | plain      | stored  | plain   | place   | in- | crc |
//! |                               |      |      | length  | length     | offset  | offset  | in file | dex | 32c |
//! ```

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::{Chunk, ChunkDigest, ChunkFlags};

/// | offset | size | field |
/// |---|---|---|
/// | 0 | 32 | digest of the plain bytes |
/// | 32 | 4 | index into the blob table |
/// | 36 | 4 | [`ChunkFlags`] |
/// | 40 | 4 | stored length |
/// | 44 | 4 | plain length |
/// | 48 | 8 | offset in the blob |
/// | 56 | 8 | offset in the decompressed blob |
/// | 64 | 8 | offset in a file that uses the chunk |
/// | 72 | 4 | number of the chunk in its blob |
/// | 76 | 4 | CRC-32C of the plain bytes, or 0 |
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy)]
#[repr(C)]
pub(crate) struct ChunkRecord {
    pub(crate) digest: [u8; 32],
    pub(crate) blob: U32,
    pub(crate) flags: U32,
    pub(crate) compressed_size: U32,
    pub(crate) uncompressed_size: U32,
    pub(crate) compressed_offset: U64,
    pub(crate) uncompressed_offset: U64,
    pub(crate) file_offset: U64,
    pub(crate) index: U32,
    pub(crate) crc32: U32,
}
const _: () = assert!(size_of::<ChunkRecord>() == 80);

impl ChunkRecord {
    pub(crate) fn new(chunk: &Chunk, blob: u16, index: u32, file_offset: u64) -> Self {
        Self {
            digest: chunk.digest.0,
            blob: u32::from(blob).into(),
            flags: chunk.flags.bits().into(),
            compressed_size: chunk.compressed_size.into(),
            uncompressed_size: chunk.uncompressed_size.into(),
            compressed_offset: chunk.compressed_offset.into(),
            uncompressed_offset: chunk.uncompressed_offset.into(),
            file_offset: file_offset.into(),
            index: index.into(),
            crc32: chunk.crc32.into(),
        }
    }

    /// What the record says of the chunk; `None` if it has flags that nobody defined.
    pub(crate) fn chunk(&self) -> Option<Chunk> {
        Some(Chunk {
            digest: ChunkDigest(self.digest),
            flags: ChunkFlags::from_bits(self.flags.get())?,
            compressed_size: self.compressed_size.get(),
            uncompressed_size: self.uncompressed_size.get(),
            compressed_offset: self.compressed_offset.get(),
            uncompressed_offset: self.uncompressed_offset.get(),
            crc32: self.crc32.get(),
        })
    }
}
