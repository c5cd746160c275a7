//! Bad input and bad targets: one clear error that names layer and entry, the right exit code, and a target that is
//! exactly as it was.

use std::fs;
use std::path::Path;

use crate::support::cli::{Run, convert, latest, run, snapshot};
use crate::support::oci::{Compression, Image, Layer, Layout};
use crate::support::tars::Tar;
use serde_json::json;
use tar::EntryType;
use tempfile::{TempDir, tempdir};

fn good() -> Layer {
    Layer::new(Tar::new().dir("etc", 0o755).file("etc/hello", "hello\n".repeat(1000)).finish())
}

/// Converts into a target that does not exist and into one that holds an image already; both must fail alike and leave
/// no trace.
fn refused(layout: &Layout, options: &[&str]) -> Run {
    let dir = tempdir().unwrap();
    let source = dir.path().join("oci");
    layout.write(&source);
    refused_source(&dir, &latest(&source), options)
}

fn refused_source(dir: &TempDir, source: &str, options: &[&str]) -> Run {
    let (fresh, used, other) = (dir.path().join("fresh"), dir.path().join("used"), dir.path().join("other"));
    Layout::of([good()]).write(&other);
    convert(&other, &used, &[]);
    let convert = |target: &Path| {
        let target = latest(target);
        run(["to-nydus", source, &target].iter().chain(options))
    };
    let before = snapshot(&used);
    let first = convert(&fresh);
    assert!(!fresh.exists(), "{}", first.stderr);
    let second = convert(&used);
    assert_eq!(snapshot(&used), before, "{}", second.stderr);
    assert_eq!((first.code, &first.stdout), (second.code, &second.stdout));
    assert_eq!(first.stdout, "");
    let errors = first.stderr.lines().filter(|line| line.starts_with("error: ")).count();
    assert_eq!(errors, 1, "{}", first.stderr);
    first
}

/// The run failed with this code, and its one error has all of these words.
#[track_caller]
fn assert_error(run: &Run, code: i32, words: &[&str]) {
    assert_eq!(run.code, Some(code), "{}", run.stderr);
    let error = run.stderr.lines().find(|line| line.starts_with("error: ")).unwrap();
    for word in words {
        assert!(error.contains(word), "{word:?} is not in {error:?}");
    }
}

fn second_layer(layer: Layer) -> Layout {
    Layout::of([Layer::new(Tar::new().file("base", "base").finish()), layer])
}

fn digest_of(layer: &Layer) -> String {
    format!("sha256:{}", crate::support::sha256_hex(&layer.blob()))
}

#[test]
fn truncated_gzip() {
    let whole = good().blob();
    let layer = Layer { stored: Some(whole[..whole.len() - 20].to_vec()), ..good() };
    let name = format!("layer 2 of 2 ({})", digest_of(&layer));
    assert_error(&refused(&second_layer(layer), &[]), 1, &[&name, "gzip", "truncated"]);
}

#[test]
fn trailing_garbage() {
    for compression in [Compression::Gzip, Compression::Zstd] {
        let mut stored = Layer { compression, ..good() }.blob();
        stored.extend(b"something that is no member");
        let layer = Layer { stored: Some(stored), compression, ..good() };
        assert_error(&refused(&second_layer(layer), &[]), 1, &["layer 2 of 2", "followed by something else"]);
    }
}

#[test]
fn wrong_digest_size_and_diff_id() {
    let zeros = format!("sha256:{}", "0".repeat(64));
    // The blob is stored under the wrong name, as a damaged download would be.
    let layer = Layer { digest: Some(zeros.clone()), ..good() };
    assert_error(&refused(&second_layer(layer), &[]), 3, &["layer 2 of 2", &zeros, "has the digest"]);
    for size in [1, 1_000_000] {
        let layer = Layer { size: Some(size), ..good() };
        assert_error(&refused(&second_layer(layer), &[]), 3, &["layer 2 of 2", "are declared"]);
    }
    let layer = Layer { diff_id: Some(zeros.clone()), ..good() };
    assert_error(&refused(&second_layer(layer), &[]), 3, &["layer 2 of 2", "the unpacked layer is", &zeros]);
}

