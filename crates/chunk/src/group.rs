//! Groups of chunks: how plain bytes travel through the pipeline.
//!
//! ```text
//!   [ chunk 0 | chunk 1 | chunk 2 ............ ]   back to back in one buffer
//!             ends[0]   ends[1]             ends[2]
//! ```
//! Thousands of small files would drown in hand-overs one by one; together they cost one.

use std::fmt;
use std::io::{self, Read};

use crate::buffer::{Buffer, Buffers};

/// Chunks back to back in one buffer, made by [`crate::Buffers::group`].
pub struct Group {
    buffer: Buffer,
    ends: Vec<usize>,
    /// Positions of chunks that are whole files, ascending.
    files: Vec<usize>,
}

impl Buffers {
    /// An empty group of chunks.
    pub fn group(&self) -> Group {
        Group::new(self.take())
    }
}

impl Group {
    pub(crate) fn new(buffer: Buffer) -> Self {
        Self { buffer, ends: Vec::new(), files: Vec::new() }
    }

    /// The size a group is meant to have: enough work to hide a hand-over, small enough for a processor's cache.
    pub const TARGET: usize = 256 << 10;

    /// Whether a chunk of `length` bytes should still go into this group: into an empty one any may, after that
    /// only up to the target size. So small chunks travel together and a large one alone.
    pub fn fits(&self, length: usize) -> bool {
        self.is_empty() || self.bytes().saturating_add(length) <= Self::TARGET
    }

    /// Appends a chunk.
    pub fn push(&mut self, chunk: &[u8]) {
        self.buffer.extend(chunk);
        self.ends.push(self.buffer.filled().len());
    }

    /// Appends a chunk that `fill` writes straight into the group: it gets `length` bytes of any content and says how
    /// many from the start of them are the chunk. None is no chunk. After an error the group is as it was.
    pub fn fill<E>(
        &mut self,
        length: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        let filled = fill(self.buffer.space(length))?.min(length);
        if filled > 0 {
            self.buffer.commit(filled);
            self.ends.push(self.buffer.filled().len());
        }
        Ok(filled)
    }

    /// Appends a chunk of exactly `length` bytes from `source`. After an error the group is as it was; a source
    /// that ends early is [`io::ErrorKind::UnexpectedEof`].
    pub fn read_chunk(&mut self, mut source: impl Read, length: usize) -> io::Result<()> {
        self.fill(length, |space| source.read_exact(space).map(|()| length))?;
        Ok(())
    }

    /// Says that the chunk added last is all of a file. Such chunks may be stored in batches.
    pub fn mark_file(&mut self) {
        if let Some(last) = self.ends.len().checked_sub(1).filter(|last| self.files.last() != Some(last)) {
            self.files.push(last);
        }
    }

    /// Number of chunks.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether it has no chunk.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Plain bytes of all chunks together.
    pub fn bytes(&self) -> usize {
        self.buffer.filled().len()
    }

    /// The chunks in order.
    pub fn chunks(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |&end| &self.buffer.filled()[std::mem::replace(&mut start, end)..end])
    }

    /// For each chunk whether it is all of a file.
    pub(crate) fn is_file(&self) -> impl Iterator<Item = bool> + '_ {
        let mut files = self.files.iter().copied().peekable();
        (0..self.len()).map(move |position| files.next_if_eq(&position).is_some())
    }

    /// All chunks as one run of bytes.
    pub(crate) fn all(&self) -> &[u8] {
        self.buffer.filled()
    }

    /// Where chunk number `position` ends in that run.
    pub(crate) fn end_of(&self, position: usize) -> Option<usize> {
        self.ends.get(position).copied()
    }

    /// Memory that the group holds.
    pub(crate) fn memory(&self) -> usize {
        self.buffer.capacity()
    }

    /// An empty buffer from the shelf of this group's own.
    pub(crate) fn sibling_buffer(&self) -> Buffer {
        self.buffer.sibling()
    }

    /// The buffer, with all chunks as one run of bytes.
    pub(crate) fn into_buffer(self) -> Buffer {
        self.buffer
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("chunks", &self.len()).field("bytes", &self.bytes()).finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::Buffers;

    #[test]
    fn chunks_come_out_as_they_went_in() {
        let mut group = Buffers::new(0).group();
        assert!(group.is_empty() && group.fits(usize::MAX));
        group.push(b"one");
        group.read_chunk(&b"two and more"[..], 3).unwrap();
        let error = group.read_chunk(&b"short"[..], 6).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(group.fill(9, |space| space.len().checked_sub(9).ok_or(())), Ok(0));
        assert_eq!(group.fill(4, |_| Err(())), Err(()));
        group.push(b"three");
        let filled = group.fill(8, |space| {
            space[..4].copy_from_slice(b"four");
            Ok::<_, ()>(4)
        });
        assert_eq!(filled, Ok(4));
        assert_eq!(group.chunks().collect::<Vec<_>>(), [&b"one"[..], b"two", b"three", b"four"]);
        group.mark_file();
        group.mark_file();
        assert_eq!(group.is_file().collect::<Vec<_>>(), [false, false, false, true]);
        assert_eq!((group.len(), group.bytes()), (4, 15));
        assert!(group.fits(Group::TARGET - 15) && !group.fits(Group::TARGET - 14));
        assert!(!group.fits(usize::MAX));
        assert_eq!(group.into_buffer().filled(), b"onetwothreefour");
    }
}
