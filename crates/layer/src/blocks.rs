//! The stream of raw bytes: read from the source in large pieces, consumed in small ones, and told to the tape.
//!
//! Everything that leaves the stream goes through here, so this is where the promise of the [`Tape`] is kept. Bytes
//! that were only looked at stay in the stream.

use std::collections::VecDeque;
use std::io::{self, Read};

use crate::error::LayerError;
use crate::tape::{BLOCK, Tape};

/// Bytes asked of the source at once: hides the cost of a call per 512-byte header, stays in the cache.
const BUFFER: usize = 128 << 10;

/// What consumed bytes are; see [`Tape`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece {
    Extension,
    Content,
    Skipped,
    Opaque,
    Unclaimed,
}

/// The source with its buffer, and the tape.
#[derive(Debug)]
pub(crate) struct Blocks<R, T> {
    source: R,
    tape: T,
    buffer: Box<[u8]>,
    /// The bytes read and not consumed are `buffer[start..end]`.
    start: usize,
    end: usize,
    /// Bytes consumed so far.
    offset: u64,
    /// Consumed bytes that the tape has not heard of: content taken in by a step that failed. They come next.
    rescued: VecDeque<u8>,
}

impl<R: Read, T: Tape> Blocks<R, T> {
    pub fn new(source: R, tape: T) -> Self {
        let buffer = vec![0; BUFFER].into_boxed_slice();
        Self { source, tape, buffer, start: 0, end: 0, offset: 0, rescued: VecDeque::new() }
    }

    /// Bytes consumed so far: where in the tar the next byte stands.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// The watcher.
    pub const fn tape_mut(&mut self) -> &mut T {
        &mut self.tape
    }

    /// The next `count` bytes (fewer only at the end of the stream), not consumed. `count` is a few blocks at most.
    pub fn peek(&mut self, count: usize) -> Result<&[u8], LayerError> {
        debug_assert!(count <= BUFFER);
        if self.end - self.start < count {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            while self.end < count {
                match self.read_source(Target::Buffer)? {
                    0 => break,
                    read => self.end += read,
                }
            }
        }
        Ok(&self.buffer[self.start..self.end.min(self.start + count)])
    }

    /// Consumes a block that was looked at: a header.
    pub fn take_header(&mut self) {
        if let Some(block) = self.buffer[self.start..self.end].first_chunk::<BLOCK>() {
            self.tape.header(block);
            self.consumed(BLOCK);
        }
    }

    /// Consumes a block that was looked at: zeros.
    pub fn take_zero_block(&mut self) {
        self.tape.zero_blocks(1);
        self.consumed(BLOCK);
    }

    /// Consumes the padding of a last block, told at once: what is there of `count` bytes, which is less than a block.
    pub fn skip_padding(&mut self, count: usize) -> Result<(), LayerError> {
        let present = self.peek(count)?.len();
        if present > 0 {
            self.tape.padding(&self.buffer[self.start..self.start + present]);
            self.consumed(present);
        }
        Ok(())
    }

    /// Consumes all blocks of zeros that come next, and tells of them at once.
    pub fn take_zero_blocks(&mut self) -> Result<(), LayerError> {
        let mut zeros = 0;
        while self.peek(BLOCK)?.len() == BLOCK && crate::header::is_zero(self.peek(BLOCK)?) {
            self.consumed(BLOCK);
            zeros += 1;
        }
        if zeros > 0 {
            self.tape.zero_blocks(zeros);
        }
        Ok(())
    }

    /// Consumes `count` bytes without a use for them. Returns how many there were: fewer only at the end of the stream.
    pub fn skip(&mut self, piece: Piece, count: u64) -> Result<u64, LayerError> {
        let mut left = count;
        while left > 0 {
            let available = self.available(left)?;
            if available == 0 {
                break;
            }
            tell(&mut self.tape, piece, &self.buffer[self.start..self.start + available]);
            self.consumed(available);
            left -= available as u64;
        }
        Ok(count - left)
    }

