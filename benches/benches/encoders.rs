//! The encoders of `recompress` on one core, in bytes of plain input a second.
//!
//! The input is the file that `ENCODER_INPUT` names, at most 16 MiB of it, or a generated tar.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use nydus_convert_recompress::deflate::Deflate;
use nydus_convert_recompress::go::{self, GoFlate};
use nydus_convert_recompress::klauspost::{self, Epoch, Klauspost, Settings};
use nydus_convert_recompress::zlib::{self, Zlib};

const MOST: usize = 16 << 20;

fn input() -> Vec<u8> {
    let mut plain = match std::env::var_os("ENCODER_INPUT") {
        Some(path) => std::fs::read(path).expect("ENCODER_INPUT"),
        None => {
            let mut tar = Vec::new();
            benches::write_tree(&mut tar, 3_000, 6 << 10).expect("writing to memory");
            tar
        }
    };
    plain.truncate(MOST);
    plain
}

fn encode(mut encoder: impl Deflate, plain: &[u8]) -> usize {
    let (mut out, mut total) = (Vec::with_capacity(1 << 20), 0);
    for piece in plain.chunks(64 << 10) {
        encoder.write(piece, &mut out);
        total += out.len();
        out.clear();
    }
    encoder.finish(&mut out);
    total + out.len()
}

fn encoders(criterion: &mut Criterion) {
    let plain = input();
    let mut group = criterion.benchmark_group("encoders");
    group.sample_size(10).throughput(Throughput::Bytes(plain.len() as u64));
    for level in [1, 6, 9] {
        group.bench_function(format!("Go level {level}"), |bencher| {
            let level = go::Level::try_from(level).expect("a level");
            bencher.iter(|| encode(GoFlate::new(level), black_box(&plain)));
        });
    }
    for level in [1, 5, 9] {
        group.bench_function(format!("klauspost level {level}"), |bencher| {
            let settings = Settings::new(Epoch::B2, klauspost::Level::try_from(level).expect("a level"));
            bencher.iter(|| encode(Klauspost::new(settings), black_box(&plain)));
        });
    }
    for level in [1, 6, 9] {
        group.bench_function(format!("zlib level {level}"), |bencher| {
            let params =
                zlib::Params { level: zlib::Level::new(level).expect("a level"), ..zlib::Params::default() };
            bencher.iter(|| encode(Zlib::new(params), black_box(&plain)));
        });
    }
    group.finish();
}

criterion_group!(benches, encoders);
criterion_main!(benches);
