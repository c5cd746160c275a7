//! Bytes compared with the descriptor that names them, while they stream.

use std::io::{self, Read};

use thiserror::Error;

use crate::descriptor::Descriptor;
use crate::digest::{Digest, Hasher};
use crate::kind::ErrorKind;

/// Content is not what its descriptor says.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum VerifyError {
    /// More or fewer bytes than declared.
    #[error("{digest} has {}{actual} bytes, {expected} are declared", at_least(*expected, *actual))]
    SizeMismatch {
        /// The content's declared digest.
        digest: Digest,
        /// Declared bytes.
        expected: u64,
        /// Bytes there are; for a stream that runs on, those seen until it was given up.
        actual: u64,
    },
    /// Other bytes than declared.
    #[error("content of {expected} has the digest {actual}")]
    DigestMismatch {
        /// Declared digest.
        expected: Digest,
        /// Digest of the bytes read.
        actual: Digest,
    },
}

/// A stream that is too long was not counted to its end.
fn at_least(expected: u64, actual: u64) -> &'static str {
    if actual > expected { "at least " } else { "" }
}

impl VerifyError {
    /// What sort of failure this is.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Verification
    }
}

/// A reader that gives exactly the content a descriptor names, or an error (a [`VerifyError`] inside an
/// [`io::Error`]).
///
/// Where the size is known, the last bytes are given only after size and digest proved right: who has received
/// all declared bytes has received the declared content. A stream longer than declared fails there and is not
/// read any further. Where only the digest is known, the verdict comes at the end of the stream, in the place of
/// `Ok(0)`. After an error every further read fails with the same error.
pub struct VerifyingReader<R> {
    inner: R,
    expected: Digest,
    size: Option<u64>,
    count: u64,
    state: State,
}

enum State {
    Reading(Hasher),
    Verified,
    Failed(VerifyError),
}

impl<R: Read> VerifyingReader<R> {
    /// Verifies `inner` against `descriptor`'s size and digest.
    pub fn new(inner: R, descriptor: &Descriptor) -> Self {
        Self::with(inner, descriptor.digest, descriptor.size)
    }

    /// Verifies `inner` against a digest and a size in bytes.
    pub fn with(inner: R, digest: Digest, size: u64) -> Self {
        Self { size: Some(size), ..Self::of_any_size(inner, digest) }
    }

    /// Verifies `inner` against a digest alone, as a diff id is.
    pub fn of_any_size(inner: R, digest: Digest) -> Self {
        let state = State::Reading(Hasher::new(digest.algorithm()));
        Self { inner, expected: digest, size: None, count: 0, state }
    }

    fn fail(&mut self, error: VerifyError) -> io::Error {
        self.state = State::Failed(error.clone());
        io::Error::new(io::ErrorKind::InvalidData, error)
    }

    fn wrong_size(&mut self, expected: u64, actual: u64) -> io::Error {
        self.fail(VerifyError::SizeMismatch { digest: self.expected, expected, actual })
    }

    /// Called when all declared bytes were read: there must be no more of them.
    fn conclude_size(&mut self, size: u64) -> io::Result<()> {
        let mut probe = [0];
        match read_some(&mut self.inner, &mut probe)? {
            0 => self.conclude(),
            _ => Err(self.wrong_size(size, size.saturating_add(1))),
        }
    }

    /// Called when there are no more bytes: the digest must be right.
    fn conclude(&mut self) -> io::Result<()> {
        let State::Reading(hasher) = std::mem::replace(&mut self.state, State::Verified) else {
            return Ok(());
        };
        match hasher.finish() {
            actual if actual == self.expected => Ok(()),
            actual => Err(self.fail(VerifyError::DigestMismatch { expected: self.expected, actual })),
        }
    }
}

impl<R: Read> Read for VerifyingReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let hasher = match &mut self.state {
            State::Reading(hasher) => hasher,
            State::Verified => return Ok(0),
            State::Failed(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error.clone())),
        };
        let left = self.size.map_or(u64::MAX, |size| size.saturating_sub(self.count));
        if left == 0 {
            return self.conclude_size(self.count).map(|()| 0);
        }
        let want = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let Some(part) = buf.get_mut(..want).filter(|part| !part.is_empty()) else { return Ok(0) };
        let n = read_some(&mut self.inner, part)?;
        hasher.update(part.get(..n).unwrap_or_default());
        self.count += n as u64;
        match self.size {
            Some(size) if n == 0 => Err(self.wrong_size(size, self.count)),
            Some(size) if size == self.count => self.conclude_size(size).map(|()| n),
            None if n == 0 => self.conclude().map(|()| 0),
            _ => Ok(n),
        }
    }
}

