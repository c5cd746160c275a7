//! Any bytes as a deflate stream, and as a gzip stream to recognise: no panic, and what is recognised is made again.

use std::num::NonZeroUsize;

use nydus_convert_recompress::identify;
use nydus_convert_recompress::inflate::Scanner;

/// Panics if `bytes` break the promise above.
pub fn check(bytes: &[u8]) {
    let mut scanner = Scanner::new(bytes);
    let (mut plain, mut bit) = (0, 0);
    while let Ok(Some(block)) = scanner.next_block() {
        assert!(block.plain_start == plain && block.start_bit == bit);
        assert!(block.end_bit <= 8 * bytes.len() as u64);
        (plain, bit) = (block.plain_end(), block.end_bit);
    }
    if let Some(recipe) = identify(|| Ok(bytes), NonZeroUsize::MIN).expect("a slice can always be read") {
        assert!(recipe.stored_len() == bytes.len() as u64);
    }
}