#[test]
fn equal_layers_are_each_compared_with_what_is_said_of_them() {
    let zeros = format!("sha256:{}", "0".repeat(64));
    let layout = Layout::of([good(), Layer { diff_id: Some(zeros.clone()), ..good() }]);
    assert_error(&refused(&layout, &[]), 3, &["layer 2 of 2", "the unpacked layer is", &zeros]);
    let layout = Layout::of([good(), Layer { size: Some(1), ..good() }]);
    assert_error(&refused(&layout, &[]), 3, &["layer 2 of 2", "are declared"]);
}

#[test]
fn damage_is_told_by_its_digest_not_by_what_it_breaks() {
    let whole = good().blob();
    let digest = digest_of(&good());
    for position in [12, whole.len() / 2, whole.len() - 4] {
        let mut stored = whole.clone();
        stored[position] ^= 0xff;
        let layer = Layer { stored: Some(stored), digest: Some(digest.clone()), ..good() };
        assert_error(&refused(&second_layer(layer), &[]), 3, &["layer 2 of 2", &digest, "has the digest"]);
    }
}

#[test]
fn not_a_tar() {
    let text = "This is a shell script, or a letter, and no tar.\n".repeat(50);
    for compression in [Compression::None, Compression::Gzip] {
        let layer = Layer { compression, ..Layer::new(text.clone()) };
        assert_error(&refused(&second_layer(layer), &[]), 4, &["layer 2 of 2", "not a tar"]);
    }
}

#[test]
fn names_that_leave_the_root() {
    let in_name = Tar::new().file("fine", "x").raw(b"usr/../../etc/passwd", |_| {}, b"x").finish();
    let run = refused(&second_layer(Layer::new(in_name)), &[]);
    assert_error(&run, 1, &["layer 2 of 2", "usr/../../etc/passwd", "leads out of the root", "offset 1024"]);

    let link = |header: &mut tar::Header| {
        header.set_entry_type(EntryType::Link);
        header.set_link_name("../shadow").unwrap();
    };
    let in_target = Tar::new().raw(b"etc/link", link, b"").finish();
    let run = refused(&second_layer(Layer::new(in_target)), &[]);
    assert_error(&run, 1, &["layer 2 of 2", "/etc/link", "../shadow", "leads out of the root"]);
}

#[test]
fn absolute_names_are_taken_from_the_root() {
    let dir = tempdir().unwrap();
    let (source, target) = (dir.path().join("oci"), dir.path().join("nydus"));
    let tar = Tar::new().raw(b"/etc/absolute", |_| {}, b"here").finish();
    Layout::of([Layer::new(tar)]).write(&source);
    convert(&source, &target, &[]);
    assert_eq!(crate::support::cli::ok(["cat", &latest(&target), "etc/absolute"]).stdout, "here");
}

#[test]
fn a_size_field_of_one_tebibyte() {
    let huge = |size: u64| Tar::new().raw(b"huge", |header| header.set_size(size), b"only this").finish();
    let run = refused(&second_layer(Layer::new(huge(1 << 40))), &[]);
    assert_error(&run, 7, &["layer 2 of 2", "/huge", "--max-layer-size"]);
    // Where so much is allowed, it is the bytes that are missing.
    let run = refused(&second_layer(Layer::new(huge(1 << 40))), &["--max-layer-size", "2TiB"]);
    assert_error(&run, 1, &["layer 2 of 2", "/huge", "too early"]);
}

#[test]
fn a_pax_header_of_a_million_records() {
    let records = (0..1_000_000).map(|_| "16 comment=xxxx\n").collect::<String>();
    let pax = |header: &mut tar::Header| header.set_entry_type(EntryType::XHeader);
    let tar = Tar::new().raw(b"PaxHeaders/x", pax, records.as_bytes()).file("x", "x").finish();
    assert_error(&refused(&second_layer(Layer::new(tar)), &[]), 1, &["layer 2 of 2", "16000000 bytes"]);
}

