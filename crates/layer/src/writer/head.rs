//! The headers of one entry: a ustar block, and PAX records in front of it for what does not fit there.
//!
//! ```text
//! ┌ if needed ──────────────────────────────┐
//! │ header, type x │ records, padded to 512 │ header │ content, padded to 512
//! └─────────────────────────────────────────┘
//!
//!   0 name[100]  100 mode[8]  108 uid[8]  116 gid[8]  124 size[12]  136 mtime[12]  148 checksum[8]  156 typeflag
//! 157 linkname[100]  257 "ustar\0" "00"  265 uname[32] empty  297 gname[32] empty  329 devmajor[8]  337 devminor[8]
//! 345 prefix[155]  500 zeros
//! ```
//! Numbers are octal digits up to a last NUL, device numbers of other types too. A number that has a record is 0 in the
//! header; a name that has one stands in the header as far as it fits. The extension's own header has a fixed name and
//! zeros for owner and time. Nothing here is GNU's.

use nydus_convert_rafs::{DeviceNumber, EntryPath, Metadata, Timestamp};

use super::error::LayerWriteError;
use super::records::{Records, is_xattr_name};
use crate::entry::EntryKind;
use crate::limits::MAX_EXTENSION;
use crate::tape::BLOCK;

/// Programs that do not know the type of the extension's header make a file of that name.
const EXTENSION_NAME: &[u8] = b"PaxHeaders/x";
const NAME: usize = 100;
const PREFIX: usize = 155;
/// What 7 and 11 octal digits can say.
const MAX_7: u64 = (1 << 21) - 1;
const MAX_11: u64 = (1 << 33) - 1;

