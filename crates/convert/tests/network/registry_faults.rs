//! Registries and networks on bad days: a conversion ends right or says what is wrong, and what has a name is whole.
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::faults::{Fault, Proxy, Weather};
use crate::support::library::{chain, push};
use crate::support::noise::noise;
use crate::support::oci::{Layer, Layout};
use crate::support::registry::Registry;
use crate::support::require;
use crate::support::tars::Tar;
use nydus_convert::oci::registry::{RegistryOptions, Retry};
use nydus_convert::oci::{
    LayoutSink, LayoutSource, Reference, RegistrySink, RegistrySource, Sink, Source, copy_image,
};
use nydus_convert::{Error, Kind, Resources, Run, Stop, ToNydusOptions, ToNydusReport, to_nydus};

/// Quick tries, small parts: much happens in little time.
fn hasty() -> RegistryOptions {
    RegistryOptions {
        retry: Retry { times: 5, delay: Duration::from_millis(1) },
        timeout: Duration::from_secs(20),
        part: 24 << 10,
        ..RegistryOptions::default()
    }
}

/// Three layers of bytes that do not compress, one smaller than a part, one of several parts.
fn write_image(dir: &Path, seed: u64) {
    let layer = |number: u64, length: usize| {
        let tar = Tar::new().file(&format!("file{number}"), noise(seed * 10 + number, length));
        Layer::new(tar.finish())
    };
    Layout::of([layer(1, 5_000), layer(2, 150_000), layer(3, 40_000)]).write(dir);
}

fn parse(text: &str) -> Reference {
    text.parse().unwrap()
}

fn source(
    reference: &Reference,
    options: &RegistryOptions,
) -> Result<RegistrySource, nydus_convert::oci::Error> {
    match reference {
        Reference::Registry(name) => RegistrySource::open(name, options),
        _ => panic!("{reference} is in no registry"),
    }
}

fn sink(reference: &Reference, options: &RegistryOptions) -> Box<dyn Sink> {
    match reference {
        Reference::Registry(name) => Box::new(RegistrySink::create(name, None, options).unwrap()),
        _ => panic!("{reference} is in no registry"),
    }
}

fn convert(from: &str, to: &str, options: &RegistryOptions) -> Result<ToNydusReport, Error> {
    let (from, to) = (parse(from), parse(to));
    let opened = source(&from, options)?;
    let sink = sink(&to, options);
    let stop = Stop::new();
    let run = Run::new(Resources::default(), &(), &stop);
    to_nydus(&opened, sink, &ToNydusOptions::default(), &run)
}

