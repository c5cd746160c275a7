//! What can be wrong with a blob that is read.

use std::io;

use nydus_convert_rafs::meta::MetaError;
use nydus_convert_rafs::{BlobId, DecompressError};
use thiserror::Error;

/// Why a blob, or a part of it, could not be read. Offsets are absolute, in bytes.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BlobError {
    /// The source failed.
    #[error("reading {length} bytes of the blob at {offset} failed")]
    Read {
        /// Where.
        offset: u64,
        /// How much was asked for.
        length: u64,
        /// What the source said.
        source: io::Error,
    },
    /// The stream does not end with a section header.
    #[error("these {size} bytes are not a RAFS blob with inline metadata")]
    NotABlob {
        /// Length of the stream.
        size: u64,
    },
    /// A structure that does not parse.
    #[error("section {section} at {offset} is damaged")]
    Structure {
        /// Name of the section; where that is not known, of the one behind it.
        section: String,
        /// Where the structure starts.
        offset: u64,
        /// What is wrong.
        source: MetaError,
    },
    /// A section that reaches beyond the part of the stream it can lie in, or into its neighbour.
    #[error("section {section} at {offset} with {length} bytes lies outside of {start}..{end}")]
    Bounds {
        /// Name of the section.
        section: String,
        /// Where it claims to start.
        offset: u64,
        /// Its claimed length in bytes.
        length: u64,
        /// Start of what is allowed.
        start: u64,
        /// End of what is allowed.
        end: u64,
    },
    /// More sections than any writer makes.
    #[error("the blob has more than {limit} sections")]
    TooManySections {
        /// The bound.
        limit: usize,
    },
    /// Two sections of one name.
    #[error("the blob has two sections {section}")]
    Duplicate {
        /// The name.
        section: String,
    },
    /// A section that is needed and not there.
    #[error("the blob has no section {section}")]
    Missing {
        /// The name.
        section: &'static str,
    },
    /// A section whose declared plain length is out of proportion to what is stored.
    #[error("section {section} at {offset} claims {size} plain bytes, at most {limit} are believed")]
    TooLarge {
        /// Name of the section.
        section: String,
        /// Where it starts.
        offset: u64,
        /// What it claims.
        size: u64,
        /// The bound.
        limit: u64,
    },
    /// More chunks than the blob has bytes for.
    #[error("the blob claims {count} chunks in {limit} bytes of chunk data")]
    TooManyChunks {
        /// What it claims.
        count: u32,
        /// Length of the chunk data in bytes.
        limit: u64,
    },
    /// A section that does not decompress.
    #[error("section {section} at {offset} does not decompress")]
    Decompress {
        /// Name of the section.
        section: String,
        /// Where it starts.
        offset: u64,
        /// What is wrong.
        source: DecompressError,
    },
    /// A section that is not what the table of contents says.
    #[error("section {section} at {offset} does not have the digest that the table of contents says")]
    SectionDigest {
        /// Name of the section.
        section: String,
        /// Where it starts.
        offset: u64,
    },
    /// A header or table that is not in the one form that writers give it.
    #[error("section {section}: the bytes at {offset} are not what a writer would have put there")]
    NotCanonical {
        /// Name of the section.
        section: String,
        /// Where the bytes start.
        offset: u64,
    },
    /// Two places of the blob, or the blob and its record in the bootstrap, that say different things.
    #[error("section {section} says that {field} is {found}, not {expected}")]
    Disagrees {
        /// Section that was read.
        section: &'static str,
        /// What is compared.
        field: &'static str,
        /// What the other place says.
        expected: u64,
        /// What this one says.
        found: u64,
    },
    /// A chunk whose record in the bootstrap is not the blob's.
    #[error("the bootstrap and the blob disagree about chunk {number}")]
    ChunkRecord {
        /// Number of the chunk in the blob.
        number: u32,
    },
    /// A chunk that cannot be read.
    #[error("the chunk of {length} stored bytes at {offset} cannot be read")]
    Chunk {
        /// Where its record says it starts.
        offset: u64,
        /// Its stored length.
        length: u32,
        /// Why.
        source: ChunkError,
    },
    /// The stream is not the blob that was asked for.
    #[error("the blob has the id {actual}, not {expected}")]
    Id {
        /// Which was wanted.
        expected: BlobId,
        /// SHA-256 of the stream.
        actual: BlobId,
    },
}

/// What is wrong with one chunk.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChunkError {
    /// It is not within the chunk data.
    #[error("it reaches beyond the {end} bytes of chunk data")]
    Bounds {
        /// Length of the chunk data.
        end: u64,
    },
    /// Lengths that no chunk has: zero, beyond the largest chunk size, or different for raw bytes.
    #[error("a chunk cannot have {plain} plain bytes")]
    Length {
        /// Its plain length.
        plain: u32,
    },
    /// It is encrypted or a member of a batch: [`crate::BlobReader::chunks_of`] reads those.
    #[error("encrypted and batched chunks cannot be read by their records alone")]
    Unsupported,
    /// The blob has no chunk of this number.
    #[error("the blob has no chunk {number}")]
    Unknown {
        /// The number.
        number: u32,
    },
    /// It does not have the checksum that is recorded for it.
    #[error("its CRC-32C is another")]
    Crc,
    /// It does not decompress.
    #[error(transparent)]
    Decompress(#[from] DecompressError),
    /// The gzip stream that it lies in cannot be read at its place.
    #[error("{what}")]
    Inflate {
        /// What is wrong.
        what: &'static str,
    },
    /// It is not what its digest says.
    #[error("its digest is another")]
    Digest,
}
