//! Tarfs images made by the newer reference builder: a bootstrap over plain tars, which are the blobs as they are. The
//! builder of the command line that other tests use makes none.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nydus_builder::attributes::Attributes;
use nydus_builder::{
    ArtifactStorage, BlobManager, BootstrapManager, BuildContext, Builder, ConversionType, Features, Merger,
    Prefetch, TarballBuilder, WhiteoutSpec,
};
use nydus_convert::inspect::{InspectOptions, inspect};
use nydus_convert::layer_verbs::{
    LayerBootstrap, NamedStream, TarBootstrapOptions, bootstrap_of_tar, merge_layers,
};
use nydus_convert::oci::{LayoutSink, LayoutSource, Platform};
use nydus_convert::rafs::{BlobName, ChunkSize, EntryPath, InodeKind};
use nydus_convert::{
    CheckReport, FsOptions, PlatformFilter, Resources, Run, Stop, ToNydusOptions, ToOciOptions, check,
    kernel_mount, open_nydus, to_nydus, to_oci,
};
use nydus_rafs::metadata::RafsVersion;
use nydus_utils::{compress, digest};
use support::oci::{Compression, Layer, Layout};
use support::sha256_hex;
use support::tars::Tar;
use tar::EntryType;
use tempfile::tempdir;

fn context(source: &Path, chunk_size: u32, whiteouts: WhiteoutSpec) -> BuildContext {
    let mut context = BuildContext::new(
        String::new(),
        true,
        0,
        compress::Algorithm::None,
        digest::Algorithm::Sha256,
        true,
        whiteouts,
        ConversionType::TarToTarfs,
        source.to_owned(),
        Prefetch::default(),
        None,
        None,
        false,
        Features::new(),
        false,
        Attributes::default(),
    );
    context.set_fs_version(RafsVersion::V6);
    context.set_chunk_size(chunk_size);
    context
}

/// The bootstrap of one tar, as `nydus-image create --type tar-tarfs` makes it.
fn create(tar: &Path, bootstrap: &Path, chunk_size: u32) {
    let mut context = context(tar, chunk_size, WhiteoutSpec::None);
    let target = Some(ArtifactStorage::SingleFile(bootstrap.to_owned()));
    let mut bootstraps = BootstrapManager::new(target, None);
    let mut blobs = BlobManager::new(context.digester, false);
    TarballBuilder::new(ConversionType::TarToTarfs).build(&mut context, &mut bootstraps, &mut blobs).unwrap();
}

/// The bootstrap over several layers, as `nydus-image merge` makes it.
fn merge(layers: &[PathBuf], merged: &Path, chunk_size: u32) {
    let mut context = context(Path::new(""), chunk_size, WhiteoutSpec::Oci);
    let configuration = Arc::clone(&context.configuration);
    configuration.internal.set_blob_accessible(false);
    let target = ArtifactStorage::SingleFile(merged.to_owned());
    let sources = layers.to_vec();
    Merger::merge(&mut context, None, sources, None, None, None, None, None, target, None, configuration)
        .unwrap();
}

/// Contents of no, one, several, and a whole number of chunks of 4096 bytes.
fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * at / 7 + length) as u8).collect()
}

/// Two layers: every type of file, a directory of several blocks, links, an attribute, and what an upper layer changes.
fn tars() -> [Vec<u8>; 2] {
    let lower = Tar::new()
        .dir("d", 0o755)
        .file("d/small", "hello\n")
        .file("d/empty", "")
        .file("d/exact", content(4096))
        .file("d/two", content(8192))
        .file("d/large", content(13_000))
        .hard_link("d/link", "d/small")
        .symlink("d/sym", "small")
        .symlink("d/inline", &"far/".repeat(80))
        .symlink("d/plain", &"far/".repeat(115))
        .pax(&[("SCHILY.xattr.user.x", b"a value")])
        .file("d/attribute", content(600))
        .special("d/fifo", EntryType::Fifo, Some((0, 0)))
        .special("d/null", EntryType::Char, Some((1, 3)))
        .special("d/loop", EntryType::Block, Some((7, 0)))
        .dir("gone", 0o755)
        .file("gone/file", content(5000))
        .dir("many", 0o711);
    let lower = (0..40).fold(lower, |tar, number| {
        tar.file(&format!("many/a-file-with-a-long-name-{number:02}"), number.to_string())
    });
    let upper = Tar::new()
        .dir("d", 0o750)
        .file("d/small", "other\n")
        .file("d/.wh.two", "")
        .file("d/new", content(9000))
        .file(".wh.gone", "");
    [lower.finish(), upper.finish()]
}

