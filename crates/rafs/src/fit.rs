//! What a version of the format cannot hold of an inode, and the nearest thing it can.
//!
//! The writers refuse every inode that has a loss; `fit` of [`v5`](crate::v5::fit) and [`v6`](crate::v6::fit) makes one
//! that has none, or tells that only leaving the entry out helps.

use thiserror::Error;

use crate::v6::layout::{XATTR_PREFIXES, XattrEntry, XattrHeader};
use crate::{Inode, InodeKind, Xattrs, display_bytes, limits};

/// What differs between the versions: they know the same namespaces of extended attributes.
pub(crate) struct Capacity {
    /// Bytes of one attribute's value.
    pub(crate) xattr_value: usize,
    /// Bytes of all attributes of one inode, as v6 stores them.
    pub(crate) xattrs_total: usize,
}

/// Something about an inode that the format cannot hold.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Loss {
    /// A fraction of a second that is a second or more. It becomes 0.
    #[error("the modification time has {nanos} nanoseconds, a second or more; they become 0")]
    Nanoseconds {
        /// The nanoseconds.
        nanos: u32,
    },
    /// A file name that no client can use.
    #[error("the name is {length} bytes long, more than {}", limits::MAX_NAME)]
    NameTooLong {
        /// Length in bytes.
        length: usize,
    },
    /// A symbolic link whose target no client can read.
    #[error("the symbolic link's target is {length} bytes long, more than {}", limits::MAX_SYMLINK)]
    SymlinkTooLong {
        /// Length in bytes.
        length: usize,
    },
    /// A symbolic link to the empty path.
    #[error("the symbolic link's target is empty")]
    EmptySymlink,
    /// A symbolic link whose target contains a NUL byte, where every client would cut it.
    #[error("the symbolic link's target contains a NUL byte")]
    SymlinkNul,
    /// An extended attribute of a namespace that the format does not know. It is dropped.
    #[error(
        "the extended attribute '{}' belongs to no namespace that the format knows; it is dropped",
        display_bytes(name)
    )]
    XattrNamespace {
        /// Full name of the attribute.
        name: Vec<u8>,
    },
    /// An extended attribute whose name is a bare prefix, longer than Linux takes, or contains a NUL byte. It is
    /// dropped.
    #[error(
        "the extended attribute '{}' has a name that no system takes; it is dropped",
        display_bytes(name)
    )]
    XattrName {
        /// Full name of the attribute.
        name: Vec<u8>,
    },
    /// An extended attribute with a value longer than the version of the format can hold. It is dropped.
    #[error(
        "the extended attribute '{}' has {length} bytes, more than {most}; it is dropped",
        display_bytes(name)
    )]
    XattrValueTooLong {
        /// Full name of the attribute.
        name: Vec<u8>,
        /// Length of the value in bytes.
        length: usize,
        /// Longest value that can be held, in bytes.
        most: usize,
    },
    /// An extended attribute that comes, in order of names, when the space of the inode is used up. It is dropped.
    #[error(
        "the extended attribute '{}' exceeds the {} bytes that one file can have; it is dropped",
        display_bytes(name),
        limits::MAX_XATTRS_TOTAL
    )]
    XattrsTooLarge {
        /// Full name of the attribute.
        name: Vec<u8>,
    },
    /// A device number that does not fit 12 + 20 bits.
    #[error("the device number {major}:{minor} does not fit 12 + 20 bits")]
    DeviceNumber {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A file of more chunks than readers take.
    #[error("the file has {chunks} chunks, more than {}", limits::MAX_CHUNKS_PER_FILE)]
    TooManyChunks {
        /// Number of chunks.
        chunks: u64,
    },
}

impl Loss {
    /// Whether no system that unpacks layers would have it either: an attribute outside the namespaces of Linux, such as
    /// macOS' `com.apple.provenance`.
    pub fn is_foreign(&self) -> bool {
        let namespaces = ["user.", "trusted.", "security.", "system.", "btrfs."];
        match self {
            Self::XattrNamespace { name } => {
                !namespaces.iter().any(|namespace| name.starts_with(namespace.as_bytes()))
            }
            _ => false,
        }
    }

    /// Whether nothing but leaving the entry out helps.
    pub fn drops_entry(&self) -> bool {
        match self {
            Self::Nanoseconds { .. }
            | Self::XattrNamespace { .. }
            | Self::XattrName { .. }
            | Self::XattrValueTooLong { .. }
            | Self::XattrsTooLarge { .. } => false,
            Self::NameTooLong { .. }
            | Self::SymlinkTooLong { .. }
            | Self::EmptySymlink
            | Self::SymlinkNul
            | Self::DeviceNumber { .. }
            | Self::TooManyChunks { .. } => true,
        }
    }
}

