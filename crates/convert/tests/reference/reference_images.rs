//! Images that the reference builder made: checked, listed, read, and converted back to plain ones.

use std::fs;
use std::path::Path;

use crate::support::cli::{convert, json as read_json, latest, ok};
use crate::support::nydus;
use crate::support::oci::{Layer, Layout};
use crate::support::sections::sections;
use crate::support::sha256_hex;
use crate::support::tars::Tar;
use crate::support::tools::Tool;
use nydus_convert::rafs::meta::section;
use serde_json::{Value, json};
use tar::EntryType;
use tempfile::tempdir;

/// Two layers with every type of file, links, whiteouts, names and contents that need more than a header or a chunk.
fn tars() -> [Vec<u8>; 2] {
    let big: Vec<u8> = (0..300_000_u32).flat_map(|n| (n.wrapping_mul(n) >> 7).to_le_bytes()).collect();
    let long = format!("etc/{}", "long".repeat(50));
    let lower = Tar::new()
        .dir("etc", 0o755)
        .dir("etc/emptied", 0o700)
        .file("etc/emptied/old", "old")
        .file("etc/gone", "gone")
        .file("etc/big", &big)
        .hard_link("etc/big-link", "etc/big")
        .symlink("etc/sym", "big")
        .pax(&[("path", long.as_bytes()), ("SCHILY.xattr.user.x", b"a value")])
        .file("long", "long name")
        // The builder wants device numbers of a fifo, too.
        .special("etc/fifo", EntryType::Fifo, Some((0, 0)))
        .special("etc/null", EntryType::Char, Some((1, 3)))
        .special("etc/loop", EntryType::Block, Some((7, 0)))
        .finish();
    let upper = Tar::new()
        .dir("etc", 0o750)
        .file("etc/.wh.gone", "")
        .dir("etc/emptied", 0o711)
        .file("etc/emptied/.wh..wh..opq", "")
        .file("etc/emptied/new", "new".repeat(3000))
        .file("etc/sym2", "no link")
        .finish();
    [lower, upper]
}

/// What the builder makes of one layer: the blob stream, and the bootstrap in it.
fn build(dir: &Path, tar: &[u8], version: &str, options: &[&str]) -> (Vec<u8>, Vec<u8>) {
    let (from, to) = (dir.join("layer.tar"), dir.join("layer.blob"));
    fs::write(&from, tar).unwrap();
    let _ = fs::remove_file(&to);
    let fixed =
        ["create", "--type", "tar-rafs", "--whiteout-spec", "none", "--blob-inline-meta", "--fs-version"];
    let files = ["--blob", to.to_str().unwrap(), from.to_str().unwrap()];
    Tool::get("nydus-image")
        .run(fixed.into_iter().chain([version]).chain(options.iter().copied()).chain(files));
    let stream = fs::read(to).unwrap();
    let (body, last) = stream.split_last_chunk::<{ section::HEADER_LEN }>().unwrap();
    let last = section::parse(last).unwrap();
    let bootstrap = if last.name == section::TOC {
        sections(&stream).into_iter().find(|section| section.name == section::IMAGE_BOOT).unwrap().plain
    } else {
        body[body.len() - last.size as usize..].to_vec()
    };
    (stream, bootstrap)
}

/// The blobs of layers, and the merged bootstrap.
fn build_all(dir: &Path, tars: &[Vec<u8>], version: &str, options: &[&str]) -> (Vec<Vec<u8>>, Vec<u8>) {
    let (mut blobs, mut files) = (Vec::new(), Vec::new());
    for tar in tars {
        let (stream, bootstrap) = build(dir, tar, version, options);
        let id = sha256_hex(&stream);
        fs::write(dir.join(&id), bootstrap).unwrap();
        files.push(dir.join(&id).to_str().unwrap().to_owned());
        blobs.push(stream);
    }
    let merged = dir.join("merged.boot");
    let _ = fs::remove_file(&merged);
    let arguments = ["merge", "--bootstrap", merged.to_str().unwrap()];
    Tool::get("nydus-image").run(arguments.into_iter().chain(files.iter().map(String::as_str)));
    (blobs, fs::read(&merged).unwrap())
}

/// The image as the snapshotter's converter puts it together.
fn assemble(dir: &Path, tars: &[Vec<u8>], version: &str, options: &[&str], layout: &Path) {
    let (blobs, merged) = build_all(dir, tars, version, options);
    nydus::assemble(&blobs, &merged, version, json!([{}, {}]), layout);
}

/// Listing with everything but what a root that nobody describes may have.
fn listing(layout: &Path) -> Vec<Value> {
    let listed = ok(["ls", "--json", &latest(layout)]).stdout;
    let files = listed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    files.filter(|file| file["path"] != "/").collect()
}

fn content(layout: &Path, path: &str) -> Vec<u8> {
    crate::support::cli::command().args(["cat", &latest(layout), path]).output().unwrap().stdout
}

