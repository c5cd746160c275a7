//! Golden bytes, the one form of a recipe, and hostile bytes.

#![allow(clippy::unwrap_used)]

use std::io::Read;
use std::num::{NonZeroU64, NonZeroUsize};

use super::*;
use crate::replay;
use crate::zlib::MemLevel;
use proptest::prelude::*;

fn header(xfl: u8) -> Vec<u8> {
    vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, xfl, 0xff]
}

fn example() -> Recipe {
    let mut builder = Builder::new();
    let go = Method::go(crate::go::Level::BEST);
    builder.push(1, &header(2), &go, &Flushes::default(), 4608);
    builder.push(2, &header(2), &go, &Flushes::at_end(1), 1024);
    builder.push(1, &[0x1f, 0x8b, 8, 8, 1, 2, 3, 4, 0, 3, b'n', 0], &go, &Flushes::at_end(1), 0);
    builder.finish(vec![Piece { zeros: 20, bytes: b"end".to_vec() }], 1000).unwrap()
}

#[test]
fn golden() {
    let bytes = [
        &[1, 0xe8, 7, 4][..], // version, stored length, members
        &[2, 2, 0, 12, 0x1f, 0x8b, 8, 8, 1, 2, 3, 4, 0, 3, b'n', 0], // headers
        &[1, 2, 9, 1, 0],     // methods
        &[2, 0, 0, 1, 0],     // flushes
        &[1, 1, 2],           // column of headers: 0 × 3, 1
        &[1, 2],              // of methods: 0 × 4
        &[0, 3, 1],           // of flushes: 0, 1 × 3
        &[0x80, 0x48, 0x81, 0x10, 0, 0], // of plain lengths
        &[1, 20, 3, b'e', b'n', b'd'], // tail
    ]
    .concat();
    let recipe = example();
    assert_eq!(recipe.write(), bytes);
    assert_eq!(Recipe::parse(&bytes).unwrap(), recipe);
    assert_eq!((recipe.plain_len(), recipe.stored_len(), recipe.member_count()), (4608 + 2048, 1000, 4));
    assert_eq!(recipe.method(), Method::go(crate::go::Level::BEST));
}

#[test]
fn errors() {
    let bytes = example().write();
    for length in 0..bytes.len() {
        assert!(Recipe::parse(&bytes[..length]).is_err());
    }
    let invalid = |what| RecipeError::Invalid { what };
    let changed = |at: usize, byte| {
        let mut bytes = bytes.clone();
        bytes[at] = byte;
        Recipe::parse(&bytes).unwrap_err()
    };
    assert_eq!(changed(0, 2), RecipeError::UnknownVersion { version: 2 });
    assert_eq!(changed(21, 6), RecipeError::UnknownMethod { number: 6 });
    assert_eq!(changed(22, 10), invalid("setting of a method"));
    assert_eq!(changed(2, 0), invalid("number"));
    assert_eq!(Recipe::parse(&[&bytes[..], &[0]].concat()), Err(invalid("bytes behind its end")));
    // The declared length cannot hold the members.
    assert_eq!(Recipe::parse(&[&[1, 90], &bytes[3..]].concat()), Err(invalid("length")));
}

#[test]
fn a_count_is_not_believed() {
    for bytes in [
        &[1, 0xff, 0xff, 0xff, 0xff, 0x0f, 1, 0xff, 0xff, 0xff, 0xff, 0x0f, 1][..],
        &[1, 0xff, 0xff, 0xff, 0xff, 0x0f, 1, 1, 1, 1, 2, 9, 1, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f, 1],
    ] {
        assert!(Recipe::parse(bytes).is_err());
    }
}

#[test]
fn flushes_must_be_possible() {
    let gnu = Method::GnuGzip { level: crate::zlib::Level::DEFAULT };
    for (method, flushes) in [
        (gnu, Flushes::at_end(1)),
        (Method::go(crate::go::Level::DEFAULT), Flushes { inside: Inside::At(vec![100]), end: 0 }),
        (
            Method::go(crate::go::Level::DEFAULT),
            Flushes { inside: Inside::Every(NonZeroU64::new(100).unwrap()), end: 0 },
        ),
    ] {
        let mut builder = Builder::new();
        builder.push(1, &header(0), &method, &flushes, 100);
        let bytes = builder.finish(Vec::new(), 1000).unwrap().write();
        assert_eq!(Recipe::parse(&bytes), Err(RecipeError::Invalid { what: "flushes" }));
    }
}

fn flushes() -> impl Strategy<Value = Flushes> {
    let inside = prop_oneof![
        2 => Just(Inside::None),
        1 => (1_u64..100).prop_map(|n| Inside::Every(NonZeroU64::new(n).unwrap())),
        1 => prop::collection::btree_set(0_u64..100, 1..5).prop_map(|at| Inside::At(at.into_iter().collect())),
    ];
    (inside, 0..=MAX_END).prop_map(|(inside, end)| Flushes { inside, end })
}

fn recipe() -> impl Strategy<Value = Recipe> {
    let methods = prop_oneof![
        Just(Method::go(crate::go::Level::DEFAULT)),
        Just(Method::go(crate::go::Level::FASTEST)),
        Just(Method::zlib(crate::zlib::Level::DEFAULT, MemLevel::DEFAULT)),
    ];
    let member = (1_u64..4, 0_u8..3, methods, flushes(), 100_u64..103);
    let tail = prop::collection::vec(any::<u8>(), 0..20);
    (prop::collection::vec(member, 1..12), tail).prop_map(|(members, bytes)| {
        let mut builder = Builder::new();
        for (count, xfl, method, flushes, plain_len) in members {
            builder.push(count, &header(xfl), &method, &flushes, plain_len);
        }
        let mut tail = TailBuilder::default();
        tail.push(&bytes);
        builder.finish(tail.finish().unwrap(), 1 << 14).unwrap()
    })
}

/// Whatever a recipe says, making the stream ends, and stays within the length it declares.
fn make(recipe: &Recipe) {
    let plain = std::io::repeat(7).take(recipe.plain_len().min(1 << 16));
    let mut out = Vec::new();
    let replayed = replay(recipe, plain, &mut out, NonZeroUsize::MIN);
    assert!(out.len() as u64 <= recipe.stored_len());
    if let Ok(replayed) = replayed {
        assert_eq!(replayed.stored, recipe.stored_len());
    }
}

proptest! {
    #[test]
    fn one_form(recipe in recipe()) {
        let bytes = recipe.write();
        prop_assert_eq!(Recipe::parse(&bytes), Ok(recipe));
    }

    #[test]
    fn changed_bytes(recipe in recipe(), changes in prop::collection::vec(any::<(u16, u8)>(), 1..4)) {
        let mut bytes = recipe.write();
        for (at, change) in changes {
            let at = usize::from(at) % bytes.len();
            bytes[at] = change;
        }
        if let Ok(parsed) = Recipe::parse(&bytes) {
            prop_assert_eq!(parsed.write(), bytes);
            make(&parsed);
        }
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(prop_oneof![3 => 0_u8..10, 1 => any::<u8>()], 0..60)) {
        let bytes = [&[1][..], &bytes].concat();
        if let Ok(parsed) = Recipe::parse(&bytes) {
            prop_assert_eq!(parsed.write(), bytes);
            make(&parsed);
        }
    }
}
