//! Indexes, manifests and configs as registries, builders and mirrors of the world have them.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::cli::{Run, blob, json_root, latest, run};
use crate::support::oci::{Image, Layer, Layout};
use crate::support::tars::Tar;

fn image(architecture: &str) -> Image {
    let layer = Layer::new(Tar::new().file("a", architecture).finish());
    Image { architecture: architecture.to_owned(), ..Image::of([layer]) }
}

/// What is wrong with the second entry of an index, as a merge patch of it, and what a run says of it that is asked for all
/// platforms.
fn bad_entries() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        ("quay#3683", json!({ "size": -1 }), "entry 2"),
        ("a size as a float", json!({ "size": 1000.5 }), "entry 2"),
        ("a size as text", json!({ "size": "5" }), "entry 2"),
        ("no size", json!({ "size": null }), "entry 2"),
        ("sha384", json!({ "digest": format!("sha384:{}", "a".repeat(96)) }), "entry 2"),
        ("sha1", json!({ "digest": format!("sha1:{}", "a".repeat(40)) }), "entry 2"),
        ("capitals", json!({ "digest": format!("sha256:{}", "A".repeat(64)) }), "entry 2"),
        ("no colon", json!({ "digest": "a".repeat(64) }), "entry 2"),
        ("a platform as text", json!({ "platform": "linux/arm64" }), "entry 2"),
        ("an annotation of null", json!({ "annotations": { "a": [null] } }), "entry 2"),
        ("an annotation that is a number", json!({ "annotations": { "a": 1 } }), "entry 2"),
        ("moby#49473", json!({ "digest": format!("sha256:{}", "a".repeat(64)) }), "is left out"),
        (
            "schema 1",
            json!({ "mediaType": "application/vnd.docker.distribution.manifest.v1+prettyjws",
                    "digest": format!("sha256:{}", "b".repeat(64)) }),
            "is left out",
        ),
    ]
}

/// Layers that cannot be read, in the second image of an index.
fn bad_layers() -> Vec<(&'static str, Layer, &'static str)> {
    let layer = |media_type: &str| Layer {
        media_type: Some(media_type.to_owned()),
        ..Layer::new(Tar::new().finish())
    };
    let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    vec![
        ("google/containerregistry#128", Layer { missing: true, ..layer(foreign) }, "not distributable"),
        ("an encrypted layer", layer("application/vnd.oci.image.layer.v1.tar+gzip+encrypted"), "encrypted"),
        (
            "docker/cli#5476",
            Layer { missing: true, ..Layer::new(Tar::new().file("x", "1").finish()) },
            "is left out",
        ),
    ]
}

fn convert(source: &Path, target: &Path, options: &[&str]) -> Run {
    let (source, target) = (latest(source), latest(target));
    run(["to-nydus", &source, &target].into_iter().chain(options.iter().copied()))
}

/// With `--platform` the bad one does not matter; without, it is left out and named.
fn good_one_converts(report: &str, layout: &Layout, says: &str) {
    let dir = tempdir().unwrap();
    let source = dir.path().join("source");
    layout.write(&source);
    let one = convert(&source, &dir.path().join("one"), &["--platform", "linux/amd64"]);
    assert_eq!(one.code, Some(0), "{report}: {}", one.stderr);
    let all = convert(&source, &dir.path().join("all"), &[]);
    assert_eq!(all.code, Some(0), "{report}: {}", all.stderr);
    assert!(all.stderr.contains(says), "{report}: {}", all.stderr);
    for verb in ["check", "inspect"] {
        for target in [&source, &dir.path().join("all")] {
            let run = run([verb, &latest(target)]);
            assert_eq!(run.code, Some(0), "{report}: {verb}: {}", run.stderr);
        }
    }
    let wanted = convert(&source, &dir.path().join("wanted"), &["--platform", "linux/arm64"]);
    assert_eq!(wanted.code, Some(4), "{report}: {}", wanted.stderr);
    // Not only that there is none.
    assert!(wanted.stderr.contains(says), "{report}: {}", wanted.stderr);
}

#[test]
fn one_bad_entry_spoils_itself_alone() {
    for (report, patch, says) in bad_entries() {
        let bad = Image { descriptor_patch: Some(patch), ..image("arm64") };
        good_one_converts(report, &Layout { images: vec![image("amd64"), bad], ..Layout::default() }, says);
    }
    for (report, layer, says) in bad_layers() {
        let bad = Image { layers: vec![layer], ..image("arm64") };
        good_one_converts(report, &Layout { images: vec![image("amd64"), bad], ..Layout::default() }, says);
    }
}

