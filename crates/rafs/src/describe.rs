//! What a bootstrap says of itself besides files and blobs: its version, its flags, the places of its tables.

use crate::{FsVersion, Image, ParseError, v5, v6};

/// The frame of a bootstrap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Version of the format.
    pub version: FsVersion,
    /// Names of the superblock's flags, in lower case, in the order of their bits.
    pub flags: Vec<String>,
    /// The tables that are there.
    pub tables: Vec<Place>,
}

/// A part of a bootstrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Name of the table.
    pub name: &'static str,
    /// Offset in the bootstrap in bytes.
    pub offset: u64,
    /// Length in bytes.
    pub size: u64,
}

/// Reads a bootstrap of either version, with its frame.
pub fn describe(bytes: &[u8]) -> Result<(Description, Image), ParseError> {
    let version = FsVersion::detect(bytes).ok_or(ParseError::Unknown)?;
    let (image, flags, tables) = match version {
        FsVersion::V5 => {
            let v5::Reading { image, superblock, .. } = v5::read(bytes)?;
            (image, superblock.flags, superblock.tables().collect::<Vec<_>>())
        }
        FsVersion::V6 => {
            let v6::Reading { image, superblock, .. } = v6::read(bytes)?;
            let tables = [superblock.devices, superblock.blobs, superblock.prefetch, superblock.chunks];
            (image, superblock.flags, tables.to_vec())
        }
    };
    let flags = flags.iter_names().map(|(name, _)| name.to_lowercase()).collect();
    let tables = tables.iter().filter(|table| table.size != 0);
    let tables = tables.map(|table| Place { name: table.name, offset: table.offset, size: table.size });
    Ok((Description { version, flags, tables: tables.collect() }, image))
}
