//! What merging needs of a finished layer, as bytes: its [`LayerTree`](crate::LayerTree), its [`Blob`](crate::Blob), and
//! the blob's [`Chunk`](crate::Chunk)s. A layer's bootstrap does not say all of this: it shows neither which directories
//! no entry describes, nor which links lead to a file that comes later.
//!
//! ```text
//! layer  | magic, version | root | entry | entry | …  depth first, siblings in byte order | links | link | link | …
//!
//! root           | head | metadata | children |
//! entry   | name | head | metadata | children |                     of a directory: its entries follow
//!         | name | head | metadata | size | runs | run | run | …    of a file
//!         | name | head | metadata | target |                       of a symbolic link
//!         | name | head | metadata | major | minor |                of a device
//!         | name | head | metadata |                                of a pipe or a socket
//!         | name | head | inode |                                   one more name of an earlier inode, by its number
//!
//! head     bits  7          6         5      4       3      2 … 0
//!                implicit │ xattrs │ mtime │ owner │ mode │ kind    a bit of the metadata: it is there, and follows
//! metadata | mode | uid | gid | seconds ± | nanoseconds | attributes | name | value | …
//!                                         else as in the inode before; no attributes
//! run      | (chunks - 1) · 2 + 1 | blob | index ± |                ± what the run before ends before
//!          | (chunks - 1) · 2     |                                 goes on where the run before ends
//! link     | path | target | placeholder | earlier | forward |      0: no name leads there; number of an inode + 1
//!                                                                   forward: all that + 1, 0 if there is none
//!
//! blob   | magic, version | name | features … metadata blob |       176 bytes, see `blob`
//! chunk  | digest | flags | sizes | offsets | checksum |            64 bytes, see `blob`
//! ```
//!
//! Inodes have numbers in the order in which they come, the root 0. Numbers are LEB128, signed ones (±) zigzag; names,
//! values and paths are preceded by their length in bytes. The order of the entries makes the tree one: each directory
//! is written where its only name is, so there is nothing that could be a cycle.
//!
//! Files of a layer use its chunks in the order in which they lie in the blob, so most of them are one run. What runs
//! stand for is not paid for in bytes; see [`MAX_IN_RUNS`].
//!
//! There is no checksum: whoever keeps these bytes keeps them by digest.

mod blob;
mod error;
mod numbers;
mod parse;
mod write;

pub use error::SavedError;

/// `nct`, and the version of all that is drawn above.
const MAGIC_TREE: [u8; 4] = *b"nct\x02";
/// `ncb`, and its version.
const MAGIC_BLOB: [u8; 4] = *b"ncb\x01";

/// Chunk references that runs of more than one may stand for, in all files of a layer together; further ones are written
/// one by one. Else a few bytes could ask for any amount of memory; so it is 8 MiB. With the usual chunk size that many
/// chunks are 1 TiB.
const MAX_IN_RUNS: u64 = 1 << 20;

/// The bits of a head.
mod head {
    pub(super) const KIND: u8 = 0x07;
    pub(super) const MODE: u8 = 0x08;
    pub(super) const OWNER: u8 = 0x10;
    pub(super) const MTIME: u8 = 0x20;
    pub(super) const XATTRS: u8 = 0x40;
    pub(super) const IMPLICIT: u8 = 0x80;

    pub(super) const DIRECTORY: u8 = 0;
    pub(super) const REGULAR: u8 = 1;
    pub(super) const SYMLINK: u8 = 2;
    pub(super) const CHAR_DEVICE: u8 = 3;
    pub(super) const BLOCK_DEVICE: u8 = 4;
    pub(super) const FIFO: u8 = 5;
    pub(super) const SOCKET: u8 = 6;
    pub(super) const LINK: u8 = 7;
}

/// What the next inode or run is told relative to.
#[derive(Default)]
struct Before {
    mode: u16,
    uid: u32,
    gid: u32,
    mtime: crate::Timestamp,
    blob: u16,
    /// The index after that of the last chunk.
    index: i64,
    /// Chunk references that runs of more than one stand for so far.
    in_runs: u64,
}
