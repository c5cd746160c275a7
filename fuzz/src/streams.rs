//! Any bytes as a compressed stream: no panic, no more than the limits allow, and how the bytes come changes nothing.

use std::io::Read;

use super::oci::{StreamLimits, decompress};

const LIMITS: StreamLimits = StreamLimits { plain: 1 << 20, zstd_window: 1 << 20 };

/// Gives a few bytes at a time.
struct Drip<'a>(&'a [u8]);

impl Read for Drip<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = buffer.len().min(3);
        self.0.read(&mut buffer[..length])
    }
}

/// The plain bytes, and whether they end without an error.
fn plain(stream: impl Read) -> (Vec<u8>, bool) {
    let mut out = Vec::new();
    let read = decompress(stream, LIMITS).and_then(|mut plain| plain.read_to_end(&mut out));
    (out, read.is_ok())
}

/// Panics if `bytes` break the promise above.
pub fn check(bytes: &[u8]) {
    let (whole, is_good) = plain(bytes);
    assert!(whole.len() as u64 <= LIMITS.plain + (64 << 10));
    let (dripped, also_good) = plain(Drip(bytes));
    assert_eq!(is_good, also_good);
    // How much comes before an error is the decoder's affair.
    assert!(!is_good || whole == dripped);
}
