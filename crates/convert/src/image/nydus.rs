//! A Nydus image that is being read: its file system, and the blobs that hold the content.

use std::io::Write;
use std::sync::Arc;

use nydus_convert_chunk::{BlobReader, ChunkSource, Worker};
use nydus_convert_oci::{Digest, Manifest, Source, nydus};
use nydus_convert_rafs::{Blob, EntryPath, FsVersion, Image, InodeId, InodeKind, TreeError};

use super::blob_file::BlobFile;
use super::error::{ImageError, NydusError};
use super::locate::find_blob;
use super::referred;

/// A bootstrap larger than this is not read into memory: the format's readers stop at 2 GiB.
pub const MAX_BOOTSTRAP: u64 = 2 << 30;

/// An opened Nydus image.
pub struct NydusImage {
    /// The bootstrap: the tree of files, and the blob table.
    pub image: Image,
    /// One for every blob of the bootstrap, in its order.
    blobs: Vec<(Digest, ChunkSource<BlobFile>)>,
}

impl NydusImage {
    /// Reads the bootstrap of a Nydus manifest and opens the blobs it uses. Chunks are verified when they are read.
    pub(crate) fn open(source: &dyn Source, manifest: &Manifest) -> Result<Self, ImageError> {
        let image = read_bootstrap(source, manifest)?;
        let mut blobs = Vec::with_capacity(image.blobs.len());
        for blob in &image.blobs {
            blobs.push(open_chunks(source, manifest, blob)?);
        }
        Ok(Self { image, blobs })
    }

    /// Writes the content of a regular file, following symbolic links inside the image.
    pub fn cat(&self, path: &EntryPath, out: &mut dyn Write) -> Result<(), ImageError> {
        let id = self.follow(path)?;
        let chunks = match &self.image.tree.inode(id).kind {
            InodeKind::Regular { chunks, .. } => chunks,
            other => {
                let what = kind_name(other);
                return Err(ImageError::NotARegularFile { path: path.clone(), what });
            }
        };
        let (mut worker, mut plain) = (Worker::default(), Vec::new());
        for at in chunks {
            // The bootstrap's reader has checked every reference.
            let (Some(chunk), Some((digest, blob))) =
                (self.image.chunk(*at), self.blobs.get(usize::from(at.blob)))
            else {
                return Err(ImageError::NoSuchFile { path: path.clone() });
            };
            blob.read_chunk(&mut worker, at.index, chunk, &mut plain)
                .map_err(|source| NydusError::Blob { digest: *digest, source })?;
            out.write_all(&plain).map_err(ImageError::Output)?;
        }
        out.flush().map_err(ImageError::Output)
    }

    /// The inode of a path with all symbolic links followed, the last component's too.
    pub fn follow(&self, path: &EntryPath) -> Result<InodeId, ImageError> {
        let missing = || ImageError::NoSuchFile { path: path.clone() };
        self.image.tree.resolve_all(path).map_err(|_: TreeError| missing())?.ok_or_else(missing)
    }
}

/// The chunks of a blob, and the digest of the layer that tells of them.
fn open_chunks(
    source: &dyn Source,
    manifest: &Manifest,
    blob: &Blob,
) -> Result<(Digest, ChunkSource<BlobFile>), ImageError> {
    let (digest, chunks) = if referred::is_referred(blob) {
        let (digest, referred) = referred::open(source, &manifest.layers, blob)?;
        (digest, referred.chunks_of(blob))
    } else {
        let descriptor = find_blob(manifest, blob.name)?;
        let reader = BlobReader::open_as(BlobFile::open(source, descriptor)?, blob).map(Arc::new);
        (descriptor.digest, reader.and_then(|reader| reader.chunks_of(blob)))
    };
    Ok((digest, chunks.map_err(|source| NydusError::Blob { digest, source })?))
}

/// What a file is, in one word.
pub fn kind_name(kind: &InodeKind) -> &'static str {
    match kind {
        InodeKind::Directory(_) => "a directory",
        InodeKind::Regular { .. } => "a regular file",
        InodeKind::Symlink { .. } => "a symbolic link",
        InodeKind::CharDevice(_) => "a character device",
        InodeKind::BlockDevice(_) => "a block device",
        InodeKind::Fifo => "a fifo",
        InodeKind::Socket => "a socket",
    }
}

/// The bootstrap of a Nydus manifest: its last layer, verified.
pub fn read_bootstrap(source: &dyn Source, manifest: &Manifest) -> Result<Image, ImageError> {
    Ok(read_versioned_bootstrap(source, manifest)?.1)
}

/// The same with the version of its format.
pub fn read_versioned_bootstrap(
    source: &dyn Source,
    manifest: &Manifest,
) -> Result<(FsVersion, Image), ImageError> {
    let Some(layer) = manifest.layers.last() else {
        return Err(ImageError::NotNydus { reference: source.name().to_string() });
    };
    let layer =
        nydus::read_bootstrap(source.open(layer)?, MAX_BOOTSTRAP).map_err(nydus_convert_oci::Error::from)?;
    Ok(nydus_convert_rafs::parse(&layer.bytes).map_err(NydusError::Bootstrap)?)
}
