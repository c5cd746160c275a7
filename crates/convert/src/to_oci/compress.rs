//! Fresh compression of a tar. The bytes depend on the tar and the level alone.
//!
//! ```text
//!   gzip:  blocks of 1 MiB, made apart from each other with the end of the one before as dictionary
//!          header │ block … 00 00 ff ff │ block … 00 00 ff ff │ last block │ CRC-32, length
//! ```

use std::io::{self, Read, Write};
use std::num::NonZeroUsize;

use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use nydus_convert_chunk::ordered::Pool;
use nydus_convert_oci::nydus::LayerStorage;

use crate::options::Layers;

/// Plain bytes of one gzip block.
const BLOCK: usize = 1 << 20;
/// How far back deflate sees.
const DICTIONARY: usize = 32 << 10;
/// No name, no time, system unknown: as Go writes it.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// What [`compress`] does, in words.
pub fn describe(layers: Layers) -> String {
    match layers {
        Layers::Original => format!("gzip level {}, made anew", Layers::GZIP_LEVEL),
        Layers::Gzip(level) => format!("gzip level {level}, made anew"),
        Layers::Zstd(level) => format!("zstd level {level}, made anew"),
        Layers::Plain => "not compressed".to_owned(),
    }
}

/// How layers are stored when they are made anew.
pub fn storage(layers: Layers) -> LayerStorage {
    match layers {
        Layers::Original | Layers::Gzip(_) => LayerStorage::Gzip,
        Layers::Zstd(_) => LayerStorage::Zstd,
        Layers::Plain => LayerStorage::Plain,
    }
}

/// Writes `tar` to `out` as asked for; gives `out` back.
pub fn compress<W: Write>(pool: &Pool, layers: Layers, tar: &mut dyn Read, mut out: W) -> io::Result<W> {
    match layers {
        Layers::Original => gzip(pool, Layers::GZIP_LEVEL, tar, out),
        Layers::Gzip(level) => gzip(pool, level, tar, out),
        Layers::Zstd(level) => {
            let mut encoder = zstd::stream::write::Encoder::new(out, level)?;
            io::copy(tar, &mut encoder)?;
            encoder.finish()
        }
        Layers::Plain => {
            io::copy(tar, &mut out)?;
            Ok(out)
        }
    }
}

/// A block on its way to a thread.
struct Block {
    /// The dictionary and the block's own bytes behind it.
    bytes: Vec<u8>,
    dictionary: usize,
    last: bool,
}

fn gzip<W: Write>(pool: &Pool, level: u32, tar: &mut dyn Read, mut out: W) -> io::Result<W> {
    let mut blocks = Blocks { tar, next: None, crc: Crc::new(), ended: false, failed: None };
    let window = NonZeroUsize::new(2 * pool.threads()).unwrap_or(NonZeroUsize::MIN);
    out.write_all(&HEADER)?;
    for deflated in pool.map(&mut blocks, window, move |_, block| deflate(level, &block)) {
        out.write_all(&deflated?)?;
    }
    if let Some(error) = blocks.failed {
        return Err(error);
    }
    out.write_all(&blocks.crc.sum().to_le_bytes())?;
    // The length modulo 2³², as gzip has it.
    out.write_all(&blocks.crc.amount().to_le_bytes())?;
    Ok(out)
}

/// Cuts a tar into blocks.
struct Blocks<'a> {
    tar: &'a mut dyn Read,
    /// A block that was read ahead: only then is known which one is the last.
    next: Option<Vec<u8>>,
    crc: Crc,
    ended: bool,
    failed: Option<io::Error>,
}

impl Blocks<'_> {
    /// The next block with its dictionary in front; empty at the end.
    fn read(&mut self, before: &[u8]) -> io::Result<Vec<u8>> {
        let dictionary = before.len().saturating_sub(DICTIONARY);
        let mut bytes = before.get(dictionary..).unwrap_or_default().to_vec();
        let start = bytes.len();
        (&mut self.tar).take(BLOCK as u64).read_to_end(&mut bytes)?;
        self.crc.update(bytes.get(start..).unwrap_or_default());
        Ok(bytes)
    }

    fn step(&mut self) -> io::Result<Option<Block>> {
        if self.ended {
            return Ok(None);
        }
        let (bytes, dictionary) = match self.next.take() {
            Some(bytes) => (bytes, DICTIONARY),
            None => (self.read(&[])?, 0),
        };
        let next = self.read(&bytes)?;
        // Nothing but the dictionary: this block is the last.
        let last = next.len() == bytes.len().min(DICTIONARY);
        self.ended = last;
        self.next = Some(next).filter(|_| !last);
        Ok(Some(Block { bytes, dictionary, last }))
    }
}

impl Iterator for Blocks<'_> {
    type Item = Block;

    fn next(&mut self) -> Option<Block> {
        self.step().unwrap_or_else(|error| {
            self.failed = Some(error);
            self.ended = true;
            None
        })
    }
}

/// The deflate bytes of one block.
fn deflate(level: u32, block: &Block) -> io::Result<Vec<u8>> {
    let mut encoder = Compress::new(Compression::new(level), false);
    let (dictionary, plain) = block.bytes.split_at(block.dictionary.min(block.bytes.len()));
    if !dictionary.is_empty() {
        encoder.set_dictionary(dictionary)?;
    }
    let mut out = Vec::with_capacity(plain.len() / 2 + 1024);
    let flush = if block.last { FlushCompress::Finish } else { FlushCompress::Sync };
    loop {
        let taken = usize::try_from(encoder.total_in()).unwrap_or(usize::MAX);
        out.reserve(64 << 10);
        let status = encoder.compress_vec(plain.get(taken..).unwrap_or_default(), &mut out, flush)?;
        // A flush is complete when there was room to spare.
        let done = if block.last { status == Status::StreamEnd } else { out.len() < out.capacity() };
        if done {
            return Ok(out);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_length_and_kind_comes_back_at_any_number_of_threads() {
        let text: Vec<u8> =
            (0..(3 * BLOCK as u32 + 777)).map(|i| ((i / 7).wrapping_mul(i) >> 9) as u8).collect();
        for length in [0, 1, DICTIONARY - 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, text.len()] {
            let plain = &text[..length];
            for layers in [Layers::Gzip(1), Layers::Gzip(9), Layers::Zstd(3), Layers::Plain] {
                let [one, four] = [1, 4].map(|threads| {
                    let pool = Pool::new(NonZeroUsize::new(threads).unwrap());
                    compress(&pool, layers, &mut &plain[..], Vec::new()).unwrap()
                });
                assert!(one == four);
                let mut back = Vec::new();
                nydus_convert_oci::decompress(&one[..], u64::MAX).unwrap().read_to_end(&mut back).unwrap();
                assert!(back == plain, "{layers:?} {length}");
            }
        }
    }

    #[test]
    fn errors_of_the_source_are_told() {
        struct Fails;
        impl Read for Fails {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("broken"))
            }
        }
        let pool = Pool::new(NonZeroUsize::MIN);
        let error = compress(&pool, Layers::Gzip(6), &mut Fails, Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "broken");
    }
}
