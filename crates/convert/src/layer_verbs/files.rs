//! Blobs in files as a [`Source`].

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use nydus_convert_oci::{self as oci, Descriptor, Digest, FileRange, Reference, Source};

use super::streams::{STREAM, placeholder};

/// Blobs by the digests that descriptors of them are made with.
pub struct Files {
    root: Descriptor,
    paths: HashMap<Digest, PathBuf>,
}

impl Files {
    /// None yet.
    pub fn new() -> Self {
        Self { root: placeholder(0), paths: HashMap::new() }
    }

    /// One more; gives the descriptor to open it by.
    pub fn add(&mut self, digest: Digest, path: PathBuf) -> io::Result<Descriptor> {
        let size = path.metadata()?.len();
        self.paths.insert(digest, path);
        Ok(Descriptor { digest, size, ..self.root.clone() })
    }
}

impl Source for Files {
    fn name(&self) -> &Reference {
        STREAM
    }

    fn root(&self) -> &Descriptor {
        &self.root
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send>, oci::Error> {
        Ok(Box::new(self.open_file(descriptor)?.reader()))
    }

    fn open_file(&self, descriptor: &Descriptor) -> Result<FileRange, oci::Error> {
        let path = self.paths.get(&descriptor.digest).ok_or(io::ErrorKind::NotFound);
        let file = path.map_err(io::Error::from).and_then(File::open).and_then(FileRange::whole);
        file.map_err(|error| oci::Error::reading(descriptor.digest, error))
    }
}