    /// Appends the next `count` bytes to `body`; returns whether there were that many. The tape hears of them when the
    /// caller [`record`](Self::record)s what it gathered: one body is one event.
    pub fn gather(&mut self, count: u64, body: &mut Vec<u8>) -> Result<bool, LayerError> {
        let mut left = count;
        while left > 0 {
            let available = self.available(left)?;
            if available == 0 {
                return Ok(false);
            }
            body.extend_from_slice(&self.buffer[self.start..self.start + available]);
            self.consumed(available);
            left -= available as u64;
        }
        Ok(true)
    }

    /// Tells the tape of gathered bytes.
    pub fn record(&mut self, piece: Piece, body: &[u8]) {
        tell(&mut self.tape, piece, body);
    }

    /// Consumes bytes into `out`, as much as can be had at once; 0 at the end of the stream (or of `out`). The tape
    /// hears of them when the caller [`record`](Self::record)s or [`rescue`](Self::rescue)s them.
    pub fn pull(&mut self, out: &mut [u8]) -> Result<usize, LayerError> {
        // What is larger than the buffer need not pass through it.
        let read = if self.start == self.end && out.len() >= BUFFER {
            self.read_source(Target::Out(out))?
        } else {
            let available = self.available(out.len() as u64)?;
            out[..available].copy_from_slice(&self.buffer[self.start..self.start + available]);
            self.start += available;
            available
        };
        self.offset += read as u64;
        Ok(read)
    }

    /// Takes pulled bytes back: whoever asked for them does not get them.
    pub fn rescue(&mut self, bytes: &[u8]) {
        self.rescued.extend(bytes);
    }

    /// Moves rescued bytes to `out`, some of them if there are any.
    pub fn pull_rescued(&mut self, out: &mut [u8]) -> usize {
        let (bytes, _) = self.rescued.as_slices();
        let count = bytes.len().min(out.len());
        out[..count].copy_from_slice(&bytes[..count]);
        self.rescued.drain(..count);
        count
    }

    /// Consumes all that is left, which no entry claims.
    pub fn skip_rest(&mut self) -> Result<(), LayerError> {
        let (first, second) = self.rescued.as_slices();
        tell(&mut self.tape, Piece::Opaque, first);
        tell(&mut self.tape, Piece::Opaque, second);
        self.rescued.clear();
        self.skip(Piece::Opaque, u64::MAX)?;
        Ok(())
    }

    /// Consumes all that is left, zeros told as such, and gives source and tape back.
    pub fn drain(mut self) -> Result<(R, T), LayerError> {
        if self.rescued.is_empty() {
            self.take_zero_blocks()?;
        }
        self.skip_rest()?;
        Ok((self.source, self.tape))
    }

    /// How many bytes, up to `limit`, stand in the buffer; it is refilled when empty. 0 at the end of the stream.
    fn available(&mut self, limit: u64) -> Result<usize, LayerError> {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
            self.end = self.read_source(Target::Buffer)?;
        }
        let available = self.end - self.start;
        Ok(usize::try_from(limit).map_or(available, |limit| available.min(limit)))
    }

    fn consumed(&mut self, count: usize) {
        self.start += count;
        self.offset += count as u64;
    }

    /// One call to the source, repeated when a signal interrupts it.
    fn read_source(&mut self, mut target: Target<'_>) -> Result<usize, LayerError> {
        loop {
            let out = match &mut target {
                Target::Buffer => &mut self.buffer[self.end..],
                Target::Out(out) => out,
            };
            match self.source.read(out) {
                Ok(read) => return Ok(read),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    let offset = self.offset + (self.end - self.start) as u64;
                    return Err(LayerError::Read { offset, source });
                }
            }
        }
    }
}

/// Where bytes from the source go.
enum Target<'a> {
    /// Behind what the buffer holds.
    Buffer,
    /// To the caller.
    Out(&'a mut [u8]),
}

fn tell<T: Tape>(tape: &mut T, piece: Piece, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    match piece {
        Piece::Extension => tape.extension(bytes),
        Piece::Content => tape.content(bytes),
        Piece::Skipped => tape.skipped(bytes),
        Piece::Opaque => tape.opaque(bytes),
        Piece::Unclaimed => tape.unclaimed(bytes),
    }
}
