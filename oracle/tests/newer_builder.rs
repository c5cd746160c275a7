//! Images with batches or encrypted blobs, made by the newer reference builder: checked, read and converted back by us.
//! The builder of the command line that other tests use makes neither.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use nydus_builder::attributes::Attributes;
use nydus_builder::{
    ArtifactStorage, BlobManager, BootstrapManager, BuildContext, Builder, ConversionType, Features, Merger,
    Prefetch, TarballBuilder, WhiteoutSpec,
};
use nydus_convert::oci::{LayoutSink, LayoutSource, Platform};
use nydus_convert::rafs::meta::{section, toc};
use nydus_convert::rafs::{BlobFeatures, ChunkSize, Compressor, EntryPath, parse};
use nydus_convert::{
    FsOptions, NydusImage, PlatformFilter, Replay, Resources, Run, Stop, ToNydusOptions, ToOciOptions, check,
    open_nydus, to_nydus, to_oci,
};
use nydus_rafs::metadata::RafsVersion;
use nydus_storage::device::BlobFeatures as TheirFeatures;
use nydus_storage::meta::BatchContextGenerator;
use nydus_utils::{compress, digest};
use serde_json::Value;
use support::oci::{Compression, Layer, Layout};
use support::sha256_hex;
use support::tars::Tar;
use tar::EntryType;
use tempfile::tempdir;

/// How a layer is built.
#[derive(Debug, Clone, Copy)]
struct Variant {
    compressor: &'static str,
    digester: &'static str,
    chunk_size: u32,
    batch_size: u32,
    encrypt: bool,
}

fn content(number: usize) -> Vec<u8> {
    (0..number * 37 % 6000 + 1).map(|at| (at * at / (number + 1)) as u8).collect()
}

fn files() -> BTreeMap<String, Vec<u8>> {
    let small = (0..200).map(|number| (format!("small/{number}"), content(number)));
    let large = (0..5).map(|number| (format!("small/{number}-large"), content(150 + number).repeat(100)));
    small.chain(large).collect()
}

/// Those files, and one of every other type.
fn tar() -> Vec<u8> {
    let tar = Tar::new().dir("small", 0o755);
    files()
        .into_iter()
        .fold(tar, |tar, (path, content)| tar.file(&path, content))
        .dir("odd", 0o2750)
        .file("odd/empty", "")
        .hard_link("odd/link", "small/1")
        .symlink("odd/symlink", "../small/2")
        // It splits records of attributes at line ends.
        .pax(&[("SCHILY.xattr.user.x", b"a value")])
        .file("odd/attributes", "with attributes")
        // The builder wants device numbers of a fifo, too.
        .special("odd/fifo", EntryType::Fifo, Some((0, 0)))
        .special("odd/null", EntryType::Char, Some((1, 3)))
        .special("odd/loop", EntryType::Block, Some((7, 0)))
        .finish()
}

impl Variant {
    fn context(&self, source: &Path, blob: &Path) -> BuildContext {
        let mut context = BuildContext::new(
            String::new(),
            true,
            0,
            self.compressor.parse::<compress::Algorithm>().unwrap(),
            self.digester.parse::<digest::Algorithm>().unwrap(),
            true,
            WhiteoutSpec::None,
            ConversionType::TarToRafs,
            source.to_owned(),
            Prefetch::default(),
            Some(ArtifactStorage::SingleFile(blob.to_owned())),
            None,
            true,
            Features::try_from("blob-toc").unwrap(),
            self.encrypt,
            Attributes::default(),
        );
        context.set_fs_version(RafsVersion::V6);
        context.set_chunk_size(self.chunk_size);
        context.set_batch_size(self.batch_size);
        // What the command line does beside.
        if self.batch_size > 0 {
            let batches = BatchContextGenerator::new(self.batch_size).unwrap();
            context.blob_batch_generator = Some(Mutex::new(batches));
            context.blob_features |= TheirFeatures::BATCH | TheirFeatures::CHUNK_INFO_V2;
        }
        if self.encrypt {
            context.blob_features |= TheirFeatures::ENCRYPTED | TheirFeatures::CHUNK_INFO_V2;
        }
        context
    }

