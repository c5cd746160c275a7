//! A blob ⇄ its entry in the blob table, and what every reader demands of it: one list for reading and writing.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use thiserror::Error;

use super::layout::{BlobEntry, BlockSize, CIPHER_AES_128_XTS, THIS_BLOB};
use crate::{
    Blob, BlobFeatures, BlobId, BlobName, Chunk, ChunkSize, ChunkTable, CiLocation, Cipher, Compressor,
    Digester, limits,
};

/// Feature bits that nobody defined and that readers refuse.
const UNKNOWN_FEATURES: u32 = 0x8000_f000;

/// What readers refuse of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BlobProblem {
    /// The same id as an earlier blob.
    #[error("another blob has the same id")]
    DuplicateId,
    /// An id that is neither 64 hexadecimal digits nor the placeholder.
    #[error("the id is not 64 lowercase hexadecimal digits")]
    Id,
    /// Its position, repeated in the table, is another.
    #[error("the table says that it is blob {index}")]
    Index {
        /// What the table says.
        index: u32,
    },
    /// Not the image's chunk size.
    #[error("the chunk size is {chunk_size}, not that of the image")]
    ChunkSize {
        /// What the table says.
        chunk_size: u32,
    },
    /// More chunks than numbers.
    #[error("{count} chunks, more than {}", limits::MAX_CHUNKS_PER_BLOB)]
    TooManyChunks {
        /// Number of chunks.
        count: u32,
    },
    /// An algorithm that nobody defined.
    #[error("the {what} has the undefined number {value}")]
    Algorithm {
        /// Which algorithm.
        what: &'static str,
        /// Its number.
        value: u32,
    },
    /// Feature bits that no reader knows, or that contradict each other or the cipher.
    #[error("the features {bits:#x} are unknown or contradict each other")]
    Features {
        /// All feature bits.
        bits: u32,
    },
    /// Chunks are not aligned to blocks, so clients cannot map them.
    #[error("the chunks are not aligned to 4096 bytes")]
    NotAligned,
    /// A size that is zero, not a whole number of blocks, or beyond what can be addressed.
    #[error(
        "the uncompressed size {size:#x} is zero, no whole number of blocks, or beyond what can be addressed"
    )]
    UncompressedSize {
        /// Size in bytes.
        size: u64,
    },
    /// A size beyond what can be addressed, or of a tar not that of its content.
    #[error(
        "the compressed size {size:#x} is more than {:#x}, or not that of the tar",
        limits::MAX_COMPRESSED_BLOB
    )]
    CompressedSize {
        /// Size in bytes.
        size: u64,
    },
    /// The chunk information does not have the size that the number of chunks asks for, or wraps around.
    #[error("the chunk information of {size} bytes does not fit {chunks} chunks")]
    ChunkInformation {
        /// Plain size in bytes.
        size: u64,
        /// Number of chunks.
        chunks: u32,
    },
    /// The device table and the blob table disagree.
    #[error("the device table and the blob table disagree")]
    Device,
}

/// Finds the first thing that readers refuse of `blob`. `earlier` are the blobs before it.
pub(super) fn check(blob: &Blob, earlier: &[Blob], block: BlockSize) -> Result<(), BlobProblem> {
    if earlier.iter().any(|other| other.name == blob.name) {
        return Err(BlobProblem::DuplicateId);
    }
    if blob.chunk_count > limits::MAX_CHUNKS_PER_BLOB {
        return Err(BlobProblem::TooManyChunks { count: blob.chunk_count });
    }
    let size = blob.uncompressed_size;
    if size == 0 || !size.is_multiple_of(block.bytes()) || size >= limits::MAX_UNCOMPRESSED_BLOB {
        return Err(BlobProblem::UncompressedSize { size });
    }
    if blob.compressed_size > limits::MAX_COMPRESSED_BLOB {
        return Err(BlobProblem::CompressedSize { size: blob.compressed_size });
    }
    if block == BlockSize::SECTOR {
        return check_tar(blob);
    }
    check_features(blob)?;
    check_chunk_information(blob)
}