/// Changes an inode to the nearest thing that can be held and tells every loss. `name` is the entry's own name, `None`
/// for the root. Where a loss [drops the entry](Loss::drops_entry), the inode stays as it is in that respect.
pub(crate) fn fit(name: Option<&[u8]>, inode: &mut Inode, capacity: &Capacity) -> Vec<Loss> {
    let losses = losses(name, inode, capacity);
    for loss in &losses {
        match loss {
            Loss::Nanoseconds { .. } => inode.metadata.mtime.nanos = 0,
            Loss::XattrNamespace { name }
            | Loss::XattrName { name }
            | Loss::XattrValueTooLong { name, .. }
            | Loss::XattrsTooLarge { name } => {
                inode.metadata.xattrs.remove(name);
            }
            _ => {}
        }
    }
    losses
}

/// Every loss of an inode, without changing it.
pub(crate) fn losses(name: Option<&[u8]>, inode: &Inode, capacity: &Capacity) -> Vec<Loss> {
    let mut losses = Vec::new();
    losses.extend(
        name.filter(|name| name.len() > limits::MAX_NAME)
            .map(|name| Loss::NameTooLong { length: name.len() }),
    );
    let mtime = inode.metadata.mtime;
    if mtime.nanos >= 1_000_000_000 {
        losses.push(Loss::Nanoseconds { nanos: mtime.nanos });
    }
    losses.extend(kind_loss(&inode.kind));
    xattr_losses(&inode.metadata.xattrs, capacity, &mut losses);
    losses
}

fn kind_loss(kind: &InodeKind) -> Option<Loss> {
    match kind {
        InodeKind::Symlink { target } if target.is_empty() => Some(Loss::EmptySymlink),
        InodeKind::Symlink { target } if target.len() > limits::MAX_SYMLINK => {
            Some(Loss::SymlinkTooLong { length: target.len() })
        }
        InodeKind::Symlink { target } if target.contains(&0) => Some(Loss::SymlinkNul),
        InodeKind::CharDevice(number) | InodeKind::BlockDevice(number) if number.encode().is_none() => {
            Some(Loss::DeviceNumber { major: number.major, minor: number.minor })
        }
        InodeKind::Regular { chunks, .. } if chunks.len() > limits::MAX_CHUNKS_PER_FILE => {
            Some(Loss::TooManyChunks { chunks: chunks.len() as u64 })
        }
        _ => None,
    }
}

fn xattr_losses(xattrs: &Xattrs, capacity: &Capacity, losses: &mut Vec<Loss>) {
    let mut total = size_of::<XattrHeader>();
    for (name, value) in xattrs.iter() {
        let Some((_, suffix)) = split_name(name) else {
            losses.push(match XATTR_PREFIXES.iter().any(|(_, prefix, _)| name == *prefix) {
                true => Loss::XattrName { name: name.to_vec() },
                false => Loss::XattrNamespace { name: name.to_vec() },
            });
            continue;
        };
        let size = (size_of::<XattrEntry>() + suffix.len() + value.len()).next_multiple_of(4);
        if name.len() > limits::MAX_XATTR_NAME || name.contains(&0) {
            losses.push(Loss::XattrName { name: name.to_vec() });
        } else if value.len() > capacity.xattr_value {
            let (length, most) = (value.len(), capacity.xattr_value);
            losses.push(Loss::XattrValueTooLong { name: name.to_vec(), length, most });
        } else if total + size > capacity.xattrs_total {
            losses.push(Loss::XattrsTooLarge { name: name.to_vec() });
        } else {
            total += size;
        }
    }
}

