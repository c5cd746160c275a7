//! Chunks of a blob of RAFS v5 that no file refers to, and that no bootstrap therefore describes.
//!
//! ```text
//!   "NCCHUNK\0" │ version u32 │ number of records u32 │ record … in ascending order of chunk numbers
//!
//!           0        32       36              40             44               52                60
//!   record  │ digest │ number │ stored length │ plain length │ offset in blob │ offset in plain │
//! ```
//! Numbers are little-endian. A chunk whose lengths are equal is stored as it is.

use nydus_convert_rafs::{Blob, Chunk, ChunkDigest, ChunkFlags, ChunkTable};

use super::RecordError;
use super::bytes::{Fields, begin};

const MAGIC: &[u8; 8] = b"NCCHUNK\0";
const WHAT: &str = "list of chunks";
/// Length of one record.
const RECORD: usize = 60;

/// The bytes of the section: the chunks, with their numbers in ascending order.
pub fn write<'a>(chunks: impl ExactSizeIterator<Item = (u32, &'a Chunk)>) -> Vec<u8> {
    let mut list = begin(MAGIC);
    // A blob has less than 2²⁴ chunks.
    list.extend((chunks.len() as u32).to_le_bytes());
    list.reserve(chunks.len() * RECORD);
    for (number, chunk) in chunks {
        list.extend(chunk.digest.0);
        list.extend(number.to_le_bytes());
        list.extend(chunk.compressed_size.to_le_bytes());
        list.extend(chunk.uncompressed_size.to_le_bytes());
        list.extend(chunk.compressed_offset.to_le_bytes());
        list.extend(chunk.uncompressed_offset.to_le_bytes());
    }
    list
}

/// Adds the chunks of the section `list` to those that the layer's own bootstrap knows of `blob`.
///
/// Refused are numbers that do not ascend, that the blob does not have or that the bootstrap describes already, and
/// chunks that do not lie in the blob.
pub fn add(list: &[u8], blob: &mut Blob) -> Result<(), RecordError> {
    let mut fields = Fields::open(WHAT, MAGIC, list)?;
    let count = fields.u32("the number of chunks")?;
    if u64::from(count) * RECORD as u64 != fields.rest().len() as u64 {
        return Err(fields.damaged("the number of chunks"));
    }
    let mut chunks: Vec<(u32, Chunk)> = blob.chunks.iter().map(|(number, chunk)| (number, *chunk)).collect();
    let mut last = None;
    for _ in 0..count {
        let digest = ChunkDigest(fields.array("the digest of a chunk")?);
        let number = fields.u32("the number of a chunk")?;
        let ascends = last.replace(number).is_none_or(|last| last < number);
        if !ascends || number >= blob.chunk_count || blob.chunks.get(number).is_some() {
            return Err(fields.damaged("the number of a chunk"));
        }
        let (stored, plain) = (fields.u32("a stored length")?, fields.u32("a plain length")?);
        let chunk = Chunk {
            digest,
            flags: if stored == plain { ChunkFlags::empty() } else { ChunkFlags::COMPRESSED },
            compressed_size: stored,
            uncompressed_size: plain,
            compressed_offset: fields.u64("the place of a chunk")?,
            uncompressed_offset: fields.u64("the plain place of a chunk")?,
            crc32: 0,
        };
        if !lies_in(&chunk, blob) {
            return Err(fields.damaged("the place of a chunk"));
        }
        chunks.push((number, chunk));
    }
    fields.end()?;
    blob.chunks = ChunkTable::from_unsorted(chunks);
    Ok(())
}

fn lies_in(chunk: &Chunk, blob: &Blob) -> bool {
    let within = |offset: u64, length: u32, end| {
        length > 0 && offset.checked_add(length.into()).is_some_and(|at| at <= end)
    };
    chunk.compressed_size <= chunk.uncompressed_size
        && within(chunk.compressed_offset, chunk.compressed_size, blob.compressed_size)
        && within(chunk.uncompressed_offset, chunk.uncompressed_size, blob.uncompressed_size)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use nydus_convert_rafs::{BlobFeatures, BlobName, CiLocation, Cipher, Compressor, Digester};

    use super::*;

    fn chunk(at: u64, stored: u32, plain: u32) -> Chunk {
        let flags = if stored == plain { ChunkFlags::empty() } else { ChunkFlags::COMPRESSED };
        Chunk {
            digest: ChunkDigest([at as u8; 32]),
            flags,
            compressed_size: stored,
            uncompressed_size: plain,
            compressed_offset: at,
            uncompressed_offset: 2 * at,
            crc32: 0,
        }
    }

    /// Of three chunks, the one in the middle used by a file.
    fn blob() -> Blob {
        Blob {
            name: BlobName::ThisBlob,
            features: BlobFeatures::empty(),
            compressor: Compressor::Zstd,
            digester: Digester::Blake3,
            chunk_count: 3,
            compressed_size: 300,
            uncompressed_size: 600,
            ci: CiLocation::default(),
            toc_size: 0,
            toc_digest: [0; 32],
            meta_digest: [0; 32],
            meta_size: 0,
            cipher: Cipher::None,
            chunks: ChunkTable::from_unsorted(vec![(1, chunk(100, 50, 60))]),
        }
    }

    #[test]
    fn what_was_written_is_added() {
        let (first, last) = (chunk(0, 100, 200), chunk(200, 100, 100));
        let list = write([(0, &first), (2, &last)].into_iter());
        let mut blob = blob();
        add(&list, &mut blob).unwrap();
        assert_eq!(blob.chunks, [first, chunk(100, 50, 60), last].into_iter().collect());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let good = chunk(0, 100, 200);
        let refused: [&[(u32, Chunk)]; 8] = [
            &[(1, good)],
            &[(3, good)],
            &[(2, good), (0, good)],
            &[(0, good), (0, good)],
            &[(0, chunk(201, 100, 100))],
            &[(0, chunk(0, 0, 100))],
            &[(0, chunk(0, 101, 100))],
            &[(0, Chunk { uncompressed_offset: u64::MAX, ..good })],
        ];
        for records in refused {
            let list = write(records.iter().map(|(number, chunk)| (*number, chunk)));
            assert!(add(&list, &mut blob()).is_err(), "{records:?}");
        }
        let list = write([(0, &good)].into_iter());
        for length in 0..list.len() {
            assert!(add(&list[..length], &mut blob()).is_err(), "{length}");
        }
        assert!(add(&[&list[..], &[0]].concat(), &mut blob()).is_err());
    }
}
