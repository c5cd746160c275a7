//! Streams of Go programs: the standard library of toolchains before and after Go 1.27, klauspost/compress and pgzip of
//! every epoch, and real eStargz blobs. All are recognised, from the sample and by proof, and made again.

// Test code: a panic is how a test reports.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::LazyLock;

use support::go::Program;
use support::{Draw, PLAIN, check, check_release, check_sampled, part, run, sources};

/// The last release before the encoder changed.
const CLASSIC: &str = "1.26.8";
/// A release after it.
const NEW: &str = "1.27.3";

static STANDARD: LazyLock<Option<Program>> = LazyLock::new(|| Program::build("standard", None, CLASSIC));
static STANDARD_NEW: LazyLock<Option<Program>> = LazyLock::new(|| Program::build("standard", None, NEW));

/// What the standard library's encoder is called, which release it is of.
fn standard(version: &str) -> &'static str {
    if version == NEW { "Go ≥ 1.27 compress/flate" } else { "Go compress/flate" }
}

/// All of the input at a few levels, and thousands of members.
fn toolchain(version: &str) {
    let Some(go) = Program::build("standard", None, version) else { return };
    let name = standard(version);
    for level in [1, 6, 9, -2, 0] {
        check_sampled(&go.run("whole", level, 0, &PLAIN), &format!("{name} level {level}"));
    }
    for level in [6, 9] {
        let recipe = check_sampled(&go.run("members", level, 101, &PLAIN), &format!("{name} level {level}"));
        assert!(recipe.member_count() > 400);
        assert!(recipe.write().len() < 6 * 500);
    }
}

#[test]
fn the_oldest_toolchain() {
    toolchain("1.9.7");
}

/// The last one before levels 1 and -2 changed.
#[test]
fn an_old_toolchain() {
    toolchain("1.14.15");
}

#[test]
fn the_last_classic_toolchain() {
    toolchain(CLASSIC);
}

#[test]
fn a_new_toolchain() {
    toolchain(NEW);
}

#[test]
fn other_levels_and_write_lengths() {
    for (program, version) in [(&STANDARD, CLASSIC), (&STANDARD_NEW, NEW)] {
        let (Some(go), name) = (program.as_ref(), standard(version)) else { continue };
        for level in [2, 3, 4, 5, 7, 8] {
            check_sampled(&go.run("whole", level, 32768, part()), &format!("{name} level {level}"));
        }
        for level in [6, 0] {
            let flushed = go.run("flushed", level, 333_333, part());
            assert!(check_sampled(&flushed, &format!("{name} level {level}")).write().len() < 60);
        }
    }
}

/// Flushes at regular places look like the blocks of pgzip, and most of these blocks are those of pgzip, byte for byte.
#[test]
fn flushes_where_pgzip_has_its_blocks() {
    let Some(go) = STANDARD_NEW.as_ref() else { return };
    for start in 1..7 {
        let plain = &PLAIN[start << 20..][..part().len()];
        let flushed = go.run("flushed", 6, 333_333, plain);
        check_sampled(&flushed, &format!("{} level 6", standard(NEW)));
    }
}

/// Nothing in the sample tells the encoders apart: its end does, and the usual level is a good guess.
#[test]
fn noise_longer_than_the_sample() {
    let mut draw = Draw(7);
    let mut plain: Vec<u8> = (0..5 << 20).map(|_| draw.next() as u8).collect();
    plain.extend_from_slice(&PLAIN[..1 << 20]);
    for (program, version) in [(&STANDARD, CLASSIC), (&STANDARD_NEW, NEW)] {
        let Some(go) = program.as_ref() else { continue };
        for level in [1, 6, 9] {
            let name = standard(version);
            check_sampled(&go.run("whole", level, 0, &plain), &format!("{name} level {level}"));
        }
    }
    if support::have("gzip", "--version") {
        for level in [1, 6, 9] {
            let stored = run("gzip", &["-n", &format!("-{level}")], &plain);
            check_sampled(&stored, &format!("GNU gzip level {level}"));
        }
        check(&run("gzip", &["-n", "-7"], &plain), "GNU gzip level 7");
    }
}

