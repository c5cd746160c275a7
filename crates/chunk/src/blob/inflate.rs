//! Plain bytes out of the middle of a gzip stream.
//!
//! ```text
//!   priming bits ─► prefix ┐
//!   in_offset..in_end ─────┴─► raw inflate, with the dictionary ─► skipped up to the chunk ─► chunk
//!                              │ member ends: 8 bytes of trailer and the next header are passed over
//!                              └ stays where it is: the next chunk of the context goes on from here
//! ```
//!
//! A context begins in the middle of a byte. The decoder takes whole bytes, so what is missing in front is filled up
//! with empty blocks: they give nothing, and all that follows keeps its place in its byte, which stored blocks need.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use std::sync::Arc;

use flate2::{Decompress, FlushDecompress, Status};
use nydus_convert_rafs::meta::zran::Context;

use super::error::{BlobError, ChunkError};
use super::reader::BlobReader;
use super::source::ReadAt;

/// Bytes that are read at once from the gzip stream.
const PIECE: usize = 64 << 10;
/// Bytes that are passed over at once.
const SCRATCH: usize = 32 << 10;

/// A decoder inside of a context.
pub(crate) struct Inflating {
    /// Whose context: one for each source of chunks, compared by address, and alive as long as this is.
    owner: Arc<()>,
    number: u32,
    decoder: Decompress,
    /// Plain bytes given so far.
    given: u64,
    input: Input,
}

/// What is still to be decoded.
struct Input {
    bytes: Vec<u8>,
    used: usize,
    /// What follows in the gzip stream.
    at: u64,
    end: u64,
}

impl Inflating {
    /// At the beginning of context `number`.
    pub(crate) fn new(
        owner: &Arc<()>,
        number: u32,
        (context, dictionary): (&Context, &[u8]),
    ) -> Result<Self, ChunkError> {
        let mut decoder = Decompress::new(false);
        if !dictionary.is_empty() {
            decoder.set_dictionary(dictionary).map_err(|_| damaged("the dictionary is not accepted"))?;
        }
        Ok(Self {
            owner: Arc::clone(owner),
            number,
            decoder,
            given: 0,
            input: Input {
                bytes: prefix(context.byte, context.bits),
                used: 0,
                at: context.in_offset,
                end: context.in_offset.saturating_add(context.in_len.into()),
            },
        })
    }

    /// Whether this decoder is in that context, and not behind `offset` yet.
    pub(crate) fn can_give(&self, owner: &Arc<()>, number: u32, offset: u64) -> bool {
        self.number == number && self.given <= offset && Arc::ptr_eq(&self.owner, owner)
    }

    /// Fills `plain` with what lies at `offset` of the context. The memory in use never depends on the lengths given.
    pub(crate) fn read<S: ReadAt>(
        &mut self,
        data: &BlobReader<S>,
        offset: u64,
        plain: &mut [u8],
    ) -> Result<(), InflateError> {
        let mut scratch = [0; SCRATCH];
        while self.given < offset {
            let left = usize::try_from(offset.saturating_sub(self.given)).unwrap_or(SCRATCH).min(SCRATCH);
            self.fill(data, scratch.get_mut(..left).unwrap_or_default())?;
        }
        self.fill(data, plain)
    }

    fn fill<S: ReadAt>(&mut self, data: &BlobReader<S>, out: &mut [u8]) -> Result<(), InflateError> {
        let mut filled = 0;
        while let Some(rest) = out.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let input = self.input.ready(data)?;
            let last = input.is_empty();
            let (used, given) = (self.decoder.total_in(), self.decoder.total_out());
            let status = self.decoder.decompress(input, rest, FlushDecompress::None);
            let step =
                |total: u64, before: u64| usize::try_from(total.saturating_sub(before)).unwrap_or_default();
            let (used, given) = (step(self.decoder.total_in(), used), step(self.decoder.total_out(), given));
            self.input.used = self.input.used.saturating_add(used);
            self.given = self.given.saturating_add(given as u64);
            filled = filled.saturating_add(given);
            match status {
                Ok(Status::StreamEnd) => {
                    self.input.next_member(data)?;
                    self.decoder.reset(false);
                }
                Ok(_) if given == 0 && used == 0 && last => return Err(truncated()),
                Ok(_) => {}
                Err(_) => return Err(damaged("its gzip stream is damaged").into()),
            }
        }
        Ok(())
    }
}

/// Why plain bytes cannot be had.
pub(crate) enum InflateError {
    /// The source failed.
    Read(BlobError),
    /// The stream is to blame.
    Chunk(ChunkError),
}

impl From<ChunkError> for InflateError {
    fn from(error: ChunkError) -> Self {
        Self::Chunk(error)
    }
}

fn damaged(what: &'static str) -> ChunkError {
    ChunkError::Inflate { what }
}

fn truncated() -> InflateError {
    damaged("its gzip stream ends before it").into()
}

impl Input {
    /// What is to be decoded next; nothing at the end.
    fn ready<S: ReadAt>(&mut self, data: &BlobReader<S>) -> Result<&[u8], InflateError> {
        if self.used >= self.bytes.len() {
            let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(PIECE).min(PIECE);
            self.bytes.resize(left, 0);
            self.used = 0;
            data.read(self.at, &mut self.bytes).map_err(InflateError::Read)?;
            self.at = self.at.saturating_add(left as u64);
        }
        Ok(self.bytes.get(self.used..).unwrap_or_default())
    }

