//! Records of tars by the programs that people use, and their size.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/pipeline.rs"]
mod pipeline;
// Trees are made here, not compared.
#[allow(dead_code)]
#[path = "common/tree.rs"]
mod tree;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pipeline::{Habits, round_trip};
use tree::{Tree, have, run};

/// Several chunk sizes; gives the largest one's record.
fn comes_back(tar: &[u8]) -> Vec<u8> {
    round_trip(tar, Habits::new(1000));
    round_trip(tar, Habits::new(64 << 10))
}

fn holes() -> Tree {
    let tree = Tree::plain();
    let many: Vec<_> = (0..400).map(|n| (n * 2048 + 512, 512)).collect();
    for (name, size, data) in [
        ("some", 300_000, &[(40_960, 10_000), (299_999, 1)][..]),
        ("many", 1_000_000, &many),
        ("only", 100_000, &[]),
    ] {
        let file = File::create(tree.path(name)).unwrap();
        file.set_len(size).unwrap();
        data.iter().for_each(|&(offset, length)| file.write_all_at(&vec![7; length], offset).unwrap());
    }
    tree
}

fn gnu_tar(tree: &Tree, options: &[&str]) -> Vec<u8> {
    run(Command::new("tar").arg("-c").args(options).arg("-C").arg(tree.root()).arg("."))
}

#[test]
fn gnu_tar_in_all_formats() {
    if !have("tar") {
        return;
    }
    for (format, tree) in [
        ("v7", Tree::plain()),
        ("ustar", Tree::special()),
        ("oldgnu", Tree::wild()),
        ("gnu", Tree::large()),
        ("gnu", Tree::wild()),
        ("posix", Tree::large()),
        ("posix", Tree::wild()),
    ] {
        comes_back(&gnu_tar(&tree, &[&format!("--format={format}")]));
    }
    let tree = holes();
    for options in [
        &["--format=gnu"][..],
        &["--format=oldgnu"],
        &["--format=posix", "--sparse-version=0.0"],
        &["--format=posix", "--sparse-version=0.1"],
        &["--format=posix", "--sparse-version=1.0"],
    ] {
        comes_back(&gnu_tar(&tree, &[options, &["--sparse", "--hole-detection=raw"]].concat()));
    }
    for options in [
        &["--format=gnu", "--label=a volume", "--incremental"][..],
        &["--format=posix", "--pax-option=exthdr.name=%d/x,delete=atime,comment:=everyone,realtime.x=1"],
        &["--format=posix", "--xattrs", "--acls", "--blocking-factor=1"],
    ] {
        comes_back(&gnu_tar(&tree, options));
    }
}

#[test]
fn bsdtar_in_all_formats() {
    if !have("bsdtar") {
        return;
    }
    for (format, tree) in [
        ("v7", Tree::plain()),
        ("ustar", Tree::special()),
        ("gnutar", Tree::large()),
        ("pax", Tree::large()),
        ("pax", holes()),
    ] {
        let mut command = Command::new("bsdtar");
        command.args(["--format", format, "--read-sparse", "-cf", "-", "-C"]);
        comes_back(&run(command.arg(tree.root()).arg(".")));
    }
}

#[test]
fn python_tarfile_in_all_formats() {
    if !have("python3") {
        return;
    }
    let script = "import sys, tarfile
with tarfile.open(fileobj=sys.stdout.buffer, mode='w|', format=getattr(tarfile, sys.argv[1])) as tar:
    tar.add(sys.argv[2], '.')";
    for format in ["USTAR_FORMAT", "GNU_FORMAT", "PAX_FORMAT"] {
        let tree = if format == "USTAR_FORMAT" { Tree::special() } else { Tree::wild() };
        comes_back(&run(Command::new("python3").args(["-c", script, format]).arg(tree.root())));
    }
}

/// Paths of up to `count` files, with their directories, in order.
fn some_files(directory: &Path, count: usize, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    let mut entries: Vec<_> = entries.filter_map(Result::ok).collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        if found.len() >= count {
            return;
        }
        let Ok(kind) = entry.file_type() else { continue };
        let small = entry.metadata().is_ok_and(|metadata| metadata.len() < 256 << 10);
        if (kind.is_file() && small && File::open(entry.path()).is_ok()) || kind.is_symlink() || kind.is_dir()
        {
            found.push(entry.path());
        }
        if kind.is_dir() {
            some_files(&entry.path(), count, found);
        }
    }
}

fn gzip_size(tar: &[u8]) -> usize {
    let mut child =
        Command::new("gzip").arg("-6").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(tar).unwrap());
        child.wait_with_output().unwrap().stdout.len()
    })
}

#[test]
fn records_are_small() {
    if !have("tar") || !have("gzip") {
        return;
    }
    let mut files = Vec::new();
    ["/usr/lib", "/usr/share"].into_iter().for_each(|root| some_files(Path::new(root), 2000, &mut files));
    if files.len() < 1000 {
        eprintln!("skipped: only {} files to make a tar of", files.len());
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let list = directory.path().join("list");
    let names: Vec<u8> =
        files.iter().flat_map(|path| [path.as_os_str().as_encoded_bytes(), b"\0"].concat()).collect();
    fs::write(&list, names).unwrap();
    for (format, options, limit) in [
        ("ustar", &[][..], Some(0.8)),
        ("gnu", &[], Some(0.8)),
        ("posix", &[], None),
        ("posix, mtime", &["--pax-option=delete=atime,delete=ctime"], None),
    ] {
        let format_name = format.split(',').next().unwrap();
        let mut command = Command::new("tar");
        command
            .args(["-c", "-P", "--no-recursion", "--null", &format!("--format={format_name}")])
            .args(options);
        let tar = run(command.arg("--files-from").arg(&list));
        let record = round_trip(&tar, Habits::new(64 << 10)).len();
        let gzip = gzip_size(&tar);
        let percent = record as f64 * 100.0 / gzip as f64;
        let each = record as f64 / files.len() as f64;
        eprintln!(
            "{format}: tar {}, gzip {gzip}, record {record}: {percent:.3} %, {each:.1} bytes an entry",
            tar.len()
        );
        if let Some(limit) = limit {
            assert!(percent <= limit, "{format}: {percent} % of the layer");
        }
    }
}
