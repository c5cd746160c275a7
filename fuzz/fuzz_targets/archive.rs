//! Image archives: any bytes as the tar of a layout, and as what `docker save` writes.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use nydus_convert::oci;

#[path = "../src/archive.rs"]
mod property;

fuzz_target!(|bytes: &[u8]| property::check(bytes));

// Changes get past the checksum: it is made good again in every block with a magic.
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, _seed: u32| {
    let size = fuzzer_mutate(data, size, max_size);
    for block in data[..size].chunks_exact_mut(512).filter(|block| &block[257..262] == b"ustar") {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    size
});
