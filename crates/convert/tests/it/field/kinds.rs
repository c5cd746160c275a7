//! What is no container image of ours is named, with what it is.

use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::cli::{latest, run};
use crate::support::oci::{Compression, Image, Layer, Layout, compress};
use crate::support::tars::Tar;

/// A superblock of the kernel's file system where it belongs, without the mark of RAFS.
fn erofs() -> Vec<u8> {
    let mut image = vec![0; 8192];
    image[1024..1028].copy_from_slice(&[0xe2, 0xe1, 0xf5, 0xe0]);
    image
}

fn tar() -> Vec<u8> {
    Tar::new().file("a", "content").finish()
}

fn padded(magic: &[u8]) -> Vec<u8> {
    [magic, &vec![b'x'; 4096]].concat()
}

#[test]
fn layers_that_are_no_tars() {
    let twice = compress(&tar(), Compression::Gzip);
    let cases: [(&str, Vec<u8>, &str); 12] = [
        ("EROFS", erofs(), "not a tar: it is an EROFS image"),
        ("SquashFS", padded(b"hsqs"), "a SquashFS image"),
        ("zip", padded(b"PK\x03\x04"), "a zip archive"),
        ("lz4", padded(b"\x04\x22\x4d\x18"), "compressed with lz4"),
        ("bzip2", padded(b"BZh91AY&SY"), "compressed with bzip2"),
        ("xz", padded(b"\xfd7zXZ\0"), "compressed with xz"),
        ("cpio", padded(b"070701"), "a cpio archive"),
        ("ar", padded(b"!<arch>\n"), "an ar archive"),
        ("an error of a proxy", padded(b"<html>"), "a page of a web server"),
        ("an error of a registry", padded(br#"{"errors": []}"#), "it is JSON"),
        ("gzip in gzip", compress(&twice, Compression::Gzip), "not a tar: it is compressed with gzip"),
        ("anything", padded(b""), "not a tar: no header at offset 0"),
    ];
    let dir = tempdir().unwrap();
    for (number, (name, stored, words)) in cases.into_iter().enumerate() {
        let [source, target] = ["source", "target"].map(|end| dir.path().join(format!("{end}-{number}")));
        Layout::of([Layer { stored: Some(stored), ..Layer::new(tar()) }]).write(&source);
        let refused = run(["to-nydus", "-q", &latest(&source), &latest(&target)]);
        assert_eq!(refused.code, Some(4), "{name}: {}", refused.stderr);
        assert!(refused.stderr.contains(words), "{name}: {}", refused.stderr);
        assert!(!target.exists(), "{name}");
    }
}

/// An image with a bootstrap of `version`, as Nydus v3 has it.
fn with_bootstrap(version: &str) -> Image {
    let bootstrap = Tar::new().dir("image", 0o755).file("image/image.boot", erofs()).finish();
    let annotations = [("nydus-bootstrap", "true"), ("nydus-fs-version", version)];
    let annotations =
        annotations.map(|(name, value)| (format!("containerd.io/snapshot/{name}"), value.to_owned()));
    Image::of([Layer { annotations: annotations.into(), ..Layer::new(bootstrap) }])
}

#[test]
fn images_that_are_others() {
    let artifact = |artifact_type: &str, config: &str| {
        let patch: Value = json!({ "artifactType": artifact_type, "config": { "mediaType": config } });
        Image { manifest_patch: Some(patch), ..Image::of([Layer::new(tar())]) }
    };
    let cases: [(&str, &str, Image, &str); 7] = [
        ("Nydus v3", "to-oci", with_bootstrap("7"), "Nydus v3 (RAFS v7)"),
        ("Nydus v3 that says 6", "to-oci", with_bootstrap("6"), "Nydus v3 (RAFS v7)"),
        ("Nydus v3, looked into", "check", with_bootstrap("7"), "Nydus v3 (RAFS v7)"),
        (
            "a model",
            "to-nydus",
            artifact(
                "application/vnd.cncf.model.manifest.v1+json",
                "application/vnd.cncf.model.config.v1+json",
            ),
            "\"application/vnd.cncf.model.manifest.v1+json\" (a model)",
        ),
        (
            "a SOCI index",
            "to-nydus",
            artifact("application/vnd.amazon.soci.index.v1+json", "application/vnd.oci.empty.v1+json"),
            "convert the image that it is for",
        ),
        (
            "an Ollama model has the config of an image",
            "to-nydus",
            Image::of([Layer {
                media_type: Some("application/vnd.ollama.image.model".to_owned()),
                ..Layer::new(tar())
            }]),
            "\"application/vnd.ollama.image.model\" (a model)",
        ),
        (
            "something else",
            "to-nydus",
            artifact("application/vnd.example", "application/vnd.oci.empty.v1+json"),
            "an artifact of type \"application/vnd.example\"",
        ),
    ];
    let dir = tempdir().unwrap();
    for (number, (name, verb, image, words)) in cases.into_iter().enumerate() {
        let [source, target] = ["source", "target"].map(|end| dir.path().join(format!("{end}-{number}")));
        Layout { images: vec![image], ..Layout::default() }.write(&source);
        let mut args = vec![verb.to_owned(), "-q".to_owned(), latest(&source)];
        args.extend((verb != "check").then(|| latest(&target)));
        let refused = run(args);
        assert_eq!(refused.code, Some(4), "{name}: {}", refused.stderr);
        assert!(refused.stderr.contains(words), "{name}: {}", refused.stderr);
    }
}

/// Images of other systems are files like any others, and nobody mounts them.
#[test]
fn images_that_nothing_mounts() {
    let dir = tempdir().unwrap();
    for (os, is_noted) in [("linux", false), ("windows", true), ("freebsd", true), ("Linux", false)] {
        let [source, target] = ["source", "target"].map(|end| dir.path().join(format!("{os}-{end}")));
        let image = Image { config_patch: Some(json!({ "os": os })), ..Image::of([Layer::new(tar())]) };
        Layout { images: vec![image], ..Layout::default() }.write(&source);
        let run = run(["to-nydus", &latest(&source), &latest(&target)]);
        assert_eq!(run.code, Some(0), "{os}: {}", run.stderr);
        assert_eq!(run.stderr.contains("only Linux mounts Nydus images"), is_noted, "{os}: {}", run.stderr);
    }
}

/// Directories and archives that are no layouts: the files that are in them, and what the error says.
#[test]
fn places_that_are_others() {
    for (files, words) in [
        (
            &["index.json", "blobs/sha256/00"][..],
            "that file with {\"imageLayoutVersion\":\"1.0.0\"} is missing",
        ),
        (&["manifest.json", "version"], "may be a docker-archive: (docker save) or dir: (skopeo)"),
        (&["config", "objects/00/11.file"], "looks like an ostree repository"),
        (&["etc/passwd", "usr/bin/sh"], "a directory is rootfs:, a tar is tar:"),
        (&["something"], "without a file oci-layout"),
    ] {
        let dir = tempdir().unwrap();
        let [place, archive, target] = ["place", "archive.tar", "target"].map(|name| dir.path().join(name));
        let mut tar = Tar::new();
        for file in files {
            let path = place.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "{}").unwrap();
            tar = tar.file(file, "{}");
        }
        std::fs::write(&archive, tar.finish()).unwrap();
        for source in [format!("oci:{}", place.display()), format!("oci-archive:{}", archive.display())] {
            let refused = run(["to-nydus", "-q", &source, &latest(&target)]);
            assert_eq!(refused.code, Some(4), "{files:?}: {}", refused.stderr);
            assert!(refused.stderr.contains(words), "{files:?}: {}", refused.stderr);
        }
    }
}