/// Entries that do not say what they are: the content does.
#[test]
fn entries_that_say_too_little_are_looked_into() {
    for (report, patch) in [
        ("manifest-tool#199", json!({ "platform": {} })),
        ("inspektor-gadget#5494", json!({ "platform": { "architecture": "arm64" } })),
        ("no platform", json!({ "platform": null })),
        ("no media type", json!({ "mediaType": null })),
        ("text/html", json!({ "mediaType": "text/html" })),
        ("urls", json!({ "urls": null })),
        ("annotations", json!({ "annotations": null })),
    ] {
        let odd = Image { descriptor_patch: Some(patch), ..image("arm64") };
        let dir = tempdir().unwrap();
        let source = dir.path().join("source");
        Layout { images: vec![image("amd64"), odd], ..Layout::default() }.write(&source);
        for (number, options) in
            [&["--platform", "linux/amd64"][..], &["--platform", "linux/arm64"], &[]].iter().enumerate()
        {
            let run = convert(&source, &dir.path().join(number.to_string()), options);
            assert_eq!(run.code, Some(0), "{report}: {}", run.stderr);
        }
    }
}

/// Wrong types in the manifest of an image by itself.
#[test]
fn types_come_from_content() {
    let config = |media_type: &str| json!({ "config": { "mediaType": media_type } });
    let docker = crate::support::oci::Dialect::Docker;
    for (report, image) in [
        (
            "moby#30083",
            Image { manifest_patch: Some(config("text/html")), dialect: docker, ..image("amd64") },
        ),
        (
            "distribution#1621",
            Image { manifest_patch: Some(config("application/json")), dialect: docker, ..image("amd64") },
        ),
        ("moby#22378", Image { manifest_patch: Some(config("")), dialect: docker, ..image("amd64") }),
        (
            "octet-stream in OCI",
            Image { manifest_patch: Some(config("application/octet-stream")), ..image("amd64") },
        ),
        ("jib#2819", Image { manifest_patch: Some(json!({ "mediaType": null })), ..image("amd64") }),
        (
            "moby#31318",
            Image { descriptor_patch: Some(json!({ "mediaType": "binary/octet-stream" })), ..image("amd64") },
        ),
        (
            "skopeo#2057",
            Image {
                descriptor_patch: Some(
                    json!({ "mediaType": "application/vnd.docker.distribution.manifest.v2+json" }),
                ),
                ..image("amd64")
            },
        ),
        ("rules_py#1488", {
            let zstd = crate::support::oci::Compression::Zstd;
            let media_type = Some("application/vnd.oci.image.layer.v1.tar+gzip".to_owned());
            let layer = Layer::new(Tar::new().file("a", "1").finish());
            Image::of([Layer { compression: zstd, media_type, ..layer }])
        }),
        ("layers of other compressions", {
            let layer = |media_type: &str, name| Layer {
                media_type: Some(format!("application/{media_type}")),
                ..Layer::new(Tar::new().file(name, "1").finish())
            };
            Image::of([
                layer("vnd.oci.image.layer.v1.tar+xz", "a"),
                layer("vnd.oci.image.layer.v1.tar+bzip2", "b"),
                layer("vnd.docker.image.rootfs.diff.tar", "c"),
                layer("x-gtar", "d"),
            ])
        }),
        ("a layer of no type", {
            let layer = Layer::new(Tar::new().file("a", "1").finish());
            Image::of([Layer { media_type: Some("application/octet-stream".to_owned()), ..layer }])
        }),
    ] {
        let dir = tempdir().unwrap();
        let (source, target, back) =
            (dir.path().join("source"), dir.path().join("nydus"), dir.path().join("back"));
        Layout { images: vec![image], ..Layout::default() }.write(&source);
        let made = convert(&source, &target, &[]);
        assert_eq!(made.code, Some(0), "{report}: {}", made.stderr);
        let listed = run(["ls", &latest(&target)]);
        assert!(listed.stdout.contains("/a"), "{report}: {}", listed.stderr);
        let restored = run(["to-oci", &latest(&target), &latest(&back), "--layers", "none"]);
        assert_eq!(restored.code, Some(0), "{report}: {}", restored.stderr);
    }
}

