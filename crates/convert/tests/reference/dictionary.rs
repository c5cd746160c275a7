//! Chunk dictionaries: images that use chunks of other images.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::cli::{convert, extract_bootstrap, json, latest, ok, run, snapshot};
use crate::support::nydusd::Nydusd;
use crate::support::oci::{Compression, Layer, Layout};
use crate::support::tars::Tar;
use crate::support::tools::Tool;
use crate::support::tree::{Ignore, Tree};
use crate::support::umoci;
use serde_json::Value;
use tempfile::{TempDir, tempdir};

/// Formats that dictionaries and images share.
const FORMATS: [&[&str]; 5] = [
    &["--chunk-size", "16KiB"],
    &["--chunk-size", "64KiB", "--compressor", "lz4_block", "--digester", "sha256"],
    &["--batch-size", "64KiB", "--chunk-size", "64KiB"],
    &["--fs-version", "5", "--chunk-size", "16KiB"],
    &["--fs-version", "5", "--compressor", "none", "--aligned-chunk"],
];

/// Text of about `length` bytes that depends on `seed`.
fn text(seed: u32, length: usize) -> Vec<u8> {
    let words =
        (0..).flat_map(|n: u32| format!("{:x} ", (n + seed).wrapping_mul(2_654_435_761)).into_bytes());
    words.take(length).collect()
}

fn layer(tar: Tar) -> Layer {
    Layer { compression: Compression::None, ..Layer::new(tar.finish()) }
}

/// Two layers that others build on.
fn base() -> [Layer; 2] {
    let mut lower = Tar::new().dir("etc", 0o755).dir("usr", 0o755);
    for file in 0..30_u32 {
        lower = lower.file(&format!("usr/{file}"), text(file * 5000, 5000 + 3000 * file as usize));
    }
    let upper = Tar::new().dir("opt", 0o755).file("opt/tool", text(900_000, 200_000));
    [layer(lower.file("etc/config", "config")), layer(upper)]
}

/// An image with much of it: a layer of new and known files, one of known files alone, one without files; a file that is
/// replaced in its own layer, and bytes behind the end of the tar that the base has.
fn app() -> [Layer; 4] {
    let mut first = Tar::new().dir("app", 0o755);
    for file in 0..30_u32 {
        let seed = if file % 3 == 0 { 7_000_000 + file * 5000 } else { file * 5000 };
        first = first.file(&format!("app/{file}"), text(seed, 5000 + 3000 * file as usize));
    }
    let first = first
        .file("app/hidden", text(900_000, 200_000))
        .file("app/hidden", "another")
        .hard_link("app/link", "app/7")
        .finish();
    let first = [first, text(29 * 5000, 92_000)].concat();
    [
        Layer { compression: Compression::None, ..Layer::new(first) },
        layer(Tar::new().dir("copy", 0o755).file("copy/tool", text(900_000, 200_000))),
        layer(Tar::new().dir("empty", 0o700)),
        layer(Tar::new().dir("own", 0o755).file("own/file", text(8_000_000, 70_000))),
    ]
}

/// Base and image as layouts.
fn sources() -> (TempDir, PathBuf, PathBuf) {
    let dir = tempdir().unwrap();
    let (base_dir, app_dir) = (dir.path().join("base"), dir.path().join("app"));
    Layout::of(base()).write(&base_dir);
    Layout::of(app()).write(&app_dir);
    (dir, base_dir, app_dir)
}

fn with_dictionary<'a>(format: &[&'a str], dictionary: &'a str) -> Vec<&'a str> {
    [format, &["--chunk-dict", dictionary]].concat()
}

fn digests(manifest: &Value) -> Vec<String> {
    let layers = manifest["layers"].as_array().unwrap();
    layers.iter().map(|layer| layer["digest"].as_str().unwrap().to_owned()).collect()
}

fn original(layout: &Path) -> Value {
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    index["manifests"][0]["digest"].clone()
}

fn sum(report: &Value, field: &str) -> u64 {
    let layers = report["images"][0]["layers"].as_array().unwrap();
    layers.iter().map(|layer| layer[field].as_u64().unwrap()).sum()
}

