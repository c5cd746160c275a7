//! Removing: what nobody needs, and what is asked for.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::time::Duration;

use nydus_convert_rafs::BlobId;
use serde::{Deserialize, Serialize};

use super::names::{Named, find, find_image};
use super::text::{digest, printable};
use crate::error::Error;
use crate::report::SCHEMA_VERSION;
use crate::store::{ChunkStore, Kept, PrunePolicy, PruneReport, Reason, StoredImage};

/// What goes. Without a rule only that goes which nobody can use.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GcOptions {
    /// Results whose blobs stay whatever else is said. Alone they are a rule: all other blobs go.
    pub keep: Vec<String>,
    /// Blobs go that no conversion used for longer.
    pub max_age: Option<Duration>,
    /// Blobs go that were not used for the longest time, until the rest takes at most so many bytes.
    pub max_bytes: Option<u64>,
    /// Nothing is removed, only told.
    pub dry_run: bool,
}

/// What goes by name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RemoveOptions {
    /// Results, and digests of blobs.
    pub names: Vec<String>,
}

/// What was removed, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RemovalReport {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Whether nothing was removed, only told.
    pub dry_run: bool,
    /// Blobs that are removed, or would be.
    pub removed: Vec<RemovedBlob>,
    /// Blobs that stay although they would go.
    pub kept: Vec<KeptBlob>,
    /// Results that are not remembered any more.
    pub forgotten: Vec<ForgottenImage>,
    /// Bytes of the blobs that go, with what belongs to them.
    pub removed_bytes: u64,
    /// Bytes that processes left unfinished that have ended; they go too.
    pub unfinished_bytes: u64,
    /// Bytes of the blobs that stay, with what belongs to them.
    pub left_bytes: u64,
}

/// A blob that goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RemovedBlob {
    /// Digest of the blob.
    pub digest: String,
    /// Its bytes, with what belongs to it.
    pub bytes: u64,
    /// The rule by which it is removed.
    pub reason: WhyRemoved,
}

/// Why a blob goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhyRemoved {
    /// The index does not know it.
    Unlisted,
    /// It was asked for.
    Asked,
    /// No result is made of it that is to stay.
    NotKept,
    /// No conversion used it for long.
    Age,
    /// The store is too large, and others were used later.
    Size,
}

/// A blob that stays although it would go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeptBlob {
    /// Digest of the blob.
    pub digest: String,
    /// What keeps it.
    pub reason: WhyKept,
}

/// Why a blob stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhyKept {
    /// A running conversion uses it.
    Held,
    /// A result is made of it that is to stay.
    Image,
}

/// A result that is not remembered any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ForgottenImage {
    /// Digest of the manifest or index.
    pub digest: String,
    /// What it was made as.
    pub name: String,
    /// The reason that it is forgotten for.
    pub reason: WhyForgotten,
}

/// Why a result is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhyForgotten {
    /// It was asked for.
    Asked,
    /// Blobs of it are gone.
    Incomplete,
}

/// Removes what the options say, and what nobody can use.
///
/// # Errors
/// Names of nothing, and those of the store.
pub fn gc(store: &ChunkStore, options: &GcOptions) -> Result<RemovalReport, Error> {
    let images = store.images()?;
    let keep = options.keep.iter().map(|name| Ok(find_image(&images, name)?.id));
    let policy = PrunePolicy {
        keep_images: keep.collect::<Result<_, Error>>()?,
        max_age: options.max_age,
        max_bytes: options.max_bytes,
        dry_run: options.dry_run,
        ..PrunePolicy::default()
    };
    Ok(report(&policy, &store.prune(&policy)?))
}

/// Forgets results, and removes the blobs that only these are made of; removes blobs that are named themselves, and forgets
/// the results that are made of them.
///
/// # Errors
/// Names of nothing, and those of the store.
pub fn remove(store: &ChunkStore, options: &RemoveOptions) -> Result<RemovalReport, Error> {
    let images = store.images()?;
    let known: Vec<BlobId> = store.index().blobs()?.into_iter().map(|(_, id)| id).collect();
    let mut policy = PrunePolicy::default();
    for name in &options.names {
        match find(&images, &known, name)? {
            Named::Image(image) => policy.images.push(image.id),
            Named::Blob(blob) => policy.blobs.push(blob),
        }
    }
    let pruned = store.prune(&policy)?;
    let mut report = report(&policy, &pruned);
    report.kept.extend(shared(&policy, &images, &pruned));
    Ok(report)
}

