//! Conversions that are killed: what was done is not done again, the store stays sound, the targets whole.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::cli::{convert, latest, ok};
use crate::support::oci::{Compression, Layer, Layout};
use crate::support::registry::Registry;
use crate::support::store::{conversion, convert_with, from_store, storing};
use crate::support::tars::Tar;
use nydus_convert::store::{ChunkStore, PrunePolicy, VerifyOptions};
use tempfile::tempdir;

/// Numbers by a seed, xorshift64*.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % sides
    }
}

/// An image of `layers` layers with some of its files in common with those of other seeds.
fn image(dir: &Path, seed: u64, layers: u64) -> PathBuf {
    let layout = dir.join(format!("image-{seed}"));
    let layer = |layer: u64| {
        let mut tar = Tar::new();
        for file in 0..30 {
            // Every third file is the same in all images.
            let of = if file % 3 == 0 { 0 } else { seed };
            let mut dice = Dice(1 + of * 1_000_000 + layer * 1000 + file);
            let words: Vec<u8> = (0..20_000).flat_map(|_| (dice.roll(500) as u16).to_le_bytes()).collect();
            tar = tar.file(&format!("{layer}/{file}"), words);
        }
        Layer { compression: Compression::None, ..Layer::new(tar.finish()) }
    };
    Layout::of((0..layers).map(layer)).write(&layout);
    layout
}

fn start(store: &Path, source: &Path, target: &Path) -> Child {
    conversion(store, source, target, &[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Nothing is wrong in the store, and nothing is left in it of those that were killed.
fn is_sound(store: &Path) {
    let store = ChunkStore::open(store).unwrap();
    let report = store.verify(VerifyOptions::default()).unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    store.prune(&PrunePolicy::default()).unwrap();
    let swept = store.prune(&PrunePolicy::default()).unwrap();
    assert_eq!((swept.unfinished_bytes, swept.pruned.len()), (0, 0));
    let report = store.verify(VerifyOptions::default()).unwrap();
    assert!(report.problems.is_empty() && report.unlisted == 0, "{report:?}");
}

/// Three conversions at a time share a store, and are killed at random moments, 200 times.
#[test]
fn two_hundred_kills() {
    const KILLS: u32 = 200;
    let dir = tempdir().unwrap();
    let at = |name: String| dir.path().join(name);
    let store = at("store".to_owned());
    let sources: Vec<PathBuf> = (1..=3).map(|seed| image(dir.path(), seed, 3)).collect();
    let started = Instant::now();
    let expected: Vec<_> = sources
        .iter()
        .enumerate()
        .map(|(n, source)| convert(source, &at(format!("none-{n}")), &[]))
        .collect();
    // So long a conversion takes about; a kill comes at any time in it, and sometimes too late.
    let usual = started.elapsed() / 3;
    let mut dice = Dice(7);
    let mut kills = 0;
    let mut round = 0;
    while kills < KILLS {
        round += 1;
        // A store that has everything gives no time to kill anybody.
        if round % 10 == 0 {
            is_sound(&store);
            fs::remove_dir_all(&store).unwrap();
        }
        let mut running: Vec<Child> = sources
            .iter()
            .enumerate()
            .map(|(n, source)| start(&store, source, &at(format!("target-{n}"))))
            .collect();
        for child in &mut running {
            sleep(usual * u32::try_from(dice.roll(1000)).unwrap() / 1000);
            child.kill().unwrap();
            kills += u32::from(child.wait().unwrap().code().is_none());
        }
    }
    is_sound(&store);
    for (n, (source, expected)) in sources.iter().zip(&expected).enumerate() {
        let target = at(format!("target-{n}"));
        let report = convert_with(&store, source, &target, &[]);
        assert_eq!(report["digest"], expected["digest"]);
        ok(["check", "-q", &latest(&target)]);
    }
    is_sound(&store);
}

/// Eight processes fill one store and one registry at once.
#[test]
fn eight_at_once() {
    crate::support::require!("docker-registry");
    let dir = tempdir().unwrap();
    let store = dir.path().join("store");
    let source = image(dir.path(), 1, 4);
    let registry = Registry::start();
    let name = |number: usize| format!("{}/target:{number}", registry.host());
    let running: Vec<Child> = (0..8)
        .map(|number| {
            let mut command = storing();
            command.args(["to-nydus", "-q", &latest(&source), &name(number), "--store"]).arg(&store);
            command.stdout(Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut child in running {
        assert!(child.wait().unwrap().success());
    }
    let expected = convert(&source, &dir.path().join("none"), &[])["digest"].as_str().unwrap().to_owned();
    for number in 0..8 {
        let found = ok(["check", "-q", &name(number)]).stdout;
        assert!(found.trim_end().ends_with(&expected), "{found}");
    }
    assert_eq!(fs::read_dir(store.join("unfinished")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(store.join("sessions")).unwrap().count(), 0);
    is_sound(&store);
}

/// Layers that were finished before a kill are not converted again.
#[test]
fn a_killed_conversion_goes_on() {
    let dir = tempdir().unwrap();
    let (store, target) = (dir.path().join("store"), dir.path().join("target"));
    let source = image(dir.path(), 1, 12);
    let mut child = start(&store, &source, &target);
    let finished = || fs::read_dir(store.join("layers")).map_or(0, Iterator::count);
    let started = Instant::now();
    while finished() < 3 && child.try_wait().unwrap().is_none() {
        assert!(started.elapsed() < Duration::from_secs(60));
        sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let report = convert_with(&store, &source, &target, &[]);
    assert!(from_store(&report) >= 2, "{}", from_store(&report));
    let expected = convert(&source, &dir.path().join("none"), &[]);
    assert_eq!(report["digest"], expected["digest"]);
    is_sound(&store);
}
