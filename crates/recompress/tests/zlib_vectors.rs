//! The zlib family against the golden vectors of the original programs, and its promises on any input.

#![allow(clippy::unwrap_used)]

use std::io::Read;

use nydus_convert_recompress::deflate::Deflate;
use nydus_convert_recompress::zlib::{
    Flush, GnuGzip, Level, MemLevel, Params, Pigz, PigzParams, Threads, UnitSize, Zlib,
};
use proptest::prelude::*;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// splitmix64, as the vectors describe it.
struct Rng(u64);

impl Rng {
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
}

/// The test input of `kind`, `len` bytes. `few` (two to four letters) and `period` (random bytes repeated about
/// as far back as a match may reach) are only in [`CORNERS`], the others are those of the vectors.
fn generate(kind: &str, seed: u64, len: usize) -> Vec<u8> {
    let mut rng = Rng(seed);
    let mut out = Vec::with_capacity(len + 512);
    match kind {
        "zero" => out.resize(len, 0),
        "rand" => {
            while out.len() < len {
                out.extend_from_slice(&rng.draw().to_le_bytes());
            }
        }
        "text" => text(&mut rng, len, &mut out),
        "bin" => {
            while out.len() < len {
                bin_piece(&mut rng, &mut out);
            }
        }
        "mix" => {
            while out.len() < len {
                let kind = ["text", "rand", "bin", "zero"][(rng.draw() % 4) as usize];
                let piece = 1 + (rng.draw() % 50000) as usize;
                out.extend(generate(kind, rng.draw(), piece));
            }
        }
        "corner" => {
            out = generate("rand", seed, len);
            out.iter_mut().for_each(|byte| *byte &= 0x3f);
            out.copy_within(32512..32528, 65274);
        }
        "few" => {
            let letters = 2 + rng.draw() % 3;
            out.extend((0..len).map(|_| (rng.draw() % letters) as u8));
        }
        "period" => {
            let period = 32504 + rng.draw() % 4;
            let block = generate("rand", seed, period as usize);
            out.extend(block.iter().cycle().take(len));
        }
        _ => panic!("no generator {kind}"),
    }
    out.truncate(len);
    out
}

fn text(rng: &mut Rng, len: usize, out: &mut Vec<u8>) {
    let mut word = |_| {
        let letters = 2 + rng.draw() % 9;
        (0..letters).map(|_| b'a' + (rng.draw() % 26) as u8).collect::<Vec<_>>()
    };
    let words: Vec<_> = (0..512).map(&mut word).collect();
    while out.len() < len {
        let v = rng.draw();
        out.extend_from_slice(&words[(((v & 0xffff) * (v >> 16 & 0xffff)) >> 23) as usize]);
        out.extend_from_slice(match (v >> 32) % 16 {
            0 => b". ",
            1 => b"\n",
            _ => b" ",
        });
    }
}

