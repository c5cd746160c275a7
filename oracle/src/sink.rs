//! Where the reader puts what a read asked for: a bounded buffer in place of a FUSE reply.

use std::io;

use fuse_backend_rs::api::filesystem::ZeroCopyWriter;
use fuse_backend_rs::file_buf::FileVolatileSlice;
use fuse_backend_rs::file_traits::FileReadWriteVolatile;
use vm_memory::VolatileSlice;

/// The bytes of one read.
pub struct Window {
    bytes: Vec<u8>,
    limit: usize,
}

impl Window {
    /// Empty, for at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit }
    }

    /// What has come.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl io::Write for Window {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.limit - self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ZeroCopyWriter for Window {
    fn write_from(
        &mut self,
        file: &mut dyn FileReadWriteVolatile,
        count: usize,
        offset: u64,
    ) -> io::Result<usize> {
        let mut part = vec![0; count.min(self.limit - self.bytes.len())];
        let read = {
            let slice = VolatileSlice::from(part.as_mut_slice());
            file.read_vectored_at_volatile(&[FileVolatileSlice::from_volatile_slice(&slice)], offset)?
        };
        self.bytes.extend_from_slice(&part[..read]);
        Ok(read)
    }

    fn available_bytes(&self) -> usize {
        self.limit - self.bytes.len()
    }
}
