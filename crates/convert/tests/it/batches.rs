//! Batches of small files, as users see them: every way to look at an image, the way back, and no trace of threads. That
//! newer clients read them is shown in `oracle/`; the table of all variants is in `conformance.rs`.

use std::fs;
use std::path::Path;

use crate::support::cli::{blob, command, convert, extract_bootstrap, latest, ok, run};
use crate::support::oci::{Compression, Layer, Layout};
use crate::support::tars::Tar;
use nydus_convert::rafs::{BlobFeatures, parse};
use serde_json::Value;
use tempfile::tempdir;

fn content(number: usize) -> Vec<u8> {
    (0..number * 37 % 6000).map(|at| (at * at / (number + 1)) as u8).collect()
}

/// Many small files with a few larger ones between them, some files twice, one replaced.
fn small_files() -> Vec<u8> {
    let mut tar = Tar::new().dir("files", 0o755).file("files/replaced", "unseen");
    for number in 0..300 {
        let twice = if number % 11 == 0 { number / 2 } else { number };
        tar = tar.file(&format!("files/{number}"), content(twice));
        if number % 50 == 0 {
            tar = tar.file(&format!("files/large-{number}"), content(159).repeat(20));
        }
    }
    tar.file("files/replaced", "seen").finish()
}

fn source(at: &Path) -> String {
    let layers = [small_files(), Tar::new().file("files/upper", "upper").finish()];
    Layout::of(layers.map(|tar| Layer { compression: Compression::None, ..Layer::new(tar) })).write(at).digest
}

const BATCHED: &[&str] = &["--batch-size", "16KiB", "--chunk-size", "16KiB"];

#[test]
fn every_file_is_read_and_everything_comes_back() {
    let dir = tempdir().unwrap();
    let [oci, nydus, back] = ["oci", "nydus", "back"].map(|name| dir.path().join(name));
    let original = source(&oci);
    for compressor in ["zstd", "none"] {
        let report = convert(&oci, &nydus, &[BATCHED, &["--compressor", compressor]].concat());
        let bootstrap =
            extract_bootstrap(&nydus, report["digest"].as_str().unwrap(), &dir.path().join("boot"));
        let (_, image) = parse(&fs::read(bootstrap).unwrap()).unwrap();
        assert!(image.blobs[0].features.contains(BlobFeatures::BATCH | BlobFeatures::CHUNK_INFO_V2));

        ok(["check", "-q", &latest(&nydus)]);
        for number in [1, 2, 11, 50, 159, 299] {
            let twice = if number % 11 == 0 { number / 2 } else { number };
            let read =
                command().args(["cat", &latest(&nydus), &format!("/files/{number}")]).output().unwrap();
            assert!(read.status.success() && read.stdout == content(twice), "{compressor}: {number}");
        }
        assert_eq!(ok(["cat", &latest(&nydus), "/files/replaced"]).stdout, "seen");
        assert_eq!(ok(["cat", &latest(&nydus), "/files/upper"]).stdout, "upper");

        let made = ok(["to-oci", "-q", "--json", &latest(&nydus), &latest(&back)]).stdout;
        let made: Value = serde_json::from_str(&made).unwrap();
        assert_eq!((&made["digest"], &made["exact"]), (&original.clone().into(), &true.into()));
        fs::remove_dir_all(&nydus).unwrap();
    }
}

#[test]
fn threads_and_memory_do_not_show() {
    let dir = tempdir().unwrap();
    let oci = dir.path().join("oci");
    source(&oci);
    let made =
        [["--jobs", "1", "--max-memory", "64KiB"], ["--jobs", "7", "--max-memory", "64MiB"]].map(|how| {
            let nydus = dir.path().join(how[1]);
            convert(&oci, &nydus, &[BATCHED, &how].concat())["digest"].clone()
        });
    assert_eq!(made[0], made[1]);
}

#[test]
fn damage_inside_a_batch_is_found() {
    let dir = tempdir().unwrap();
    let [oci, nydus] = ["oci", "nydus"].map(|name| dir.path().join(name));
    source(&oci);
    let report = convert(&oci, &nydus, &[BATCHED, &["--compressor", "none"]].concat());
    let digest = report["images"][0]["layers"][1]["blob_digest"].as_str().unwrap();
    let mut bytes = blob(&nydus, digest);
    let at = bytes.windows(5).position(|window| window == b"upper").unwrap();
    bytes[at] ^= 1;
    fs::write(nydus.join("blobs").join(digest.replace(':', "/")), bytes).unwrap();
    for read in [&["check", "-q"][..], &["cat"]] {
        let path = (read[0] == "cat").then_some("/files/upper");
        let image = latest(&nydus);
        let run = run(read.iter().copied().chain([image.as_str()]).chain(path));
        assert_eq!(run.code, Some(3), "{read:?}: {}", run.stderr);
    }
}

#[test]
fn sizes_that_cannot_be() {
    for (options, code) in [
        (&["--batch-size", "16KiB", "--fs-version", "5"][..], 2),
        (&["--batch-size", "3000"], 2),
        (&["--batch-size", "2KiB"], 2),
        (&["--batch-size", "64KiB", "--chunk-size", "16KiB"], 2),
        (&["--batch-size", "64GiB"], 2),
    ] {
        let fixed = ["to-nydus", "oci:/nowhere", "oci:/nowhere-else"];
        let run = run(fixed.iter().chain(options));
        assert_eq!(run.code, Some(code), "{options:?}: {}", run.stderr);
        assert!(run.stderr.contains("batch"), "{}", run.stderr);
    }
}
