//! What holds for every level whatever the input: it inflates again, and the cutting of input does not show.

#![allow(clippy::unwrap_used)]

use std::io::Read;
use std::num::NonZeroU64;

use flate2::read::DeflateDecoder;
use proptest::prelude::*;

use super::*;
use crate::bytes::common_prefix;

fn encode(level: Level, cuts: Cuts, pieces: &[&[u8]], flush: bool) -> Vec<u8> {
    let mut encoder = GoFlate::with(level, Release::default(), cuts);
    let mut out = Vec::new();
    for piece in pieces {
        encoder.write(piece, &mut out);
        if flush {
            encoder.flush(&mut out);
        }
    }
    encoder.finish(&mut out);
    out
}

fn inflate(deflated: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    DeflateDecoder::new(deflated).read_to_end(&mut plain).unwrap();
    plain
}

/// Text with matches of all kinds, made from a few numbers: noise, runs, copies from far and near.
fn text(parts: &[(u8, u16, u32)]) -> Vec<u8> {
    let mut text = Vec::new();
    for &(kind, length, seed) in parts {
        let length = usize::from(length);
        match kind % 4 {
            0 => {
                let mut state = seed;
                text.extend((0..length % 3000).map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 24) as u8
                }));
            }
            1 => text.resize(text.len() + length, seed as u8),
            _ => {
                let distance = 1 + seed as usize % 40000;
                let from = text.len().saturating_sub(distance);
                let period: Vec<u8> = text[from..].iter().copied().chain([seed as u8]).collect();
                text.extend(period.iter().cycle().take(length % 5000));
            }
        }
    }
    text
}

prop_compose! {
    fn any_text()(parts in prop::collection::vec((any::<u8>(), any::<u16>(), any::<u32>()), 0..60)) -> Vec<u8> {
        text(&parts)
    }
}

prop_compose! {
    fn any_level()(index in 0..Level::ALL.len()) -> Level {
        Level::ALL[index]
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_goes_in_comes_out(
        plain in any_text(), level in any_level(), piece in 1_usize..100_000, flush: bool, cut in 1_u64..70_000,
    ) {
        let pieces: Vec<&[u8]> = plain.chunks(piece).collect();
        prop_assert_eq!(&inflate(&encode(level, Cuts::Harmless, &pieces, flush)), &plain);
        let cuts = Cuts::Every(NonZeroU64::new(cut).unwrap());
        prop_assert_eq!(&inflate(&encode(level, cuts, &pieces, flush)), &plain);
    }

    #[test]
    fn pieces_do_not_show(plain in any_text(), level in any_level(), piece in 1_usize..70_000, cut in 1_u64..70_000) {
        let pieces: Vec<&[u8]> = plain.chunks(piece).collect();
        for cuts in [Cuts::Harmless, Cuts::Every(NonZeroU64::new(cut).unwrap()), Cuts::At([65535, 98303].into())] {
            prop_assert_eq!(
                encode(level, cuts.clone(), &pieces, false),
                encode(level, cuts, &[plain.as_slice()], false)
            );
        }
    }

    #[test]
    fn what_came_out_stays(plain in any_text(), level in any_level()) {
        // A stream recognised by its beginning must not depend on what follows.
        let (mut encoder, mut out) = (GoFlate::new(level), Vec::new());
        encoder.write(&plain, &mut out);
        let more = encode(level, Cuts::Harmless, &[&plain, &plain[..plain.len() / 2]], false);
        prop_assert!(more.starts_with(&out));
    }

    #[test]
    fn common_prefix_counts_bytes(mut one in prop::collection::vec(0_u8..2, 0..300), other in 0_usize..300) {
        let same = one.clone();
        if let Some(byte) = one.get_mut(other) {
            *byte ^= 1;
        }
        prop_assert_eq!(common_prefix(&one, &same), other.min(one.len()));
    }
}

/// A megabyte and a half that looks back as far as it may.
fn long_text() -> Vec<u8> {
    let parts: Vec<(u8, u16, u32)> =
        (0_u32..1500).map(|n| (n as u8, (n * 7919) as u16 % 4000, n.wrapping_mul(2_654_435_761))).collect();
    text(&parts)
}

#[test]
fn multiples_of_512_are_harmless() {
    let plain = long_text();
    for level in [2, 3, 4, 6, 9].map(|n| Level::try_from(n).unwrap()) {
        let whole = encode(level, Cuts::Harmless, &[&plain], false);
        for size in [512, 4096, 32 * 1024, 1 << 20] {
            let cuts = Cuts::Every(NonZeroU64::new(size).unwrap());
            assert_eq!(encode(level, cuts, &[&plain], false), whole, "level {level:?}, writes of {size}");
        }
    }
}

#[test]
fn counting_positions_down_does_not_show() {
    let plain = long_text();
    for level in Level::ALL {
        let whole = encode(level, Cuts::Harmless, &[&plain], false);
        for distance in [0, 1, 3, 7] {
            let mut encoder = GoFlate::new(level);
            match &mut encoder.matcher {
                Matcher::Fast(units) => units.coder_mut().count_from_the_end(distance),
                Matcher::Chain(chain) => chain.count_from_the_end(distance),
                Matcher::Store(_) | Matcher::Literals(_) => (),
            }
            let mut out = Vec::new();
            encoder.write(&plain, &mut out);
            encoder.finish(&mut out);
            assert!(out == whole, "level {level:?}, {distance} steps before");
        }
    }
}

#[test]
fn a_full_odometer_makes_the_first_releases_forget() {
    let plain = long_text();
    let (before, after) = plain.split_at(2 * units::UNIT);
    let mut fresh = Vec::new();
    let mut encoder = GoFlate::new(Level::FASTEST);
    encoder.write(after, &mut fresh);
    encoder.finish(&mut fresh);
    for (release, forgets) in [(Release::Go1_8, true), (Release::Go1_15, false)] {
        let mut encoder = GoFlate::with(Level::FASTEST, release, Cuts::Harmless);
        if let Matcher::Fast(units) = &mut encoder.matcher {
            units.coder_mut().fill_odometer();
        }
        let (mut head, mut tail) = (Vec::new(), Vec::new());
        encoder.write(before, &mut head);
        encoder.flush(&mut head);
        encoder.write(after, &mut tail);
        encoder.finish(&mut tail);
        assert_eq!(tail == fresh, forgets, "{release:?}");
        head.extend(tail);
        assert!(inflate(&head) == plain);
    }
}

#[test]
fn a_flush_always_leaves_its_mark() {
    for level in Level::ALL {
        let (mut encoder, mut out) = (GoFlate::new(level), Vec::new());
        encoder.flush(&mut out);
        encoder.flush(&mut out);
        encoder.finish(&mut out);
        assert_eq!(out, [0, 0, 0, 0xff, 0xff, 0, 0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff]);
    }
}
