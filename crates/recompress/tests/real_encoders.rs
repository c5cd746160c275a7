//! Streams that real programs make here and now: recognised, and made again.
//!
//! A program that is missing is a reason to skip, except in CI (`CI=true`).

#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use flate2::read::MultiGzDecoder;
use nydus_convert_recompress::{Recipe, identify, replay};
use tempfile::TempDir;

const ONE: NonZeroUsize = NonZeroUsize::MIN;
const THREE: NonZeroUsize = NonZeroUsize::new(3).unwrap();

/// Something like a layer: sources, repeated with changes, with random and empty stretches between.
static PLAIN: LazyLock<Vec<u8>> = LazyLock::new(|| plain(12 << 20));

fn plain(length: usize) -> Vec<u8> {
    let mut files = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let (mut state, mut out) = (1_u64, Vec::with_capacity(length + (1 << 20)));
    let mut draw = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32
    };
    while out.len() < length {
        for path in &files {
            let mut content = fs::read(path).unwrap();
            let step = 200 + draw() as usize % 2000;
            content.iter_mut().step_by(step).for_each(|byte| *byte = draw() as u8);
            let mut header = format!("layer/{:08}/{:o}", draw(), content.len()).into_bytes();
            header.resize(512, 0);
            out.extend(header);
            out.extend(content);
            match draw() % 8 {
                0 => out.extend((0..draw() % 60_000).map(|_| draw() as u8)),
                1 => out.resize(out.len() + draw() as usize % 50_000, 0),
                _ => {}
            }
            out.resize(out.len().next_multiple_of(512), 0);
        }
    }
    out.truncate(length);
    out
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}

/// Whether a program can be run here.
fn have(program: &str, version: &str) -> bool {
    let found = Command::new(program).arg(version).output().is_ok_and(|output| output.status.success());
    assert!(found || std::env::var("CI").as_deref() != Ok("true"), "{program} is missing");
    if !found {
        eprintln!("skipped: {program} is missing");
    }
    found
}

/// What a program writes when it is given `plain`.
fn run(program: impl AsRef<Path>, args: &[&str], plain: &[u8]) -> Vec<u8> {
    let mut command = Command::new(program.as_ref());
    let mut child = command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stored = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(plain).unwrap());
        child.stdout.take().unwrap().read_to_end(&mut stored).unwrap();
    });
    assert!(child.wait().unwrap().success(), "{:?} {args:?}", program.as_ref());
    stored
}

/// The Go program beside this file.
static GO: LazyLock<Option<(TempDir, PathBuf)>> = LazyLock::new(|| {
    if !have("go", "version") {
        return None;
    }
    let directory = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/encoders");
    for name in ["main.go", "go.mod", "go.sum"] {
        fs::copy(source.join(name), directory.path().join(name)).unwrap();
    }
    let program = directory.path().join("encoders");
    let mut build = Command::new("go");
    build.args(["build", "-o"]).arg(&program).arg(".").current_dir(&directory).env("GOFLAGS", "-mod=mod");
    let output = build.output().unwrap();
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{reason}");
        eprintln!("skipped: the Go program does not build: {reason}");
        return None;
    }
    Some((directory, program))
});

/// `None`: skipped.
fn go(mode: &str, level: i32, number: usize, plain: &[u8]) -> Option<Vec<u8>> {
    let (_, program) = GO.as_ref()?;
    Some(run(program, &[mode, &level.to_string(), &number.to_string()], plain))
}

fn python(code: &str, plain: &[u8]) -> Vec<u8> {
    let script =
        format!("import sys,gzip,zlib\np=sys.stdin.buffer.read()\n{code}\nsys.stdout.buffer.write(o)");
    run("python3", &["-c", &script], plain)
}