#[test]
fn images_refer_to_the_dictionary_and_come_back() {
    let (dir, base, app) = sources();
    for (number, format) in FORMATS.into_iter().enumerate() {
        let at = |name: &str| dir.path().join(format!("{name}-{number}"));
        let base_report = convert(&base, &at("dict"), format);
        let dictionary = latest(&at("dict"));
        let plain = convert(&app, &at("plain"), format);
        let report = convert(&app, &at("nydus"), &with_dictionary(format, &dictionary));
        assert!(sum(&report, "stored_chunks") < sum(&plain, "stored_chunks"));
        assert_eq!(sum(&plain, "foreign_chunks"), 0);
        assert!(sum(&report, "blob_bytes") < sum(&plain, "blob_bytes"));
        // Whole layers can be elsewhere.
        assert_eq!(report["images"][0]["layers"][1]["stored_chunks"], 0);

        // The blobs of the layers, then both of the dictionary, then the bootstrap.
        let manifest = json(&at("nydus"), report["digest"].as_str().unwrap());
        let listed = digests(&manifest);
        let base_manifest = json(&at("dict"), base_report["digest"].as_str().unwrap());
        assert_eq!(listed.len(), 4 + 2 + 1);
        assert_eq!(listed[4..6], digests(&base_manifest)[..2]);
        assert!(manifest["layers"][4]["annotations"]["containerd.io/snapshot/nydus-blob"] == "true");

        // The target is complete without the dictionary.
        fs::remove_dir_all(at("dict")).unwrap();
        ok(["check", "-q", &latest(&at("nydus"))]);
        assert_eq!(ok(["cat", &latest(&at("nydus")), "copy/tool"]).stdout.as_bytes(), text(900_000, 200_000));
        let back = ok(["to-oci", "-q", "--json", &latest(&at("nydus")), &latest(&at("back"))]).stdout;
        let back: Value = serde_json::from_str(&back).unwrap();
        assert_eq!(back["digest"], original(&app), "{format:?}");
    }
}

#[test]
fn images_without_records_come_back_complete() {
    let (dir, base, app) = sources();
    let at = |name: &str| dir.path().join(name);
    convert(&base, &at("dict"), &["--replay", "none"]);
    let dictionary = latest(&at("dict"));
    convert(&app, &at("nydus"), &with_dictionary(&["--replay", "none"], &dictionary));
    ok(["to-oci", "-q", &latest(&at("nydus")), &latest(&at("back"))]);
    let list = |image: &Path| ok(["ls", &latest(image)]).stdout;
    convert(&at("back"), &at("again"), &[]);
    assert_eq!(list(&at("again")), list(&at("nydus")));
    let cat = |image: &str| ok(["cat", &latest(&at(image)), "app/7"]).stdout;
    assert_eq!(cat("again"), cat("nydus"));
}

#[test]
fn bootstrap_files_serve_as_well_and_threads_do_not_show() {
    let (dir, base, app) = sources();
    let at = |name: &str| dir.path().join(name);
    let report = convert(&base, &at("dict"), &[]);
    let bootstrap = at("dict").join("blobs/sha256/image.boot");
    extract_bootstrap(&at("dict"), report["digest"].as_str().unwrap(), &bootstrap);
    let expected = convert(&app, &at("by-image"), &with_dictionary(&[], &latest(&at("dict"))));
    for (number, separator) in [":", "="].into_iter().enumerate() {
        let dictionary = format!("bootstrap{separator}{}", bootstrap.display());
        let options = ["--chunk-dict", &dictionary, "-j", "1", "--parallel-layers", "1"];
        let target = at(&number.to_string());
        assert_eq!(convert(&app, &target, &options)["digest"], expected["digest"]);
        ok(["check", "-q", &latest(&target)]);
    }
    // With what is fetched first, which is a matter of own chunks alone.
    let list = at("list");
    fs::write(&list, "/app\n").unwrap();
    let dictionary = latest(&at("dict"));
    let options = ["--chunk-dict", &dictionary, "--prefetch", list.to_str().unwrap()];
    convert(&app, &at("prefetch"), &options);
    ok(["check", "-q", &latest(&at("prefetch"))]);
    let back = ok(["to-oci", "-q", "--json", &latest(&at("prefetch")), &latest(&at("back"))]).stdout;
    assert_eq!(serde_json::from_str::<Value>(&back).unwrap()["digest"], original(&app));
    // An image that uses a dictionary is one itself.
    let all = convert(&app, &at("all"), &with_dictionary(&[], &latest(&at("by-image"))));
    assert_eq!(sum(&all, "stored_chunks"), 0, "all chunks are elsewhere");
    ok(["check", "-q", &latest(&at("all"))]);
    let back = ok(["to-oci", "-q", "--json", &latest(&at("all")), &latest(&at("back"))]).stdout;
    assert_eq!(serde_json::from_str::<Value>(&back).unwrap()["digest"], original(&app));
}