    fn byte<S: ReadAt>(&mut self, data: &BlobReader<S>) -> Result<u8, InflateError> {
        let byte = self.ready(data)?.first().copied().ok_or_else(truncated)?;
        self.used = self.used.saturating_add(1);
        Ok(byte)
    }

    fn skip<S: ReadAt>(&mut self, data: &BlobReader<S>, count: u16) -> Result<(), InflateError> {
        (0..count).try_for_each(|_| self.byte(data).map(drop))
    }

    fn skip_text<S: ReadAt>(&mut self, data: &BlobReader<S>) -> Result<(), InflateError> {
        while self.byte(data)? != 0 {}
        Ok(())
    }

    /// Passes over the trailer of one member and the header of the next.
    fn next_member<S: ReadAt>(&mut self, data: &BlobReader<S>) -> Result<(), InflateError> {
        self.skip(data, 8)?;
        let mut header = [0; 10];
        for byte in &mut header {
            *byte = self.byte(data)?;
        }
        let [0x1f, 0x8b, 8, flags, ..] = header else {
            return Err(damaged("no gzip member follows where one should").into());
        };
        if flags & 0x04 != 0 {
            let length = u16::from_le_bytes([self.byte(data)?, self.byte(data)?]);
            self.skip(data, length)?;
        }
        for _ in 0..(flags & 0x18).count_ones() {
            self.skip_text(data)?;
        }
        if flags & 0x02 != 0 {
            self.skip(data, 2)?;
        }
        Ok(())
    }
}

/// Whole bytes that give nothing and end with the `bits` highest bits of `byte`.
fn prefix(byte: u8, bits: u8) -> Vec<u8> {
    let mut written = Bits::default();
    let bits = bits & 7;
    if bits == 0 {
        return written.bytes;
    }
    // Empty blocks of the fixed code have 10 bits, so they fill up even numbers of them.
    let missing = u32::from(8_u8.saturating_sub(bits));
    if !missing.is_multiple_of(2) {
        written.odd_block();
    }
    while written.count % 8 != missing {
        // Not the last block, fixed code, end of block.
        written.put(0b010, 3);
        written.put(0, 7);
    }
    written.put(u32::from(byte).unbounded_shr(missing), bits.into());
    written.bytes
}

/// Bits, lowest first.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    count: u32,
}

impl Bits {
    fn put(&mut self, value: u32, count: u32) {
        for at in 0..count {
            if self.count.is_multiple_of(8) {
                self.bytes.push(0);
            }
            let bit = u8::from(value.unbounded_shr(at) & 1 == 1);
            if let Some(last) = self.bytes.last_mut() {
                *last |= bit.unbounded_shl(self.count % 8);
            }
            self.count = self.count.saturating_add(1);
        }
    }

    /// An empty block of 93 bits: with a code of its own, which has the end of the block and nothing else.
    fn odd_block(&mut self) {
        // Not the last, dynamic; 257 literal codes, 1 distance code, 18 code lengths.
        for (value, count) in [(0b100, 3), (0, 5), (0, 5), (14, 4)] {
            self.put(value, count);
        }
        // In the order 16 17 18 0 8 7 9 6 10 5 11 4 12 3 13 2 14 1: symbols 18 and 0 take two bits, 1 takes one.
        for position in 0..18 {
            self.put(
                match position {
                    2 | 3 => 2,
                    17 => 1,
                    _ => 0,
                },
                3,
            );
        }
        // Codes come highest bit first: 1 is `0`, 0 is `10`, 18 is `11`. 138 and 118 zeros, a 1 for the end of block,
        // a 0 for the only distance, then the end of block.
        for (value, count) in [(0b11, 2), (127, 7), (0b11, 2), (107, 7), (0, 1), (0b01, 2), (0, 1)] {
            self.put(value, count);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
    #![allow(clippy::cast_possible_truncation)]
    use super::*;

    #[test]
    fn a_prefix_gives_nothing_and_ends_with_the_bits() {
        for bits in 1..8 {
            for byte in [0, 0xff, 0xa5] {
                let prefix = prefix(byte, bits);
                let last = *prefix.last().unwrap();
                assert_eq!(last >> (8 - bits), byte >> (8 - bits));
                // Instead of the bits, a last block that is stored: it begins in the same byte or the next.
                let mut stream = prefix;
                let mut rest =
                    Bits { count: stream.len() as u32 * 8 - u32::from(bits), bytes: stream.clone() };
                *rest.bytes.last_mut().unwrap() &= 0xff >> bits;
                rest.put(0b001, 3);
                stream = rest.bytes;
                stream.extend([3, 0, 0xfc, 0xff, b'a', b'b', b'c']);
                let mut plain = [0; 8];
                let mut decoder = Decompress::new(false);
                let status = decoder.decompress(&stream, &mut plain, FlushDecompress::Finish);
                assert_eq!((status.unwrap(), decoder.total_out()), (Status::StreamEnd, 3), "{bits} bits");
                assert_eq!(&plain[..3], b"abc");
            }
        }
        assert!(prefix(0xff, 0).is_empty());
    }
}
