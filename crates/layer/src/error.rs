//! Why a layer cannot be read. Every error says where in the tar, and which entry where that is known.

use std::fmt;
use std::io;

use nydus_convert_rafs::{EntryPath, PathError, display_bytes};
use thiserror::Error;

use crate::limits::{MAX_EXTENSION, MAX_PATH};

/// A position in the uncompressed tar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Bytes from the start of the tar; of an entry: where its header stands.
    pub offset: u64,
    /// The entry, once its name is known.
    pub path: Option<EntryPath>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "{path} (tar offset {})", self.offset),
            None => write!(f, "tar offset {}", self.offset),
        }
    }
}

/// A number that an entry carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Permission bits.
    Mode,
    /// Owner, 32 bits.
    Uid,
    /// Group, 32 bits.
    Gid,
    /// Bytes stored behind the header, 0 to 2⁶³ − 1.
    Size,
    /// Modification time, 64-bit seconds.
    Mtime,
    /// Major device number, 32 bits.
    DeviceMajor,
    /// Minor device number, 32 bits.
    DeviceMinor,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mode => "mode",
            Self::Uid => "uid",
            Self::Gid => "gid",
            Self::Size => "size",
            Self::Mtime => "mtime",
            Self::DeviceMajor => "major device number",
            Self::DeviceMinor => "minor device number",
        })
    }
}

/// What is wrong with a name or a link target.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    /// It leaves the root or holds a NUL byte.
    #[error(transparent)]
    Path(#[from] PathError),
    /// It is longer than any file name can be.
    #[error("it has {length} bytes, more than {MAX_PATH}")]
    TooLong {
        /// Its length in bytes, in normal form.
        length: usize,
    },
    /// A symbolic link to nothing.
    #[error("it is empty")]
    Empty,
}

/// What is wrong with a sparse file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SparseError {
    /// A `GNU.sparse.major`/`minor` that no program writes.
    #[error("unknown version of the sparse format")]
    Version,
    /// Sparse records on an entry without content.
    #[error("only a regular file can be sparse")]
    NotAFile,
    /// Type `S` in a header that is not GNU's: star uses it with another layout.
    #[error("type 'S' in a header that is not in GNU format")]
    Dialect,
    /// Numbers that are none, or not as many as announced.
    #[error("malformed sparse map")]
    Malformed,
    /// More than [`MAX_EXTENSION`] bytes of map.
    #[error("sparse map of more than {MAX_EXTENSION} bytes")]
    TooLong,
    /// Segments that overlap, run backwards, or reach beyond the file's size.
    #[error("sparse segment {segment} overlaps another one or exceeds the file")]
    Segment {
        /// Number of the first such segment, from 0.
        segment: usize,
    },
    /// The map asks for more or less data than is stored.
    #[error("sparse map of {mapped} bytes of data, but {stored} are stored")]
    Stored {
        /// Sum of the segments.
        mapped: u64,
        /// Bytes behind the header (and the map).
        stored: u64,
    },
}

/// Why a layer cannot be read.
#[derive(Debug, Error)]
pub enum LayerError {
    /// The source failed.
    #[error("tar offset {offset}: the source cannot be read")]
    Read {
        /// Bytes of the tar that were understood before.
        offset: u64,
        /// The source's own words.
        source: io::Error,
    },
    /// The stream does not begin with a tar header.
    #[error("not a tar: no header at offset {offset}")]
    NotATar {
        /// Where the header should stand: 0, or after zeros.
        offset: u64,
    },
    /// The stream is of another kind.
    #[error("not a tar: it is {name}")]
    OtherFormat {
        /// Name of the format.
        name: &'static str,
    },
    /// A block after the first entry that is neither a header nor zeros.
    #[error("tar offset {offset}: not a tar header (wrong checksum)")]
    BadHeader {
        /// Where the header should stand.
        offset: u64,
    },
    /// The stream ends inside a header, an extension or content.
    #[error("{at}: the tar ends there, {missing} bytes too early")]
    Truncated {
        /// Where the stream ends, and the entry it ends in.
        at: Place,
        /// Bytes that the interrupted part still needs.
        missing: u64,
    },
    /// An extension header with a body larger than [`MAX_EXTENSION`].
    #[error(
        "tar offset {offset}: extension '{}' of {size} bytes, more than {MAX_EXTENSION}",
        char::from(*typeflag)
    )]
    ExtensionTooLarge {
        /// Where the extension's header stands.
        offset: u64,
        /// `x`, `X`, `g`, `L` or `K`.
        typeflag: u8,
        /// Declared size of the body.
        size: u64,
    },
    /// A PAX record whose length, form or key is wrong.
    #[error("tar offset {offset}: malformed PAX record {position} bytes into the extension")]
    BadPax {
        /// Where the extension's header stands.
        offset: u64,
        /// Where the record begins in the body.
        position: usize,
    },
    /// A number that is none, or outside the range of its field.
    #[error("{at}: '{}' is no valid {field}", display_bytes(value))]
    BadNumber {
        /// The entry or extension.
        at: Place,
        /// Which number.
        field: Field,
        /// How it is stored.
        value: Vec<u8>,
    },
    /// A name that no file can have.
    #[error("tar offset {offset}: an entry's name cannot be used")]
    BadName {
        /// Where the entry's header stands.
        offset: u64,
        /// What is wrong with it.
        source: NameError,
    },
    /// A link target that no link can have.
    #[error("{at}: the link's target cannot be used")]
    BadLinkTarget {
        /// The link.
        at: Place,
        /// What is wrong with the target.
        source: NameError,
    },
    /// A sparse file that cannot be expanded.
    #[error("{at}: the sparse file cannot be read")]
    BadSparse {
        /// The file.
        at: Place,
        /// What is wrong with it.
        source: SparseError,
    },
    /// The reader was used on after an error.
    #[error("tar offset {offset}: reading stopped there because of an earlier error")]
    Stopped {
        /// Bytes of the tar that were understood.
        offset: u64,
    },
}
