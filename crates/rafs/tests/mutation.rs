//! Thousands of damaged bootstraps: none makes the reader panic, loop or allocate much, and what is still accepted can be
//! written and read again.
#![allow(clippy::unwrap_used)]

mod support;

use nydus_convert_rafs::v6::{self, WriteError};
use nydus_convert_rafs::{Image, LayerTree, v5};

/// The most that `run` held at once, in this thread.
fn peak<T>(run: impl FnOnce() -> T) -> (T, usize) {
    let mut result = None;
    let counted = allocation_counter::measure(|| result = Some(run()));
    (result.unwrap(), counted.bytes_max as usize)
}

/// xorshift64*: the same damage on every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// Places worth damaging: bytes that are not zero, and their neighbours.
fn places(bytes: &[u8]) -> Vec<usize> {
    (0..bytes.len())
        .filter(|at| bytes[at.saturating_sub(4)..bytes.len().min(at + 4)].iter().any(|byte| *byte != 0))
        .collect()
}

fn damage(bytes: &mut Vec<u8>, places: &[usize], random: &mut Random) {
    const VALUES: [u64; 8] = [0, 1, 2, 0x7f, 0xff, 0xffff, 0x8000_0000, u64::MAX];
    for _ in 0..=random.below(3) {
        let at = places[random.below(places.len())];
        match random.below(8) {
            0 => bytes.truncate(bytes.len() - 4096 * random.below(bytes.len() / 4096)),
            1 => {
                let from = places[random.below(places.len())];
                let length = 1 << random.below(7);
                if from.max(at) + length <= bytes.len() {
                    bytes.copy_within(from..from + length, at);
                }
            }
            2 | 3 => {
                let width = 1 << random.below(4);
                let value = VALUES[random.below(VALUES.len())].to_le_bytes();
                if let Some(field) = bytes.get_mut(at..at + width) {
                    field.copy_from_slice(&value[..width]);
                }
            }
            4 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = byte.wrapping_add(1);
                }
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
        }
        if bytes.len() < 4096 {
            return;
        }
    }
}

fn check(bytes: &[u8]) -> bool {
    let (image, held) = peak(|| v6::parse(bytes));
    // A directory entry of 13 bytes becomes some hundred bytes of tree.
    assert!(held <= 32 * bytes.len() + 4096, "{held} bytes for {}", bytes.len());
    let Ok(image) = image else { return false };
    let mut written = Vec::new();
    match v6::write(&image, &mut written) {
        Ok(_) => check_again(&image, &written),
        // Without a chunk table there is nothing to write.
        Err(WriteError::UnknownChunk { .. }) => {
            assert!(image.blobs.iter().all(|blob| blob.chunks.is_empty()));
        }
        // 16 TiB of blobs fit the fields, but not one device.
        Err(WriteError::TooLarge) => {}
        Err(error) => panic!("{error}"),
    }
    true
}

/// What was read and written is read again: the same, but for chunks that no file uses.
fn check_again(image: &Image, written: &[u8]) {
    let again = v6::parse(written).unwrap();
    for (blob, original) in again.blobs.iter().zip(&image.blobs) {
        assert!(blob.chunks.iter().all(|(index, chunk)| original.chunks.get(index) == Some(chunk)));
    }
    let blobs = again.blobs.clone();
    support::assert_same(&again, &Image { blobs, ..image.clone() });
    let mut twice = Vec::new();
    v6::write(&again, &mut twice).unwrap();
    assert!(twice == written);
}

fn check_v5(bytes: &[u8]) -> bool {
    let (image, held) = peak(|| v5::parse(bytes));
    assert!(held <= 32 * bytes.len() + 4096, "{held} bytes for {}", bytes.len());
    let _ = v5::check_digests(bytes);
    let Ok(image) = image else { return false };
    let mut written = Vec::new();
    match v5::write(&image, &mut written) {
        Ok(_) => {
            v5::check_digests(&written).unwrap();
            let again = v5::parse(&written).unwrap();
            let mut twice = Vec::new();
            v5::write(&again, &mut twice).unwrap();
            assert!(twice == written);
        }
        // Attributes with names that writers refuse, features that v5 cannot have.
        Err(v5::WriteError::Unfit { .. } | v5::WriteError::Blob { .. }) => {}
        Err(error) => panic!("{error}"),
    }
    true
}

fn rounds(bytes: &[u8], rounds: u64) {
    rounds_of(bytes, rounds, check);
}

fn rounds_of(bytes: &[u8], rounds: u64, check: impl Fn(&[u8]) -> bool) {
    let places = places(bytes);
    let mut accepted = 0;
    for round in 1..=rounds {
        let mut random = Random(round.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut damaged = bytes.to_vec();
        damage(&mut damaged, &places, &mut random);
        accepted += u64::from(check(&damaged));
    }
    // Much of a bootstrap is names, times and owners; if nothing is accepted any more the test tests nothing.
    assert!(accepted > rounds / 100 && accepted < rounds, "{accepted} of {rounds}");
}

#[test]
fn damaged_sample() {
    let mut bytes = Vec::new();
    v6::write(&support::sample(), &mut bytes).unwrap();
    rounds(&bytes, 12_000);
}

#[test]
fn damaged_golden_layers() {
    rounds(include_bytes!("golden/mixed.boot"), 8_000);
    rounds(include_bytes!("golden/wide.boot"), 2_000);
    rounds(include_bytes!("golden/bare.boot"), 4_000);
}

#[test]
fn damaged_golden_merge() {
    rounds(include_bytes!("golden/merged.boot"), 8_000);
}

#[test]
fn damaged_v5() {
    let mut bytes = Vec::new();
    v5::write(&support::v5::image(support::sample()), &mut bytes).unwrap();
    rounds_of(&bytes, 12_000, check_v5);
    rounds_of(include_bytes!("golden/v5-mixed.boot"), 8_000, check_v5);
    rounds_of(include_bytes!("golden/v5-merged.boot"), 8_000, check_v5);
    rounds_of(include_bytes!("golden/v5-bare.boot"), 4_000, check_v5);
}

/// Saved layers that ask for much with few bytes.
#[test]
fn saved_layers_take_little_memory() {
    let names = (0..50_000_u32).map(|number| format!("{number:06}"));
    let entries: Vec<u8> = names.flat_map(|name| [&[6], name.as_bytes(), &[5]].concat()).collect();
    let wide = [b"nct\x02\x80\xd0\x86\x03", entries.as_slice(), &[0]].concat();
    let runs = b"nct\x02\x80\x01\x01a\x01\0\x01\xfe\xff\x7f\0".to_vec();
    for (bytes, files) in [(wide, 50_000), (runs, 1)] {
        let (layer, held) = peak(|| LayerTree::parse(&bytes));
        assert_eq!(layer.unwrap().tree().walk().count(), 1 + files);
        // The runs of a layer may stand for 2²⁰ chunks of 8 bytes each, whatever its length.
        assert!(held <= 64 * bytes.len() + (8 << 20), "{held} bytes for {}", bytes.len());
    }
}
