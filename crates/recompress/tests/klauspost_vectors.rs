//! The klauspost encoders against the golden vectors: each names its input (made by a small generator), the settings,
//! and the hash of what the original library wrote.

#![allow(clippy::unwrap_used)]

use flate2::Crc;
use nydus_convert_recompress::deflate::Deflate;
use nydus_convert_recompress::klauspost::{Epoch, Klauspost, Level, Settings};
use nydus_convert_recompress::pgzip::{self, BlockSize, Pgzip};
use proptest::prelude::*;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::io::Read;

/// splitmix64
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }
}

fn generate(kind: &str, seed: u64, len: usize) -> Vec<u8> {
    let mut random = Random(seed);
    let mut out = Vec::with_capacity(len + 40000);
    match kind {
        "zero" => out.resize(len, 0),
        "rand" => {
            while out.len() < len {
                out.extend_from_slice(&random.next().to_le_bytes());
            }
        }
        "text" => text(&mut random, len, &mut out),
        "bin" => {
            while out.len() < len {
                binary_piece(&mut random, &mut out);
            }
        }
        "mix" => {
            while out.len() < len {
                let v = random.next();
                let kind = ["text", "bin", "rand", "zero"][(v % 4) as usize];
                out.extend(generate(kind, random.next(), 1 + ((v >> 8) % 40000) as usize));
            }
        }
        other => panic!("no generator {other}"),
    }
    out.truncate(len);
    out
}

fn text(random: &mut Random, len: usize, out: &mut Vec<u8>) {
    let letter = |v: u64| b'a' + (v % 26).min((v >> 32) % 26) as u8;
    let words: Vec<Vec<u8>> =
        (0..512).map(|_| (0..2 + random.next() % 9).map(|_| letter(random.next())).collect()).collect();
    while out.len() < len {
        let v = random.next();
        out.extend(&words[(v % 512).min((v >> 16) % 512) as usize]);
        let end: &[u8] = match (v >> 40) % 16 {
            0 => b".\n",
            1 => b", ",
            _ => b" ",
        };
        out.extend(end);
    }
}

fn binary_piece(random: &mut Random, out: &mut Vec<u8>) {
    let v = random.next();
    match v % 8 {
        0..=2 => out.extend((0..1 + (v >> 8) % 24).map(|_| random.next() as u8)),
        3..=5 if out.is_empty() => {}
        3..=5 => {
            let span = (1u64 << (1 + (v >> 32) % 17)).min(out.len() as u64);
            let distance = 1 + ((v >> 8) & 0xff_ffff) % span;
            for _ in 0..3 + ((v >> 40) & 0xffff) % (1 << (1 + (v >> 56) % 9)) {
                out.push(out[out.len() - distance as usize]);
            }
        }
        6 => out.extend(std::iter::repeat_n((v >> 8) as u8, 1 + ((v >> 16) % 300) as usize)),
        _ => {
            let len = out.len() as u32;
            out.extend(len.to_le_bytes());
            out.extend([(v >> 8) as u8, (v >> 16) as u8]);
            out.extend([0; 10]);
        }
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn inflate(deflated: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    flate2::read::DeflateDecoder::new(deflated).read_to_end(&mut plain).unwrap();
    plain
}

fn vectors() -> Vec<Value> {
    let vectors: Vec<Value> = serde_json::from_str(include_str!("vectors/vectors-klauspost.json")).unwrap();
    assert_eq!(vectors.len(), 158);
    vectors
}

struct Vector<'a>(&'a Value);

impl Vector<'_> {
    fn text(&self, field: &str) -> &str {
        self.0[field].as_str().unwrap()
    }

    fn number(&self, field: &str) -> usize {
        self.0[field].as_u64().unwrap() as usize
    }

    fn epoch(&self) -> Epoch {
        let library = self.text("library");
        match self.text("epoch") {
            "A" if library.ends_with(" v1.15.12") => Epoch::A1,
            "A" if library.ends_with(" v1.17.11") => Epoch::A2,
            "A" if library.ends_with(" v1.18.0") => Epoch::A3,
            "B1" => Epoch::B1,
            "B2" => Epoch::B2,
            "GO" => Epoch::Go,
            other => panic!("no epoch {other} ({library})"),
        }
    }

    fn settings(&self) -> Settings {
        let level = match self.0["level"].as_i64().unwrap() as i8 {
            -1 => self.epoch().default_level(),
            number => Level::try_from(number).unwrap(),
        };
        Settings::new(self.epoch(), level)
    }

    fn plain(&self) -> Vec<u8> {
        let plain = generate(self.text("gen"), self.number("seed") as u64, self.number("len"));
        assert_eq!(sha256(&plain), self.text("in_sha256"), "the input of {}", self.text("id"));
        plain
    }

    /// Encodes in writes of this size (0: all at once).
    fn encode(&self, plain: &[u8], write: usize) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder: Box<dyn Deflate> = match self.text("encoder") {
            "pgzip" => {
                out.extend(pgzip::header(self.settings().level));
                Box::new(Pgzip::new(self.settings(), BlockSize::new(self.number("block")).unwrap()))
            }
            _ => Box::new(Klauspost::new(self.settings())),
        };
        if self.text("encoder") == "flate-flush" {
            for piece in plain.chunks(self.number("block")) {
                feed(&mut *encoder, piece, write, &mut out);
                encoder.flush(&mut out);
            }
        } else {
            feed(&mut *encoder, plain, write, &mut out);
        }
        encoder.finish(&mut out);
        if self.text("encoder") == "pgzip" {
            out.extend(trailer(plain));
        }
        out
    }
}

