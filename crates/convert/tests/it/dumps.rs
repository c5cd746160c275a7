//! The text dump of every variant that is written: bootstrap, table of contents, chunk information. A change of a single
//! field of any of them shows here; that the fields are right is shown where others read them (`conformance.rs`,
//! `oci_ref.rs`, `kernel.rs`, `tarfs.rs`).
//!
//! Stored sizes and digests of compressed sections depend on the compression libraries, hence on `Cargo.lock`.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::cli::{blob, convert, extract_bootstrap, json};
use crate::support::oci::{Compression, Layer, Layout};
use crate::support::tars::Tar;
use nydus_convert::rafs::BlobFeatures;
use nydus_convert::rafs::dump;
use nydus_convert::rafs::meta::{ci, section, toc, zran};
use serde_json::Value;
use tar::EntryType;
use tempfile::{TempDir, tempdir};

/// Name of a snapshot, what the source's layers are stored as, and options.
const VARIANTS: [(&str, Compression, &[&str]); 16] = [
    ("v6", Compression::None, &["--compressor", "none"]),
    ("v6_zstd", Compression::None, &["--compressor", "zstd"]),
    ("v6_lz4_block", Compression::None, &["--compressor", "lz4_block"]),
    ("v6_sha256", Compression::None, &["--compressor", "none", "--digester", "sha256"]),
    ("v6_batch", Compression::None, &["--compressor", "none", "--batch-size", "4KiB"]),
    ("v6_batch_zstd", Compression::None, &["--compressor", "zstd", "--batch-size", "4KiB"]),
    ("v6_kernel_mountable", Compression::None, &["--kernel-mountable"]),
    ("v6_prefetch", Compression::None, &["--compressor", "none", "--prefetch", "LIST"]),
    ("v6_dictionary", Compression::None, &["--compressor", "none", "--chunk-dict", "BASE"]),
    ("v5", Compression::None, &["--fs-version", "5", "--compressor", "none"]),
    ("v5_zstd", Compression::None, &["--fs-version", "5", "--compressor", "zstd", "--digester", "sha256"]),
    ("v5_aligned", Compression::None, &["--fs-version", "5", "--compressor", "none", "--aligned-chunk"]),
    ("v5_prefetch", Compression::None, &["--fs-version", "5", "--compressor", "none", "--prefetch", "LIST"]),
    ("tarfs", Compression::None, &["--tarfs"]),
    ("oci_ref_plain", Compression::None, &["--oci-ref"]),
    ("oci_ref_gzip", Compression::GzipMembers, &["--oci-ref"]),
];

/// Text without a pattern that a short word could stand for.
fn text(length: usize) -> Vec<u8> {
    let mut text: Vec<u8> =
        (0..length as u32).flat_map(|n| format!("{} ", n * n % 7919).into_bytes()).collect();
    text.truncate(length);
    text
}

/// Files of every type, chunks of every kind, and what the upper layer does to the lower one.
fn layers() -> [Vec<u8>; 2] {
    let lower = Tar::new()
        .dir("data", 0o2755)
        .dir("data/emptied", 0o700)
        .file("data/emptied/old", "old")
        .file("data/empty", "")
        .file("data/gone", "gone")
        .file("data/long", text(10_000))
        .hard_link("data/long-link", "data/long")
        .file("data/zeros", vec![0; 8192])
        .file("data/small", "small")
        .file("data/smaller", "smaller")
        .symlink("data/symlink", "long")
        .pax(&[("SCHILY.xattr.user.text", b"a value"), ("SCHILY.xattr.security.bytes", &[0, 10, 255])])
        .file("data/attributes", "with attributes")
        .pax(&[("mtime", b"1700000000.5")])
        .file("data/half-past", "half past")
        .special("data/fifo", EntryType::Fifo, Some((0, 0)))
        .special("data/null", EntryType::Char, Some((1, 3)))
        .special("data/loop", EntryType::Block, Some((7, 0)))
        .finish();
    let upper = Tar::new()
        .dir("data", 0o750)
        .file("data/.wh.gone", "")
        .dir("data/emptied", 0o711)
        .file("data/emptied/.wh..wh..opq", "")
        .file("data/emptied/new", "new")
        // Chunks of the layer below.
        .file("data/again", text(10_000))
        .hard_link("data/into-lower", "data/small")
        .finish();
    [lower, upper]
}

