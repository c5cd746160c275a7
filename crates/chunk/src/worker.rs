//! What a thread keeps from item to item: compression contexts and scratch memory. Results never depend on it.

use std::io;
use std::sync::Arc;

use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};
use nydus_convert_rafs::{Compressor, DecompressError};
use zstd::bulk;

use crate::Compression;
use crate::blob::Inflating;

/// Reusable state of one thread; work functions get it from the pool. Making one is free: contexts are made when
/// they are first needed.
#[derive(Default)]
pub struct Worker {
    /// With the level it was made for.
    zstd_encoder: Option<(i32, bulk::Compressor<'static>)>,
    zstd_decoder: Option<bulk::Decompressor<'static>>,
    /// For inputs below 64 KiB, and for all others. The choice decides the bytes, so it must not depend on history.
    lz4_small: Option<CompressTable>,
    lz4_large: Option<CompressTable>,
    /// Stored bytes on their way in.
    pub(crate) stored: Vec<u8>,
    /// The plain bytes of the batch that was read last: neighbours follow.
    pub(crate) batch: Option<PlainBatch>,
    /// Inside of the gzip layer that was read last: neighbours follow.
    pub(crate) inflating: Option<Box<Inflating>>,
}

/// A batch as it came out of its blob.
pub(crate) struct PlainBatch {
    /// Whose it is: one for each [`crate::ChunkSource`], compared by address, and alive as long as this is.
    pub(crate) owner: Arc<()>,
    /// Its number there.
    pub(crate) number: u32,
    /// All its members.
    pub(crate) plain: Vec<u8>,
}

/// Bytes of output space that [`Worker::compress`] wants for `length` bytes of input.
pub(crate) fn compress_bound(compression: Compression, length: usize) -> usize {
    match compression {
        Compression::None => 0,
        Compression::Lz4Block => get_maximum_output_size(length),
        Compression::Zstd { .. } => zstd::zstd_safe::compress_bound(length),
    }
}

impl Worker {
    /// Compresses one item into the start of `out`, which has [`compress_bound`] bytes. `None`: store it raw,
    /// since compression would not make it smaller.
    pub(crate) fn compress(
        &mut self,
        compression: Compression,
        plain: &[u8],
        out: &mut [u8],
    ) -> io::Result<Option<usize>> {
        let length = match compression {
            Compression::None => return Ok(None),
            Compression::Lz4Block => {
                let table = if plain.len() < usize::from(u16::MAX) {
                    self.lz4_small.get_or_insert_with(CompressTable::small)
                } else {
                    self.lz4_large.get_or_insert_with(CompressTable::large)
                };
                compress_into_with_table(plain, out, table).map_err(io::Error::other)?
            }
            Compression::Zstd { level } => self.zstd(level.get())?.compress_to_buffer(plain, out)?,
        };
        Ok((length < plain.len()).then_some(length))
    }

    fn zstd(&mut self, level: i32) -> io::Result<&mut bulk::Compressor<'static>> {
        let kept = self.zstd_encoder.take().filter(|(of, _)| *of == level);
        let encoder = match kept {
            Some(encoder) => encoder,
            None => (level, bulk::Compressor::new(level)?),
        };
        Ok(&mut self.zstd_encoder.insert(encoder).1)
    }

    /// As [`Compressor::decompress`], with a context that is kept.
    pub(crate) fn decompress(
        &mut self,
        compressor: Compressor,
        stored: &[u8],
        plain: &mut [u8],
    ) -> Result<(), DecompressError> {
        if compressor != Compressor::Zstd {
            return compressor.decompress(stored, plain);
        }
        let expected = plain.len();
        let damaged = |_| DecompressError::Damaged { compressor, expected };
        let decoder = match &mut self.zstd_decoder {
            Some(decoder) => decoder,
            none => none.insert(bulk::Decompressor::new().map_err(damaged)?),
        };
        let actual = decoder.decompress_to_buffer(stored, plain).map_err(damaged)?;
        if actual == expected {
            Ok(())
        } else {
            Err(DecompressError::Length { compressor, expected, actual })
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Reused contexts give the bytes of fresh ones.
    #[test]
    fn history_does_not_show() {
        let text: Vec<u8> = (0..200_000u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        let mut used = Worker::default();
        for name in ["zstd", "zstd:1", "zstd:19", "zstd:-5", "lz4_block", "zstd"] {
            let compression: Compression = name.parse().unwrap();
            for length in [100, 800_000, 4096, 65_534, 65_535, 65_536, 300_000, 17] {
                let run = |worker: &mut Worker| {
                    let mut out = vec![0; compress_bound(compression, length)];
                    let stored = worker.compress(compression, &text[..length], &mut out).unwrap();
                    stored.map(|stored| out[..stored].to_vec())
                };
                let expected = run(&mut Worker::default());
                assert_eq!(run(&mut used), expected, "{name} {length}");
                let Some(stored) = expected else { continue };
                let mut plain = vec![1; length];
                used.decompress(compression.compressor(), &stored, &mut plain).unwrap();
                assert!(plain == text[..length]);
            }
        }
    }

    #[test]
    fn one_shot_bytes() {
        let text = b"the same bytes as the one-shot function ".repeat(500);
        let level = crate::ZstdLevel::default();
        let mut out = vec![0; compress_bound(Compression::Zstd { level }, text.len())];
        let mut worker = Worker::default();
        let length = worker.compress(Compression::Zstd { level }, &text, &mut out).unwrap().unwrap();
        assert!(out[..length] == zstd::bulk::compress(&text, 3).unwrap());
        let length = worker.compress(Compression::Lz4Block, &text[..16_000], &mut vec![0; 20_000]);
        assert_eq!(length.unwrap().unwrap(), lz4_flex::block::compress(&text[..16_000]).len());
    }

    #[test]
    fn what_does_not_shrink_is_raw() {
        for name in ["zstd", "lz4_block", "none"] {
            let compression: Compression = name.parse().unwrap();
            let mut out = [0; 600];
            assert_eq!(
                Worker::default().compress(compression, b"abcdefg", &mut out).unwrap(),
                None,
                "{name}"
            );
        }
    }

    #[test]
    fn wrong_lengths() {
        let stored = zstd::bulk::compress(&[7; 5000], 3).unwrap();
        let mut worker = Worker::default();
        let run = |worker: &mut Worker, length| {
            worker.decompress(Compressor::Zstd, &stored, &mut vec![0; length]).unwrap_err()
        };
        assert!(matches!(run(&mut worker, 4999), DecompressError::Damaged { expected: 4999, .. }));
        assert!(matches!(run(&mut worker, 5001), DecompressError::Length { actual: 5000, .. }));
    }
}
