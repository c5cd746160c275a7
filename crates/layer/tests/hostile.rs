//! Layers made to hurt: each is refused, or harmless.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::Read;

use common::{Head, Tar, pax_body, read, read_one, record};
use nydus_convert_layer::limits::MAX_EXTENSION;
use nydus_convert_layer::{EntryKind, LayerError, LayerReader};

#[test]
fn a_tebibyte_that_is_not_there() {
    for tar in [
        Tar::new().head(Head::ustar(b'0', "big").size(1 << 40)),
        Tar::new().pax(&[("size", b"1099511627776")]).head(Head::ustar(b'0', "big")),
    ] {
        let tar = tar.raw(&[1; 1000]).0;
        let mut reader = LayerReader::new(tar.as_slice());
        let entry = reader.next_entry().unwrap().unwrap();
        assert_eq!(entry.kind, EntryKind::Regular { size: 1 << 40 });
        match read(tar.as_slice()) {
            Err(LayerError::Truncated { at, missing }) => {
                assert_eq!((at.offset, missing), (tar.len() as u64, (1 << 40) - 1000));
                assert_eq!(at.path.unwrap().as_bytes(), b"big");
            }
            other => panic!("{other:?}"),
        }
    }
    // The largest number there is.
    let tar = Tar::new().head(Head::ustar(b'0', "big").base_256(124, 12, i64::MAX.into())).raw(&[1; 1000]).0;
    assert!(matches!(read(tar.as_slice()), Err(LayerError::Truncated { .. })));
    for typeflag in [b'L', b'K', b'x', b'g', b'V', b'M', b'1'] {
        let tar =
            Tar::new().head(Head::ustar(typeflag, "big").base_256(124, 12, i64::MAX.into())).raw(&[1; 1000]);
        read(tar.0.as_slice()).unwrap_err();
    }
}

