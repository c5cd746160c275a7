//! One layer at a time: through pipes, to the same bytes as whole images, and back.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::cli::{self, blob, convert, extract_bootstrap, run};
use crate::support::oci::{Compression, Layer, Layout};
use crate::support::tars::Tar;
use crate::support::tools::Tool;
use serde_json::Value;
use tempfile::tempdir;

/// Layers with all that makes merging hard: whiteouts, opaque directories, links out of the layer, directories that no
/// entry describes, chunks that layers share.
fn layers() -> Vec<Vec<u8>> {
    let noise: Vec<u8> = (0..700_000_u32).map(|n| (n.wrapping_mul(n) >> 9) as u8).collect();
    let lower = Tar::new()
        .dir("etc", 0o711)
        .file("etc/noise", &noise)
        .file("etc/gone", "gone")
        .dir("etc/emptied", 0o755)
        .file("etc/emptied/old", "old")
        .dir("tmp", 0o1777)
        .file("etc/.wh.nothing", "")
        .finish();
    let upper = Tar::new()
        .file("etc/copy", &noise)
        .file("etc/.wh.gone", "")
        .file("etc/emptied/.wh..wh..opq", "")
        .file("etc/emptied/new", "new")
        .file("tmp/new", "the directory keeps its mode")
        .hard_link("etc/lower-link", "etc/noise")
        .finish();
    // Nothing but metadata.
    let top = Tar::new().symlink("etc/sym", "noise").finish();
    vec![lower, upper, top]
}

/// The program with bytes on stdin; what it gives on stdout.
fn through(args: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nydus-convert"));
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).unwrap());
        child.wait_with_output().unwrap()
    });
    assert!(output.status.success(), "{args:?}");
    output.stdout
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Packing layers one by one and merging them gives the blobs and the bootstrap of the whole image's conversion.
fn same_as_the_image(layers: Vec<Layer>, options: &[&str]) {
    let dir = tempdir().unwrap();
    let (source, target) = (dir.path().join("oci"), dir.path().join("nydus"));
    Layout::of(layers.clone()).write(&source);
    let report = convert(&source, &target, &[options, &["--replay", "none"]].concat());
    let mut files = Vec::new();
    for (layer, converted) in layers.iter().zip(report["images"][0]["layers"].as_array().unwrap()) {
        let stored = layer.blob();
        let pack = [&["layer", "pack", "-", "-q", "--replay", "none"], options].concat();
        let packed = through(&pack, &stored);
        let digest = converted["blob_digest"].as_str().unwrap();
        assert!(packed == blob(&target, digest), "{options:?}");
        // Not named by its digest: a blob is recognised by its content.
        files.push(dir.path().join(format!("{}.blob", files.len())));
        fs::write(files.last().unwrap(), packed).unwrap();
    }
    let merged = dir.path().join("merged.boot");
    let fixed = ["layer", "merge", "--json", "-o", text(&merged)];
    let report_of_merge: Value =
        serde_json::from_str(&cli::ok(fixed.into_iter().chain(files.iter().map(|file| text(file)))).stdout)
            .unwrap();
    let whole =
        extract_bootstrap(&target, report["digest"].as_str().unwrap(), &dir.path().join("whole.boot"));
    let (whole, merged) = (fs::read(whole).unwrap(), fs::read(merged).unwrap());
    assert!(whole == merged, "{options:?}");
    assert_eq!(report_of_merge["blobs"].as_array().unwrap().len() as u64, report["images"][0]["blobs"]);
    assert_eq!(
        report_of_merge["bootstrap_digest"],
        format!("sha256:{}", crate::support::sha256_hex(&merged))
    );
}

#[test]
fn layers_one_by_one_are_the_image() {
    for version in ["5", "6"] {
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let layers = layers().into_iter().map(|tar| Layer { compression, ..Layer::new(tar) });
            same_as_the_image(layers.collect(), &["--fs-version", version, "--chunk-size", "64KiB"]);
        }
    }
    let layers = layers().into_iter().map(Layer::new);
    same_as_the_image(layers.collect(), &["--batch-size", "64KiB", "--compressor", "lz4_block"]);
}

