//! v5 bootstraps and the reference: what it builds now is read, what we write it accepts.
#![allow(clippy::unwrap_used)]

mod support;

use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use nydus_convert_rafs::{EntryPath, FsVersion, Image, InodeKind, parse, v5};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

/// The reference builder: in `bin/` of the cache of tools, else in `PATH`. Without it a test is skipped, but not in CI.
fn builder() -> Option<PathBuf> {
    let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
    let cache = env::var_os("NYDUS_CONVERT_CI_CACHE")
        .map(PathBuf::from)
        .or_else(|| cache.map(|cache| cache.join("nydus-convert-ci")));
    let path = env::var_os("PATH").unwrap_or_default();
    let found = cache
        .map(|cache| cache.join("bin"))
        .into_iter()
        .chain(env::split_paths(&path))
        .map(|dir| dir.join("nydus-image"))
        .find(|file| file.is_file());
    if found.is_none() {
        assert!(env::var_os("CI").is_none_or(|ci| ci != "true"), "CI must not skip: nydus-image not found");
        let _ = writeln!(io::stderr(), "SKIP v5 against the reference: nydus-image not found");
    }
    found
}

/// A directory of this test, gone with the value.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("nydus-convert-rafs-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {out} {err}");
    output
}

fn check(builder: &Path, dir: &Path, bytes: &[u8]) {
    let file = dir.join("checked.boot");
    fs::write(&file, bytes).unwrap();
    run(Command::new(builder).args(["check", "--log-level", "warn", "--bootstrap"]).arg(&file));
}

/// The image without attributes that `check` of version 2.2.0 refuses, in v6 too; later versions take them.
fn without_acls(mut image: Image) -> Image {
    let ids: Vec<_> = image.tree.walk().map(|entry| entry.id).collect();
    for id in ids {
        let xattrs = &mut image.tree.inode_mut(id).metadata.xattrs;
        xattrs.remove(b"system.posix_acl_access");
        xattrs.remove(b"system.posix_acl_default");
    }
    image
}

fn written(image: &Image) -> Vec<u8> {
    let mut bytes = Vec::new();
    v5::write(image, &mut bytes).unwrap();
    v5::check_digests(&bytes).unwrap();
    bytes
}

#[test]
fn what_we_write_is_accepted() {
    let Some(builder) = builder() else { return };
    let scratch = Scratch::new("written");
    check(&builder, &scratch.0, &written(&support::v5::image(support::sample())));
    let mut runner = TestRunner::deterministic();
    for _ in 0..60 {
        let image = support::image(60).new_tree(&mut runner).unwrap().current();
        check(&builder, &scratch.0, &written(&support::v5::image(without_acls(image))));
    }
}

#[test]
fn a_wrong_digest_is_refused_by_both() {
    let Some(builder) = builder() else { return };
    let scratch = Scratch::new("digest");
    let mut bytes = written(&support::v5::image(support::sample()));
    // The root's digest: the first slot of the inode table leads to it.
    let root = u32::from_le_bytes(bytes[8192..8196].try_into().unwrap()) as usize * 8;
    bytes[root] ^= 1;
    let error = v5::check_digests(&bytes).unwrap_err();
    assert!(matches!(error, v5::DigestError::Mismatch { .. }), "{error}");
    let file = scratch.0.join("wrong.boot");
    fs::write(&file, &bytes).unwrap();
    let output = Command::new(builder).args(["check", "--bootstrap"]).arg(&file).output().unwrap();
    assert!(!output.status.success());
}

/// Every type of file that needs no privilege, hard links, a file of several chunks.
fn source(dir: &Path) {
    fs::create_dir_all(dir.join("d/empty")).unwrap();
    fs::write(dir.join("d/large"), [7; 10_000]).unwrap();
    fs::write(dir.join("nothing"), []).unwrap();
    fs::hard_link(dir.join("d/large"), dir.join("again")).unwrap();
    symlink("d/large", dir.join("link")).unwrap();
    std::os::unix::net::UnixListener::bind(dir.join("socket")).unwrap();
    run(Command::new("mkfifo").arg(dir.join("fifo")));
}

#[test]
fn what_it_builds_is_read() {
    let Some(builder) = builder() else { return };
    let scratch = Scratch::new("built");
    let files = scratch.0.join("files");
    source(&files);
    for (number, options) in [
        &["--compressor", "zstd"][..],
        &["--compressor", "lz4_block", "--digester", "sha256", "--chunk-size", "0x1000"],
        &["--compressor", "none", "--chunk-size", "0x2000", "--aligned-chunk"],
    ]
    .iter()
    .enumerate()
    {
        let [boot, blob] = ["boot", "blob"].map(|name| scratch.0.join(format!("{number}.{name}")));
        let mut command = Command::new(&builder);
        command.args(["create", "--log-level", "warn", "--type", "dir-rafs", "--fs-version", "5"]);
        command.args(*options).arg("--bootstrap").arg(&boot).arg("--blob").arg(&blob).arg(&files);
        run(&mut command);
        let bytes = fs::read(&boot).unwrap();
        let (version, image) = parse(&bytes).unwrap();
        assert_eq!(version, FsVersion::V5);
        v5::check_digests(&bytes).unwrap();
        assert_content(&image, &fs::read(&blob).unwrap());
        check(&builder, &scratch.0, &written(&image));
    }
}

/// The tree of [`source`], and chunks that are where the bootstrap says.
fn assert_content(image: &Image, blob: &[u8]) {
    let get = |path: &str| image.tree.get(&EntryPath::parse(path.as_bytes()).unwrap()).unwrap();
    assert_eq!(get("again"), get("d/large"));
    let kind = |path| &image.tree.inode(get(path)).kind;
    assert!(matches!(kind("socket"), InodeKind::Socket));
    assert!(matches!(kind("fifo"), InodeKind::Fifo));
    assert!(matches!(kind("nothing"), InodeKind::Regular { size: 0, .. }));
    assert!(matches!(kind("link"), InodeKind::Symlink { target } if target.as_ref() == b"d/large"));
    let InodeKind::Regular { size: 10_000, chunks } = kind("d/large") else { panic!() };
    let mut plain = Vec::new();
    for at in chunks {
        let chunk = image.chunk(*at).unwrap();
        let stored = &blob[chunk.compressed_offset as usize..][..chunk.compressed_size as usize];
        let mut bytes = vec![0; chunk.uncompressed_size as usize];
        match chunk.compressed_size == chunk.uncompressed_size {
            true => bytes.copy_from_slice(stored),
            false => image.compressor.decompress(stored, &mut bytes).unwrap(),
        }
        assert_eq!(image.digester.digest(&bytes), chunk.digest);
        plain.extend(bytes);
    }
    assert_eq!(plain, [7; 10_000]);
}
