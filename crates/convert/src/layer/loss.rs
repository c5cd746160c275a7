//! What the target format cannot hold of a layer.

use nydus_convert_rafs::{EntryPath, Loss};

/// Something of an entry that the target format cannot hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostEntry {
    /// Path of the entry in the layer.
    pub path: EntryPath,
    /// The part of it that is lost.
    pub loss: Lost,
}

/// What is lost of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lost {
    /// Something of its metadata, or all of it.
    Inode(Loss),
    /// The entry is of a type that no file system tree has.
    TypeFlag(u8),
    /// The entry has the name of the root and is no directory.
    Root,
    /// The tar cannot be understood from some place on; what follows is kept for the way back alone.
    Damage(String),
}

impl Lost {
    /// Whether container engines pass over it too, so that nothing is lost that any of them would show.
    pub(crate) fn is_note(&self) -> bool {
        match self {
            Self::Inode(loss) => loss.is_foreign(),
            Self::Root => true,
            Self::TypeFlag(_) | Self::Damage(_) => false,
        }
    }
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Inode(loss) => loss.fmt(f),
            Self::TypeFlag(flag) => {
                write!(f, "entries of type '{}' are no files", nydus_convert_rafs::display_bytes(&[*flag]))
            }
            Self::Root => {
                f.write_str("the entry has the name of the root and is no directory; it is passed over")
            }
            Self::Damage(problem) => write!(f, "the layer has no files from here on: {problem}"),
        }
    }
}
