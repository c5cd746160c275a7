//! One step of a decoder.

use std::io;

use super::error::DecompressError;

/// How far one step of an engine got.
pub(super) enum Step {
    /// So many plain bytes were written to the beginning of the output, at least one.
    Bytes(usize),
    /// The stream is over, and so is the inner reader.
    End,
}

/// Why one step of an engine failed.
pub(super) enum StepError {
    /// The stream is to blame.
    Stream(DecompressError),
    /// The inner reader is.
    Inner(io::Error),
}

impl From<DecompressError> for StepError {
    fn from(error: DecompressError) -> Self {
        Self::Stream(error)
    }
}

impl From<io::Error> for StepError {
    fn from(error: io::Error) -> Self {
        Self::Inner(error)
    }
}
