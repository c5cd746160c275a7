//! Batches: small chunks that are stored together, as one compressed item.
//!
//! ```text
//! payload of the chunk information
//! | entry 0 | entry 1 | entry 2 | …                     | context 0 | context 1 | …
//!      │ batch 0, offset 0  │ batch 0, offset n               40 bytes each
//!
//! context
//! 0               4              8                       40
//! | stored length | plain length | zeros                 |
//! ```
//!
//! Members of a batch are neighbours in number. Each entry says where the batch begins in the blob, and where the chunk
//! begins in the plain batch; the context tells the batch's lengths.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::MetaError;
use crate::limits;

/// Length of a context in bytes.
pub(super) const CONTEXT_LEN: usize = 40;

const STRUCTURE: &str = "batch table";

/// | offset | size | field |
/// |---|---|---|
/// | 0 | 4 | stored length |
/// | 4 | 4 | plain length |
/// | 8 | 32 | reserved |
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone)]
#[repr(C)]
struct Raw {
    compressed_size: U32,
    uncompressed_size: U32,
    reserved: [u8; 32],
}
const _: () = assert!(size_of::<Raw>() == CONTEXT_LEN);

/// Small chunks that are stored as one piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Batch {
    /// Place in the blob.
    pub compressed_offset: u64,
    /// Stored length in bytes.
    pub compressed_size: u32,
    /// Plain length of all members together in bytes. Equal lengths mean raw bytes.
    pub uncompressed_size: u32,
}

/// The place of a chunk in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InBatch {
    /// Number of the chunk.
    pub chunk: u32,
    /// Number of the batch.
    pub batch: u32,
    /// Where the chunk begins in the plain batch, in bytes.
    pub offset: u32,
}

/// The bytes of a table.
pub(super) fn write(batches: &[Batch], bytes: &mut Vec<u8>) {
    for batch in batches {
        let raw = Raw {
            compressed_size: batch.compressed_size.into(),
            uncompressed_size: batch.uncompressed_size.into(),
            reserved: [0; 32],
        };
        bytes.extend_from_slice(raw.as_bytes());
    }
}

/// Reads a table; where the batches begin is for the entries to tell. `most`: how many there can be.
pub(super) fn parse(bytes: &[u8], most: usize) -> Result<Vec<Batch>, MetaError> {
    let (raws, rest) = bytes.as_chunks::<CONTEXT_LEN>();
    if !rest.is_empty() {
        let (expected, actual) = (bytes.len().saturating_sub(rest.len()) as u64, bytes.len() as u64);
        return Err(MetaError::Length { structure: STRUCTURE, expected, actual });
    }
    if raws.len() > most {
        return Err(MetaError::TooMany { structure: STRUCTURE, count: raws.len() as u64, max: most as u64 });
    }
    let mut batches = Vec::with_capacity(raws.len());
    for (number, raw) in raws.iter().enumerate() {
        let raw: Raw = zerocopy::transmute!(*raw);
        let (stored, plain) = (raw.compressed_size.get(), raw.uncompressed_size.get());
        let offset = (number as u64).saturating_mul(CONTEXT_LEN as u64);
        let field = |field, at, value: u32| MetaError::Field {
            structure: STRUCTURE,
            offset: offset.saturating_add(at),
            field,
            value: value.into(),
        };
        if !(1..=limits::MAX_CHUNK_SIZE).contains(&plain) {
            return Err(field("plain length", 4, plain));
        }
        if !(1..=plain.max(SMALLEST_ENCRYPTED)).contains(&stored) {
            return Err(field("stored length", 0, stored));
        }
        batches.push(Batch { compressed_offset: 0, compressed_size: stored, uncompressed_size: plain });
    }
    Ok(batches)
}

/// What fewer than 16 bytes become when they are encrypted.
const SMALLEST_ENCRYPTED: u32 = 18;
