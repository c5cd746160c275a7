//! What the digest of an inode is made of: its content only, neither names nor attributes.
//!
//! ```text
//! regular file    H(digest of chunk 0 ‖ digest of chunk 1 ‖ …)
//! symbolic link   H(target)
//! directory       H(digest of child 0 ‖ digest of child 1 ‖ …), children in byte order of their names
//! anything else   H()
//! ```

use crate::Digester;

/// The digest of digests one after the other.
pub(super) fn of_digests(digester: Digester, digests: impl Iterator<Item = [u8; 32]>) -> [u8; 32] {
    let all: Vec<u8> = digests.flatten().collect();
    digester.digest(&all).0
}
