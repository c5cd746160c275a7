//! Golden vectors made with the original, Go 1.19 to 1.26: every one must come out byte for byte.

#![allow(clippy::unwrap_used)]

use std::fmt::Write;
use std::io::Read;
use std::num::NonZeroU64;

use flate2::Crc;
use flate2::read::GzDecoder;
use nydus_convert_recompress::deflate::Deflate;
use nydus_convert_recompress::go::{Cuts, GoFlate, Level, Release};
use serde_json::Value;
use sha2::{Digest, Sha256};

const VECTORS: &str = include_str!("vectors/vectors-go.json");

/// splitmix64.
struct Draws(u64);

impl Draws {
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = self.0;
        let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, bound: u64) -> usize {
        (self.draw() % bound) as usize
    }
}

fn random(draws: &mut Draws, length: usize) -> Vec<u8> {
    let mut out: Vec<u8> =
        std::iter::repeat_with(|| draws.draw().to_le_bytes()).take(length.div_ceil(8)).flatten().collect();
    out.truncate(length);
    out
}

fn text(draws: &mut Draws, length: usize) -> Vec<u8> {
    let words: Vec<Vec<u8>> = (0..512)
        .map(|_| {
            let letters = 2 + draws.below(9);
            (0..letters).map(|_| b'a' + draws.below(26) as u8).collect()
        })
        .collect();
    let mut out = Vec::new();
    while out.len() < length {
        let v = draws.draw();
        out.extend_from_slice(&words[(((v & 0xffff) * (v >> 16 & 0xffff)) >> 23) as usize]);
        match v >> 32 & 15 {
            0 => out.extend_from_slice(b". "),
            1 => out.push(b'\n'),
            _ => out.push(b' '),
        }
    }
    out.truncate(length);
    out
}

fn binary(draws: &mut Draws, length: usize) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::new();
    while out.len() < length {
        let v = draws.draw();
        match v & 7 {
            0..=2 => out.extend((0..=v >> 8 & 31).map(|_| draws.draw() as u8)),
            3..=5 => {
                if out.is_empty() {
                    out.push(0);
                }
                let count = 3 + (v >> 8) % 400;
                let distance = 1 + ((v >> 24) % out.len().min(40_000) as u64) as usize;
                for _ in 0..count {
                    out.push(out[out.len() - distance]);
                }
            }
            6 => out.resize(out.len() + 1 + (v >> 24 & 511) as usize, (v >> 16) as u8),
            _ => {
                let at = out.len() as u32;
                out.extend_from_slice(&at.to_le_bytes());
                out.extend_from_slice(&[0; 4]);
            }
        }
    }
    out.truncate(length);
    out
}

fn mixed(draws: &mut Draws, length: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while out.len() < length {
        let kind = ["text", "rand", "bin", "zero"][draws.below(4)];
        let part = 1 + draws.below(50_000);
        out.extend(input(kind, draws.draw(), part));
    }
    out.truncate(length);
    out
}

fn input(kind: &str, seed: u64, length: usize) -> Vec<u8> {
    let draws = &mut Draws(seed);
    match kind {
        "zero" => vec![0; length],
        "rand" => random(draws, length),
        "text" => text(draws, length),
        "bin" => binary(draws, length),
        "mix" => mixed(draws, length),
        "corner" => {
            let mut out = random(draws, length);
            out.iter_mut().for_each(|byte| *byte &= 0x3f);
            out.copy_within(32512..32528, 65274);
            out
        }
        _ => panic!("unknown kind {kind}"),
    }
}

struct Vector<'a>(&'a Value);

impl<'a> Vector<'a> {
    fn number(&self, key: &str) -> i64 {
        self.0[key].as_i64().unwrap()
    }

    fn size(&self, key: &str) -> usize {
        self.number(key).try_into().unwrap()
    }

