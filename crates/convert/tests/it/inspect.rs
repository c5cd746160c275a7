//! What `inspect` shows of images, as text that can be compared and as JSON.

use std::path::Path;

use crate::support::cli::{convert, latest, ok, run};
use crate::support::oci::{Layer, Layout};
use crate::support::tars::Tar;
use serde_json::{Value, json};
use tempfile::tempdir;

/// Two layers; a file of the lower one is there again in the upper one.
fn image(dir: &Path) -> std::path::PathBuf {
    let lower =
        Tar::new().dir("etc", 0o755).file("etc/a", "alpha\n".repeat(900)).symlink("etc/l", "a").finish();
    let upper = Tar::new().file("b", "alpha\n".repeat(900)).file("c", "beta").file("d", "beta").finish();
    let source = dir.join("oci");
    Layout::of([Layer::new(lower), Layer::new(upper)]).write(&source);
    source
}

fn inspect(dir: &Path, options: &[&str]) -> String {
    let image = latest(dir);
    ok(["inspect", image.as_str()].iter().chain(options)).stdout
}

#[test]
fn text_of_a_nydus_image() {
    let dir = tempdir().unwrap();
    let (source, nydus) = (image(dir.path()), dir.path().join("nydus"));
    // Records of the way back are no business of this test.
    convert(&source, &nydus, &["--compressor", "none", "--replay", "none"]);
    let text = inspect(&nydus, &["--blobs", "--chunks", "--files"]);
    // What comes before has this program's version in it.
    let file_system = &text[text.find("  file system").unwrap()..];
    insta::assert_snapshot!(file_system);
    assert!(text.starts_with(&format!("{}@sha256:", latest(&nydus))), "{text}");
    assert_eq!(inspect(&nydus, &["--blobs", "--chunks", "--files"]), text);
}

#[test]
fn json_and_text_agree() {
    let dir = tempdir().unwrap();
    let (source, nydus) = (image(dir.path()), dir.path().join("nydus"));
    let converted = convert(&source, &nydus, &[]);
    let plain: Value = serde_json::from_str(&inspect(&nydus, &["--json"])).unwrap();
    let full: Value =
        serde_json::from_str(&inspect(&nydus, &["--json", "--blobs", "--chunks", "--files"])).unwrap();
    assert_eq!(plain["schema_version"], json!(1));
    let [plain, full] = [&plain, &full].map(|report| &report["images"][0]);
    assert_eq!(plain["digest"], converted["digest"]);
    let fs = &plain["file_system"];
    assert_eq!(fs["remembers_original"], json!(true));
    assert_eq!((&fs["inodes"]["files"], &fs["inodes"]["directories"]), (&json!(4), &json!(2)));
    // `etc/a` and `b` are one chunk, `c` and `d` another.
    assert_eq!((&fs["chunks"]["uses"], &fs["chunks"]["used"]), (&json!(4), &json!(2)));
    assert_eq!((&fs["files"], &fs["blobs"][0]["chunks"]), (&Value::Null, &Value::Null));
    let fs = &full["file_system"];
    let file = fs["files"].as_array().unwrap().iter().find(|file| file["path"] == "/d").unwrap();
    assert_eq!((&file["type"], &file["size"]), (&json!("file"), &json!(4)));
    let at = &file["chunks"][0];
    let blob = &fs["blobs"][at["blob"].as_u64().unwrap() as usize];
    let chunk = &blob["chunks"][at["index"].as_u64().unwrap() as usize];
    assert_eq!((&chunk["plain"], &chunk["uses"]), (&json!(4), &json!(2)));
    let sections: Vec<&str> = blob["sections"]
        .as_array()
        .unwrap()
        .iter()
        .map(|section| section["name"].as_str().unwrap())
        .collect();
    assert_eq!(sections.first().zip(sections.last()), Some((&"image.blob", &"image.boot")));
}

#[test]
fn an_image_of_tars_has_layers_and_no_file_system() {
    let dir = tempdir().unwrap();
    let source = image(dir.path());
    let report: Value = serde_json::from_str(&inspect(&source, &["--json", "--blobs"])).unwrap();
    let image = &report["images"][0];
    assert_eq!((&image["kind"], &image["file_system"]), (&json!("oci"), &Value::Null));
    assert_eq!(image["layers"].as_array().unwrap().len(), 2);
    assert_eq!(image["layers"][1]["content"], "tar");
}

#[test]
fn mistakes_are_told() {
    let dir = tempdir().unwrap();
    let source = image(dir.path());
    let missing = run(["inspect", &format!("oci:{}:nothing", source.display())]);
    assert_eq!(missing.code, Some(4), "{}", missing.stderr);
    let platform = run(["inspect", &latest(&source), "--platform", "linux/s390x"]);
    assert_eq!(platform.code, Some(4), "{}", platform.stderr);
}
