//! The plain bytes that come in and the compressed ones that go out, both counted.

use std::io::{self, Read, Write};

use crc32fast::Hasher;

/// Why a stream was not made.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// There are fewer plain bytes than the recipe says.
    #[error("plain bytes end at {found} of {expected}")]
    PlainTooShort {
        /// Bytes that the recipe needs.
        expected: u64,
        /// Bytes that there were.
        found: u64,
    },
    /// There are more plain bytes than the recipe says.
    #[error("more than {expected} plain bytes")]
    PlainTooLong {
        /// Bytes that the recipe needs.
        expected: u64,
    },
    /// The recipe makes a stream of another length than it says: it does not belong to these plain bytes. Nothing was
    /// written behind the length it says.
    #[error("the stream is not {expected} bytes long")]
    StoredLength {
        /// Bytes that the recipe says.
        expected: u64,
    },
    /// The plain bytes could not be read.
    #[error("reading plain bytes")]
    Read(#[source] io::Error),
    /// The compressed bytes could not be written.
    #[error("writing compressed bytes")]
    Write(#[source] io::Error),
}

/// Plain bytes, counted.
pub(super) struct Plain<R> {
    pub(super) inner: R,
    pub(super) expected: u64,
    pub(super) taken: u64,
    /// Of the current member.
    pub(super) crc: Hasher,
}

impl<R: Read> Plain<R> {
    /// Fills the whole buffer.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<(), ReplayError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.inner.read(&mut buffer[filled..]) {
                Ok(0) => {
                    let found = self.taken + filled as u64;
                    return Err(ReplayError::PlainTooShort { expected: self.expected, found });
                }
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ReplayError::Read(error)),
            }
        }
        self.crc.update(buffer);
        self.taken += buffer.len() as u64;
        Ok(())
    }

    /// Makes sure that nothing is left.
    pub(super) fn end(&mut self) -> Result<(), ReplayError> {
        loop {
            match self.inner.read(&mut [0]) {
                Ok(0) => return Ok(()),
                Ok(_) => return Err(ReplayError::PlainTooLong { expected: self.expected }),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ReplayError::Read(error)),
            }
        }
    }
}

/// Compressed bytes, counted.
pub(super) struct Out<W> {
    pub(super) inner: W,
    pub(super) expected: u64,
    pub(super) written: u64,
}

impl<W: Write> Out<W> {
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), ReplayError> {
        let written = self.written + bytes.len() as u64;
        if written > self.expected {
            return Err(ReplayError::StoredLength { expected: self.expected });
        }
        self.inner.write_all(bytes).map_err(ReplayError::Write)?;
        self.written = written;
        Ok(())
    }

    pub(super) fn zeros(&mut self, mut count: u64) -> Result<(), ReplayError> {
        const ZEROS: [u8; 4096] = [0; 4096];
        while count > 0 {
            let now = usize::try_from(count).unwrap_or(ZEROS.len()).min(ZEROS.len());
            self.write(&ZEROS[..now])?;
            count -= now as u64;
        }
        Ok(())
    }

    pub(super) fn end(&mut self) -> Result<(), ReplayError> {
        if self.written != self.expected {
            return Err(ReplayError::StoredLength { expected: self.expected });
        }
        self.inner.flush().map_err(ReplayError::Write)
    }
}