/// The type of an entry, with what only this type has.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind<'a> {
    Regular { size: u64 },
    Directory,
    Symlink { target: &'a [u8] },
    HardLink { target: &'a [u8] },
    CharDevice(DeviceNumber),
    BlockDevice(DeviceNumber),
    Fifo,
}

impl<'a> Kind<'a> {
    /// `Err`: the flag of a type that is not written.
    pub fn of(kind: &'a EntryKind) -> Result<Self, u8> {
        Ok(match kind {
            EntryKind::Regular { size } => Self::Regular { size: *size },
            EntryKind::Directory => Self::Directory,
            EntryKind::Symlink { target } => Self::Symlink { target },
            EntryKind::HardLink { target } => Self::HardLink { target: target.as_bytes() },
            EntryKind::CharDevice(number) => Self::CharDevice(*number),
            EntryKind::BlockDevice(number) => Self::BlockDevice(*number),
            EntryKind::Fifo => Self::Fifo,
            EntryKind::Unsupported { typeflag } => return Err(*typeflag),
        })
    }

    const fn typeflag(self) -> u8 {
        match self {
            Self::Regular { .. } => b'0',
            Self::HardLink { .. } => b'1',
            Self::Symlink { .. } => b'2',
            Self::CharDevice(_) => b'3',
            Self::BlockDevice(_) => b'4',
            Self::Directory => b'5',
            Self::Fifo => b'6',
        }
    }
}

/// Whether a symbolic link can have that target in a tar.
pub(super) fn is_symlink_target(target: &[u8]) -> bool {
    !target.is_empty() && !target.contains(&0)
}

/// Appends the headers of an entry to `out`. `path` is in the normal form of [`EntryPath`].
pub(super) fn encode(
    path: &[u8],
    kind: Kind<'_>,
    metadata: &Metadata,
    out: &mut Vec<u8>,
) -> Result<(), LayerWriteError> {
    check(path, kind)?;
    let mut records = Records::default();
    let mut block = Block::new(kind.typeflag());
    block.name(&stored_name(path, kind), &mut records);
    block.octal(100, 8, (metadata.mode & 0o7777).into());
    block.number(108, 8, metadata.uid.into(), "uid", &mut records);
    block.number(116, 8, metadata.gid.into(), "gid", &mut records);
    block.mtime(metadata.mtime, &mut records);
    match kind {
        Kind::Regular { size } => block.number(124, 12, size, "size", &mut records),
        Kind::Symlink { target } | Kind::HardLink { target } => block.target(target, &mut records),
        Kind::CharDevice(number) | Kind::BlockDevice(number) => {
            block.number(329, 8, number.major.into(), "SCHILY.devmajor", &mut records);
            block.number(337, 8, number.minor.into(), "SCHILY.devminor", &mut records);
        }
        Kind::Directory | Kind::Fifo => {}
    }
    for (name, value) in metadata.xattrs.iter() {
        if !is_xattr_name(name) {
            return Err(LayerWriteError::XattrName { path: entry_path(path), name: name.to_vec() });
        }
        records.xattr(name, value);
    }
    if !records.is_empty() {
        extension(path, &records, out)?;
    }
    out.extend_from_slice(&block.finish());
    Ok(())
}

/// Bytes that fill the last block of a content.
pub(super) fn padding(size: u64) -> usize {
    // Less than a block, so no bit is lost.
    (size.wrapping_neg() % BLOCK as u64) as usize
}

/// For errors; bytes that come from a tree are in normal form already.
pub(super) fn entry_path(path: &[u8]) -> EntryPath {
    EntryPath::parse(path).unwrap_or_default()
}

fn check(path: &[u8], kind: Kind<'_>) -> Result<(), LayerWriteError> {
    match kind {
        Kind::Directory => Ok(()),
        _ if path.is_empty() => Err(LayerWriteError::RootNotDirectory),
        Kind::Regular { size } if i64::try_from(size).is_err() => {
            Err(LayerWriteError::FileTooLarge { path: entry_path(path), size })
        }
        Kind::Symlink { target } if !is_symlink_target(target) => {
            Err(LayerWriteError::SymlinkTarget { path: entry_path(path), target: target.to_vec() })
        }
        _ => Ok(()),
    }
}

/// `a/b`, `a/b/` for a directory, `./` for the root.
fn stored_name(path: &[u8], kind: Kind<'_>) -> Vec<u8> {
    match kind {
        Kind::Directory if path.is_empty() => b"./".to_vec(),
        Kind::Directory => [path, b"/"].concat(),
        _ => path.to_vec(),
    }
}

fn extension(path: &[u8], records: &Records, out: &mut Vec<u8>) -> Result<(), LayerWriteError> {
    let body = records.body();
    if body.len() > MAX_EXTENSION {
        return Err(LayerWriteError::ExtensionTooLarge { path: entry_path(path), size: body.len() });
    }
    let mut block = Block::new(b'x');
    block.put(0, EXTENSION_NAME);
    block.octal(100, 8, 0o644);
    block.octal(124, 12, body.len() as u64);
    out.extend_from_slice(&block.finish());
    out.extend_from_slice(&body);
    out.resize(out.len() + padding(body.len() as u64), 0);
    Ok(())
}

/// A header block under construction.
struct Block([u8; BLOCK]);

impl Block {
    /// All numbers 0, all names empty.
    fn new(typeflag: u8) -> Self {
        let mut block = Self([0; BLOCK]);
        for (at, length) in [(100, 8), (108, 8), (116, 8), (124, 12), (136, 12), (329, 8), (337, 8)] {
            block.octal(at, length, 0);
        }
        block.put(156, &[typeflag]);
        block.put(257, b"ustar\x0000");
        block
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// The caller sees to it that the number fits in `length - 1` digits.
    fn octal(&mut self, at: usize, length: usize, value: u64) {
        let digits = format!("{value:0width$o}", width = length - 1);
        debug_assert!(digits.len() < length);
        self.put(at, digits.as_bytes());
    }

    fn number(&mut self, at: usize, length: usize, value: u64, key: &str, records: &mut Records) {
        if value <= if length == 8 { MAX_7 } else { MAX_11 } {
            self.octal(at, length, value);
        } else {
            records.number(key, value);
        }
    }

    /// The header has whole seconds from 1970 on; next to a record, too, if they fit.
    fn mtime(&mut self, time: Timestamp, records: &mut Records) {
        let whole = u64::try_from(time.seconds).ok().filter(|seconds| *seconds <= MAX_11);
        self.octal(136, 12, whole.unwrap_or_default());
        if whole.is_none() || time.nanos != 0 {
            records.mtime(time);
        }
    }

    fn name(&mut self, name: &[u8], records: &mut Records) {
        if name.len() <= NAME {
            return self.put(0, name);
        }
        if let Some((prefix, rest)) = split(name) {
            self.put(345, prefix);
            return self.put(0, rest);
        }
        records.name("path", name);
        let mut short = &name[..NAME];
        // A slash at the end would make a directory of a file, for some readers.
        while let [before @ .., b'/'] = short {
            short = before;
        }
        self.put(0, short);
    }

    fn target(&mut self, target: &[u8], records: &mut Records) {
        if target.len() > NAME {
            records.name("linkpath", target);
        }
        self.put(157, &target[..target.len().min(NAME)]);
    }

    fn finish(mut self) -> [u8; BLOCK] {
        self.put(148, b"        ");
        let sum: u64 = self.0.iter().map(|&byte| u64::from(byte)).sum();
        self.put(148, format!("{sum:06o}\0 ").as_bytes());
        self.0
    }
}

/// Divides a name of more than 100 bytes at the last slash that leaves both parts short enough and not empty.
fn split(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let body = name.strip_suffix(b"/").unwrap_or(name);
    let window = &body[..body.len().min(PREFIX + 1)];
    let at = window.iter().rposition(|&byte| byte == b'/')?;
    let (prefix, rest) = (&name[..at], &name[at + 1..]);
    (!prefix.is_empty() && rest.len() <= NAME).then_some((prefix, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_at_a_slash() {
        let name = |parts: &[usize]| parts.iter().map(|&n| "x".repeat(n)).collect::<Vec<_>>().join("/");
        for (parts, slash, at) in [
            (&[155, 100][..], "", Some(155)),
            (&[155, 99], "/", Some(155)),
            (&[155, 100], "/", None),
            (&[156, 100], "", None),
            (&[155, 101], "", None),
            (&[101], "", None),
            (&[100], "/", None),
            (&[1, 100], "", Some(1)),
            (&[1, 1, 100], "", Some(3)),
            (&[50, 50, 50], "", Some(101)),
        ] {
            let name = name(parts) + slash;
            let found = split(name.as_bytes());
            assert_eq!(found.map(|(prefix, _)| prefix.len()), at, "{parts:?}{slash}");
            if let Some((prefix, rest)) = found {
                assert_eq!([prefix, b"/", rest].concat(), name.as_bytes());
            }
        }
    }

    #[test]
    fn a_block_byte_by_byte() {
        let metadata = Metadata {
            mode: 0o4755,
            uid: 1000,
            gid: 50,
            mtime: Timestamp { seconds: 1_234_567_890, nanos: 0 },
            ..Metadata::default()
        };
        let mut out = Vec::new();
        assert!(encode(b"usr/bin/tool", Kind::Regular { size: 3000 }, &metadata, &mut out).is_ok());
        let mut expected = vec![0; BLOCK];
        for (at, bytes) in [
            (0, &b"usr/bin/tool"[..]),
            (100, b"0004755\x000001750\x000000062\x0000000005670\x0011145401322\x00011562\0 0"),
            (257, b"ustar\x0000"),
            (329, b"0000000\x000000000\0"),
        ] {
            expected[at..at + bytes.len()].copy_from_slice(bytes);
        }
        assert_eq!(out.escape_ascii().to_string(), expected.escape_ascii().to_string());
    }
}
