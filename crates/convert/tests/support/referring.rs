//! Images that refer to the original layers (`--oci-ref`): made of a source, and held against everybody who knows.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tar::EntryType;

use super::cli::{convert, extract_bootstrap, latest, ok};
use super::noise::noise;
use super::nydusd::Nydusd;
use super::oci::Layer;
use super::tars::Tar;
use super::tools::Tool;
use super::tree::{Ignore, Tree};
use super::umoci;

/// Text that compresses to about a third, different from place to place.
pub fn text(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut text = Vec::new();
    while text.len() < length {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.extend(format!("{:x} ", (state >> 33) % 5000).into_bytes());
    }
    text.truncate(length);
    text
}

/// Two layers: files within a context, over several, over members; links, devices, attributes, whiteouts, a file again.
pub fn tars() -> [Vec<u8>; 2] {
    let mut lower = Tar::new()
        .dir("data", 0o2755)
        .dir("data/emptied", 0o700)
        .file("data/emptied/old", "old")
        .file("data/gone", "gone")
        .file("data/empty", "")
        .file("data/text", text(6 << 20, 1))
        .file("data/noise", noise(1, (3 << 20) + 17))
        .file("data/zeros", vec![0; 5 << 20])
        .hard_link("data/text-link", "data/text")
        .symlink("data/sym", "text")
        .pax(&[("SCHILY.xattr.user.b", &[0, 9, 255])])
        .file("data/attributes", "with attributes")
        .special("data/fifo", EntryType::Fifo, Some((0, 0)))
        .special("data/null", EntryType::Char, Some((1, 3)))
        .dir("data/small", 0o755);
    for (number, length) in [1, 17, 4095, 4096, 4097, 65_536, 131_073, 1 << 20].into_iter().enumerate() {
        lower = lower.file(&format!("data/small/{number}"), text(length, number as u64));
    }
    let upper = Tar::new()
        .dir("data", 0o750)
        .file("data/.wh.gone", "")
        .dir("data/emptied", 0o711)
        .file("data/emptied/.wh..wh..opq", "")
        .file("data/emptied/new", "new".repeat(3000))
        .file("data/again", text(6 << 20, 1))
        .finish();
    [lower.finish(), upper]
}

pub fn layer(tar: &[u8], stored: Vec<u8>) -> Layer {
    Layer { stored: Some(stored), ..Layer::new(tar) }
}

/// Whether the daemon of the reference 2.2 can read an image: it does not go on from one gzip member to the next, so no
/// chunk may lie in two.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Daemon {
    Serves,
    TooOld,
}

pub fn serve_and_return(source: &Path, options: &[&str], dir: &Path) -> Value {
    convert_and_return(source, options, dir, Daemon::Serves)
}

/// Converts the image with `--oci-ref`, and holds the result against everybody who knows.
pub fn convert_and_return(source: &Path, options: &[&str], dir: &Path, daemon: Daemon) -> Value {
    let (target, back) = (dir.join("nydus"), dir.join("back"));
    let before = named(source)["digest"].clone();
    let report = convert(source, &target, &[&["--oci-ref"], options].concat());
    let checked = ok(["check", "--json", latest(&target).as_str()]).stdout;
    let checked: Value = serde_json::from_str(&checked).unwrap();
    assert_eq!(checked["problems"], serde_json::json!([]));
    assert!(checked["images"][0]["chunks"].as_u64().unwrap() > 0);

    let digest = report["digest"].as_str().unwrap();
    let bootstrap = extract_bootstrap(&target, digest, &dir.join("image.boot"));
    Tool::get("nydus-image").run(["check", "--bootstrap", bootstrap.to_str().unwrap()]);
    if daemon == Daemon::Serves {
        serve(source, &target, &bootstrap, dir);
    }
    let restored = ok(["to-oci", "--json", "-q", &latest(&target), &latest(&back)]).stdout;
    let restored: Value = serde_json::from_str(&restored).unwrap();
    assert_eq!((&restored["digest"], &restored["exact"]), (&before, &Value::Bool(true)));
    report
}

pub fn serve(source: &Path, target: &Path, bootstrap: &Path, dir: &Path) {
    let unpacked = umoci::unpack(source, "latest", &dir.join("bundle"));
    let expected = Tree::read(&unpacked);
    // The layers are in the layout under their own names, which are the ids of the blobs.
    let daemon = Nydusd::mount(bootstrap, &target.join("blobs/sha256")).unwrap();
    let served = Tree::try_read(&daemon.root());
    let served =
        served.unwrap_or_else(|(path, error)| panic!("{}: {error}: {}", path.display(), daemon.log()));
    // The daemon takes the time 0 for none and shows its own start instead.
    let timeless = expected.0.iter().filter(|(_, node)| node.mtime == (0, 0)).map(|(path, _)| path.clone());
    let mtime_of = timeless.chain([Vec::new()]).collect();
    served.assert_same(&expected, &Ignore { mtime_of, ..Ignore::default() });
    assert!(daemon.unmount().success());
}

/// What the index of a layout lists first.
pub fn named(layout: &Path) -> Value {
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    index["manifests"][0].clone()
}
