//! RAFS v6: metadata that the kernel's EROFS driver can mount.
//!
//! [`write()`] makes the bootstrap of an [`Image`](crate::Image), [`parse`] reads one, [`fit`] tells what the format
//! cannot hold.

mod blob;
mod file_type;
mod fit;
pub(crate) mod layout;
mod reader;
mod writer;

pub use blob::BlobProblem;
pub use fit::{Loss, fit};
pub(crate) use reader::read;
pub use reader::{ChunkProblem, ChunkUseProblem, EntryProblem, ReadError, parse};
pub use writer::{WriteError, write};
