//! What a blob is to be.

use nydus_convert_rafs::{Digester, FsVersion};

use crate::Compression;

/// What a blob is to be. Its bytes depend on this, on the chunks and on the sections behind them, and on nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BlobOptions {
    /// The version of the images that can use it.
    pub version: FsVersion,
    /// What is done to chunks.
    pub compressor: Compression,
    /// How chunks are named.
    pub digester: Digester,
    /// Files shorter than half of this are stored in batches of less than this, in bytes; 0 for no batches. A power of
    /// two, not above the chunk size. Blobs of v5 have none.
    pub batch_size: u32,
    /// Whether chunks of v5 start at multiples of 4096 in the plain address space. Those of v6 always do.
    pub aligned: bool,
    /// Whether every stored chunk is padded to a multiple of 4096. With raw chunks of v6 the blob is then what the kernel
    /// takes for a device: every chunk lies where it lies in the plain address space. Not together with batches.
    pub padded: bool,
}
