//! PAX extended headers: `length SP key=value LF`, where the length counts the whole record.
//!
//! Only the length says where a record ends. A value may hold anything, line feeds and what looks like another record
//! included (a binary xattr does); splitting at line feeds would let one value smuggle in a `path` or a `linkpath`.
//!
//! - The last record of a key wins. An empty value means "as if not recorded", so
//!   the header's own field counts; only for xattrs it is an empty value, as every extractor takes it.
//! - A second local header before the same entry replaces the first one, as in Go and GNU tar.
//! - Global records mean nothing, as in Go, and so for every container engine: a header of `git archive` or one with `path`
//!   and `size` changes no entry. (POSIX and GNU tar let them hold for all entries that follow.)
//! - Keys not listed in [`Key`] are ignored. So are owners' names (images are unpacked by number), `atime` and `ctime`,
//!   `SCHILY.acl.*` (ACLs as text; engines set them from the `system.posix_acl_*` xattrs) and `RHT.security.selinux`.
//!   `hdrcharset` needs no care: names are bytes throughout.

use std::ops::Range;

use nydus_convert_rafs::Xattrs;

use crate::header::is_zero;
use crate::xattr::{self, Collector};

/// The records with a meaning of their own; xattrs apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Path,
    LinkPath,
    Size,
    Uid,
    Gid,
    Mtime,
    DeviceMajor,
    DeviceMinor,
    SparseMajor,
    SparseMinor,
    SparseName,
    SparseSize,
    SparseRealSize,
    SparseCount,
    SparseMap,
}

const KEYS: [(&[u8], Key); 15] = [
    (b"path", Key::Path),
    (b"linkpath", Key::LinkPath),
    (b"size", Key::Size),
    (b"uid", Key::Uid),
    (b"gid", Key::Gid),
    (b"mtime", Key::Mtime),
    (b"SCHILY.devmajor", Key::DeviceMajor),
    (b"SCHILY.devminor", Key::DeviceMinor),
    (b"GNU.sparse.major", Key::SparseMajor),
    (b"GNU.sparse.minor", Key::SparseMinor),
    (b"GNU.sparse.name", Key::SparseName),
    (b"GNU.sparse.size", Key::SparseSize),
    (b"GNU.sparse.realsize", Key::SparseRealSize),
    (b"GNU.sparse.numblocks", Key::SparseCount),
    (b"GNU.sparse.map", Key::SparseMap),
];
const SPARSE_OFFSET: &[u8] = b"GNU.sparse.offset";
const SPARSE_LENGTH: &[u8] = b"GNU.sparse.numbytes";

impl Key {
    fn of(name: &[u8]) -> Option<Self> {
        KEYS.iter().find(|(known, _)| *known == name).map(|(_, key)| *key)
    }
}

/// Where a record stands in a body.
struct Record {
    key: Range<usize>,
    value: Range<usize>,
    end: usize,
}

/// Reads the record that begins at `begin`. `None` if it is malformed.
fn record(body: &[u8], begin: usize) -> Option<Record> {
    let rest = body.get(begin..)?;
    let space = rest.iter().take(20).position(|&byte| byte == b' ')?;
    let digits = &rest[..space];
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let length: usize = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let (last, text) = rest.get(space + 1..length)?.split_last()?;
    let equals = text.iter().position(|&byte| byte == b'=')?;
    let key = &text[..equals];
    if *last != b'\n' || key.is_empty() || key.contains(&0) {
        return None;
    }
    let key = begin + space + 1..begin + space + 1 + equals;
    let end = begin.checked_add(length)?;
    Some(Record { value: key.end + 1..end - 1, key, end })
}

/// The records of a local header, as ranges of its body; reused from header to header.
#[derive(Debug, Default)]
pub(crate) struct Local {
    body: Vec<u8>,
    known: [Option<Range<usize>>; KEYS.len()],
    /// Key and value of the xattr records of either spelling, in order.
    xattrs: Vec<(Range<usize>, Range<usize>)>,
    /// Offsets and lengths of a sparse map in version 0.0, alternating.
    segments: Vec<Range<usize>>,
}

impl Local {
    /// Forgets all records and lends the space for the next body.
    pub fn clear(&mut self) -> &mut Vec<u8> {
        self.body.clear();
        self.known = Default::default();
        self.xattrs.clear();
        self.segments.clear();
        &mut self.body
    }

    /// Reads the body that was put into the space. The error is the position of the malformed record.
    pub fn parse(&mut self) -> Result<(), usize> {
        let mut position = 0;
        // Padding counted into the size by mistake is no record.
        while position < self.body.len() && !is_zero(&self.body[position..]) {
            let record = record(&self.body, position).ok_or(position)?;
            self.file(&record).ok_or(position)?;
            position = record.end;
        }
        Ok(())
    }

