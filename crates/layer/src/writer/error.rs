//! Why a layer cannot be written.

use std::io;

use nydus_convert_rafs::{EntryPath, display_bytes};
use thiserror::Error;

use crate::limits::MAX_EXTENSION;

/// Why a layer cannot be written. After any of these the tar is incomplete and of no use.
#[derive(Debug, Error)]
pub enum LayerWriteError {
    /// The target failed.
    #[error("the tar cannot be written")]
    Write {
        /// The target's own words.
        source: io::Error,
    },
    /// The source of a file's content failed.
    #[error("{path}: the content cannot be read")]
    Content {
        /// The file.
        path: EntryPath,
        /// The source's own words.
        source: io::Error,
    },
    /// Less content came than was declared.
    #[error("{path}: the content ends {missing} bytes too early")]
    ContentTooShort {
        /// The file.
        path: EntryPath,
        /// Bytes that are still to come.
        missing: u64,
    },
    /// More content came than was declared.
    #[error("{path}: more content than declared, {surplus} bytes or more")]
    ContentTooLong {
        /// The file or, if content is left when the layer ends, the last one that has any; else the root.
        path: EntryPath,
        /// Bytes that are known to be too many.
        surplus: u64,
    },
    /// Bytes that no tar reader takes: 2⁶³ and more.
    #[error("{path}: {size} bytes are too many for a tar")]
    FileTooLarge {
        /// The file.
        path: EntryPath,
        /// Its size in bytes.
        size: u64,
    },
    /// The root can only be a directory.
    #[error("the root is not a directory")]
    RootNotDirectory,
    /// A symbolic link to nothing, or to a name with a NUL byte.
    #[error("{path}: no tar can hold a symbolic link to '{}'", display_bytes(target))]
    SymlinkTarget {
        /// The link.
        path: EntryPath,
        /// Its target.
        target: Vec<u8>,
    },
    /// The name of an extended attribute that a PAX record cannot hold.
    #[error("{path}: no tar can hold an extended attribute named '{}'", display_bytes(name))]
    XattrName {
        /// The file.
        path: EntryPath,
        /// The attribute's full name.
        name: Vec<u8>,
    },
    /// Names and extended attributes of more than [`MAX_EXTENSION`] bytes together: no container engine reads them.
    #[error("{path}: PAX records of {size} bytes, more than {MAX_EXTENSION}")]
    ExtensionTooLarge {
        /// The entry.
        path: EntryPath,
        /// Bytes of all its records.
        size: usize,
    },
    /// An entry of a type that has no meaning.
    #[error("{path}: type '{}' is not written", char::from(*typeflag))]
    UnsupportedType {
        /// The entry.
        path: EntryPath,
        /// The type flag that it had where it was read.
        typeflag: u8,
    },
    /// The tar was read on after an error.
    #[error("the tar ended before because of an earlier error")]
    Stopped,
}
