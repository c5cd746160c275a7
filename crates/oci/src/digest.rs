//! Digests of content, and readers and writers that compute them on the way.
//!
//! A [`Digest`] is parsed at the edge: `algorithm ":" lower-case hex`, of exactly the algorithm's length.
//! What got through the parser is safe as a path component. This is the only file of the crate that names the
//! hash library.

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest as _;
use thiserror::Error;

use crate::kind::ErrorKind;
use crate::text::excerpt;

/// A hash that the OCI image specification registers and every client can verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// SHA-256: what practically all images use.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// The name in front of the colon; also the directory under `blobs/` of a layout.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }
}

/// The digest of some content: `sha256:…` or `sha512:…`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(Repr);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Repr {
    Sha256([u8; 32]),
    Sha512([u8; 64]),
}

/// Text that is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DigestError {
    /// Not `algorithm:hex`, or the hex is not lower case or not of the algorithm's length.
    #[error("\"{text}\" is not a digest (sha256: and 64 lower-case hexadecimal digits)")]
    Malformed {
        /// The beginning of what was given, escaped.
        text: String,
    },
    /// An algorithm that is not verified here.
    #[error("digest algorithm \"{algorithm}\" is not supported (sha256 and sha512 are)")]
    UnsupportedAlgorithm {
        /// The algorithm's name, escaped.
        algorithm: String,
    },
}

impl DigestError {
    /// What sort of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Malformed { .. } => ErrorKind::Verification,
            Self::UnsupportedAlgorithm { .. } => ErrorKind::Unsupported,
        }
    }
}

impl Digest {
    /// The digest with these 32 bytes of SHA-256.
    pub const fn from_sha256(bytes: [u8; 32]) -> Self {
        Self(Repr::Sha256(bytes))
    }

    /// The SHA-256 of `data`.
    pub fn sha256(data: &[u8]) -> Self {
        Self(Repr::Sha256(sha2::Sha256::digest(data).into()))
    }

    /// Which hash made it.
    pub const fn algorithm(&self) -> Algorithm {
        match self.0 {
            Repr::Sha256(_) => Algorithm::Sha256,
            Repr::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// The hash value: 32 or 64 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Sha256(bytes) => bytes,
            Repr::Sha512(bytes) => bytes,
        }
    }

    /// The hash value in lower-case hex: 64 or 128 characters, a file's name in a layout.
    pub fn hex(&self) -> String {
        self.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.algorithm().name())?;
        f.write_str(":")?;
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let malformed = || DigestError::Malformed { text: excerpt(text) };
        let (algorithm, hex) = text.split_once(':').ok_or_else(malformed)?;
        let repr = match algorithm {
            "sha256" => parse_hex(hex).map(Repr::Sha256),
            "sha512" => parse_hex(hex).map(Repr::Sha512),
            _ if is_algorithm_name(algorithm) => {
                return Err(DigestError::UnsupportedAlgorithm { algorithm: excerpt(algorithm) });
            }
            _ => None,
        };
        repr.map(Self).ok_or_else(malformed)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The digest of a layer's uncompressed tar.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DiffId(pub Digest);

impl fmt::Display for DiffId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for DiffId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for DiffId {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        text.parse().map(Self)
    }
}

/// A digest in the making.
#[derive(Clone)]
pub struct Hasher(State);

#[derive(Clone)]
enum State {
    Sha256(sha2::Sha256),
    Sha512(Box<sha2::Sha512>),
}

impl Hasher {
    /// Nothing hashed yet.
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(sha2::Sha256::new()),
            Algorithm::Sha512 => State::Sha512(Box::new(sha2::Sha512::new())),
        })
    }

    /// Hashes `data` after what came before.
    pub fn update(&mut self, data: &[u8]) {
        match &mut self.0 {
            State::Sha256(state) => state.update(data),
            State::Sha512(state) => state.update(data),
        }
    }

    /// The digest of everything added.
    pub fn finish(self) -> Digest {
        Digest(match self.0 {
            State::Sha256(state) => Repr::Sha256(state.finalize().into()),
            State::Sha512(state) => Repr::Sha512(state.finalize().into()),
        })
    }
}

/// A reader that hashes (SHA-256) and counts what passes.
pub struct HashingReader<R> {
    inner: R,
    hasher: Hasher,
    count: u64,
}

