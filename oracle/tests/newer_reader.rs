//! The newer reference reader reads every file of our images and finds what umoci unpacks from the source.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use nydus_convert::oci::{LayoutSink, LayoutSource};
use nydus_convert::rafs::{ChunkSize, Digester, FsVersion};
use nydus_convert::{Compression, FsOptions, Resources, Run, Stop, ToNydusOptions, to_nydus};
use oracle::{File, Files};
use serde_json::Value;
use support::oci::{Layer, Layout};
use support::tars::Tar;
use support::tree::{Ignore, Kind, Node, Tree};
use support::{hex, umoci};
use tempfile::tempdir;

/// Go's tar reader takes a PAX record without a value for a deletion; GNU tar sets the empty attribute, as we do.
const EMPTY_XATTR: &[&str] = &["\"etc/empty\": xattrs [\"user.empty\"=] != []"];

fn options(compression: &str, digester: Digester, chunk_size: u64) -> FsOptions {
    let compression: Compression = compression.parse().unwrap();
    FsOptions {
        compression,
        digester,
        chunk_size: ChunkSize::new(chunk_size).unwrap(),
        ..FsOptions::default()
    }
}

/// Converts `latest` of the layout `source` into the layout `target` and gives the report as JSON.
fn convert(source: &Path, target: &Path, fs: FsOptions) -> Value {
    let from = LayoutSource::open(source, Some("latest"), None).unwrap();
    let sink = LayoutSink::create(target, Some("latest")).unwrap();
    let options = ToNydusOptions { fs, ..ToNydusOptions::default() };
    let stop = Stop::new();
    let run = Run::new(Resources::default(), &(), &stop);
    let report = to_nydus(&from, Box::new(sink), &options, &run).unwrap();
    serde_json::to_value(report).unwrap()
}

fn blob(layout: &Path, digest: &Value) -> Vec<u8> {
    fs::read(layout.join("blobs").join(digest.as_str().unwrap().replace(':', "/"))).unwrap()
}

/// The merged bootstrap of a Nydus manifest, written to `file`.
fn extract_bootstrap(layout: &Path, manifest: &Value, file: PathBuf) -> PathBuf {
    let manifest: Value = serde_json::from_slice(&blob(layout, manifest)).unwrap();
    let layer = blob(layout, &manifest["layers"].as_array().unwrap().last().unwrap()["digest"]);
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(layer.as_slice()));
    let mut entry = archive
        .entries()
        .unwrap()
        .map(Result::unwrap)
        .find(|entry| entry.path_bytes().as_ref() == b"image/image.boot")
        .unwrap();
    std::io::copy(&mut entry, &mut fs::File::create(&file).unwrap()).unwrap();
    drop(entry);
    file
}

/// Converts `source` and gives what the reader finds in the result.
fn converted(source: &Path, fs: FsOptions) -> Tree {
    let dir = tempdir().unwrap();
    let (target, cache) = (dir.path().join("nydus"), dir.path().join("cache"));
    fs::create_dir(&cache).unwrap();
    let report = convert(source, &target, fs);
    let bootstrap = extract_bootstrap(&target, &report["digest"], dir.path().join("image.boot"));
    // In an OCI layout the blobs' files have the names that the reader looks for.
    let files = oracle::read(&bootstrap, &target.join("blobs/sha256"), &cache)
        .unwrap_or_else(|error| panic!("{fs:?}: {error}"));
    tree(files)
}

fn tree(files: Files) -> Tree {
    let mut names: BTreeMap<u64, Vec<Vec<u8>>> = BTreeMap::new();
    for (path, file) in &files {
        names.entry(file.inode).or_default().push(path.clone());
    }
    let node = |(path, file): (Vec<u8>, File)| {
        let kind = kind(&file);
        let same = &names[&file.inode];
        let group = (same.len() > 1).then(|| same[0].clone());
        let nlink = if kind == Kind::Directory { 1 } else { file.nlink.into() };
        let (seconds, nanoseconds) = file.mtime;
        let mtime = (seconds.cast_signed(), nanoseconds.into());
        let (mode, uid, gid, xattrs) = (file.mode & 0o7777, file.uid, file.gid, file.xattrs);
        (path, Node { kind, mode, uid, gid, mtime, xattrs, group, nlink })
    };
    Tree(files.into_iter().map(node).collect())
}