#[test]
fn extensions_beyond_the_limit_are_refused_before_they_are_read() {
    for flag in *b"xgLKX" {
        let size = MAX_EXTENSION as u64 + 1;
        let tar = Tar::new().file("a", b"").head(Head::ustar(flag, "big").size(size)).0;
        match read(tar.as_slice()) {
            Err(LayerError::ExtensionTooLarge { offset: 512, typeflag, size: found }) => {
                assert_eq!((typeflag, found), (flag, size));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_million_records() {
    let body = record(b"comment", b"x").repeat(1_000_000);
    let tar = Tar::new().entry(Head::ustar(b'x', "x"), &body).file("a", b"").end();
    assert!(matches!(read(tar.as_slice()), Err(LayerError::ExtensionTooLarge { .. })));
    // As many as fit, of every kind that is kept.
    for key in ["comment", "path", "SCHILY.xattr.a", "LIBARCHIVE.xattr.a", "GNU.sparse.map"] {
        let one = record(key.as_bytes(), b"1");
        let body = one.repeat(MAX_EXTENSION / one.len());
        for flag in *b"xg" {
            let tar = Tar::new().entry(Head::ustar(flag, "x"), &body).file("a", b"");
            let _ = read(tar.end().as_slice());
        }
    }
    let distinct: Vec<u8> =
        (0..40_000).flat_map(|n| record(format!("SCHILY.xattr.{n}").as_bytes(), b"")).collect();
    let (entry, _) = read_one(&Tar::new().entry(Head::ustar(b'x', "x"), &distinct).file("a", b"").end());
    assert_eq!(entry.metadata.xattrs.len(), 40_000);
}

#[test]
fn global_records_do_not_pile_up() {
    let value = vec![b'v'; 1 << 19];
    let tar = Tar::new()
        .global(&[("SCHILY.xattr.user.a", &value)])
        .global(&[("SCHILY.xattr.user.b", &value)])
        .global(&[("comment", &value)])
        .file("fine", b"");
    let (entry, _) = read_one(&tar.end());
    assert_eq!((entry.path.as_bytes(), entry.metadata.xattrs.len()), (&b"fine"[..], 0));
}

#[test]
fn records_that_lie_about_their_length() {
    for body in [
        &b"100 path=short\n"[..],
        b"5 path=long\n",
        b"99999999999999999999999999 path=x\n",
        b"18446744073709551615 path=x\n",
        b"-5 path=x\n",
        b"path=x\n",
        b"\n",
        b" ",
        b"11 path=x\n\n\n",
        b"12 path=good\nx",
    ] {
        for flag in *b"xg" {
            let tar = Tar::new().file("a", b"").entry(Head::ustar(flag, "x"), body).file("b", b"").end();
            let result = read(tar.as_slice());
            assert!(matches!(result, Err(LayerError::BadPax { offset: 512, .. })), "{result:?}");
        }
    }
}

#[test]
fn values_smuggle_nothing() {
    // Read line by line, each of these would set a path, a target, a size or an owner.
    let evil = b"\n20 path=etc/passwd1\n22 linkpath=/etc/shadow\n9 size=9\n8 uid=0\n";
    let tar = Tar::new()
        .pax(&[("SCHILY.xattr.user.x", evil), ("comment", evil), ("uid", b"1000")])
        .entry(Head::ustar(b'0', "innocent"), b"content")
        .pax(&[("path", &[b"a", &evil[..]].concat()), ("linkpath", &[b"b", &evil[..]].concat())])
        .head(Head::ustar(b'2', "link"))
        .end();
    let entries = read(tar.as_slice()).unwrap();
    let (first, content) = &entries[0];
    assert_eq!(
        (first.path.as_bytes(), first.metadata.uid, &content[..]),
        (&b"innocent"[..], 1000, &b"content"[..])
    );
    assert_eq!(first.metadata.xattrs.get(b"user.x"), Some(&evil[..]));
    assert_eq!(entries[1].0.path.as_bytes(), [b"a", &evil[..]].concat());
    assert_eq!(entries[1].0.kind, EntryKind::Symlink { target: [b"b", &evil[..]].concat() });
    assert_eq!(entries.len(), 2);
}

#[test]
fn chains_of_extension_headers() {
    let mut tar = Tar::new();
    for n in 0..20_000 {
        tar = tar.long(b'L', format!("name{n}").as_bytes()).long(b'K', format!("target{n}").as_bytes());
    }
    let (entry, _) = read_one(&tar.clone().head(Head::ustar(b'2', "x")).end());
    assert_eq!(entry.path.as_bytes(), b"name19999");
    assert_eq!(entry.kind, EntryKind::Symlink { target: b"target19999".to_vec() });
    assert_eq!(read(tar.end().as_slice()).unwrap(), []);
}

/// The same bytes for ever.
struct Endless {
    piece: Vec<u8>,
    at: usize,
    left: usize,
}

impl Read for Endless {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let rest = &self.piece[self.at..];
        let count = rest.len().min(out.len()).min(self.left);
        out[..count].copy_from_slice(&rest[..count]);
        self.at = (self.at + count) % self.piece.len();
        self.left -= count;
        Ok(count)
    }
}

#[test]
fn a_chain_without_end_takes_no_memory() {
    // 256 MiB of long names, a megabyte each, never an entry.
    let piece = Tar::new().long(b'L', &vec![b'n'; MAX_EXTENSION - 1]).pax(&[("path", &[b'p'; 100_000])]).0;
    let mut reader = LayerReader::new(Endless { at: 0, left: 256 << 20, piece });
    assert!(matches!(reader.next_entry(), Ok(None) | Err(LayerError::Truncated { .. })));
}

#[test]
fn a_tar_in_a_tar_stays_inside() {
    let inner = Tar::new().file("inner", b"evil").end();
    let outer = Tar::new().file("outer.tar", &inner).end();
    let (entry, content) = read_one(&outer);
    assert_eq!((entry.path.as_bytes(), content), (&b"outer.tar"[..], inner));
}

#[test]
fn errors_name_their_place() {
    let text = |tar: Tar| {
        let error = read(tar.end().as_slice()).unwrap_err();
        match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        }
    };
    let bad_body =
        Tar::new().entry(Head::ustar(b'x', "x"), &[&pax_body(&[("uid", b"1")])[..], b"junk"].concat());
    for (tar, expected) in [
        (
            Tar::new().file("a/../../b", b""),
            "tar offset 0: an entry's name cannot be used: the path 'a/../../b' leads out of the root",
        ),
        (
            Tar::new().file("a", b"").head(Head::ustar(b'1', "x").link(b"../y")),
            "/x (tar offset 512): the link's target cannot be used: the path '../y' leads out of the root",
        ),
        (
            Tar::new().pax(&[("uid", b"\x1b[31m")]).file("a", b""),
            "/a (tar offset 1024): '\\x1b[31m' is no valid uid",
        ),
        (bad_body, "tar offset 0: malformed PAX record 8 bytes into the extension"),
        (
            Tar::new().head(Head::ustar(b'S', "f")),
            "/f (tar offset 0): the sparse file cannot be read: type 'S' in a header that is not in GNU format",
        ),
        (
            Tar::new().head(Head::ustar(b'g', "f").size(1 << 40)),
            "tar offset 0: extension 'g' of 1099511627776 bytes, more than 1048576",
        ),
        (
            Tar::new().head(Head::ustar(b'0', "f").size(2000)),
            "/f (tar offset 1536): the tar ends there, 976 bytes too early",
        ),
    ] {
        assert_eq!(text(tar), expected);
    }
}
