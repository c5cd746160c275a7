//! A blob of a source as the readers of blobs want it.

use std::io;

use nydus_convert_chunk::ReadAt;
use nydus_convert_oci::{self as oci, Descriptor, FileRange, Source};

/// A blob that is read by ranges, in a file of its own or in an archive.
pub struct BlobFile(FileRange);

impl BlobFile {
    /// Opens the blob that `descriptor` names. What is read of it is not verified.
    pub fn open(source: &dyn Source, descriptor: &Descriptor) -> Result<Self, oci::Error> {
        source.open_file(descriptor).map(Self)
    }
}

impl ReadAt for BlobFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.size())
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }
}
