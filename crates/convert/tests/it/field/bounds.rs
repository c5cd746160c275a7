//! Memory and work in proportion to what is read: each input is met by every verb in a process of its own, which takes
//! little or refuses clearly.

use std::fs;
use std::io::Write;
use std::path::Path;

use tempfile::tempdir;

use crate::support::cli::{command, end, latest};
use crate::support::measured::{Measured, PEAK, SECONDS, measured};
use crate::support::oci::{Compression, Layer, Layout};
use crate::support::tars::Tar;

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

/// A header block, with PAX records in front.
fn entry(out: &mut Vec<u8>, kind: u8, name: &str, records: &[(&str, &[u8])]) {
    if !records.is_empty() {
        let body: Vec<u8> = records.iter().flat_map(|(key, value)| record(key, value)).collect();
        out.extend(header(b'x', "pax", body.len()));
        out.extend(&body);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.extend(header(kind, name, 0));
}

fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = [b" ", key.as_bytes(), b"=", value, b"\n"].concat();
    let mut length = rest.len() + 1;
    while length != rest.len() + length.to_string().len() {
        length = rest.len() + length.to_string().len();
    }
    [length.to_string().as_bytes(), &rest].concat()
}

fn header(kind: u8, name: &str, size: usize) -> [u8; 512] {
    let mut header = tar::Header::new_ustar();
    header.set_path(name).unwrap();
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_mode(0o644);
    header.set_mtime(1);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(size as u64);
    header.set_cksum();
    *header.as_bytes()
}

/// A layer of so many entries.
fn layer_of(count: usize, mut add: impl FnMut(&mut Vec<u8>, usize)) -> Layer {
    let mut tar = Vec::new();
    (0..count).for_each(|number| add(&mut tar, number));
    tar.resize(tar.len() + 1024, 0);
    Layer::new(tar)
}

fn deep(name: &str) -> Vec<u8> {
    format!("{name}{}", "/d".repeat(2040)).into_bytes()
}

/// Name, layers, and whether an image of them is refused.
type Case = (&'static str, fn() -> Vec<Layer>, bool);

const CASES: &[Case] = &[
    ("deep paths without entries for the parents", implied, true),
    ("the same over five layers", implied_layers, true),
    ("deep paths that are replaced", replaced, false),
    ("deep paths that other layers replace", replaced_layers, false),
    ("long names without entries for the parents", long_names, false),
    ("large attributes", large_attributes, true),
    ("the same file again and again, with large attributes", one_file, false),
    ("long targets", long_targets, true),
    ("links ahead with long targets", links_ahead, true),
    ("hard links to one file", links_to_one, false),
    ("paths through links with long targets", through_links, true),
    ("many attributes", many_attributes, true),
    ("many small layers", many_layers, false),
    ("gzip members with thousands of different headers", headers, false),
    ("gzip members that all look like most encoders", lookalikes, false),
];

fn implied() -> Vec<Layer> {
    vec![layer_of(1000, |tar, number| entry(tar, b'0', "f", &[("path", &deep(&number.to_string()))]))]
}

fn implied_layers() -> Vec<Layer> {
    let layer = |first: usize| {
        layer_of(200, move |tar, number| {
            entry(tar, b'0', "f", &[("path", &deep(&(first + number).to_string()))])
        })
    };
    (0..5).map(|number| layer(200 * number)).collect()
}

fn replaced() -> Vec<Layer> {
    vec![layer_of(2000, |tar, _| {
        entry(tar, b'0', "f", &[("path", &deep("t"))]);
        entry(tar, b'0', "t", &[]);
    })]
}

fn replaced_layers() -> Vec<Layer> {
    let upper = layer_of(1, |tar, _| entry(tar, b'0', "t", &[]));
    let lower = layer_of(1, |tar, _| entry(tar, b'0', "f", &[("path", &deep("t"))]));
    (0..60).map(|number| if number % 2 == 0 { lower.clone() } else { upper.clone() }).collect()
}

fn long_names() -> Vec<Layer> {
    let path = |number: usize| -> String {
        let names: Vec<String> = (0..15).map(|depth| format!("{number:n<100}_{depth:n<100}")).collect();
        names.join("/")
    };
    vec![layer_of(2000, |tar, number| entry(tar, b'0', "f", &[("path", path(number).as_bytes())]))]
}

fn large_attributes() -> Vec<Layer> {
    let value = |number: usize| format!("{number:0>60000}").into_bytes();
    vec![layer_of(2500, |tar, number| {
        entry(tar, b'0', &format!("f{number}"), &[("SCHILY.xattr.user.a", &value(number))]);
    })]
}

fn one_file() -> Vec<Layer> {
    let value = |number: usize| format!("{number:0>60000}").into_bytes();
    vec![layer_of(2500, |tar, number| entry(tar, b'0', "f", &[("SCHILY.xattr.user.a", &value(number))]))]
}

fn long_targets() -> Vec<Layer> {
    let target = vec![b'x'; 4000];
    vec![layer_of(40_000, |tar, number| entry(tar, b'2', &format!("l{number}"), &[("linkpath", &target)]))]
}

fn links_ahead() -> Vec<Layer> {
    let target = [&b"d/".repeat(2000)[..], b"f"].concat();
    vec![layer_of(20_000, |tar, number| entry(tar, b'1', &format!("l{number}"), &[("linkpath", &target)]))]
}

fn links_to_one() -> Vec<Layer> {
    vec![layer_of(50_000, |tar, number| match number {
        0 => entry(tar, b'0', "f", &[]),
        _ => entry(tar, b'1', &format!("l{number}"), &[("linkpath", b"f")]),
    })]
}

fn through_links() -> Vec<Layer> {
    let deep = "d/".repeat(1000);
    let target = |number: usize| format!("{deep}{}s{number}", "../".repeat(400)).into_bytes();
    vec![layer_of(50_000, |tar, number| match number {
        0 => entry(tar, b'5', "d", &[("path", deep.as_bytes())]),
        1 => entry(tar, b'2', "s1", &[("linkpath", deep.as_bytes())]),
        2..30 => entry(tar, b'2', &format!("s{number}"), &[("linkpath", &target(1))]),
        _ => entry(tar, b'0', &format!("s1/f{number}"), &[]),
    })]
}

fn many_attributes() -> Vec<Layer> {
    let keys: Vec<String> = (0..2000).map(|number| format!("SCHILY.xattr.user.{number}")).collect();
    let records: Vec<(&str, &[u8])> = keys.iter().map(|key| (key.as_str(), &b""[..])).collect();
    vec![layer_of(1000, |tar, number| entry(tar, b'0', &format!("f{number}"), &records))]
}

fn many_layers() -> Vec<Layer> {
    (0..500).map(|number| layer_of(1, |tar, _| entry(tar, b'0', &format!("f{number}"), &[]))).collect()
}

/// One gzip member for each piece, with a header that says another encoder.
fn members(tar: Vec<u8>, length: usize) -> Layer {
    let member = |(number, piece): (usize, &[u8])| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(piece).unwrap();
        let mut member = encoder.finish().unwrap();
        member[8..10].copy_from_slice(&(number as u16).to_le_bytes());
        member
    };
    let stored = tar.chunks(length).enumerate().flat_map(member).collect();
    Layer { stored: Some(stored), ..Layer::new(tar) }
}