#[test]
fn decompression_bombs() {
    for compression in [Compression::Gzip, Compression::Zstd] {
        let tar = Tar::new().file("zeros", vec![0; 64 << 20]).finish();
        let layer = Layer { compression, ..Layer::new(tar) };
        let run = refused(&second_layer(layer), &["--max-layer-size", "16MiB"]);
        assert_error(&run, 7, &["layer 2 of 2", "16777216"]);
    }
}

#[test]
fn sparse_bombs() {
    let sparse = |size: &str, map: &str| {
        Tar::new()
            .pax(&[
                ("GNU.sparse.size", size.as_bytes()),
                ("GNU.sparse.numblocks", b"1"),
                ("GNU.sparse.map", map.as_bytes()),
                ("GNU.sparse.name", b"hole"),
            ])
            .file("GNUSparseFile.1/hole", "")
            .finish()
    };
    let run = refused(&second_layer(Layer::new(sparse("1099511627776", "0,0"))), &[]);
    assert_error(&run, 7, &["layer 2 of 2", "/hole", "--max-layer-size"]);
    let run = refused(&second_layer(Layer::new(sparse("9000000000000000000", "0,0"))), &[]);
    assert_error(&run, 3, &["1 thing(s)"]);
}

#[test]
fn a_missing_blob_layout_or_reference() {
    let layer = Layer { missing: true, ..good() };
    let digest = digest_of(&layer);
    assert_error(&refused(&second_layer(layer), &[]), 4, &["layer 2 of 2", &digest]);

    let dir = tempdir().unwrap();
    let nowhere = format!("oci:{}:latest", dir.path().join("nowhere").display());
    assert_error(&refused_source(&dir, &nowhere, &[]), 4, &["nowhere"]);

    let source = dir.path().join("oci");
    Layout::of([good()]).write(&source);
    let other = format!("oci:{}:v2", source.display());
    assert_error(&refused_source(&dir, &other, &[]), 4, &["v2", "latest"]);
}

#[test]
fn images_that_are_none() {
    let encrypted = Layer {
        media_type: Some("application/vnd.oci.image.layer.v1.tar+gzip+encrypted".to_owned()),
        ..good()
    };
    assert_error(&refused(&second_layer(encrypted), &[]), 4, &["layer 2 of 2", "encrypted"]);

    let config = json!({ "config": { "mediaType": "application/vnd.cncf.helm.config.v1+json" } });
    let helm = Image { manifest_patch: Some(config), ..Image::of([good()]) };
    let run = refused(&Layout { images: vec![helm], ..Layout::default() }, &[]);
    assert_error(&run, 4, &["application/vnd.cncf.helm.config.v1+json"]);

    let schema1 = "application/vnd.docker.distribution.manifest.v1+json";
    let old = Image {
        manifest_patch: Some(json!({ "schemaVersion": 1, "mediaType": schema1 })),
        descriptor_patch: Some(json!({ "mediaType": schema1 })),
        ..Image::of([good()])
    };
    assert_error(&refused(&Layout { images: vec![old], ..Layout::default() }, &[]), 4, &["schema 1"]);
}