/// A release of klauspost/compress at levels 1, 5, 6 and 9, by itself and in pgzip. Which of the releases that make the
/// same of this input is named, the input decides.
fn klauspost(version: &str) {
    let Some(go) = Program::build("klauspost", Some(&format!("v{version}")), CLASSIC) else { return };
    for level in [1, 5, 6, 9] {
        let end = format!("level {level}");
        check_release(&go.run("gzip", level, 0, part()), "klauspost", &end);
        check_release(&go.run("pgzip", level, 1 << 20, part()), "pgzip 1 MiB blocks, klauspost", &end);
    }
    for level in [1, 5, 6] {
        let stored = go.run("pgzip", level, 256 << 10, part());
        check_release(&stored, "pgzip 256 KiB blocks, klauspost", &format!("level {level}"));
    }
}

#[test]
fn klauspost_1_15_11() {
    klauspost("1.15.11");
}

#[test]
fn klauspost_1_17_11() {
    klauspost("1.17.11");
}

#[test]
fn klauspost_1_18_0() {
    klauspost("1.18.0");
}

#[test]
fn klauspost_1_18_1() {
    klauspost("1.18.1");
}

#[test]
fn klauspost_1_18_2() {
    klauspost("1.18.2");
}

#[test]
fn klauspost_1_20() {
    klauspost("1.20.3");
}

#[test]
fn other_levels_and_lengths_of_klauspost() {
    let Some(go) = Program::build("klauspost", Some("v1.18.2"), CLASSIC) else { return };
    for level in [-2, 0, 2, 3, 4, 7, 8] {
        check_sampled(&go.run("gzip", level, 0, part()), &format!("klauspost ≥ 1.18.2 level {level}"));
    }
    check_sampled(&go.run("gzip", 5, 333_333, part()), "klauspost ≥ 1.18.2 level 5");
    let method = "pgzip 1 MiB blocks, klauspost ≥ 1.18.2 level 5";
    check_sampled(&go.run("pgzip", -1, 1 << 20, &PLAIN), method);
    for length in [0, 1, 1 << 20, 2 << 20] {
        let recipe = check_sampled(&go.run("pgzip", -1, 1 << 20, &PLAIN[..length]), method);
        assert_eq!(recipe.plain_len(), length as u64);
    }
}

/// A tar of thousands of small files and some larger ones.
fn tar() -> Vec<u8> {
    let (sources, mut draw) = (sources(), Draw(2));
    let mut tar = tar::Builder::new(Vec::new());
    for number in 0..3000 {
        let source = &sources[draw.next() as usize % sources.len()];
        let start = draw.next() as usize % source.len();
        let end = source.len().min(start + draw.next() as usize % 6000);
        let large = number % 500 == 499;
        let content = if large { &PLAIN[..number << 10] } else { &source[start..end] };
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(1);
        header.set_cksum();
        tar.append_data(&mut header, format!("usr/share/{}/file-{number}", number % 37), content).unwrap();
    }
    tar.into_inner().unwrap()
}

fn estargz(version: &str) {
    let Some(go) = Program::build("estargz", None, version) else { return };
    let (tar, name) = (tar(), standard(version));
    for level in [6, 9] {
        let method = format!("{name} level {level}");
        for mode in ["append", "build"] {
            let recipe = check_sampled(&go.run(mode, level, 0, &tar), &method);
            assert!(recipe.member_count() > 3000);
            assert!(recipe.write().len() < 6000);
        }
    }
    // Flushes stand inside members, wherever a file begins: what is behind the sample only a scan finds.
    let recipe = check(&go.run("build", 6, 50_000, &tar), &format!("{name} level 6"));
    assert!(recipe.member_count() > 20);
}

#[test]
fn estargz_of_a_classic_toolchain() {
    estargz(CLASSIC);
}

#[test]
fn estargz_of_a_new_toolchain() {
    estargz(NEW);
}

#[test]
fn members_of_different_make() {
    let Some(go) = STANDARD.as_ref() else { return };
    if !support::have("gzip", "--version") {
        return;
    }
    let piece = &PLAIN[..1 << 20];
    let gzip = |level: &str, plain: &[u8]| run("gzip", &["-n", level], plain);
    let (usual, best, stored) = (gzip("-6", piece), gzip("-9", piece), go.run("whole", 6, 0, piece));
    check_sampled(&[&usual[..], &best, &usual].concat(), "GNU gzip level 6");
    check_sampled(&[&usual[..], &stored, &best].concat(), "GNU gzip level 6");
    // The second is behind the sample of the first.
    check_sampled(&[&gzip("-6", part())[..], &stored].concat(), "GNU gzip level 6");
}
