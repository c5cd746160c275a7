//! Images that refer to the original layers: served by the reference daemon from those layers, checked, read, and taken
//! back to exactly what they were made from. The other way round, images of the reference converter in the same mode.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::support::cli::{convert, latest, ok, run};
use crate::support::converter::our_builder;
use crate::support::oci::{Compression, Dialect, Image, Layer, Layout};
use crate::support::referring::{Daemon, convert_and_return, layer, named, serve_and_return, tars, text};
use crate::support::sha256_hex;
use crate::support::tools::Tool;
use flate2::write::GzEncoder;
use nydus_convert_chunk::BlobReader;
use serde_json::Value;
use tempfile::tempdir;

/// One member.
fn gzip(bytes: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::new(level));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Members of these lengths, again and again, some with names and extra fields in their headers.
fn members(bytes: &[u8], lengths: &[usize]) -> Vec<u8> {
    let (mut stream, mut rest, mut lengths) = (Vec::new(), bytes, lengths.iter().cycle().enumerate());
    while !rest.is_empty() {
        let (number, length) = lengths.next().unwrap();
        let (part, behind) = rest.split_at(rest.len().min(*length));
        rest = behind;
        let mut builder = flate2::GzBuilder::new();
        if number % 2 == 1 {
            builder = builder.filename("a name").comment("a comment").extra(vec![1; 300]);
        }
        let mut encoder = builder.write(Vec::new(), flate2::Compression::new(6));
        encoder.write_all(part).unwrap();
        stream.extend(encoder.finish().unwrap());
    }
    stream
}

/// From the content of one file to that of the next: how eStargz cuts a tar.
fn contents(tar: &[u8]) -> Vec<usize> {
    let mut archive = tar::Archive::new(tar);
    let entries = archive.entries().unwrap().map(|entry| entry.unwrap());
    let starts = entries.filter(|entry| entry.size() > 0).map(|entry| entry.raw_file_position() as usize);
    let mut starts: Vec<usize> = starts.collect();
    starts.push(tar.len());
    let mut before = 0;
    starts.into_iter().map(|start| start - std::mem::replace(&mut before, start)).collect()
}

#[test]
fn the_daemon_serves_a_whole_distribution() {
    crate::support::require!("nydus-image", "nydusd", "umoci", "root", "debootstrap", "buildah");
    let Some(source) = crate::support::debian::debian_image() else { return };
    let dir = tempdir().unwrap();
    serve_and_return(&source, &[], dir.path());
}

#[test]
fn streams_of_every_shape() {
    crate::support::require!("nydus-image", "nydusd", "umoci", "root");
    let [lower, upper] = tars();
    let contents = members(&lower, &contents(&lower));
    let streams: [(&str, Vec<u8>, Daemon); 7] = [
        ("level 0: stored blocks", gzip(&lower, 0), Daemon::Serves),
        ("level 1: one block", gzip(&lower, 1), Daemon::Serves),
        ("level 6", gzip(&lower, 6), Daemon::Serves),
        ("level 9", gzip(&lower, 9), Daemon::Serves),
        ("a member for each file", contents, Daemon::Serves),
        (
            "members that end anywhere",
            members(&lower, &[1_000_003, 77, 300_000, 1, 5_000_000]),
            Daemon::TooOld,
        ),
        ("many members", members(&lower, &[512, 10_000]), Daemon::TooOld),
    ];
    for (what, stream, daemon) in streams {
        println!("{what}");
        let dir = tempdir().unwrap();
        let source = dir.path().join("oci");
        Layout::of([layer(&lower, stream), layer(&upper, gzip(&upper, 6))]).write(&source);
        convert_and_return(&source, &[], dir.path(), daemon);
    }
}

#[test]
fn chunks_of_other_lengths() {
    crate::support::require!("nydus-image", "nydusd", "umoci", "root");
    let [lower, upper] = tars();
    for chunk_size in ["4KiB", "64KiB", "16MiB"] {
        let dir = tempdir().unwrap();
        let source = dir.path().join("oci");
        Layout::of([layer(&lower, gzip(&lower, 6)), layer(&upper, gzip(&upper, 6))]).write(&source);
        serve_and_return(&source, &["--chunk-size", chunk_size], dir.path());
    }
}

