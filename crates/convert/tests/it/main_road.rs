//! The main road on small images: converting, checking, listing, indexes, media types, compressions, reports.

use std::fs;

use crate::support::cli::{blob, convert, json, latest, ok, run, snapshot};
use crate::support::oci::{Compression, Dialect, Image, Layer, Layout};
use crate::support::tars::Tar;
use serde_json::Value;
use tempfile::tempdir;

fn sample() -> Vec<u8> {
    let big: Vec<u8> = (0..3_000_000_u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
    Tar::new()
        .dir("etc", 0o755)
        .file("etc/hello", "hello\n")
        .file("big", big)
        .symlink("etc/link", "hello")
        .finish()
}

#[test]
fn the_fixture_converts_and_checks() {
    let dir = tempdir().unwrap();
    let target = dir.path().join("nydus");
    let report = convert(&crate::support::fixtures().join("small"), &target, &[]);
    assert_eq!(report["schema_version"], 1);
    assert_eq!(report["losses"], Value::Array(vec![]));
    assert_eq!(report["images"][0]["platform"], "linux/amd64");
    assert_eq!(report["images"][0]["action"], "converted");

    let pinned = report["reference"].as_str().unwrap();
    assert!(pinned.ends_with(report["digest"].as_str().unwrap()), "{pinned}");
    let check: Value = serde_json::from_str(&ok(["check", "--json", pinned]).stdout).unwrap();
    assert_eq!(check["problems"], Value::Array(vec![]));
    assert_eq!(check["images"][0]["kind"], "nydus");
    assert_eq!(check["images"][0]["inodes"], report["images"][0]["inodes"]);

    let manifest = json(&target, report["digest"].as_str().unwrap());
    let layers = manifest["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 5);
    assert_eq!(layers[0]["annotations"]["containerd.io/snapshot/nydus-blob"], "true");
    assert_eq!(layers[4]["annotations"]["containerd.io/snapshot/nydus-bootstrap"], "true");
    let config = json(&target, manifest["config"]["digest"].as_str().unwrap());
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 5);
    assert_eq!(config["history"].as_array().unwrap().last().unwrap()["comment"], "Nydus Bootstrap Layer");
}

#[test]
fn ls_and_cat_show_what_the_image_holds() {
    let dir = tempdir().unwrap();
    let (source, target) = (dir.path().join("oci"), dir.path().join("nydus"));
    Layout::of([Layer::new(sample())]).write(&source);
    convert(&source, &target, &["--chunk-size", "64KiB"]);
    let image = latest(&target);
    let listing = ok(["ls", image.as_str()]).stdout;
    assert!(
        listing.contains("-rw-r--r--   1     0     0          6 2023-11-14 22:13 /etc/hello\n"),
        "{listing}"
    );
    assert!(listing.contains(" /etc/link -> hello\n"), "{listing}");
    assert_eq!(ok(["ls", image.as_str(), "etc"]).stdout.lines().count(), 3);
    assert_eq!(ok(["cat", image.as_str(), "/etc/link"]).stdout, "hello\n");
    let output = crate::support::cli::command().args(["cat", image.as_str(), "big"]).output().unwrap();
    assert_eq!(output.stdout.len(), 12_000_000);
    let expected: Vec<u8> = (0..3_000_000_u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
    assert!(output.stdout == expected);

    let missing = run(["cat", image.as_str(), "nowhere"]);
    assert_eq!(
        (missing.code, missing.stderr.as_str()),
        (Some(4), "error: /nowhere: no such file in the image\n")
    );
    assert_eq!(run(["cat", image.as_str(), "etc"]).code, Some(4));
    assert_eq!(run(["ls", latest(&source).as_str()]).code, Some(4));
}

#[test]
fn every_compression_and_dialect_gives_the_same_blobs() {
    use Compression::{Gzip, GzipMembers, None, Zstd, ZstdFrames};
    let dir = tempdir().unwrap();
    let (mut blobs, mut recorded) = (Vec::new(), Vec::new());
    for (number, compression) in [None, Gzip, GzipMembers, Zstd, ZstdFrames].into_iter().enumerate() {
        for (dialect, media_type) in [
            (Dialect::Oci, "application/vnd.oci.image.manifest.v1+json"),
            (Dialect::Docker, "application/vnd.docker.distribution.manifest.v2+json"),
        ] {
            let source = dir.path().join(format!("{number}-{dialect:?}"));
            let target = dir.path().join(format!("{number}-{dialect:?}-nydus"));
            let layer = Layer { compression, ..Layer::new(sample()) };
            Layout { images: vec![Image { dialect, ..Image::of([layer]) }], ..Layout::default() }
                .write(&source);
            let report = convert(&source, &target, &["--replay", "none"]);
            assert_eq!(report["media_type"], media_type);
            ok(["check", latest(&target).as_str()]);
            blobs.push(report["images"][0]["layers"][0]["blob_digest"].clone());
            // What a blob remembers of its layer speaks of the layer's bytes, and of nothing else.
            let report = convert(&source, &target, &[]);
            ok(["check", latest(&target).as_str()]);
            recorded.push(report["images"][0]["layers"][0]["blob_digest"].clone());
        }
    }
    blobs.dedup();
    recorded.dedup();
    assert_eq!((blobs.len(), recorded.len()), (1, 5));
}

#[test]
fn an_index_stays_an_index() {
    let dir = tempdir().unwrap();
    let target = dir.path().join("nydus");
    let source = crate::support::fixtures().join("index");
    let report = convert(&source, &target, &[]);
    let actions: Vec<&str> =
        report["images"].as_array().unwrap().iter().map(|image| image["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["converted", "converted", "carried"]);
    let index = json(&target, report["digest"].as_str().unwrap());
    let entries = index["manifests"].as_array().unwrap();
    assert_eq!(entries.len(), 3);
    for (entry, architecture) in entries.iter().zip(["amd64", "arm64"]) {
        assert_eq!(entry["platform"]["architecture"], architecture);
    }
    assert_eq!(entries[2]["platform"]["os"], "unknown");
    let check: Value =
        serde_json::from_str(&ok(["check", "--json", latest(&target).as_str()]).stdout).unwrap();
    assert_eq!(check["images"].as_array().unwrap().len(), 3);

    let one = dir.path().join("one");
    let report = convert(&source, &one, &["--platform", "linux/arm64"]);
    assert_eq!(report["images"].as_array().unwrap().len(), 1);
    let none =
        run(["to-nydus", &latest(&source), &latest(&dir.path().join("none")), "--platform", "linux/s390x"]);
    assert_eq!(none.code, Some(4));
    assert!(none.stderr.contains("linux/amd64, linux/arm64"), "{}", none.stderr);
    assert!(!dir.path().join("none").exists());
}

#[test]
fn a_nydus_image_is_copied_unchanged() {
    let dir = tempdir().unwrap();
    let (source, nydus, copy) = (dir.path().join("oci"), dir.path().join("nydus"), dir.path().join("copy"));
    Layout::of([Layer::new(sample())]).write(&source);
    let first = convert(&source, &nydus, &[]);
    let second = ok(["to-nydus", &latest(&nydus), &latest(&copy)]);
    assert!(second.stderr.contains("is a Nydus image already: copied unchanged"), "{}", second.stderr);
    assert!(second.stdout.trim_end().ends_with(first["digest"].as_str().unwrap()));
    ok(["check", latest(&copy).as_str()]);
}

#[test]
fn only_the_named_reference_of_a_target_changes() {
    let dir = tempdir().unwrap();
    let layout = dir.path().join("layout");
    Layout::of([Layer::new(sample())]).write(&layout);
    let before = snapshot(&layout);
    let report = convert(&layout, &layout, &["--force", "--annotation", "org.example.team=storage"]);
    // The name now means the result; everything that was there before is still there.
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 1);
    assert_eq!(index["manifests"][0]["digest"], report["digest"]);
    let after = snapshot(&layout);
    for (path, state) in before.iter().filter(|(path, _)| path.starts_with(layout.join("blobs/sha256/"))) {
        if path != &layout.join("blobs/sha256") {
            assert_eq!(after.get(path), Some(state));
        }
    }
    let manifest = json(&layout, report["digest"].as_str().unwrap());
    assert_eq!(manifest["annotations"]["org.example.team"], "storage");
}

#[test]
fn duplicates_are_stored_once_and_shared_across_layers() {
    let dir = tempdir().unwrap();
    let (source, target) = (dir.path().join("oci"), dir.path().join("nydus"));
    let content = "the same content in every file\n".repeat(100);
    let lower = Tar::new().file("a", &content).file("b", &content).finish();
    let upper = Tar::new().file("c", &content).finish();
    Layout::of([Layer::new(lower), Layer::new(upper)]).write(&source);
    let report = convert(&source, &target, &[]);
    let layers = &report["images"][0]["layers"];
    assert_eq!((&layers[0]["chunks"], &layers[0]["stored_chunks"]), (&2.into(), &1.into()));
    // The upper layer's blob stands alone, and yet no file of the image needs it.
    assert_eq!(layers[1]["stored_chunks"], 1);
    assert_eq!(report["images"][0]["blobs"], 1);
    assert_eq!(ok(["cat", latest(&target).as_str(), "c"]).stdout, content);
}

#[test]
fn a_layer_is_the_same_blob_in_every_image() {
    let dir = tempdir().unwrap();
    let base = Layer::new(sample());
    let mut digests = Vec::new();
    for name in ["one", "two"] {
        let source = dir.path().join(name);
        let app = Layer::new(Tar::new().file(name, name).finish());
        Layout::of([base.clone(), app]).write(&source);
        let report = convert(&source, &dir.path().join(format!("{name}-nydus")), &[]);
        digests.push(report["images"][0]["layers"][0]["blob_digest"].clone());
    }
    assert_eq!(digests[0], digests[1]);
}

#[test]
fn empty_images_and_empty_layers_convert() {
    let dir = tempdir().unwrap();
    for (name, layers) in [
        ("no-layers", vec![]),
        ("empty-tar", vec![Layer::new(Tar::new().finish())]),
        ("no-bytes", vec![Layer { compression: Compression::None, ..Layer::new("") }]),
        ("no-data", vec![Layer::new(Tar::new().dir("a", 0o700).file("a/empty", "").finish())]),
    ] {
        let (source, target) = (dir.path().join(name), dir.path().join(format!("{name}-nydus")));
        Layout::of(layers).write(&source);
        let report = convert(&source, &target, &[]);
        assert_eq!(report["images"][0]["blobs"], 0, "{name}");
        ok(["check", latest(&target).as_str()]);
    }
}

#[test]
fn check_finds_every_flipped_byte() {
    let dir = tempdir().unwrap();
    let (source, target) = (dir.path().join("oci"), dir.path().join("nydus"));
    Layout::of([Layer::new(Tar::new().file("a", "some content ".repeat(500)).finish())]).write(&source);
    let report = convert(&source, &target, &["--chunk-size", "4KiB"]);
    let manifest = json(&target, report["digest"].as_str().unwrap());
    for layer in manifest["layers"].as_array().unwrap() {
        let digest = layer["digest"].as_str().unwrap();
        let good = blob(&target, digest);
        let file = target.join("blobs").join(digest.replace(':', "/"));
        for position in [0, good.len() / 3, good.len() / 2, good.len() - 1] {
            let mut bad = good.clone();
            bad[position] ^= 0x10;
            fs::write(&file, &bad).unwrap();
            let check = run(["check", "-q", latest(&target).as_str()]);
            assert_eq!(check.code, Some(3), "byte {position} of {digest}: {}", check.stderr);
            assert!(check.stderr.contains("problem: "), "{}", check.stderr);
        }
        fs::write(&file, &good).unwrap();
    }
    ok(["check", latest(&target).as_str()]);
}

#[test]
fn plain_images_are_checked_too() {
    let dir = tempdir().unwrap();
    let source = dir.path().join("oci");
    Layout::of([Layer::new(sample())]).write(&source);
    let report: Value =
        serde_json::from_str(&ok(["check", "--json", latest(&source).as_str()]).stdout).unwrap();
    assert_eq!(report["images"][0]["kind"], "oci");
    let wrong = Layer { diff_id: Some(format!("sha256:{}", "0".repeat(64))), ..Layer::new(sample()) };
    let bad = dir.path().join("bad");
    Layout::of([wrong]).write(&bad);
    assert_eq!(run(["check", latest(&bad).as_str()]).code, Some(3));
}

#[test]
fn the_digest_file_and_the_quiet_flag() {
    let dir = tempdir().unwrap();
    let (source, target, file) =
        (dir.path().join("oci"), dir.path().join("nydus"), dir.path().join("digest"));
    Layout::of([Layer::new(sample())]).write(&source);
    let run =
        ok(["to-nydus", "-q", "--digest-file", file.to_str().unwrap(), &latest(&source), &latest(&target)]);
    assert_eq!(run.stderr, "");
    let digest = fs::read_to_string(file).unwrap();
    assert_eq!(run.stdout, format!("{}@{digest}\n", latest(&target)));
}
