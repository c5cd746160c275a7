//! Tars by the programs that people use: GNU tar, bsdtar, Python's tarfile.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/oracle.rs"]
mod oracle;
#[path = "common/tree.rs"]
mod tree;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::Command;

use common::{CONTENT_CAP, Recorder, read};
use nydus_convert_layer::{Entry, EntryKind, LayerReader};
use nydus_convert_rafs::{DeviceNumber, Timestamp};
use tree::{Tree, have, run};

fn gnu_tar(tree: &Tree, options: &[&str]) -> Vec<u8> {
    run(Command::new("tar").arg("-c").args(options).arg("-C").arg(tree.root()).arg("."))
}

fn bsdtar(tree: &Tree, options: &[&str]) -> Vec<u8> {
    run(Command::new("bsdtar").args(options).args(["-cf", "-", "-C"]).arg(tree.root()).arg("."))
}

/// Reads the tar, and sees that the tape makes it again and that another parser reads the same.
fn read_and_replay(tar: &[u8]) -> Vec<(Entry, Vec<u8>)> {
    let mut tape = Recorder::default();
    let mut reader = LayerReader::with_tape(tar, &mut tape);
    while reader.next_entry().unwrap().is_some() {}
    reader.finish().unwrap();
    assert!(tape.replay() == tar);
    let entries = read(tar).unwrap();
    if oracle::is_competent(tar, &entries) {
        oracle::compare(tar, &entries);
    }
    entries
}

#[test]
fn gnu_tar_in_all_formats() {
    if !have("tar") {
        return;
    }
    for (format, tree) in [
        ("v7", Tree::plain()),
        ("ustar", Tree::special()),
        ("oldgnu", Tree::large()),
        ("oldgnu", Tree::wild()),
        ("gnu", Tree::large()),
        ("gnu", Tree::wild()),
        ("posix", Tree::large()),
        ("posix", Tree::wild()),
    ] {
        let tar = gnu_tar(&tree, &[&format!("--format={format}")]);
        tree.check(&read_and_replay(&tar), format == "posix");
    }
}

#[test]
fn bsdtar_in_all_formats() {
    if !have("bsdtar") {
        return;
    }
    // Its times before 1970 are wrong: forced to 0 in GNU format, the fraction added to the wrong side in PAX.
    for (format, tree) in
        [("v7", Tree::plain()), ("ustar", Tree::special()), ("gnutar", Tree::large()), ("pax", Tree::large())]
    {
        let tar = bsdtar(&tree, &["--format", format]);
        tree.check(&read_and_replay(&tar), format == "pax");
    }
}

/// Files with holes: some, many, nothing else, none at all.
fn holes() -> Tree {
    let tree = Tree::new();
    let many: Vec<_> = (0..400).map(|n| (n * 2048 + 512, 512)).collect();
    for (name, size, data) in [
        ("some", 300_000, &[(40_960, 10_000), (299_999, 1)][..]),
        ("many", 1_000_000, &many),
        ("only", 100_000, &[]),
        ("none", 5000, &[(0, 5000)]),
    ] {
        assert!(size <= CONTENT_CAP as u64);
        let file = File::create(tree.path(name)).unwrap();
        file.set_len(size).unwrap();
        data.iter().for_each(|&(offset, length)| file.write_all_at(&vec![7; length], offset).unwrap());
    }
    tree
}

#[test]
fn sparse_files_by_gnu_tar() {
    if !have("tar") {
        return;
    }
    let tree = holes();
    for options in [
        &["--format=gnu"][..],
        &["--format=oldgnu"],
        &["--format=posix", "--sparse-version=0.0"],
        &["--format=posix", "--sparse-version=0.1"],
        &["--format=posix", "--sparse-version=1.0"],
    ] {
        // Found by reading, so that segments are finer than the blocks of the file system.
        let tar = gnu_tar(&tree, &[options, &["--sparse", "--hole-detection=raw"]].concat());
        assert!(tar.len() < 400_000, "{options:?} is not sparse");
        tree.check(&read_and_replay(&tar), options[0] == "--format=posix");
    }
}

