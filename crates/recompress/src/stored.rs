//! Small encoders around the large ones: zlib's level 0 where it is regular, and full flushes.

use std::num::NonZeroU16;

use crate::deflate::Deflate;
use crate::zlib::{Flush, Zlib};

/// zlib whose every flush is a full one.
pub(crate) struct Full(pub Zlib);

impl Deflate for Full {
    fn write(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        self.0.write(plain, out);
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        self.0.flush_with(Flush::Full, out);
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        self.0.finish(out);
    }
}

/// Stored blocks of one length.
///
/// ```text
/// 00 length ~length bytes │ … │ 01 length ~length bytes     the last one shorter, or as long, or empty
/// ```
pub(crate) struct StoredBlocks {
    length: usize,
    empty_last: bool,
    pending: Vec<u8>,
}

impl StoredBlocks {
    pub fn new(length: NonZeroU16, empty_last: bool) -> Self {
        Self { length: length.get().into(), empty_last, pending: Vec::new() }
    }

    fn block(&mut self, last: bool, out: &mut Vec<u8>) {
        let length = self.pending.len() as u16;
        out.push(u8::from(last));
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.append(&mut self.pending);
    }
}

impl Deflate for StoredBlocks {
    fn write(&mut self, mut plain: &[u8], out: &mut Vec<u8>) {
        while !plain.is_empty() {
            if self.pending.len() == self.length {
                self.block(false, out);
            }
            let (now, later) = plain.split_at(plain.len().min(self.length - self.pending.len()));
            self.pending.extend_from_slice(now);
            plain = later;
        }
    }

    /// Does nothing.
    fn flush(&mut self, _out: &mut Vec<u8>) {}

    fn finish(&mut self, out: &mut Vec<u8>) {
        if self.empty_last && !self.pending.is_empty() {
            self.block(false, out);
        }
        self.block(true, out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn stored(plain: &[u8], empty_last: bool) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = StoredBlocks::new(NonZeroU16::new(2).unwrap(), empty_last);
        encoder.write(plain, &mut out);
        encoder.finish(&mut out);
        out
    }

    #[test]
    fn blocks() {
        let empty = [1, 0, 0, 255, 255];
        assert_eq!(stored(b"", false), empty);
        assert_eq!(stored(b"", true), empty);
        assert_eq!(stored(b"ab", false), [1, 2, 0, 253, 255, b'a', b'b']);
        assert_eq!(stored(b"abc", false), [0, 2, 0, 253, 255, b'a', b'b', 1, 1, 0, 254, 255, b'c']);
        assert_eq!(stored(b"ab", true), [&[0, 2, 0, 253, 255, b'a', b'b'][..], &empty].concat());
    }
}
