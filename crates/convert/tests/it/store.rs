//! The chunk store in conversions: it saves work and never shows, unless images are asked to share.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::cli::{convert, extract_bootstrap, latest, ok};
use crate::support::nydusd::Nydusd;
use crate::support::oci::{Compression, Layer, Layout};
use crate::support::registry::Registry;
use crate::support::store::{conversion, convert_with, from_store, layers, storing, sum};
use crate::support::tars::Tar;
use crate::support::tools::Tool;
use crate::support::tree::{Ignore, Tree};
use crate::support::umoci;
use nydus_convert::store::{ChunkStore, VerifyOptions};
use tempfile::tempdir;

/// Text that compresses, another one for every seed.
fn text(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut draw = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let words = ["alpha ", "beta ", "gamma ", "delta\n", "epsilon ", "zeta "];
    let mut text = Vec::with_capacity(length + 8);
    while text.len() < length {
        text.extend(words[draw() as usize % words.len()].as_bytes());
    }
    text.truncate(length);
    text
}

/// A base layer of some files, small and large, and an application on it; `version` changes one file of the latter.
fn app(dir: &Path, version: u64) -> PathBuf {
    let mut base = Tar::new().dir("lib", 0o755).symlink("lib/current", "5.so");
    for number in 0..40 {
        base = base.file(&format!("lib/{number}.so"), text(3000 + 900 * number as usize, number));
    }
    base = base.file("lib/large", text(3 << 20, 1000)).hard_link("lib/large-too", "lib/large");
    let app = Tar::new()
        .dir("app", 0o755)
        .file("app/main", text(700_000, 2000 + version))
        .file("app/data", text(2 << 20, 3000))
        .file("app/copy-of-lib", text(3000 + 900 * 17, 17))
        .hard_link("app/link-below", "lib/3.so");
    let layout = dir.join(format!("app-{version}"));
    // Plain, so that it comes back to the bit.
    let plain = |tar| Layer { compression: Compression::None, ..Layer::new(tar) };
    Layout::of([plain(base.finish()), plain(app.finish())]).write(&layout);
    layout
}

/// Every form of image that the store helps with.
const FORMS: [&[&str]; 8] = [
    &[],
    &["--fs-version", "5"],
    &["--compressor", "lz4_block", "--digester", "sha256"],
    &["--compressor", "none"],
    &["--compressor", "zstd:9", "--chunk-size", "128KiB"],
    &["--batch-size", "128KiB", "--chunk-size", "256KiB"],
    &["--kernel-mountable"],
    &["--replay", "none", "--fidelity", "warn"],
];

#[test]
fn the_store_never_shows() {
    let dir = tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let (first, second) = (app(dir.path(), 1), app(dir.path(), 2));
    // One store for all: forms must not mix.
    let store = at("store");
    for (number, form) in FORMS.into_iter().enumerate() {
        let plain = |source: &Path, name: &str| convert(source, &at(&format!("{name}-{number}")), form);
        let stored =
            |source: &Path, name: &str| convert_with(&store, source, &at(&format!("{name}-{number}")), form);
        let expected = plain(&first, "none");
        let empty = stored(&first, "empty");
        assert_eq!((&empty["digest"], from_store(&empty)), (&expected["digest"], 0), "{form:?}");
        let full = stored(&first, "full");
        assert_eq!((&full["digest"], from_store(&full)), (&expected["digest"], 2), "{form:?}");

        let expected = plain(&second, "none-2");
        let other = stored(&second, "other");
        assert_eq!((&other["digest"], from_store(&other)), (&expected["digest"], 1), "{form:?}");
        // The base is the same, of the application all but one file; raw chunks are not worth a look.
        let is_raw = form.starts_with(&["--compressor", "none"]) || form.contains(&"--kernel-mountable");
        assert_eq!(sum(&other, "copied_chunks") == 0, is_raw, "{form:?}");
        ok(["check", "-q", &latest(&at(&format!("other-{number}")))]);
    }
    let report = ChunkStore::open(&store).unwrap().verify(VerifyOptions::default()).unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
}

#[test]
fn prefetched_files_make_other_blobs() {
    let dir = tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let source = app(dir.path(), 1);
    fs::write(at("list"), "/app/data\n/lib/7.so\n").unwrap();
    let list = at("list");
    let options = ["--prefetch", list.to_str().unwrap()];
    let expected = convert(&source, &at("none"), &options);
    convert_with(&at("store"), &source, &at("without"), &[]);
    let first = convert_with(&at("store"), &source, &at("first"), &options);
    assert_eq!((&first["digest"], from_store(&first)), (&expected["digest"], 0));
    assert!(sum(&first, "copied_chunks") > 40);
    let again = convert_with(&at("store"), &source, &at("again"), &options);
    assert_eq!((&again["digest"], from_store(&again)), (&expected["digest"], 2));
}

