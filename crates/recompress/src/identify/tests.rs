//! What is found depends on the stream alone, and bounds hold.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::io::Read;
use std::num::NonZeroUsize;

use super::budget::Budget;
use super::whole::{identify, watch};
use super::*;
use crate::encode::MemberEncoder;
use crate::go::{self, Cuts, Release};
use crate::klauspost::{self, Epoch, Settings};
use crate::method::Method;
use crate::pgzip::BlockSize;
use crate::recipe::{Flushes, Inside};
use crate::replay;
use crate::zlib::{self, MemLevel, PigzParams};

/// Letters, and stretches that were there before.
fn text(length: usize, seed: u32) -> Vec<u8> {
    let (mut state, mut out) = (seed, Vec::with_capacity(length + 300));
    while out.len() < length {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (back, count) = ((state >> 8) as usize % 40_000, (state >> 24) as usize % 40);
        if back >= count && back < out.len() && state & 64 == 0 {
            let start = out.len() - back;
            out.extend_from_within(start..start + count);
        }
        out.push(b'a' + (state >> 16) as u8 % 20);
    }
    out.truncate(length);
    out
}

fn member(method: &Method, flushes: &Flushes, xfl: u8, system: u8, plain: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, xfl, system];
    let mut encoder = MemberEncoder::new(method, flushes);
    encoder.write(plain, &mut out);
    encoder.finish(&mut out);
    out.extend(crc32fast::hash(plain).to_le_bytes());
    out.extend((plain.len() as u32).to_le_bytes());
    out
}

fn go(level: i8) -> Method {
    Method::go(go::Level::try_from(level).unwrap())
}

/// Reads in pieces of changing, small length.
struct Pieces<'a>(&'a [u8], usize);

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.1 = self.1 * 31 % 1009 + 1;
        let length = buffer.len().min(self.1);
        self.0.read(&mut buffer[..length])
    }
}

fn sampled(stored: &[u8], plain_bytes: usize) -> Identified {
    let mut identifier = Identifier::new(Sampling { plain_bytes });
    watch(&mut &stored[..], &mut identifier).unwrap();
    identifier.finish(None)
}

/// The sampled result, however the bytes come and whoever runs the trial.
fn found(stored: &[u8], plain_bytes: usize) -> Vec<String> {
    let whole = sampled(stored, plain_bytes);
    let mut identifier = Identifier::new(Sampling { plain_bytes });
    watch(&mut Pieces(stored, 7), &mut identifier).unwrap();
    let verdict = identifier.take_trial().map(Trial::run);
    assert!(identifier.take_trial().is_none());
    assert_eq!(identifier.finish(verdict), whole);
    whole.candidates.iter().map(|recipe| recipe.method().to_string()).collect()
}

fn methods() -> Vec<(Method, u8, u8)> {
    let settings = Settings::new(Epoch::B2, klauspost::Level::L5);
    let level = zlib::Level::DEFAULT;
    vec![
        (go(6), 0, 255),
        (go(1), 4, 255),
        (Method::Klauspost(Settings::new(Epoch::A2, klauspost::Level::L6)), 0, 255),
        (Method::Pgzip { block: BlockSize::new(40_000).unwrap(), settings }, 0, 255),
        (Method::zlib(level, MemLevel::DEFAULT), 0, 255),
        (Method::GnuGzip { level }, 0, 3),
        (Method::Pigz(PigzParams::default()), 0, 3),
    ]
}

#[test]
fn the_result_does_not_depend_on_the_calls() {
    let plain = text(400_000, 1);
    for (method, xfl, system) in methods() {
        let stored = member(&method, &Flushes::default(), xfl, system, &plain);
        for limit in [300_000, 399_999, 400_000, 1 << 20] {
            let found = found(&stored, limit);
            assert_eq!(found.first(), Some(&method.to_string()), "{limit} {found:?}");
        }
        let two = [&stored[..], &stored].concat();
        for limit in [399_999, 400_000, 400_001] {
            assert_eq!(found(&two, limit).first(), Some(&method.to_string()), "{limit}");
        }
    }
}

#[test]
fn a_trial_comes_once_and_only_when_the_sample_is_complete() {
    let (plain, none) = (text(100_000, 2), Flushes::default());
    let stored = member(&go(6), &none, 0, 255, &plain);
    let mut identifier = Identifier::new(Sampling { plain_bytes: 100_000 });
    identifier.stored(&stored);
    identifier.plain(&plain);
    assert!(identifier.take_trial().is_none());
    identifier.member_end();
    identifier.stored(&stored);
    identifier.plain(&plain[..1]);
    let trial = identifier.take_trial().unwrap();
    assert!(identifier.take_trial().is_none());
    identifier.plain(&plain[1..]);
    identifier.member_end();
    let recipe = &identifier.finish(Some(trial.run())).candidates[0];
    assert_eq!((recipe.member_count(), recipe.plain_len()), (2, 200_000));
}

#[test]
fn a_lost_verdict_is_no_candidate() {
    let plain = text(100_000, 3);
    let stored = member(&go(6), &Flushes::default(), 0, 255, &plain);
    let mut identifier = Identifier::new(Sampling { plain_bytes: 50_000 });
    watch(&mut &stored[..], &mut identifier).unwrap();
    assert!(identifier.take_trial().is_some());
    assert!(identifier.finish(None).candidates.is_empty());
}

