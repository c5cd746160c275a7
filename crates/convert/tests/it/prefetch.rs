//! What clients fetch first: the table of bootstraps, and where the data lies in the blobs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::cli::{blob, command, convert, extract_bootstrap, latest, ok, run};
use crate::support::nydusd::Nydusd;
use crate::support::oci::{Compression, Layer, Layout};
use crate::support::tars::Tar;
use crate::support::tools::Tool;
use crate::support::tree::{Ignore, Tree};
use crate::support::umoci;
use nydus_convert::rafs::{self, BlobFeatures, Image, InodeId, InodeKind};
use nydus_convert_chunk::BlobReader;
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

/// The formats that have a table.
const FORMATS: [&[&str]; 7] = [
    &["--chunk-size", "4KiB"],
    &["--chunk-size", "64KiB", "--compressor", "lz4_block", "--digester", "sha256"],
    &["--compressor", "none"],
    &["--kernel-mountable"],
    &["--batch-size", "64KiB", "--chunk-size", "64KiB"],
    &["--fs-version", "5", "--chunk-size", "16KiB"],
    &["--fs-version", "5", "--chunk-size", "64KiB", "--aligned-chunk", "--compressor", "lz4_block"],
];

/// Paths to fetch first: a directory, single files, a second name, what is hidden later, what is not there.
const PATTERNS: &str = "\
/usr/bin
/etc/second-name
/etc/replaced
/gone
/usr/bin/below-an-earlier-one
/usr/share/link
/empty
/nowhere
/opt
";

/// Text of about `length` bytes that depends on `seed`.
fn text(seed: u32, length: usize) -> Vec<u8> {
    let words =
        (0..).flat_map(|n: u32| format!("{:x} ", (n + seed).wrapping_mul(2_654_435_761)).into_bytes());
    words.take(length).collect()
}

fn lower() -> Vec<u8> {
    let mut tar = Tar::new();
    for dir in ["etc", "opt", "usr", "usr/bin", "usr/share"] {
        tar = tar.dir(dir, 0o755);
    }
    tar = tar.file("etc/first-name", text(1, 150_000));
    for file in 0..40_u32 {
        tar = tar.file(&format!("usr/share/{file}"), text(100 + file, 7000 + 100 * file as usize));
        tar = tar.file(&format!("usr/bin/{file}"), text(200 + file, 9000 + 50 * file as usize));
    }
    tar
        // A chunk that lay behind before it is wanted in front, and one of the front that is wanted behind.
        .file("usr/bin/copy", text(105, 7500))
        .file("usr/share/copy", text(205, 9250))
        .hard_link("etc/second-name", "etc/first-name")
        .file("etc/replaced", text(2, 30_000))
        .file("etc/kept", text(3, 200_000))
        .file("gone", text(4, 90_000))
        .symlink("usr/share/link", "../bin")
        .file("empty", "")
        .finish()
}

fn upper() -> Vec<u8> {
    Tar::new()
        .file("etc/replaced", text(6, 40_000))
        .file(".wh.gone", "")
        .file("usr/share/more", text(7, 50_000))
        .file("usr/bin/more", text(8, 60_000))
        .file("opt/.wh..wh..opq", "")
        .file("opt/tool", text(9, 70_000))
        .finish()
}

/// The source image, and a file with the patterns.
fn source() -> (TempDir, PathBuf, String) {
    let dir = tempdir().unwrap();
    let source = dir.path().join("oci");
    // Behind the end of the tar come bytes of no file: they come back, and lie behind.
    let tars = [[lower(), text(5, 123_456)].concat(), upper()];
    Layout::of(tars.map(|tar| Layer { compression: Compression::None, ..Layer::new(tar) })).write(&source);
    let list = dir.path().join("patterns");
    fs::write(&list, PATTERNS).unwrap();
    (dir, source, list.to_str().unwrap().to_owned())
}

fn merged(target: &Path, report: &Value) -> Image {
    let file = target.with_extension("boot");
    extract_bootstrap(target, report["digest"].as_str().unwrap(), &file);
    rafs::parse(&fs::read(file).unwrap()).unwrap().1
}

/// The images inside the blobs of the layers, and how long their files' chunks are together.
fn layers(target: &Path, report: &Value) -> Vec<Image> {
    let layers = report["images"][0]["layers"].as_array().unwrap();
    let of = |layer: &Value| {
        let stream = blob(target, layer["blob_digest"].as_str().unwrap());
        let boot = BlobReader::open(stream).unwrap().bootstrap().unwrap();
        rafs::parse(&boot).unwrap().1
    };
    layers.iter().map(of).collect()
}

fn names(image: &Image) -> BTreeMap<InodeId, Vec<String>> {
    let mut names: BTreeMap<InodeId, Vec<String>> = BTreeMap::new();
    for entry in image.tree.walk() {
        names.entry(entry.id).or_default().push(entry.path.to_string());
    }
    names
}

