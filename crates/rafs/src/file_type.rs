//! Types of files and their two numbers: in modes and in directory entries.

use crate::InodeKind;

/// The type of an inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileType {
    Regular,
    Directory,
    CharDevice,
    BlockDevice,
    Fifo,
    Socket,
    Symlink,
}

impl FileType {
    /// Type, type bits of the mode, `file_type` of a directory entry.
    const TABLE: [(Self, u16, u8); 7] = [
        (Self::Regular, 0o100_000, 1),
        (Self::Directory, 0o040_000, 2),
        (Self::CharDevice, 0o020_000, 3),
        (Self::BlockDevice, 0o060_000, 4),
        (Self::Fifo, 0o010_000, 5),
        (Self::Socket, 0o140_000, 6),
        (Self::Symlink, 0o120_000, 7),
    ];

    /// The type of an inode.
    pub(crate) const fn of(kind: &InodeKind) -> Self {
        match kind {
            InodeKind::Directory(_) => Self::Directory,
            InodeKind::Regular { .. } => Self::Regular,
            InodeKind::Symlink { .. } => Self::Symlink,
            InodeKind::CharDevice(_) => Self::CharDevice,
            InodeKind::BlockDevice(_) => Self::BlockDevice,
            InodeKind::Fifo => Self::Fifo,
            InodeKind::Socket => Self::Socket,
        }
    }

    /// The type that a mode names.
    pub(crate) fn of_mode(mode: u16) -> Option<Self> {
        Self::TABLE.iter().find(|(_, bits, _)| *bits == mode & 0o170_000).map(|(file_type, ..)| *file_type)
    }

    /// Type bits of a mode.
    pub(crate) fn mode_bits(self) -> u16 {
        Self::TABLE.iter().find(|(file_type, ..)| *file_type == self).map_or(0, |(_, bits, _)| *bits)
    }

    /// `file_type` of a directory entry.
    pub(crate) fn dirent_type(self) -> u8 {
        Self::TABLE.iter().find(|(file_type, ..)| *file_type == self).map_or(0, |(.., number)| *number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_one_number_each() {
        for (file_type, bits, number) in FileType::TABLE {
            assert_eq!(FileType::of_mode(bits | 0o755), Some(file_type));
            assert_eq!((file_type.mode_bits(), file_type.dirent_type()), (bits, number));
        }
        assert_eq!(FileType::of_mode(0o755), None);
        assert_eq!(FileType::of_mode(0o030_000), None);
    }
}
