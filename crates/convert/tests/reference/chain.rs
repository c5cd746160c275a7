//! The whole chain: containerd, the nydus snapshotter and nydusd run a program of our image while most of the image
//! stays in the registry.

use std::collections::BTreeMap;
use std::path::Path;

use crate::support::cli::ok;
use crate::support::containerd::Containerd;
use crate::support::registry::Registry;
use crate::support::tools::Tool;
use crate::support::{require_containerd, umoci};
use serde_json::Value;

/// Looks at files of every layer: content, links, owners, times, devices, capabilities, what is removed; and writes.
const PROGRAM: &str = "
set -e
export LC_ALL=C
cd /
sha256sum usr/bin/dpkg usr/local/bin/bzcat-too usr/share/locale/README usr/bin/bzgrep/file usr/local/many-chunks
sha256sum usr/local/hole usr/local/empty usr/local/gr*
stat -c '%n %F %a %u:%g %h %t,%T %Y' usr/bin/passwd usr/bin/bash srv opt nodes/* usr/local/* usr/local/bin/*
getcap usr/bin/*
ls usr/share/zoneinfo usr/share/locale
for file in etc/issue usr/share/doc; do test ! -e $file; done
echo more >>usr/share/locale/README
cat usr/share/locale/README
";

/// What the registry has sent of each blob of a repository.
fn sent(registry: &Registry, repository: &str) -> BTreeMap<String, u64> {
    let mut sent = BTreeMap::new();
    let request = format!("\"GET /v2/{repository}/blobs/");
    // … "GET /v2/NAME/blobs/DIGEST HTTP/1.1" STATUS BYTES …
    for line in registry.log().lines() {
        let Some((_, rest)) = line.split_once(&request) else { continue };
        let words: Vec<&str> = rest.split(' ').collect();
        *sent.entry(words[0].to_owned()).or_default() += words[3].parse::<u64>().unwrap();
    }
    sent
}

fn manifest(image: &str) -> Value {
    let output =
        Tool::get("skopeo").run(["inspect", "--raw", "--tls-verify=false", &format!("docker://{image}")]);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The blobs that have the data of an image, with their sizes, and the layer with its bootstrap. The data of an image that
/// refers to the layers it was made from are in these.
fn parts(nydus: &Value, plain: &Value) -> (BTreeMap<String, u64>, String) {
    let layers = |manifest: &Value| manifest["layers"].as_array().unwrap().clone();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let mut blobs = layers(nydus);
    let bootstrap = text(&blobs.pop().unwrap()["digest"]).unwrap();
    let referred: Vec<_> = blobs
        .iter()
        .filter_map(|blob| text(&blob["annotations"]["containerd.io/snapshot/nydus-ref"]))
        .collect();
    let originals =
        layers(plain).into_iter().filter(|layer| referred.contains(&text(&layer["digest"]).unwrap()));
    let all = blobs.iter().cloned().chain(originals);
    (all.map(|blob| (text(&blob["digest"]).unwrap(), blob["size"].as_u64().unwrap())).collect(), bootstrap)
}

/// What the program prints where all of the image lies unpacked on the disk.
fn expected(source: &Path, into: &Path) -> String {
    let root = umoci::unpack(source, "latest", into);
    let mut command = Tool::get("chroot").command();
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").arg(root).args(["/bin/bash", "-c", PROGRAM]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_program_runs_before_the_image_is_there() {
    require_containerd!("docker-registry", "skopeo", "umoci", "chroot", "debootstrap", "buildah");
    let Some(source) = crate::support::debian::debian_image() else { return };
    let dir = tempfile::tempdir().unwrap();
    let expected = expected(&source, &dir.path().join("bundle"));
    let registry = Registry::start();
    crate::support::library::push(&source, &format!("docker://{}/plain:latest", registry.host()));
    let mut containerd = Containerd::start(&registry.host());

    let plain = format!("{}/plain:latest", registry.host());
    let v5 = ["--fs-version", "5", "--compressor", "lz4_block"];
    for (name, options) in [("v6", &[][..]), ("v5", &v5), ("referring", &["--oci-ref"])] {
        let image = format!("{}/{name}:nydus", registry.host());
        ok(["to-nydus", "-q", &plain, &image].iter().chain(options));
        let (blobs, bootstrap) = parts(&manifest(&image), &manifest(&plain));

        containerd.pull(&image);
        let pulled = sent(&registry, name);
        assert!(pulled.contains_key(&bootstrap), "{name}: {pulled:?}");
        for blob in blobs.keys() {
            assert!(!pulled.contains_key(blob), "{name}: {blob} of {pulled:?}");
        }

        assert_eq!(containerd.run(&image, &["/bin/bash", "-c", PROGRAM]), expected, "{name}");
        let all = sent(&registry, name);
        let fetched: u64 = blobs.keys().filter_map(|blob| all.get(blob)).sum();
        let size: u64 = blobs.values().sum();
        println!("{name}: {fetched} of {size} bytes were fetched");
        assert!(0 < fetched && fetched < size, "{name}: {fetched} of {size}");
    }
}
