//! The flags of a superblock: one 64-bit set, the same in every version of the format.

use bitflags::bitflags;

use crate::{Compressor, Digester};

bitflags! {
    /// Superblock flags.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) struct ImageFlags: u64 {
        const COMPRESSION_NONE = 0x1;
        const COMPRESSION_LZ4 = 0x2;
        const HASH_BLAKE3 = 0x4;
        const HASH_SHA256 = 0x8;
        /// Owners are meaningful. Without it a client reports its own.
        const EXPLICIT_UID_GID = 0x10;
        /// Some inode has extended attributes.
        const HAS_XATTR = 0x20;
        const COMPRESSION_GZIP = 0x40;
        const COMPRESSION_ZSTD = 0x80;
        /// Every blob holds the digests of its chunks.
        const INLINED_CHUNK_DIGEST = 0x100;
        /// Blocks of 512 bytes; blobs are plain tars.
        const TARFS_MODE = 0x200;
        /// Never written here: builders before encryption existed do without it, and no reader asks for it.
        const ENCRYPTION_NONE = 0x0100_0000;
        const ENCRYPTION_AES_128_XTS = 0x0200_0000;
        /// Bits that readers accept and nobody sets.
        const PRESERVED = 0xfc00_0000;
    }
}

const COMPRESSION: [(ImageFlags, Compressor); 4] = [
    (ImageFlags::COMPRESSION_NONE, Compressor::None),
    (ImageFlags::COMPRESSION_LZ4, Compressor::Lz4Block),
    (ImageFlags::COMPRESSION_GZIP, Compressor::Gzip),
    (ImageFlags::COMPRESSION_ZSTD, Compressor::Zstd),
];
const HASH: [(ImageFlags, Digester); 2] =
    [(ImageFlags::HASH_BLAKE3, Digester::Blake3), (ImageFlags::HASH_SHA256, Digester::Sha256)];

impl ImageFlags {
    /// The bits that say this.
    pub(crate) fn of(compressor: Compressor, digester: Digester) -> Self {
        let compression = COMPRESSION.iter().filter(|(_, is)| *is == compressor).map(|(bit, _)| *bit);
        let hash = HASH.iter().filter(|(_, is)| *is == digester).map(|(bit, _)| *bit);
        compression.chain(hash).collect()
    }

    /// The compressor, if exactly one is named.
    pub(crate) fn compressor(self) -> Option<Compressor> {
        only(COMPRESSION, self)
    }

    /// The digester, if exactly one is named.
    pub(crate) fn digester(self) -> Option<Digester> {
        only(HASH, self)
    }
}

fn only<T, const N: usize>(table: [(ImageFlags, T); N], flags: ImageFlags) -> Option<T> {
    let mut named = table.into_iter().filter(|(bit, _)| flags.contains(*bit));
    let (_, first) = named.next()?;
    named.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_of_each() {
        for (_, compressor) in COMPRESSION {
            for (_, digester) in HASH {
                let flags = ImageFlags::of(compressor, digester) | ImageFlags::HAS_XATTR;
                assert_eq!(flags.compressor(), Some(compressor));
                assert_eq!(flags.digester(), Some(digester));
                assert_eq!(flags.bits().count_ones(), 3);
            }
        }
        let both = ImageFlags::COMPRESSION_NONE | ImageFlags::COMPRESSION_ZSTD;
        assert_eq!(both.compressor(), None);
        assert_eq!(both.digester(), None);
    }
}
