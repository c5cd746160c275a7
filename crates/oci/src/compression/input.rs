//! A read buffer with a position, from which decoders take what they like.

use std::io::{self, Read};

use super::watch::Watch;
use crate::verify::read_some;

/// Bytes read at once. Smaller costs system calls, larger leaves the cache of the core.
const BUFFER: usize = 256 << 10;

/// A reader with the bytes that were read ahead, and who watches them being used.
pub(super) struct Input<R, W> {
    inner: R,
    pub(super) watch: W,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    consumed: u64,
}

impl<R: Read, W: Watch> Input<R, W> {
    pub fn new(inner: R, watch: W) -> Self {
        Self { inner, watch, buffer: vec![0; BUFFER].into_boxed_slice(), start: 0, end: 0, consumed: 0 }
    }

    /// What was read and not consumed.
    pub fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Bytes consumed since the beginning of the stream.
    pub fn offset(&self) -> u64 {
        self.consumed
    }

    /// Marks the first `n` of [`bytes`](Self::bytes) as used.
    pub fn consume(&mut self, n: usize) {
        let n = n.min(self.end - self.start);
        self.watch.stored(self.buffer.get(self.start..self.start + n).unwrap_or_default());
        self.pass(n);
    }

    /// The same, untold.
    pub fn pass(&mut self, n: usize) {
        let n = n.min(self.end - self.start);
        self.start += n;
        self.consumed += n as u64;
    }

    /// Makes sure that there is at least one byte; without one, the stream is over.
    pub fn fill(&mut self) -> io::Result<&[u8]> {
        self.peek(1)
    }

    /// Makes sure that there are at least `want` bytes; with fewer, those are the last of the stream.
    pub fn peek(&mut self, want: usize) -> io::Result<&[u8]> {
        while self.end - self.start < want.min(self.buffer.len()) {
            if self.start > 0 {
                self.buffer.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            }
            let n = read_some(&mut self.inner, self.buffer.get_mut(self.end..).unwrap_or_default())?;
            if n == 0 {
                break;
            }
            self.end += n;
        }
        Ok(self.bytes())
    }

    /// The reader itself, for those who do without the buffer. Only while the buffer is empty.
    pub fn inner(&mut self) -> &mut R {
        &mut self.inner
    }
}
