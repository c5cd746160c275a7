//! Why bytes are no saved layer.

use thiserror::Error;

use crate::{TreeError, display_bytes, limits};

/// Why what was saved of a layer cannot be read, or cannot be saved. Offsets are in bytes from the start of the structure.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SavedError {
    /// It is something else, or of a version that this program does not know.
    #[error("{structure}: the bytes are something else, or of another version")]
    Magic {
        /// Which structure.
        structure: &'static str,
    },
    /// The bytes end too early.
    #[error("{structure} @ {offset:#x}: cut short")]
    CutShort {
        /// Which structure.
        structure: &'static str,
        /// Where the field lies that has no end.
        offset: u64,
    },
    /// There are bytes behind the end.
    #[error("{structure} @ {offset:#x}: {count} bytes too many")]
    TooLong {
        /// Which structure.
        structure: &'static str,
        /// Where it ends.
        offset: u64,
        /// Bytes behind that.
        count: u64,
    },
    /// A field has a value that it cannot have.
    #[error("{structure} @ {offset:#x}: {field} cannot be {value:#x}")]
    Field {
        /// Which structure.
        structure: &'static str,
        /// Where the field lies.
        offset: u64,
        /// Which field.
        field: &'static str,
        /// What it holds.
        value: u64,
    },
    /// Names are not in strictly ascending order of their bytes.
    #[error("{structure} @ {offset:#x}: the name '{}' is out of order or there twice", display_bytes(name))]
    Order {
        /// Which structure.
        structure: &'static str,
        /// Where the later name lies.
        offset: u64,
        /// The later name.
        name: Vec<u8>,
    },
    /// A path that is none, or not in normal form.
    #[error("{structure} @ {offset:#x}: '{}' is not a path in normal form", display_bytes(path))]
    Path {
        /// Which structure.
        structure: &'static str,
        /// Where it lies.
        offset: u64,
        /// The bytes.
        path: Vec<u8>,
    },
    /// Deeper than any client can name.
    #[error("{structure} @ {offset:#x}: more than {} directories deep", limits::MAX_DEPTH)]
    TooDeep {
        /// Which structure.
        structure: &'static str,
        /// Where the directory lies.
        offset: u64,
    },
    /// The tree takes no such entry.
    #[error("{structure} @ {offset:#x}: {source}")]
    Tree {
        /// Which structure.
        structure: &'static str,
        /// Where the entry lies.
        offset: u64,
        /// Why not.
        source: TreeError,
    },
    /// The blob is encrypted: its key is not written anywhere.
    #[error("encrypted blobs cannot be saved")]
    Encrypted,
}