#[test]
fn plain_tars_and_docker_images() {
    crate::support::require!("nydus-image", "nydusd", "umoci", "root");
    let [lower, upper] = tars();
    let dir = tempdir().unwrap();
    let source = dir.path().join("oci");
    let plain = Layer { compression: Compression::None, ..Layer::new(lower.clone()) };
    Layout::of([plain, layer(&upper, gzip(&upper, 6))]).write(&source);
    serve_and_return(&source, &[], dir.path());

    let dir = tempdir().unwrap();
    let source = dir.path().join("oci");
    let image = Image { dialect: Dialect::Docker, ..Image::of([layer(&lower, gzip(&lower, 6))]) };
    Layout { images: vec![image], ..Layout::default() }.write(&source);
    let report = convert(&source, &dir.path().join("nydus"), &["--oci-ref"]);
    let target = dir.path().join("nydus");
    let manifest = manifest_of(&target, report["digest"].as_str().unwrap());
    assert_eq!(manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    let back = dir.path().join("back");
    let restored = ok(["to-oci", "--json", "-q", &latest(&target), &latest(&back)]).stdout;
    let restored: Value = serde_json::from_str(&restored).unwrap();
    assert_eq!(restored["exact"], true);
}

fn manifest_of(layout: &Path, digest: &str) -> Value {
    serde_json::from_slice(&crate::support::cli::blob(layout, digest)).unwrap()
}

#[test]
fn the_manifest_says_what_is_referred_to() {
    let [lower, upper] = tars();
    let dir = tempdir().unwrap();
    let (source, target) = (dir.path().join("oci"), dir.path().join("nydus"));
    let stored = [gzip(&lower, 6), gzip(&upper, 6)];
    let ids: Vec<String> = stored.iter().map(|bytes| format!("sha256:{}", sha256_hex(bytes))).collect();
    let [low, up] = stored;
    Layout::of([layer(&lower, low), layer(&upper, up)]).write(&source);
    let report = convert(&source, &target, &["--oci-ref"]);
    let manifest = manifest_of(&target, report["digest"].as_str().unwrap());
    let layers = manifest["layers"].as_array().unwrap();
    let note =
        |layer: &Value, key: &str| layer["annotations"][format!("containerd.io/snapshot/{key}")].clone();
    assert_eq!(layers.len(), 5);
    for (position, layer) in layers[..4].iter().enumerate() {
        assert_eq!(layer["mediaType"], "application/vnd.oci.image.layer.nydus.blob.v1");
        assert_eq!(note(layer, "nydus-blob"), "true");
        let reference = note(layer, "nydus-ref");
        match position {
            0 | 1 => assert_eq!(reference, ids[position]),
            _ => assert_eq!(
                (reference, &layer["digest"]),
                (Value::Null, &Value::from(ids[position - 2].clone()))
            ),
        }
    }
    assert_eq!(note(&layers[4], "nydus-bootstrap"), "true");
    let config = manifest_of(&target, manifest["config"]["digest"].as_str().unwrap());
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 5);
    // Files are read out of the layers.
    let content =
        crate::support::cli::command().args(["cat", &latest(&target), "/data/text"]).output().unwrap().stdout;
    assert_eq!(content, text(6 << 20, 1));
    // Another compression is made from the layers, too.
    let back = dir.path().join("back");
    ok(["to-oci", "-q", "--layers", "zstd", &latest(&target), &latest(&back)]);
    ok(["check", "-q", &latest(&back)]);
}

#[test]
fn what_cannot_be_referred_to_is_named() {
    let [lower, _] = tars();
    let dir = tempdir().unwrap();
    let (source, target) = (dir.path().join("oci"), dir.path().join("nydus"));
    let zstd = Layer { compression: Compression::Zstd, ..Layer::new(lower.clone()) };
    Layout::of([layer(&lower, gzip(&lower, 6)), zstd]).write(&source);
    let refused = run(["to-nydus", "-q", "--oci-ref", &latest(&source), &latest(&target)]);
    assert_eq!(refused.code, Some(4));
    assert!(refused.stderr.contains("layer 2 of 2") && refused.stderr.contains("zstd"), "{}", refused.stderr);
    assert!(!target.join("index.json").exists() || named(&target).is_null());
    let usage = run(["to-nydus", "--oci-ref", "--compressor", "zstd", &latest(&source), &latest(&target)]);
    assert_eq!(usage.code, Some(2));
}

#[test]
fn damage_is_found() {
    let [lower, _] = tars();
    let dir = tempdir().unwrap();
    let (source, target) = (dir.path().join("oci"), dir.path().join("nydus"));
    let stored = gzip(&lower, 6);
    let id = sha256_hex(&stored);
    Layout::of([layer(&lower, stored.clone())]).write(&source);
    convert(&source, &target, &["--oci-ref"]);
    let mut damaged = stored;
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    let file = target.join("blobs/sha256").join(id);
    fs::remove_file(&file).unwrap();
    fs::write(&file, damaged).unwrap();
    let checked = run(["check", &latest(&target)]);
    assert_eq!(checked.code, Some(3), "{}{}", checked.stdout, checked.stderr);
}