#[test]
fn sparse_files_by_bsdtar() {
    if !have("bsdtar") {
        return;
    }
    let tree = holes();
    let tar = bsdtar(&tree, &["--format", "pax", "--read-sparse"]);
    assert!(tar.len() < 1_200_000, "not sparse");
    tree.check(&read_and_replay(&tar), true);
}

#[test]
fn xattrs_by_gnu_tar_and_bsdtar() {
    let tree = Tree::plain();
    let values: [(&str, &[u8]); 4] = [
        ("user.text", b"value"),
        ("user.binary", b"\0\n=\xff15 path=other\n"),
        ("user.empty", b""),
        ("user.gr\u{f6}\u{df}e", &[b'x'; 1000]),
    ];
    if !values.iter().all(|(name, value)| tree.xattr("block", name, value)) {
        eprintln!("skipped: no extended attributes on this file system");
        return;
    }
    let check = |tar: &[u8]| {
        let entries = read_and_replay(tar);
        tree.check(&entries, true);
        let (entry, _) = entries
            .iter()
            .find(|(entry, _)| {
                matches!(entry.kind, EntryKind::Regular { .. }) && !entry.metadata.xattrs.is_empty()
            })
            .unwrap();
        assert_eq!(entry.metadata.xattrs.len(), values.len());
        for (name, value) in values {
            assert_eq!(entry.metadata.xattrs.get(name.as_bytes()), Some(value), "{name}");
        }
    };
    if have("tar") {
        check(&gnu_tar(&tree, &["--format=posix", "--xattrs", "--xattrs-include=*"]));
    }
    if have("bsdtar") {
        check(&bsdtar(&tree, &["--format", "pax", "--xattrs"]));
    }
}

#[test]
fn labels_incremental_archives_and_options_of_gnu_tar() {
    if !have("tar") {
        return;
    }
    let tree = Tree::wild();
    let snapshots = tempfile::tempdir().unwrap();
    let snapshot = |name: &str| format!("--listed-incremental={}", snapshots.path().join(name).display());
    for options in [
        &["--format=gnu", "--label=a volume"][..],
        &["--format=posix", "--label=a volume"],
        &["--format=gnu", &snapshot("gnu")],
        &["--format=posix", &snapshot("posix")],
        &["--format=gnu", "--blocking-factor=1"],
        &["--format=posix", "--pax-option=exthdr.name=%d/x,delete=atime,comment:=everyone,realtime.x=1"],
        &["--format=gnu", "--atime-preserve=system", "--numeric-owner"],
    ] {
        let tar = gnu_tar(&tree, options);
        tree.check(&read_and_replay(&tar), options[0] == "--format=posix");
    }
    // Records in the global header instead of before each entry: no engine applies them.
    let tar = gnu_tar(&tree, &["--format=posix", "--pax-option=delete=mtime,mtime=123.5"]);
    let times: Vec<_> = read(tar.as_slice()).unwrap().iter().map(|(entry, _)| entry.metadata.mtime).collect();
    assert!(times.iter().all(|time| *time != Timestamp { seconds: 123, nanos: 500_000_000 }), "{times:?}");
}

#[test]
fn archives_joined_and_appended_by_gnu_tar() {
    if !have("tar") {
        return;
    }
    let tree = Tree::plain();
    let directory = tempfile::tempdir().unwrap();
    let archive = directory.path().join("a.tar");
    let tar = |action: &str, operand: &std::ffi::OsStr| {
        run(Command::new("tar").arg(action).arg("-f").arg(&archive).arg("-C").arg(tree.root()).arg(operand));
    };
    tar("-c", "usr".as_ref());
    tar("-r", "etc".as_ref());
    tar("-r", "etc".as_ref());
    let names: Vec<_> = read(&std::fs::read(&archive).unwrap()[..])
        .unwrap()
        .iter()
        .map(|(entry, _)| entry.path.to_string())
        .collect();
    assert_eq!(names.iter().filter(|name| *name == "/etc/.wh.gone").count(), 2);
}

const PYTHON: &str = r#"
import io, sys, tarfile

def add(tar, name, kind, **fields):
    info = tarfile.TarInfo(name)
    info.type = kind
    data = fields.pop("data", b"")
    info.size = len(data)
    for key, value in fields.items():
        setattr(info, key, value)
    tar.addfile(info, io.BytesIO(data))