/// The digest that a name leads to; everything below it is there and is what it should be.
fn whole(name: &str) -> String {
    let source = source(&parse(name), &RegistryOptions::default()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let sink = LayoutSink::create(dir.path().join("layout"), Some("latest")).unwrap();
    copy_image(&source, &sink, source.root()).unwrap_or_else(|error| panic!("{name}: {}", chain(&error)));
    source.root().digest.to_string()
}

#[test]
fn a_hundred_bad_days() {
    require!("docker-registry");
    let registry = Registry::start();
    let direct = registry.host();
    let dir = tempfile::tempdir().unwrap();
    for (name, seed) in [("image", 1), ("old", 2)] {
        write_image(&dir.path().join(name), seed);
    }
    push(&dir.path().join("image"), &format!("{direct}/source/image:1"));
    let right =
        convert(&format!("{direct}/source/image:1"), &format!("{direct}/right/image:1"), &hasty()).unwrap();
    let mut ends: BTreeMap<String, u32> = BTreeMap::new();
    let mut faults: BTreeMap<(Fault, String), u32> = BTreeMap::new();
    for seed in 1..=100 {
        let target = format!("{direct}/run{seed}/image:tag");
        push(&dir.path().join("old"), &target);
        let before = whole(&target);
        let weather = Weather {
            seed,
            per_mille: [20, 60, 120, 250][seed as usize % 4],
            end: (seed % 5 == 0).then_some(seed % 60),
            only: None,
        };
        let proxy = Proxy::start(&direct, weather);
        let host = proxy.host();
        let result =
            convert(&format!("{host}/source/image:1"), &format!("{host}/run{seed}/image:tag"), &hasty());
        for fault in proxy.happened() {
            *faults.entry(fault).or_default() += 1;
        }
        drop(proxy);
        let after = whole(&target);
        let end = match &result {
            Ok(report) => {
                assert_eq!((&report.digest, &after), (&right.digest, &right.digest), "seed {seed}");
                "right".to_owned()
            }
            Err(error) => {
                let kind = error.kind();
                assert!(
                    matches!(kind, Kind::Access | Kind::Network),
                    "seed {seed}: {kind:?}: {}",
                    chain(error)
                );
                // Only the very last answer can be lost after the tag has moved.
                assert!(after == before || after == right.digest, "seed {seed}: {after}");
                assert!(weather.end.is_none() || after == before, "seed {seed}");
                format!("{kind:?}")
            }
        };
        *ends.entry(end).or_default() += 1;
    }
    println!("{ends:?}\n{faults:?}");
    assert!(ends.get("right").is_some_and(|right| *right >= 50), "{ends:?}");
    assert!(ends.contains_key("Access") && ends.contains_key("Network"), "{ends:?}");
    // Every fault has happened, those that befall anything while reading and while writing.
    let reading = [Fault::Truncated, Fault::Flipped, Fault::Drip];
    let writing = [Fault::HalfSent, Fault::Vanished];
    let both = [Fault::Expired, Fault::TooMany, Fault::Server, Fault::Reset, Fault::LostAnswer];
    let happened = |fault: &Fault, methods: &[&str]| {
        methods.iter().any(|method| faults.contains_key(&(*fault, (*method).to_owned())))
    };
    for fault in reading.iter().chain(&both) {
        assert!(happened(fault, &["GET"]), "{fault:?}: {faults:?}");
    }
    for fault in writing.iter().chain(&both) {
        assert!(happened(fault, &["PUT", "PATCH"]), "{fault:?}: {faults:?}");
    }
}

/// Our own wait is so long that this ends only if the registry's wait counts.
#[test]
fn the_registry_says_when_to_try_again() {
    require!("docker-registry");
    let registry = Registry::start();
    let dir = tempfile::tempdir().unwrap();
    write_image(&dir.path().join("image"), 1);
    push(&dir.path().join("image"), &format!("{}/source/image:1", registry.host()));
    let patient = Retry { times: 20, delay: Duration::from_secs(24 * 3600) };
    let options = RegistryOptions { retry: patient, ..hasty() };
    // Threads draw in any order: which requests are met is chance.
    let mut met = BTreeSet::new();
    for seed in 1..=30 {
        let weather = Weather { seed, per_mille: 300, only: Some(Fault::TooMany), end: None };
        let proxy = Proxy::start(&registry.host(), weather);
        let host = proxy.host();
        convert(&format!("{host}/source/image:1"), &format!("{host}/target{seed}/image:1"), &options)
            .unwrap();
        met.extend(proxy.happened().into_iter().map(|(_, of)| of));
        if met.contains("GET") && met.contains("PUT") {
            return;
        }
    }
    panic!("only {met:?}");
}

#[test]
fn who_watches_a_tag_never_sees_half_an_image() {
    require!("docker-registry");
    let registry = Registry::start();
    let host = registry.host();
    let dir = tempfile::tempdir().unwrap();
    for seed in 1..=5 {
        let layout = dir.path().join(seed.to_string());
        write_image(&layout, seed);
        push(&layout, &format!("{host}/source/image:{seed}"));
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut seen = BTreeMap::new();
            while !done.load(Ordering::Relaxed) {
                let name = parse(&format!("{host}/target/image:tag"));
                if source(&name, &RegistryOptions::default()).is_ok() {
                    *seen.entry(whole(&format!("{host}/target/image:tag"))).or_insert(0) += 1;
                }
            }
            seen
        });
        for turn in 0..50 {
            convert(
                &format!("{host}/source/image:{}", turn % 5 + 1),
                &format!("{host}/target/image:tag"),
                &hasty(),
            )
            .unwrap();
        }
        done.store(true, Ordering::Relaxed);
        let seen = watcher.join().unwrap();
        assert!(seen.len() > 1, "{seen:?}");
    });
}

#[test]
fn eight_at_once() {
    require!("docker-registry");
    let registry = Registry::start();
    let host = registry.host();
    let dir = tempfile::tempdir().unwrap();
    write_image(&dir.path().join("image"), 1);
    push(&dir.path().join("image"), &format!("{host}/source/image:1"));
    let staging = dir.path().join("staging");
    std::fs::create_dir(&staging).unwrap();
    let options = RegistryOptions { staging: Some(staging.clone()), ..hasty() };
    let digests: Vec<String> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..8)
            .map(|number| {
                let (host, options) = (&host, &options);
                scope.spawn(move || {
                    convert(
                        &format!("{host}/source/image:1"),
                        &format!("{host}/target/image:{number}"),
                        options,
                    )
                })
            })
            .collect();
        runs.into_iter().map(|run| run.join().unwrap().unwrap().digest).collect()
    });
    for (number, digest) in digests.iter().enumerate() {
        assert_eq!((digest, digest), (&digests[0], &whole(&format!("{host}/target/image:{number}"))));
    }
    assert_eq!(std::fs::read_dir(&staging).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn eight_at_once_into_one_layout() {
    require!("docker-registry");
    let registry = Registry::start();
    let host = registry.host();
    let dir = tempfile::tempdir().unwrap();
    for seed in 1..=2 {
        let layout = dir.path().join(seed.to_string());
        write_image(&layout, seed);
        push(&layout, &format!("{host}/source/image:{seed}"));
    }
    let target = dir.path().join("target");
    let name = |number: usize| format!("run{number}");
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (host, target) = (&host, &target);
            scope.spawn(move || {
                let from = parse(&format!("{host}/source/image:{}", number % 2 + 1));
                let opened = source(&from, &hasty()).unwrap();
                let sink = LayoutSink::create(target, Some(&name(number))).unwrap();
                let stop = Stop::new();
                let run = Run::new(Resources::default(), &(), &stop);
                to_nydus(&opened, Box::new(sink), &ToNydusOptions::default(), &run).unwrap();
            });
        }
    });
    for number in 0..8 {
        let written = LayoutSource::open(&target, Some(&name(number)), None).unwrap();
        let copy = LayoutSink::create(dir.path().join("copy"), Some(&name(number))).unwrap();
        copy_image(&written, &copy, written.root()).unwrap();
    }
    let mut left: Vec<_> = std::fs::read_dir(&target)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["blobs", "index.json", "oci-layout"], "nothing else is left");
}
