//! The payload of a tar: slices of chunks, one behind the other, as a stream.

use std::io::{self, Read};

use nydus_convert_chunk::{BlobError, PlainChunk};
use nydus_convert_layer::record::{Part, Slice};

/// Reads slices of chunks. `chunks` gives the chunk of every slice, but one for several slices in a row of the same.
///
/// Errors of the chunks are [`BlobError`]s inside [`io::Error`]s.
pub struct Payload<C, S> {
    chunks: C,
    slices: S,
    chunk: Option<(u32, PlainChunk)>,
    /// What is left of the present slice.
    start: usize,
    end: usize,
}

impl<C, S> Payload<C, S>
where
    C: Iterator<Item = Result<PlainChunk, BlobError>>,
    S: Iterator<Item = Slice>,
{
    /// At the first slice.
    pub fn new(chunks: C, slices: S) -> Self {
        Self { chunks, slices, chunk: None, start: 0, end: 0 }
    }

    /// Goes to the next slice; `false` behind the last one.
    fn next_slice(&mut self) -> io::Result<bool> {
        let Some(Slice { chunk: number, part }) = self.slices.next() else { return Ok(false) };
        if self.chunk.as_ref().is_none_or(|(current, _)| *current != number) {
            // Before the next one is waited for.
            self.chunk = None;
            let chunk = self.chunks.next().ok_or_else(|| io::Error::other(NoSuchChunk { number }))?;
            self.chunk = Some((number, chunk.map_err(io::Error::other)?));
        }
        let length = self.chunk.as_ref().map_or(0, |(_, chunk)| chunk.len());
        (self.start, self.end) = match part {
            Part::Whole => (0, length),
            Part::Range { start, length: part } => {
                let range = usize::try_from(start).ok().zip(usize::try_from(start.saturating_add(part)).ok());
                let range = range.filter(|(_, end)| *end <= length);
                range.ok_or_else(|| io::Error::other(NoSuchChunk { number }))?
            }
        };
        Ok(true)
    }
}

/// The record speaks of a chunk, or of a part of one, that the blob does not have.
#[derive(Debug, thiserror::Error)]
#[error("the record uses chunk {number} where the blob has none, or a shorter one")]
pub struct NoSuchChunk {
    number: u32,
}

impl<C, S> Read for Payload<C, S>
where
    C: Iterator<Item = Result<PlainChunk, BlobError>>,
    S: Iterator<Item = Slice>,
{
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.start == self.end {
            if !self.next_slice()? {
                return Ok(0);
            }
        }
        let Some((_, chunk)) = &self.chunk else { return Ok(0) };
        let rest = chunk.get(self.start..self.end).unwrap_or_default();
        let length = rest.len().min(out.len());
        out[..length].copy_from_slice(&rest[..length]);
        self.start += length;
        Ok(length)
    }
}
