//! A whole conversion, from a layout to a layout, beside what hashing and compressing the same bytes costs alone.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use nydus_convert::oci::{LayoutSink, LayoutSource};
use nydus_convert::{Compression, FsOptions, Resources, Run, Stop, ToNydusOptions, to_nydus};

fn conversions(criterion: &mut Criterion) {
    let mut tar = Vec::new();
    benches::write_tree(&mut tar, 8_000, 6 << 10).expect("writing to memory");
    let dir = tempfile::tempdir().expect("a temporary directory");
    benches::write_layout(&dir.path().join("oci"), &tar).expect("writing the layout");

    let mut group = criterion.benchmark_group("8000 files");
    group.sample_size(10).throughput(Throughput::Bytes(tar.len() as u64));
    for compressor in ["none", "lz4_block", "zstd"] {
        let compression: Compression = compressor.parse().expect("a compressor");
        let fs = FsOptions { compression, ..FsOptions::default() };
        let options = ToNydusOptions { fs, ..ToNydusOptions::default() };
        group.bench_function(compressor, |bencher| {
            bencher.iter(|| {
                let out = tempfile::tempdir_in(dir.path()).expect("a temporary directory");
                let source =
                    LayoutSource::open(dir.path().join("oci"), Some("latest"), None).expect("the layout");
                let sink = LayoutSink::create(out.path().join("oci"), Some("latest")).expect("a target");
                let stop = Stop::new();
                let run = Run::new(Resources::default(), &(), &stop);
                to_nydus(&source, Box::new(sink), &options, &run).expect("a conversion")
            });
        });
    }
    group.bench_function("bare sha256 of the tar", |bencher| {
        bencher.iter(|| nydus_convert::oci::Digest::sha256(black_box(&tar)));
    });
    group.finish();
}

criterion_group!(benches, conversions);
criterion_main!(benches);
