//! Tarfs images: layers become blobs as plain tars. Checked, read, and taken back to exactly what they were made from.
//! `kernel.rs` mounts such images; `oracle/tests/tarfs.rs` compares them with those of the reference.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::support::cli::{convert, extract_bootstrap, json, latest, ok, run};
use crate::support::converter::our_builder;
use crate::support::oci::{Compression, Dialect, Image, Layer, Layout};
use crate::support::sha256_hex;
use crate::support::tars::Tar;
use flate2::write::GzEncoder;
use serde_json::Value;
use tempfile::tempdir;

/// Two layers; the upper one changes the lower.
fn tars() -> [Vec<u8>; 2] {
    let noise: Vec<u8> = (0..700_000_u32).map(|n| (n.wrapping_mul(n) >> 9) as u8).collect();
    let lower = Tar::new()
        .dir("d", 0o755)
        .file("d/empty", "")
        .file("d/small", "small")
        .file("d/large", &noise)
        .file("d/whole", &noise[..0x2_0000])
        .hard_link("d/link", "d/small")
        .file("d/gone", "gone")
        .symlink("d/long", &"far/".repeat(200))
        .finish();
    let upper = Tar::new().dir("d", 0o750).file("d/.wh.gone", "").file("d/new", "small").finish();
    [lower, upper]
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// As an encoder makes it that nobody knows: stored blocks of odd lengths.
fn odd_gzip(bytes: &[u8]) -> Vec<u8> {
    let mut stream = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let pieces = bytes.chunks(12_345).count();
    for (number, piece) in bytes.chunks(12_345).enumerate() {
        stream.push(u8::from(number + 1 == pieces));
        stream.extend((piece.len() as u16).to_le_bytes());
        stream.extend((!(piece.len() as u16)).to_le_bytes());
        stream.extend(piece);
    }
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    stream.extend(crc.sum().to_le_bytes());
    stream.extend((bytes.len() as u32).to_le_bytes());
    stream
}

fn stored(tar: &[u8], stored: Vec<u8>) -> Layer {
    Layer { stored: Some(stored), ..Layer::new(tar) }
}

fn plain(tar: &[u8]) -> Layer {
    Layer { compression: Compression::None, ..Layer::new(tar) }
}

/// Makes a tarfs image of the layers; gives the report.
fn make(dir: &Path, layout: Layout, options: &[&str]) -> Value {
    layout.write(&dir.join("source"));
    let report = convert(&dir.join("source"), &dir.join("nydus"), &[&["--tarfs"], options].concat());
    ok(["check", "-q", &latest(&dir.join("nydus"))]);
    report
}

fn back(dir: &Path, options: &[&str]) -> Value {
    let (nydus, back) = (latest(&dir.join("nydus")), latest(&dir.join("back")));
    let _ = fs::remove_dir_all(dir.join("back"));
    let report = ok([&["to-oci", "-q", "--json", &nydus, &back], options].concat()).stdout;
    ok(["check", "-q", &back]);
    serde_json::from_str(&report).unwrap()
}

fn blobs(layout: &Path) -> BTreeSet<String> {
    let files = fs::read_dir(layout.join("blobs/sha256")).unwrap();
    files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn every_sort_of_layer_comes_back() {
    let [lower, upper] = tars();
    for (layers, options) in [
        ([plain(&lower), plain(&upper)], &[][..]),
        ([stored(&lower, gzip(&lower)), plain(&upper)], &["--replay", "proven"]),
        ([stored(&lower, gzip(&lower)), stored(&upper, gzip(&upper))], &["--replay", "proven"]),
        ([stored(&lower, odd_gzip(&lower)), stored(&upper, odd_gzip(&upper))], &["--replay", "proven"]),
        (
            [Layer { compression: Compression::Zstd, ..Layer::new(&*lower) }, plain(&upper)],
            &["--replay", "proven"],
        ),
        // The same tar twice, once compressed: one blob.
        ([plain(&lower), stored(&lower, gzip(&lower))], &["--replay", "proven", "--chunk-size", "4KiB"]),
    ] {
        let dir = tempdir().unwrap();
        let report = make(dir.path(), Layout::of(layers), options);
        let nydus = dir.path().join("nydus");
        assert!(blobs(&nydus).contains(&sha256_hex(&lower)), "the tar is the blob");
        let restored = back(dir.path(), &[]);
        assert_eq!(restored["images"][0]["digest"], report["images"][0]["source_digest"], "{options:?}");
        assert_eq!(restored["images"][0]["action"], "exact");
        let sourced = blobs(&dir.path().join("source"));
        assert!(blobs(&dir.path().join("back")).is_superset(&sourced));
        // Otherwise compressed: the same tars.
        let restored = back(dir.path(), &["--layers", "gzip"]);
        assert_eq!(restored["images"][0]["layers"][0]["diff_id"], format!("sha256:{}", sha256_hex(&lower)));
        assert_eq!(restored["images"][0]["layers"][0]["exact_tar"], true);
    }
}

#[test]
fn files_are_those_of_other_images() {
    let dir = tempdir().unwrap();
    let [lower, upper] = tars();
    for dialect in [Dialect::Oci, Dialect::Docker] {
        let image =
            Image { dialect, ..Image::of([stored(&lower, gzip(&lower)), stored(&upper, gzip(&upper))]) };
        make(dir.path(), Layout { images: vec![image], ..Layout::default() }, &["--chunk-size", "128KiB"]);
        let (nydus, other) = (dir.path().join("nydus"), dir.path().join("other"));
        convert(&dir.path().join("source"), &other, &["--chunk-size", "128KiB"]);
        let listed = |layout: &Path| ok(["ls", "--json", &latest(layout)]).stdout;
        assert_eq!(listed(&nydus), listed(&other));
        let read = |layout: &Path, path| {
            crate::support::cli::command().args(["cat", &latest(layout), path]).output().unwrap().stdout
        };
        for path in ["d/large", "d/whole", "d/link", "d/new", "d/empty"] {
            assert!(read(&nydus, path) == read(&other, path), "{path}");
        }
        let inspected = ok(["inspect", "--chunks", &latest(&nydus)]).stdout;
        assert!(inspected.contains("tarfs_mode"), "{inspected}");
        for name in ["source", "nydus", "other"] {
            fs::remove_dir_all(dir.path().join(name)).unwrap();
        }
    }
}

#[test]
fn layers_without_files_are_layers_all_the_same() {
    let dir = tempdir().unwrap();
    let (empty, link) = (Tar::new().finish(), Tar::new().dir("d", 0o755).symlink("d/l", "x").finish());
    let report =
        make(dir.path(), Layout::of([plain(&empty), stored(&link, gzip(&link))]), &["--replay", "proven"]);
    let restored = back(dir.path(), &[]);
    assert_eq!(restored["images"][0]["digest"], report["images"][0]["source_digest"]);
}

#[test]
fn nothing_is_remembered_where_nothing_shall_be() {
    let dir = tempdir().unwrap();
    let [lower, upper] = tars();
    make(dir.path(), Layout::of([stored(&lower, gzip(&lower)), plain(&upper)]), &["--replay", "none"]);
    let restored = back(dir.path(), &[]);
    assert_eq!(restored["images"][0]["action"], "rebuilt");
    // The tars are there all the same.
    let manifest = json(&dir.path().join("back"), restored["digest"].as_str().unwrap());
    assert_eq!(manifest["layers"][0]["digest"], format!("sha256:{}", sha256_hex(&lower)));
    assert_eq!(manifest["layers"][1]["digest"], format!("sha256:{}", sha256_hex(&upper)));
}

#[test]
fn damage_is_found() {
    let dir = tempdir().unwrap();
    let [lower, upper] = tars();
    make(dir.path(), Layout::of([plain(&lower), plain(&upper)]), &[]);
    let nydus = dir.path().join("nydus");
    let blob = nydus.join("blobs/sha256").join(sha256_hex(&upper));
    let mut bytes = fs::read(&blob).unwrap();
    bytes[1024] ^= 1;
    fs::write(&blob, bytes).unwrap();
    let checked = run(["check", "-q", &latest(&nydus)]);
    assert_eq!(checked.code, Some(3), "{}", checked.stderr);
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    let dir = tempdir().unwrap();
    let (source, target) =
        (latest(&crate::support::fixtures().join("small")), latest(&dir.path().join("no")));
    for (option, value) in [
        ("--compressor", "none"),
        ("--digester", "sha256"),
        ("--fs-version", "6"),
        ("--batch-size", "4KiB"),
        ("--chunk-dict", "bootstrap:x"),
    ] {
        let refused = run(["to-nydus", &source, &target, "--tarfs", option, value]);
        assert!(refused.code == Some(2) && refused.stderr.contains(option), "{option}: {}", refused.stderr);
    }
    for option in ["--oci-ref", "--kernel-mountable", "--aligned-chunk"] {
        let refused = run(["to-nydus", &source, &target, "--tarfs", option]);
        assert!(refused.code == Some(2) && refused.stderr.contains(option), "{option}: {}", refused.stderr);
    }
    // GNU's old sparse format: one piece of 512 bytes behind a hole.
    let sparse = Tar::new()
        .raw(
            b"sparse",
            |header| {
                header.set_entry_type(tar::EntryType::GNUSparse);
                header.set_size(512);
                let bytes = header.as_mut_bytes();
                bytes[257..265].copy_from_slice(b"ustar  \0");
                bytes[386..398].copy_from_slice(b"00000004000\0");
                bytes[398..410].copy_from_slice(b"00000001000\0");
                bytes[483..495].copy_from_slice(b"00000005000\0");
                header.set_cksum();
            },
            &[b'x'; 512],
        )
        .finish();
    let odd = dir.path().join("odd");
    Layout::of([plain(&sparse)]).write(&odd);
    let refused = run(["to-nydus", "-q", &latest(&odd), &target, "--tarfs"]);
    assert!(
        refused.code == Some(4) && refused.stderr.contains("sparse"),
        "{:?} {}",
        refused.code,
        refused.stderr
    );
}

/// What our program says by the reference builder's name.
fn builder(dir: &Path, args: &[&str]) -> Output {
    Command::new(our_builder(dir)).args(args).stdin(Stdio::null()).output().unwrap()
}

/// The command lines of the snapshotter's tarfs mode: the tar comes through a pipe, and the caller keeps it.
#[test]
fn the_drop_in_makes_the_same_bootstraps() {
    let dir = tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let mut layers = Vec::new();
    for (number, tar) in tars().iter().enumerate() {
        let (pipe, boot, json) =
            (at(&format!("pipe{number}")), at(&format!("{number}.boot")), at("out.json"));
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let id = sha256_hex(tar);
        let create = ["create", "--type", "tar-tarfs", "--bootstrap", &boot, "--blob-dir", &at("blobs")];
        // Told or found out, the id is the same.
        let told = if number == 0 { vec!["--blob-id", &id] } else { Vec::new() };
        let output = std::thread::scope(|scope| {
            scope.spawn(|| fs::write(&pipe, tar).unwrap());
            builder(dir.path(), &[&create[..], &told, &["--output-json", &json, &pipe]].concat())
        });
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let result: Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
        assert_eq!(
            (&result["blobs"][0], &result["bootstrap"]),
            (&Value::from(id), &Value::from(boot.clone()))
        );
        layers.push(boot);
    }
    let merged = at("merged.boot");
    let merge = ["merge", "--bootstrap", &merged, &layers[0], &layers[1]];
    assert!(builder(dir.path(), &merge).status.success());
    assert!(builder(dir.path(), &["check", "--bootstrap", &merged]).status.success());
    let report = make(dir.path(), Layout::of(tars().map(|tar| plain(&tar))), &[]);
    let digest = report["digest"].as_str().unwrap();
    let ours = extract_bootstrap(&dir.path().join("nydus"), digest, &dir.path().join("image.boot"));
    assert!(fs::read(merged).unwrap() == fs::read(ours).unwrap());

    // With chunks of blobs they do not mix.
    let (tar, blob) = (at("0.tar"), at("0.blob"));
    fs::write(&tar, &tars()[0]).unwrap();
    let pack = ["create", "--type", "tar-rafs", "--blob-inline-meta", "--blob", &blob, &tar];
    assert!(builder(dir.path(), &pack).status.success());
    let mixed = builder(dir.path(), &["merge", "--bootstrap", &at("no"), &layers[0], &blob]);
    assert!(!mixed.status.success() && String::from_utf8_lossy(&mixed.stderr).contains("kind of blobs"));
    let (no, fixed) = (at("no"), ["create", "--type", "tar-tarfs"]);
    for (options, named) in [
        (&[][..], "--bootstrap"),
        (&["--bootstrap", &no, "--blob", &no], "--blob"),
        (&["--bootstrap", &no, "--blob-inline-meta"], "--blob-inline-meta"),
        (&["--bootstrap", &no, "--fs-version", "5"], "--fs-version"),
        (&["--bootstrap", &no, "--chunk-dict", "bootstrap=x"], "--chunk-dict"),
        (&["--bootstrap", &no, "--encrypt"], "ocicrypt"),
    ] {
        let output = builder(dir.path(), &[&fixed[..], options, &[&tar]].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && stderr.contains(named), "{options:?}: {stderr}");
        assert!(!Path::new(&no).exists());
    }
}