fn bin_piece(rng: &mut Rng, out: &mut Vec<u8>) {
    let v = rng.draw();
    match v & 7 {
        0..=2 => out.extend((0..=(v >> 8 & 31)).map(|_| rng.draw() as u8)),
        3..=5 => {
            if out.is_empty() {
                out.push(0);
            }
            let distance = 1 + (v >> 24) as usize % out.len().min(40000);
            for _ in 0..3 + (v >> 8) % 400 {
                out.push(out[out.len() - distance]);
            }
        }
        6 => out.extend(std::iter::repeat_n((v >> 16) as u8, 1 + (v >> 24 & 511) as usize)),
        _ => {
            out.extend_from_slice(&(out.len() as u32).to_le_bytes());
            out.extend_from_slice(&[0; 4]);
        }
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn level(n: u64) -> Level {
    Level::new(n.try_into().unwrap()).unwrap()
}

/// zlib with flushes at the offsets of `flush_at`: `[[offset, "sync" | "full"], ..]`.
fn zlib(vector: &Value, plain: &[u8]) -> Vec<u8> {
    let mem_level = vector["mem_level"].as_u64().unwrap_or(8) as u8;
    let level = level(vector["level"].as_u64().unwrap());
    let mut encoder = Zlib::new(Params { level, mem_level: MemLevel::new(mem_level).unwrap() });
    let (mut out, mut done) = (Vec::new(), 0);
    for flush in vector["flush_at"].as_array().into_iter().flatten() {
        let at = flush[0].as_u64().unwrap() as usize;
        encoder.write(&plain[done..at], &mut out);
        let kind = if flush[1] == "full" { Flush::Full } else { Flush::Sync };
        encoder.flush_with(kind, &mut out);
        done = at;
    }
    encoder.write(&plain[done..], &mut out);
    encoder.finish(&mut out);
    out
}

/// All of `plain` through `encoder`, cut at the places that `cuts` names, which may repeat or lie behind the
/// end.
fn encode(mut encoder: Box<dyn Deflate>, plain: &[u8], cuts: &[usize]) -> Vec<u8> {
    let mut cuts: Vec<_> = cuts.iter().map(|&cut| cut.min(plain.len())).collect();
    cuts.sort_unstable();
    cuts.push(plain.len());
    let (mut out, mut done) = (Vec::new(), 0);
    for cut in cuts {
        encoder.write(&plain[done..cut], &mut out);
        done = cut;
    }
    encoder.finish(&mut out);
    out
}

#[test]
fn golden_vectors() {
    let file: Value = serde_json::from_str(include_str!("vectors/vectors-zlib.json")).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    let mut wrong = Vec::new();
    for vector in vectors {
        let (kind, seed) = (vector["kind"].as_str().unwrap(), vector["seed"].as_u64().unwrap());
        let plain = generate(kind, seed, vector["len"].as_u64().unwrap() as usize);
        assert_eq!(sha256(&plain), vector["input_sha256"], "the generator, {}", vector["id"]);
        let level = level(vector["level"].as_u64().unwrap());
        let pigz = |threads| {
            let unit = UnitSize::new(vector["unit"].as_u64().unwrap() as usize).unwrap();
            Pigz::new(PigzParams { level, unit, threads, independent: false })
        };
        let out = match vector["encoder"].as_str().unwrap() {
            "zlib" => zlib(vector, &plain),
            "gnu-gzip" => encode(Box::new(GnuGzip::new(level)), &plain, &[]),
            "pigz" => encode(Box::new(pigz(Threads::Many)), &plain, &[]),
            "pigz-single" => encode(Box::new(pigz(Threads::One)), &plain, &[]),
            other => panic!("no encoder {other}"),
        };
        let length_matches = vector["deflate_len"] == out.len();
        if !length_matches || vector["deflate_sha256"] != sha256(&out) {
            wrong.push(format!("{} {} {}", vector["id"], vector["encoder"], vector["level"]));
        }
    }
    assert_eq!(vectors.len(), 137);
    assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), vectors.len());
}

fn inflate(deflated: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut decoder = flate2::bufread::DeflateDecoder::new(deflated);
    decoder.read_to_end(&mut plain).unwrap();
    assert_eq!(decoder.total_in(), deflated.len() as u64, "nothing follows the final block");
    plain
}

/// One of the encoders, by number.
fn any_encoder(which: usize, level: Level, mem_level: MemLevel) -> Box<dyn Deflate> {
    let pigz = |threads, independent| {
        let unit = UnitSize::new(32768 + 1000 * usize::from(mem_level.get())).unwrap();
        Pigz::new(PigzParams { level, unit, threads, independent })
    };
    match which {
        0 => Box::new(Zlib::new(Params { level, mem_level })),
        1 => Box::new(GnuGzip::new(level)),
        2 => Box::new(pigz(Threads::Many, false)),
        3 => Box::new(pigz(Threads::One, false)),
        4 => Box::new(pigz(Threads::Many, true)),
        _ => Box::new(pigz(Threads::One, true)),
    }
}

fn levels() -> impl Strategy<Value = (Level, MemLevel)> {
    (1..=9u8, 1..=9u8).prop_map(|(l, m)| (Level::new(l).unwrap(), MemLevel::new(m).unwrap()))
}