/// Finds the recipe, and makes the stream again from nothing but its bytes.
fn check(stored: &[u8], method: &str) -> Recipe {
    let recipe = identify(|| Ok(stored), THREE).unwrap();
    let recipe = recipe.unwrap_or_else(|| panic!("{method}: not recognised"));
    assert_eq!(recipe.method().to_string(), method);
    let bytes = recipe.write();
    let parsed = Recipe::parse(&bytes).unwrap();
    assert_eq!(parsed, recipe);
    let mut plain = Vec::new();
    MultiGzDecoder::new(stored).take(recipe.plain_len()).read_to_end(&mut plain).unwrap();
    for threads in [ONE, THREE] {
        let mut again = Vec::new();
        let replayed = replay(&parsed, &plain[..], &mut again, threads).unwrap();
        assert!(again == stored, "{method}: other bytes");
        assert_eq!((replayed.plain, replayed.stored), (plain.len() as u64, stored.len() as u64));
    }
    recipe
}

/// A part of the input that is longer than the sample.
fn part() -> &'static [u8] {
    &PLAIN[..(4 << 20) + 777_777]
}

#[test]
fn gzip_on_a_file() {
    if !have("gzip", "--version") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("layer.tar");
    File::create(&path).unwrap().write_all(&PLAIN).unwrap();
    let stored = run("gzip", &["-c", path.to_str().unwrap()], b"");
    let recipe = check(&stored, "GNU gzip level 6");
    assert!(recipe.write().len() < 60);
}

#[test]
fn gzip_levels() {
    if have("gzip", "--version") {
        for level in [1, 2, 3, 4, 5, 7, 8, 9] {
            let stored = run("gzip", &["-n", &format!("-{level}")], part());
            check(&stored, &format!("GNU gzip level {level}"));
        }
    }
}

#[test]
fn pigz() {
    if have("pigz", "--version") {
        check(&run("pigz", &["-n", "-6"], &PLAIN), "pigz level 6");
        for (args, method) in [
            (&["-n", "-1"][..], "pigz level 1"),
            (&["-9"], "pigz level 9"),
            (&["-n", "-3", "-p", "1"], "pigz level 3, one thread"),
            (&["-n", "-b", "64"], "pigz level 6, 64 KiB units"),
            (&["-n", "-i"], "pigz level 6, independent units"),
        ] {
            check(&run("pigz", args, part()), method);
        }
    }
}

#[test]
fn python_gzip_and_zlib() {
    if have("python3", "--version") {
        check(&python("o=gzip.compress(p,6,mtime=0)", &PLAIN), "zlib level 6");
        for (code, method) in [
            ("o=gzip.compress(p,1)", "zlib level 1"),
            ("o=gzip.compress(p,9)", "zlib level 9"),
            ("c=zlib.compressobj(6,8,31,9);o=c.compress(p)+c.flush()", "zlib level 6, memory level 9"),
            ("c=zlib.compressobj(4,8,31,7);o=c.compress(p)+c.flush()", "zlib level 4, memory level 7"),
        ] {
            check(&python(code, part()), method);
        }
        let flushes = "c=zlib.compressobj(6,8,31,8);o=b''
for i in range(0,len(p),700001): o+=c.compress(p[i:i+700001])+c.flush(FLUSH)
o+=c.flush()";
        check(&python(&flushes.replace("FLUSH", "zlib.Z_SYNC_FLUSH"), part()), "zlib level 6");
        check(&python(&flushes.replace("FLUSH", "zlib.Z_FULL_FLUSH"), part()), "zlib level 6, full flushes");
        // Flushes without a rule, the last of them behind the sample.
        let odd = "c=zlib.compressobj(5,8,31,8);o=b'';l=0
for i in (100000,100001,3000000,4500000): o+=c.compress(p[l:i])+c.flush(zlib.Z_SYNC_FLUSH);l=i
o+=c.compress(p[l:])+c.flush()";
        check(&python(odd, part()), "zlib level 5");
    }
}

