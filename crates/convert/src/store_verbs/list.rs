//! What there is.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use nydus_convert_rafs::BlobId;
use serde::{Deserialize, Serialize};

use super::text::{digest, printable, rfc3339, rfc3339_of};
use crate::error::Error;
use crate::report::SCHEMA_VERSION;
use crate::store::{ChunkStore, ObjectInfo, ObjectKind, StoredImage};

/// What is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListOptions {
    /// Whether blobs are listed, and not the results alone.
    pub blobs: bool,
}

/// What a store has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListReport {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Results, the oldest first.
    pub images: Vec<ListedImage>,
    /// Blobs in the order of their digests, if they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blobs: Option<Vec<ListedBlob>>,
}

/// A result: an image or index that a conversion made with this store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedImage {
    /// Digest of its manifest or index.
    pub digest: String,
    /// When it was made, as RFC 3339 in UTC.
    pub made: String,
    /// What it was made as.
    pub name: String,
    /// What it was made of.
    pub source: String,
    /// Bytes of its data blobs that the store has.
    pub bytes: u64,
    /// Digests of its data blobs.
    pub blobs: Vec<String>,
    /// How many of these the store does not have any more.
    pub missing_blobs: u64,
}

/// A blob of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedBlob {
    /// Digest of the blob.
    pub digest: String,
    /// Length in bytes.
    pub bytes: u64,
    /// When a conversion used it last, as RFC 3339 in UTC.
    pub used: String,
    /// How many results are made of it.
    pub images: u64,
}

/// Lists what a store has.
///
/// # Errors
/// Those of the store.
pub fn list(store: &ChunkStore, options: &ListOptions) -> Result<ListReport, Error> {
    let mut known: BTreeMap<BlobId, ObjectInfo> = store
        .objects()
        .list(ObjectKind::Blob)?
        .into_iter()
        .map(|info| (BlobId(info.name.id), info))
        .collect();
    let listed: std::collections::HashSet<BlobId> =
        store.index().blobs()?.into_iter().map(|(_, id)| id).collect();
    // What the index does not know nobody uses.
    known.retain(|id, _| listed.contains(id));
    let images = store.images()?;
    Ok(ListReport {
        schema_version: SCHEMA_VERSION,
        blobs: options.blobs.then(|| list_blobs(&known, &images)),
        images: images.iter().map(|image| list_image(image, &known)).collect(),
    })
}

fn list_image(image: &StoredImage, known: &BTreeMap<BlobId, ObjectInfo>) -> ListedImage {
    let there: Vec<&ObjectInfo> = image.blobs.iter().filter_map(|id| known.get(id)).collect();
    ListedImage {
        digest: digest(image.id),
        made: rfc3339(image.made),
        name: image.name.clone(),
        source: image.source.clone(),
        bytes: there.iter().map(|info| info.size).sum(),
        blobs: image.blobs.iter().map(|id| digest(id.0)).collect(),
        missing_blobs: (image.blobs.len() - there.len()) as u64,
    }
}

fn list_blobs(known: &BTreeMap<BlobId, ObjectInfo>, images: &[StoredImage]) -> Vec<ListedBlob> {
    let mut uses: HashMap<BlobId, u64> = HashMap::new();
    for id in images.iter().flat_map(|image| &image.blobs) {
        *uses.entry(*id).or_default() += 1;
    }
    let listed = known.iter().map(|(id, info)| ListedBlob {
        digest: digest(id.0),
        bytes: info.size,
        used: rfc3339_of(info.used),
        images: uses.get(id).copied().unwrap_or_default(),
    });
    listed.collect()
}

/// A line for each image, or for each blob if blobs were asked for; fields are separated by tabs.
impl fmt::Display for ListReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.blobs {
            Some(blobs) => blobs.iter().try_for_each(|blob| writeln!(f, "{blob}")),
            None => self.images.iter().try_for_each(|image| writeln!(f, "{image}")),
        }
    }
}

impl fmt::Display for ListedImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { digest, made, bytes, blobs, missing_blobs, .. } = self;
        write!(f, "{digest}\t{made}\t{bytes} bytes\t{} blobs", blobs.len())?;
        if *missing_blobs > 0 {
            write!(f, ", {missing_blobs} missing")?;
        }
        write!(f, "\t{}\t{}", printable(&self.name), printable(&self.source))
    }
}

impl fmt::Display for ListedBlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { digest, bytes, used, images } = self;
        write!(f, "{digest}\t{used}\t{bytes} bytes\t{images} images")
    }
}