fn inputs() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop::sample::select(vec!["zero", "rand", "text", "bin", "mix"]);
    let len = prop_oneof![0..300usize, 0..200_000usize, 65_000..66_000usize, 32_000..33_000usize];
    (kind, any::<u64>(), len).prop_map(|(kind, seed, len)| generate(kind, seed, len))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    /// However the input is cut, the output is the same, and inflates to the input.
    #[test]
    fn cuts_do_not_matter(
        which in 0..6usize,
        (level, mem_level) in levels(),
        plain in inputs(),
        cuts in prop::collection::vec(0..200_000usize, 0..40),
    ) {
        let whole = encode(any_encoder(which, level, mem_level), &plain, &[]);
        let pieces = encode(any_encoder(which, level, mem_level), &plain, &cuts);
        prop_assert!(whole == pieces);
        prop_assert!(inflate(&whole) == plain);
    }

    /// Flushes of every kind at any place leave a stream that inflates to the input; what was flushed is all
    /// there.
    #[test]
    fn flushes_inflate(
        (level, mem_level) in levels(),
        plain in inputs(),
        flushes in prop::collection::vec((0..200_000usize, 0..4usize), 0..12),
    ) {
        let mut flushes = flushes;
        flushes.sort_unstable();
        let mut encoder = Zlib::new(Params { level, mem_level });
        let (mut out, mut done) = (Vec::new(), 0);
        for (at, kind) in flushes {
            let at = at.min(plain.len());
            encoder.write(&plain[done..at], &mut out);
            done = at;
            let kind = [Flush::Block, Flush::Partial, Flush::Sync, Flush::Full][kind];
            encoder.flush_with(kind, &mut out);
            if kind >= Flush::Sync {
                prop_assert!(out.ends_with(&[0, 0, 0xff, 0xff]));
                let mut prefix = vec![0; at];
                let mut decoder = flate2::bufread::DeflateDecoder::new(&out[..]);
                prop_assert!(decoder.read_exact(&mut prefix).is_ok());
                prop_assert!(prefix == plain[..at]);
            }
        }
        encoder.write(&plain[done..], &mut out);
        encoder.finish(&mut out);
        prop_assert!(inflate(&out) == plain);
    }
}

/// Byte by byte is the finest cut; all encoders, with the window sliding.
#[test]
fn byte_by_byte() {
    let plain = generate("mix", 7, 150_000);
    let cuts: Vec<_> = (0..plain.len()).collect();
    for which in 0..6 {
        for n in [1, 3, 6, 9] {
            let new = || any_encoder(which, level(n), MemLevel::DEFAULT);
            assert!(encode(new(), &plain, &[]) == encode(new(), &plain, &cuts), "encoder {which} level {n}");
        }
    }
}

/// A flush writes nothing unless it is stronger than the one that the call before asked for.
#[test]
fn flushes_rank() {
    let mut encoder = Zlib::new(Params::default());
    let mut out = Vec::new();
    let mut grown = |flush| {
        let before = out.len();
        encoder.flush_with(flush, &mut out);
        out.len() - before
    };
    assert_eq!(grown(Flush::Sync), 5);
    assert_eq!(grown(Flush::Sync), 0);
    assert_eq!(grown(Flush::Full), 5);
    assert_eq!(grown(Flush::Full), 0);
    // Too weak to write, but now the yardstick.
    assert_eq!(grown(Flush::Block), 0);
    assert_eq!(grown(Flush::Sync), 5);
    encoder.write(b"", &mut out);
    let before = out.len();
    encoder.flush(&mut out);
    assert_eq!(out.len() - before, 5);
}