#[test]
fn a_distribution_packed_merged_and_unpacked() {
    let Some(tar) = crate::support::debian::debian_tar() else { return };
    let dir = tempdir().unwrap();
    let blob = dir.path().join("debian.blob");
    cli::ok(["layer", "pack", "-q", text(&tar), "-o", text(&blob)]);
    let unpacked = cli::command().args(["layer", "unpack", "-q", text(&blob)]).output().unwrap();
    assert!(unpacked.status.success() && unpacked.stdout == fs::read(&tar).unwrap());
    if let Some(reference) = Tool::find("nydus-image") {
        let merged = dir.path().join("merged.boot");
        cli::ok(["layer", "merge", text(&blob), "-o", text(&merged)]);
        reference.run(["check", "--bootstrap", text(&merged)]);
    }
}

#[test]
fn pipes_by_name() {
    crate::support::require!("mkfifo");
    let dir = tempdir().unwrap();
    let [from, to, plain, back] = ["from", "to", "plain.blob", "back"].map(|name| dir.path().join(name));
    for pipe in [&from, &to, &back] {
        Tool::get("mkfifo").run([pipe]);
    }
    let tar = layers().remove(0);
    fs::write(dir.path().join("layer.tar"), &tar).unwrap();
    cli::ok(["layer", "pack", "-q", text(&dir.path().join("layer.tar")), "-o", text(&plain)]);
    let read = |path: std::path::PathBuf| std::thread::spawn(move || fs::read(path).unwrap());
    let (tar_again, source) = (tar.clone(), from.clone());
    let writing = std::thread::spawn(move || fs::write(source, tar_again).unwrap());
    let reading = read(to.clone());
    cli::ok(["layer", "pack", "-q", text(&from), "-o", text(&to)]);
    writing.join().unwrap();
    assert!(reading.join().unwrap() == fs::read(&plain).unwrap());
    let reading = read(back.clone());
    cli::ok(["layer", "unpack", "-q", text(&plain), "-o", text(&back)]);
    assert!(reading.join().unwrap() == tar);
}

#[test]
fn bootstraps_are_named_by_their_files() {
    let dir = tempdir().unwrap();
    let packed = through(&["layer", "pack", "-q", "-"], &layers()[0]);
    let reader = std::sync::Arc::new(nydus_convert_chunk::BlobReader::open(packed.clone()).unwrap());
    let bootstrap = reader.bootstrap().unwrap();
    let named = dir.path().join(format!("{}.boot", crate::support::sha256_hex(&packed)));
    let (unnamed, whole) = (dir.path().join("layer.boot"), dir.path().join("layer.blob"));
    for (path, bytes) in [(&named, &bootstrap), (&unnamed, &bootstrap), (&whole, &packed)] {
        fs::write(path, bytes).unwrap();
    }
    let merge = |layer: &Path| cli::command().args(["layer", "merge", text(layer)]).output().unwrap();
    assert!(merge(&named).status.success());
    assert_eq!(merge(&named).stdout, merge(&whole).stdout);
    let refused = merge(&unnamed);
    assert_eq!(refused.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("64 hexadecimal digits"));
    // A merged image is a layer, too.
    let merged = dir.path().join("merged.boot");
    fs::write(&merged, merge(&whole).stdout).unwrap();
    assert_eq!(merge(&merged).stdout, merge(&whole).stdout);

    // Unpacked with the bootstrap beside it, a blob gives the same files in a tar of ours.
    let chunks = dir.path().join("chunks");
    fs::write(&chunks, reader.section("image.blob").unwrap().unwrap()).unwrap();
    let unpack = |blob: &Path, bootstrap: &Path| {
        let tar = cli::ok_bytes(["layer", "unpack", "-q", text(blob), "--bootstrap", text(bootstrap)]);
        through(&["layer", "pack", "-q", "-", "--replay", "none"], &tar)
    };
    let again = through(&["layer", "pack", "-q", "-", "--replay", "none"], &layers()[0]);
    for (blob, bootstrap) in [(&chunks, &named), (&whole, &named), (&whole, &merged)] {
        let packed = nydus_convert_chunk::BlobReader::open(unpack(blob, bootstrap)).unwrap();
        let names = |bytes: &[u8]| {
            let (_, image) = nydus_convert::rafs::parse(bytes).unwrap();
            image.tree.walk().map(|entry| entry.path.to_string()).collect::<Vec<_>>()
        };
        let mut expected =
            names(&nydus_convert_chunk::BlobReader::open(again.clone()).unwrap().bootstrap().unwrap());
        if bootstrap == &merged {
            expected.retain(|name| !name.contains(".wh."));
        }
        assert_eq!(names(&packed.bootstrap().unwrap()), expected);
    }
}

