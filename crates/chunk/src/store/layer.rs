//! What is kept of a layer beside its blob.
//!
//! ```text
//!   "NCLR" │ version 1 │ BLAKE3 of what follows │ blob id │ blob size │ CRC-32C of the blob │ body, which is the caller's
//!   4        u32         32                       32        u64         u32
//! ```

use std::fmt;

use nydus_convert_rafs::{BlobId, Digester};

use super::{ObjectKind, ObjectName};

const MAGIC: [u8; 8] = *b"NCLR\x01\0\0\0";
const FRONT: usize = MAGIC.len() + 32;
const HEAD: usize = FRONT + 32 + 8 + 4;

/// What a layer's blob was made of: the SHA-256 of the layer's identity, the options and the version of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LayerKey(pub [u8; 32]);

impl LayerKey {
    pub(super) const fn object(self) -> ObjectName {
        ObjectName { kind: ObjectKind::Layer, id: self.0 }
    }
}

/// 64 hexadecimal digits.
impl fmt::Display for LayerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        BlobId(self.0).fmt(f)
    }
}

/// The object of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LayerObject {
    pub blob: BlobId,
    pub size: u64,
    pub check: u32,
    pub body: Vec<u8>,
}

impl LayerObject {
    pub fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD + self.body.len());
        bytes.extend(MAGIC);
        bytes.extend([0; 32]);
        bytes.extend(self.blob.0);
        bytes.extend(self.size.to_le_bytes());
        bytes.extend(self.check.to_le_bytes());
        bytes.extend(&self.body);
        let digest = Digester::Blake3.digest(&bytes[FRONT..]);
        bytes[MAGIC.len()..FRONT].copy_from_slice(&digest.0);
        bytes
    }

    /// `None` if anything is wrong with it.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<8>()?;
        let (digest, rest) = rest.split_first_chunk::<32>()?;
        let sound = *magic == MAGIC && Digester::Blake3.digest(rest).0 == *digest;
        let (blob, rest) = rest.split_first_chunk::<32>()?;
        let (size, rest) = rest.split_first_chunk::<8>()?;
        let (check, body) = rest.split_first_chunk::<4>()?;
        sound.then(|| Self {
            blob: BlobId(*blob),
            size: u64::from_le_bytes(*size),
            check: u32::from_le_bytes(*check),
            body: body.to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_seen() {
        let layer =
            LayerObject { blob: BlobId([7; 32]), size: 5, check: 9, body: b"what merging needs".to_vec() };
        let bytes = layer.write();
        assert_eq!(LayerObject::parse(&bytes), Some(layer));
        for end in 0..bytes.len() {
            assert_eq!(LayerObject::parse(&bytes[..end]), None);
        }
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert_eq!(LayerObject::parse(&damaged), None, "{at}");
        }
    }
}
