//! Where the writer's bytes go: to a counter, to a stream, or through a window that lets only a part of them pass.
//!
//! Every structure is emitted by one function, run on the counter to learn its size and on the stream to write it, so
//! that sizes and bytes cannot disagree.

use std::io::{self, Write};

/// Takes the bytes of a bootstrap in order.
pub(crate) trait Emit {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()>;

    fn zeros(&mut self, count: u64) -> io::Result<()> {
        const ZEROS: [u8; 4096] = [0; 4096];
        let mut left = count;
        while left > 0 {
            let step = left.min(ZEROS.len() as u64);
            self.put(&ZEROS[..step as usize])?;
            left -= step;
        }
        Ok(())
    }
}

/// Counts bytes.
#[derive(Default)]
struct Count(u64);

impl Emit for Count {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0 += bytes.len() as u64;
        Ok(())
    }

    fn zeros(&mut self, count: u64) -> io::Result<()> {
        self.0 += count;
        Ok(())
    }
}

/// The number of bytes that `emit` emits.
pub(crate) fn measure(emit: impl FnOnce(&mut dyn Emit) -> io::Result<()>) -> io::Result<u64> {
    let mut count = Count::default();
    emit(&mut count)?;
    Ok(count.0)
}

/// Writes bytes and knows how many.
pub(crate) struct Stream<W> {
    out: W,
    position: u64,
}

impl<W: Write> Stream<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, position: 0 }
    }

    /// Zeros up to `offset`. Going back is an error: the plan and the bytes disagree.
    pub(crate) fn pad_to(&mut self, offset: u64) -> io::Result<()> {
        match offset.checked_sub(self.position) {
            Some(count) => self.zeros(count),
            None => Err(io::Error::other(format!(
                "the bootstrap is laid out wrong: at {:#x}, past {offset:#x}",
                self.position
            ))),
        }
    }

    pub(crate) fn finish(mut self) -> io::Result<u64> {
        self.out.flush()?;
        Ok(self.position)
    }
}

impl<W: Write> Emit for Stream<W> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.position += bytes.len() as u64;
        Ok(())
    }
}

/// Lets `take` bytes pass after `skip` bytes, and swallows the rest.
pub(crate) struct Window<'a> {
    inner: &'a mut dyn Emit,
    skip: u64,
    take: u64,
}

impl<'a> Window<'a> {
    pub(crate) fn new(inner: &'a mut dyn Emit, skip: u64, take: u64) -> Self {
        Self { inner, skip, take }
    }
}

impl Emit for Window<'_> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        let len = bytes.len() as u64;
        let skipped = self.skip.min(len);
        let passed = self.take.min(len - skipped);
        self.skip -= skipped;
        self.take -= passed;
        self.inner.put(&bytes[skipped as usize..(skipped + passed) as usize])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_window_shows_its_part_however_the_bytes_come() {
        let text = b"0123456789";
        for step in 1..=text.len() {
            let mut bytes = Vec::new();
            let mut stream = Stream::new(&mut bytes);
            let mut window = Window::new(&mut stream, 3, 4);
            text.chunks(step).for_each(|part| window.put(part).unwrap());
            assert_eq!(stream.finish().unwrap(), 4);
            assert_eq!(bytes, b"3456");
        }
    }

    #[test]
    fn padding_goes_forward_only() {
        let mut bytes = Vec::new();
        let mut stream = Stream::new(&mut bytes);
        stream.put(b"x").unwrap();
        stream.pad_to(5000).unwrap();
        assert!(stream.pad_to(4999).is_err());
        assert_eq!(stream.finish().unwrap(), 5000);
        assert_eq!(bytes.len(), 5000);
        assert_eq!(
            measure(|out| {
                out.put(b"abc")?;
                out.zeros(9000)
            })
            .unwrap(),
            9003
        );
    }
}