/// Packed one by one, layers are what they are in the image; what they use of others is found in a directory.
#[test]
fn layers_are_packed_with_dictionaries() {
    let (dir, base, app) = sources();
    for (number, format) in FORMATS.into_iter().enumerate() {
        let at = |name: &str| dir.path().join(format!("{name}-{number}"));
        let base_report = convert(&base, &at("dict"), format);
        let bootstrap = at("dict.boot");
        extract_bootstrap(&at("dict"), base_report["digest"].as_str().unwrap(), &bootstrap);
        let by_file = format!("bootstrap:{}", bootstrap.display());
        let image = convert(&app, &at("nydus"), &with_dictionary(format, &latest(&at("dict"))));
        // All blobs, named by their ids.
        let blobs = at("nydus").join("blobs/sha256");
        let (blob_dir, mut packed) = (blobs.to_str().unwrap(), Vec::new());
        for (layer, made) in app_layers().iter().zip(image["images"][0]["layers"].as_array().unwrap()) {
            let tar = at("layer.tar");
            fs::write(&tar, layer).unwrap();
            let blob = at(&format!("blob{}", packed.len())).to_str().unwrap().to_owned();
            let pack = ["layer", "pack", "--json", tar.to_str().unwrap(), "-o", &blob];
            let report = ok(pack.iter().chain(&with_dictionary(format, &by_file))).stdout;
            let report: Value = serde_json::from_str(&report).unwrap();
            assert_eq!(report["blob_digest"], made["blob_digest"]);
            assert_eq!(report["foreign_chunks"], made["foreign_chunks"]);
            let back = at("back.tar");
            ok(["layer", "unpack", &blob, "--blob-dir", blob_dir, "-o", back.to_str().unwrap()]);
            assert!(fs::read(&back).unwrap() == *layer);
            packed.push(blob);
        }
        let merged = at("merged.boot").to_str().unwrap().to_owned();
        let report = ok(["layer", "merge", "--json", "-o", &merged]
            .into_iter()
            .chain(packed.iter().map(String::as_str)));
        let report: Value = serde_json::from_str(&report.stdout).unwrap();
        assert_eq!(report["blobs"].as_array().unwrap().len() as u64, image["images"][0]["blobs"]);
    }
    let tar = dir.path().join("layer.tar");
    fs::write(&tar, &app_layers()[0]).unwrap();
    let bootstrap = format!("bootstrap:{}", dir.path().join("dict.boot-0").display());
    let refused = run(["layer", "pack", tar.to_str().unwrap(), "--chunk-dict", &bootstrap]);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(4), ""));
    assert!(refused.stderr.contains("its chunk size is 0x4000"), "{}", refused.stderr);
}

/// The plain tars of the image.
fn app_layers() -> Vec<Vec<u8>> {
    app().iter().map(Layer::blob).collect()
}

