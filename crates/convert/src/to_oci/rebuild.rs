//! Layers without a record: the tar is made from a tree, either a blob's own or that of the whole image.

use std::io::{self, Read};
use std::sync::Arc;

use nydus_convert_chunk::{BlobError, ChunkSource, PlainChunk, Request, read_ahead};
use nydus_convert_layer::{LayerPlan, Whiteouts};
use nydus_convert_oci::{DiffId, HashingReader, Manifest};
use nydus_convert_rafs::{Blob, BlobName, Image, InodeId, InodeKind};

use super::Run;
use super::blob::{OpenBlob, open_chunks};
use super::restoring::{LayerJob, RestoredTar, Restoring, Watched};
use crate::error::Error;
use crate::image::Found;
use crate::image::ImageError;
use crate::image::blob_file::BlobFile;
use crate::image::locate::find_layer;
use crate::image::referred::{self, is_referred};
use crate::layer::failure::LayerFailure;
use crate::run::LayerLabel;

/// Things that a tar cannot hold and that are told one by one.
const SHOWN_MISFITS: usize = 20;

/// A layer from the bootstrap in its blob.
pub fn layer(restoring: &Restoring<'_>, blob: &OpenBlob) -> Result<RestoredTar, LayerFailure> {
    make(restoring, blob.image.as_ref().ok_or(LayerFailure::NoBootstrap)?, Some(blob))
}

/// A layer that is no blob's: `image` has its files, and the chunks of the whole image.
pub fn extra(
    run: &Run<'_>,
    (found, manifest): (&Found, &Manifest),
    image: &Image,
    (number, count): (usize, usize),
) -> Result<RestoredTar, Error> {
    let (Some(blob), digest) = (manifest.layers.last(), found.descriptor.digest) else {
        return Err(Error::from(ImageError::NotNydus { reference: found.descriptor.digest.to_string() }));
    };
    let (platform, size) = (found.label(), found.descriptor.size);
    let label = LayerLabel { platform, number, count, digest: digest.to_string(), size };
    let job = LayerJob { blob, all: &manifest.layers, opened: None, tar: None, expected: None, label };
    let proceed = || match run.stop.requested() {
        Some(signal) => Err(LayerFailure::Interrupted { signal }),
        None => Ok(()),
    };
    run.observer.layer_started(&job.label);
    let made = make(&Restoring::new(run, &job, &proceed), image, None);
    let tar = made.map_err(|failure| Error::in_layer((number, count), digest, failure))?;
    run.observer.layer_finished(&job.label, tar.blob.size);
    Ok(RestoredTar { from: None, ..tar })
}

/// One layer, or all of an image, from a bootstrap that somebody gives.
pub fn given(
    restoring: &Restoring<'_>,
    image: &Image,
    blob: Option<&OpenBlob>,
) -> Result<RestoredTar, LayerFailure> {
    make(restoring, image, blob)
}

fn make(
    restoring: &Restoring<'_>,
    image: &Image,
    own: Option<&OpenBlob>,
) -> Result<RestoredTar, LayerFailure> {
    let plan = LayerPlan::of(&image.tree, Whiteouts::Oci);
    for misfit in plan.misfits().take(SHOWN_MISFITS) {
        restoring.run.observer.note(&misfit.to_string());
    }
    let sources = image
        .blobs
        .iter()
        .map(|blob| source_of(restoring, blob, own).map(Arc::new))
        .collect::<Result<Vec<_>, _>>()?;
    let requests = plan.files().flat_map(|file| requests(image, &sources, file));
    let chunks = read_ahead(restoring.run.pool, restoring.window_bytes(), requests);
    let tar = Watched { inner: plan.read(Content { chunks, chunk: None, at: 0 }), restoring };
    let mut hashed = HashingReader::new(tar);
    let stored = restoring.compress(&mut hashed)?;
    io::copy(&mut hashed, &mut io::sink()).map_err(|error| restoring.stream_error(error))?;
    Ok(restoring.anew(stored, DiffId(hashed.finish().1), false))
}

/// The chunks of one blob of an image: the one that the image is in, or a layer.
fn source_of(
    restoring: &Restoring<'_>,
    blob: &Blob,
    own: Option<&OpenBlob>,
) -> Result<ChunkSource<BlobFile>, LayerFailure> {
    let hex = match blob.name {
        BlobName::ThisBlob => None,
        BlobName::Id(id) => Some(id.to_string()),
    };
    if let Some(own) = own
        && hex.as_deref().is_none_or(|hex| own.digest.hex() == hex)
    {
        let in_blob = |source| LayerFailure::Blob { blob: own.digest, source };
        return own.reader.chunks_of(blob).map_err(in_blob);
    }
    if is_referred(blob) {
        let opened = referred::open(restoring.run.source, restoring.job.all, blob);
        let (_, referred) = opened.map_err(|error| LayerFailure::Image(Box::new(error)))?;
        let in_blob = |source| LayerFailure::Blob { blob: restoring.job.blob.digest, source };
        return referred.chunks_of(blob).map_err(in_blob);
    }
    let layer = find_layer(restoring.job.all, blob.name)?;
    open_chunks(restoring.run.source, layer, blob)
}

/// The chunks of a file.
fn requests<'a>(
    image: &'a Image,
    sources: &'a [Arc<ChunkSource<BlobFile>>],
    file: InodeId,
) -> impl Iterator<Item = Request<BlobFile>> + use<'a> {
    let chunks = match &image.tree.inode(file).kind {
        InodeKind::Regular { chunks, .. } => chunks.as_slice(),
        _ => &[],
    };
    // The bootstrap's reader has checked every reference.
    chunks.iter().filter_map(|at| {
        let source = Arc::clone(sources.get(usize::from(at.blob))?);
        Some(Request { source, number: at.index, chunk: *image.chunk(*at)? })
    })
}

/// Chunks, one behind the other, as a stream.
struct Content<C> {
    chunks: C,
    chunk: Option<PlainChunk>,
    at: usize,
}

impl<C: Iterator<Item = Result<PlainChunk, BlobError>>> Read for Content<C> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let rest = self.chunk.as_deref().and_then(|chunk| chunk.get(self.at..)).unwrap_or_default();
            let length = rest.len().min(out.len());
            if length > 0 || out.is_empty() {
                out[..length].copy_from_slice(&rest[..length]);
                self.at += length;
                return Ok(length);
            }
            (self.chunk, self.at) = (None, 0);
            match self.chunks.next() {
                Some(chunk) => self.chunk = Some(chunk.map_err(io::Error::other)?),
                None => return Ok(0),
            }
        }
    }
}
