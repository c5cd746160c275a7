//! Buffers that go around: taken by whoever fills them, given back by whoever drops them, on any thread.
//!
//! ```text
//!   bytes  [ filled ................ | initialised before | spare capacity ]
//!          0                       used                 len         capacity
//! ```
//! A buffer keeps the length it was once initialised to, so its memory is cleared once and not for every use.

use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

/// Where empty buffers wait. Clones are handles to the same shelf.
#[derive(Clone)]
pub struct Buffers {
    shelf: Arc<Shelf>,
}

struct Shelf {
    limit: usize,
    free: Mutex<Free>,
}

#[derive(Default)]
struct Free {
    /// Sum of the capacities.
    bytes: usize,
    buffers: Vec<Vec<u8>>,
}

impl Buffers {
    /// A shelf that keeps at most `limit` bytes of memory; what comes back beyond that is freed.
    pub fn new(limit: usize) -> Self {
        Self { shelf: Arc::new(Shelf { limit, free: Mutex::default() }) }
    }

    pub(crate) fn take(&self) -> Buffer {
        let mut free = self.shelf.free.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = free.buffers.pop().unwrap_or_default();
        free.bytes -= bytes.capacity();
        Buffer { bytes, used: 0, home: self.clone() }
    }

    fn give_back(&self, bytes: Vec<u8>) {
        let mut free = self.shelf.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.bytes + bytes.capacity() <= self.shelf.limit {
            free.bytes += bytes.capacity();
            free.buffers.push(bytes);
        }
    }
}

impl fmt::Debug for Buffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffers").field("limit", &self.shelf.limit).finish_non_exhaustive()
    }
}

/// Growing memory that goes home when dropped.
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    used: usize,
    home: Buffers,
}

impl Buffer {
    /// Another, empty one from the same shelf.
    pub(crate) fn sibling(&self) -> Self {
        self.home.take()
    }

    /// What was put in.
    pub(crate) fn filled(&self) -> &[u8] {
        &self.bytes[..self.used]
    }

    /// Memory that it holds, filled or not.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// `length` bytes of any content behind what is filled; [`Buffer::commit`] makes the first of them count.
    pub(crate) fn space(&mut self, length: usize) -> &mut [u8] {
        let end = self.used + length;
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        &mut self.bytes[self.used..end]
    }

    /// Makes `length` bytes of the space count as filled.
    pub(crate) fn commit(&mut self, length: usize) {
        self.used = self.bytes.len().min(self.used + length);
    }

    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        self.space(bytes.len()).copy_from_slice(bytes);
        self.commit(bytes.len());
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.home.give_back(mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_empty() {
        let shelf = Buffers::new(1 << 20);
        let mut buffer = shelf.take();
        buffer.extend(b"abc");
        buffer.space(2).copy_from_slice(b"de");
        buffer.commit(1);
        assert_eq!(buffer.filled(), b"abcd");
        let memory = buffer.filled().as_ptr();
        drop(buffer);
        let mut buffer = shelf.take();
        assert_eq!(buffer.filled(), b"");
        assert_eq!(buffer.filled().as_ptr(), memory);
        buffer.extend(b"x");
        assert_eq!(buffer.filled(), b"x");
    }

    #[test]
    fn the_shelf_keeps_no_more_than_its_limit() {
        let shelf = Buffers::new(10_000);
        let filled = [4000, 4000, 4000].map(|length| {
            let mut buffer = shelf.take();
            buffer.extend(&vec![0; length]);
            buffer
        });
        drop(filled);
        let free = shelf.shelf.free.lock();
        assert!(free.is_ok_and(|free| free.buffers.len() == 2 && free.bytes == 8000));
    }
}