#[test]
fn classes_behind_the_sample_are_sampled_too() {
    let (plain, none) = (text(150_000, 4), Flushes::default());
    let gnu = Method::GnuGzip { level: zlib::Level::DEFAULT };
    let parts = [
        member(&go(6), &none, 0, 255, &plain),
        member(&go(6), &Flushes::at_end(1), 0, 3, b""),
        member(&gnu, &none, 0, 3, &plain),
        member(&go(9), &none, 2, 255, &plain[..70_000]),
        member(&gnu, &none, 0, 3, &plain),
    ];
    let stored = parts.concat();
    assert!(!found(&stored, 100_000).is_empty());
    let recipe = identify(|| Ok(&stored[..]), NonZeroUsize::MIN).unwrap().unwrap();
    assert_eq!(recipe.member_count(), 5);
}

#[test]
fn flushes_inside_members() {
    let plain = text(400_000, 5);
    let every = Flushes { inside: Inside::Every(70_000.try_into().unwrap()), end: 2 };
    let stored = member(&go(6), &every, 0, 255, &plain);
    let found = sampled(&stored, 200_000).candidates;
    let mut again = Vec::new();
    replay(&found[0], &plain[..], &mut again, NonZeroUsize::MIN).unwrap();
    assert!(again == stored);

    let odd = Flushes { inside: Inside::At(vec![0, 5, 5, 100_000, 100_000, 390_000]), end: 1 };
    let stored = member(&go(6), &odd, 0, 255, &plain);
    assert!(sampled(&stored, 200_000).candidates.is_empty());
    assert_eq!(sampled(&stored, 400_000).candidates.len(), 1);
    assert!(identify(|| Ok(&stored[..]), NonZeroUsize::MIN).unwrap().is_some());
}

/// A window that moved early because of a write's end leaves a trace, and the cut is found again.
#[test]
fn cuts_of_writes() {
    // A match that only the window that has not moved yet still holds.
    let mut plain = text(200_000, 6);
    plain.copy_within(32_512..32_528, 65_274);
    let with = |cuts| Method::Go { level: go::Level::DEFAULT, release: Release::Go1_15, cuts };
    let none = Flushes::default();
    let mut told_apart = 0;
    for at in (65_274..65_536).step_by(29) {
        let cut = with(Cuts::At(BTreeSet::from([at])));
        let stored = member(&cut, &none, 0, 255, &plain);
        told_apart += u32::from(stored != member(&with(Cuts::Harmless), &none, 0, 255, &plain));
        let recipe = identify(|| Ok(&stored[..]), NonZeroUsize::MIN).unwrap();
        assert!(recipe.is_some(), "{at}");
    }
    assert!(told_apart > 0, "the case does not show what it is for");
}

#[test]
fn millions_of_empty_members_are_one_row() {
    let empty = member(&go(6), &Flushes::default(), 0, 255, b"");
    let mut identifier = Identifier::new(Sampling::default());
    let count = 1_000_000;
    for _ in 0..count {
        identifier.stored(&empty);
        identifier.member_end();
    }
    let found = identifier.finish(None).candidates;
    assert_eq!((found.len(), found[0].member_count()), (1, count));
    assert!(found[0].write().len() < 40);
}

#[test]
fn too_many_different_members_are_unknown() {
    let mut empty = member(&go(6), &Flushes::default(), 0, 255, b"");
    let mut identifier = Identifier::new(Sampling::default());
    for time in 0..200_000_u32 {
        empty[4..8].copy_from_slice(&time.to_le_bytes());
        identifier.stored(&empty);
        identifier.member_end();
    }
    assert!(identifier.finish(None).candidates.is_empty());
}

#[test]
fn what_is_no_member() {
    let stored = member(&go(6), &Flushes::default(), 0, 255, b"plain");
    for (bytes, ends) in [(&b"junk"[..], 1), (&stored[..12], 1), (b"", 1), (b"", 0), (&stored, 0)] {
        let mut identifier = Identifier::new(Sampling::default());
        identifier.stored(bytes);
        identifier.plain(b"plain");
        (0..ends).for_each(|_| identifier.member_end());
        assert!(identifier.finish(None).candidates.is_empty(), "{bytes:?}");
    }
}

/// Bytes in which no encoder finds anything: all look alike.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let step = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..length).map(step).collect()
}

#[test]
fn further_classes_share_a_budget() {
    let none = Flushes::default();
    let stream = |classes: u8, length: usize| -> Vec<u8> {
        let of_class = |class: u8| member(&go(6), &none, class, 255, &noise(length, class.into()));
        (0..classes).flat_map(of_class).collect()
    };
    // As tools write them.
    for (classes, length) in [(2, 300_000), (3, 100_000), (4, 20_000), (4, 500)] {
        assert!(!found(&stream(classes, length), 4 << 20).is_empty(), "{classes} {length}");
    }
    let spent = |left: u64| {
        let mut identifier = Identifier::new(Sampling { plain_bytes: 100_000 });
        watch(&mut &stream(1, 300_000)[..], &mut identifier).unwrap();
        let verdict = identifier.take_trial().unwrap().run_within(None, Budget::of(left));
        identifier.finish(Some(verdict)).candidates.is_empty()
    };
    assert!(spent(1) && !spent(100 << 20));
    // However short they are.
    assert!(found(&stream(5, 1), 4 << 20).is_empty());
    // Before the end of the sample or behind it.
    assert!(found(&stream(5, 5000), 20_000).is_empty());
}