fn kind(file: &File) -> Kind {
    // Linux: minor in bits 0-7 and 20-31, major in between.
    let (major, minor) = ((file.rdev >> 8) & 0xfff, (file.rdev & 0xff) | ((file.rdev >> 12) & 0xf_ff00));
    match file.mode >> 12 {
        0o01 => Kind::Fifo,
        0o02 => Kind::CharDevice { major, minor },
        0o04 => Kind::Directory,
        0o06 => Kind::BlockDevice { major, minor },
        0o10 => Kind::File { size: file.size, sha256: hex(&file.sha256.unwrap()) },
        0o12 => {
            let target = file.target.clone().unwrap();
            assert_eq!(file.size, target.len() as u64);
            Kind::Symlink { target }
        }
        0o14 => Kind::Socket,
        other => panic!("no file type: {other:o}"),
    }
}

/// Compares what the reader finds for each of `all` with what umoci unpacks.
fn compare(source: &Path, all: &[FsOptions], lost_by_umoci: &[&str]) {
    let dir = tempdir().unwrap();
    let expected = Tree::read(&umoci::unpack(source, "latest", &dir.path().join("bundle")));
    // A root that no layer describes has the time of the unpacking in one tree and none in the other.
    let ignore = Ignore { mtime_of: vec![Vec::new()], ..Ignore::default() };
    for fs in all {
        assert_eq!(converted(source, *fs).diff(&expected, &ignore), lost_by_umoci, "{fs:?}");
    }
}

fn every_form() -> Vec<FsOptions> {
    let mut all = Vec::new();
    for compression in ["none", "lz4_block", "zstd", "zstd:19"] {
        all.push(options(compression, Digester::Blake3, 4 << 10));
    }
    all.push(options("zstd", Digester::Sha256, 4 << 10));
    all.push(options("lz4_block", Digester::Sha256, 64 << 10));
    all.push(options("zstd", Digester::Sha256, 16 << 20));
    all.push(FsOptions::default());
    all
}

/// Bytes that no compressor shortens, the same in every run.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(step).collect()
}

/// Two layers of what is rare: many chunks, chunks that do not shrink, duplicates, zeros, empty files, hard links,
/// xattrs, devices, a directory of many blocks, links of every length; then changes on top.
fn odd_layers() -> [Layer; 2] {
    use tar::EntryType::{Block, Char, Fifo};
    let text: Vec<u8> = (0..1_000_000_u32).flat_map(|n| (n / 5).to_le_bytes()).collect();
    let random = noise(1_500_001);
    let mut tar = Tar::new().dir("etc", 0o755).dir("many", 0o1777).dir("gone", 0o700).file("gone/file", "x");
    for number in 0..3000 {
        tar = tar
            .file(&format!("many/a-name-of-some-length-{number:04}"), number.to_string().repeat(number % 7));
    }
    tar = tar
        .file("text", &text)
        .file("noise", &random)
        .file("noise-again", &random)
        .file("zeros", vec![0; 300_000])
        .file("page", vec![b'p'; 4096])
        .file("page-and-one", vec![b'p'; 4097])
        .file("empty", "")
        .hard_link("etc/one", "text")
        .hard_link("many/two", "text")
        .hard_link("empty-too", "empty")
        .symlink("short", "t")
        .symlink("long", &"d/".repeat(1500))
        .special("null", Char, Some((1, 3)))
        .special("disk", Block, Some((259, 1000)))
        .special("pipe", Fifo, None);
    let binary: Vec<u8> = (0..=255).collect();
    tar = tar
        .pax(&[("SCHILY.xattr.user.binary", &binary), ("SCHILY.xattr.user.text", b"a\nb=c")])
        .file("etc/marked", "marked")
        .pax(&[("SCHILY.xattr.user.on-a-directory", b"yes")])
        .dir("etc/dir", 0o2755)
        .pax(&[("mtime", b"1700000000.123456789"), ("uid", b"3000000000"), ("gid", b"70000")])
        .file("etc/owned", "owned");
    let upper = Tar::new()
        .file("etc/.wh.one", "")
        .dir("gone", 0o750)
        .file("gone/.wh..wh..opq", "")
        .file("gone/new", &random[..70_000])
        .file("noise-again", "replaced");
    [Layer::new(tar.finish()), Layer::new(upper.finish())]
}