/// Blobs of results that were to be forgotten, which others are made of too.
fn shared(policy: &PrunePolicy, images: &[StoredImage], pruned: &PruneReport) -> Vec<KeptBlob> {
    let others = images.iter().filter(|image| !policy.images.contains(&image.id));
    let others: HashSet<BlobId> = others.flat_map(|image| image.blobs.iter().copied()).collect();
    let told =
        pruned.pruned.iter().map(|pruned| pruned.blob).chain(pruned.kept.iter().map(|(blob, _)| *blob));
    let told: HashSet<BlobId> = told.collect();
    let asked = images.iter().filter(|image| policy.images.contains(&image.id));
    let blobs: BTreeSet<BlobId> = asked.flat_map(|image| image.blobs.iter().copied()).collect();
    let shared = blobs.into_iter().filter(|blob| others.contains(blob) && !told.contains(blob));
    shared.map(|blob| KeptBlob { digest: digest(blob.0), reason: WhyKept::Image }).collect()
}

fn report(policy: &PrunePolicy, pruned: &PruneReport) -> RemovalReport {
    let removed = pruned.pruned.iter().map(|pruned| RemovedBlob {
        digest: digest(pruned.blob.0),
        bytes: pruned.bytes,
        reason: match pruned.reason {
            Reason::Unlisted => WhyRemoved::Unlisted,
            Reason::Asked => WhyRemoved::Asked,
            Reason::NotKept => WhyRemoved::NotKept,
            Reason::Age => WhyRemoved::Age,
            Reason::Size => WhyRemoved::Size,
        },
    });
    let kept = pruned.kept.iter().map(|(blob, why)| KeptBlob {
        digest: digest(blob.0),
        reason: match why {
            Kept::Held => WhyKept::Held,
            Kept::Image => WhyKept::Image,
        },
    });
    let forgotten = pruned.images.iter().map(|image| ForgottenImage {
        digest: digest(image.id),
        name: image.name.clone(),
        reason: match policy.images.contains(&image.id) {
            true => WhyForgotten::Asked,
            false => WhyForgotten::Incomplete,
        },
    });
    RemovalReport {
        schema_version: SCHEMA_VERSION,
        dry_run: policy.dry_run,
        removed: removed.collect(),
        kept: kept.collect(),
        forgotten: forgotten.collect(),
        removed_bytes: pruned.pruned.iter().map(|pruned| pruned.bytes).sum(),
        unfinished_bytes: pruned.unfinished_bytes,
        left_bytes: pruned.bytes_left,
    }
}

/// A line for everything that goes, and for what stays although it would go.
impl fmt::Display for RemovalReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (removed, forgotten, kept) = match self.dry_run {
            true => ("would remove", "would forget", "would keep"),
            false => ("removed", "forgot", "kept"),
        };
        for blob in &self.removed {
            writeln!(f, "{removed} blob {}, {} bytes: {}", blob.digest, blob.bytes, blob.reason)?;
        }
        for blob in &self.kept {
            writeln!(f, "{kept} blob {}: {}", blob.digest, blob.reason)?;
        }
        for image in &self.forgotten {
            writeln!(f, "{forgotten} image {} ({}): {}", image.digest, printable(&image.name), image.reason)?;
        }
        if self.unfinished_bytes > 0 {
            writeln!(f, "{removed} {} bytes that ended processes left unfinished", self.unfinished_bytes)?;
        }
        let (count, bytes) = (self.removed.len(), self.removed_bytes);
        writeln!(f, "{removed} {count} blobs, {bytes} bytes; {} bytes stay", self.left_bytes)
    }
}

impl fmt::Display for WhyRemoved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unlisted => "the index does not know it",
            Self::Asked => "asked for",
            Self::NotKept => "no image is made of it that is to be kept",
            Self::Age => "not used for longer than the limit",
            Self::Size => "the store is above its limit, and the rest was used later",
        })
    }
}

impl fmt::Display for WhyKept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Held => "a running conversion uses it",
            Self::Image => "an image is made of it that stays",
        })
    }
}

impl fmt::Display for WhyForgotten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Asked => "asked for",
            Self::Incomplete => "blobs of it are gone",
        })
    }
}