    /// The blob stream of a layer.
    fn build(&self, dir: &Path) -> Vec<u8> {
        let (source, blob) = (dir.join("layer.tar"), dir.join("layer.blob"));
        fs::write(&source, tar()).unwrap();
        let mut context = self.context(&source, &blob);
        let mut bootstraps = BootstrapManager::new(None, None);
        let mut blobs = BlobManager::new(context.digester, false);
        TarballBuilder::new(ConversionType::TarToRafs)
            .build(&mut context, &mut bootstraps, &mut blobs)
            .unwrap();
        fs::read(blob).unwrap()
    }

    /// The bootstrap of an image of one layer.
    fn merge(&self, dir: &Path, stream: &[u8]) -> Vec<u8> {
        let (source, merged) = (dir.join(sha256_hex(stream)), dir.join("merged.boot"));
        fs::write(&source, section_of(stream, section::IMAGE_BOOT)).unwrap();
        let mut context = self.context(&source, &dir.join("nothing"));
        let configuration = Arc::clone(&context.configuration);
        configuration.internal.set_blob_accessible(false);
        let target = ArtifactStorage::SingleFile(merged.clone());
        let sources = vec![source];
        Merger::merge(&mut context, None, sources, None, None, None, None, None, target, None, configuration)
            .unwrap();
        fs::read(merged).unwrap()
    }
}

/// A section by the table of contents, unpacked.
fn section_of(stream: &[u8], name: &str) -> Vec<u8> {
    let (body, header) = stream.split_last_chunk::<{ section::HEADER_LEN }>().unwrap();
    let size = section::parse(header).unwrap().size as usize;
    let entries = toc::parse(&body[body.len() - size..]).unwrap();
    let entry = entries.iter().find(|entry| entry.name == name).unwrap();
    let stored = &stream[entry.offset as usize..][..entry.compressed_size as usize];
    if entry.compressor == Compressor::None {
        return stored.to_vec();
    }
    let mut plain = vec![0; entry.uncompressed_size as usize];
    entry.compressor.decompress(stored, &mut plain).unwrap();
    plain
}

/// The image as the snapshotter's converter puts it together.
fn assemble(stream: Vec<u8>, bootstrap: &[u8], layout: &Path) {
    let annotated = |key: &str, value: &str| {
        BTreeMap::from([(format!("containerd.io/snapshot/{key}"), value.to_owned())])
    };
    let blob = Layer {
        diff_id: Some(format!("sha256:{}", sha256_hex(&stream))),
        media_type: Some("application/vnd.oci.image.layer.nydus.blob.v1".to_owned()),
        annotations: annotated("nydus-blob", "true"),
        compression: Compression::None,
        ..Layer::new(stream)
    };
    let mut annotations = annotated("nydus-bootstrap", "true");
    annotations.extend(annotated("nydus-fs-version", "6"));
    let last = Tar::new().dir("image", 0o755).file("image/image.boot", bootstrap).finish();
    Layout::of([blob, Layer { annotations, ..Layer::new(last) }]).write(layout);
}

fn open(layout: &Path) -> NydusImage {
    let source = LayoutSource::open(layout, Some("latest"), None).unwrap();
    open_nydus(&source, Some(&"linux/amd64".parse::<Platform>().unwrap())).unwrap()
}

fn assert_content(layout: &Path, what: &Variant) {
    let image = open(layout);
    for (path, expected) in files() {
        let mut read = Vec::new();
        image.cat(&EntryPath::parse(path.as_bytes()).unwrap(), &mut read).unwrap();
        assert!(read == expected, "{what:?}: {path}");
    }
}

/// Everything but content, of all files but the root, which nobody describes.
fn listing(layout: &Path) -> Vec<String> {
    let image = open(layout);
    let all = image.list(&EntryPath::parse(b"/").unwrap()).unwrap();
    all.map(|file| format!("{file:?}")).skip(1).collect()
}