/// Bootstraps of the two layers and the one over both, and a directory with the tars by blob id.
fn build(dir: &Path, chunk_size: u32) -> ([PathBuf; 3], PathBuf) {
    let blobs = dir.join("blobs");
    fs::create_dir(&blobs).unwrap();
    let names = ["lower", "upper", "merged"].map(|name| dir.join(name));
    for (tar, bootstrap) in tars().iter().zip(&names) {
        let blob = blobs.join(sha256_hex(tar));
        fs::write(&blob, tar).unwrap();
        create(&blob, bootstrap, chunk_size);
    }
    merge(&names[..2], &names[2], chunk_size);
    (names, blobs)
}

/// The golden files of the crate that reads bootstraps are what the builder makes.
#[test]
fn golden_files() {
    let dir = tempdir().unwrap();
    let (names, blobs) = build(dir.path(), 0x1000);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/rafs/tests/golden");
    for (made, name) in names.iter().zip(["lower", "upper", "merged"]) {
        let golden = golden.join(format!("tarfs-{name}.boot"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::copy(made, &golden).unwrap();
        }
        assert!(fs::read(made).unwrap() == fs::read(golden).unwrap(), "{name}");
    }
    // The reader wants the tars where it keeps its cache.
    assert!(oracle::read(&names[2], &blobs, &blobs).is_ok());
}

/// The image as the snapshotter's converter puts others together: tars for blobs.
fn assemble(bootstrap: &[u8], layout: &Path) {
    let annotated = |key: &str, value: &str| {
        BTreeMap::from([(format!("containerd.io/snapshot/{key}"), value.to_owned())])
    };
    let blobs = tars().map(|tar| Layer {
        diff_id: Some(format!("sha256:{}", sha256_hex(&tar))),
        media_type: Some("application/vnd.oci.image.layer.nydus.blob.v1".to_owned()),
        annotations: annotated("nydus-blob", "true"),
        compression: Compression::None,
        ..Layer::new(tar)
    });
    let mut annotations = annotated("nydus-bootstrap", "true");
    annotations.extend(annotated("nydus-fs-version", "6"));
    let last = Tar::new().dir("image", 0o755).file("image/image.boot", bootstrap).finish();
    let last = Layer { annotations, ..Layer::new(last) };
    Layout::of(blobs.into_iter().chain([last])).write(layout);
}

fn check_all(layout: &Path) -> CheckReport {
    let source = LayoutSource::open(layout, Some("latest"), None).unwrap();
    let stop = Stop::new();
    check(&source, &PlatformFilter::All, &Run::new(Resources::default(), &(), &stop)).unwrap()
}

fn convert(source: &Path, target: &Path) {
    let from = LayoutSource::open(source, Some("latest"), None).unwrap();
    let sink = Box::new(LayoutSink::create(target, Some("latest")).unwrap());
    let options = ToNydusOptions::default();
    let stop = Stop::new();
    to_nydus(&from, sink, &options, &Run::new(Resources::default(), &(), &stop)).unwrap();
}

/// The content of the image's regular files by path.
fn contents(layout: &Path) -> BTreeMap<String, Vec<u8>> {
    let source = LayoutSource::open(layout, Some("latest"), None).unwrap();
    let image = open_nydus(&source, Some(&"linux/amd64".parse::<Platform>().unwrap())).unwrap();
    let files = image.image.tree.walk().filter(|entry| matches!(entry.inode.kind, InodeKind::Regular { .. }));
    let read = |path: &EntryPath| {
        let mut read = Vec::new();
        image.cat(path, &mut read).unwrap();
        read
    };
    files.map(|entry| (entry.path.to_string(), read(&entry.path))).collect()
}

/// As the builder's but for the flag that says that nothing is encrypted.
fn without_flag(mut bootstrap: Vec<u8>) -> Vec<u8> {
    bootstrap[1152 + 3] &= !1;
    bootstrap
}

#[test]
fn layers_are_the_builders_and_merged() {
    let dir = tempdir().unwrap();
    let (names, _) = build(dir.path(), 0x2_0000);
    let jobs = Resources::default().jobs;
    let layers = names[..2].iter().map(|name| LayerBootstrap::read(name, None, jobs).unwrap()).collect();
    let merged = merge_layers(layers, &nydus_convert::Prefetch::default()).unwrap();
    assert!(merged.bootstrap == without_flag(fs::read(&names[2]).unwrap()));
    for (tar, theirs) in tars().into_iter().zip(&names) {
        let options = TarBootstrapOptions {
            chunk_size: ChunkSize::new(0x2_0000).unwrap(),
            ..TarBootstrapOptions::default()
        };
        let tar: Box<dyn Read + Send> = Box::new(Cursor::new(tar));
        let (tar, stop) = (NamedStream { stream: tar, name: "tar" }, Stop::new());
        let ours = bootstrap_of_tar(tar, &options, &Run::new(Resources::default(), &(), &stop)).unwrap();
        assert!(ours.bootstrap == without_flag(fs::read(theirs).unwrap()));
    }
}

#[test]
fn our_images_are_the_builders() {
    for chunk_size in [0x1000, 0x2_0000, 0x10_0000] {
        let dir = tempdir().unwrap();
        let (source, ours) = (dir.path().join("source"), dir.path().join("ours"));
        let (names, blobs) = build(dir.path(), chunk_size);
        // Compressed layers become the same tars.
        let [lower, upper] = tars();
        let upper = Layer { compression: Compression::None, ..Layer::new(upper) };
        Layout::of([Layer::new(lower), upper]).write(&source);
        let from = LayoutSource::open(&source, Some("latest"), None).unwrap();
        let sink = Box::new(LayoutSink::create(&ours, Some("latest")).unwrap());
        let fs = FsOptions { chunk_size: ChunkSize::new(chunk_size.into()).unwrap(), ..FsOptions::default() };
        let options = ToNydusOptions { fs, tarfs: true, ..ToNydusOptions::default() };
        let stop = Stop::new();
        to_nydus(&from, sink, &options, &Run::new(Resources::default(), &(), &stop)).unwrap();

        let image = LayoutSource::open(&ours, Some("latest"), None).unwrap();
        let mount = kernel_mount(&image, Some(&"linux/amd64".parse::<Platform>().unwrap())).unwrap();
        assert!(mount.bootstrap == without_flag(fs::read(&names[2]).unwrap()), "{chunk_size:#x}");
        for digest in &mount.devices {
            assert!(
                fs::read(ours.join("blobs/sha256").join(digest.hex())).unwrap()
                    == fs::read(blobs.join(digest.hex())).unwrap()
            );
        }

        // The newer reader, with the tars where it keeps its cache.
        let bootstrap = dir.path().join("ours.boot");
        fs::write(&bootstrap, &mount.bootstrap).unwrap();
        let ours = oracle::read(&bootstrap, &blobs, &blobs).unwrap();
        assert_eq!(ours, oracle::read(&names[2], &blobs, &blobs).unwrap());
        let large = ours[&b"d/large"[..]].sha256.unwrap();
        assert_eq!(support::hex(&large), sha256_hex(&content(13_000)));
        let whole = ours[&b"d/exact"[..]].sha256.unwrap();
        assert_eq!(support::hex(&whole), sha256_hex(&content(4096)));
    }
}

#[test]
fn images_of_the_builder_are_read() {
    for chunk_size in [0x1000, 0x10_0000] {
        let dir = tempdir().unwrap();
        let (theirs, source, ours) =
            (dir.path().join("theirs"), dir.path().join("source"), dir.path().join("ours"));
        let (names, _) = build(dir.path(), chunk_size);
        assemble(&fs::read(&names[2]).unwrap(), &theirs);
        let report = check_all(&theirs);
        assert!(report.problems.is_empty(), "{:?}", report.problems);

        Layout::of(tars().map(Layer::new)).write(&source);
        convert(&source, &ours);
        let (read, expected) = (contents(&theirs), contents(&ours));
        assert_eq!(read.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        for (path, content) in &read {
            assert!(*content == expected[path], "{path}: {} {}", content.len(), expected[path].len());
        }
        let listed = |layout: &Path| {
            let source = LayoutSource::open(layout, Some("latest"), None).unwrap();
            let image = open_nydus(&source, Some(&"linux/amd64".parse::<Platform>().unwrap())).unwrap();
            // Nobody describes the root.
            image.list(&EntryPath::root()).unwrap().filter(|file| file.path != "/").collect::<Vec<_>>()
        };
        assert_eq!(listed(&theirs), listed(&ours));

        let from = LayoutSource::open(&theirs, Some("latest"), None).unwrap();
        let mount = kernel_mount(&from, Some(&"linux/amd64".parse::<Platform>().unwrap())).unwrap();
        assert_eq!(mount.devices.len(), 2);
        let options = InspectOptions { blobs: true, chunks: true, files: true, ..InspectOptions::default() };
        let inspected = inspect(&from, &options).unwrap();
        assert!(inspected.images[0].file_system.as_ref().unwrap().blobs[0].chunk_information.is_none());
        let (plain, again) = (dir.path().join("plain"), dir.path().join("again"));
        let sink = Box::new(LayoutSink::create(&plain, Some("latest")).unwrap());
        let options = ToOciOptions::default();
        let stop = Stop::new();
        to_oci(&from, sink, &options, &Run::new(Resources::default(), &(), &stop)).unwrap();
        convert(&plain, &again);
        assert_eq!(listed(&again), listed(&ours));
        assert!(self::contents(&again) == read);

        // Any byte of a tar is covered by its digest.
        let blob = theirs.join("blobs/sha256").join(sha256_hex(&tars()[1]));
        let mut damaged = fs::read(&blob).unwrap();
        *damaged.last_mut().unwrap() ^= 1;
        fs::write(&blob, damaged).unwrap();
        assert_eq!(check_all(&theirs).problems.len(), 1);
    }
}

/// The bootstrap over a real tar is the builder's, and the newer reader finds in it what lies in the tar.
#[test]
fn a_whole_distribution() {
    let Some(tar) = support::debian::debian_tar() else { return };
    let dir = tempdir().unwrap();
    let (theirs, ours, blobs) =
        (dir.path().join("theirs"), dir.path().join("ours"), dir.path().join("blobs"));
    create(&tar, &theirs, 0x10_0000);
    let stream = NamedStream { stream: Box::new(fs::File::open(&tar).unwrap()), name: "tar" };
    let stop = Stop::new();
    let run = Run::new(Resources::default(), &(), &stop);
    let made = bootstrap_of_tar(stream, &TarBootstrapOptions::default(), &run).unwrap();
    assert!(made.losses.is_empty());
    assert!(made.bootstrap == without_flag(fs::read(&theirs).unwrap()));

    fs::write(&ours, &made.bootstrap).unwrap();
    fs::create_dir(&blobs).unwrap();
    let BlobName::Id(id) = made.image.blobs[0].name else { panic!("the tar has an id") };
    std::os::unix::fs::symlink(&tar, blobs.join(id.to_string())).unwrap();
    let found = oracle::read(&ours, &blobs, &blobs).unwrap();
    let mut archive = tar::Archive::new(std::io::BufReader::new(fs::File::open(&tar).unwrap()));
    let (mut files, mut content) = (0, Vec::new());
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.header().entry_type() != EntryType::Regular {
            continue;
        }
        content.clear();
        entry.read_to_end(&mut content).unwrap();
        let path = entry.path_bytes();
        let path = path.strip_prefix(b"./").unwrap_or(&path);
        let sha256 = found[path].sha256.unwrap();
        assert!(support::hex(&sha256) == sha256_hex(&content), "{}", path.escape_ascii());
        files += 1;
    }
    assert!(files > 1000);
}
