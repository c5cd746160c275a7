//! The bootstrap of one layer, from its blob or from a file of its own.

use std::fs::File;
use std::io::Read;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use nydus_convert_chunk::ordered::Pool;
use nydus_convert_chunk::{BlobError, BlobReader};
use nydus_convert_rafs::meta::section;
use nydus_convert_rafs::{Blob, BlobFeatures, BlobId, BlobName, FsVersion, Image};

use super::error::VerbError;
use crate::image::nydus::MAX_BOOTSTRAP;

/// The bootstrap of a layer, or of an image that layers are put on.
#[derive(Debug, Clone)]
pub struct LayerBootstrap {
    /// What the caller calls it.
    pub name: String,
    /// Version of the format.
    pub version: FsVersion,
    /// What it says. All blobs have names.
    pub image: Image,
}

impl LayerBootstrap {
    /// Reads a bootstrap, or the one inside a blob stream. The blob is named by its digest, which takes reading all of
    /// it; a bootstrap that leaves its blob's id open is named by its file name, up to the first dot, as extracted
    /// layer bootstraps are. `id` is stronger than both.
    pub fn read(path: &Path, id: Option<BlobId>, jobs: NonZeroUsize) -> Result<Self, VerbError> {
        let name = path.display().to_string();
        let failed = |source| VerbError::Read { name: name.clone(), source };
        let file = File::open(path).map_err(failed)?;
        let mut start = Vec::new();
        (&file).take(PREFIX).read_to_end(&mut start).map_err(failed)?;
        if FsVersion::detect(&start).is_none() {
            return Self::of_blob(&name, file, id, jobs);
        }
        let mut bytes = start;
        file.take(MAX_BOOTSTRAP).read_to_end(&mut bytes).map_err(failed)?;
        let bootstrap = Self::parse(&name, &bytes)?;
        let stem = path.file_name().map(|file| file.to_string_lossy()).unwrap_or_default();
        bootstrap.named(id.or_else(|| stem.split('.').next().unwrap_or_default().parse().ok()))
    }

    fn of_blob(name: &str, file: File, id: Option<BlobId>, jobs: NonZeroUsize) -> Result<Self, VerbError> {
        let damaged = |source| VerbError::Blob { name: name.to_owned(), source };
        let reader = match BlobReader::open(file) {
            Err(BlobError::NotABlob { .. }) => return Err(VerbError::NoBootstrap { name: name.to_owned() }),
            reader => Arc::new(reader.map_err(damaged)?),
        };
        let Some(bytes) = reader.section(section::IMAGE_BOOT).map_err(damaged)? else {
            return Err(VerbError::NoBootstrap { name: name.to_owned() });
        };
        let mut bootstrap = Self::parse(name, &bytes)?;
        let id = match id {
            Some(id) => id,
            None => reader.verify(&Pool::new(jobs), None, None).map_err(damaged)?.id,
        };
        if let Some(blob) = bootstrap.separate_blob() {
            (blob.meta_digest, blob.meta_size) = (id.0, reader.size());
        }
        bootstrap.named(Some(id))
    }

    fn parse(name: &str, bytes: &[u8]) -> Result<Self, VerbError> {
        let parsed = nydus_convert_rafs::parse(bytes);
        let (version, image) =
            parsed.map_err(|source| VerbError::Bootstrap { name: name.to_owned(), source })?;
        Ok(Self { name: name.to_owned(), version, image })
    }

    /// Gives the layer's own blob its name.
    fn named(mut self, id: Option<BlobId>) -> Result<Self, VerbError> {
        for blob in &mut self.image.blobs {
            if blob.name == BlobName::ThisBlob {
                let id = id.ok_or_else(|| VerbError::Unnamed { name: self.name.clone() })?;
                blob.name = BlobName::Id(id);
            }
            blob.features.remove(BlobFeatures::INLINED_FS_META);
        }
        Ok(self)
    }

    /// The blob whose chunks lie in another object than what describes them, as in layers that refer to the original
    /// tar: what describes it was not known when the bootstrap was written.
    pub fn separate_blob(&mut self) -> Option<&mut Blob> {
        self.image.blobs.iter_mut().find(|blob| blob.features.contains(BlobFeatures::SEPARATE))
    }
}

/// Enough to see what a file is.
const PREFIX: u64 = 4096;
