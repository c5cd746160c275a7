//! Why blob metadata cannot be read or written.

use thiserror::Error;

/// Why blob metadata cannot be read or written. Offsets are in bytes from the start of the structure that was given.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MetaError {
    /// The bytes do not have the length of the structure.
    #[error("{structure}: {actual} bytes, not {expected}")]
    Length {
        /// Which structure.
        structure: &'static str,
        /// Its length in bytes.
        expected: u64,
        /// What was given.
        actual: u64,
    },
    /// A field has a value that it cannot have.
    #[error("{structure} @ {offset:#x}: {field} cannot be {value:#x}")]
    Field {
        /// Which structure.
        structure: &'static str,
        /// Where the field lies.
        offset: u64,
        /// Name of the field.
        field: &'static str,
        /// What it holds.
        value: u64,
    },
    /// A name is not one, or is there twice.
    #[error("{structure} @ {offset:#x}: the name '{name}' is damaged, too long, or there twice")]
    Name {
        /// Which structure.
        structure: &'static str,
        /// Where the entry lies.
        offset: u64,
        /// The name, made printable.
        name: String,
    },
    /// An algorithm that a table of contents has no number for.
    #[error("the section '{name}' cannot be marked as compressed with {compressor}")]
    TocCompressor {
        /// Name of the section.
        name: String,
        /// The algorithm.
        compressor: crate::Compressor,
    },
    /// More entries than a reader takes.
    #[error("{structure}: {count} entries, more than {max}")]
    TooMany {
        /// Which structure.
        structure: &'static str,
        /// Number of entries.
        count: u64,
        /// The limit.
        max: u64,
    },
    /// A chunk does not follow the one before it, or does not fit the fields of an entry.
    #[error("chunk information @ {offset:#x}: chunk {index}: {problem}")]
    Chunk {
        /// Where its entry lies.
        offset: u64,
        /// Number of the chunk.
        index: u32,
        /// What is wrong.
        problem: EntryProblem,
    },
    /// The entries cannot be understood without tables that follow them.
    #[error("the chunk information has {what}, which cannot be read")]
    Unsupported {
        /// What it has.
        what: &'static str,
    },
}

/// What is wrong with an entry of the chunk information.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EntryProblem {
    /// The place in the decompressed blob is not the one after the chunk before.
    #[error("it lies at {actual:#x} of the decompressed blob, not at {expected:#x}")]
    UncompressedOffset {
        /// Where it has to be.
        expected: u64,
        /// Plain offset in bytes that the entry has.
        actual: u64,
    },
    /// The place in the blob is before the end of the chunk before, or cannot be addressed.
    #[error("it lies at {actual:#x} of the blob, before {expected:#x} or beyond what can be addressed")]
    CompressedOffset {
        /// Where it may begin.
        expected: u64,
        /// Stored offset in bytes that the entry has.
        actual: u64,
    },
    /// A length that is zero or does not fit its field.
    #[error("it cannot be {compressed} bytes long for {uncompressed} plain ones")]
    Size {
        /// Stored length in bytes.
        compressed: u32,
        /// Plain length in bytes.
        uncompressed: u32,
    },
    /// The flags say other than the lengths, or name what needs further tables.
    #[error("its flags {bits:#x} do not fit its lengths or its blob")]
    Flags {
        /// All flag bits.
        bits: u32,
    },
    /// A batch that the table does not have, or one that was already left.
    #[error("it cannot be a member of batch {batch}")]
    Batch {
        /// Number of the batch.
        batch: u32,
    },
    /// A zran context that the table does not have, or that does not give as many bytes.
    #[error("it does not lie inside of what zran context {context} gives")]
    Context {
        /// Number of the context.
        context: u32,
    },
    /// A checksum of zero, which readers refuse.
    #[error("its checksum is marked as present and is zero")]
    Crc,
}
