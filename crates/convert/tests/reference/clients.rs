//! Real clients: the reference builder's check, the reference daemon over FUSE, skopeo and a registry.

use std::path::Path;

use crate::support::cli::{convert, extract_bootstrap, latest, ok};
use crate::support::nydusd::Nydusd;
use crate::support::registry::Registry;
use crate::support::tools::Tool;
use crate::support::tree::{Ignore, Tree};
use crate::support::umoci;
use tempfile::tempdir;

/// Converts `source:latest`, has the reference check the bootstrap, mounts the image with the reference daemon and
/// compares every file with what umoci unpacks from the source. `lost_by_umoci` are the differences that are umoci's.
fn serve_and_compare(source: &Path, options: &[&str], lost_by_umoci: &[&str]) {
    let dir = tempdir().unwrap();
    let target = dir.path().join("nydus");
    let report = convert(source, &target, options);
    let digest = report["digest"].as_str().unwrap();
    ok(["check", "-q", latest(&target).as_str()]);

    let bootstrap = extract_bootstrap(&target, digest, &dir.path().join("image.boot"));
    Tool::get("nydus-image").run(["check", "--bootstrap", bootstrap.to_str().unwrap()]);

    let unpacked = umoci::unpack(source, "latest", &dir.path().join("bundle"));
    let expected = Tree::read(&unpacked);
    // In an OCI layout the blobs' files have the names that the daemon looks for.
    let daemon = Nydusd::mount(&bootstrap, &target.join("blobs/sha256")).unwrap();
    let served = Tree::read(&daemon.root());
    // A root that no layer describes has the time of the unpacking in one tree and none in the other.
    let differences = served.diff(&expected, &Ignore { mtime_of: vec![Vec::new()], ..Ignore::default() });
    assert_eq!(differences, lost_by_umoci);
    assert!(daemon.unmount().success());
}

/// Go's tar reader takes a PAX record without a value for a deletion; containerd, which reads the records itself, and
/// GNU tar set the empty attribute, as we do.
const EMPTY_XATTR: &[&str] = &["\"etc/empty\": xattrs [\"user.empty\"=] != []"];

#[test]
fn the_daemon_serves_the_fixture_in_every_form() {
    crate::support::require!("nydus-image", "nydusd", "umoci", "root");
    let source = crate::support::fixtures().join("small");
    for compressor in ["zstd", "zstd:19", "lz4_block", "none"] {
        serve_and_compare(&source, &["--compressor", compressor, "--chunk-size", "4KiB"], EMPTY_XATTR);
    }
    serve_and_compare(&source, &["--digester", "sha256", "--chunk-size", "16MiB"], EMPTY_XATTR);
    serve_and_compare(&source, &["--chunk-size", "64KiB"], EMPTY_XATTR);
}

#[test]
fn the_daemon_serves_a_whole_distribution() {
    crate::support::require!("nydus-image", "nydusd", "umoci", "root", "debootstrap", "buildah");
    let Some(source) = crate::support::debian::debian_image() else { return };
    serve_and_compare(&source, &[], &[]);
}

#[test]
fn a_registry_and_skopeo_keep_the_digests() {
    crate::support::require!("skopeo", "docker-registry");
    let dir = tempdir().unwrap();
    let (target, back) = (dir.path().join("nydus"), dir.path().join("back"));
    let registry = Registry::start();
    for (name, all) in [("small", false), ("index", true)] {
        let report = convert(&crate::support::fixtures().join(name), &target, &[]);
        let remote = format!("docker://{}/{name}:nydus", registry.host());
        let skopeo = |from: &str, to: &str, tls: &str| {
            let all = all.then_some("--all");
            let fixed = ["--insecure-policy", "copy", "--preserve-digests", tls];
            Tool::get("skopeo").run(fixed.into_iter().chain(all).chain([from, to]));
        };
        skopeo(&latest(&target), &remote, "--dest-tls-verify=false");
        skopeo(&remote, &latest(&back), "--src-tls-verify=false");
        let copy: serde_json::Value =
            serde_json::from_str(&ok(["check", "--json", &latest(&back)]).stdout).unwrap();
        let pinned = copy["reference"].as_str().unwrap();
        assert!(pinned.ends_with(report["digest"].as_str().unwrap()), "{name}: {pinned}");
        assert_eq!(copy["problems"].as_array().unwrap().len(), 0);
    }
}
