//! A bootstrap in a file, and the blobs that it names in a directory.

use std::fs::{self, File};
use std::io;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use nydus_convert_chunk::ordered::Pool;
use nydus_convert_chunk::{BlobReader, Referred};
use nydus_convert_oci::{Digest, HashingReader};
use nydus_convert_rafs::{Blob, BlobId, BlobName, FsVersion, Image, v5};

use super::error::VerbError;
use crate::image::referred::is_referred;

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
        let (file, name) = open(dir, id)?;
        if is_referred(blob) {
            check_referred(dir, &pool, blob, (file, id, name))?;
            continue;
        }
        let verified = BlobReader::open_as(file, blob)
            .and_then(|reader| Arc::new(reader).verify(&pool, Some(id), Some(blob)));
        verified.map_err(|source| VerbError::Blob { name, source })?;
    }
    Ok((version, image))
}

/// A layer that is referred to, and what tells where in it chunks lie.
fn check_referred(
    dir: &Path,
    pool: &Pool,
    blob: &Blob,
    (layer, id, name): (File, BlobId, String),
) -> Result<(), VerbError> {
    let mut hashed = HashingReader::new(&layer);
    let read = io::copy(&mut hashed, &mut io::sink());
    read.map_err(|source| VerbError::Read { name: name.clone(), source })?;
    let (_, actual, _) = hashed.finish();
    if actual != Digest::from_sha256(id.0) {
        return Err(VerbError::LayerDigest { name, actual });
    }
    let meta = BlobId(blob.meta_digest);
    let (file, name) = open(dir, meta)?;
    let verified = Referred::open(file, layer).and_then(|referred| referred.verify(pool, meta, blob));
    verified.map(drop).map_err(|source| VerbError::Blob { name, source })
}

/// A blob by its id, and what it is called.
fn open(dir: &Path, id: BlobId) -> Result<(File, String), VerbError> {
    let path = dir.join(id.to_string());
    let name = path.display().to_string();
    match File::open(&path) {
        Ok(file) => Ok((file, name)),
        Err(source) => Err(VerbError::Read { name, source }),
    }
}