/// Platforms that are not there, in whole or in part, for single images too.
#[test]
fn platforms_that_are_not_there() {
    let dir = tempdir().unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    Layout { images: vec![image("amd64")], ..Layout::default() }.write(&one);
    Layout { images: vec![image("amd64"), image("arm64")], ..Layout::default() }.write(&two);
    let nydus = dir.path().join("nydus");
    assert_eq!(convert(&two, &nydus, &[]).code, Some(0));
    for (source, platforms, missing, has) in [
        (&one, "linux/arm64", "linux/arm64", "linux/amd64"),
        (&one, "linux/amd46", "linux/amd46", "linux/amd64"),
        (&two, "linux/amd64,linux/s390x", "for linux/s390x", "linux/amd64, linux/arm64"),
        (&nydus, "linux/amd64,linux/s390x", "for linux/s390x", "linux/amd64, linux/arm64"),
    ] {
        let target = dir.path().join("target");
        let verb = if source == &nydus { "to-oci" } else { "to-nydus" };
        let (source, target_name) = (latest(source), latest(&target));
        for args in [
            vec![verb, &source, &target_name, "--platform", platforms],
            vec!["check", &source, "--platform", platforms],
            vec!["inspect", &source, "--platform", platforms],
        ] {
            let run = run(&args);
            assert_eq!(run.code, Some(4), "{args:?}: {}", run.stderr);
            assert!(run.stderr.contains(missing) && run.stderr.contains(has), "{args:?}: {}", run.stderr);
            assert!(!target.exists(), "{args:?}");
        }
    }
    let ls = run(["ls", &latest(&nydus), "--platform", "linux/s390x"]);
    assert_eq!(ls.code, Some(4), "{}", ls.stderr);
}

/// Lists the image or index of a layout so many times in a new index, which takes its place.
fn list(source: &Path, times: usize) {
    let media_type = "application/vnd.oci.image.index.v1+json";
    let below = json_root(source);
    let size = blob(source, &below).len();
    let kind = crate::support::cli::json(source, &below)["mediaType"].clone();
    let entry = json!({ "mediaType": kind, "digest": below, "size": size });
    put_index(
        source,
        &json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": vec![entry; times] }),
    );
}

/// Writes an index in the place of what a layout holds.
fn put_index(source: &Path, index: &Value) {
    let index = index.to_string();
    let digest = format!("sha256:{}", crate::support::sha256_hex(index.as_bytes()));
    fs::write(source.join("blobs").join(digest.replace(':', "/")), &index).unwrap();
    let mut top: Value = serde_json::from_slice(&fs::read(source.join("index.json")).unwrap()).unwrap();
    top["manifests"][0]["digest"] = digest.into();
    top["manifests"][0]["size"] = index.len().into();
    top["manifests"][0]["mediaType"] = "application/vnd.oci.image.index.v1+json".into();
    fs::write(source.join("index.json"), top.to_string()).unwrap();
}

/// Indexes that multiply are refused in a moment, whatever is at their end.
#[test]
fn indexes_are_bounded() {
    let dir = tempdir().unwrap();
    let mut source = dir.path().to_owned();
    let target = latest(&dir.path().join("target"));
    let nothing = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [] });
    for (is_empty, times, levels) in [(false, 11, 3), (true, 300, 3), (false, 1025, 1), (true, 1025, 1)] {
        source = dir.path().join(format!("source-{is_empty}-{times}"));
        Layout { images: vec![image("amd64")], ..Layout::default() }.write(&source);
        if is_empty {
            put_index(&source, &nothing);
        }
        (0..levels).for_each(|_| list(&source, times));
        let from = latest(&source);
        for verb in [
            &["to-nydus", &from, &target][..],
            &["to-nydus", "--platform", "linux/arm64", &from, &target],
            &["check", &from],
        ] {
            let run = run(verb);
            assert_eq!(run.code, Some(7), "{is_empty} {times} {verb:?}: {}", run.stderr);
            assert!(run.stderr.contains("more than 1024 images"), "{}", run.stderr);
        }
    }
    // Junk is no index.
    let entries = vec![Value::from(1); 500_000];
    put_index(&source, &json!({ "schemaVersion": 2, "manifests": entries }));
    let run = run(["check", &latest(&source)]);
    assert_eq!(run.code, Some(3), "{}", run.stderr);
    assert!(run.stderr.len() < 1000, "{}", run.stderr);
}