struct Bench(TempDir);

impl Bench {
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The image that a variant makes, in a layout; gives the digest of its manifest.
    fn make(&self, compression: Compression, options: &[&str]) -> (PathBuf, String) {
        let (source, target) = (self.path("oci"), self.path("nydus"));
        for made in [&source, &target] {
            let _ = fs::remove_dir_all(made);
        }
        let layers = layers().map(|tar| Layer { compression, ..Layer::new(tar) });
        Layout::of(layers).write(&source);
        let list = self.path("prefetch").to_str().unwrap().to_owned();
        let base = crate::support::cli::latest(&self.path("base"));
        let mut all = vec!["--chunk-size", "4KiB"];
        all.extend(options.iter().map(|option| match *option {
            "LIST" => &list,
            "BASE" => &base,
            option => option,
        }));
        // Layers that are only referred to need no records.
        if !options.contains(&"--oci-ref") {
            all.extend(["--replay", "none"]);
        }
        let report = convert(&source, &target, &all);
        (target, report["digest"].as_str().unwrap().to_owned())
    }

    fn dump(&self, layout: &Path, manifest: &str) -> String {
        let bootstrap = extract_bootstrap(layout, manifest, &self.path("image.boot"));
        let mut text = dump::bootstrap(&fs::read(bootstrap).unwrap()).unwrap().to_string();
        let manifest = json(layout, manifest);
        let layers = manifest["layers"].as_array().unwrap();
        for layer in &layers[..layers.len() - 1] {
            let digest = layer["digest"].as_str().unwrap();
            let what = match &layer["annotations"]["containerd.io/snapshot/nydus-ref"] {
                Value::String(original) => format!(" refers to {original}"),
                _ => String::new(),
            };
            writeln!(text, "\nlayer {digest}{what}").unwrap();
            text += &metadata(&blob(layout, digest));
        }
        text
    }
}

/// What a blob stream says of itself, from its end to its front: nothing, if it has no sections.
fn metadata(stream: &[u8]) -> String {
    let Some((body, last)) = stream.split_last_chunk::<{ section::HEADER_LEN }>() else {
        return String::new();
    };
    let Ok(last) = section::parse(last) else { return "no sections\n".to_owned() };
    let content = &body[body.len() - last.size as usize..];
    if last.name != section::TOC {
        return format!("{} +{:#x}\n", last.name, last.size);
    }
    let entries = toc::parse(content).unwrap();
    let mut text = dump::toc(&entries).to_string();
    let find = |name: &str| {
        let entry = entries.iter().find(|entry| entry.name == name)?;
        Some(&stream[entry.offset as usize..][..entry.compressed_size as usize])
    };
    let Some(header) = find(section::BLOB_META_HEADER) else { return text };
    let header = ci::CiHeader::parse(header).unwrap();
    let stored = find(section::BLOB_META).unwrap();
    let mut payload = vec![0; header.location.uncompressed_size as usize];
    header.location.compressor.decompress(stored, &mut payload).unwrap();
    let information = ci::parse(&payload, &header).unwrap();
    text += &dump::chunk_information(&header, &information.chunks).to_string();
    text += &dump::batches(&information).to_string();
    if header.features.contains(BlobFeatures::ZRAN) {
        text += &dump::zran(&zran::parse(&payload, &header).unwrap()).to_string();
    }
    text
}

#[test]
fn every_variant() {
    let bench = Bench(tempdir().unwrap());
    fs::write(bench.path("prefetch"), "/data/small\n/data/emptied\n").unwrap();
    let base = Tar::new().file("base", &text(10_000)[..8192]).file("unused", "unused").finish();
    Layout::of([Layer { compression: Compression::None, ..Layer::new(base) }]).write(&bench.path("base-oci"));
    convert(
        &bench.path("base-oci"),
        &bench.path("base"),
        &["--compressor", "none", "--chunk-size", "4KiB", "--replay", "none"],
    );
    for (name, compression, options) in VARIANTS {
        let (layout, manifest) = bench.make(compression, options);
        insta::assert_snapshot!(name, bench.dump(&layout, &manifest));
    }
}
