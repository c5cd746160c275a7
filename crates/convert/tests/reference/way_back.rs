//! The way back of whole distributions, as real tools compress them, through a real registry: the digest of the result
//! is the digest of the source, and a signature over it holds.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::cli::{blob, convert, extract_bootstrap, json as read_json, latest, ok, run};
use crate::support::encoders::{self, filter};
use crate::support::oci::{Compression, Layer, Layout};
use crate::support::registry::Registry;
use crate::support::sections::sections;
use crate::support::tools::Tool;
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

/// The root digest that index.json of a layout names.
fn root(layout: &Path) -> String {
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    index["manifests"][0]["digest"].as_str().unwrap().to_owned()
}

/// Copies `from` into the registry and out of it again.
fn through_a_registry(dir: &Path, registry: &Registry, from: &Path) -> PathBuf {
    let copied = dir.join(format!("{}-copied", from.file_name().unwrap().to_str().unwrap()));
    let remote = format!("docker://{}/image:tag", registry.host());
    let copy = |tls: &str, from: &str, to: &str| {
        Tool::get("skopeo").run(["--insecure-policy", "copy", "--all", "--preserve-digests", tls, from, to]);
    };
    copy("--dest-tls-verify=false", &latest(from), &remote);
    copy("--src-tls-verify=false", &remote, &latest(&copied));
    copied
}

/// To Nydus, through a registry, and back.
fn there_and_back(registry: &Registry, source: &Path, options: &[&str]) -> (TempDir, PathBuf, Value) {
    let dir = tempdir().unwrap();
    let (nydus, back) = (dir.path().join("nydus"), dir.path().join("back"));
    let converted = convert(source, &nydus, options);
    let copied = through_a_registry(dir.path(), registry, &nydus);
    let report: Value =
        serde_json::from_str(&ok(["to-oci", "--json", &latest(&copied), &latest(&back)]).stdout).unwrap();
    assert_eq!(report["digest"], json!(root(source)), "{converted:#}\n{report:#}");
    assert_eq!(report["exact"], true);
    ok(["check", "-q", &latest(&back)]);
    (dir, back, converted)
}

#[test]
fn a_distribution_by_buildah_skopeo_and_umoci_comes_back_and_its_signature_holds() {
    crate::support::require!(
        "skopeo",
        "docker-registry",
        "umoci",
        "openssl",
        "root",
        "debootstrap",
        "buildah"
    );
    let Some(source) = crate::support::debian::debian_image() else { return };
    let registry = Registry::start();

    // Signed as cosign does: a signature over what names the manifest, its digest.
    let keys = tempdir().unwrap();
    let path = |name: &str| keys.path().join(name).to_str().unwrap().to_owned();
    let openssl = Tool::get("openssl");
    openssl.run(["genpkey", "-algorithm", "RSA", "-out", &path("key")]);
    openssl.run(["rsa", "-in", &path("key"), "-pubout", "-out", &path("public")]);
    fs::write(path("manifest"), blob(&source, &root(&source))).unwrap();
    openssl.run(["dgst", "-sha256", "-sign", &path("key"), "-out", &path("signature"), &path("manifest")]);

    let (_dir, back, converted) = there_and_back(&registry, &source, &[]);
    fs::write(path("restored"), blob(&back, &root(&back))).unwrap();
    let verify =
        ["dgst", "-sha256", "-verify", &path("public"), "-signature", &path("signature"), &path("restored")];
    openssl.run(verify);
    for layer in converted["images"][0]["layers"].as_array().unwrap() {
        assert_eq!(layer["replay"]["way_back"], "sampled", "{layer:#}");
        // A record is some hundred bytes at least, so small layers say nothing about its share.
        let (kept, stored) =
            (layer["replay"]["bytes"].as_u64().unwrap(), layer["source_bytes"].as_u64().unwrap());
        assert!(kept < 2048 || kept * 1000 <= stored * 8, "{kept} of {stored}");
    }

    // With a layer more, by umoci.
    let dir = tempdir().unwrap();
    let more = dir.path().join("umoci");
    Tool::get("cp").run(["-r", source.to_str().unwrap(), more.to_str().unwrap()]);
    let image = format!("{}:latest", more.display());
    Tool::get("umoci").run([
        "insert",
        "--image",
        &image,
        concat!(env!("CARGO_MANIFEST_DIR"), "/src"),
        "/opt/inserted",
    ]);
    // umoci's index.json may list what others left; the reference is what counts.
    let clean = dir.path().join("clean");
    Tool::get("skopeo").run([
        "--insecure-policy",
        "copy",
        "--preserve-digests",
        &latest(&more),
        &latest(&clean),
    ]);
    let (_dir, _, converted) = there_and_back(&registry, &clean, &[]);
    let layers = converted["images"][0]["layers"].as_array().unwrap();
    let method = layers.last().unwrap()["replay"]["method"].as_str().unwrap();
    assert!(method.contains("pgzip"), "{method}");

    // Proven: nothing is left to the way back.
    let (_dir, _, converted) = there_and_back(&registry, &source, &["--replay", "proven"]);
    for layer in converted["images"][0]["layers"].as_array().unwrap() {
        assert_eq!(layer["replay"]["way_back"], "proven");
        assert!(layer["replay"]["bytes"].as_u64() < Some(100_000), "kept instead of made again: {layer:#}");
    }
}

