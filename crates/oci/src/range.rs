//! A part of a file that is read by position.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

/// Bytes of a file from one offset to another; they are counted from the first of them. Readers do not disturb one
/// another: nobody moves the file's position.
#[derive(Debug, Clone)]
pub struct FileRange {
    file: Arc<File>,
    start: u64,
    size: u64,
}

impl FileRange {
    /// The whole file, of the length that it has now; an error if that cannot be read.
    pub fn whole(file: File) -> io::Result<Self> {
        let size = file.metadata()?.len();
        Ok(Self { file: Arc::new(file), start: 0, size })
    }

    /// The `size` bytes from `start` on. Whether the file has them shows when they are read.
    pub fn new(file: Arc<File>, start: u64, size: u64) -> Self {
        Self { file, start, size }
    }

    /// `size` bytes of these, from `offset` on.
    pub(crate) fn part(&self, offset: u64, size: u64) -> Self {
        let start = self.start.saturating_add(offset);
        Self { file: Arc::clone(&self.file), start, size: size.min(self.size.saturating_sub(offset)) }
    }

    /// How many bytes there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Fills `buffer` from `offset` on. Bytes past the end are [`io::ErrorKind::UnexpectedEof`].
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let fits = offset.checked_add(buffer.len() as u64).is_some_and(|end| end <= self.size);
        match self.start.checked_add(offset) {
            Some(at) if fits => self.file.read_exact_at(buffer, at),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// The bytes as a stream, from the first one on.
    pub fn reader(&self) -> RangeReader {
        RangeReader { range: self.clone(), position: 0 }
    }
}

/// The bytes of a [`FileRange`], one after another.
#[derive(Debug)]
pub struct RangeReader {
    range: FileRange,
    position: u64,
}

impl Read for RangeReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.range.size.saturating_sub(self.position);
        let want = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let at = self.range.start.checked_add(self.position).ok_or(io::ErrorKind::UnexpectedEof)?;
        let n = self.range.file.read_at(buffer.get_mut(..want).unwrap_or_default(), at)?;
        self.position += n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_range_ends_where_it_ends() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let range = FileRange::new(Arc::new(file), 2, 5);
        let (mut text, mut part) = (String::new(), [0; 2]);
        range.reader().read_to_string(&mut text).unwrap();
        assert_eq!(text, "23456");
        range.read_exact_at(&mut part, 3).unwrap();
        assert_eq!(&part, b"56");
        for offset in [4, 5, u64::MAX] {
            assert!(range.read_exact_at(&mut part, offset).is_err(), "{offset}");
        }
    }
}