fn headers() -> Vec<Layer> {
    vec![members(layer_of(14, |tar, number| entry(tar, b'0', &format!("f{number}"), &[])).tar, 2)]
}

fn lookalikes() -> Vec<Layer> {
    let mut state = 1_u64;
    let noise = (0..4_000_000).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    });
    let tar = Tar::new().file("noise", noise.collect::<Vec<_>>()).finish();
    vec![members(tar, 130_000)]
}

#[test]
fn memory_and_time_are_in_proportion_to_what_is_read() {
    crate::support::require!("time");
    for (name, layers, is_refused) in CASES {
        let dir = tempdir().unwrap();
        Layout::of(layers()).write(&dir.path().join("oci"));
        let path = |part: &str| latest(&dir.path().join(part));
        let expect = |args: &[&str], code: i32| {
            let Measured { run, peak, seconds } = measured(args);
            assert_eq!(run.code, Some(code), "{name}: {args:?}: {}", run.stderr);
            assert!(peak < PEAK && seconds < SECONDS, "{name}: {args:?}: {peak} MiB, {seconds} s");
            run
        };
        expect(&["check", "-q", &path("oci")], 0);
        for version in ["6", "5"] {
            let (from, to) = (path("oci"), path(version));
            let args = ["to-nydus", "-q", "--fs-version", version, &from, &to];
            let run = expect(&args, if *is_refused { 7 } else { 0 });
            if *is_refused {
                let words =
                    ["names, attributes and directories", "symbolic links on the way", "than is stored"];
                assert!(words.iter().any(|words| run.stderr.contains(words)), "{name}: {}", run.stderr);
                continue;
            }
            expect(&["check", "-q", &path(version)], 0);
            expect(&["ls", &path(version)], 0);
            // Paths of deep trees are longer than the tree: a list of all may be refused.
            let Measured { run, peak, .. } = measured(&["inspect", "--files", &path(version)]);
            assert!(peak < PEAK && matches!(run.code, Some(0 | 7)), "{name}: {peak} MiB, {}", run.stderr);
            expect(&["to-oci", "-q", "--layers", "gzip:1", &path(version), &path("back")], 0);
        }
    }
}

#[test]
fn a_hole_of_two_tebibytes_is_refused_before_it_is_read() {
    crate::support::require!("time");
    let records: &[(&str, &[u8])] = &[
        ("GNU.sparse.major", b"1"),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.name", b"big"),
        ("GNU.sparse.realsize", b"2199023255552"),
    ];
    let mut tar = Vec::new();
    entry(&mut tar, b'0', "big", records);
    let at = tar.len() - 512;
    tar[at..].copy_from_slice(&header(b'0', "big", 512));
    tar.extend(b"1\n2199023255552\n0\n");
    tar.resize(tar.len().next_multiple_of(512) + 1024, 0);
    let dir = tempdir().unwrap();
    Layout::of([Layer::new(tar)]).write(&dir.path().join("oci"));
    let (from, to) = (latest(&dir.path().join("oci")), latest(&dir.path().join("to")));
    for options in [&["--fs-version", "6"][..], &["--fs-version", "5"], &["--fidelity", "warn"]] {
        let args = [&["to-nydus", "-q", &from, &to], options].concat();
        let Measured { run, peak, seconds } = measured(&args);
        assert!(run.code == Some(7) && run.stderr.contains("/big"), "{options:?}: {:?}", run);
        assert!(peak < PEAK && seconds < SECONDS);
    }
    assert_eq!(end(command().args(["check", "-q", &from])).code, Some(0));
}
