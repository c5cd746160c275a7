//! Superblocks and tables: everything of a bootstrap but its metadata area.

use std::io;

use zerocopy::IntoBytes;
use zerocopy::little_endian::U32;

use super::WriteError;
use super::plan::Plan;
use crate::emit::Emit;
use crate::flags::ImageFlags;
use crate::record::ChunkRecord;
use crate::v6::blob;
use crate::v6::layout::{
    BLOCK, BlobEntry, BlockSize, COMPAT_RAFS_V6, DEVICE_SLOT, DEVICES_OFFSET, Device, ExtendedSuperblock,
    FLAT_ALIGNMENT, INCOMPAT, MAGIC, ROOT_NID, Superblock,
};
use crate::{Blob, BlobFeatures, BlobName, Cipher, Image};

/// Where everything lies, in bytes from the start of the bootstrap.
pub(super) struct Frame {
    pub(super) blob_table: u64,
    /// Entries of the prefetch table, which follows the blob table.
    prefetch: Vec<u32>,
    /// Start of the metadata area.
    pub(super) area: u64,
    pub(super) chunk_table: u64,
    pub(super) end: u64,
    /// By blob: blocks of the decompressed blob, and its first block when everything lies on one device.
    devices: Vec<(u32, u32)>,
}

impl Frame {
    pub(super) fn new(image: &Image, plan: &Plan<'_>) -> Result<Self, WriteError> {
        let blobs = image.blobs.len() as u64;
        let devices_end = DEVICES_OFFSET + blobs * size_of::<Device>() as u64;
        let blob_table = devices_end.next_multiple_of(BLOCK);
        // Without blobs there is nothing to fetch, and the area starts with the block of the superblock.
        let prefetch = if blobs == 0 { Vec::new() } else { prefetch(image, plan)? };
        let tables_end =
            blob_table + blobs * size_of::<BlobEntry>() as u64 + size_of_val(prefetch.as_slice()) as u64;
        let area = if blobs == 0 { 0 } else { tables_end.next_multiple_of(BLOCK) };
        let chunk_table = (area + plan.end).next_multiple_of(BLOCK);
        let end = chunk_table + (plan.chunks.len() * size_of::<ChunkRecord>()) as u64;
        let end = end.next_multiple_of(BLOCK);
        let devices = devices(&image.blobs, plan.block, end)?;
        Ok(Self { blob_table, prefetch, area, chunk_table, end, devices })
    }

    /// Start of the metadata area in blocks.
    pub(super) fn area_block(&self, block: BlockSize) -> u32 {
        // At most 254 blobs and a prefetch table come before it.
        (self.area / block.bytes()) as u32
    }

    fn prefetch_offset(&self, image: &Image) -> u64 {
        match self.prefetch.is_empty() {
            true => 0,
            false => self.blob_table + (image.blobs.len() * size_of::<BlobEntry>()) as u64,
        }
    }
}

fn prefetch(image: &Image, plan: &Plan<'_>) -> Result<Vec<u32>, WriteError> {
    // Its size is a 32-bit number of bytes.
    if image.prefetch.len() > (u32::MAX as usize) / size_of::<U32>() {
        return Err(WriteError::TooLarge);
    }
    let slot = |id: &crate::InodeId| plan.node(*id).map(|node| node.slot).ok_or(WriteError::PrefetchUnknown);
    image.prefetch.iter().map(slot).collect()
}

/// Blocks of every blob, and where it lies if the blobs follow a bootstrap of `end` bytes on one device. A bootstrap that
/// lies in its own blob cannot be put in front of it: such a blob is mapped nowhere.
fn devices(blobs: &[Blob], block: BlockSize, end: u64) -> Result<Vec<(u32, u32)>, WriteError> {
    let blocks = |bytes: u64| u32::try_from(bytes / block.bytes()).map_err(|_| WriteError::TooLarge);
    let mut position = end;
    let place = |blob: &Blob| {
        let start = position.next_multiple_of(FLAT_ALIGNMENT);
        position = start + blob.uncompressed_size;
        // The end must be addressable too; so then is the sum of all blobs.
        blocks(position)?;
        let mapped = if blob.name == BlobName::ThisBlob { 0 } else { blocks(start)? };
        Ok((blocks(blob.uncompressed_size)?, mapped))
    };
    blobs.iter().map(place).collect()
}

