//! Fresh layers unpacked by the programs that people use: GNU tar, bsdtar, Python's tarfile.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/tree.rs"]
mod tree;

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use common::read;
use nydus_convert_layer::{Entry, EntryKind, LayerWriter};
use nydus_convert_rafs::{EntryPath, Metadata};
use tree::{Tree, have, run};

/// A tar of the directory, by our writer from what GNU tar says of it.
fn layer_of(tree: &Tree) -> Vec<u8> {
    let mut tar = Command::new("tar");
    tar.args(["-c", "--format=posix", "--sort=name", "--xattrs", "--xattrs-include=*", "-C"]);
    let entries = read(run(tar.arg(tree.root()).arg(".")).as_slice()).unwrap();
    let mut writer = LayerWriter::new(Vec::new());
    for (Entry { path, kind, metadata, .. }, content) in &entries {
        writer.append(path, kind, metadata).unwrap();
        writer.write_content(content).unwrap();
    }
    let ours = writer.finish().unwrap();
    let plain = |entries: Vec<(Entry, Vec<u8>)>| -> Vec<_> {
        entries.into_iter().map(|(entry, content)| (Entry { offset: 0, ..entry }, content)).collect()
    };
    assert_eq!(plain(read(ours.as_slice()).unwrap()), plain(entries));
    ours
}

fn unpack(tar: &[u8], with: impl FnOnce(&Path, &Path) -> Command) -> Tree {
    let (tree, store) = (Tree::new(), tempfile::tempdir().unwrap());
    let file = store.path().join("layer.tar");
    fs::write(&file, tar).unwrap();
    run(&mut with(&file, tree.root()));
    tree
}

/// Whether a program sets the time of the directory that it unpacks into.
#[derive(PartialEq, Eq)]
enum RootTime {
    Set,
    /// bsdtar leaves it as it is, with archives of any program.
    Left,
}

/// Unpacks with the program, and compares every file with its entry.
fn check(tree: &Tree, root_time: RootTime, with: impl FnOnce(&Path, &Path) -> Command) {
    let tar = layer_of(tree);
    let (entries, unpacked) = (read(tar.as_slice()).unwrap(), unpack(&tar, with));
    if root_time == RootTime::Left {
        let root = entries.iter().find(|(entry, _)| entry.path.is_root()).unwrap().0.metadata.mtime;
        let time = UNIX_EPOCH + Duration::new(root.seconds.try_into().unwrap(), root.nanos);
        File::open(unpacked.root()).unwrap().set_modified(time).unwrap();
    }
    unpacked.check(&entries, true);
}

fn extract_as<'a>(program: &'a str, options: &'a [&'a str]) -> impl FnOnce(&Path, &Path) -> Command + 'a {
    move |tar, root| {
        let mut command = Command::new(program);
        command.args(options).arg("-xf").arg(tar).arg("-C").arg(root);
        command
    }
}

#[test]
fn gnu_tar_unpacks_what_was_packed() {
    if have("tar") {
        check(&Tree::wild(), RootTime::Set, extract_as("tar", &["-p", "--numeric-owner"]));
    }
}

#[test]
fn bsdtar_unpacks_what_was_packed() {
    if have("tar") && have("bsdtar") {
        // It adds the fraction of a time before 1970 to the wrong side; only `wild` has such times.
        check(&Tree::large(), RootTime::Left, extract_as("bsdtar", &["-p", "--numeric-owner"]));
    }
}

#[test]
fn attributes_are_unpacked() {
    let tree = Tree::plain();
    let values: [(&str, &[u8]); 3] =
        [("user.binary", b"\0\n=\xff15 path=other\n"), ("user.text", b"v"), ("user.long", &[b'x'; 2000])];
    if !have("tar") || !values.iter().all(|(name, value)| tree.xattr("empty", name, value)) {
        eprintln!("skipped: no extended attributes on this file system");
        return;
    }
    let tar = layer_of(&tree);
    for (program, options) in
        [("tar", &["-p", "--xattrs", "--xattrs-include=*"][..]), ("bsdtar", &["-p", "--xattrs"])]
    {
        if !have(program) {
            continue;
        }
        let unpacked = unpack(&tar, extract_as(program, options));
        for (name, value) in values {
            let mut found = vec![0; 4096];
            let length = rustix::fs::lgetxattr(unpacked.path("empty"), name, &mut found).unwrap();
            assert_eq!(&found[..length], value, "{program} {name}");
        }
    }
}

