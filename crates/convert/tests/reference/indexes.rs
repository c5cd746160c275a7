//! Indexes: images beside their Nydus variants, platforms, referrers, and what is Nydus already.
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::cli::{Run, json as read_json, json_root, latest, ok, ok_bytes, run};
use crate::support::oci::{Dialect, Image, Layer, Layout};
use crate::support::registry::{Program, Registry};
use crate::support::require;
use crate::support::tars::Tar;
use crate::support::tools::Tool;
use serde_json::{Value, json};

fn image(text: &str, architecture: &str, dialect: Dialect) -> Image {
    let tar = Tar::new().dir("etc", 0o755).file("etc/text", text.repeat(2000)).finish();
    Image {
        architecture: architecture.to_owned(),
        dialect,
        ..Image { layers: vec![Layer::new(tar)], ..Image::default() }
    }
}

/// An index of two platforms whose entries do not say so.
fn two(dir: &Path) -> PathBuf {
    let layout = dir.join("two");
    let images = ["amd64", "arm64"].map(|arch| Image {
        descriptor_patch: Some(json!({ "platform": null })),
        ..image(arch, arch, Dialect::Oci)
    });
    Layout { images: images.to_vec(), ..Layout::default() }.write(&layout);
    layout
}

fn digest(run: &Run) -> String {
    run.stdout.trim().rsplit('@').next().unwrap().to_owned()
}

fn with_oci(source: &Path, target: &str) -> Run {
    let fixed = ["to-nydus", "-q", "--replay", "proven", "--index", "with-oci"];
    ok(fixed.iter().copied().chain([latest(source).as_str(), target]))
}

/// Of every entry: digest, architecture, artifact type.
fn entries(index: &Value) -> Vec<(String, String, bool)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let manifests = index["manifests"].as_array().unwrap().iter();
    let is_nydus = |entry: &Value| entry["artifactType"] == "application/vnd.nydus.image.manifest.v1+json";
    manifests
        .map(|entry| (text(&entry["digest"]), text(&entry["platform"]["architecture"]), is_nydus(entry)))
        .collect()
}

#[test]
fn images_beside_their_nydus_variants_and_back() {
    let dir = tempfile::tempdir().unwrap();
    let alone = |name: &str, dialect| {
        let layout = dir.path().join(name);
        Layout { images: vec![image(name, "amd64", dialect)], ..Layout::default() }.write(&layout);
        layout
    };
    let cases = [
        (two(dir.path()), vec!["amd64", "arm64"]),
        (alone("oci", Dialect::Oci), vec!["amd64"]),
        (alone("docker", Dialect::Docker), vec!["amd64"]),
    ];
    for (source, platforms) in cases {
        let target = source.with_extension("nydus");
        let there = with_oci(&source, &latest(&target));
        let index = read_json(&target, &json_root(&target));
        assert_eq!(index["mediaType"], "application/vnd.oci.image.index.v1+json");
        let listed = entries(&index);
        let (images, variants) = listed.split_at(platforms.len());
        for (half, nydus) in [(images, false), (variants, true)] {
            let expected: Vec<(&str, bool)> = platforms.iter().map(|platform| (*platform, nydus)).collect();
            assert_eq!(
                half.iter().map(|(_, arch, nydus)| (arch.as_str(), *nydus)).collect::<Vec<_>>(),
                expected
            );
        }
        let image = read_json(&target, &images[0].0);
        assert_eq!(image["layers"][0]["annotations"]["containerd.io/snapshot/nydus-empty-layer"], "true");
        assert_eq!(image["mediaType"], "application/vnd.oci.image.manifest.v1+json");
        let config = read_json(&target, image["config"]["digest"].as_str().unwrap());
        let empty = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";
        assert_eq!(config["rootfs"]["diff_ids"][0], empty);
        let nydus = read_json(&target, &variants[0].0);
        assert_eq!(nydus["config"]["mediaType"], "application/vnd.nydus.image.config.v1+json");

        ok(["check", "-q", &latest(&target)]);
        let text = ok_bytes(["cat", "--platform", "linux/amd64", &latest(&target), "/etc/text"]);
        assert!(!text.is_empty());
        // What is converted already stays as it is.
        let again = ok([
            "to-nydus",
            "--progress",
            "none",
            &latest(&target),
            &latest(&source.with_extension("again")),
        ]);
        assert_eq!(digest(&again), digest(&there));
        // The empty layers go, and the original index or image is back.
        let back = ok(["to-oci", "-q", &latest(&target), &latest(&source.with_extension("back"))]);
        assert_eq!(digest(&back), json_root(&source));
    }
}