pub(super) fn emit_superblocks(
    image: &Image,
    plan: &Plan<'_>,
    frame: &Frame,
    out: &mut dyn Emit,
) -> io::Result<()> {
    let superblock = Superblock {
        magic: MAGIC.into(),
        checksum: 0.into(),
        feature_compat: COMPAT_RAFS_V6.into(),
        block_bits: plan.block.bits,
        extension_slots: 0,
        root_nid: ROOT_NID.into(),
        inos: plan.names.into(),
        build_time: 0.into(),
        build_time_nanos: 0.into(),
        blocks: frame.devices.iter().map(|(blocks, _)| blocks).sum::<u32>().into(),
        meta_block: frame.area_block(plan.block).into(),
        xattr_block: 0.into(),
        uuid: [0; 16],
        volume_name: [0; 16],
        feature_incompat: INCOMPAT.into(),
        compression: 0.into(),
        // At most 254.
        extra_devices: (image.blobs.len() as u16).into(),
        device_slot: DEVICE_SLOT.into(),
        reserved: [0; 38],
    };
    let extended = ExtendedSuperblock {
        flags: flags(image, plan).bits().into(),
        blob_table_offset: frame.blob_table.into(),
        blob_table_size: ((image.blobs.len() * size_of::<BlobEntry>()) as u32).into(),
        chunk_size: image.chunk_size.bytes().into(),
        chunk_table_offset: frame.chunk_table.into(),
        chunk_table_size: ((plan.chunks.len() * size_of::<ChunkRecord>()) as u64).into(),
        prefetch_table_offset: frame.prefetch_offset(image).into(),
        prefetch_table_size: (size_of_val(frame.prefetch.as_slice()) as u32).into(),
        reserved: [0; 204],
    };
    out.put(superblock.as_bytes())?;
    out.put(extended.as_bytes())
}

fn flags(image: &Image, plan: &Plan<'_>) -> ImageFlags {
    let all_inlined =
        image.blobs.iter().all(|blob| blob.features.contains(BlobFeatures::INLINED_CHUNK_DIGEST));
    let encrypted = image.blobs.iter().any(|blob| blob.cipher != Cipher::None);
    let mut flags = ImageFlags::of(image.compressor, image.digester) | ImageFlags::EXPLICIT_UID_GID;
    flags.set(ImageFlags::HAS_XATTR, plan.has_xattrs);
    flags.set(ImageFlags::INLINED_CHUNK_DIGEST, all_inlined);
    flags.set(ImageFlags::TARFS_MODE, image.tarfs);
    flags.set(ImageFlags::ENCRYPTION_AES_128_XTS, encrypted);
    flags
}

pub(super) fn emit_devices(image: &Image, frame: &Frame, out: &mut dyn Emit) -> io::Result<()> {
    image.blobs.iter().zip(&frame.devices).try_for_each(|(blob, &(blocks, mapped))| {
        let device = Device {
            id: blob::id_bytes(blob.name),
            blocks: blocks.into(),
            mapped_block: mapped.into(),
            reserved: [0; 56],
        };
        out.put(device.as_bytes())
    })
}

/// The blob table and the prefetch table behind it.
pub(super) fn emit_blobs(image: &Image, frame: &Frame, out: &mut dyn Emit) -> io::Result<()> {
    for (index, blob) in (0..).zip(&image.blobs) {
        out.put(blob::entry(blob, index, image.chunk_size).as_bytes())?;
    }
    frame.prefetch.iter().try_for_each(|nid| out.put(U32::new(*nid).as_bytes()))
}

pub(super) fn emit_chunks(plan: &Plan<'_>, out: &mut dyn Emit) -> io::Result<()> {
    plan.chunks.iter().try_for_each(|(at, chunk, file_offset)| {
        out.put(ChunkRecord::new(chunk, at.blob, at.index, file_offset).as_bytes())
    })
}

/// Checks what readers demand of blobs.
pub(super) fn check_blobs(image: &Image) -> Result<(), WriteError> {
    let blobs = image.blobs.as_slice();
    let block = BlockSize::of(image.tarfs);
    if blobs.len() > crate::limits::MAX_BLOBS {
        return Err(WriteError::TooManyBlobs { count: blobs.len() });
    }
    for (index, blob) in blobs.iter().enumerate() {
        blob::check(blob, &blobs[..index], block)
            .map_err(|problem| WriteError::Blob { blob: index, problem })?;
    }
    Ok(())
}
