//! Superblocks and the places of the tables.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use super::ReadError;
use crate::flags::ImageFlags;
use crate::input::{Bytes, Table, overlap};
use crate::record::ChunkRecord;
use crate::v6::layout::{
    BLOCK, BlobEntry, BlockSize, COMPAT_RAFS_V6, DEVICE_SLOT, DEVICES_OFFSET, Device, ExtendedSuperblock,
    INCOMPAT, MAGIC, SUPERBLOCK_OFFSET, Superblock,
};
use crate::{ChunkSize, Compressor, Digester, limits};

const EXTENDED_OFFSET: u64 = SUPERBLOCK_OFFSET + size_of::<Superblock>() as u64;

/// What the superblocks say, checked.
#[derive(Debug, Clone)]
pub(crate) struct Super {
    pub(crate) root_nid: u64,
    pub(crate) block: BlockSize,
    /// Start of the metadata area.
    pub(crate) area: u64,
    pub(crate) flags: ImageFlags,
    pub(crate) compressor: Compressor,
    pub(crate) digester: Digester,
    pub(crate) chunk_size: ChunkSize,
    pub(crate) devices: Table,
    pub(crate) blobs: Table,
    pub(crate) chunks: Table,
    pub(crate) prefetch: Table,
}

impl Super {
    /// Whether the blobs are plain tars.
    pub(super) fn is_tarfs(&self) -> bool {
        self.flags.contains(ImageFlags::TARFS_MODE)
    }

    pub(super) fn read(bytes: Bytes<'_>) -> Result<Self, ReadError> {
        let size = bytes.len();
        if size < BLOCK || !size.is_multiple_of(BLOCK) {
            return Err(ReadError::Size { size });
        }
        let too_short = || ReadError::Size { size };
        let superblock: Superblock = bytes.read(SUPERBLOCK_OFFSET).ok_or_else(too_short)?;
        let extended: ExtendedSuperblock = bytes.read(EXTENDED_OFFSET).ok_or_else(too_short)?;
        check_superblock(&superblock, size)?;
        let bits = extended.flags.get();
        let bad_flags = || ReadError::Flags { offset: EXTENDED_OFFSET, bits };
        let flags = ImageFlags::from_bits(bits).ok_or_else(bad_flags)?;
        let block = BlockSize { bits: superblock.block_bits };
        if block != BlockSize::of(flags.contains(ImageFlags::TARFS_MODE)) {
            return Err(bad_flags());
        }
        let blob_count = u64::from(superblock.extra_devices.get());
        let found = Self {
            root_nid: superblock.root_nid.get().into(),
            block,
            area: u64::from(superblock.meta_block.get()).saturating_mul(block.bytes()),
            flags,
            compressor: flags.compressor().ok_or_else(bad_flags)?,
            digester: flags.digester().ok_or_else(bad_flags)?,
            chunk_size: ChunkSize::new(extended.chunk_size.get().into())
                .map_err(|source| ReadError::ChunkSize { offset: EXTENDED_OFFSET, source })?,
            devices: Table {
                name: "device table",
                offset: DEVICES_OFFSET,
                size: blob_count.saturating_mul(size_of::<Device>() as u64),
            },
            blobs: Table {
                name: "blob table",
                offset: extended.blob_table_offset.get(),
                size: extended.blob_table_size.get().into(),
            },
            chunks: Table {
                name: "chunk table",
                offset: extended.chunk_table_offset.get(),
                size: extended.chunk_table_size.get(),
            },
            prefetch: Table {
                name: "prefetch table",
                offset: extended.prefetch_table_offset.get(),
                size: extended.prefetch_table_size.get().into(),
            },
        };
        found.check_tables(blob_count, size)?;
        Ok(found)
    }

    fn check_tables(&self, blob_count: u64, file_size: u64) -> Result<(), ReadError> {
        let blobs_size = blob_count.saturating_mul(size_of::<BlobEntry>() as u64);
        // An empty blob table has a place all the same.
        let blobs_fit = self.blobs.size == blobs_size && self.blobs.offset.is_multiple_of(BLOCK);
        if !blobs_fit || self.blobs.offset < BLOCK || self.blobs.offset > file_size {
            return Err(misplaced(&self.blobs));
        }
        let chunk_size = size_of::<ChunkRecord>() as u64;
        if self.chunks.size != 0
            && !(self.chunks.size.is_multiple_of(chunk_size) && self.chunks.offset.is_multiple_of(BLOCK))
        {
            return Err(misplaced(&self.chunks));
        }
        if !(self.prefetch.size.is_multiple_of(4) && self.prefetch.offset.is_multiple_of(8)) {
            return Err(misplaced(&self.prefetch));
        }
        let tables = [self.blobs, self.chunks, self.prefetch];
        let mut tables: Vec<Table> = tables.into_iter().filter(|table| table.size != 0).collect();
        if let Some(table) = tables.iter().find(|table| table.offset < BLOCK) {
            return Err(misplaced(table));
        }
        tables.push(self.devices);
        if let Some(table) = tables.iter().find(|table| table.end().is_none_or(|end| end > file_size)) {
            return Err(misplaced(table));
        }
        match overlap(&mut tables) {
            Some((Table { name, .. }, other)) => {
                Err(ReadError::TablesOverlap { table: name, other: other.name, offset: other.offset })
            }
            None => Ok(()),
        }
    }
}

fn misplaced(table: &Table) -> ReadError {
    ReadError::Table { table: table.name, offset: table.offset, size: table.size }
}

fn check_superblock(found: &Superblock, file_size: u64) -> Result<(), ReadError> {
    let extra_devices = found.extra_devices.get();
    let block = BlockSize { bits: found.block_bits };
    let block_fits = block == BlockSize::PAGE || block == BlockSize::SECTOR;
    let area = if block_fits { u64::from(found.meta_block.get()).saturating_mul(block.bytes()) } else { 0 };
    // An image without blobs once had 4096 in its number of blocks.
    let blocks_fit = extra_devices != 0 || [0, 4096].contains(&found.blocks.get());
    let checks: [(&'static str, u64, bool); 13] = [
        ("magic", found.magic.get().into(), found.magic.get() == MAGIC),
        ("checksum", found.checksum.get().into(), found.checksum.get() == 0),
        (
            ReadError::MARK,
            found.feature_compat.get().into(),
            found.feature_compat.get() & COMPAT_RAFS_V6 != 0,
        ),
        ("block size", found.block_bits.into(), block_fits),
        ("number of extensions", found.extension_slots.into(), found.extension_slots == 0),
        ("root", found.root_nid.get().into(), found.root_nid.get() != 0),
        ("number of names", found.inos.get(), found.inos.get() != 0),
        ("number of blocks", found.blocks.get().into(), blocks_fit),
        ("metadata area", area, area <= file_size),
        ("shared attributes", found.xattr_block.get().into(), found.xattr_block.get() == 0),
        (
            "feature_incompat",
            found.feature_incompat.get().into(),
            found.feature_incompat.get() == INCOMPAT && found.compression.get() == 0,
        ),
        ("number of blobs", extra_devices.into(), usize::from(extra_devices) <= limits::MAX_BLOBS),
        ("device table", found.device_slot.get().into(), found.device_slot.get() == DEVICE_SLOT),
    ];
    match checks.into_iter().find(|(.., fine)| !fine) {
        Some((field, value, _)) => Err(ReadError::Superblock { field, offset: SUPERBLOCK_OFFSET, value }),
        None => Ok(()),
    }
}