#[test]
fn what_does_not_fit_is_refused() {
    let (dir, base, app) = sources();
    let at = |name: &str| dir.path().join(name);
    let report = convert(&base, &at("v6"), &[]);
    convert(&base, &at("v5"), &["--fs-version", "5"]);
    let bootstrap = at("image.boot");
    extract_bootstrap(&at("v6"), report["digest"].as_str().unwrap(), &bootstrap);
    let before = snapshot(&at("target"));
    let refused = |dictionary: &str, options: &[&str], code: i32, why: &str| {
        let (from, to) = (latest(&app), latest(&at("target")));
        let fixed = ["to-nydus", "-q", "--chunk-dict", dictionary, &from, &to];
        let run = run(fixed.iter().chain(options));
        assert_eq!(run.code, Some(code), "{}", run.stderr);
        assert!(run.stderr.contains(why), "{}", run.stderr);
        assert_eq!(snapshot(&at("target")), before);
    };
    let (v6, v5) = (latest(&at("v6")), latest(&at("v5")));
    refused(&v5, &[], 4, "its version of RAFS is 5, that of the image would be 6");
    refused(&v6, &["--fs-version", "5"], 4, "its version of RAFS is 6");
    refused(
        &v6,
        &["--chunk-size", "64KiB"],
        4,
        "its chunk size is 0x100000, that of the image would be 0x10000",
    );
    refused(&v6, &["--digester", "sha256"], 4, "its digester is Blake3, that of the image would be Sha256");
    refused(&v5, &["--fs-version", "5", "--compressor", "none"], 4, "its compressor is Zstd");
    refused(&v6, &["--kernel-mountable", "--compressor", "none"], 4, "images for the kernel cannot use one");
    refused(&v6, &["--oci-ref"], 4, "store no chunks that it could spare");
    refused(&latest(&app), &[], 4, "it has no Nydus image");
    refused(&latest(&at("nowhere")), &[], 4, "nowhere");
    refused("bootstrap:/nowhere/image.boot", &[], 4, "cannot read /nowhere/image.boot");
    refused(&format!("bootstrap:{}", bootstrap.display()), &[], 4, "is not where it should be");
    let garbage = at("garbage");
    fs::write(&garbage, vec![7; 20_000]).unwrap();
    refused(&format!("bootstrap:{}", garbage.display()), &[], 3, "the bootstrap cannot be read");
    // Another compressor does not matter in v6: every blob has its own.
    convert(&app, &at("mixed"), &with_dictionary(&["--compressor", "lz4_block"], &v6));
    ok(["check", "-q", &latest(&at("mixed"))]);
}

/// The reference accepts the images, and its daemon reads every file from the blobs of both.
#[test]
fn the_daemon_serves_images_with_dictionaries() {
    crate::support::require!("nydus-image", "nydusd", "umoci", "root");
    let (dir, base, app) = sources();
    let unpacked = umoci::unpack(&app, "latest", &dir.path().join("bundle"));
    let expected = Tree::read(&unpacked);
    // Version 2.2 of the daemon does not know batches.
    let formats = FORMATS.into_iter().filter(|format| !format.contains(&"--batch-size"));
    for (number, format) in formats.enumerate() {
        let at = |name: &str| dir.path().join(format!("{name}-{number}"));
        // In v6 the dictionary may be compressed in another way.
        let other = if format.contains(&"--fs-version") { vec![] } else { vec!["--compressor", "none"] };
        let dict_format: Vec<&str> = match format.iter().position(|word| *word == "--compressor") {
            Some(_) => format.to_vec(),
            None => [format, &other].concat(),
        };
        convert(&base, &at("dict"), &dict_format);
        let report = convert(&app, &at("nydus"), &with_dictionary(format, &latest(&at("dict"))));
        fs::remove_dir_all(at("dict")).unwrap();
        let digest = report["digest"].as_str().unwrap();
        let bootstrap = extract_bootstrap(&at("nydus"), digest, &dir.path().join("image.boot"));
        Tool::get("nydus-image").run(["check", "--bootstrap", bootstrap.to_str().unwrap()]);
        let daemon = Nydusd::mount(&bootstrap, &at("nydus").join("blobs/sha256")).unwrap();
        let served = Tree::read(&daemon.root());
        let differences = served.diff(&expected, &Ignore { mtime_of: vec![Vec::new()], ..Ignore::default() });
        assert!(differences.is_empty(), "{format:?}: {differences:#?}");
        assert!(daemon.unmount().success());
    }
}