/// A plain tar, as it is: nothing is known of its chunks but what inodes say.
fn check_tar(blob: &Blob) -> Result<(), BlobProblem> {
    let bits = blob.features.bits();
    let fits = blob.features.difference(BlobFeatures::CAP_TAR_TOC) == BlobFeatures::TARFS;
    if !fits || blob.cipher != Cipher::None || blob.compressor != Compressor::None {
        return Err(BlobProblem::Features { bits });
    }
    if blob.compressed_size != blob.uncompressed_size {
        return Err(BlobProblem::CompressedSize { size: blob.compressed_size });
    }
    let (size, chunks) = (blob.ci.uncompressed_size, blob.chunk_count);
    if (blob.ci.offset, blob.ci.compressed_size, size) == (0, 0, 0) {
        Ok(())
    } else {
        Err(BlobProblem::ChunkInformation { size, chunks })
    }
}

/// Features whose blobs keep tables behind the entries of the chunk information, or encrypt it.
const EXTENDED_INFORMATION: BlobFeatures =
    BlobFeatures::BATCH.union(BlobFeatures::ZRAN).union(BlobFeatures::ENCRYPTED);

fn check_features(blob: &Blob) -> Result<(), BlobProblem> {
    let features = blob.features;
    let bits = features.bits();
    let encrypted = features.contains(BlobFeatures::ENCRYPTED);
    if bits & UNKNOWN_FEATURES != 0
        || features.contains(BlobFeatures::TARFS)
        || features.intersects(EXTENDED_INFORMATION) && !features.contains(BlobFeatures::CHUNK_INFO_V2)
        || encrypted != (blob.cipher != Cipher::None)
    {
        return Err(BlobProblem::Features { bits });
    }
    if !features.contains(BlobFeatures::ALIGNED) {
        return Err(BlobProblem::NotAligned);
    }
    Ok(())
}

fn check_chunk_information(blob: &Blob) -> Result<(), BlobProblem> {
    let ci = &blob.ci;
    let features = blob.features;
    let chunks = u64::from(blob.chunk_count);
    let fits = if features.intersects(EXTENDED_INFORMATION) {
        ci.uncompressed_size >= chunks.saturating_mul(24)
    } else if features.contains(BlobFeatures::CHUNK_INFO_V2) {
        ci.uncompressed_size == chunks.saturating_mul(24)
    } else {
        ci.uncompressed_size == chunks.saturating_mul(16)
            || features.contains(BlobFeatures::IS_CHUNKDICT_GENERATED)
    };
    let wraps = ci.offset.checked_add(ci.compressed_size).is_none();
    if fits && !wraps && ci.compressed_size <= ci.uncompressed_size {
        Ok(())
    } else {
        Err(BlobProblem::ChunkInformation { size: ci.uncompressed_size, chunks: blob.chunk_count })
    }
}

/// Whether a blob has a chunk of this number. Generated dictionaries do not count their chunks.
pub(super) fn has_chunk(blob: &Blob, index: u32) -> bool {
    let generated = blob.features.contains(BlobFeatures::IS_CHUNKDICT_GENERATED);
    index < blob.chunk_count || generated && index <= limits::MAX_CHUNKS_PER_BLOB
}

/// The block size of images with this blob.
fn block_of(blob: &Blob) -> BlockSize {
    BlockSize::of(blob.features.contains(BlobFeatures::TARFS))
}

/// Whether a chunk lies inside the blob and begins on a block boundary of the decompressed one.
pub(super) fn holds(blob: &Blob, chunk: &Chunk) -> bool {
    let end = chunk.uncompressed_offset.checked_add(chunk.uncompressed_size.into());
    let stored_end = chunk.compressed_offset.checked_add(chunk.compressed_size.into());
    chunk.uncompressed_offset.is_multiple_of(block_of(blob).bytes())
        && end.is_some_and(|end| end <= blob.uncompressed_size)
        && stored_end.is_some_and(|end| end <= limits::MAX_COMPRESSED_BLOB)
}

/// The id as the tables hold it.
pub(super) fn id_bytes(name: BlobName) -> [u8; 64] {
    let BlobName::Id(id) = name else { return THIS_BLOB };
    let mut text = [0; 64];
    let (pairs, _) = text.as_chunks_mut::<2>();
    for ([high, low], byte) in pairs.iter_mut().zip(id.0) {
        *high = hex_digit(byte >> 4);
        *low = hex_digit(byte & 0xf);
    }
    text
}