#[test]
fn losses_are_refused_with_a_list_or_told() {
    let tar = Tar::new()
        .pax(&[("SCHILY.xattr.com.apple.quarantine", b"x")])
        .file("from-a-mac", "1")
        .pax(&[("mtime", b"-1.5")])
        .file("before-1970", "2")
        .pax(&[("linkpath", "t".repeat(5000).as_bytes())])
        .symlink("far", "placeholder")
        .file("fine", "3")
        .finish();
    let layout = second_layer(Layer::new(tar));
    let run = refused(&layout, &[]);
    assert_error(&run, 3, &["1 thing(s)", "--fidelity warn"]);
    assert!(run.stderr.lines().any(|line| line.trim_start().starts_with("/far")), "{}", run.stderr);

    let dir = tempdir().unwrap();
    let (source, target) = (dir.path().join("oci"), dir.path().join("nydus"));
    layout.write(&source);
    let refusal = crate::support::cli::run(["to-nydus", "-q", "--json", &latest(&source), &latest(&target)]);
    let refusal: serde_json::Value = serde_json::from_str(&refusal.stdout).unwrap();
    assert_eq!(refusal["losses"].as_array().unwrap().len(), 1);
    let report = convert(&source, &target, &["--fidelity", "warn"]);
    let paths = |list: &str| -> Vec<String> {
        report[list].as_array().unwrap().iter().map(|l| l["path"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(paths("losses"), ["/far"]);
    // No engine of Linux sets such an attribute.
    assert_eq!(paths("notes"), ["/from-a-mac"]);
    let listing = crate::support::cli::ok(["ls", &latest(&target)]).stdout;
    for (name, expected) in [("/from-a-mac", true), ("/before-1970", true), ("/far", false), ("/fine", true)]
    {
        assert_eq!(listing.lines().any(|line| line.ends_with(name)), expected, "{name}: {listing}");
    }
}

#[test]
fn links_to_nothing() {
    let tar = Tar::new().hard_link("link", "nowhere").finish();
    assert_error(&refused(&second_layer(Layer::new(tar)), &[]), 1, &["layer 2", "/link", "/nowhere"]);
}

#[test]
fn targets_that_are_no_layouts() {
    let dir = tempdir().unwrap();
    let (source, file, full) = (dir.path().join("oci"), dir.path().join("file"), dir.path().join("full"));
    Layout::of([good()]).write(&source);
    fs::write(&file, "precious").unwrap();
    fs::create_dir(&full).unwrap();
    fs::write(full.join("thesis.tex"), "precious").unwrap();
    let before = snapshot(dir.path());
    for target in [&file, &full] {
        let run = run(["to-nydus", &latest(&source), &latest(target)]);
        assert_error(&run, 1, &[target.to_str().unwrap()]);
    }
    assert_eq!(snapshot(dir.path()), before);
    let pinned = format!("{}@sha256:{}", latest(&dir.path().join("new")), "0".repeat(64));
    assert_error(&run(["to-nydus", &latest(&source), &pinned]), 2, &["cannot be pinned"]);
}

/// A file system of its own, mounted while the value lives.
struct Mount {
    dir: TempDir,
}

impl Mount {
    fn tmpfs(options: &str) -> Mount {
        let dir = tempdir().unwrap();
        let mount = crate::support::tools::Tool::get("mount");
        mount.run(["-t", "tmpfs", "-o", options, "tmpfs", dir.path().to_str().unwrap()]);
        Mount { dir }
    }

    fn remount_read_only(&self) {
        crate::support::tools::Tool::get("mount").run([
            "-o",
            "remount,ro",
            self.dir.path().to_str().unwrap(),
        ]);
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        crate::support::tools::Tool::get("umount").run([self.dir.path()]);
    }
}

#[test]
fn a_full_disk() {
    crate::support::require!("root", "mount", "umount");
    let dir = tempdir().unwrap();
    let source = dir.path().join("oci");
    // Random enough not to compress, too large for the disk.
    let mut state = 1_u64;
    let noise: Vec<u8> = (0..4 << 20)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .collect();
    Layout::of([good(), Layer::new(Tar::new().file("noise", noise).finish())]).write(&source);
    let disk = Mount::tmpfs("size=2m");
    let target = disk.dir.path().join("layout");
    for before in [false, true] {
        if before {
            let small = dir.path().join("small");
            Layout::of([good()]).write(&small);
            convert(&small, &target, &[]);
        }
        let state = snapshot(disk.dir.path());
        let run = run(["to-nydus", &latest(&source), &latest(&target)]);
        assert_error(&run, 7, &["No space left"]);
        assert_eq!(snapshot(disk.dir.path()), state);
    }
}

#[test]
fn a_read_only_target() {
    crate::support::require!("root", "mount", "umount");
    let dir = tempdir().unwrap();
    let source = dir.path().join("oci");
    Layout::of([good()]).write(&source);
    let disk = Mount::tmpfs("size=8m");
    let target = disk.dir.path().join("layout");
    convert(&source, &target, &[]);
    disk.remount_read_only();
    let state = snapshot(disk.dir.path());
    for target in [&target, &disk.dir.path().join("new")] {
        assert_error(&run(["to-nydus", &latest(&source), &latest(target)]), 5, &["Read-only file system"]);
    }
    assert_eq!(snapshot(disk.dir.path()), state);
}

#[test]
fn an_interrupted_run_leaves_no_trace() {
    let dir = tempdir().unwrap();
    let (source, target) = (dir.path().join("oci"), dir.path().join("nydus"));
    let layers = (0..4).map(|n| {
        let content: Vec<u8> = (0..8 << 20_u32).map(|i: u32| (i.wrapping_mul(i + n) >> 7) as u8).collect();
        Layer { compression: Compression::None, ..Layer::new(Tar::new().file("big", content).finish()) }
    });
    Layout::of(layers).write(&source);
    let mut child = crate::support::cli::command()
        .args(["to-nydus", "--compressor", "zstd:19", "-j", "1", &latest(&source), &latest(&target)])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // The staging directory tells that the run is under way.
    while !target.exists() {
        assert_eq!(child.try_wait().unwrap(), None, "the run ended before it could be interrupted");
        std::thread::yield_now();
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert!(!target.exists());
}

#[test]
fn usage_errors() {
    let dir = tempdir().unwrap();
    let source = dir.path().join("oci");
    Layout::of([good()]).write(&source);
    let (source, target) = (latest(&source), latest(&dir.path().join("nydus")));
    for arguments in [
        &["to-nydus", &source][..],
        &["to-nydus", &source, &target, "--chunk-size", "3000"],
        &["to-nydus", &source, &target, "--compressor", "brotli"],
        &["to-nydus", &source, &target, "--platform", "amd64"],
        &["to-nydus", &source, &target, "--annotation", "nothing"],
        &["to-nydus", "containers-storage:thing", &target],
        &["frobnicate"],
    ] {
        let run = run(arguments);
        assert_eq!(run.code, Some(2), "{arguments:?}: {}", run.stderr);
    }
}

#[test]
fn paths_that_are_no_references() {
    let dir = tempfile::tempdir().unwrap();
    for text in ["./many", "/srv/Images", "~/many", dir.path().to_str().unwrap()] {
        let refused = crate::support::cli::run(["check", text]);
        assert_eq!(refused.code, Some(2), "{}", refused.stderr);
        assert!(refused.stderr.contains(&format!("oci:{text}")), "{}", refused.stderr);
    }
}

#[test]
fn variables_for_flags() {
    let fixture = format!("oci:{}", crate::support::fixtures().join("small").display());
    let check = |value: &str| {
        let mut command = crate::support::cli::command();
        crate::support::cli::end(command.env("NYDUS_CONVERT_JSON", value).args(["check", "-q", &fixture]))
    };
    for value in ["1", "true", "yes", "on"] {
        assert!(check(value).stdout.starts_with('{'), "{value}");
    }
    for value in ["0", "false", "no", "off"] {
        assert!(check(value).stdout.starts_with("oci:"), "{value}");
    }
    assert_eq!(check("perhaps").code, Some(2));
}

/// A name without a transport is one of a registry; that a path of this name is there is said where it fails.
#[test]
fn names_that_may_be_paths() {
    let dir = tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("images/many")).unwrap();
    for (name, is_path) in [("images/many", true), ("images", true), ("images/other", false)] {
        let mut command = crate::support::cli::command();
        // Nothing is there, so nothing leaves this machine.
        command.env("HTTPS_PROXY", "http://127.0.0.1:1").env_remove("NO_PROXY").current_dir(dir.path());
        let run = crate::support::cli::end(command.args(["check", "--retry-times", "0", name]));
        assert_eq!(run.code, Some(6), "{name}: {}", run.stderr);
        assert_eq!(
            run.stderr.contains(&format!("oci:{name} (an OCI layout)")),
            is_path,
            "{name}: {}",
            run.stderr
        );
    }
}
