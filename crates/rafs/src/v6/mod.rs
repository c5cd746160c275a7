//! RAFS v6: metadata that the kernel's EROFS driver can mount.
//!
//! [`write()`] makes the bootstrap of an [`Image`](crate::Image), [`parse`] reads one, [`fit`] tells what the format
//! cannot hold.

mod blob;
pub(crate) mod layout;
mod reader;
mod writer;

pub use crate::fit::Loss;
pub use blob::BlobProblem;
pub use reader::{ChunkProblem, ChunkUseProblem, EntryProblem, ReadError, parse};
pub(crate) use reader::{Reading, read};
pub use writer::{WriteError, write};

use crate::fit::{self, Capacity};
use crate::{Inode, limits};

pub(crate) const CAPACITY: Capacity =
    Capacity { xattr_value: limits::MAX_XATTR_VALUE, xattrs_total: limits::MAX_XATTRS_TOTAL };

/// Changes an inode to the nearest thing that v6 can hold and tells every loss. `name` is the entry's own name, `None`
/// for the root. Where a loss [drops the entry](Loss::drops_entry), the inode stays as it is in that respect.
pub fn fit(name: Option<&[u8]>, inode: &mut Inode) -> Vec<Loss> {
    fit::fit(name, inode, &CAPACITY)
}