    fn file(&mut self, record: &Record) -> Option<()> {
        let name = &self.body[record.key.clone()];
        if let Some(key) = Key::of(name) {
            self.known[key as usize] = Some(record.value.clone());
        } else if xattr::is_record(name) {
            self.xattrs.push((record.key.clone(), record.value.clone()));
        } else if name == SPARSE_OFFSET || name == SPARSE_LENGTH {
            // They come in pairs; anything else has no meaning.
            if self.segments.len().is_multiple_of(2) != (name == SPARSE_OFFSET) {
                return None;
            }
            self.segments.push(record.value.clone());
        }
        Some(())
    }
}

/// All that is recorded about the next entry.
#[derive(Debug, Default)]
pub(crate) struct Pax {
    /// The header just before the entry.
    pub local: Local,
}

/// Reads the records of a global header, which say nothing. The error is the position of the malformed record.
pub(crate) fn check_global(body: &[u8]) -> Result<(), usize> {
    let mut position = 0;
    while position < body.len() && !is_zero(&body[position..]) {
        position = record(body, position).ok_or(position)?.end;
    }
    Ok(())
}

impl Pax {
    /// The value in force; `None` if the header's own field counts.
    pub fn value(&self, key: Key) -> Option<&[u8]> {
        let value = self.local.known.get(key as usize)?.clone()?;
        Some(&self.local.body[value]).filter(|value| !value.is_empty())
    }

    /// Offsets and lengths of a sparse map in version 0.0, alternating.
    pub fn sparse_segments(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.local.segments.iter().map(|value| &self.local.body[value.clone()])
    }

    /// The extended attributes.
    pub fn xattrs(&self) -> Xattrs {
        let mut xattrs = Collector::default();
        let Local { body, xattrs: records, .. } = &self.local;
        xattrs.add(records.iter().map(|(key, value)| (&body[key.clone()], &body[value.clone()])));
        xattrs.finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn local(body: &[u8]) -> Result<Pax, usize> {
        let mut pax = Pax::default();
        pax.local.clear().extend_from_slice(body);
        pax.local.parse().map(|()| pax)
    }

    #[test]
    fn keys_stand_at_their_own_number() {
        for (index, (name, key)) in KEYS.iter().enumerate() {
            assert_eq!(*key as usize, index);
            assert_eq!(Key::of(name), Some(*key));
        }
    }

    #[test]
    fn the_length_decides() {
        let pax = local(b"9 path=a\n27 SCHILY.xattr.user.x=1\n2\n15 path=b\n c=d\n").unwrap();
        assert_eq!(pax.value(Key::Path), Some(&b"b\n c=d"[..]));
        assert_eq!(pax.xattrs().get(b"user.x"), Some(&b"1\n2"[..]));
    }

    #[test]
    fn malformed_records() {
        for (body, position) in [
            (&b"9 path=a"[..], 0),
            (b"8 path=a\n", 0),
            (b"11 path=a\n", 0),
            (b"10 path=aa\n", 0),
            (b"9 path=a\n9 path=bb\n", 9),
            (b"path=a\n", 0),
            (b"+9 path=a\n", 0),
            (b" 9 path=a\n", 0),
            (b"0 \n", 0),
            (b"2 \n", 0),
            (b"3 \n\n", 0),
            (b"5 a=\n5 =a\n", 5),
            (b"7 patha\n", 0),
            (b"8 a\0b=c\n", 0),
            (b"99999999999999999999 path=a\n", 0),
            (b"18446744073709551615 path=a\n", 0),
            (b"9 path=a\n\0x", 9),
            (b"25 GNU.sparse.numbytes=1\n", 0),
            (b"23 GNU.sparse.offset=1\n23 GNU.sparse.offset=1\n", 23),
        ] {
            assert_eq!(local(body).err(), Some(position), "{}", body.escape_ascii());
        }
    }

    #[test]
    fn trailing_zeros_are_padding() {
        let pax = local(b"9 path=a\n\0\0\0").unwrap();
        assert_eq!(pax.value(Key::Path), Some(&b"a"[..]));
    }

    #[test]
    fn global_records_are_read_and_mean_nothing() {
        assert_eq!(check_global(b"8 uid=7\n19 comment=ignored\n27 SCHILY.xattr.user.g=all\n\0\0"), Ok(()));
        assert_eq!(check_global(b"8 uid=8\nx"), Err(8));
    }
}
