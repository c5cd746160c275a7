//! Digests and ids. The only file of this crate that names the hash libraries.

use std::fmt;
use std::str::FromStr;

use sha2::Digest as _;
use thiserror::Error;

/// The hash that names chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Digester {
    /// BLAKE3 with 256 bits of output.
    #[default]
    Blake3,
    /// SHA-256.
    Sha256,
}

impl Digester {
    /// The digest of `data`.
    pub fn digest(self, data: &[u8]) -> ChunkDigest {
        ChunkDigest(match self {
            Self::Blake3 => *blake3::hash(data).as_bytes(),
            Self::Sha256 => sha2::Sha256::digest(data).into(),
        })
    }

    /// The number of the hash in blob tables.
    pub(crate) const fn id(self) -> u32 {
        match self {
            Self::Blake3 => 0,
            Self::Sha256 => 1,
        }
    }

    /// The hash with this number.
    pub(crate) const fn from_id(id: u32) -> Option<Self> {
        match id {
            0 => Some(Self::Blake3),
            1 => Some(Self::Sha256),
            _ => None,
        }
    }

    /// The name users type.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blake3 => "blake3",
            Self::Sha256 => "sha256",
        }
    }
}

/// Text that names no digester.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("'{text}' is not one of blake3, sha256")]
pub struct DigesterError {
    /// What was to be parsed.
    pub text: String,
}

impl FromStr for Digester {
    type Err = DigesterError;

    fn from_str(text: &str) -> Result<Self, DigesterError> {
        let found = [Self::Blake3, Self::Sha256].into_iter().find(|digester| digester.name() == text);
        found.ok_or_else(|| DigesterError { text: text.to_owned() })
    }
}

impl fmt::Display for Digester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Text that is not 64 lowercase hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("'{text}' is not 64 lowercase hexadecimal digits")]
pub struct ParseHexError {
    /// The text that was given.
    pub text: String,
}

macro_rules! id32 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub [u8; 32]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = ParseHexError;

            fn from_str(text: &str) -> Result<Self, ParseHexError> {
                parse_hex(text.as_bytes()).map(Self).ok_or_else(|| ParseHexError { text: text.to_owned() })
            }
        }
    };
}

id32! {
    /// Digest of a chunk's uncompressed bytes.
    ChunkDigest
}
id32! {
    /// Id of a data blob: the SHA-256 of the complete blob stream.
    BlobId
}

fn parse_hex(text: &[u8]) -> Option<[u8; 32]> {
    let mut id = [0; 32];
    let (pairs, rest) = text.as_chunks::<2>();
    if pairs.len() != id.len() || !rest.is_empty() {
        return None;
    }
    for (byte, &[high, low]) in id.iter_mut().zip(pairs) {
        *byte = (hex_digit(high)? << 4) | hex_digit(low)?;
    }
    Some(id)
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn known_digests() {
        assert_eq!(
            Digester::Sha256.digest(b"abc").to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            Digester::Blake3.digest(b"").to_string(),
            "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
        );
    }

    #[test]
    fn text_form() {
        let text = "00ff10203040506070809000a0b0c0d0e0f00102030405060708090a0b0c0d0e";
        assert_eq!(text.parse::<BlobId>().unwrap().to_string(), text);
        for bad in ["", "00", &text[1..], &text.to_uppercase(), &format!("{text}00"), &"g".repeat(64)] {
            assert!(bad.parse::<BlobId>().is_err(), "{bad}");
        }
    }
}
