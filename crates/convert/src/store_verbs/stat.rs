//! How much there is.

use std::fmt;
use std::path::Path;

use serde::Serialize;

use crate::error::Error;
use crate::report::SCHEMA_VERSION;
use crate::store::{ChunkStore, ObjectKind};

/// How much a store has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatReport {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Where it is, as given.
    pub path: String,
    /// Tells it from others.
    pub store: String,
    /// Its present state, for `--dedup-snapshot`.
    pub snapshot: String,
    /// Blobs that the index knows.
    pub blobs: u64,
    /// Layers whose conversion it spares.
    pub layers: u64,
    /// Different chunks, of each way in which chunks are stored.
    pub chunks: u64,
    /// Results that it remembers.
    pub images: u64,
    /// What all this takes.
    pub bytes: BytesReport,
    /// Bytes that conversions bring it back to, where the caller knows a limit.
    pub limit: Option<u64>,
}

/// What kinds of things take, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BytesReport {
    /// Data blobs.
    pub blobs: u64,
    /// What is known of their chunks.
    pub descriptions: u64,
    /// What merging needs of layers.
    pub layers: u64,
    /// What is remembered of results.
    pub images: u64,
    /// The index of chunks and layers.
    pub index: u64,
    /// What processes left unfinished that have ended.
    pub unfinished: u64,
}

impl BytesReport {
    /// All together.
    pub(crate) fn total(&self) -> u64 {
        let Self { blobs, descriptions, layers, images, index, unfinished } = *self;
        [blobs, descriptions, layers, images, index, unfinished].iter().sum()
    }
}

/// Counts. `path` is what the caller calls the store.
///
/// # Errors
/// Those of the store.
pub fn stat(store: &ChunkStore, path: &Path) -> Result<StatReport, Error> {
    let sum =
        |kind| -> Result<u64, Error> { Ok(store.objects().list(kind)?.iter().map(|info| info.size).sum()) };
    let totals = store.totals()?;
    Ok(StatReport {
        schema_version: SCHEMA_VERSION,
        path: path.display().to_string(),
        store: format!("{:016x}", store.index().id()?),
        snapshot: store.snapshot()?.to_string(),
        blobs: totals.blobs,
        layers: totals.layers,
        chunks: totals.chunks,
        images: store.images()?.len() as u64,
        bytes: BytesReport {
            blobs: sum(ObjectKind::Blob)?,
            descriptions: sum(ObjectKind::Description)?,
            layers: sum(ObjectKind::Layer)?,
            images: sum(ObjectKind::Image)?,
            index: store.index().bytes()?,
            unfinished: store.objects().sweep(true)?,
        },
        limit: None,
    })
}

/// A fact a line: a word, a number, and for what takes room its bytes.
impl fmt::Display for StatReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, snapshot, blobs, layers, chunks, images, bytes, limit, .. } = self;
        writeln!(f, "path {}", super::text::printable(path))?;
        writeln!(f, "snapshot {snapshot}")?;
        writeln!(f, "images {images}, {} bytes", bytes.images)?;
        writeln!(f, "layers {layers}, {} bytes", bytes.layers)?;
        writeln!(f, "blobs {blobs}, {} bytes, descriptions {} bytes", bytes.blobs, bytes.descriptions)?;
        writeln!(f, "chunks {chunks}")?;
        writeln!(f, "index {} bytes", bytes.index)?;
        writeln!(f, "unfinished {} bytes", bytes.unfinished)?;
        writeln!(f, "total {} bytes", bytes.total())?;
        limit.iter().try_for_each(|limit| writeln!(f, "limit {limit} bytes"))
    }
}
