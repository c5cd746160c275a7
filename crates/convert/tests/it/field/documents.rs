//! Manifests and configs at the limits of what clients read: nothing is made that nobody reads.

use nydus_convert::oci::image::{MAX_CONFIG, MAX_MANIFEST};
use serde_json::{Map, Value, json};
use tempfile::tempdir;

use crate::support::cli::{json_root, latest, ok, run};
use crate::support::oci::{Compression, Image, Layer, Layout};
use crate::support::tars::Tar;

fn layer(content: &str) -> Layer {
    Layer { compression: Compression::None, ..Layer::new(Tar::new().file("a", content).finish()) }
}

/// So many bytes of labels, and a little more.
fn labels(bytes: u64) -> Value {
    let label = |n| (format!("label-{n:08}"), Value::from("v".repeat(100)));
    let labels: Map<String, Value> = (0..bytes / 116).map(label).collect();
    json!({ "config": { "Labels": labels } })
}

#[test]
fn a_large_config_goes_there_and_back() {
    let dir = tempdir().unwrap();
    let [source, nydus, back] = ["source", "nydus", "back"].map(|name| dir.path().join(name));
    let config_patch = Some(labels(MAX_CONFIG - (400 << 10)));
    let images = vec![Image { config_patch, ..Image::of([layer("one")]) }];
    Layout { images, ..Layout::default() }.write(&source);
    ok(["to-nydus", "-q", &latest(&source), &latest(&nydus)]);
    ok(["check", "-q", &latest(&nydus)]);
    ok(["to-oci", "-q", &latest(&nydus), &latest(&back)]);
    assert_eq!(json_root(&back), json_root(&source));
}

#[test]
fn what_nobody_reads_is_not_made() {
    let dir = tempdir().unwrap();
    let [source, nydus] = ["source", "nydus"].map(|name| dir.path().join(name));
    // The manifest just fits, and ours says more of each layer.
    let count = usize::try_from(MAX_MANIFEST).unwrap() / 200;
    let layers = vec![layer("one"); count];
    Layout::of(layers).write(&source);
    let made = run(["to-nydus", "-q", &latest(&source), &latest(&nydus)]);
    assert_eq!(made.code, Some(7), "{}", made.stderr);
    assert!(made.stderr.contains("the manifest has"), "{}", made.stderr);
    assert!(!nydus.exists());
}
