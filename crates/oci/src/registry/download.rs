//! One blob as a stream that is compared with its digest, and goes on where the connection ended.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use super::client::{Client, Tried};
use super::error::RegistryError;
use super::http::{Answer, Request};
use crate::descriptor::Descriptor;
use crate::digest::{Digest, Hasher};
use crate::verify::VerifyError;

/// Progress that makes earlier failures forgotten.
const PROGRESS: u64 = 64 << 10;

/// What came of blobs that were not read to their end: so many bytes with this digest. Who reads again after an error
/// learns whether these were other bytes.
pub(super) type Begun = Arc<Mutex<HashMap<Digest, (u64, Digest)>>>;

/// A blob on its way.
pub(super) struct Download {
    client: Arc<Client>,
    digest: Digest,
    size: u64,
    position: u64,
    body: Option<Box<dyn Read + Send>>,
    tries: u32,
    /// Where the last failure was forgotten.
    settled: u64,
    hasher: Option<Hasher>,
    begun: Begun,
    /// What an earlier stream of this blob had given when it ended.
    earlier: Option<(u64, Digest)>,
}

impl Download {
    /// Asks for the blob; an error now is one of the whole blob.
    pub fn start(client: Arc<Client>, descriptor: &Descriptor, begun: Begun) -> Result<Self, crate::Error> {
        let earlier = begun.lock().unwrap_or_else(PoisonError::into_inner).get(&descriptor.digest).copied();
        let (digest, size) = (descriptor.digest, descriptor.size);
        let hasher = Some(Hasher::new(digest.algorithm()));
        let mut download = Self {
            client,
            digest,
            size,
            position: 0,
            body: None,
            tries: 0,
            settled: 0,
            hasher,
            begun,
            earlier,
        };
        let client = Arc::clone(&download.client);
        let answer = client.retrying(|| download.ask())?;
        if let Some(actual) = answer.length().filter(|length| *length != size) {
            return Err(VerifyError::SizeMismatch { digest, expected: size, actual }.into());
        }
        download.body = Some(Box::new(answer.into_reader()));
        Ok(download)
    }

    /// The answer with the bytes from `position` on.
    fn ask(&self) -> Result<Answer, Tried> {
        let mut request = Request::new("GET", self.client.url(&format!("blobs/{}", self.digest)));
        if self.position > 0 {
            request = request.header("range", format!("bytes={}-", self.position));
        }
        let answer = self.client.once(&request)?;
        match answer.status() {
            200 if self.position == 0 => Ok(answer),
            // Registries need not know ranges.
            200 => Ok(answer),
            206 if self.position > 0 => {
                let from = answer.header("content-range").and_then(range_start);
                match from {
                    Some(from) if from == self.position => Ok(answer),
                    _ => Err(self.client.protocol(&request, "with another range than asked for").into()),
                }
            }
            404 => {
                let what = format!("blob {} in {}", self.digest, self.client.repository());
                Err(self.client.not_found(what).into())
            }
            _ => Err(self.client.status(&request, answer).into()),
        }
    }

    /// A body that goes on at `position`.
    fn resume(&mut self) -> Result<Box<dyn Read + Send>, Tried> {
        let answer = self.ask()?;
        let skip = if answer.status() == 206 { 0 } else { self.position };
        let mut body: Box<dyn Read + Send> = Box::new(answer.into_reader());
        let skipped = io::copy(&mut (&mut body).take(skip), &mut io::sink());
        match skipped {
            Ok(n) if n == skip => Ok(body),
            Ok(_) => Err(self.cut_off(io::ErrorKind::UnexpectedEof.into())),
            Err(error) => Err(self.cut_off(error)),
        }
    }

    fn cut_off(&self, source: io::Error) -> Tried {
        let request = format!("GET of blob {} (at byte {} of {})", self.digest, self.position, self.size);
        Tried::Again(
            RegistryError::Transport { host: self.client.host(), request, source: source.into() },
            None,
        )
    }

    /// One read, perhaps of a new body.
    fn read_once(&mut self, buffer: &mut [u8]) -> Result<usize, Tried> {
        if self.body.is_none() {
            self.body = Some(self.resume()?);
        }
        let Some(body) = &mut self.body else { return Ok(0) };
        match body.read(buffer) {
            Ok(0) if self.position < self.size => Err(self.cut_off(io::ErrorKind::UnexpectedEof.into())),
            Ok(n) => Ok(n),
            // Everything is here; how the connection ends is of no interest.
            Err(_) if self.position == self.size => Ok(0),
            Err(error) => Err(self.cut_off(error)),
        }
    }

    /// A read that goes on after interruptions.
    fn read_on(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.read_once(buffer) {
                Ok(n) => {
                    if self.position - self.settled >= PROGRESS {
                        (self.tries, self.settled) = (0, self.position);
                    }
                    return Ok(n);
                }
                Err(tried) => {
                    self.body = None;
                    let client = Arc::clone(&self.client);
                    client.pause(tried, &mut self.tries).map_err(into_io)?;
                }
            }
        }
    }

    fn corrupt(&self, expected: Digest, actual: Digest) -> io::Error {
        let (host, actual) = (self.client.host(), actual.to_string());
        into_io(RegistryError::Corrupt { host, expected, actual })
    }

    /// Hashes the next bytes. The digest is compared before the last of them are given away.
    fn check(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(hasher) = &mut self.hasher else { return Err(into_io(RegistryError::Closed)) };
        let end = self.position + bytes.len() as u64;
        if let Some((at, seen)) = self.earlier.filter(|(at, _)| *at <= end) {
            let (before, after) =
                bytes.split_at(usize::try_from(at - self.position).unwrap_or(0).min(bytes.len()));
            hasher.update(before);
            let actual = hasher.clone().finish();
            hasher.update(after);
            self.earlier = None;
            if actual != seen {
                return Err(self.corrupt(self.digest, seen));
            }
        } else {
            hasher.update(bytes);
        }
        self.position = end;
        if end > self.size {
            let (digest, expected) = (self.digest, self.size);
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                VerifyError::SizeMismatch { digest, expected, actual: end },
            ));
        }
        if end == self.size {
            let actual = self.hasher.take().map(Hasher::finish);
            if let Some(actual) = actual.filter(|actual| *actual != self.digest) {
                return Err(self.corrupt(self.digest, actual));
            }
        }
        Ok(())
    }
}

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || (self.hasher.is_none() && self.position >= self.size) {
            return Ok(0);
        }
        if self.size == 0 {
            self.check(&[])?;
            return Ok(0);
        }
        let n = self.read_on(buffer)?;
        let bytes = buffer.get(..n).unwrap_or_default();
        let checked = self.check(bytes);
        if checked.is_err() {
            self.hasher = None;
            self.position = u64::MAX;
        }
        checked.map(|()| n)
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        if let Some(hasher) = self.hasher.take().filter(|_| self.position > 0 && self.position < self.size) {
            let seen = (self.position, hasher.finish());
            self.begun.lock().unwrap_or_else(PoisonError::into_inner).insert(self.digest, seen);
        }
    }
}

/// A typed error for who only knows I/O errors.
pub(super) fn into_io(error: RegistryError) -> io::Error {
    io::Error::other(error)
}

/// The first byte of `bytes 0-9/10`.
fn range_start(value: &str) -> Option<u64> {
    value.trim().strip_prefix("bytes")?.trim_start().split('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::range_start;

    #[test]
    fn ranges() {
        assert_eq!(range_start("bytes 7-9/10"), Some(7));
        assert_eq!(range_start("bytes */10"), None);
        assert_eq!(range_start("7-9/10"), None);
    }
}