#[test]
fn go_standard_library() {
    for level in [-2, 0, 1, 2, 3, 4, 5, 7, 8, 9] {
        if let Some(stored) = go("go", level, 32768, part()) {
            check(&stored, &format!("Go compress/flate level {level}"));
        }
    }
    if let Some(stored) = go("go", 6, 0, &PLAIN) {
        check(&stored, "Go compress/flate level 6");
    }
    if let Some(stored) = go("goflush", 6, 333_333, part()) {
        assert!(check(&stored, "Go compress/flate level 6").write().len() < 60);
    }
}

#[test]
fn klauspost_and_pgzip() {
    for level in 1..=9 {
        if let Some(stored) = go("klauspost", level, 0, part()) {
            check(&stored, &format!("klauspost ≥ 1.18.2 level {level}"));
        }
    }
    if let Some(stored) = go("pgzip", -1, 1 << 20, &PLAIN) {
        check(&stored, "pgzip 1 MiB blocks, klauspost ≥ 1.18.2 level 5");
    }
    if let Some(stored) = go("pgzip", 9, 256 << 10, part()) {
        check(&stored, "pgzip 256 KiB blocks, klauspost ≥ 1.18.2 level 9");
    }
    for length in [0, 1, 1 << 20, 2 << 20] {
        if let Some(stored) = go("pgzip", -1, 1 << 20, &PLAIN[..length]) {
            let recipe = check(&stored, "pgzip 1 MiB blocks, klauspost ≥ 1.18.2 level 5");
            assert_eq!(recipe.plain_len(), length as u64);
        }
    }
}

#[test]
fn many_members() {
    for level in [6, 9] {
        if let Some(stored) = go("estargz", level, 101, &PLAIN) {
            let recipe = check(&stored, &format!("Go compress/flate level {level}"));
            assert!(recipe.member_count() > 400);
            assert!(recipe.write().len() < 6 * 500);
        }
    }
}

#[test]
fn members_of_different_make() {
    if !have("gzip", "--version") || !have("pigz", "--version") {
        return;
    }
    let piece = &PLAIN[..1 << 20];
    let gzip = run("gzip", &["-n", "-6"], piece);
    let best = run("gzip", &["-n", "-9"], piece);
    check(&[&gzip[..], &best, &gzip].concat(), "GNU gzip level 6");
    if let Some(go) = go("go", 6, 0, piece) {
        check(&[&gzip[..], &go, &best].concat(), "GNU gzip level 6");
        // The second is behind the sample of the first.
        let long = run("gzip", &["-n", "-6"], part());
        check(&[&long[..], &go].concat(), "GNU gzip level 6");
    }
}

#[test]
fn tails() {
    if !have("gzip", "--version") {
        return;
    }
    let stored = run("gzip", &["-n"], &PLAIN[..300_000]);
    let padded = [&stored[..], &vec![0; 1_000_000]].concat();
    assert!(check(&padded, "GNU gzip level 6").write().len() < 40);
    let junk = [&stored[..], b"junk", &[0; 300], &stored[..100]].concat();
    check(&junk, "GNU gzip level 6");
    let too_much = [&stored[..], &PLAIN[..200_000]].concat();
    assert_eq!(identify(|| Ok(&too_much[..]), ONE).unwrap(), None);
}

#[test]
fn damage_and_unknown_encoders() {
    if have("gzip", "--version") {
        let stored = run("gzip", &["-n"], &PLAIN[..300_000]);
        for at in [0, 3, 20, stored.len() / 2, stored.len() - 6] {
            let mut damaged = stored.clone();
            damaged[at] ^= 0x21;
            assert_eq!(identify(|| Ok(&damaged[..]), ONE).unwrap(), None, "{at}");
        }
        assert_eq!(identify(|| Ok(&stored[..stored.len() - 1]), ONE).unwrap(), None);
    }
    // Another implementation of the same algorithm, which nothing here remakes.
    let mut other = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    other.write_all(part()).unwrap();
    let stored = other.finish().unwrap();
    assert_eq!(identify(|| Ok(&stored[..]), ONE).unwrap(), None);
}
