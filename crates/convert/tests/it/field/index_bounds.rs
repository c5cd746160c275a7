//! Memory and work in proportion to what is read, for the documents of images.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::cli::latest;
use crate::support::measured::{Measured, PEAK, SECONDS, measured};
use crate::support::oci::{Compression, Image, Layer, Layout};
use crate::support::sha256_hex;
use crate::support::tars::Tar;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn image() -> Image {
    let layer = Layer::new(Tar::new().file("a", "content").finish());
    Image::of([Layer { compression: Compression::None, ..layer }])
}

/// Stores a document; gives its descriptor.
fn put(dir: &Path, media_type: &str, text: &str) -> Value {
    let hex = sha256_hex(text.as_bytes());
    fs::write(dir.join("blobs/sha256").join(&hex), text).unwrap();
    json!({ "mediaType": media_type, "digest": format!("sha256:{hex}"), "size": text.len() })
}

/// A layout whose reference leads to this index.
fn with_index(dir: &Path, index: &str) {
    Layout { images: vec![image()], index: true, ..Layout::default() }.write(dir);
    let mut root = put(dir, INDEX, index);
    root["annotations"] = json!({ "org.opencontainers.image.ref.name": "latest" });
    fs::write(dir.join("index.json"), json!({ "schemaVersion": 2, "manifests": [root] }).to_string())
        .unwrap();
}

fn index_of(entries: &[Value]) -> String {
    json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries }).to_string()
}

/// Images that differ in their config alone.
fn a_thousand_images(dir: &Path) {
    let config = |n: usize| Image { config_patch: Some(json!({ "author": n.to_string() })), ..image() };
    Layout { images: (0..1000).map(config).collect(), ..Layout::default() }.write(dir);
}

/// Four levels of ten entries.
fn nested_images(dir: &Path) {
    with_index(dir, "");
    let written = Layout { images: vec![image()], ..Layout::default() }.write(&dir.join("one"));
    for blob in fs::read_dir(dir.join("one/blobs/sha256")).unwrap() {
        let blob = blob.unwrap();
        fs::copy(blob.path(), dir.join("blobs/sha256").join(blob.file_name())).unwrap();
    }
    let size = fs::metadata(dir.join("blobs/sha256").join(&written.digest[7..])).unwrap().len();
    let manifest = "application/vnd.oci.image.manifest.v1+json";
    let entry = json!({ "mediaType": manifest, "digest": written.digest, "size": size });
    nest(dir, entry, 3);
}

/// The same around nothing.
fn nested_nothing(dir: &Path) {
    with_index(dir, "");
    let empty = put(dir, INDEX, &index_of(&[]));
    nest(dir, empty, 2);
}

fn nest(dir: &Path, innermost: Value, levels: usize) {
    let mut entry = innermost;
    for _ in 0..levels {
        entry = put(dir, INDEX, &index_of(&vec![entry; 10]));
    }
    with_index(dir, &index_of(&vec![entry; 10]));
}

fn junk(dir: &Path) {
    let ones = vec!["1"; 2_000_000].join(",");
    with_index(dir, &format!(r#"{{"schemaVersion":2,"manifests":[{ones}]}}"#));
}

fn objects(dir: &Path) {
    let objects = vec!["{}"; 1_300_000].join(",");
    with_index(dir, &format!(r#"{{"schemaVersion":2,"manifests":[{objects}]}}"#));
}

fn unknown_fields(dir: &Path) {
    let objects = vec!["{}"; 1_300_000].join(",");
    with_index(dir, &format!(r#"{{"schemaVersion":2,"manifests":[],"x":[{objects}]}}"#));
}

fn deep(dir: &Path) {
    let (open, close) = ("[".repeat(1_000_000), "]".repeat(1_000_000));
    with_index(dir, &format!(r#"{{"schemaVersion":2,"manifests":[],"x":{open}{close}}}"#));
}

fn a_long_index_file(dir: &Path) {
    with_index(dir, &index_of(&[]));
    let file = dir.join("index.json");
    let text = fs::read_to_string(&file).unwrap();
    let objects = vec!["{}"; 10_000_000].join(",");
    fs::write(file, text.replacen('{', &format!(r#"{{"x":[{objects}],"#), 1)).unwrap();
}

fn long_annotations(dir: &Path) {
    let annotations = json!({ "annotations": { "x": "y".repeat(3 << 20) } });
    Layout { images: vec![Image { manifest_patch: Some(annotations), ..image() }], ..Layout::default() }
        .write(dir);
}

fn much_history(dir: &Path) {
    let history = json!({ "history": vec![json!({}); 1_000_000] });
    Layout { images: vec![Image { config_patch: Some(history), ..image() }], ..Layout::default() }.write(dir);
}

/// What makes a layout, the exit code of a conversion, and a word of its error.
type Case = (&'static str, fn(&Path), i32, &'static str);
const CASES: &[Case] = &[
    ("a thousand images", a_thousand_images, 0, ""),
    ("10,000 images by four nested indexes", nested_images, 7, "lists more than"),
    ("nested indexes of nothing", nested_nothing, 7, "lists more than"),
    ("2,000,000 entries of 1", junk, 3, "malformed"),
    ("entries of {}", objects, 3, "malformed"),
    ("fields that nobody knows", unknown_fields, 4, ""),
    ("a million brackets", deep, 3, "malformed"),
    ("an index.json of 30 MB", a_long_index_file, 4, ""),
    ("annotations of 3 MiB", long_annotations, 0, ""),
    ("a million entries of history", much_history, 0, ""),
];

#[test]
fn documents_take_memory_and_time_in_proportion() {
    crate::support::require!("time");
    let mut failed = Vec::new();
    for (name, make, code, words) in CASES {
        let dir = tempdir().unwrap();
        let [oci, nydus, back] = ["oci", "nydus", "back"].map(|name| dir.path().join(name));
        make(&oci);
        let mut runs = vec![
            (vec!["to-nydus", "-q"], &oci, Some(&nydus)),
            (vec!["check", "-q"], &oci, None),
            (vec!["inspect"], &oci, None),
        ];
        if *code == 0 {
            runs.extend([(vec!["to-oci", "-q"], &nydus, Some(&back)), (vec!["inspect"], &nydus, None)]);
        }
        for (verb, from, to) in runs {
            let (from, to) = (latest(from), to.map(|to| latest(to)));
            let args: Vec<&str> = verb.into_iter().chain([from.as_str()]).chain(to.as_deref()).collect();
            let Measured { run, peak, seconds } = measured(&args);
            let is_right = match args[0] {
                "to-nydus" => run.code == Some(*code) && run.stderr.contains(words),
                _ => matches!(run.code, Some(0 | 3 | 4 | 7)),
            };
            if !is_right || peak >= PEAK || seconds >= SECONDS {
                let error: String = run.stderr.chars().take(200).collect();
                failed.push(format!("{name}: {}: {:?}, {peak} MiB, {seconds} s: {error}", args[0], run.code));
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
