//! The way back on small images: exact where the image remembers, complete where it does not, and never wrong.

use std::fs;
use std::path::Path;

use crate::support::cli::{blob, convert, json as read_json, latest, ok, run, snapshot};
use crate::support::encoders::{self, filter};
use crate::support::oci::{Compression, Dialect, Image, Layer, Layout};
use crate::support::tars::Tar;
use serde_json::{Value, json};
use tempfile::tempdir;

/// A tar with enough of everything that encoders differ on it.
fn sample(seed: u32) -> Vec<u8> {
    let mut state = seed;
    let mut draw = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 16
    };
    let mut tar = Tar::new().dir("etc", 0o755).symlink("etc/link", "hello");
    for number in 0..60 {
        let words = ["alpha ", "beta ", "gamma\n", "delta, ", "epsilon "];
        let text: String = (0..draw() % 6000).map(|_| words[draw() as usize % 5]).collect();
        let noise: Vec<u8> = (0..draw() % 20_000).map(|_| draw() as u8).collect();
        tar = tar.file(&format!("text{number}"), text).file(&format!("noise{number}"), noise);
    }
    tar.finish()
}

fn stored(tar: &[u8], compression: Compression, bytes: Vec<u8>) -> Layer {
    Layer { stored: Some(bytes), compression, ..Layer::new(tar) }
}

fn back(source: &Path, target: &Path, options: &[&str]) -> Value {
    let (source, target) = (latest(source), latest(target));
    let args = ["to-oci", "--json", &source, &target].into_iter().chain(options.iter().copied());
    serde_json::from_str(&ok(args).stdout).unwrap()
}

/// Every blob of the source is in the target, and its index.json names the same image.
fn assert_same_image(source: &Path, target: &Path) {
    let index =
        |dir: &Path| -> Value { serde_json::from_slice(&fs::read(dir.join("index.json")).unwrap()).unwrap() };
    assert_eq!(index(source)["manifests"][0]["digest"], index(target)["manifests"][0]["digest"]);
    for entry in fs::read_dir(source.join("blobs/sha256")).unwrap() {
        let name = entry.unwrap().file_name();
        let [original, restored] = [source, target].map(|dir| fs::read(dir.join("blobs/sha256").join(&name)));
        assert!(original.unwrap() == restored.unwrap(), "{name:?} differs");
    }
}

