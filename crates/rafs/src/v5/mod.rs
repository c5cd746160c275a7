//! RAFS v5: metadata in a format of its own, read by FUSE clients only.
//!
//! [`write()`] makes the bootstrap of an [`Image`](crate::Image), [`parse`] reads one, [`check_digests`] recomputes the
//! digests that inodes carry, [`fit`] tells what the format cannot hold.
//!
//! Two things of an image have no place in v5. A blob has no compressor, digester, cipher or chunk information of its
//! own: those of the image count. And only regular files have several names: of anything else each name becomes a file of
//! its own.

mod blob;
mod digest;
pub(crate) mod layout;
mod reader;
mod writer;

pub use crate::fit::Loss;
pub use blob::BlobProblem;
pub use reader::{ChunkProblem, DigestError, EntryProblem, ReadError, check_digests, parse};
pub(crate) use reader::{Reading, read};
pub use writer::{WriteError, write};

use crate::fit::{self, Capacity};
use crate::{Inode, limits};

pub(crate) const CAPACITY: Capacity =
    Capacity { xattr_value: limits::MAX_XATTR_VALUE_V5, xattrs_total: usize::MAX };

/// Changes an inode to the nearest thing that v5 can hold and tells every loss. `name` is the entry's own name, `None`
/// for the root. Where a loss [drops the entry](Loss::drops_entry), the inode stays as it is in that respect.
pub fn fit(name: Option<&[u8]>, inode: &mut Inode) -> Vec<Loss> {
    fit::fit(name, inode, &CAPACITY)
}