/// One read that is not disturbed by signals.
pub(crate) fn read_some(reader: &mut impl Read, buf: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(buf) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::inner::find_in;

    fn read_all(
        data: &[u8],
        digest: Digest,
        size: u64,
        step: usize,
    ) -> Result<Vec<u8>, Box<(Vec<u8>, VerifyError)>> {
        let mut reader = VerifyingReader::with(data, digest, size);
        let (mut out, mut buf) = (Vec::new(), vec![0; step]);
        loop {
            match reader.read(&mut buf) {
                Ok(0) => return Ok(out),
                Ok(n) => out.extend_from_slice(&buf[..n]),
                Err(error) => {
                    let found = find_in::<VerifyError>(&error).unwrap().clone();
                    let again = reader.read(&mut buf).unwrap_err();
                    assert_eq!(find_in::<VerifyError>(&again), Some(&found), "errors stay");
                    return Err(Box::new((out, found)));
                }
            }
        }
    }

    #[test]
    fn verdicts() {
        let data = b"some content";
        let right = Digest::sha256(data);
        let wrong = Digest::sha256(b"other");
        let size = data.len() as u64;
        for step in [1, 5, 12, 100] {
            assert_eq!(read_all(data, right, size, step).unwrap(), data);
            let (out, error) = *read_all(data, wrong, size, step).unwrap_err();
            assert_eq!(error, VerifyError::DigestMismatch { expected: wrong, actual: right });
            assert!(out.len() < data.len(), "the last bytes are held back");
            let (_, error) = *read_all(data, right, size + 1, step).unwrap_err();
            assert_eq!(error, VerifyError::SizeMismatch { digest: right, expected: size + 1, actual: size });
            let (out, error) = *read_all(data, right, size - 1, step).unwrap_err();
            assert_eq!(error, VerifyError::SizeMismatch { digest: right, expected: size - 1, actual: size });
            assert!(out.len() < data.len());
        }
    }

    #[test]
    fn empty_content() {
        assert_eq!(read_all(b"", Digest::sha256(b""), 0, 8).unwrap(), b"");
        assert!(read_all(b"", Digest::sha256(b"x"), 0, 8).is_err());
        assert!(read_all(b"x", Digest::sha256(b""), 0, 8).is_err());
    }

    #[test]
    fn an_endless_stream_is_given_up_at_once() {
        let mut reader = VerifyingReader::with(io::repeat(7), Digest::sha256(b""), 1000);
        let mut out = Vec::new();
        let error = reader.read_to_end(&mut out).unwrap_err();
        assert!(matches!(
            find_in(&error),
            Some(VerifyError::SizeMismatch { expected: 1000, actual: 1001, .. })
        ));
        assert_eq!(
            error.to_string(),
            format!("{} has at least 1001 bytes, 1000 are declared", Digest::sha256(b""))
        );
    }

    #[test]
    fn content_of_any_size() {
        for data in [&b""[..], b"some content"] {
            let mut out = Vec::new();
            VerifyingReader::of_any_size(data, Digest::sha256(data)).read_to_end(&mut out).unwrap();
            assert_eq!(out, data);
            let (expected, actual) = (Digest::sha256(b"other"), Digest::sha256(data));
            let mut reader = VerifyingReader::of_any_size(data, expected);
            for _ in 0..2 {
                let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
                assert_eq!(find_in(&error), Some(&VerifyError::DigestMismatch { expected, actual }));
            }
        }
    }

    #[test]
    fn sha512_is_verified_too() {
        let mut hasher = Hasher::new(crate::Algorithm::Sha512);
        hasher.update(b"x");
        assert_eq!(read_all(b"x", hasher.clone().finish(), 1, 8).unwrap(), b"x");
        assert!(read_all(b"y", hasher.finish(), 1, 8).is_err());
    }
}