/// The same calls to zlib 1.2.13 through Python: `compress(b"hello")`, then the flushes and an empty
/// `compress`.
#[test]
fn flushes_of_python() {
    let mut encoder = Zlib::new(Params::default());
    let mut out = Vec::new();
    encoder.write(b"hello", &mut out);
    encoder.flush_with(Flush::Sync, &mut out);
    encoder.flush_with(Flush::Sync, &mut out);
    encoder.write(b"", &mut out);
    encoder.flush_with(Flush::Sync, &mut out);
    encoder.flush_with(Flush::Full, &mut out);
    encoder.flush_with(Flush::Partial, &mut out);
    encoder.flush_with(Flush::Sync, &mut out);
    let marker = [0, 0, 0, 0xff, 0xff];
    let mut want = vec![0xca, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0, 0, 0, 0xff, 0xff];
    want.extend([marker; 3].concat());
    assert_eq!(out, want);
}

/// Flushes of all four kinds, also near the place where the window slides: zlib 1.2.13 through Python.
#[test]
fn flushes_of_all_kinds() {
    let plain = generate("text", 31, 100_000);
    let mut encoder = Zlib::new(Params::default());
    let (mut out, mut done) = (Vec::new(), 0);
    for (at, flush) in [
        (1000, Flush::Block),
        (1000, Flush::Partial),
        (30000, Flush::Partial),
        (65280, Flush::Block),
        (65280, Flush::Full),
        (70001, Flush::Sync),
    ] {
        if at > done {
            encoder.write(&plain[done..at], &mut out);
        }
        done = at;
        encoder.flush_with(flush, &mut out);
    }
    encoder.write(&plain[done..], &mut out);
    encoder.finish(&mut out);
    assert_eq!(out.len(), 33097);
    assert_eq!(sha256(&out), "63d4d8ab35648fa8171877d275a63275f385698b88eeaba7c25a170528fd1898");
}

/// `pigz -i` 2.6; with and without threads it writes the same.
#[test]
fn independent_units() {
    let plain = generate("text", 41, 300_000);
    for (n, len, sha) in [
        (1, 103418, "3eb21748a2dd49e2bcf1eb75e8ad39e1e4d84ea145f95136486c00e167761a14"),
        (6, 95299, "6dadf9ad2b4b96ce2713cae82ba38e014a1f5c3f419cdcfb82504feca9a75bd6"),
    ] {
        for threads in [Threads::One, Threads::Many] {
            let params = PigzParams { level: level(n), threads, independent: true, ..PigzParams::default() };
            let out = encode(Box::new(Pigz::new(params)), &plain, &[]);
            assert_eq!((out.len(), sha256(&out)), (len, sha.to_owned()), "level {n}, {threads:?}");
        }
    }
}

/// Bytes so unevenly spread that their best code has codes of 16 and more bits, which are shortened to 15.
/// The golden value is from zlib 1.2.13 with memory level 9, and GNU gzip 1.12 gives the same bytes.
#[test]
fn codes_too_long() {
    let mut plain = Vec::new();
    for (byte, count) in [1, 2, 3, 5, 8, 21, 34, 55].into_iter().enumerate() {
        plain.resize(plain.len() + count, byte as u8);
    }
    plain.extend((16..242u8).cycle().take(32760 - plain.len()));
    let mut rng = Rng(9);
    for i in (1..plain.len()).rev() {
        plain.swap(i, (rng.draw() % (i as u64 + 1)) as usize);
    }
    let mem_level = MemLevel::new(9).unwrap();
    let zlib = Zlib::new(Params { level: Level::DEFAULT, mem_level });
    for encoder in [Box::new(zlib) as Box<dyn Deflate>, Box::new(GnuGzip::new(Level::DEFAULT))] {
        let out = encode(encoder, &plain, &[]);
        assert_eq!(sha256(&out), "509d557df6753442c1bb88ec3d8af8760adf3c36764423a06ad92d2a9de7f4e1");
    }
}

/// A corner: input kind, its seed and length, encoder, level, offsets of sync flushes, sha256 of the output.
type Corner = (&'static str, u64, usize, &'static str, u8, &'static [usize], &'static str);

