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
}
