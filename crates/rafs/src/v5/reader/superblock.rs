//! The superblock and the places of the tables.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use zerocopy::little_endian::U32;

use super::ReadError;
use crate::flags::ImageFlags;
use crate::input::{Bytes, Table, overlap};
use crate::v5::layout::{ALIGNMENT, ExtendedBlob, MAGIC, SUPERBLOCK_LEN, Superblock, VERSION};
use crate::{ChunkSize, Compressor, Digester, limits};

/// Flags that only v6 has.
const ONLY_V6: ImageFlags =
    ImageFlags::INLINED_CHUNK_DIGEST.union(ImageFlags::TARFS_MODE).union(ImageFlags::ENCRYPTION_AES_128_XTS);

/// What the superblock says, checked.
#[derive(Debug, Clone)]
pub(crate) struct Super {
    pub(crate) flags: ImageFlags,
    pub(crate) compressor: Compressor,
    pub(crate) digester: Digester,
    pub(crate) chunk_size: ChunkSize,
    pub(crate) inodes: Table,
    pub(crate) prefetch: Table,
    pub(crate) blobs: Table,
    pub(crate) extended: Table,
}

impl Super {
    pub(super) fn read(bytes: Bytes<'_>) -> Result<Self, ReadError> {
        let size = bytes.len();
        let bad_size = ReadError::Size { size };
        if size <= SUPERBLOCK_LEN || size > limits::MAX_V5_BOOTSTRAP || !size.is_multiple_of(ALIGNMENT) {
            return Err(bad_size);
        }
        let superblock: Superblock = bytes.read(0).ok_or(bad_size)?;
        check_fields(&superblock)?;
        let bits = superblock.flags.get();
        let bad_flags = ReadError::Flags { bits };
        let flags = ImageFlags::from_bits(bits).ok_or(bad_flags.clone())?;
        if flags.intersects(ONLY_V6) {
            return Err(bad_flags);
        }
        let table = |name, offset: u64, entries: u32, entry: usize| {
            let size = u64::from(entries).saturating_mul(entry as u64);
            Table { name, offset, size }
        };
        let number = size_of::<U32>();
        let found = Self {
            flags,
            compressor: flags.compressor().ok_or(bad_flags.clone())?,
            digester: flags.digester().ok_or(bad_flags)?,
            chunk_size: ChunkSize::new(superblock.chunk_size.get().into())?,
            inodes: table(
                "inode table",
                superblock.inode_table_offset.get(),
                superblock.inode_table_entries.get(),
                number,
            ),
            prefetch: table(
                "prefetch table",
                superblock.prefetch_table_offset.get(),
                superblock.prefetch_table_entries.get(),
                number,
            ),
            blobs: table(
                "blob table",
                superblock.blob_table_offset.get(),
                superblock.blob_table_size.get(),
                1,
            ),
            extended: table(
                "extended blob table",
                superblock.extended_table_offset.get(),
                superblock.extended_table_entries.get(),
                size_of::<ExtendedBlob>(),
            ),
        };
        found.check_tables(size)?;
        Ok(found)
    }

    /// The tables that are not empty.
    pub(crate) fn tables(&self) -> impl Iterator<Item = Table> {
        [self.inodes, self.prefetch, self.blobs, self.extended].into_iter().filter(|table| table.size != 0)
    }

    fn check_tables(&self, file_size: u64) -> Result<(), ReadError> {
        for table in [self.inodes, self.prefetch, self.blobs, self.extended] {
            let inside = table.offset >= SUPERBLOCK_LEN
                && table.offset < file_size
                && table.end().is_some_and(|end| end <= file_size);
            // Empty ones have a place all the same, but for the two that need not exist.
            let need_not_exist =
                table.size == 0 && ["prefetch table", "extended blob table"].contains(&table.name);
            if !table.offset.is_multiple_of(ALIGNMENT) || !(inside || need_not_exist) {
                return Err(ReadError::Table { table: table.name, offset: table.offset, size: table.size });
            }
        }
        let mut tables: Vec<Table> = self.tables().collect();
        match overlap(&mut tables) {
            Some((Table { name, .. }, other)) => {
                Err(ReadError::TablesOverlap { table: name, other: other.name, offset: other.offset })
            }
            None => Ok(()),
        }
    }
}

fn check_fields(found: &Superblock) -> Result<(), ReadError> {
    let inodes = found.inodes.get();
    let checks: [(&'static str, u64, bool); 4] = [
        ("magic", found.magic.get().into(), found.magic.get() == MAGIC),
        ("version", found.version.get().into(), found.version.get() == VERSION),
        ("size of the superblock", found.size.get().into(), u64::from(found.size.get()) == SUPERBLOCK_LEN),
        (
            "number of inodes",
            inodes,
            // Some builders do not count the root.
            inodes <= found.inode_table_entries.get().into(),
        ),
    ];
    match checks.into_iter().find(|(.., fine)| !fine) {
        Some((field, value, _)) => Err(ReadError::Superblock { field, value }),
        None => Ok(()),
    }
}
