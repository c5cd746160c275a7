//! What the tests with real encoders share: an input like a layer, programs that are run, and the check itself.
//!
//! A program that is missing is a reason to skip, which is printed, except in CI (`CI=true`).

// Every test binary compiles all of this and uses a part.
#![allow(dead_code)]
// Test code: a panic is how a test reports.
#![allow(clippy::unwrap_used)]

pub mod go;

use std::io::{Read, Write};
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use flate2::bufread::GzDecoder;
use flate2::read::MultiGzDecoder;
use nydus_convert_recompress::{Identified, Identifier, Recipe, Sampling, identify, replay};

pub const ONE: NonZeroUsize = NonZeroUsize::MIN;
pub const THREE: NonZeroUsize = NonZeroUsize::new(3).unwrap();

/// Something like a layer: sources, repeated with changes, with random and empty stretches between.
pub static PLAIN: LazyLock<Vec<u8>> = LazyLock::new(|| plain(12 << 20));

/// A part of it that is longer than the sample.
pub fn part() -> &'static [u8] {
    &PLAIN[..(4 << 20) + 777_777]
}

/// Numbers without a pattern, always the same.
pub struct Draw(pub u64);

impl Draw {
    pub fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32
    }
}

fn plain(length: usize) -> Vec<u8> {
    let files = sources();
    let (mut draw, mut out) = (Draw(1), Vec::with_capacity(length + (1 << 20)));
    while out.len() < length {
        for file in &files {
            let mut content = file.clone();
            let step = 200 + draw.next() as usize % 2000;
            content.iter_mut().step_by(step).for_each(|byte| *byte = draw.next() as u8);
            let mut header = format!("layer/{:08}/{:o}", draw.next(), content.len()).into_bytes();
            header.resize(512, 0);
            out.extend(header);
            out.extend(content);
            match draw.next() % 8 {
                0 => out.extend((0..draw.next() % 60_000).map(|_| draw.next() as u8)),
                1 => out.resize(out.len() + draw.next() as usize % 50_000, 0),
                _ => {}
            }
            out.resize(out.len().next_multiple_of(512), 0);
        }
    }
    out.truncate(length);
    out
}

/// Sources of this crate as they once were, each behind its length: input that does not change when the sources do.
/// With other input some streams are not recognised; the README tells which.
pub fn sources() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    GzDecoder::new(&include_bytes!("../vectors/sources.gz")[..]).read_to_end(&mut all).unwrap();
    let (mut rest, mut files) = (&all[..], Vec::new());
    while let Some((length, behind)) = rest.split_first_chunk() {
        let (file, behind) = behind.split_at(u32::from_le_bytes(*length) as usize);
        files.push(file.to_vec());
        rest = behind;
    }
    files
}

/// Says why a test is skipped; in CI that is a failure.
pub fn skip(reason: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{reason}");
    eprintln!("skipped: {reason}");
}

/// Whether a program can be run here.
pub fn have(program: &str, version: &str) -> bool {
    let found = Command::new(program).arg(version).output().is_ok_and(|output| output.status.success());
    if !found {
        skip(&format!("{program} is missing"));
    }
    found
}

/// What a program writes when it is given `plain`.
pub fn run(program: impl AsRef<Path>, args: &[&str], plain: &[u8]) -> Vec<u8> {
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

/// What a watcher beside a decoder finds.
pub fn sampled(stored: &[u8]) -> Identified {
    let mut identifier = Identifier::new(Sampling::default());
    let (mut rest, mut piece) = (stored, vec![0; 50_000]);
    while rest.starts_with(&[0x1f, 0x8b, 8]) {
        let mut decoder = GzDecoder::new(rest);
        loop {
            let count = decoder.read(&mut piece).unwrap();
            let left = *decoder.get_ref();
            identifier.stored(&rest[..rest.len() - left.len()]);
            identifier.plain(&piece[..count]);
            rest = left;
            if count == 0 {
                break;
            }
        }
        identifier.member_end();
    }
    identifier.stored(rest);
    let verdict = identifier.take_trial().map(|trial| trial.run());
    identifier.finish(verdict)
}

/// Finds the recipe, and makes the stream again from nothing but its bytes.
pub fn check(stored: &[u8], method: &str) -> Recipe {
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

/// As [`check`], and a watcher finds the same from its sample and the ends of the members.
pub fn check_sampled(stored: &[u8], method: &str) -> Recipe {
    let recipe = check(stored, method);
    assert!(sampled(stored).candidates.contains(&recipe), "{method}: the sample tells something else");
    recipe
}

/// As [`check_sampled`], where several releases of an encoder make the same bytes of this input and any of them may be
/// named: the method begins and ends like this.
pub fn check_release(stored: &[u8], begin: &str, end: &str) {
    let recipe = identify(|| Ok(stored), THREE).unwrap();
    let method = recipe.unwrap_or_else(|| panic!("{begin} … {end}: not recognised")).method().to_string();
    assert!(method.starts_with(begin) && method.ends_with(end), "{begin} … {end}: {method}");
    check_sampled(stored, &method);
}