/// The number of an attribute's namespace and what follows the prefix; `None` if it has none or stops at the prefix.
pub(crate) fn split_name(name: &[u8]) -> Option<(u8, &[u8])> {
    XATTR_PREFIXES.iter().find_map(|(index, prefix, has_suffix)| {
        let suffix = name.strip_prefix(*prefix)?;
        (suffix.is_empty() != *has_suffix).then_some((*index, suffix))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;
    use crate::v6::fit;
    use crate::{DeviceNumber, Metadata, v5};

    fn inode(kind: InodeKind) -> Inode {
        Inode { metadata: Metadata::default(), kind }
    }

    fn symlink(target: &[u8]) -> InodeKind {
        InodeKind::Symlink { target: target.into() }
    }

    #[test]
    fn what_only_leaving_out_helps() {
        let number = DeviceNumber { major: 4096, minor: 0 };
        for (kind, expected) in [
            (symlink(b""), Some(Loss::EmptySymlink)),
            (symlink(b"a\0b"), Some(Loss::SymlinkNul)),
            (symlink(&[b'a'; 4095]), None),
            (symlink(&[b'a'; 4096]), Some(Loss::SymlinkTooLong { length: 4096 })),
            (InodeKind::CharDevice(number), Some(Loss::DeviceNumber { major: 4096, minor: 0 })),
            (InodeKind::Fifo, None),
        ] {
            let mut inode = inode(kind);
            let before = inode.clone();
            let losses = fit(Some(b"name"), &mut inode);
            assert!(losses.iter().all(Loss::drops_entry));
            assert_eq!(losses, Vec::from_iter(expected));
            assert_eq!(inode, before);
        }
        let losses = fit(Some(&[b'n'; 256]), &mut inode(InodeKind::Fifo));
        assert_eq!(losses, [Loss::NameTooLong { length: 256 }]);
        assert!(losses[0].drops_entry());
        assert_eq!(fit(Some(&[b'n'; 255]), &mut inode(InodeKind::Fifo)), []);
        assert_eq!(fit(None, &mut inode(InodeKind::Fifo)), []);
    }

    #[test]
    fn times() {
        let mut early = inode(InodeKind::Fifo);
        // Before 1970: the field has 64 bits, and all who read it take them for signed.
        early.metadata.mtime = Timestamp { seconds: -5, nanos: 7 };
        assert_eq!(fit(None, &mut early), []);
        assert_eq!(early.metadata.mtime, Timestamp { seconds: -5, nanos: 7 });
        early.metadata.mtime = Timestamp { seconds: 1, nanos: 1_000_000_000 };
        assert_eq!(fit(None, &mut early), [Loss::Nanoseconds { nanos: 1_000_000_000 }]);
        assert_eq!(early.metadata.mtime, Timestamp { seconds: 1, nanos: 0 });
        assert_eq!(fit(None, &mut early), []);
    }

    #[test]
    fn attributes_that_do_not_fit_are_dropped_one_by_one() {
        let mut inode = inode(InodeKind::Fifo);
        let long_name = [&b"user."[..], &[b'n'; 251]].concat();
        for (name, value) in [
            (&b"user.fine"[..], &b"1"[..]),
            (b"user.", b"bare"),
            (b"com.apple.quarantine", b""),
            (b"system.posix_acl_access", b"acl"),
            (b"system.posix_acl_access2", b"no"),
            (b"system.nfs4_acl", b"no"),
            (b"user.nul\0", b"no"),
            (&long_name, b"no"),
            (b"user.value", &[0; 65_536]),
            (b"user.value_fits", &[0; 65_535]),
        ] {
            inode.metadata.xattrs.insert(name.to_vec(), value.to_vec());
        }
        let losses = fit(None, &mut inode);
        assert!(!losses.iter().any(Loss::drops_entry));
        assert_eq!(losses.len(), 7);
        let left: Vec<&[u8]> = inode.metadata.xattrs.iter().map(|(name, _)| name).collect();
        assert_eq!(left, [&b"system.posix_acl_access"[..], b"user.fine", b"user.value_fits"]);
        assert_eq!(fit(None, &mut inode), []);
    }

    #[test]
    fn the_space_for_attributes_is_filled_in_order_of_names() {
        let mut inode = inode(InodeKind::Fifo);
        for name in [b"user.a", b"user.b", b"user.c", b"user.d", b"user.e"] {
            inode.metadata.xattrs.insert(name.to_vec(), vec![0; 65_000]);
        }
        inode.metadata.xattrs.insert(b"user.z".to_vec(), b"small".to_vec());
        assert_eq!(fit(None, &mut inode), [Loss::XattrsTooLarge { name: b"user.e".to_vec() }]);
        assert_eq!(inode.metadata.xattrs.len(), 5);
    }

    #[test]
    fn attributes_that_no_engine_of_linux_sets() {
        for (name, is_foreign) in [
            (&b"com.apple.provenance"[..], true),
            (b"", true),
            (b"gnu.translator", true),
            (b"userspace", true),
            (b"system.nfs4_acl", false),
            (b"btrfs.compression", false),
            (b"trusted.", false),
        ] {
            let mut inode = inode(InodeKind::Fifo);
            inode.metadata.xattrs.insert(name.to_vec(), Vec::new());
            let losses = fit(None, &mut inode);
            assert_eq!(losses.iter().map(Loss::is_foreign).collect::<Vec<_>>(), [is_foreign]);
            assert!(inode.metadata.xattrs.is_empty());
        }
    }

    #[test]
    fn versions_hold_different_attributes() {
        let mut inode = inode(InodeKind::Fifo);
        for name in [b"user.a", b"user.b", b"user.c", b"user.d", b"user.e"] {
            inode.metadata.xattrs.insert(name.to_vec(), vec![0; 65_536]);
        }
        assert_eq!(v5::fit(None, &mut inode), []);
        inode.metadata.xattrs.insert(b"user.f".to_vec(), vec![0; 65_537]);
        let name = b"user.f".to_vec();
        let loss = Loss::XattrValueTooLong { name, length: 65_537, most: 65_536 };
        assert_eq!(v5::fit(None, &mut inode), [loss]);
        assert_eq!(fit(None, &mut inode).len(), 5);
    }

    #[test]
    fn losses_are_told_in_plain_words() {
        let texts: Vec<String> = [
            Loss::Nanoseconds { nanos: 1_000_000_000 },
            Loss::NameTooLong { length: 300 },
            Loss::XattrNamespace { name: b"a\nb".to_vec() },
            Loss::DeviceNumber { major: 5000, minor: 1 },
        ]
        .iter()
        .map(Loss::to_string)
        .collect();
        assert_eq!(
            texts,
            [
                "the modification time has 1000000000 nanoseconds, a second or more; they become 0",
                "the name is 300 bytes long, more than 255",
                r"the extended attribute 'a\x0ab' belongs to no namespace that the format knows; it is dropped",
                "the device number 5000:1 does not fit 12 + 20 bits",
            ]
        );
    }
}