/// What a builder makes of layers in this mode, and the image that the converter library makes of that.
fn by_the_library(builder: &Path, dir: &Path, layers: &[(Vec<u8>, Vec<u8>)], layout: &Path) {
    let run = |args: &[&str]| {
        let output = std::process::Command::new(builder).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let annotated = |notes: &[(&str, &str)]| {
        let notes = notes.iter();
        notes.map(|(key, value)| (format!("containerd.io/snapshot/{key}"), (*value).to_owned())).collect()
    };
    let (mut listed, mut bootstraps, mut digests, mut sizes) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (_, stored) in layers {
        let original = sha256_hex(stored);
        let (from, to) = (dir.join("layer.tar.gz"), dir.join("layer.blob"));
        fs::write(&from, stored).unwrap();
        let _ = fs::remove_file(&to);
        let fixed =
            ["create", "--type", "targz-ref", "--blob-inline-meta", "--features", "blob-toc", "--blob"];
        run(&[&fixed[..], &[to.to_str().unwrap(), from.to_str().unwrap()]].concat());
        let stream = fs::read(&to).unwrap();
        let bootstrap = BlobReader::open(fs::File::open(&to).unwrap()).unwrap().bootstrap().unwrap();
        let file = dir.join(&original);
        fs::write(&file, bootstrap).unwrap();
        bootstraps.push(file.to_str().unwrap().to_owned());
        let id = sha256_hex(&stream);
        let notes = [("nydus-blob", "true"), ("nydus-ref", &format!("sha256:{original}"))];
        sizes.push(stream.len().to_string());
        listed.push(Layer {
            diff_id: Some(format!("sha256:{id}")),
            media_type: Some("application/vnd.oci.image.layer.nydus.blob.v1".to_owned()),
            annotations: annotated(&notes),
            compression: Compression::None,
            ..Layer::new(stream)
        });
        digests.push(id);
    }
    let merged = dir.join("merged.boot");
    let merged = merged.to_str().unwrap();
    let (digests, sizes) = (digests.join(","), sizes.join(","));
    let fixed = ["merge", "--bootstrap", merged, "--blob-digests", &digests, "--blob-sizes", &sizes];
    run(&fixed.into_iter().chain(bootstraps.iter().map(String::as_str)).collect::<Vec<_>>());
    let bytes = fs::read(merged).unwrap();
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o444);
    builder.append_data(&mut header, "image/image.boot", bytes.as_slice()).unwrap();
    let annotations: BTreeMap<String, String> =
        annotated(&[("nydus-bootstrap", "true"), ("nydus-fs-version", "6")]);
    listed.push(Layer { annotations, ..Layer::new(builder.into_inner().unwrap()) });
    Layout::of(listed).write(layout);
    // The original layers lie where the image lies, and no manifest of it lists them.
    for (_, stored) in layers {
        fs::write(layout.join("blobs/sha256").join(sha256_hex(stored)), stored).unwrap();
    }
}

#[test]
fn images_of_the_reference() {
    crate::support::require!("nydus-image");
    are_read_and_taken_back(Tool::get("nydus-image").path());
}

#[test]
fn images_of_the_library_with_our_builder() {
    let dir = tempdir().unwrap();
    are_read_and_taken_back(&our_builder(dir.path()));
}

fn are_read_and_taken_back(builder: &Path) {
    let [lower, upper] = tars();
    for stored in [gzip(&lower, 6), members(&lower, &[1_000_003, 77, 300_000]), lower.clone()] {
        let dir = tempdir().unwrap();
        let layout: PathBuf = dir.path().join("nydus");
        let layers = [(lower.clone(), stored), (upper.clone(), gzip(&upper, 9))];
        by_the_library(builder, dir.path(), &layers, &layout);
        let checked: Value =
            serde_json::from_str(&run(["check", "--json", &latest(&layout)]).stdout).unwrap();
        assert_eq!(checked["problems"], serde_json::json!([]));
        assert!(checked["images"][0]["chunks"].as_u64().unwrap() > 10);
        let content = crate::support::cli::command()
            .args(["cat", &latest(&layout), "/data/again"])
            .output()
            .unwrap()
            .stdout;
        assert_eq!(content, text(6 << 20, 1));
        let back = dir.path().join("back");
        ok(["to-oci", "-q", &latest(&layout), &latest(&back)]);
        let manifest = manifest_of(&back, named(&back)["digest"].as_str().unwrap());
        let restored: Vec<&Value> =
            manifest["layers"].as_array().unwrap().iter().map(|layer| &layer["digest"]).collect();
        let expected: Vec<Value> =
            layers.iter().map(|(_, stored)| format!("sha256:{}", sha256_hex(stored)).into()).collect();
        assert_eq!(restored, expected.iter().collect::<Vec<_>>());
        ok(["check", "-q", &latest(&back)]);
    }
}
