//! One stream as a [`Source`], one stream as a [`Sink`]: no name, no digest before the end, no second reading.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nydus_convert_oci::{
    self as oci, Algorithm, Blob, BlobWriter, Descriptor, Digest, FileRange, Hasher, Reference, Sink, Source,
    Upload,
};

/// What a stream is called where a name is asked for: it has none.
pub const STREAM: &Reference = &Reference::Tar { file: None };

/// What media type stands in a descriptor that nobody will see.
const ANY: &str = "application/octet-stream";

/// Stands for content whose digest is not known.
pub fn placeholder(size: u64) -> Descriptor {
    Descriptor::new(ANY, Digest::from_sha256([0; 32]), size)
}

/// A layer that comes as a stream, hashed on the way.
pub struct StreamSource {
    root: Descriptor,
    stream: Mutex<Option<Box<dyn Read + Send>>>,
    seen: Arc<Mutex<Seen>>,
}

/// What went by.
struct Seen {
    hasher: Hasher,
    size: u64,
}

impl StreamSource {
    /// A layer that nobody has described.
    pub fn new(stream: Box<dyn Read + Send>) -> Self {
        let seen = Seen { hasher: Hasher::new(Algorithm::Sha256), size: 0 };
        Self {
            // Of unknown size: as much is sampled of it as of a large one.
            root: placeholder(u64::MAX),
            stream: Mutex::new(Some(stream)),
            seen: Arc::new(Mutex::new(seen)),
        }
    }

    /// Digest and size of what was read.
    pub fn read_so_far(&self) -> Descriptor {
        let seen = lock(&self.seen);
        Descriptor::new(ANY, seen.hasher.clone().finish(), seen.size)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Source for StreamSource {
    fn name(&self) -> &Reference {
        STREAM
    }

    fn root(&self) -> &Descriptor {
        &self.root
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send>, oci::Error> {
        match lock(&self.stream).take() {
            Some(stream) => Ok(Box::new(Watched { stream, seen: Arc::clone(&self.seen) })),
            None => Err(only_once(descriptor)),
        }
    }

    fn open_file(&self, descriptor: &Descriptor) -> Result<FileRange, oci::Error> {
        Err(only_once(descriptor))
    }
}

fn only_once(descriptor: &Descriptor) -> oci::Error {
    oci::Error::reading(descriptor.digest, io::Error::other("a stream can be read only once"))
}

struct Watched {
    stream: Box<dyn Read + Send>,
    seen: Arc<Mutex<Seen>>,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(buffer)?;
        let mut seen = lock(&self.seen);
        seen.hasher.update(buffer.get(..read).unwrap_or_default());
        seen.size += read as u64;
        Ok(read)
    }
}

/// A stream that takes one blob.
pub struct StreamSink(Mutex<Option<Box<dyn Write + Send>>>);

impl StreamSink {
    /// The blob goes to `out`.
    pub fn new(out: Box<dyn Write + Send>) -> Self {
        Self(Mutex::new(Some(out)))
    }
}

impl Sink for StreamSink {
    fn name(&self) -> &Reference {
        STREAM
    }

    fn blob(&self) -> Result<BlobWriter, oci::Error> {
        match lock(&self.0).take() {
            Some(out) => Ok(BlobWriter::new(Box::new(Straight(out)))),
            None => Err(oci::Error::writing(io::Error::other("a stream takes one blob"))),
        }
    }

    fn has(&self, _: &Descriptor) -> Result<bool, oci::Error> {
        Ok(false)
    }

    fn commit(self: Box<Self>, _: Descriptor) -> Result<(), oci::Error> {
        Ok(())
    }
}

/// What is written is gone.
struct Straight(Box<dyn Write + Send>);

impl Write for Straight {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Upload for Straight {
    fn finish(mut self: Box<Self>, _: Blob) -> Result<(), oci::Error> {
        self.0.flush().map_err(oci::Error::writing)
    }
}
