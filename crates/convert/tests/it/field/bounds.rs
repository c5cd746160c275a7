//! Memory and work in proportion to what is read: each input is met by every verb in a process of its own, which takes
//! little or refuses clearly.

use std::fs;
use std::io::Write;
use std::path::Path;

use tempfile::tempdir;

use crate::support::cli::{Run, command, end, latest};
use crate::support::oci::{Compression, Layer, Layout};
use crate::support::tars::Tar;
use crate::support::tools::Tool;

/// Peak memory of any verb on any of these inputs.
const PEAK: u64 = 256;
/// Seconds of processor time: a hundred times what they take, and a hundredth of what they took.
const SECONDS: f64 = 20.0;

/// A run, its largest resident set in MiB, and its seconds of processor time.
struct Measured {
    run: Run,
    peak: u64,
    seconds: f64,
}

fn measured(args: &[&str]) -> Measured {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut timed = Tool::get("time").command();
    timed.args(["-f", "%M %U %S", "-o"]).arg(file.path()).arg(env!("CARGO_BIN_EXE_nydus-convert"));
    timed.args(args).env("NYDUS_CONVERT_NO_STORE", "true");
    let run = end(&mut timed);
    let text = fs::read_to_string(file.path()).unwrap();
    // A line about the exit code may come first.
    let numbers: Vec<f64> =
        text.lines().last().unwrap().split(' ').map(|number| number.parse().unwrap()).collect();
    Measured { run, peak: numbers[0] as u64 >> 10, seconds: numbers[1] + numbers[2] }
}

/// A zstd stream whose frame says a window and no length.
fn zstd(tar: &[u8], window_log: u32) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(window_log).unwrap();
    encoder.write_all(tar).unwrap();
    encoder.finish().unwrap()
}

fn skippable(magic: u8) -> Vec<u8> {
    [&[magic, 0x2a, 0x4d, 0x18, 5, 0, 0, 0][..], b"a TOC"].concat()
}

fn zstd_layer(tar: Vec<u8>, stored: Vec<u8>) -> Layer {
    Layer { stored: Some(stored), compression: Compression::Zstd, ..Layer::new(tar) }
}

/// Every verb that reads layers, on the layout and on the layer alone.
fn roads(dir: &Path, stored: &[u8]) -> Vec<Vec<String>> {
    let (oci, layer) = (latest(&dir.join("oci")), dir.join("layer.tar.zst"));
    fs::write(&layer, stored).unwrap();
    let out = |name: &str| latest(&dir.join(name));
    let layer = layer.display().to_string();
    let blob = dir.join("blob").display().to_string();
    [
        ["to-nydus", "-q", &oci, &out("v6")].to_vec(),
        ["to-nydus", "-q", "--fs-version", "5", &oci, &out("v5")].to_vec(),
        ["to-nydus", "-q", "--tarfs", &oci, &out("tarfs")].to_vec(),
        ["to-nydus", "-q", "--replay", "proven", &oci, &out("proven")].to_vec(),
        ["to-nydus", "-q", &format!("tar:{layer}"), &out("tar")].to_vec(),
        ["to-nydus", "-q", "--replay", "proven", &format!("tar:{layer}"), &out("tar-proven")].to_vec(),
        ["layer", "pack", "-q", "-o", &blob, &layer].to_vec(),
        ["check", &oci].to_vec(),
    ]
    .map(|args| args.into_iter().map(str::to_owned).collect())
    .to_vec()
}

/// log2 of the window, options, exit code.
const WINDOWS: &[(u32, &[&str], i32)] = &[
    (27, &[], 0),
    (27, &["--max-zstd-window", "64MiB"], 7),
    (28, &[], 0),
    (29, &[], 0),
    (30, &[], 7),
    (30, &["--max-zstd-window", "1GiB"], 0),
    (31, &["--max-zstd-window", "1GiB"], 7),
    (31, &["--max-zstd-window", "2GiB"], 0),
];

#[test]
fn zstd_windows_are_read_up_to_the_limit_on_every_road() {
    crate::support::require!("time");
    let tar = Tar::new().file("a", b"some content\n".repeat(10_000)).finish();
    let half = tar.len() / 2;
    for (log, options, code) in WINDOWS {
        let parts = [
            skippable(0x50),
            zstd(&tar[..half], *log),
            skippable(0x5f),
            zstd(&tar[half..], 20),
            skippable(0x53),
        ];
        let stored = parts.concat();
        let dir = tempdir().unwrap();
        Layout::of([zstd_layer(tar.clone(), stored.clone())]).write(&dir.path().join("oci"));
        for road in roads(dir.path(), &stored) {
            let args: Vec<&str> = road.iter().map(String::as_str).chain(options.iter().copied()).collect();
            let Measured { run, peak, .. } = measured(&args);
            // What `check` cannot read is a problem that it lists.
            let code = if args[0] == "check" && *code == 7 { 3 } else { *code };
            assert_eq!(run.code, Some(code), "2^{log} {args:?}: {}", run.stderr);
            // The window is not touched beyond what the layer holds.
            assert!(peak < PEAK, "2^{log} {args:?}: {peak} MiB");
            if code != 0 {
                let words =
                    [format!("window of {}", 1_u64 << log), "byte 13".to_owned(), "allow more".to_owned()];
                assert!(words.iter().all(|word| run.stderr.contains(word)), "{}", run.stderr);
            }
        }
        if *code == 0 {
            let back = dir.path().join("back");
            let args = ["to-oci", "-q", &latest(&dir.path().join("proven")), &latest(&back)];
            assert_eq!(end(command().args(args)).code, Some(0));
            let layer = back.join("blobs/sha256").join(crate::support::sha256_hex(&stored));
            assert_eq!(fs::read(layer).unwrap(), stored);
        }
    }
}

#[test]
fn a_reference_to_a_zstd_layer_is_refused_by_name_whatever_its_window() {
    let tar = Tar::new().file("a", "b").finish();
    let dir = tempdir().unwrap();
    Layout::of([zstd_layer(tar.clone(), [skippable(0x5a), zstd(&tar, 31)].concat())])
        .write(&dir.path().join("oci"));
    let (from, to) = (latest(&dir.path().join("oci")), latest(&dir.path().join("to")));
    let run = end(command().args(["to-nydus", "-q", "--oci-ref", &from, &to]));
    assert!(run.code == Some(4) && run.stderr.contains("zstd"), "{:?}", run);
}

#[test]
fn large_windows_are_held_one_at_a_time() {
    crate::support::require!("time");
    const CONTENT: usize = 160 << 20;
    let layer = |byte: u8| {
        let tar = Tar::new().file("a", vec![byte; CONTENT]).finish();
        let stored = zstd(&tar, 29);
        zstd_layer(tar, stored)
    };
    let dir = tempdir().unwrap();
    Layout::of([layer(1), layer(2), layer(3)]).write(&dir.path().join("oci"));
    let (from, to) = (latest(&dir.path().join("oci")), latest(&dir.path().join("to")));
    let Measured { run, peak, .. } =
        measured(&["to-nydus", "-q", "-j", "4", "--max-memory", "16MiB", &from, &to]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!((160..PEAK).contains(&peak), "{peak} MiB");
}
