//! Where images go.
//!
//! Content first, in any order and from any thread; the name last. A sink that is dropped without
//! [`commit`](Sink::commit) leaves no trace.

use std::io::{self, Read as _, Write};
use std::path::Path;

use crate::descriptor::{Blob, Descriptor};
use crate::digest::{Algorithm, Digest, Hasher};
use crate::error::Error;
use crate::reference::Reference;
use crate::source::Source;
use crate::verify::VerifyError;

/// Bytes moved per read while content is copied.
const COPY_BUFFER: usize = 256 << 10;

/// One image or index in the making.
pub trait Sink: Send + Sync {
    /// What the image will be called: for reports and messages.
    fn name(&self) -> &Reference;

    /// A new blob, written piece by piece.
    fn blob(&self) -> Result<BlobWriter, Error>;

    /// Whether the target holds this content already. Then it need not be written again: the sink has taken
    /// note that the image needs it.
    fn has(&self, descriptor: &Descriptor) -> Result<bool, Error>;

    /// The registry that this target is a repository of, if it is one.
    fn host(&self) -> Option<&str> {
        None
    }

    /// Takes a blob from another repository of [its registry](Sink::host), without sending it; else `false`, and it has to
    /// be written.
    fn mount(&self, _repository: &str, _blob: Blob) -> Result<bool, Error> {
        Ok(false)
    }

    /// Whether this target may be able to [adopt](Sink::adopt) a file.
    fn can_adopt(&self, _file: &Path) -> bool {
        false
    }

    /// Takes in a complete blob that lies in a file, without copying it, where this target can do that; else `false`, and
    /// it has to be written. The caller has verified it, and will not change the file.
    fn adopt(&self, _file: &Path, _blob: Blob) -> Result<bool, Error> {
        Ok(false)
    }

    /// Publishes `root` under the name the sink was made for, after everything that was written.
    fn commit(self: Box<Self>, root: Descriptor) -> Result<(), Error>;

    /// Writes small content and gives its descriptor.
    fn put(&self, media_type: &str, bytes: &[u8]) -> Result<Descriptor, Error> {
        let descriptor = Blob::of(bytes).descriptor(media_type);
        if !self.has(&descriptor)? {
            let mut writer = self.blob()?.prehashed();
            writer.write_all(bytes).map_err(Error::writing)?;
            writer.finish_as(descriptor.digest, descriptor.size)?;
        }
        Ok(descriptor)
    }

    /// Copies content from a source, verified, unless the target holds it already.
    fn copy(&self, source: &dyn Source, descriptor: &Descriptor) -> Result<(), Error> {
        if self.has(descriptor)? {
            return Ok(());
        }
        copy_content(self, source, descriptor)
    }
}

/// Writes the content of `descriptor`, verified.
pub(crate) fn copy_content(
    sink: &(impl Sink + ?Sized),
    source: &dyn Source,
    descriptor: &Descriptor,
) -> Result<(), Error> {
    let mut reader = source.open(descriptor)?;
    let mut writer = sink.blob()?.prehashed();
    let mut buffer = vec![0; COPY_BUFFER];
    loop {
        let n = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::reading(descriptor.digest, error)),
        };
        writer.write_all(buffer.get(..n).unwrap_or_default()).map_err(Error::writing)?;
    }
    writer.finish_as(descriptor.digest, descriptor.size)?;
    Ok(())
}

/// What a kind of target does with the bytes of one blob. Dropped unfinished, it forgets them.
pub trait Upload: Write + Send {
    /// All bytes are written and `blob` is their true digest and size: keep them for the commit.
    fn finish(self: Box<Self>, blob: Blob) -> Result<(), Error>;
}

/// A blob in the making, hashed (SHA-256) on the way. Dropped unfinished, it leaves no trace.
///
/// Write in large pieces where possible; small ones are collected by the target.
pub struct BlobWriter {
    plain: PrehashedBlobWriter,
    hasher: Hasher,
}

impl BlobWriter {
    /// A writer over a target's `upload`.
    pub fn new(upload: Box<dyn Upload>) -> Self {
        let plain = PrehashedBlobWriter { upload, count: 0 };
        Self { plain, hasher: Hasher::new(Algorithm::Sha256) }
    }

    /// The same blob without hashing, for callers who hash the very same bytes themselves. To be called
    /// before anything is written; what was written before keeps its place.
    pub fn prehashed(self) -> PrehashedBlobWriter {
        self.plain
    }

    /// Ends the blob and gives its digest and size.
    pub fn finish(self) -> Result<Blob, Error> {
        let size = self.plain.count;
        self.plain.finish_as(self.hasher.finish(), size)
    }

    /// Ends the blob and compares it with what the caller expects. (A SHA-512 is taken at its word: SHA-256
    /// was hashed.)
    pub fn finish_as(self, digest: Digest, size: u64) -> Result<Blob, Error> {
        let actual = self.hasher.finish();
        if digest.algorithm() == actual.algorithm() && digest != actual {
            return Err(VerifyError::DigestMismatch { expected: digest, actual }.into());
        }
        self.plain.finish_as(digest, size)
    }
}

impl Write for BlobWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.plain.write(buf)?;
        self.hasher.update(buf.get(..n).unwrap_or_default());
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.plain.flush()
    }
}

/// A blob in the making whose digest the caller knows at the end. Dropped unfinished, it leaves no trace.
pub struct PrehashedBlobWriter {
    upload: Box<dyn Upload>,
    count: u64,
}

impl PrehashedBlobWriter {
    /// Ends the blob under the digest of exactly the bytes written, which the caller computed. Only `size` is
    /// compared.
    pub fn finish_as(self, digest: Digest, size: u64) -> Result<Blob, Error> {
        if size != self.count {
            return Err(VerifyError::SizeMismatch { digest, expected: size, actual: self.count }.into());
        }
        let blob = Blob { digest, size };
        self.upload.finish(blob)?;
        Ok(blob)
    }
}

impl Write for PrehashedBlobWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.upload.write(buf)?;
        self.count += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.upload.flush()
    }
}
