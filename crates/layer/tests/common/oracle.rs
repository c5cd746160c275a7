//! The same tar read by another parser, `tar-core`, for comparison.
//!
//! It knows no negative numbers, no large device numbers, no fractions of seconds, no `LIBARCHIVE` xattrs and no `SCHILY` device numbers, and
//! leaves global records to its caller; what it says is compared where none of these matter.

use nydus_convert_layer::{Entry, EntryKind};
use nydus_convert_rafs::{DeviceNumber, EntryPath};
use tar_core::EntryType;
use tar_core::parse::{Limits, ParseEvent, ParsedEntry, Parser};

/// What both parsers tell of an entry.
#[derive(Debug, PartialEq, Eq)]
pub struct Facts {
    path: EntryPath,
    kind: EntryKind,
    mode: u32,
    owner: (u64, u64),
    seconds: i64,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    content: Vec<u8>,
}

/// Whether `tar-core` can read the tar as it should be read.
pub fn is_competent(tar: &[u8], entries: &[(Entry, Vec<u8>)]) -> bool {
    let mut unknown = [&b"LIBARCHIVE.xattr."[..], b"SCHILY.dev"].into_iter();
    let has_unknown = unknown.any(|key| tar.windows(key.len()).any(|window| window == key));
    let is_octal = |number: &DeviceNumber| number.major.max(number.minor) < 1 << 21;
    !has_unknown
        && entries.iter().all(|(entry, _)| match &entry.kind {
            EntryKind::CharDevice(number) | EntryKind::BlockDevice(number) if !is_octal(number) => false,
            _ => entry.metadata.mtime.seconds >= 0,
        })
}

pub fn compare(tar: &[u8], entries: &[(Entry, Vec<u8>)]) {
    let ours: Vec<_> = entries.iter().map(|(entry, content)| facts_of(entry, content)).collect();
    let theirs = read(tar);
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(ours.len(), theirs.len());
}

fn facts_of(entry: &Entry, content: &[u8]) -> Facts {
    let metadata = &entry.metadata;
    Facts {
        path: entry.path.clone(),
        kind: entry.kind.clone(),
        mode: metadata.mode.into(),
        owner: (metadata.uid.into(), metadata.gid.into()),
        seconds: metadata.mtime.seconds,
        xattrs: metadata.xattrs.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect(),
        content: content.to_vec(),
    }
}

fn read(tar: &[u8]) -> Vec<Facts> {
    let limits = Limits { max_pending_entries: 1000, max_sparse_entries: 1 << 20, ..Limits::permissive() };
    let mut parser = Parser::new(limits);
    parser.set_allow_empty_path(true);
    let mut found = Vec::new();
    let mut at = 0;
    loop {
        let (used, size, facts) = match parser.parse(&tar[at..]).unwrap() {
            ParseEvent::End { .. } => return found,
            ParseEvent::NeedData { .. } => {
                // It has no word for a stream that ends without blocks of zeros.
                assert_eq!(at, tar.len());
                return found;
            }
            ParseEvent::GlobalExtensions { consumed, .. } => (consumed, 0, None),
            ParseEvent::Entry { consumed, entry } => {
                let content = stored(tar, at + consumed, &entry).to_vec();
                let size = entry.size;
                (consumed, padded(&entry), theirs(&entry, size, content))
            }
            ParseEvent::SparseEntry { consumed, entry, sparse_map, real_size } => {
                let mut data = stored(tar, at + consumed, &entry);
                let mut content = vec![0; real_size as usize];
                for segment in sparse_map {
                    let (now, later) = data.split_at(segment.length as usize);
                    content[segment.offset as usize..][..now.len()].copy_from_slice(now);
                    data = later;
                }
                (consumed, padded(&entry), theirs(&entry, real_size, content))
            }
        };
        at += used + size;
        found.extend(facts);
    }
}

/// `tar-core` skips what is stored behind any header; in the tars compared here only files have content.
fn stored<'a>(tar: &'a [u8], at: usize, entry: &ParsedEntry<'_>) -> &'a [u8] {
    &tar[at..at + entry.size as usize]
}

fn padded(entry: &ParsedEntry<'_>) -> usize {
    entry.padded_size() as usize
}

fn theirs(entry: &ParsedEntry<'_>, size: u64, content: Vec<u8>) -> Option<Facts> {
    let target = entry.link_target.as_deref().unwrap_or_default();
    let device = || DeviceNumber {
        major: entry.dev_major.unwrap_or_default(),
        minor: entry.dev_minor.unwrap_or_default(),
    };
    let kind = match entry.entry_type {
        // Its rule for V7 directories is left to the caller.
        EntryType::Regular if entry.header.as_bytes()[156] == 0 && entry.path.ends_with(b"/") => {
            EntryKind::Directory
        }
        EntryType::Regular | EntryType::Continuous | EntryType::GnuSparse => EntryKind::Regular { size },
        EntryType::Link => EntryKind::HardLink { target: EntryPath::parse(target).unwrap() },
        EntryType::Symlink => EntryKind::Symlink { target: target.to_vec() },
        EntryType::Char => EntryKind::CharDevice(device()),
        EntryType::Block => EntryKind::BlockDevice(device()),
        EntryType::Directory => EntryKind::Directory,
        EntryType::Fifo => EntryKind::Fifo,
        EntryType::Other(b'V') => return None,
        EntryType::Other(b'D') => EntryKind::Directory,
        other => EntryKind::Unsupported { typeflag: other.as_byte() },
    };
    let is_file = matches!(kind, EntryKind::Regular { .. });
    let mut xattrs: Vec<_> =
        entry.xattrs.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
    xattrs.sort();
    Some(Facts {
        path: EntryPath::parse(&entry.path).unwrap(),
        kind,
        mode: entry.mode & 0o7777,
        owner: (entry.uid, entry.gid),
        seconds: i64::try_from(entry.mtime).unwrap(),
        xattrs,
        content: if is_file { content } else { Vec::new() },
    })
}
