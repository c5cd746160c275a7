//! RAFS, the file system format of Nydus images: bytes ⇄ tree.
//!
//! This crate knows the format and nothing else: it takes `&[u8]`, gives `impl Write`, and does no I/O of its own.
//! The vocabulary that the other crates share ([`EntryPath`], [`Metadata`], [`Xattrs`], [`ChunkDigest`],
//! [`Compressor`], [`Chunk`]) lives here, as does the versionless [`Tree`] and the overlay of one tree on another.

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
pub use digest::{BlobId, ChunkDigest, Digester, ParseHexError};
pub use fit::Loss;
pub use image::{Blob, BlobFeatures, BlobName, CiLocation, Cipher, Image};
pub use metadata::{DeviceNumber, Metadata, Timestamp, Xattrs, XattrsIntoIter};
pub use overlay::{
    LINK_XATTR, LayerTree, Link, OPAQUE_MARKER, OverlayError, WHITEOUT_PREFIX, is_whiteout, overlay,
};
pub use path::{EntryPath, PathError};
pub use saved::SavedError;
pub use tree::{Directory, Inode, InodeId, InodeKind, Renumbering, Tree, TreeError, WalkEntry};
pub use version::{FsVersion, ParseError, WriteError, parse, write};
