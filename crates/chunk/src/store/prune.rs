//! Removing what nobody needs.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::{Duration, SystemTime};

use nydus_convert_rafs::{BlobId, ChunkDigest};

use super::index::{PREFIX, prefix};
use super::{
    ChunkClass, ChunkStore, LayerKey, NewBlob, ObjectInfo, ObjectKind, ObjectName, StoreError, StoredImage,
};

/// What is to be removed. What no rule names stays; blobs that a running process holds stay in any case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PrunePolicy {
    /// Results whose blobs stay. If there are any and no other rule, all other blobs go.
    pub keep_images: Vec<[u8; 32]>,
    /// Blobs go that were not used for longer.
    pub max_age: Option<Duration>,
    /// Blobs that were not used for the longest time go, until the objects together have at most so many bytes.
    pub max_bytes: Option<u64>,
    /// These blobs go, and no others but those of other rules.
    pub blobs: Vec<BlobId>,
    /// These results are forgotten, and blobs go that only they are made of.
    pub images: Vec<[u8; 32]>,
    /// Nothing is removed, only told.
    pub dry_run: bool,
}

/// Why a blob goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The index does not know it.
    Unlisted,
    /// It was asked for.
    Asked,
    /// It is none of a result that is to stay.
    NotKept,
    /// It was not used for long.
    Age,
    /// The store was too large.
    Size,
}

/// Why a blob stays that would go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// A running process uses it.
    Held,
    /// A result is to stay.
    Image,
}

/// A blob that goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pruned {
    /// SHA-256 of the blob.
    pub blob: BlobId,
    /// Its bytes, with what the store knows of it.
    pub bytes: u64,
    /// The rule by which it is removed.
    pub reason: Reason,
}

/// What was removed, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PruneReport {
    /// Blobs that are removed.
    pub pruned: Vec<Pruned>,
    /// Blobs that stay although a rule would have them go.
    pub kept: Vec<(BlobId, Kept)>,
    /// Results that are forgotten, because that was asked for, or blobs of them are not there any more.
    pub images: Vec<StoredImage>,
    /// Bytes that processes left unfinished that have ended.
    pub unfinished_bytes: u64,
    /// Bytes of all objects that stay.
    pub bytes_left: u64,
}

/// Chunks of each class whose places the index has forgotten.
type Lost = BTreeMap<ChunkClass, HashSet<[u8; PREFIX]>>;

/// A blob with all that belongs to it.
struct Candidate {
    blob: BlobId,
    bytes: u64,
    used: SystemTime,
    listed: bool,
}

impl ChunkStore {
    /// Removes what `policy` says, and what processes left that have ended. Waits for those that publish just now.
    pub fn prune(&self, policy: &PrunePolicy) -> Result<PruneReport, StoreError> {
        let objects = self.objects();
        let guard = objects.pruning()?;
        let mut report =
            PruneReport { unfinished_bytes: objects.sweep(policy.dry_run)?, ..PruneReport::default() };
        let layers = self.layers_by_blob()?;
        let mut candidates = self.candidates(&layers)?;
        if self.index().is_partial()? {
            // What it does not know would be removed.
            return Err(StoreError::Index(
                "it was made anew and does not know all blobs that are there".into(),
            ));
        }
        candidates.sort_by_key(|candidate| (candidate.used, candidate.blob));
        let images = self.images()?;
        let rules = Rules::new(policy, &images);
        let held = objects.held()?;
        let mut left: u64 = candidates.iter().map(|candidate| candidate.bytes).sum();
        for candidate in &candidates {
            let Some(reason) = rules.reason(candidate, left) else { continue };
            if held.contains(&candidate.blob) {
                report.kept.push((candidate.blob, Kept::Held));
            } else if rules.kept.contains(&candidate.blob) {
                report.kept.push((candidate.blob, Kept::Image));
            } else {
                left -= candidate.bytes;
                report.pruned.push(Pruned { blob: candidate.blob, bytes: candidate.bytes, reason });
            }
        }
        report.bytes_left = left;
        let gone: BTreeSet<BlobId> = report.pruned.iter().map(|pruned| pruned.blob).collect();
        let there: HashSet<BlobId> = candidates.iter().map(|candidate| candidate.blob).collect();
        let is_broken =
            |image: &StoredImage| image.blobs.iter().any(|id| gone.contains(id) || !there.contains(id));
        report.images = images
            .into_iter()
            .filter(|image| policy.images.contains(&image.id) || is_broken(image))
            .collect();
        if !policy.dry_run {
            self.remove(&gone, &layers, &report.images)?;
        }
        drop(guard);
        Ok(report)
    }

    fn layers_by_blob(&self) -> Result<BTreeMap<BlobId, Vec<LayerKey>>, StoreError> {
        let mut layers: BTreeMap<BlobId, Vec<LayerKey>> = BTreeMap::new();
        for (key, blob) in self.index().layers()? {
            layers.entry(blob).or_default().push(key);
        }
        Ok(layers)
    }

