//! What layers become: one of three forms, decided once for a conversion.

use nydus_convert_chunk::{BlobOptions, PackOptions};
use nydus_convert_rafs::{ChunkSize, Compressor, Digester};

use crate::dictionary::ChunkDictionary;
use crate::options::{Dedup, Fidelity, FsOptions};
use crate::reuse::Reuse;

/// How chunks of layers that are referred to are stored and named: they are pieces of gzip.
pub const REFERRED: (Compressor, Digester) = (Compressor::Gzip, Digester::Sha256);

/// How those of plain tars are.
pub const PLAIN_TAR: (Compressor, Digester) = (Compressor::None, Digester::Sha256);

/// What layers become.
pub enum Form<'a> {
    /// Blobs of chunks.
    Packed(Packed<'a>),
    /// They stay as they are, and are only referred to, in chunks of this length.
    Referred(ChunkSize),
    /// Plain tars, which are blobs as such, in chunks of this length.
    PlainTar(ChunkSize),
}

/// How layers are packed.
pub struct Packed<'a> {
    /// The file system.
    pub fs: FsOptions,
    /// Whether damage is a loss or an error.
    pub fidelity: Fidelity,
    /// Chunks that need not be kept.
    pub dictionary: Option<&'a ChunkDictionary>,
    /// What layers may refer to.
    pub dedup: Dedup,
    /// Where finished work is kept.
    pub reuse: Option<&'a Reuse>,
}

impl<'a> Form<'a> {
    /// Whether, and how, layers are packed.
    pub fn packed(&self) -> Option<&Packed<'a>> {
        match self {
            Self::Packed(packed) => Some(packed),
            Self::Referred(_) | Self::PlainTar(_) => None,
        }
    }

    /// Whether layers wait for those below them.
    pub fn is_chained(&self) -> bool {
        self.packed().is_some_and(|packed| packed.dedup != Dedup::Layer)
    }

    /// How the chunks of an image are stored and named.
    pub fn algorithms(&self) -> (Compressor, Digester) {
        match self {
            Self::Packed(Packed { fs, .. }) => (fs.compression.compressor(), fs.digester),
            Self::Referred(_) => REFERRED,
            Self::PlainTar(_) => PLAIN_TAR,
        }
    }
}

impl Packed<'_> {
    pub(super) fn blob_options(&self) -> BlobOptions {
        BlobOptions {
            version: self.fs.version,
            compressor: self.fs.compression,
            digester: self.fs.digester,
            batch_size: self.fs.batch_size,
            aligned: self.fs.aligned_chunks,
            padded: self.fs.kernel_mountable,
        }
    }

    pub(super) fn pack_options(&self, window_bytes: usize) -> PackOptions {
        PackOptions { blob: self.blob_options(), chunk_size: self.fs.chunk_size, window_bytes }
    }
}
