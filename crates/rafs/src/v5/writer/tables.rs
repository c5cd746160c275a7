//! Superblock and tables: everything of a bootstrap but its records.

use std::io;

use zerocopy::IntoBytes;
use zerocopy::little_endian::U32;

use super::WriteError;
use super::plan::Plan;
use crate::emit::{Emit, measure};
use crate::flags::ImageFlags;
use crate::v5::layout::{ALIGNMENT, ExtendedBlob, MAGIC, SUPERBLOCK_LEN, Superblock, VERSION};
use crate::v5::{BlobProblem, blob};
use crate::{Image, limits};

/// Where everything lies, in bytes from the start of the bootstrap.
pub(super) struct Frame {
    prefetch: Vec<u32>,
    pub(super) prefetch_table: u64,
    pub(super) blob_table: u64,
    pub(super) extended_table: u64,
    /// Slots of the inode table: by position − 1, where the record lies in units of 8.
    slots: Vec<u32>,
    pub(super) end: u64,
}

impl Frame {
    pub(super) fn new(image: &Image, plan: &Plan<'_>) -> Result<Self, WriteError> {
        let number = |id: &crate::InodeId| plan.number(*id).ok_or(WriteError::PrefetchUnknown);
        let prefetch = image.prefetch.iter().map(number).collect::<Result<Vec<u32>, _>>()?;
        let aligned = |len: usize| (len as u64).next_multiple_of(ALIGNMENT);
        let prefetch_table = SUPERBLOCK_LEN + aligned(plan.names.len() * size_of::<U32>());
        let blob_table = prefetch_table + aligned(size_of_val(prefetch.as_slice()));
        let extended_table = blob_table + measure(|out| emit_blobs(image, out))?;
        let mut end = extended_table + (image.blobs.len() * size_of::<ExtendedBlob>()) as u64;
        let mut slots = Vec::with_capacity(plan.names.len());
        for name in &plan.names {
            slots.push(u32::try_from(end / ALIGNMENT).map_err(|_| WriteError::TooLarge)?);
            end += name.length;
        }
        if end > limits::MAX_V5_BOOTSTRAP {
            return Err(WriteError::TooLarge);
        }
        Ok(Self { prefetch, prefetch_table, blob_table, extended_table, slots, end })
    }
}

pub(super) fn emit_superblock(
    image: &Image,
    plan: &Plan<'_>,
    frame: &Frame,
    out: &mut dyn Emit,
) -> io::Result<()> {
    let mut flags = ImageFlags::of(image.compressor, image.digester) | ImageFlags::EXPLICIT_UID_GID;
    flags.set(ImageFlags::HAS_XATTR, plan.has_xattrs);
    // Counts and sizes fit: everything together is at most 2 GiB.
    let superblock = Superblock {
        magic: MAGIC.into(),
        version: VERSION.into(),
        size: (SUPERBLOCK_LEN as u32).into(),
        chunk_size: image.chunk_size.bytes().into(),
        flags: flags.bits().into(),
        inodes: plan.inodes.into(),
        inode_table_offset: SUPERBLOCK_LEN.into(),
        prefetch_table_offset: frame.prefetch_table.into(),
        blob_table_offset: frame.blob_table.into(),
        inode_table_entries: (plan.names.len() as u32).into(),
        prefetch_table_entries: (frame.prefetch.len() as u32).into(),
        blob_table_size: ((frame.extended_table - frame.blob_table) as u32).into(),
        extended_table_entries: (image.blobs.len() as u32).into(),
        extended_table_offset: frame.extended_table.into(),
    };
    out.put(superblock.as_bytes())
}

pub(super) fn emit_inodes(frame: &Frame, out: &mut dyn Emit) -> io::Result<()> {
    frame.slots.iter().try_for_each(|slot| out.put(U32::new(*slot).as_bytes()))
}

pub(super) fn emit_prefetch(frame: &Frame, out: &mut dyn Emit) -> io::Result<()> {
    frame.prefetch.iter().try_for_each(|number| out.put(U32::new(*number).as_bytes()))
}

/// The blob table with its padding. A zero byte divides the ids; the padding may end the last one.
pub(super) fn emit_blobs(image: &Image, out: &mut dyn Emit) -> io::Result<()> {
    let mut length = 0;
    for (position, blob) in image.blobs.iter().enumerate() {
        let mut entry = vec![0; usize::from(position != 0)];
        // Offset and size of what to fetch first: nothing.
        entry.extend([0; 8]);
        entry.extend(blob::id_bytes(blob.name));
        out.put(&entry)?;
        length += entry.len() as u64;
    }
    out.zeros(length.next_multiple_of(ALIGNMENT) - length)
}

pub(super) fn emit_extended(image: &Image, out: &mut dyn Emit) -> io::Result<()> {
    image.blobs.iter().try_for_each(|blob| {
        let entry = ExtendedBlob {
            chunk_count: blob.chunk_count.into(),
            features: blob.features.bits().into(),
            uncompressed_size: blob.uncompressed_size.into(),
            compressed_size: blob.compressed_size.into(),
            reserved: [0; 40],
        };
        out.put(entry.as_bytes())
    })
}

/// Checks what readers demand of blobs, and that v5 can describe them.
pub(super) fn check_blobs(image: &Image) -> Result<(), WriteError> {
    let blobs = &image.blobs;
    if blobs.len() > limits::MAX_BLOBS {
        return Err(WriteError::TooManyBlobs { count: blobs.len() });
    }
    for (index, blob) in blobs.iter().enumerate() {
        let at = |problem| WriteError::Blob { blob: index, problem };
        blob::check(blob, &blobs[..index]).map_err(at)?;
        blob::check_features(blob).map_err(at)?;
        if blob.compressor != image.compressor {
            return Err(at(BlobProblem::Algorithm { what: "compressor" }));
        }
        if blob.digester != image.digester {
            return Err(at(BlobProblem::Algorithm { what: "digester" }));
        }
    }
    Ok(())
}