    fn candidates(&self, layers: &BTreeMap<BlobId, Vec<LayerKey>>) -> Result<Vec<Candidate>, StoreError> {
        let listed: HashSet<BlobId> = self.index().blobs()?.into_iter().map(|(_, id)| id).collect();
        let mut sizes: BTreeMap<BlobId, u64> = BTreeMap::new();
        for ObjectInfo { name, size, .. } in self.objects().list(ObjectKind::Description)? {
            *sizes.entry(BlobId(name.id)).or_default() += size;
        }
        let of_layers: BTreeMap<[u8; 32], u64> =
            self.objects().list(ObjectKind::Layer)?.iter().map(|info| (info.name.id, info.size)).collect();
        for (blob, keys) in layers {
            *sizes.entry(*blob).or_default() +=
                keys.iter().filter_map(|key| of_layers.get(&key.0)).sum::<u64>();
        }
        let mut candidates = Vec::new();
        for ObjectInfo { name, size, used } in self.objects().list(ObjectKind::Blob)? {
            let blob = BlobId(name.id);
            let bytes = size + sizes.remove(&blob).unwrap_or_default();
            candidates.push(Candidate { blob, bytes, used, listed: listed.contains(&blob) });
        }
        // What is left has lost its blob.
        let orphans = sizes.into_iter();
        candidates.extend(orphans.map(|(blob, bytes)| Candidate {
            blob,
            bytes,
            used: SystemTime::UNIX_EPOCH,
            listed: false,
        }));
        Ok(candidates)
    }

    /// The index forgets first: what is removed must not be found.
    fn remove(
        &self,
        gone: &BTreeSet<BlobId>,
        layers: &BTreeMap<BlobId, Vec<LayerKey>>,
        images: &[StoredImage],
    ) -> Result<(), StoreError> {
        let mut lost = Lost::new();
        for id in gone {
            if let Some(description) = self.describe(*id)? {
                let prefixes = description.alone().into_iter().map(|(digest, _)| prefix(&digest));
                lost.entry(description.class).or_default().extend(prefixes);
            }
            self.forget_now(*id)?;
        }
        for id in gone {
            for key in layers.get(id).into_iter().flatten() {
                self.objects().remove(key.object())?;
            }
            self.objects().remove(ObjectName::description(*id))?;
            self.objects().remove(ObjectName::blob(*id))?;
        }
        self.remove_unlisted_layers()?;
        for image in images {
            self.remove_image(image.id)?;
        }
        self.find_copies(&lost)
    }

    fn remove_unlisted_layers(&self) -> Result<(), StoreError> {
        let listed: HashSet<LayerKey> = self.index().layers()?.into_iter().map(|(key, _)| key).collect();
        for info in self.objects().list(ObjectKind::Layer)? {
            if !listed.contains(&LayerKey(info.name.id)) {
                self.objects().remove(info.name)?;
            }
        }
        Ok(())
    }

    /// The index knows one place of each chunk. Of those that were lost, other blobs may have copies.
    fn find_copies(&self, lost: &Lost) -> Result<(), StoreError> {
        if lost.is_empty() {
            return Ok(());
        }
        for (_, id) in self.index().blobs()? {
            let Some(description) = self.describe(id)? else { continue };
            let class = &description.class;
            let Some(lost) = lost.get(class) else { continue };
            let mut copies: Vec<(ChunkDigest, u32)> = description.alone();
            copies.retain(|(digest, _)| lost.contains(&prefix(digest)));
            if !copies.is_empty() {
                self.index().publish(&NewBlob { id, class, chunks: &copies, layers: &[] })?;
            }
        }
        Ok(())
    }
}

/// A policy, and what it means for the blobs.
struct Rules<'a> {
    policy: &'a PrunePolicy,
    /// Those of results that are to stay.
    kept: HashSet<BlobId>,
    /// Those that are asked for, and those that only results are made of that are to be forgotten.
    asked: HashSet<BlobId>,
}

impl<'a> Rules<'a> {
    fn new(policy: &'a PrunePolicy, images: &[StoredImage]) -> Self {
        let blobs_of = |is_one: &dyn Fn(&[u8; 32]) -> bool| -> HashSet<BlobId> {
            let images = images.iter().filter(|image| is_one(&image.id));
            images.flat_map(|image| image.blobs.iter().copied()).collect()
        };
        let kept = blobs_of(&|id| policy.keep_images.contains(id));
        let remembered = blobs_of(&|id| !policy.images.contains(id));
        let forgotten = blobs_of(&|id| policy.images.contains(id));
        let asked = policy.blobs.iter().copied().chain(forgotten.difference(&remembered).copied()).collect();
        Self { policy, kept, asked }
    }

    /// Why a blob should go, if it should; `left` bytes are in the store then.
    fn reason(&self, candidate: &Candidate, left: u64) -> Option<Reason> {
        let PrunePolicy { keep_images, max_age, max_bytes, .. } = self.policy;
        let only_images = !keep_images.is_empty() && max_age.is_none() && max_bytes.is_none();
        let only_images = only_images && self.policy.blobs.is_empty() && self.policy.images.is_empty();
        let age = SystemTime::now().duration_since(candidate.used).unwrap_or_default();
        if !candidate.listed {
            Some(Reason::Unlisted)
        } else if self.asked.contains(&candidate.blob) {
            Some(Reason::Asked)
        } else if only_images && !self.kept.contains(&candidate.blob) {
            Some(Reason::NotKept)
        } else if max_age.is_some_and(|most| age > most) {
            Some(Reason::Age)
        } else if max_bytes.is_some_and(|most| left > most) {
            Some(Reason::Size)
        } else {
            None
        }
    }
}