formats = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
name = sys.argv[1]
headers = {"comment": "all", "SCHILY.xattr.user.all": "yes"} if name == "pax" else None
out = io.BytesIO()
with tarfile.open(fileobj=out, mode="w", format=formats[name], errors="surrogateescape", pax_headers=headers) as tar:
    add(tar, "dir", tarfile.DIRTYPE, mode=0o1777, mtime=1)
    add(tar, "dir/" + "n" * 99, tarfile.REGTYPE, mode=0o4755, uid=1000, gid=2000, mtime=2, data=b"d" * 700)
    add(tar, "cont", tarfile.CONTTYPE, data=b"contiguous")
    add(tar, "old", tarfile.AREGTYPE, data=b"old")
    add(tar, "hard", tarfile.LNKTYPE, linkname="./old")
    add(tar, "soft", tarfile.SYMTYPE, linkname="/a/../b")
    add(tar, "fifo", tarfile.FIFOTYPE)
    add(tar, "char", tarfile.CHRTYPE, devmajor=5, devminor=1)
    add(tar, "block", tarfile.BLKTYPE, devmajor=259, devminor=65536)
    if name != "ustar":
        add(tar, "p" * 300, tarfile.SYMTYPE, linkname="t" * 300)
        add(tar, b"\xff\xfe".decode("utf8", "surrogateescape"), tarfile.REGTYPE, uid=3000000, mtime=-5, data=b"x")
    if name == "pax":
        extra = {"mtime": "1.25", "SCHILY.xattr.user.a": "line\n10 path=x\n", "GNU.nothing": "1"}
        add(tar, "extra", tarfile.REGTYPE, pax_headers=extra)
sys.stdout.buffer.write(out.getvalue())
"#;

#[test]
fn python_tarfile_in_all_formats() {
    if !have("python3") {
        return;
    }
    for format in ["ustar", "gnu", "pax"] {
        let tar = run(Command::new("python3").args(["-c", PYTHON, format]));
        let entries = read_and_replay(&tar);
        let entry = |name: &[u8]| {
            let mut of_name = entries.iter().filter(|(entry, _)| entry.path.as_bytes() == name);
            of_name.next().unwrap_or_else(|| panic!("{format}: no {}", name.escape_ascii()))
        };
        let kind = |name: &[u8]| entry(name).0.kind.clone();
        assert_eq!(kind(b"dir"), EntryKind::Directory);
        let (file, content) = entry(&[b"dir/", &[b'n'; 99][..]].concat());
        let metadata = &file.metadata;
        assert_eq!((metadata.mode, metadata.uid, metadata.gid), (0o4755, 1000, 2000));
        assert_eq!((metadata.mtime.seconds, &content[..]), (2, &[b'd'; 700][..]));
        assert_eq!((&entry(b"cont").1[..], &entry(b"old").1[..]), (&b"contiguous"[..], &b"old"[..]));
        assert_eq!(kind(b"hard"), EntryKind::HardLink { target: entry(b"old").0.path.clone() });
        assert_eq!(kind(b"soft"), EntryKind::Symlink { target: b"/a/../b".to_vec() });
        assert_eq!(kind(b"fifo"), EntryKind::Fifo);
        assert_eq!(kind(b"char"), EntryKind::CharDevice(DeviceNumber { major: 5, minor: 1 }));
        assert_eq!(kind(b"block"), EntryKind::BlockDevice(DeviceNumber { major: 259, minor: 65_536 }));
        if format != "ustar" {
            assert_eq!(kind(&[b'p'; 300]), EntryKind::Symlink { target: vec![b't'; 300] });
            let (odd, _) = entry(b"\xff\xfe");
            assert_eq!((odd.metadata.uid, odd.metadata.mtime.seconds), (3_000_000, -5));
        }
        if format == "pax" {
            let metadata = &entry(b"extra").0.metadata;
            assert_eq!(metadata.mtime, Timestamp { seconds: 1, nanos: 250_000_000 });
            assert_eq!(metadata.xattrs.get(b"user.a"), Some(&b"line\n10 path=x\n"[..]));
            // In the global header.
            assert!(entries.iter().all(|(entry, _)| entry.metadata.xattrs.get(b"user.all").is_none()));
        }
    }
}