#[test]
fn the_fixture_in_every_form() {
    support::require!("umoci", "root");
    compare(&support::fixtures().join("small"), &every_form(), EMPTY_XATTR);
}

#[test]
fn odd_things_in_every_form() {
    support::require!("umoci", "root");
    let dir = tempdir().unwrap();
    Layout::of(odd_layers()).write(dir.path());
    compare(dir.path(), &every_form(), &[]);
}

/// The table of `conformance.rs` where only newer readers read it.
fn every_batched_form() -> Vec<FsOptions> {
    let mut all = Vec::new();
    for compression in ["zstd", "lz4_block", "none"] {
        for digester in [Digester::Blake3, Digester::Sha256] {
            for (chunk_size, batch_size) in
                [(4 << 10, 4 << 10), (128 << 10, 128 << 10), (1 << 20, 128 << 10), (16 << 20, 1 << 20)]
            {
                all.push(FsOptions { batch_size, ..options(compression, digester, chunk_size) });
            }
        }
    }
    all
}

#[test]
fn batches_of_small_files() {
    support::require!("umoci", "root");
    let dir = tempdir().unwrap();
    Layout::of(odd_layers()).write(dir.path());
    compare(dir.path(), &every_batched_form(), &[]);
}

/// A stored chunk of 16 MiB has no place in the records that batches need, but as a batch of its own.
#[test]
fn the_largest_raw_chunk_beside_batches() {
    support::require!("umoci", "root");
    let dir = tempdir().unwrap();
    let tar = Tar::new().file("small", "small").file("noise", noise((16 << 20) + 5)).file("last", "last");
    Layout::of([Layer::new(tar.finish())]).write(dir.path());
    let batched =
        |compression| FsOptions { batch_size: 64 << 10, ..options(compression, Digester::Blake3, 16 << 20) };
    compare(dir.path(), &["zstd", "none"].map(batched), &[]);
}

#[test]
fn version_5() {
    support::require!("umoci", "root");
    let dir = tempdir().unwrap();
    Layout::of(odd_layers()).write(dir.path());
    let version_5 = |fs| FsOptions { version: FsVersion::V5, ..fs };
    let aligned = FsOptions { aligned_chunks: true, ..options("zstd", Digester::Blake3, 64 << 10) };
    let all: Vec<FsOptions> = every_form().into_iter().chain([aligned]).map(version_5).collect();
    compare(dir.path(), &all, &[]);
}

#[test]
fn a_whole_distribution() {
    support::require!("umoci", "root");
    let Some(source) = support::debian::debian_image() else { return };
    compare(
        &source,
        &[FsOptions::default(), FsOptions { batch_size: 256 << 10, ..FsOptions::default() }],
        &[],
    );
}

/// A comparison that cannot fail would prove nothing: one flipped byte of a blob must stop the reader.
#[test]
fn a_flipped_byte_is_refused() {
    let dir = tempdir().unwrap();
    let (source, target) = (dir.path().join("oci"), dir.path().join("nydus"));
    Layout::of([Layer::new(Tar::new().file("noise", noise(100_000)).finish())]).write(&source);
    let report = convert(&source, &target, options("none", Digester::Blake3, 4 << 10));
    let bootstrap = extract_bootstrap(&target, &report["digest"], dir.path().join("image.boot"));
    let blobs = target.join("blobs/sha256");
    let read = |cache: &str| {
        let cache = dir.path().join(cache);
        fs::create_dir(&cache).unwrap();
        oracle::read(&bootstrap, &blobs, &cache)
    };
    assert_eq!(read("good").unwrap()[&b"noise"[..]].size, 100_000);
    let name = report["images"][0]["layers"][0]["blob_digest"].as_str().unwrap().replace("sha256:", "");
    let file = blobs.join(name);
    let mut bytes = fs::read(&file).unwrap();
    bytes[5000] ^= 1;
    fs::write(&file, bytes).unwrap();
    assert!(read("bad").unwrap_err().to_string().starts_with("/noise: "));
}