fn hex_digit(nibble: u8) -> u8 {
    b"0123456789abcdef".get(usize::from(nibble)).copied().unwrap_or(b'0')
}

fn name_of(id: &[u8; 64]) -> Result<BlobName, BlobProblem> {
    if *id == THIS_BLOB {
        return Ok(BlobName::ThisBlob);
    }
    let text = str::from_utf8(id).map_err(|_| BlobProblem::Id)?;
    text.parse::<BlobId>().map(BlobName::Id).map_err(|_| BlobProblem::Id)
}

/// The entry of a blob at position `index`.
pub(super) fn entry(blob: &Blob, index: u32, chunk_size: ChunkSize) -> BlobEntry {
    let (cipher, meta_digest, meta_size, iv_tail) = match blob.cipher {
        Cipher::None => (0, blob.meta_digest, blob.meta_size.to_le_bytes(), [0; 8]),
        Cipher::Aes128Xts { key, iv } => {
            let (halves, _) = iv.as_chunks::<8>();
            let half = |number: usize| halves.get(number).copied().unwrap_or_default();
            (CIPHER_AES_128_XTS, key, half(0), half(1))
        }
    };
    BlobEntry {
        id: id_bytes(blob.name),
        index: index.into(),
        chunk_size: chunk_size.bytes().into(),
        chunk_count: blob.chunk_count.into(),
        compressor: blob.compressor.id().into(),
        digester: blob.digester.id().into(),
        features: blob.features.bits().into(),
        compressed_size: blob.compressed_size.into(),
        uncompressed_size: blob.uncompressed_size.into(),
        toc_size: blob.toc_size.into(),
        ci_compressor: blob.ci.compressor.id().into(),
        ci_offset: blob.ci.offset.into(),
        ci_compressed_size: blob.ci.compressed_size.into(),
        ci_uncompressed_size: blob.ci.uncompressed_size.into(),
        toc_digest: blob.toc_digest,
        meta_digest,
        meta_size,
        iv_tail,
        cipher: cipher.into(),
        reserved: [0; 36],
    }
}

/// The blob of an entry, still without chunks. The caller [`check`]s it.
pub(super) fn blob(entry: &BlobEntry, index: u32, chunk_size: ChunkSize) -> Result<Blob, BlobProblem> {
    if entry.index.get() != index {
        return Err(BlobProblem::Index { index: entry.index.get() });
    }
    if entry.chunk_size.get() != chunk_size.bytes() {
        return Err(BlobProblem::ChunkSize { chunk_size: entry.chunk_size.get() });
    }
    let (meta_digest, meta_size, cipher) = match entry.cipher.get() {
        0 => (entry.meta_digest, u64::from_le_bytes(entry.meta_size), Cipher::None),
        CIPHER_AES_128_XTS => {
            let mut iv = [0; 16];
            let halves = entry.meta_size.into_iter().chain(entry.iv_tail);
            iv.iter_mut().zip(halves).for_each(|(to, from)| *to = from);
            ([0; 32], 0, Cipher::Aes128Xts { key: entry.meta_digest, iv })
        }
        value => return Err(BlobProblem::Algorithm { what: "cipher", value }),
    };
    Ok(Blob {
        name: name_of(&entry.id)?,
        features: BlobFeatures::from_bits_retain(entry.features.get()),
        compressor: compressor("compressor", entry.compressor.get())?,
        digester: Digester::from_id(entry.digester.get())
            .ok_or(BlobProblem::Algorithm { what: "digester", value: entry.digester.get() })?,
        chunk_count: entry.chunk_count.get(),
        compressed_size: entry.compressed_size.get(),
        uncompressed_size: entry.uncompressed_size.get(),
        ci: CiLocation {
            compressor: compressor("compressor of the chunk information", entry.ci_compressor.get())?,
            offset: entry.ci_offset.get(),
            compressed_size: entry.ci_compressed_size.get(),
            uncompressed_size: entry.ci_uncompressed_size.get(),
        },
        toc_size: entry.toc_size.get(),
        toc_digest: entry.toc_digest,
        meta_digest,
        meta_size,
        cipher,
        chunks: ChunkTable::default(),
    })
}

fn compressor(what: &'static str, value: u32) -> Result<Compressor, BlobProblem> {
    Compressor::from_id(value).ok_or(BlobProblem::Algorithm { what, value })
}
