#![doc = include_str!("../README.md")]
//!
//! # Modules
//! [`v5`] and [`v6`] read and write bootstraps of one version, [`parse`] and [`write()`] those of both. [`meta`] has the tables
//! of blobs, [`limits`] what is too much. The words that all crates share ([`EntryPath`], [`Metadata`], [`Xattrs`],
//! [`ChunkDigest`], [`Compressor`], [`Chunk`]) are here, and so are the [`Tree`] that belongs to no version and the
//! [`overlay()`] of one tree on another.

mod bytes;
mod chunk;
mod compressor;
mod describe;
mod digest;
pub mod dump;
mod emit;
mod file_type;
mod fit;
mod flags;
mod image;
mod input;
pub mod limits;
mod locate;
pub mod meta;
mod metadata;
mod named;
mod overlay;
mod path;
mod record;
mod saved;
mod tree;
pub mod v5;
pub mod v6;
mod version;

pub use bytes::display_bytes;
pub use chunk::{Chunk, ChunkFlags, ChunkRef, ChunkSize, ChunkSizeError, ChunkTable};
pub use compressor::{Compressor, DecompressError};
pub use describe::{Description, Place, describe};
pub use digest::{BlobId, ChunkDigest, Digester, DigesterError, ParseHexError};
pub use fit::Loss;
pub use image::{Blob, BlobFeatures, BlobName, CiLocation, Cipher, Image};
pub use metadata::{DeviceNumber, Metadata, Timestamp, Xattrs, XattrsIntoIter};
pub use overlay::{
    LINK_XATTR, LayerTree, Link, OPAQUE_MARKER, OverlayError, WHITEOUT_PREFIX, is_whiteout, overlay,
};
pub use path::{EntryPath, PathError};
pub use saved::SavedError;
pub use tree::{Directory, Inode, InodeId, InodeKind, Renumbering, Tree, TreeError, WalkEntry};
pub use version::{FsVersion, FsVersionError, ParseError, WriteError, parse, write};