/// The first name of everything in the table.
fn table(image: &Image) -> Vec<String> {
    let names = names(image);
    image.prefetch.iter().map(|id| names[id][0].clone()).collect()
}

/// Numbers of the chunks of all files for which `is_wanted` says so of any of their names.
fn chunks(image: &Image, is_wanted: impl Fn(&str) -> bool) -> BTreeSet<u32> {
    let names = names(image);
    let wanted = names.iter().filter(|(_, names)| names.iter().any(|name| is_wanted(name)));
    let chunks = wanted.flat_map(|(id, _)| match &image.tree.inode(*id).kind {
        InodeKind::Regular { chunks, .. } => chunks.clone(),
        _ => Vec::new(),
    });
    chunks.map(|chunk| chunk.index).collect()
}

fn is_covered(name: &str) -> bool {
    let patterns = PATTERNS.lines().filter(|pattern| !pattern.is_empty());
    patterns.into_iter().any(|pattern| name == pattern || name.starts_with(&format!("{pattern}/")))
}

/// Checks that the chunks of covered files are the first ones, back to back, and gives their number.
fn assert_in_front(image: &Image) -> usize {
    let front = chunks(image, is_covered);
    assert!(!front.is_empty());
    assert_eq!(front, (0..front.len() as u32).collect(), "the first numbers");
    let mut end = 0_u64;
    for number in front.iter().copied() {
        let chunk = image.blobs[0].chunks.get(number).unwrap();
        // Members of batches have no place of their own.
        if chunk.compressed_size == 0 {
            continue;
        }
        // Chunks of images for the kernel lie in the blob as in its device.
        if chunk.compressed_offset == chunk.uncompressed_offset {
            end = end.next_multiple_of(4096);
        }
        let has_batches = image.blobs[0].features.contains(BlobFeatures::BATCH);
        assert!(has_batches || chunk.compressed_offset == end, "no gap before chunk {number}");
        end += u64::from(chunk.compressed_size);
    }
    assert!(chunks(image, |_| true).len() > front.len());
    front.len()
}

#[test]
fn what_is_fetched_first_lies_in_front_and_all_comes_back() {
    let (dir, source, list) = source();
    let original: Value = serde_json::from_slice(&fs::read(source.join("index.json")).unwrap()).unwrap();
    for (number, format) in FORMATS.into_iter().enumerate() {
        let at = |name: &str| dir.path().join(format!("{name}-{number}"));
        let options = [format, &["--prefetch", &list]].concat();
        let report = convert(&source, &at("nydus"), &options);
        ok(["check", "-q", &latest(&at("nydus"))]);
        let [lower, upper] = <[Image; 2]>::try_from(layers(&at("nydus"), &report)).unwrap();
        for layer in [&lower, &upper] {
            assert_in_front(layer);
        }
        assert_eq!(
            table(&lower),
            ["/usr/bin", "/etc/first-name", "/etc/replaced", "/gone", "/usr/share/link", "/opt"]
        );
        assert_eq!(table(&upper), ["/usr/bin", "/etc/replaced", "/opt"]);
        let merged = merged(&at("nydus"), &report);
        assert_eq!(
            table(&merged),
            ["/usr/bin", "/etc/first-name", "/etc/replaced", "/usr/share/link", "/opt"]
        );
        // The same chunks as without patterns, in another order.
        let plain = convert(&source, &at("plain"), format);
        for (arranged, plain) in [lower, upper].iter().zip(layers(&at("plain"), &plain)) {
            let digests = |image: &Image| {
                let chunks = image.blobs[0].chunks.iter();
                chunks.map(|(_, chunk)| (chunk.digest, chunk.compressed_size)).collect::<BTreeSet<_>>()
            };
            assert_eq!(digests(arranged), digests(&plain));
            assert_eq!(arranged.blobs[0].chunk_count, plain.blobs[0].chunk_count);
            assert!(plain.prefetch.is_empty());
        }
        let back = ok(["to-oci", "-q", "--json", &latest(&at("nydus")), &latest(&at("back"))]).stdout;
        let back: Value = serde_json::from_str(&back).unwrap();
        assert_eq!(back["digest"], original["manifests"][0]["digest"]);
    }
}

#[test]
fn threads_and_memory_do_not_show() {
    let (dir, source, list) = source();
    let mut digests = BTreeSet::new();
    for (number, (jobs, memory)) in [("1", "64MiB"), ("8", "64MiB"), ("3", "1MiB")].into_iter().enumerate() {
        let target = dir.path().join(number.to_string());
        let options = ["--chunk-size", "16KiB", "--prefetch", &list, "-j", jobs, "--max-memory", memory];
        digests.insert(convert(&source, &target, &options)["digest"].as_str().unwrap().to_owned());
    }
    assert_eq!(digests.len(), 1);
}

