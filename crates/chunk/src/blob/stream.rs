//! The stream under the writers: counts, hashes, and fails once.

use std::io::{self, Write};

use nydus_convert_rafs::meta::MetaError;
use thiserror::Error;

use crate::sha256::Sha256;

/// Why a blob could not be written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The sink failed.
    #[error("writing the blob failed at offset {offset}")]
    Io {
        /// Bytes that had been written before.
        offset: u64,
        /// What the sink said.
        source: io::Error,
    },
    /// Use after a failure that was already reported.
    #[error("the blob cannot be continued after an earlier failure")]
    Abandoned,
    /// One blob cannot hold so many chunks.
    #[error("the blob would have more than {limit} chunks")]
    TooManyChunks {
        /// Most chunks of one blob.
        limit: u32,
    },
    /// Stored bytes beyond the format's offsets.
    #[error("the blob would exceed {limit} stored bytes")]
    TooManyStoredBytes {
        /// Most bytes of the whole stream.
        limit: u64,
    },
    /// Plain bytes beyond the format's offsets.
    #[error("the blob would exceed {limit} plain bytes")]
    TooManyPlainBytes {
        /// Most plain bytes of one blob, every chunk rounded up to 4096.
        limit: u64,
    },
    /// A chunk that is empty or longer than the largest chunk size.
    #[error("a chunk of {length} bytes does not exist in the format")]
    ChunkLength {
        /// Plain length in bytes.
        length: usize,
    },
    /// Stored bytes that are none, or more than the plain ones.
    #[error("a chunk of {plain} bytes cannot be stored in {stored}")]
    StoredLength {
        /// Plain length in bytes.
        plain: u32,
        /// Stored length in bytes.
        stored: usize,
    },
    /// A section name that is empty, too long, reserved, or used twice.
    #[error("a further section cannot be named '{name}'")]
    SectionName {
        /// The name that was given.
        name: String,
    },
    /// The source of a section failed.
    #[error("reading section {name} failed after {at} of {length} bytes")]
    SectionSource {
        /// Name of the section.
        name: String,
        /// Bytes that had been read before.
        at: u64,
        /// Length of the section in bytes.
        length: u64,
        /// What the source said; [`io::ErrorKind::UnexpectedEof`] if it ended.
        source: io::Error,
    },
    /// Compression failed.
    #[error("compressing section {name} failed")]
    Compress {
        /// Name of the section.
        name: String,
        /// What the library said.
        source: io::Error,
    },
    /// Blob metadata that the format cannot hold.
    #[error("the blob metadata cannot be written")]
    Meta(#[from] MetaError),
}

/// Bytes on their way into the sink.
pub(crate) struct Stream<W> {
    inner: W,
    hash: Sha256,
    position: u64,
    /// Most bytes of the whole stream.
    limit: u64,
    failed: bool,
}

impl<W: Write> Stream<W> {
    pub(crate) fn new(inner: W, limit: u64) -> Self {
        Self { inner, hash: Sha256::default(), position: 0, limit, failed: false }
    }

    /// Bytes so far.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// SHA-256 of all bytes so far.
    pub(crate) fn digest(&self) -> [u8; 32] {
        self.hash.digest()
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let limit = self.limit;
        if bytes.len() as u64 > limit - self.position {
            self.failed = true;
            return Err(WriteError::TooManyStoredBytes { limit });
        }
        self.attempt(|inner| inner.write_all(bytes))?;
        self.hash.update(bytes);
        self.position += bytes.len() as u64;
        Ok(())
    }

    /// Flushes the sink and gives it back.
    pub(crate) fn finish(mut self) -> Result<W, WriteError> {
        self.attempt(Write::flush)?;
        Ok(self.inner)
    }

    fn attempt(&mut self, action: impl FnOnce(&mut W) -> io::Result<()>) -> Result<(), WriteError> {
        self.check()?;
        action(&mut self.inner).map_err(|source| {
            self.failed = true;
            WriteError::Io { offset: self.position, source }
        })
    }

    /// Whether there was no failure yet.
    pub(crate) fn check(&self) -> Result<(), WriteError> {
        if self.failed { Err(WriteError::Abandoned) } else { Ok(()) }
    }

    /// Refuses all that would follow.
    pub(crate) fn abandon(&mut self) {
        self.failed = true;
    }
}
