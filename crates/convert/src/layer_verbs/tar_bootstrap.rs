//! A plain tar as a stream → the bootstrap over it. The tar itself is the blob, and whoever gives it keeps it.

use std::io::Read;

use nydus_convert_oci::{Algorithm, Digest, Hasher};
use nydus_convert_rafs::{self as rafs, BlobId, ChunkSize, FsVersion, Image};
use serde::{Deserialize, Serialize};

use super::error::VerbError;
use super::pack::NamedStream;
use crate::error::Error;
use crate::layer::failure::LayerFailure;
use crate::layer::plain_tar::{self, Bounds, ReadTar};
use crate::layer::{Allowance, Meter, PLAIN_TAR, Spare, Stored};
use crate::options::Fidelity;
use crate::prefetch::Prefetch;
use crate::report::LossReport;
use crate::run::Run;

/// Everything that `bootstrap_of_tar` can be told.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TarBootstrapOptions {
    /// Length of a chunk.
    #[serde(with = "crate::as_text::bytes")]
    pub chunk_size: ChunkSize,
    /// Strict or lenient.
    pub fidelity: Fidelity,
    /// What the tar is known by; SHA-256 of the tar if not told.
    #[serde(with = "crate::as_text::option")]
    pub blob_id: Option<BlobId>,
    /// What clients fetch first.
    pub prefetch: Prefetch,
}

/// The bootstrap of one tar.
#[derive(Debug, Clone)]
pub struct TarBootstrap {
    /// The bootstrap as a tree and its blob.
    pub image: Image,
    /// The bootstrap as bytes.
    pub bootstrap: Vec<u8>,
    /// What the format cannot hold.
    pub losses: Vec<LossReport>,
}

/// Makes the bootstrap over a plain tar (tarfs), which is read from front to end, so it may be a pipe.
///
/// # Errors
/// Beside those of the tar: [`Error::NotFaithful`] under [`Fidelity::Strict`].
pub fn bootstrap_of_tar(
    tar: NamedStream<'_>,
    options: &TarBootstrapOptions,
    run: &Run<'_>,
) -> Result<TarBootstrap, Error> {
    let NamedStream { stream, name } = tar;
    let made = make(stream, options, run).map_err(|failure| match failure {
        LayerFailure::Interrupted { signal } => Error::Interrupted { signal },
        failure => VerbError::Layer { name: name.to_owned(), source: Box::new(failure) }.into(),
    })?;
    if options.fidelity == Fidelity::Strict && !made.losses.is_empty() {
        return Err(Error::NotFaithful { losses: made.losses });
    }
    Ok(made)
}

fn make(
    tar: Box<dyn Read + Send>,
    options: &TarBootstrapOptions,
    run: &Run<'_>,
) -> Result<TarBootstrap, LayerFailure> {
    let proceed = || Ok(run.proceed()?);
    let bounds = Bounds {
        chunk_size: options.chunk_size,
        window_bytes: run.resources.window_bytes,
        max_content: run.resources.max_layer_size,
        meter: Meter::new(Allowance::new(Spare::new(run.resources.max_metadata), Stored::Plain)),
    };
    let hasher = options.blob_id.is_none().then(|| Hasher::new(Algorithm::Sha256));
    let hashed = Counted { inner: tar, hasher, count: 0 };
    let ReadTar { source, mut contents, lengths } = plain_tar::read_tar(hashed, bounds, &proceed, || ())?;
    let digest = source.hasher.map(Hasher::finish);
    let id =
        options.blob_id.or_else(|| digest.as_ref().and_then(|digest: &Digest| digest.hex().parse().ok()));
    let id = id.ok_or(LayerFailure::NoTarfs("its digest is unknown"))?;
    let blob = plain_tar::blob(id, source.count, &contents.offsets, &lengths)?;
    let prefetch = options.prefetch.entries(contents.tree.tree());
    let image = Image {
        tree: std::mem::take(contents.tree.tree_mut()),
        blobs: blob.into_iter().collect(),
        chunk_size: options.chunk_size,
        compressor: PLAIN_TAR.0,
        digester: PLAIN_TAR.1,
        tarfs: true,
        prefetch,
    };
    let mut bootstrap = Vec::new();
    rafs::write(FsVersion::V6, &image, &mut bootstrap)?;
    let lost = contents.losses.iter().filter(|lost| !lost.loss.is_note());
    let losses = lost.map(|lost| LossReport {
        layer: id.to_string(),
        path: lost.path.to_string(),
        problem: lost.loss.to_string(),
    });
    Ok(TarBootstrap { image, bootstrap, losses: losses.collect() })
}

/// Counts and hashes what is read.
struct Counted {
    inner: Box<dyn Read + Send>,
    hasher: Option<Hasher>,
    count: u64,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(buffer.get(..read).unwrap_or_default());
        }
        self.count += read as u64;
        Ok(read)
    }
}