/// Inputs on which a small mistake shows that no vector reveals: the ends of input and window, ties between
/// stored and fixed, GNU gzip's early block ends, the farthest matches. Made with zlib 1.2.13 (`zlib9`: memory
/// level 9), GNU gzip 1.12 and pigz 2.6 (units of 32 KiB).
#[rustfmt::skip]
const CORNERS: &[Corner] = &[
    ("few", 45991, 17, "zlib", 7, &[17], "75cbaef9a507cc46257e9a57d342a4f50b9bd7bbfbe4538b20680aff7163b43d"),
    ("few", 28951, 26, "zlib", 4, &[22, 23, 26], "bd6eb5a6649a6b028dd73a22d87274461b89df93d1915efc1d73487007045a60"),
    ("few", 90070, 53, "zlib", 8, &[17, 46], "52cf624bab567b76d7d5265ee32e0063415b05db1e6d998a4a3f30f6d931ed66"),
    ("few", 96989, 297, "zlib", 5, &[255, 297, 297], "ba99ef3b8c0392564a8c457b260145a05545ccbc12e0bd7adeedfbbbe8afaf5c"),
    ("bin", 27676, 8, "zlib", 3, &[5], "0615a0823720e8077f2a4380fea3a25aa41a949affdf6af235ee5a926ab7771c"),
    ("rand", 1, 65500, "zlib9", 6, &[32600], "63e57180a7e53a47c3495c5a73641ad1b6ef3f8320a1d2a09ec826522f59f1ad"),
    ("few", 3056, 65547, "gnu", 7, &[], "e5364bc3595ec3a9466f58d3b5eefc66c334dbfba5af6937f167e8543efc2514"),
    ("text", 5246, 65284, "gnu", 4, &[], "167efd3368e58817043641fbf467a41c8ee2337d74be7994370d74dbbd758132"),
    ("rand", 92562, 26, "gnu", 5, &[], "6dfadb418721324d4c120523ea4313ff77779f1dca6473c8e331ad9d7f04b1dd"),
    ("mix", 46780, 38393, "gnu", 6, &[], "bde3b5dc4f9732bb4580526fe9e5c241dcc398a9fc6951474ee38e7b95bcc305"),
    ("text", 20286, 64986, "gnu", 7, &[], "ae2ba479507d5ab7c834c7061455601fd83b99ca2ce26615c8c3aa25b8610375"),
    ("text", 16416, 14640, "pigz", 8, &[], "7aacf6d95361d381572b4e1ee9222d7db47a807aa3b07f608e570c6b9efcd173"),
    ("period", 41452, 33887, "pigz", 9, &[], "47dc709de482d35a40be0bdc6001bc33942b20a9de86d913f44b8ff5b513220e"),
    ("period", 41452, 33887, "pigz-single", 9, &[], "47dc709de482d35a40be0bdc6001bc33942b20a9de86d913f44b8ff5b513220e"),
];

#[test]
fn corners() {
    for &(kind, seed, len, name, n, flushes, sha) in CORNERS {
        let plain = generate(kind, seed, len);
        let level = Level::new(n).unwrap();
        let zlib = |mem_level| Zlib::new(Params { level, mem_level });
        let pigz = |threads| {
            let unit = UnitSize::new(32768).unwrap();
            Pigz::new(PigzParams { level, unit, threads, independent: false })
        };
        let mut encoder: Box<dyn Deflate> = match name {
            "zlib" => Box::new(zlib(MemLevel::DEFAULT)),
            "zlib9" => Box::new(zlib(MemLevel::new(9).unwrap())),
            "gnu" => Box::new(GnuGzip::new(level)),
            "pigz" => Box::new(pigz(Threads::Many)),
            _ => Box::new(pigz(Threads::One)),
        };
        let (mut out, mut done) = (Vec::new(), 0);
        for &at in flushes {
            // An empty write would let a second flush at the same offset count.
            if at > done {
                encoder.write(&plain[done..at], &mut out);
            }
            done = at;
            encoder.flush(&mut out);
        }
        encoder.write(&plain[done..], &mut out);
        encoder.finish(&mut out);
        assert_eq!(sha256(&out), sha, "{kind} {seed} {len} {name} {n} {flushes:?}");
    }
}
