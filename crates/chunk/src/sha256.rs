//! SHA-256 of what streams by. The only file of this crate that names the hash library.

use sha2::Digest as _;

/// A running SHA-256.
#[derive(Clone, Default)]
pub(crate) struct Sha256(sha2::Sha256);

impl Sha256 {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of everything so far; more may follow.
    pub(crate) fn digest(&self) -> [u8; 32] {
        self.0.clone().finalize().into()
    }

    pub(crate) fn of(bytes: &[u8]) -> [u8; 32] {
        sha2::Sha256::digest(bytes).into()
    }
}