impl<R: Read> HashingReader<R> {
    /// Hashes everything read from here on.
    pub fn new(inner: R) -> Self {
        Self { inner, hasher: Hasher::new(Algorithm::Sha256), count: 0 }
    }

    /// The reader, the digest and the number of bytes that passed. Says nothing about bytes that were not
    /// read.
    pub fn finish(self) -> (R, Digest, u64) {
        (self.inner, self.hasher.finish(), self.count)
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.hasher.update(buf.get(..n).unwrap_or_default());
        self.count += n as u64;
        Ok(n)
    }
}

/// A writer that hashes (SHA-256) and counts what passes.
pub(crate) struct HashingWriter<W> {
    inner: W,
    hasher: Hasher,
    count: u64,
}

impl<W: Write> HashingWriter<W> {
    /// Hashes everything written from here on.
    pub fn new(inner: W) -> Self {
        Self { inner, hasher: Hasher::new(Algorithm::Sha256), count: 0 }
    }

    /// The writer, the digest and the number of bytes that passed.
    pub fn finish(self) -> (W, Digest, u64) {
        (self.inner, self.hasher.finish(), self.count)
    }

    /// The writer.
    pub(crate) const fn get_ref(&self) -> &W {
        &self.inner
    }

    /// Bytes that passed so far.
    pub(crate) const fn count(&self) -> u64 {
        self.count
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(buf)?;
        self.hasher.update(buf.get(..n).unwrap_or_default());
        self.count += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn parse_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut value = [0; N];
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    for (byte, &[high, low]) in value.iter_mut().zip(pairs) {
        *byte = (hex_digit(high)? << 4) | hex_digit(low)?;
    }
    Some(value)
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// The specification's grammar of algorithm names: words of lower-case letters and digits, joined by one of
/// `+._-`.
fn is_algorithm_name(text: &str) -> bool {
    text.split(['+', '.', '_', '-'])
        .all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn known_values() {
        assert_eq!(Digest::sha256(b"").to_string(), EMPTY);
        assert_eq!(Hasher::new(Algorithm::Sha256).finish(), EMPTY.parse().unwrap());
        let mut hasher = Hasher::new(Algorithm::Sha512);
        hasher.update(b"a");
        hasher.update(b"bc");
        assert_eq!(
            hasher.finish().to_string(),
            "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
        );
    }

    #[test]
    fn text_form() {
        let digest: Digest = EMPTY.parse().unwrap();
        assert_eq!(format!("sha256:{}", digest.hex()), EMPTY);
        assert_eq!(serde_json::to_string(&digest).unwrap(), format!("\"{EMPTY}\""));
        let long = format!("sha512:{}", "0a".repeat(64));
        assert_eq!(long.parse::<Digest>().unwrap().to_string(), long);
    }

    #[test]
    fn hostile_digests() {
        let hex = &EMPTY[7..];
        let malformed = [
            "".to_owned(),
            "sha256".to_owned(),
            "sha256:".to_owned(),
            hex.to_owned(),
            format!(":{hex}"),
            format!("sha256:{}", &hex[1..]),
            format!("sha256:{hex}0"),
            format!("sha256:{}", hex.to_uppercase()),
            format!("SHA256:{hex}"),
            format!("sha512:{hex}"),
            format!("sha256:{hex}\n"),
            format!(" sha256:{hex}"),
            format!("sha256:../../{}", &hex[6..]),
            format!("../sha256:{hex}"),
            format!("sha256:{}", "é".repeat(32)),
            format!("sha256:{}\0", &hex[1..]),
        ];
        for text in &malformed {
            assert!(matches!(text.parse::<Digest>(), Err(DigestError::Malformed { .. })), "{text}");
        }
        for algorithm in ["sha384", "blake3", "md5", "tarsum.v1+sha256"] {
            let error = format!("{algorithm}:{hex}").parse::<Digest>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{algorithm}");
        }
    }

    #[test]
    fn readers_and_writers_hash_what_passes() {
        let mut reader = HashingReader::new(&b"hello"[..]);
        let mut out = HashingWriter::new(Vec::new());
        io::copy(&mut reader, &mut out).unwrap();
        let (_, read, n) = reader.finish();
        let (bytes, written, m) = out.finish();
        assert_eq!((read, n), (Digest::sha256(b"hello"), 5));
        assert_eq!((written, m), (read, n));
        assert_eq!(bytes, b"hello");
    }
}