#[test]
fn layers_of_every_encoder_come_back_bit_for_bit() {
    let names: Vec<&str> = encoders::TOOLS.to_vec();
    if !crate::support::tools::available(&names) {
        return;
    }
    let dir = tempdir().unwrap();
    let (source, nydus, restored) =
        (dir.path().join("oci"), dir.path().join("nydus"), dir.path().join("back"));
    let tars: Vec<Vec<u8>> = (1..9).map(sample).collect();
    let layers = [
        stored(&tars[0], Compression::Gzip, encoders::go(1, &tars[0])),
        stored(&tars[1], Compression::Gzip, encoders::go(6, &tars[1])),
        stored(&tars[2], Compression::Gzip, encoders::python(&tars[2])),
        stored(&tars[3], Compression::Gzip, filter("gzip", &["-n"], &tars[3])),
        stored(&tars[4], Compression::Gzip, filter("gzip", &["-1n"], &tars[4])),
        stored(&tars[5], Compression::Gzip, filter("pigz", &["-n", "-p", "2"], &tars[5])),
        Layer { compression: Compression::None, ..Layer::new(tars[6].clone()) },
    ];
    let written = Layout::of(layers).write(&source);
    let report = convert(&source, &nydus, &[]);
    let ways: Vec<&str> = report["images"][0]["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|layer| layer["replay"]["way_back"].as_str().unwrap())
        .collect();
    assert_eq!(ways, [&["sampled"; 6][..], &["proven"]].concat(), "{:#}", report["images"][0]["layers"]);
    let report = back(&nydus, &restored, &[]);
    assert_eq!((&report["digest"], &report["exact"]), (&json!(written.digest), &json!(true)));
    assert_same_image(&source, &restored);
    ok(["check", "-q", &latest(&restored)]);
}

#[test]
fn what_is_not_recognised_is_kept_when_asked_for() {
    let dir = tempdir().unwrap();
    let (source, restored) = (dir.path().join("oci"), dir.path().join("back"));
    let layer = |seed, compression| Layer { compression, ..Layer::new(sample(seed)) };
    let layers =
        [layer(1, Compression::None), layer(2, Compression::Zstd), layer(3, Compression::ZstdFrames)];
    let written = Layout::of(layers).write(&source);

    let proven = dir.path().join("proven");
    let report = convert(&source, &proven, &["--replay", "proven"]);
    let layers = report["images"][0]["layers"].as_array().unwrap();
    assert_eq!(layers[1]["replay"]["way_back"], "proven");
    assert!(layers[1]["replay"]["bytes"].as_u64() > layers[1]["source_bytes"].as_u64());
    assert_eq!(back(&proven, &restored, &[])["digest"], json!(written.digest));
    assert_same_image(&source, &restored);

    for replay in ["auto", "tar"] {
        let nydus = dir.path().join(replay);
        let report = convert(&source, &nydus, &["--replay", replay]);
        assert_eq!(report["images"][0]["layers"][1]["replay"]["way_back"], "tar");
        let target = dir.path().join(format!("{replay}-back"));
        let failed = run(["to-oci", &latest(&nydus), &latest(&target)]);
        assert_eq!(failed.code, Some(3), "{}", failed.stderr);
        let digest = report["images"][0]["layers"][1]["source_digest"].as_str().unwrap();
        assert!(
            failed.stderr.contains("layer 2 of 3") && failed.stderr.contains(digest),
            "{}",
            failed.stderr
        );
        assert!(!target.exists());
        // The same tars with other compression: the same config, hence the same diff ids.
        for layers in ["gzip", "gzip:1", "zstd", "zstd:7", "none"] {
            let target = dir.path().join(format!("{replay}-{}", layers.replace(':', "-")));
            let report = back(&nydus, &target, &["--layers", layers]);
            assert_eq!(report["exact"], false);
            assert!(
                report["images"][0]["layers"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .all(|layer| layer["exact_tar"] == true)
            );
            ok(["check", "-q", &latest(&target)]);
            let [old, new] =
                [read_json(&source, &written.digest), read_json(&target, report["digest"].as_str().unwrap())];
            assert_eq!(old["config"], new["config"]);
        }
    }
}

#[test]
fn docker_manifests_and_unknown_fields_come_back() {
    let dir = tempdir().unwrap();
    for (number, dialect) in [Dialect::Oci, Dialect::Docker].into_iter().enumerate() {
        let [source, nydus, restored] =
            ["oci", "nydus", "back"].map(|name| dir.path().join(format!("{name}{number}")));
        let layer = Layer { compression: Compression::None, ..Layer::new(sample(4)) };
        let patch = json!({ "annotations": { "org.example": "kept" }, "x-vendor": { "z": 1, "a": [1.50] } });
        let image = Image {
            dialect,
            manifest_patch: Some(patch.clone()),
            config_patch: Some(json!({ "x-vendor": "kept too" })),
            ..Image::of([layer.clone(), layer])
        };
        let written = Layout { images: vec![image], ..Layout::default() }.write(&source);
        convert(&source, &nydus, &[]);
        assert_eq!(back(&nydus, &restored, &[])["digest"], json!(written.digest));
        assert_same_image(&source, &restored);
    }
}

#[test]
fn an_index_comes_back_with_everything_it_lists() {
    let dir = tempdir().unwrap();
    let (source, nydus, restored) =
        (dir.path().join("oci"), dir.path().join("nydus"), dir.path().join("back"));
    let base = Layer { compression: Compression::None, ..Layer::new(sample(5)) };
    let image = |architecture: &str, seed| Image {
        architecture: architecture.to_owned(),
        ..Image::of([base.clone(), Layer { compression: Compression::None, ..Layer::new(sample(seed)) }])
    };
    let attestation = Image {
        os: "unknown".to_owned(),
        architecture: "unknown".to_owned(),
        descriptor_patch: Some(
            json!({ "annotations": { "vnd.docker.reference.type": "attestation-manifest" } }),
        ),
        ..Image::of([Layer {
            media_type: Some("application/vnd.in-toto+json".to_owned()),
            ..Layer::new("{}")
        }])
    };
    let images = vec![image("amd64", 6), image("arm64", 7), image("s390x", 8), attestation];
    let index_patch = Some(json!({ "annotations": { "org.example.index": "kept" } }));
    let written = Layout { images, index_patch, ..Layout::default() }.write(&source);
    convert(&source, &nydus, &[]);
    let report = back(&nydus, &restored, &[]);
    assert_eq!(report["digest"], json!(written.digest));
    let actions: Vec<&Value> =
        report["images"].as_array().unwrap().iter().map(|image| &image["action"]).collect();
    assert_eq!(actions, ["exact", "exact", "exact", "carried"]);
    assert_same_image(&source, &restored);

    // One platform: the image that the index listed for it.
    let one = dir.path().join("one");
    let report = back(&nydus, &one, &["--platform", "linux/arm64"]);
    assert_eq!((&report["digest"], &report["exact"]), (&json!(written.manifests[1]), &json!(true)));
    // Some of them: an index that lists these, as it listed them before.
    let some = dir.path().join("some");
    let report = back(&nydus, &some, &["--platform", "linux/arm64,linux/amd64"]);
    assert_eq!(report["exact"], false);
    let [all, fewer] =
        [read_json(&source, &written.digest), read_json(&some, report["digest"].as_str().unwrap())];
    assert_eq!(fewer["manifests"], json!([all["manifests"][0], all["manifests"][1]]));
    let none =
        run(["to-oci", &latest(&nydus), &latest(&dir.path().join("none")), "--platform", "linux/riscv64"]);
    assert_eq!(none.code, Some(4), "{}", none.stderr);
}

#[test]
fn images_without_records_come_back_complete() {
    let dir = tempdir().unwrap();
    let (source, nydus) = (dir.path().join("oci"), dir.path().join("nydus"));
    let lower = Tar::new()
        .dir("d", 0o755)
        .file("d/gone", "1")
        .file("d/kept", "2".repeat(5000))
        .hard_link("link", "d/kept");
    let upper = Tar::new()
        .file("d/.wh.gone", "")
        .file("d/new", "3")
        .pax(&[("SCHILY.xattr.user.x", b"a\nb")])
        .file("x", "4");
    Layout::of([Layer::new(lower.finish()), Layer::new(upper.finish())]).write(&source);
    convert(&source, &nydus, &["--replay", "none"]);
    for (layers, media_type) in [("original", "tar+gzip"), ("zstd", "tar+zstd"), ("none", "tar")] {
        let (target, again) = (dir.path().join(layers), dir.path().join(format!("{layers}-again")));
        let report = back(&nydus, &target, &["--layers", layers]);
        assert_eq!((&report["exact"], &report["images"][0]["action"]), (&json!(false), &json!("rebuilt")));
        // Deterministic.
        assert_eq!(back(&nydus, &again, &["--layers", layers, "-j", "3"])["digest"], report["digest"]);
        ok(["check", "-q", &latest(&target)]);
        let manifest = read_json(&target, report["digest"].as_str().unwrap());
        assert_eq!(manifest["layers"].as_array().unwrap().len(), 2);
        assert!(manifest["layers"][0]["mediaType"].as_str().unwrap().ends_with(media_type));
        assert_eq!(manifest["annotations"], Value::Null);
        let config = read_json(&target, manifest["config"]["digest"].as_str().unwrap());
        assert_eq!(config["history"].as_array().unwrap().len(), 2);
        // The same files: converted once more, the same listing.
        let nydus_again = dir.path().join(format!("{layers}-nydus"));
        convert(&target, &nydus_again, &["--replay", "none"]);
        let [first, second] = [&nydus, &nydus_again].map(|dir| ok(["ls", &latest(dir)]).stdout);
        assert_eq!(first, second);
    }
}

#[test]
fn what_is_no_nydus_image_is_refused() {
    let dir = tempdir().unwrap();
    let source = dir.path().join("oci");
    Layout::of([Layer::new(sample(9))]).write(&source);
    let before = snapshot(&source);
    let failed = run(["to-oci", &latest(&source), &latest(&dir.path().join("target"))]);
    assert_eq!(failed.code, Some(4));
    assert!(failed.stderr.contains("is not a Nydus image"), "{}", failed.stderr);
    assert!(!dir.path().join("target").exists());
    assert_eq!(snapshot(&source), before);
}

#[test]
fn a_flipped_bit_gives_an_error_that_names_the_layer() {
    let dir = tempdir().unwrap();
    let (source, nydus) = (dir.path().join("oci"), dir.path().join("nydus"));
    let layer = Layer {
        compression: Compression::None,
        ..Layer::new(Tar::new().file("a", "text ".repeat(500)).finish())
    };
    Layout::of([layer]).write(&source);
    let report = convert(&source, &nydus, &["--chunk-size", "4KiB"]);
    let digest = report["images"][0]["layers"][0]["blob_digest"].as_str().unwrap();
    let good = blob(&nydus, digest);
    let file = nydus.join("blobs").join(digest.replace(':', "/"));
    let target = dir.path().join("target");
    // Sections that the way back does not read may be damaged without harm; the image is right then.
    let mut refused = 0;
    for position in (0..good.len()).step_by(37) {
        let mut bad = good.clone();
        bad[position] ^= 1 << (position % 8);
        fs::write(&file, &bad).unwrap();
        let outcome = run(["to-oci", "-q", &latest(&nydus), &latest(&target)]);
        match outcome.code {
            Some(0) => {
                assert_same_image(&source, &target);
                fs::remove_dir_all(&target).unwrap();
            }
            Some(1 | 3 | 7) => {
                refused += 1;
                assert!(outcome.stderr.contains("layer 1 of 1"), "byte {position}: {}", outcome.stderr);
                assert!(!target.exists());
            }
            code => panic!("byte {position}: {code:?} {}", outcome.stderr),
        }
    }
    assert!(refused > 0);
}
