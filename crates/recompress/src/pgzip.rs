//! The framing of Go's `github.com/klauspost/pgzip`: the input in blocks that are compressed apart from each other,
//! each with the end of the one before as a dictionary, and joined to one deflate stream in one gzip member.
//!
//! ```text
//!  plain:    [ block 0, full ][ block 1, full ] … [ last block, perhaps empty ]
//!                  └─ 16 KiB ─►┘ dictionary
//!  deflate:  … 00 00 ff ff │ … 00 00 ff ff │ … │ … 00 00 ff ff 03 00
//! ```
//!
//! Every piece starts and ends at a byte, so they can be made in any order, by [`compress_block`], as well as one
//! after the other, by [`Pgzip`].

use crate::deflate::Deflate;
use crate::klauspost::{Klauspost, Level, Settings};

/// How much of a block is the dictionary of the next.
const DICTIONARY: usize = 16384;

/// Plain bytes in a full block: more than 16384.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockSize(usize);

impl BlockSize {
    /// The default of pgzip; skopeo, podman and buildah use it.
    pub const DEFAULT: Self = Self(1 << 20);
    /// What umoci sets.
    pub const UMOCI: Self = Self(256 << 10);

    /// A block of this many bytes.
    ///
    /// # Errors
    /// When it is not larger than the dictionary, 16384 bytes.
    pub const fn new(bytes: usize) -> Result<Self, BlockSizeError> {
        if bytes > DICTIONARY { Ok(Self(bytes)) } else { Err(BlockSizeError { bytes }) }
    }

    /// The number of bytes.
    pub const fn bytes(self) -> usize {
        self.0
    }
}

/// pgzip refuses blocks of 16384 bytes and less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a pgzip block of {bytes} bytes, which must be more than 16384")]
pub struct BlockSizeError {
    /// The size that was given.
    pub bytes: usize,
}

/// The gzip header that pgzip writes when its caller sets no field: no flags, Go's zero time, system unknown.
///
/// `level` is the requested one; "default" (-1) is written like any from 2 to 8.
pub const fn header(level: Level) -> [u8; 10] {
    let extra_flags = match level {
        Level::L1 => 4,
        Level::L9 => 2,
        _ => 0,
    };
    [0x1f, 0x8b, 8, 0, 0x00, 0x09, 0x6e, 0x88, extra_flags, 0xff]
}

/// The part of a block that the next one needs as a dictionary: the last 16384 bytes, nothing when there are no more
/// than that.
pub fn dictionary(block: &[u8]) -> &[u8] {
    if block.len() > DICTIONARY { &block[block.len() - DICTIONARY..] } else { &[] }
}

/// The deflate bytes of one block.
///
/// `dictionary` is [`dictionary`] of the block before, empty for the first block. `last` ends the stream; exactly one
/// block has it, and it may be empty: the input's length divided by the block size leaves it as remainder.
pub fn compress_block(settings: Settings, dictionary: &[u8], block: &[u8], last: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(block.len() / 2 + 64);
    let mut encoder = Klauspost::with_dictionary(settings, dictionary);
    encoder.write(block, &mut out);
    encoder.flush(&mut out);
    if last {
        encoder.finish(&mut out);
    }
    out
}

/// The deflate stream block after block, as it comes. A flush ends a block early, as in the original.
#[derive(Debug)]
pub struct Pgzip {
    settings: Settings,
    block_size: BlockSize,
    encoder: Klauspost,
    /// Bytes of the block so far.
    taken: usize,
    /// The last of them; at least the dictionary of the next block.
    tail: Vec<u8>,
}

impl Pgzip {
    /// An encoder at the start of a stream.
    pub fn new(settings: Settings, block_size: BlockSize) -> Self {
        Self { settings, block_size, encoder: Klauspost::new(settings), taken: 0, tail: Vec::new() }
    }

    fn remember(&mut self, plain: &[u8]) {
        // Seldom enough for the copying not to count when writes are small.
        if self.tail.len() > 8 * DICTIONARY {
            self.tail.drain(..self.tail.len() - DICTIONARY);
        }
        self.tail.extend_from_slice(&plain[plain.len().saturating_sub(DICTIONARY)..]);
        self.taken += plain.len();
    }

    /// Ends the block and starts the next.
    fn cut(&mut self, out: &mut Vec<u8>) {
        self.encoder.flush(out);
        let dictionary =
            if self.taken > DICTIONARY { &self.tail[self.tail.len() - DICTIONARY..] } else { &[] };
        self.encoder = Klauspost::with_dictionary(self.settings, dictionary);
        self.tail.clear();
        self.taken = 0;
    }
}

impl Deflate for Pgzip {
    fn write(&mut self, mut plain: &[u8], out: &mut Vec<u8>) {
        while !plain.is_empty() {
            let (now, later) = plain.split_at(plain.len().min(self.block_size.bytes() - self.taken));
            self.encoder.write(now, out);
            self.remember(now);
            if self.taken == self.block_size.bytes() {
                self.cut(out);
            }
            plain = later;
        }
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        self.cut(out);
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        self.encoder.flush(out);
        self.encoder.finish(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::klauspost::Epoch;
    use proptest::prelude::*;

    const SETTINGS: Settings = Settings::new(Epoch::B2, Level::L5);

    #[test]
    fn block_sizes() {
        assert_eq!(BlockSize::new(16384), Err(BlockSizeError { bytes: 16384 }));
        assert_eq!(BlockSize::new(16385).unwrap().bytes(), 16385);
    }

    #[test]
    fn dictionaries() {
        assert_eq!(dictionary(&[1; 16384]).len(), 0);
        assert_eq!(dictionary(&[1; 16385]).len(), 16384);
    }

    #[test]
    fn an_empty_block_comes_last() {
        let mut out = Vec::new();
        Pgzip::new(SETTINGS, BlockSize::DEFAULT).finish(&mut out);
        assert_eq!(out, [0, 0, 0, 255, 255, 3, 0]);
        let (mut encoder, plain) =
            (Pgzip::new(SETTINGS, BlockSize::UMOCI), vec![7; BlockSize::UMOCI.bytes()]);
        let mut whole = Vec::new();
        encoder.write(&plain, &mut whole);
        assert_eq!(whole, compress_block(SETTINGS, &[], &plain, false));
        encoder.finish(&mut whole);
        assert!(whole.ends_with(&out));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn blocks_apart_are_the_blocks_in_a_row(
            size in 16385_usize..70000,
            len in 0_usize..300_000,
            write in 1_usize..100_000,
            step in 1_u32..5000,
        ) {
            let plain: Vec<u8> = (0..len as u32).map(|i| ((i / step).wrapping_mul(i) >> 5) as u8).collect();
            let mut streamed = Vec::new();
            let mut encoder = Pgzip::new(SETTINGS, BlockSize::new(size).unwrap());
            for piece in plain.chunks(write) {
                encoder.write(piece, &mut streamed);
            }
            encoder.finish(&mut streamed);
            let (full, rest) = plain.split_at(len - len % size);
            let mut apart = Vec::new();
            let mut before: &[u8] = &[];
            for block in full.chunks(size) {
                apart.extend(compress_block(SETTINGS, dictionary(before), block, false));
                before = block;
            }
            apart.extend(compress_block(SETTINGS, dictionary(before), rest, true));
            prop_assert!(streamed == apart);
        }
    }
}