#[test]
fn without_patterns_nothing_changes() {
    let (dir, source, list) = source();
    let nothing = dir.path().join("nothing");
    fs::write(&nothing, "\n\n").unwrap();
    let options: [&[&str]; 3] = [
        &[],
        &["--prefetch", nothing.to_str().unwrap()],
        &["--prefetch", &list, "--prefetch-policy", "none"],
    ];
    let digest = |(number, options): (usize, &&[&str])| {
        convert(&source, &dir.path().join(number.to_string()), options)["digest"].clone()
    };
    let digests: Vec<Value> = options.iter().enumerate().map(digest).collect();
    assert_eq!(digests, [digests[0].clone(), digests[0].clone(), digests[0].clone()]);
}

#[test]
fn lists_come_from_files_and_from_standard_input() {
    let (dir, source, list) = source();
    let expected = convert(&source, &dir.path().join("file"), &["--prefetch", &list]);
    let (from, to) = (latest(&source), latest(&dir.path().join("stdin")));
    let mut child = command()
        .args(["to-nydus", "--json", "--prefetch", "-", &from, &to])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(PATTERNS.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["digest"], expected["digest"]);
    let notes = String::from_utf8(output.stderr).unwrap();
    assert!(notes.contains("has no /nowhere that could be fetched first"), "{notes}");
    assert!(notes.contains("has no /gone that could be fetched first"), "{notes}");

    fs::write(&list, "/usr\n\nusr/bin\n").unwrap();
    let run = run(["to-nydus", "-q", "--prefetch", &list, &from, &to]);
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(run.stderr.contains("line 3: 'usr/bin' is not an absolute path"), "{}", run.stderr);
    let run = crate::support::cli::run(["to-nydus", "-q", "--prefetch", "/nowhere/at/all", &from, &to]);
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    let run =
        crate::support::cli::run(["to-nydus", "-q", "--prefetch", &list, "--tmpdir", "/nowhere", &from, &to]);
    assert_ne!(run.code, Some(0));
}

/// The reference builder's table for the lower layer and the same patterns.
#[test]
fn the_reference_makes_the_same_table() {
    crate::support::require!("nydus-image");
    let (dir, source, list) = source();
    let tar = dir.path().join("lower.tar");
    fs::write(&tar, lower()).unwrap();
    for version in ["5", "6"] {
        let bootstrap = dir.path().join(format!("boot-{version}"));
        let mut child = Tool::get("nydus-image")
            .command()
            .args(["create", "--type", "tar-rafs", "--fs-version", version, "--prefetch-policy", "fs"])
            .arg("--bootstrap")
            .arg(&bootstrap)
            .arg("--blob")
            .arg(dir.path().join("blob"))
            .arg(&tar)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(PATTERNS.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
        let reference = rafs::parse(&fs::read(bootstrap).unwrap()).unwrap().1;
        let target = dir.path().join(format!("nydus-{version}"));
        let report = convert(&source, &target, &["--prefetch", &list, "--fs-version", version]);
        assert_eq!(table(&layers(&target, &report)[0]), table(&reference), "{version}");
    }
}

/// The daemon fetches what the table names before anybody asks for it, and serves every file.
#[test]
fn the_daemon_fetches_it_first() {
    crate::support::require!("nydus-image", "nydusd", "umoci", "root");
    let (dir, source, list) = source();
    let unpacked = umoci::unpack(&source, "latest", &dir.path().join("bundle"));
    let expected = Tree::read(&unpacked);
    // Version 2.2 of the daemon does not know batches.
    let formats = FORMATS.into_iter().filter(|format| !format.contains(&"--batch-size"));
    for (number, format) in formats.enumerate() {
        let target = dir.path().join(number.to_string());
        let report = convert(&source, &target, &[format, &["--prefetch", &list]].concat());
        let digest = report["digest"].as_str().unwrap();
        let bootstrap = extract_bootstrap(&target, digest, &dir.path().join("image.boot"));
        Tool::get("nydus-image").run(["check", "--bootstrap", bootstrap.to_str().unwrap()]);
        let prefetch = json!({ "enable": true, "threads": 2, "batch_size": 1 << 20, "prefetch_all": false });
        let daemon = Nydusd::mount_with(&bootstrap, &target.join("blobs/sha256"), &prefetch).unwrap();
        wait_for_data(&daemon.cache());
        let served = Tree::read(&daemon.root());
        let differences = served.diff(&expected, &Ignore { mtime_of: vec![Vec::new()], ..Ignore::default() });
        assert!(differences.is_empty(), "{differences:#?}");
        assert!(daemon.unmount().success());
    }
}

/// Waits until the cache has data of two blobs, which nobody but the daemon itself has asked for.
fn wait_for_data(cache: &Path) {
    let started = Instant::now();
    let has_data = |file: &Path| fs::metadata(file).is_ok_and(|stat| stat.blocks() > 0);
    loop {
        let files = fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path());
        let data = files.filter(|file| file.extension().is_some_and(|extension| extension == "data"));
        if data.filter(|file| has_data(file)).count() == 2 {
            return;
        }
        let files: Vec<PathBuf> = fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(started.elapsed() < Duration::from_secs(30), "nothing was fetched: {files:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
