//! The data blobs of a result as files, each named by its id, as bootstraps and `layer unpack --blob-dir` look for them.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nydus_convert_oci::{Algorithm, Hasher};
use nydus_convert_rafs::BlobId;
use serde::{Deserialize, Serialize};

use super::error::StoreVerbError;
use super::names::find_image;
use super::text::{digest, printable};
use crate::error::Error;
use crate::report::SCHEMA_VERSION;
use crate::run::Stop;
use crate::store::{ChunkStore, Object, ObjectName, StoredImage};

/// Bytes moved at once.
const PIECE: usize = 1 << 20;

/// What is exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportOptions {
    /// The result: the reference it was made as or from, or the beginning of its digest.
    pub image: String,
    /// Where the files go. It is made if it is not there; what has the names of the blobs is replaced.
    pub dir: PathBuf,
}

/// What was exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExportReport {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Digest of the result.
    pub image: String,
    /// What it was made as.
    pub name: String,
    /// The data blobs of the result, each a file now.
    pub blobs: Vec<ExportedBlob>,
}

/// A blob that is a file now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExportedBlob {
    /// Digest of the blob.
    pub digest: String,
    /// Length in bytes.
    pub bytes: u64,
    /// Path of the file.
    pub file: String,
}

/// Writes the data blobs of a result into a directory. None of them appears before all of them were compared with their
/// digests.
///
/// # Errors
/// A name of nothing, an image without blobs, blobs that are damaged or gone, and those of the store and the directory.
pub fn export(store: &ChunkStore, options: &ExportOptions, stop: &Stop) -> Result<ExportReport, Error> {
    let images = store.images()?;
    let image = find_image(&images, &options.image)?;
    if image.blobs.is_empty() {
        return Err(StoreVerbError::NoBlobs { image: printable(&image.name) }.into());
    }
    let data = open_all(store, image)?;
    let is_new = make_dir(&options.dir)?;
    let files = copy_all(image, &data, &options.dir, stop).inspect_err(|_| {
        if is_new {
            // Only if it is empty.
            let _ = fs::remove_dir(&options.dir);
        }
    })?;
    Ok(ExportReport {
        schema_version: SCHEMA_VERSION,
        image: digest(image.id),
        name: image.name.clone(),
        blobs: files,
    })
}

/// Whether it was made.
fn make_dir(dir: &Path) -> Result<bool, StoreVerbError> {
    match fs::create_dir(dir) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(false),
        Err(source) => Err(StoreVerbError::Write { path: dir.to_owned(), source }),
    }
}

/// Opens the blobs, and holds them.
fn open_all(store: &ChunkStore, image: &StoredImage) -> Result<Vec<(BlobId, Object)>, Error> {
    let objects = store.objects();
    let _guard = objects.publishing()?;
    let open = |blob: &BlobId| -> Result<(BlobId, Object), Error> {
        objects.hold(*blob)?;
        let data = objects.open(ObjectName::blob(*blob))?;
        let missing = || StoreVerbError::Missing { image: printable(&image.name), blob: *blob };
        Ok((*blob, data.ok_or_else(missing)?))
    };
    image.blobs.iter().map(open).collect()
}

fn copy_all(
    image: &StoredImage,
    data: &[(BlobId, Object)],
    dir: &Path,
    stop: &Stop,
) -> Result<Vec<ExportedBlob>, Error> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| StoreVerbError::Write { path, source }
    };
    let staging = tempfile::Builder::new().prefix(".nydus-convert-").tempdir_in(dir).map_err(failed(dir))?;
    let mut exported = Vec::new();
    for (blob, data) in data {
        let path = dir.join(blob.to_string());
        let file = File::create_new(staging.path().join(blob.to_string())).map_err(failed(&path))?;
        let bytes = copy((image.name.as_str(), *blob), data, (&file, path.as_path()), stop)?;
        file.sync_all().map_err(failed(&path))?;
        exported.push(ExportedBlob { digest: digest(blob.0), bytes, file: path.display().to_string() });
    }
    for (blob, _) in data {
        let path = dir.join(blob.to_string());
        fs::rename(staging.path().join(blob.to_string()), &path).map_err(failed(&path))?;
    }
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed(dir))?;
    Ok(exported)
}

/// Copies a blob, and compares it with its digest; gives its length.
fn copy(
    (image, blob): (&str, BlobId),
    data: &Object,
    (mut file, path): (&File, &Path),
    stop: &Stop,
) -> Result<u64, Error> {
    let damaged = || StoreVerbError::Damaged { image: printable(image), blob };
    // What cannot be read is as good as damaged.
    let size = data.size().map_err(|_| damaged())?;
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut buffer = vec![0; PIECE];
    let mut at = 0;
    while at < size {
        if let Some(signal) = stop.requested() {
            return Err(Error::Interrupted { signal });
        }
        let length = usize::try_from(size - at).unwrap_or(PIECE).min(PIECE);
        let piece = buffer.get_mut(..length).unwrap_or_default();
        data.read_exact_at(piece, at).map_err(|_| damaged())?;
        hasher.update(piece);
        file.write_all(piece).map_err(|source| StoreVerbError::Write { path: path.to_owned(), source })?;
        at += length as u64;
    }
    match hasher.finish().as_bytes() == blob.0.as_slice() {
        true => Ok(size),
        false => Err(damaged().into()),
    }
}

/// The files, one a line.
impl fmt::Display for ExportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.blobs.iter().try_for_each(|blob| writeln!(f, "{}", blob.file))
    }
}