fn is_understood(variant: &Variant) {
    let dir = tempdir().unwrap();
    let at = |name: &str| -> PathBuf { dir.path().join(name) };
    let (source, ours) = (at("source"), at("ours"));
    let (theirs, plain, again) = (at("theirs"), at("plain"), at("again"));
    Layout::of([Layer::new(tar())]).write(&source);
    convert(&source, &ours, &ToNydusOptions::default());
    let expected = listing(&ours);
    assert!(expected.len() > files().len() + 8);
    let stream = variant.build(dir.path());
    let bootstrap = variant.merge(dir.path(), &stream);
    let features = parse(&bootstrap).unwrap().1.blobs[0].features;
    assert_eq!(features.contains(BlobFeatures::BATCH), variant.batch_size > 0);
    assert_eq!(features.contains(BlobFeatures::ENCRYPTED), variant.encrypt);
    assemble(stream, &bootstrap, &theirs);

    let source = LayoutSource::open(&theirs, Some("latest"), None).unwrap();
    let stop = Stop::new();
    let run = Run::new(Resources::default(), &(), &stop);
    let report = check(&source, &PlatformFilter::All, &run).unwrap();
    assert!(report.problems.is_empty(), "{variant:?}: {:?}", report.problems);
    assert!(report.images[0].chunks >= files().len() as u64);
    assert_content(&theirs, variant);
    assert_eq!(listing(&theirs), expected, "{variant:?}");

    let sink = Box::new(LayoutSink::create(&plain, Some("latest")).unwrap());
    let options = ToOciOptions::default();
    to_oci(&source, sink, &options, &run).unwrap();
    convert(&plain, &again, &ToNydusOptions::default());
    assert_content(&again, variant);
    assert_eq!(listing(&again), expected, "{variant:?}");
}

fn convert(source: &Path, target: &Path, options: &ToNydusOptions) -> Value {
    let from = LayoutSource::open(source, Some("latest"), None).unwrap();
    let sink = Box::new(LayoutSink::create(target, Some("latest")).unwrap());
    let stop = Stop::new();
    let report = to_nydus(&from, sink, options, &Run::new(Resources::default(), &(), &stop));
    serde_json::to_value(report.unwrap()).unwrap()
}

/// The table of `conformance.rs` where only newer builders make it.
#[test]
fn batches_and_encrypted_blobs() {
    for compressor in ["zstd", "lz4_block", "none"] {
        for digester in ["blake3", "sha256"] {
            for chunk_size in [0x1000, 0x2_0000, 0x10_0000, 0x100_0000] {
                for (batch_size, encrypt) in [(0x1000, false), (0x2_0000, false), (0, true), (0x4000, true)] {
                    // A batch is a chunk at most.
                    if batch_size > chunk_size {
                        continue;
                    }
                    is_understood(&Variant { compressor, digester, chunk_size, batch_size, encrypt });
                }
            }
        }
    }
}

#[test]
fn our_batches_are_the_builders() {
    for batch_size in [0x1000, 0x4000, 0x2_0000] {
        let (compressor, digester, chunk_size) = ("none", "blake3", 0x2_0000);
        let variant = Variant { compressor, digester, chunk_size, batch_size, encrypt: false };
        let dir = tempdir().unwrap();
        let theirs = variant.build(dir.path());
        let (source, ours) = (dir.path().join("source"), dir.path().join("ours"));
        Layout::of([Layer { compression: Compression::None, ..Layer::new(tar()) }]).write(&source);
        let fs = FsOptions {
            compression: "none".parse().unwrap(),
            chunk_size: ChunkSize::new(chunk_size.into()).unwrap(),
            batch_size,
            ..FsOptions::default()
        };
        let options = ToNydusOptions { fs, replay: Replay::None, ..ToNydusOptions::default() };
        let report = convert(&source, &ours, &options);
        let digest = report["images"][0]["layers"][0]["blob_digest"].as_str().unwrap();
        let ours = fs::read(ours.join("blobs").join(digest.replace(':', "/"))).unwrap();
        for name in [section::IMAGE_BLOB, section::BLOB_META, section::BLOB_DIGEST] {
            assert!(section_of(&ours, name) == section_of(&theirs, name), "{batch_size}: {name}");
        }
    }
}