fn back_and_forth(version: &str, options: &[&str]) {
    let dir = tempdir().unwrap();
    let [source, ours, theirs, plain, again] =
        ["oci", "ours", "theirs", "plain", "again"].map(|name| dir.path().join(name));
    let tars = tars();
    Layout::of(tars.iter().map(|tar| Layer::new(tar.as_slice()))).write(&source);
    convert(&source, &ours, &[]);
    assemble(dir.path(), &tars, version, options, &theirs);
    ok(["check", "-q", &latest(&theirs)]);
    let expected = listing(&ours);
    assert_eq!(listing(&theirs), expected, "{version} {options:?}");

    let report: Value =
        serde_json::from_str(&ok(["to-oci", "--json", &latest(&theirs), &latest(&plain)]).stdout).unwrap();
    assert_eq!(report["images"][0]["action"], "rebuilt");
    ok(["check", "-q", &latest(&plain)]);
    let manifest = read_json(&plain, report["digest"].as_str().unwrap());
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 2);
    convert(&plain, &again, &[]);
    assert_eq!(listing(&again), expected, "{version} {options:?}");
    for path in ["etc/big", "etc/emptied/new"] {
        assert!(
            content(&theirs, path) == content(&ours, path) && content(&again, path) == content(&ours, path)
        );
    }
}

/// The table of `conformance.rs`, with the builder's options.
fn every_variant(version: &str, fixed: &[&str]) {
    for compressor in ["zstd", "lz4_block", "none"] {
        for digester in ["blake3", "sha256"] {
            for chunk_size in ["0x1000", "0x20000", "0x100000", "0x1000000"] {
                let variant =
                    ["--compressor", compressor, "--digester", digester, "--chunk-size", chunk_size];
                back_and_forth(version, &[fixed, &variant].concat());
            }
        }
    }
}

#[test]
fn version_6_with_a_table_of_contents() {
    crate::support::require!("nydus-image");
    every_variant("6", &["--features", "blob-toc"]);
}

#[test]
fn version_6_without() {
    crate::support::require!("nydus-image");
    every_variant("6", &[]);
}

#[test]
fn version_5() {
    crate::support::require!("nydus-image");
    every_variant("5", &[]);
}

#[test]
fn version_5_with_aligned_chunks() {
    crate::support::require!("nydus-image");
    back_and_forth("5", &["--aligned-chunk"]);
}

/// A layer of links and directories alone, with its blob in the manifest and without, as converters left it out before they
/// learned of such layers.
#[test]
fn layers_without_content_come_back_with_a_blob_and_without() {
    crate::support::require!("nydus-image");
    let dir = tempdir().unwrap();
    let python =
        || Tar::new().dir("usr", 0o755).dir("usr/bin", 0o755).file("usr/bin/python3.11", "py".repeat(9000));
    let links = Tar::new().dir("usr", 0o755).dir("usr/bin", 0o755).symlink("usr/bin/python", "python3.11");
    let links = links.dir("var", 0o700).file("usr/bin/.wh.pip", "").finish();
    let more = Tar::new().dir("usr", 0o750).file("usr/more", "more".repeat(900)).finish();
    let tars = [python().file("usr/bin/pip", "pip".repeat(2000)).finish(), links, more];
    for version in ["5", "6"] {
        let (blobs, merged) = build_all(dir.path(), &tars, version, &[]);
        for (what, kept, result) in [
            ("after", vec![0, 1, 2], Value::Null),
            ("before", vec![0, 2], json!("one-more-layer")),
            ("none", vec![], json!("one-layer")),
        ] {
            let [theirs, plain, again] =
                ["theirs", "plain", "again"].map(|name| dir.path().join(format!("{name}-{version}-{what}")));
            let kept_blobs: Vec<Vec<u8>> = kept.iter().map(|at: &usize| blobs[*at].clone()).collect();
            if kept.is_empty() {
                // Files whose blob is gone cannot be read: this image has none.
                let links = build_all(dir.path(), &tars[1..2], version, &[]).1;
                nydus::assemble(&[], &links, version, json!([{}, {}]), &theirs);
            } else {
                nydus::assemble(&kept_blobs, &merged, version, json!([{}, {}]), &theirs);
            }
            let report = ok(["to-oci", "--json", &latest(&theirs), &latest(&plain)]).stdout;
            let report: Value = serde_json::from_str(&report).unwrap();
            assert_eq!(report["images"][0]["difference"]["result"], result, "{version} {what}: {report:#}");
            ok(["check", "-q", &latest(&plain)]);
            convert(&plain, &again, &["--replay", "none"]);
            // Its merge keeps the markers of the lowest layer, which no layer can have.
            let shown = |layout: &Path| -> Vec<String> {
                let names = nydus::listing(layout).into_iter();
                names.filter(|line| !line.contains("/.wh.") && !line.starts_with("/ ")).collect()
            };
            assert_eq!(shown(&theirs), shown(&again), "{version} {what}");
        }
    }
}