fn feed(encoder: &mut dyn Deflate, plain: &[u8], write: usize, out: &mut Vec<u8>) {
    for piece in plain.chunks(if write == 0 { plain.len().max(1) } else { write }) {
        encoder.write(piece, out);
    }
}

fn trailer(plain: &[u8]) -> [u8; 8] {
    let mut crc = Crc::new();
    crc.update(plain);
    let mut trailer = [0; 8];
    trailer[..4].copy_from_slice(&crc.sum().to_le_bytes());
    trailer[4..].copy_from_slice(&(plain.len() as u32).to_le_bytes());
    trailer
}

#[test]
fn every_vector_comes_out_whatever_the_writes() {
    for value in &vectors() {
        let vector = Vector(value);
        let plain = vector.plain();
        for write in [vector.number("write"), 0, 777] {
            let out = vector.encode(&plain, write);
            assert_eq!(out.len(), vector.number("out_len"), "length of {value}");
            assert_eq!(sha256(&out), vector.text("out_sha256"), "writes of {write}: {value}");
        }
    }
}

#[test]
fn vectors_inflate_to_their_input() {
    for value in &vectors() {
        let vector = Vector(value);
        let plain = vector.plain();
        let out = vector.encode(&plain, 0);
        let deflated = if vector.text("encoder") == "pgzip" { &out[10..out.len() - 8] } else { &out };
        assert!(inflate(deflated) == plain, "{value}");
    }
}

#[test]
fn pgzip_blocks_can_be_made_apart() {
    for value in vectors().iter().filter(|value| value["encoder"] == "pgzip") {
        let vector = Vector(value);
        let plain = vector.plain();
        let size = vector.number("block");
        let (full, rest) = plain.split_at(plain.len() - plain.len() % size);
        let mut out = pgzip::header(vector.settings().level).to_vec();
        let mut dictionary: &[u8] = &[];
        for block in full.chunks(size) {
            out.extend(pgzip::compress_block(vector.settings(), dictionary, block, false));
            dictionary = pgzip::dictionary(block);
        }
        out.extend(pgzip::compress_block(vector.settings(), dictionary, rest, true));
        out.extend(trailer(&plain));
        assert_eq!(sha256(&out), vector.text("out_sha256"), "{value}");
    }
}

fn piece() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop::sample::select(vec!["zero", "rand", "text", "bin", "mix"]);
    let len = prop_oneof![0_usize..200, 0_usize..5_000, 60_000_usize..70_000, 0_usize..200_000];
    (kind, any::<u64>(), len).prop_map(|(kind, seed, len)| generate(kind, seed, len))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Every epoch and level, with a flush after every piece, a dictionary, and two ways to cut the writes.
    #[test]
    fn every_setting_inflates_to_its_input(
        epoch in prop::sample::select(Epoch::ALL.to_vec()),
        level in prop::sample::select(Level::ALL.to_vec()),
        pieces in prop::collection::vec(piece(), 0..5),
        primed in any::<bool>(),
        write in 1_usize..100_000,
    ) {
        // A dictionary is compressed first and flushed to the byte, so that one inflater can read both.
        let dictionary = if primed { generate("mix", 1, 40_000) } else { Vec::new() };
        let settings = Settings::new(epoch, level);
        let encode = |write: usize| {
            let mut out = Vec::new();
            let mut before = Klauspost::new(settings);
            before.write(&dictionary, &mut out);
            before.flush(&mut out);
            let mut encoder = Klauspost::with_dictionary(settings, &dictionary);
            for piece in &pieces {
                feed(&mut encoder, piece, write, &mut out);
                encoder.flush(&mut out);
            }
            encoder.finish(&mut out);
            out
        };
        let out = encode(0);
        prop_assert!(inflate(&out) == [dictionary.clone(), pieces.concat()].concat());
        prop_assert!(encode(write) == out);
    }
}