const PYTHON: &str = r#"
import sys, tarfile
with tarfile.open(sys.argv[1], errors="surrogateescape") as tar:
    for member in tar:
        fields = [member.name, member.linkname, member.type.decode(), oct(member.mode), member.uid, member.gid,
                  member.size, member.mtime, member.devmajor, member.devminor, member.uname, member.gname]
        line = "|".join(map(str, fields)).encode("utf8", "surrogateescape").replace(b"\n", b"?")
        sys.stdout.buffer.write(line + b"\n")
"#;

#[test]
fn python_lists_what_was_packed() {
    if !have("tar") || !have("python3") {
        return;
    }
    let store = tempfile::tempdir().unwrap();
    let file = store.path().join("layer.tar");
    let tar = layer_of(&Tree::wild());
    fs::write(&file, &tar).unwrap();
    let listed = run(Command::new("python3").args(["-c", PYTHON]).arg(&file));
    let expected =
        read(tar.as_slice()).unwrap().iter().flat_map(|(entry, _)| line_of(entry)).collect::<Vec<_>>();
    assert_eq!(listed.escape_ascii().to_string(), expected.escape_ascii().to_string());
}

/// How Python shows an entry; times with a fraction, or out of a record, are floating point numbers.
fn line_of(entry: &Entry) -> Vec<u8> {
    let Metadata { mode, uid, gid, mtime, .. } = entry.metadata;
    let none = (&[][..], 0, 0, 0);
    let (typeflag, (target, size, major, minor)) = match &entry.kind {
        EntryKind::Regular { size } => (0, (&[][..], *size, 0, 0)),
        EntryKind::HardLink { target } => (1, (target.as_bytes(), 0, 0, 0)),
        EntryKind::Symlink { target } => (2, (target.as_slice(), 0, 0, 0)),
        EntryKind::CharDevice(number) => (3, (&[][..], 0, number.major, number.minor)),
        EntryKind::BlockDevice(number) => (4, (&[][..], 0, number.major, number.minor)),
        EntryKind::Directory => (5, none),
        EntryKind::Fifo => (6, none),
        EntryKind::Unsupported { .. } => unreachable!(),
    };
    let name = if entry.path.is_root() { b"." } else { entry.path.as_bytes() };
    let time = match mtime.nanos {
        // Where Python reads it from the header it is a whole number.
        0 if (0..1 << 33).contains(&mtime.seconds) => mtime.seconds.to_string(),
        _ => format!("{:?}", mtime.seconds as f64 + f64::from(mtime.nanos) / 1e9),
    };
    let rest = format!("|{typeflag}|0o{mode:o}|{uid}|{gid}|{size}|{time}|{major}|{minor}||\n");
    let mut line = [name, b"|", target].concat();
    line.iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = b'?');
    [line, rest.into_bytes()].concat()
}

#[test]
fn names_longer_than_any_file_are_listed() {
    let name = vec!["n".repeat(249); 20].join("/");
    let path = EntryPath::parse(name.as_bytes()).unwrap();
    assert!(name.len() >= 4999);
    let mut writer = LayerWriter::new(Vec::new());
    let target = vec![b't'; 5000];
    writer.append(&path, &EntryKind::Symlink { target }, &Metadata::default()).unwrap();
    let store = tempfile::tempdir().unwrap();
    let file = store.path().join("layer.tar");
    let tar = writer.finish().unwrap();
    fs::write(&file, &tar).unwrap();
    // Our own reader says no: nobody could open the file.
    assert!(read(tar.as_slice()).is_err());
    for program in ["tar", "bsdtar"] {
        if have(program) {
            let listed = run(Command::new(program).arg("-tf").arg(&file));
            assert_eq!(String::from_utf8(listed).unwrap().trim_end(), name, "{program}");
        }
    }
    if have("python3") {
        let listed = String::from_utf8(run(Command::new("python3").args(["-c", PYTHON]).arg(&file))).unwrap();
        let expected = format!("{name}|{}|2|0o0|0|0|0|0|0|0||\n", "t".repeat(5000));
        assert_eq!(listed, expected);
    }
}
