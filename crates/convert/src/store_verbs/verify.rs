//! Whether what there is, is what it was.

use std::fmt;
use std::hash::{BuildHasher, RandomState};

use serde::{Deserialize, Serialize};

use super::text::digest;
use crate::error::Error;
use crate::report::SCHEMA_VERSION;
use crate::store::{ChunkStore, VerifyOptions};

/// How a store is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VerifyStoreOptions {
    /// Of how many chunks in a hundred the bytes are read, others every time; all bytes of all blobs if not told.
    pub sample: Option<u8>,
    /// Whether what is damaged is forgotten, so that conversions make it again.
    pub repair: bool,
    /// Whether the index is made anew of the objects; for a store of
    /// [`ChunkStore::open_to_rebuild`].
    pub rebuild: bool,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifyStoreReport {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Blobs that were looked at.
    pub blobs: u64,
    /// Layers that were looked at.
    pub layers: u64,
    /// Results that were looked at.
    pub images: u64,
    /// Chunks whose stored bytes were compared, if only some were.
    pub chunks: u64,
    /// Bytes of blobs that were read.
    pub bytes: u64,
    /// Objects that the index does not know; not a problem, gc removes them.
    pub unlisted: u64,
    /// Objects that are damaged or missing.
    pub problems: Vec<ProblemReport>,
    /// Whether all that is wrong was forgotten, so that conversions make it again.
    pub repaired: bool,
    /// Digests of the blobs that were forgotten.
    pub forgotten: Vec<String>,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProblemReport {
    /// The object: `blobs/…`, `descriptions/…`, `layers/…` or `images/…`.
    pub object: String,
    /// What is wrong with it.
    pub problem: String,
}

impl VerifyStoreReport {
    /// Whether nothing is wrong, or not any more.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty() || self.repaired
    }
}

/// Looks at all that the store has. What is wrong is no error: it is in the report.
///
/// # Errors
/// Those of the store.
pub fn verify(store: &ChunkStore, options: &VerifyStoreOptions) -> Result<VerifyStoreReport, Error> {
    // Random by what the operating system seeds hash maps with: after many samples everything was looked at.
    let seed = || RandomState::new().hash_one(());
    let found = store.verify(VerifyOptions {
        sample: options.sample.map(|percent| (percent, seed())),
        repair: options.repair,
        rebuild: options.rebuild,
    })?;
    let problems = found
        .problems
        .iter()
        .map(|problem| ProblemReport { object: problem.name.to_string(), problem: problem.what.clone() });
    Ok(VerifyStoreReport {
        schema_version: SCHEMA_VERSION,
        blobs: found.blobs,
        layers: found.layers,
        images: found.images,
        chunks: found.chunks,
        bytes: found.bytes,
        unlisted: found.unlisted,
        repaired: options.repair && !found.problems.is_empty(),
        forgotten: found.forgotten.iter().map(|id| digest(id.0)).collect(),
        problems: problems.collect(),
    })
}

impl fmt::Display for ProblemReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.object, self.problem)
    }
}

/// What was looked at, and how it was.
impl fmt::Display for VerifyStoreReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { blobs, layers, images, chunks, bytes, unlisted, problems, forgotten, .. } = self;
        write!(f, "{blobs} blobs, {layers} layers, {images} images; ")?;
        match chunks {
            0 => writeln!(f, "{bytes} bytes compared")?,
            _ => writeln!(f, "{chunks} chunks of {bytes} bytes compared")?,
        }
        if *unlisted > 0 {
            writeln!(f, "{unlisted} objects are in no index; `store gc` removes them")?;
        }
        match (problems.len(), self.repaired) {
            (0, _) => writeln!(f, "no problems"),
            (count, false) => writeln!(f, "{count} problems"),
            (count, true) => {
                writeln!(f, "{count} problems, repaired: {} blobs are forgotten", forgotten.len())
            }
        }
    }
}