#[test]
fn a_distribution_comes_back_however_it_was_compressed() {
    crate::support::require!(
        "skopeo",
        "docker-registry",
        "root",
        "debootstrap",
        "buildah",
        "go",
        "python3",
        "zstd"
    );
    let Some(tar) = crate::support::debian::debian_tar() else { return };
    let tar = fs::read(tar).unwrap();
    let registry = Registry::start();
    let dir = tempdir().unwrap();
    let image = |name: &str, compression, stored: Vec<u8>| {
        let layer = Layer { stored: Some(stored), compression, ..Layer::new(tar.clone()) };
        let path = dir.path().join(name);
        Layout::of([layer]).write(&path);
        path
    };
    for (name, compression, stored) in [
        ("go-1", Compression::Gzip, encoders::go(1, &tar)),
        ("go-6", Compression::Gzip, encoders::go(6, &tar)),
        ("python", Compression::Gzip, encoders::python(&tar)),
        ("plain", Compression::None, tar.clone()),
    ] {
        let (_dir, _, converted) = there_and_back(&registry, &image(name, compression, stored), &[]);
        let replay = &converted["images"][0]["layers"][0]["replay"];
        assert_eq!(replay["way_back"], if name == "plain" { "proven" } else { "sampled" }, "{name}");
    }

    let zstd = image("zstd", Compression::Zstd, filter("zstd", &["-q", "-c"], &tar));
    there_and_back(&registry, &zstd, &["--replay", "proven"]);
    // Under `auto` the tar is exact: the same diff ids, hence the same config.
    let (nydus, back) = (dir.path().join("zstd-nydus"), dir.path().join("zstd-back"));
    convert(&zstd, &nydus, &[]);
    assert_eq!(run(["to-oci", "-q", &latest(&nydus), &latest(&back)]).code, Some(3));
    ok(["to-oci", "-q", "--layers", "zstd", &latest(&nydus), &latest(&back)]);
    let config = |layout: &Path| read_json(layout, &root(layout))["config"]["digest"].clone();
    assert_eq!(config(&zstd), config(&back));
}

#[test]
fn the_reference_accepts_blobs_with_records() {
    crate::support::require!("nydus-image");
    let dir = tempdir().unwrap();
    let nydus = dir.path().join("nydus");
    let source = crate::support::fixtures().join("small");
    let report = convert(&source, &nydus, &["--replay", "proven"]);
    let bootstrap =
        extract_bootstrap(&nydus, report["digest"].as_str().unwrap(), &dir.path().join("image.boot"));
    Tool::get("nydus-image").run(["check", "--bootstrap", bootstrap.to_str().unwrap()]);

    // The layers' own bootstraps, merged by the reference.
    let layers = report["images"][0]["layers"].as_array().unwrap();
    let mut files = Vec::new();
    for layer in layers {
        assert_eq!(layer["replay"]["way_back"], "proven");
        let digest = layer["blob_digest"].as_str().unwrap();
        // As the snapshotter's converter hands them over: under the name of the stream.
        let found = sections(&blob(&nydus, digest));
        assert!(found.iter().any(|section| section.name == "layer.replay"));
        let own = found.into_iter().find(|section| section.name == "image.boot").unwrap();
        let file = dir.path().join(digest.trim_start_matches("sha256:"));
        fs::write(&file, own.plain).unwrap();
        files.push(file.to_str().unwrap().to_owned());
    }
    let merged = dir.path().join("merged.boot");
    let merged = merged.to_str().unwrap();
    Tool::get("nydus-image")
        .run(["merge", "--bootstrap", merged].into_iter().chain(files.iter().map(String::as_str)));
    Tool::get("nydus-image").run(["check", "--bootstrap", merged]);
}