#[test]
fn platforms_are_filled_in_and_chosen() {
    let dir = tempfile::tempdir().unwrap();
    let source = two(dir.path());
    let target = dir.path().join("all");
    ok(["to-nydus", "-q", "--replay", "proven", &latest(&source), &latest(&target)]);
    let index = read_json(&target, &json_root(&target));
    let listed = entries(&index);
    assert_eq!(listed.iter().map(|(_, arch, _)| arch.as_str()).collect::<Vec<_>>(), ["amd64", "arm64"]);
    assert!(listed.iter().all(|(_, _, typed)| !typed));
    assert!(!index.to_string().contains("os.features"));

    let one = dir.path().join("one");
    ok(["to-nydus", "-q", "--platform", "linux/arm64", &latest(&source), &latest(&one)]);
    let listed = entries(&read_json(&one, &json_root(&one)));
    assert_eq!(listed.iter().map(|(_, arch, _)| arch.as_str()).collect::<Vec<_>>(), ["arm64"]);
    let none =
        run(["to-nydus", "--platform", "linux/s390x", &latest(&source), &latest(&dir.path().join("none"))]);
    assert_eq!(none.code, Some(4), "{none:?}");

    // An index of Nydus images is copied as it is.
    let again = ok(["to-nydus", "--progress", "plain", &latest(&target), &latest(&dir.path().join("again"))]);
    assert_eq!(digest(&again), json_root(&target));
    assert!(again.stderr.contains("is a Nydus image already: copied unchanged"), "{}", again.stderr);
}

#[test]
fn a_subject_is_the_source() {
    require!("oras");
    let dir = tempfile::tempdir().unwrap();
    let (source, target) = (dir.path().join("source"), dir.path().join("target"));
    Layout { images: vec![image("x", "amd64", Dialect::Oci)], ..Layout::default() }.write(&source);
    ok(["to-nydus", "-q", "--referrer", &latest(&source), &latest(&target)]);
    let manifest = read_json(&target, &json_root(&target));
    assert_eq!(manifest["subject"]["digest"], json_root(&source));
    assert!(manifest["subject"].get("platform").is_none());
    ok(["check", "-q", &latest(&target)]);
    let back = ok(["to-oci", "-q", "--layers", "gzip", &latest(&target), &latest(&dir.path().join("back"))]);
    assert!(read_json(&dir.path().join("back"), &digest(&back)).get("subject").is_none());

    for program in Program::all() {
        let registry = Registry::of(program);
        let name = format!("{}/app", registry.host());
        crate::support::library::push(&source, &format!("docker://{name}:plain"));
        let nydus = ok(["to-nydus", "-q", "--referrer", &format!("{name}:plain"), &format!("{name}:nydus")]);
        let found =
            Tool::get("oras").run(["discover", "--plain-http", "--format", "json", &format!("{name}:plain")]);
        assert!(String::from_utf8(found.stdout).unwrap().contains(&digest(&nydus)), "{program:?}");
        if program == Program::Zot {
            let listed = registry.get(&format!("/v2/app/referrers/{}", json_root(&source))).unwrap();
            assert!(listed.contains(&digest(&nydus)), "{listed}");
        }
    }
}

#[test]
fn plain_clients_take_the_image() {
    require!("docker-registry", "podman", "skopeo", "crane", "oras", "regctl", "root");
    let dir = tempfile::tempdir().unwrap();
    let (source, target) = (dir.path().join("source"), dir.path().join("target"));
    Layout { images: vec![image("plain", "amd64", Dialect::Oci)], ..Layout::default() }.write(&source);
    let registry = Registry::start();
    let name = format!("{}/app:both", registry.host());
    let both = with_oci(&source, &format!("docker://{name}"));
    with_oci(&source, &latest(&target));
    assert_eq!(digest(&both), json_root(&target));
    let image = entries(&read_json(&target, &digest(&both)))[0].0.clone();

    let crane = Tool::get("crane").run(["digest", "--insecure", "--platform", "linux/amd64", &name]);
    assert_eq!(String::from_utf8(crane.stdout).unwrap().trim(), image);
    // Those that copy all of it keep the digest.
    let copy = |tool: &str, arguments: &[&str]| {
        let target = format!("{}/{tool}:copy", registry.host());
        let mut command = Tool::get(tool).command();
        command.env("HOME", dir.path()).args(arguments).args([&name, &target]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{tool}: {}", String::from_utf8_lossy(&output.stderr));
        let crane = Tool::get("crane").run(["digest", "--insecure", &target]);
        assert_eq!(String::from_utf8(crane.stdout).unwrap().trim(), digest(&both), "{tool}");
        ok(["check", "-q", &target]);
    };
    copy("crane", &["copy", "--insecure"]);
    copy("oras", &["cp", "-r", "--from-plain-http", "--to-plain-http"]);
    let disabled = format!("reg={},tls=disabled", registry.host());
    copy("regctl", &["--host", &disabled, "image", "copy"]);

    let copied = latest(&dir.path().join("copied"));
    let (from, options) =
        (format!("docker://{name}"), ["copy", "--insecure-policy", "--src-tls-verify=false"]);
    let platform = ["--override-arch", "amd64", "--override-os", "linux"];
    Tool::get("skopeo").run(platform.iter().chain(&options).copied().chain([from.as_str(), &copied]));
    assert_eq!(json_root(&dir.path().join("copied")), image);

    let podman = |arguments: &[&str]| {
        let (root, run) = (dir.path().join("podman"), dir.path().join("podman-run"));
        let mut command = Tool::get("podman").command();
        command.arg("--root").arg(&root).arg("--runroot").arg(&run).args(["--storage-driver", "vfs"]);
        let output = command.args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    podman(&["pull", "-q", "--tls-verify=false", "--platform", "linux/amd64", &name]);
    let mounted = PathBuf::from(podman(&["image", "mount", &name]));
    assert_eq!(fs::read_to_string(mounted.join("etc/text")).unwrap(), "plain".repeat(2000));
    podman(&["image", "unmount", &name]);
}