    fn text(&self, key: &str) -> &'a str {
        self.0[key].as_str().unwrap()
    }

    fn level(&self) -> Level {
        i8::try_from(self.number("level")).unwrap().try_into().unwrap()
    }

    /// The gzip file, with the plain bytes handed over in pieces of `piece` bytes where no flush is due.
    fn encode(&self, plain: &[u8], piece: usize) -> Vec<u8> {
        let level = self.level();
        let write = self.size("write");
        let cuts = NonZeroU64::new(write as u64).map_or(Cuts::Harmless, Cuts::Every);
        let mut encoder = GoFlate::with(level, Release::default(), cuts);
        let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, level.xfl(), 0xff];
        let every = self.size("flush_every") * write;
        for part in plain.chunks(if every == 0 { usize::MAX } else { every }) {
            part.chunks(piece).for_each(|piece| encoder.write(piece, &mut out));
            // The flush comes after so many writes, of which the last may be shorter.
            if every > 0 && part.len().div_ceil(write) == self.size("flush_every") {
                encoder.flush(&mut out);
            }
        }
        encoder.finish(&mut out);
        let mut crc = Crc::new();
        crc.update(plain);
        out.extend_from_slice(&crc.sum().to_le_bytes());
        out.extend_from_slice(&(plain.len() as u32).to_le_bytes());
        out
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn check(vector: &Vector) {
    let id = vector.text("id");
    let plain = input(vector.text("kind"), vector.number("seed") as u64, vector.size("len"));
    assert_eq!(hex(&Sha256::digest(&plain)), vector.text("input_sha256"), "{id}: the input itself");
    for piece in [usize::MAX, 1000, 65_535, 65_536] {
        let file = vector.encode(&plain, piece);
        if let Some(expected) = vector.0["gzip_hex"].as_str() {
            assert_eq!(hex(&file), expected, "{id}");
        }
        assert_eq!(file.len(), vector.size("gzip_len"), "{id}");
        assert_eq!(hex(&Sha256::digest(&file)), vector.text("gzip_sha256"), "{id}");
        let mut back = Vec::new();
        GzDecoder::new(file.as_slice()).read_to_end(&mut back).unwrap();
        assert!(back == plain, "{id} does not inflate to its input");
    }
}

#[test]
fn every_vector_is_exact() {
    let file: Value = serde_json::from_str(VECTORS).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), 129);
    vectors.iter().for_each(|vector| check(&Vector(vector)));
}

fn encode_after_zeros(level: Level, release: Release, zeros: usize, plain: &[u8]) -> String {
    let mut encoder = GoFlate::with(level, release, Cuts::Harmless);
    let mut out = Vec::new();
    if zeros > 0 {
        encoder.write(&vec![0; zeros], &mut out);
        encoder.flush(&mut out);
    }
    encoder.write(plain, &mut out);
    encoder.finish(&mut out);
    hex(&out)
}

/// Made with Go 1.14 (1.9 gives the same) and Go 1.26 (1.15 gives the same).
#[test]
fn the_first_releases_store_other_blocks() {
    let fox = b"the quick brown fox jumps over the lazy dog";
    let zeros = "ecc03101000000c220fba736c53e1800000000903b000000ffff";
    let stored = "002b00d4ff74686520717569636b2062726f776e20666f78206a756d7073206f76657220746865206c617a7920646f67\
                  010000ffff";
    let coded = "04c0870180300844d155fe6a1634d65304dbf479518c33a76ea1753d3b835ee6dc8e0bdde64431d6e6ffe835d6\
                 000000ffff";
    let first = encode_after_zeros(Level::FASTEST, Release::Go1_8, 5000, fox);
    assert_eq!(first, format!("{zeros}{stored}"));
    let second = encode_after_zeros(Level::FASTEST, Release::Go1_15, 5000, fox);
    assert_eq!(second, format!("{zeros}{coded}"));

    let letters = b"gcfeafadegbcbgbacd";
    assert_eq!(
        encode_after_zeros(Level::HUFFMAN_ONLY, Release::Go1_8, 0, letters),
        "04c0010100000c01c1ac18dfbfc18eac9aae38c6ca7d000000ffff"
    );
    assert_eq!(
        encode_after_zeros(Level::HUFFMAN_ONLY, Release::Go1_15, 0, letters),
        "001200edff676366656166616465676263626762616364010000ffff"
    );
}

#[test]
fn cuts_matter_where_they_are_said_to() {
    let plain = input("corner", 20, 80_000);
    let encode = |cuts: Cuts| {
        let mut out = Vec::new();
        let mut encoder = GoFlate::with(Level::DEFAULT, Release::default(), cuts);
        encoder.write(&plain, &mut out);
        encoder.finish(&mut out);
        out
    };
    let once = encode(Cuts::Harmless);
    let cut = encode(Cuts::At([65_535].into()));
    assert_ne!(once, cut);
    assert_eq!(cut, encode(Cuts::Every(NonZeroU64::new(65_535).unwrap())));
    assert_eq!(once, encode(Cuts::At([512, 32_768, 65_536, 65_537].into())));
    // The first wrong match is found at 65274; the cut to try follows from that.
    assert_eq!(cut, encode(Cuts::At([65_274 | 32_767].into())));
}
