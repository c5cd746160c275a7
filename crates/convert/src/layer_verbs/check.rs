//! A bootstrap in a file, and the blobs that it names in a directory.

use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use nydus_convert_chunk::BlobReader;
use nydus_convert_chunk::ordered::Pool;
use nydus_convert_rafs::{BlobName, FsVersion, Image, v5};

use super::error::VerbError;

/// Checks a bootstrap, in version 5 with the digests of its inodes; with a directory of blobs, named by their ids, every
/// byte and every chunk of those too.
pub fn check_bootstrap(
    bootstrap: &Path,
    blob_dir: Option<&Path>,
    jobs: NonZeroUsize,
) -> Result<(FsVersion, Image), VerbError> {
    let name = || bootstrap.display().to_string();
    let bytes = fs::read(bootstrap).map_err(|source| VerbError::Read { name: name(), source })?;
    let damaged = |source| VerbError::Bootstrap { name: name(), source };
    let (version, image) = nydus_convert_rafs::parse(&bytes).map_err(damaged)?;
    if version == FsVersion::V5 {
        v5::check_digests(&bytes).map_err(|source| VerbError::Digests { name: name(), source })?;
    }
    let Some(dir) = blob_dir else { return Ok((version, image)) };
    let pool = Pool::new(jobs);
    for blob in &image.blobs {
        let BlobName::Id(id) = blob.name else { continue };
        let path = dir.join(id.to_string());
        let name = path.display().to_string();
        let file = File::open(&path).map_err(|source| VerbError::Read { name: name.clone(), source })?;
        let verified = BlobReader::open_as(file, blob)
            .and_then(|reader| Arc::new(reader).verify(&pool, Some(id), Some(blob)));
        verified.map_err(|source| VerbError::Blob { name, source })?;
    }
    Ok((version, image))
}
