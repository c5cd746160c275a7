//! What a layer consists of.

use nydus_convert_rafs::{DeviceNumber, EntryPath, Metadata};

/// One member of a layer, in the order of the tar. Whiteouts and opaque markers are ordinary entries here; the same
/// path may come again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it belongs. The root itself may come as an entry; of a kind other than a directory too, if the tar says so.
    pub path: EntryPath,
    /// What it is.
    pub kind: EntryKind,
    /// Mode, owner, time and extended attributes, as the entry has them. Those of a hard link are usually, but not
    /// necessarily, the ones of its target.
    pub metadata: Metadata,
    /// Bytes from the start of the tar to its header (not to the extension headers before that).
    pub offset: u64,
}

/// The type of an entry, with what only this type has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A file: types `0`, NUL, `7` (contiguous, which means nothing today) and sparse files of every form.
    Regular {
        /// Bytes of content, holes included. A sparse file may claim up to 2⁶³ − 1 of them and store none.
        size: u64,
    },
    /// A directory: type `5`, a V7 file with a trailing slash, or the `D` of GNU tar's incremental archives.
    Directory,
    /// A symbolic link.
    Symlink {
        /// Where it points, as stored; not empty, no NUL.
        target: Vec<u8>,
    },
    /// One more name of another entry: of this layer, before or behind, or of a lower one.
    HardLink {
        /// The other name.
        target: EntryPath,
    },
    /// A character device.
    CharDevice(DeviceNumber),
    /// A block device.
    BlockDevice(DeviceNumber),
    /// A named pipe.
    Fifo,
    /// A type that has no meaning for an image (GNU `M`, the rest of a file from another volume; `N`; vendors' types).
    /// Go's `archive/tar` hands it out and the engines refuse it. Its content is passed over.
    Unsupported {
        /// The type in the header.
        typeflag: u8,
    },
}