/// Every byte of the store is damaged once, in steps: the result is right all the same.
#[test]
fn damage_is_made_again() {
    let dir = tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let (first, second) = (app(dir.path(), 1), app(dir.path(), 2));
    let expected = [convert(&first, &at("none-1"), &[]), convert(&second, &at("none-2"), &[])];
    for (number, kind) in ["blobs", "descriptions", "layers"].into_iter().enumerate() {
        let store = at(&format!("store-{kind}"));
        convert_with(&store, &first, &at(&format!("full-{number}")), &[]);
        for entry in walk(&store.join(kind)) {
            let mut bytes = fs::read(&entry).unwrap();
            // A bit in every 100 bytes.
            bytes.iter_mut().step_by(100).for_each(|byte| *byte ^= 16);
            fs::write(&entry, bytes).unwrap();
        }
        let report = ChunkStore::open(&store).unwrap().verify(VerifyOptions::default()).unwrap();
        assert!(report.problems.len() >= 2, "{kind}: {:?}", report.problems);
        for (version, source) in [(1, &second), (0, &first), (1, &second), (0, &first)] {
            let target = at(&format!("healed-{number}-{version}"));
            let healed = convert_with(&store, source, &target, &[]);
            assert_eq!(healed["digest"], expected[version]["digest"], "{kind}");
        }
        let report = ChunkStore::open(&store).unwrap().verify(VerifyOptions::default()).unwrap();
        assert!(report.problems.is_empty(), "{kind}: {:?}", report.problems);
    }
}

fn walk(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut pending = vec![dir.to_owned()];
    while let Some(path) = pending.pop() {
        match path.is_dir() {
            true => pending.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path())),
            false => files.push(path),
        }
    }
    files.sort();
    files
}

/// The daemon serves every file, the reference accepts the image, and the original comes back.
fn is_right(source: &Path, nydus: &Path, digest: &str, dir: &Path) {
    ok(["check", "-q", &latest(nydus)]);
    let back = ok(["to-oci", "-q", &latest(nydus), &latest(&dir.join("back"))]).stdout;
    let original = crate::support::cli::json_root(source);
    assert!(back.trim_end().ends_with(&original), "{back} {original}");
    let bundle = tempdir().unwrap();
    let expected = Tree::read(&umoci::unpack(source, "latest", &bundle.path().join("bundle")));
    let bootstrap = extract_bootstrap(nydus, digest, &dir.join("image.boot"));
    Tool::get("nydus-image").run(["check", "--bootstrap", bootstrap.to_str().unwrap()]);
    let daemon = Nydusd::mount(&bootstrap, &nydus.join("blobs/sha256")).unwrap();
    let ignore = Ignore { mtime_of: vec![Vec::new()], ..Ignore::default() };
    let differences = Tree::read(&daemon.root()).diff(&expected, &ignore);
    assert!(differences.is_empty(), "{differences:#?}");
    assert!(daemon.unmount().success());
}

#[test]
fn layers_share_with_those_below() {
    crate::support::require!("nydus-image", "nydusd", "umoci", "root");
    let dir = tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let source = app(dir.path(), 1);
    for (number, version) in ["6", "5"].into_iter().enumerate() {
        let options = ["--dedup", "image", "--fs-version", version];
        let expected = convert(&source, &at(&format!("none-{number}")), &options);
        // One file of the application is the base's.
        assert_eq!(sum(&expected, "foreign_chunks"), 1);
        let shared = layers(&expected).last().unwrap()["shared"].as_array().unwrap().clone();
        assert_eq!(shared.len(), 1);
        assert_eq!(shared[0]["blob_digest"], layers(&expected).next().unwrap()["blob_digest"]);
        for name in ["empty", "full"] {
            let target = at(&format!("{name}-{number}"));
            let with = convert_with(&at("store"), &source, &target, &options);
            assert_eq!(with["digest"], expected["digest"], "{name}");
            assert_eq!(from_store(&with), if name == "full" { 2 } else { 0 });
            is_right(&source, &target, with["digest"].as_str().unwrap(), dir.path());
        }
    }
}