#[test]
fn failures_leave_files_as_they_were() {
    let dir = tempdir().unwrap();
    let [source, out] = ["layer.tar", "out"].map(|name| dir.path().join(name));
    fs::write(&out, "as it was").unwrap();
    let lossy =
        Tar::new().file("fine", "fine").file(&format!("d/{}", "n".repeat(256)), "too long a name").finish();
    let cut = layers()[0][..300_000].to_vec();
    let pack =
        |options: &[&str]| run([&["layer", "pack", text(&source), "-o", text(&out)], options].concat());
    let cases: [(&[u8], &[&str], i32, &str); 6] = [
        (&lossy, &[], 3, "cannot hold"),
        (&cut, &[], 1, "etc/noise"),
        (b"no tar", &[], 4, "not a tar"),
        (&lossy, &["--encrypt"], 2, "protects nothing"),
        (&lossy, &["--replay", "proven"], 2, "read once"),
        (&lossy, &["--fs-version", "5", "--batch-size", "4096"], 2, "--batch-size"),
    ];
    for (bytes, options, code, words) in cases {
        fs::write(&source, bytes).unwrap();
        let before = cli::snapshot(dir.path());
        let failed = pack(options);
        assert_eq!(failed.code, Some(code), "{}", failed.stderr);
        assert!(failed.stderr.contains(words), "{}", failed.stderr);
        assert_eq!(cli::snapshot(dir.path()), before, "{words}");
    }
    fs::write(&source, &lossy).unwrap();
    let packed = pack(&["--fidelity", "warn", "--json", "-q"]);
    assert_eq!(packed.code, Some(0), "{}", packed.stderr);
    let report: Value = serde_json::from_str(&packed.stdout).unwrap();
    assert_eq!(report["losses"].as_array().unwrap().len(), 1);
    assert_eq!(
        report["blob_digest"],
        format!("sha256:{}", crate::support::sha256_hex(&fs::read(&out).unwrap()))
    );
}

#[test]
fn layers_that_do_not_go_together() {
    let dir = tempdir().unwrap();
    let pack = |name: &str, options: &[&str]| {
        let path = dir.path().join(name);
        fs::write(&path, through(&[&["layer", "pack", "-q", "-"], options].concat(), &layers()[0])).unwrap();
        path
    };
    let plain = pack("plain", &[]);
    let cases = [
        (plain.clone(), pack("version", &["--fs-version", "5"]), "the RAFS version 5"),
        (plain.clone(), pack("chunks", &["--chunk-size", "4096"]), "the chunk size 4096"),
        (
            pack("v5", &["--fs-version", "5"]),
            pack("hash", &["--fs-version", "5", "--digester", "sha256"]),
            "digester",
        ),
        (
            pack("v5", &["--fs-version", "5"]),
            pack("raw", &["--fs-version", "5", "--compressor", "none"]),
            "compressor",
        ),
    ];
    for (one, other, words) in cases {
        let failed = run(["layer", "merge", text(&one), text(&other)]);
        assert_eq!(failed.code, Some(4), "{}", failed.stderr);
        assert!(failed.stderr.contains(words) && failed.stdout.is_empty(), "{}", failed.stderr);
    }
    // Version 6 mixes compressors.
    let raw = pack("raw6", &["--compressor", "none"]);
    assert!(
        Command::new(env!("CARGO_BIN_EXE_nydus-convert"))
            .args(["layer", "merge", text(&plain), text(&raw)])
            .output()
            .unwrap()
            .status
            .success()
    );
    let nothing = run(["layer", "merge", "/etc/passwd"]);
    assert!(nothing.stderr.contains("neither a bootstrap nor a blob"), "{}", nothing.stderr);
}