#[test]
fn images_share_what_pays() {
    crate::support::require!("nydus-image", "nydusd", "umoci", "root");
    let dir = tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let (first, second) = (app(dir.path(), 1), app(dir.path(), 2));
    for (number, version) in ["6", "5"].into_iter().enumerate() {
        let store = at(&format!("store-{version}"));
        let form = ["--fs-version", version];
        let alone = convert_with(&store, &first, &at(&format!("first-{number}")), &form);
        let blob = |report: &serde_json::Value, layer: usize| {
            layers(report).nth(layer).unwrap()["blob_digest"].as_str().unwrap().to_owned()
        };
        let options = [&form[..], &["--dedup", "store"]].concat();
        let target = at(&format!("second-{number}"));
        let shared = convert_with(&store, &second, &target, &options);
        // The base as a whole, of the application all but the changed file.
        assert_eq!(from_store(&shared), 1);
        assert_eq!(blob(&shared, 0), blob(&alone, 0));
        let uses = layers(&shared).nth(1).unwrap()["shared"].as_array().unwrap().clone();
        let named: Vec<&str> = uses.iter().map(|one| one["blob_digest"].as_str().unwrap()).collect();
        assert!(named.contains(&blob(&alone, 1).as_str()) && named.contains(&blob(&alone, 0).as_str()));
        let other = uses.iter().find(|one| one["blob_digest"] == blob(&alone, 1).as_str()).unwrap();
        assert!(other["image"].as_str().unwrap().contains("first"), "{other}");
        assert!(other["saved_bytes"].as_u64().unwrap() > 250_000, "{other}");
        is_right(&second, &target, shared["digest"].as_str().unwrap(), dir.path());

        // The same state of the store gives the same image, whatever came since.
        let snapshot = shared["dedup_snapshot"].as_str().unwrap();
        let pinned = [&options[..], &["--dedup-snapshot", snapshot]].concat();
        let third = app(dir.path(), 3);
        convert_with(&store, &third, &at(&format!("third-{number}")), &options);
        let again = convert_with(&store, &second, &at(&format!("again-{number}")), &pinned);
        assert_eq!(again["digest"], shared["digest"]);

        // What does not pay is copied.
        for (limit, value) in [("--dedup-max-blobs", "0"), ("--dedup-min-saving", "99")] {
            let options = [&options[..], &[limit, value]].concat();
            let target = at(&format!("copied{limit}-{number}"));
            let copied = convert_with(&store, &second, &target, &options);
            let uses = layers(&copied).nth(1).unwrap()["shared"].as_array().unwrap().len();
            // But the image has the base's blob in any case.
            assert_eq!(uses, 1, "{limit}");
            assert!(sum(&copied, "copied_chunks") > 1, "{limit}");
            is_right(&second, &target, copied["digest"].as_str().unwrap(), dir.path());
        }
    }
}

/// What another repository of the registry has is mounted, not sent.
#[test]
fn blobs_are_mounted_across_repositories() {
    crate::support::require!("docker-registry");
    let dir = tempdir().unwrap();
    let registry = Registry::start();
    let convert_to = |source: &Path, name: &str, options: &[&str]| {
        let mut command = storing();
        let target = format!("{}/{name}:1", registry.host());
        command
            .args(["to-nydus", "-q", "--json", &latest(source), &target, "--store"])
            .arg(dir.path().join("store"));
        let output = command.args(options).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        ok(["check", "-q", &target]);
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    let mounts = || registry.log().matches("mount=sha256").count();
    let first = convert_to(&app(dir.path(), 1), "first/app", &[]);
    assert_eq!(mounts(), 0);
    let again = convert_to(&app(dir.path(), 1), "second/app", &[]);
    assert_eq!((from_store(&again), &again["digest"]), (2, &first["digest"]));
    let of_layers = mounts();
    assert!(of_layers > 0, "{}", registry.log());
    // One layer as a whole, and the other's old blob.
    convert_to(&app(dir.path(), 2), "third/app", &["--dedup", "store"]);
    assert!(mounts() >= of_layers + 2, "{}", registry.log());
}

#[test]
fn mistakes_are_told() {
    let dir = tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let source = app(dir.path(), 1);
    let fails = |store: &Path, options: &[&str], code: i32, says: &str| {
        let output = conversion(store, &source, &at("target"), options).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{options:?}: {stderr}");
        assert!(stderr.contains(says), "{options:?}: {stderr}");
        assert!(!at("target").exists());
    };
    fs::create_dir(at("other")).unwrap();
    fs::write(at("other/file"), "").unwrap();
    fails(&at("other"), &[], 1, "is not a chunk store");
    fs::create_dir(at("newer")).unwrap();
    fs::write(at("newer/nydus-convert-store"), "7\n").unwrap();
    fails(&at("newer"), &[], 1, "has version '7'");
    let store = at("store");
    fails(&store, &["--dedup", "store", "--no-store"], 2, "needs a chunk store");
    fails(
        &store,
        &["--dedup", "image", "--tarfs"],
        2,
        "--dedup image and store are for layers that are packed",
    );
    fails(&store, &["--dedup", "image", "--kernel-mountable"], 2, "for the kernel");
    fails(&store, &["--dedup-snapshot", "0123456789abcdef-1"], 2, "is for --dedup store");
    fails(&store, &["--dedup-snapshot", "x"], 2, "is not the name of a snapshot");
    fails(&store, &["--dedup-min-saving", "101"], 2, "is not a percentage");
    let other = ["--dedup", "store", "--dedup-snapshot", "0123456789abcdef-1"];
    fails(&store, &other, 4, "of another chunk store");
}
