//! The chunk store as arguments name it.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, ValueEnum};
use nydus_convert::store::{ChunkStore, ObjectKind, PrunePolicy, Snapshot, StoreError};
use nydus_convert::{Dedup, Error, MinSaving, Observer, ReuseOptions};

use crate::values;

/// Where finished work is kept.
#[derive(Debug, Args)]
#[command(next_help_heading = "Store")]
pub struct StoreLocation {
    /// Directory of the chunk store, which keeps finished layers and chunks for later conversions
    /// [default: nydus-convert/store in the user's cache directory]
    #[arg(long, value_name = "DIR", env = "NYDUS_CONVERT_STORE")]
    pub store: Option<PathBuf>,
}

/// How large the chunk store may be.
#[derive(Debug, Args)]
#[command(next_help_heading = "Store")]
pub struct StoreLimit {
    /// Size that a conversion brings the chunk store back to, the least recently used first: a size, or `unlimited`
    /// [default: a tenth of its file system, from 2GiB to 50GiB]
    #[arg(long, value_name = "SIZE", value_parser = values::limit, env = "NYDUS_CONVERT_STORE_MAX_SIZE")]
    store_max_size: Option<u64>,
}

impl StoreLimit {
    /// In bytes; `None` where there is none.
    pub fn of(&self, dir: &Path) -> Option<u64> {
        const LEAST: u64 = 2 << 30;
        const MOST: u64 = 50 << 30;
        let tenth = || {
            let file_system = rustix::fs::statvfs(dir).ok()?;
            Some((file_system.f_blocks.saturating_mul(file_system.f_frsize) / 10).clamp(LEAST, MOST))
        };
        self.store_max_size.or_else(tenth).filter(|limit| *limit != values::UNLIMITED)
    }

    /// Brings a store back to its limit. What fails is no reason for a run to fail.
    pub fn keep(&self, store: &ChunkStore, dir: &Path, observer: &dyn Observer) {
        let Some(limit) = self.of(dir) else { return };
        match shrink(store, limit) {
            Ok(0) => {}
            Ok(removed) => observer.note(&format!(
                "{} removed from the chunk store, which may have {}",
                values::show_size(removed),
                values::show_size(limit)
            )),
            Err(error) => {
                let why = anyhow::Error::from(error);
                observer.note(&format!("the chunk store may be larger than its limit: {why:#}"));
            }
        }
    }
}

/// Gives the bytes that were removed.
fn shrink(store: &ChunkStore, limit: u64) -> Result<u64, StoreError> {
    let mut bytes = 0;
    // What pruning counts.
    for kind in [ObjectKind::Blob, ObjectKind::Description] {
        bytes += store.objects().list(kind)?.iter().map(|object| object.size).sum::<u64>();
    }
    if bytes <= limit {
        return Ok(0);
    }
    let pruned = store.prune(&PrunePolicy { max_bytes: Some(limit), ..PrunePolicy::default() })?;
    Ok(pruned.pruned.iter().map(|blob| blob.bytes).sum())
}

/// What of earlier work a conversion uses.
#[derive(Debug, Args)]
#[command(next_help_heading = "Store")]
pub struct Reuse {
    #[command(flatten)]
    pub location: StoreLocation,
    #[command(flatten)]
    pub limit: StoreLimit,
    /// Neither use nor fill a chunk store, whatever `--store` says
    #[arg(long, env = "NYDUS_CONVERT_NO_STORE")]
    pub no_store: bool,
    /// Where a layer may reuse chunks from; `image` and `store` make blobs depend on each other
    #[arg(long, value_enum, default_value_t = Scope::Layer, env = "NYDUS_CONVERT_DEDUP")]
    pub dedup: Scope,
    /// Blobs that an image may use beside its layers' own
    #[arg(long, value_name = "N", default_value_t = ReuseOptions::MAX_BLOBS, env = "NYDUS_CONVERT_DEDUP_MAX_BLOBS")]
    pub dedup_max_blobs: usize,
    /// What one of these must save at least, in percent of the layer [default: 5]
    #[arg(long, value_name = "PERCENT", env = "NYDUS_CONVERT_DEDUP_MIN_SAVING")]
    pub dedup_min_saving: Option<MinSaving>,
    /// The state of the store that counts under `--dedup store`, as an earlier report tells it [default: the present one]
    #[arg(long, value_name = "ID", env = "NYDUS_CONVERT_DEDUP_SNAPSHOT")]
    pub dedup_snapshot: Option<Snapshot>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scope {
    /// None: equal layers are equal blobs in all images
    Layer,
    /// Those of the layers below it
    Image,
    /// Those of the layers below it and of images in the chunk store
    Store,
}

impl StoreLocation {
    /// The directory that is meant; `None` where the user has no cache directory.
    pub fn dir(&self) -> Option<PathBuf> {
        let absolute =
            |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let cache = || absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
        self.store.clone().or_else(|| Some(cache()?.join("nydus-convert/store")))
    }
}

impl Reuse {
    /// Opens the store. One that was not asked for is done without where it cannot be had.
    pub fn open(&self, observer: &dyn Observer) -> Result<Option<ChunkStore>> {
        let Some(dir) = self.location.dir().filter(|_| !self.no_store) else { return Ok(None) };
        match ChunkStore::open(&dir) {
            Ok(store) => Ok(Some(store)),
            Err(error) if self.location.store.is_some() => Err(Error::from(error).into()),
            Err(error) => {
                let why = anyhow::Error::from(error);
                observer.note(&format!(
                    "continuing without the chunk store in {}: {why:#}; --no-store silences this",
                    dir.display()
                ));
                Ok(None)
            }
        }
    }

    /// Brings the store back to its limit, at the end.
    pub fn keep_limit(&self, store: Option<&ChunkStore>, observer: &dyn Observer) {
        if let (Some(store), Some(dir)) = (store, self.location.dir()) {
            self.limit.keep(store, &dir, observer);
        }
    }

    /// What of earlier work is used.
    pub fn lower(&self) -> ReuseOptions {
        ReuseOptions {
            dedup: match self.dedup {
                Scope::Layer => Dedup::Layer,
                Scope::Image => Dedup::Image,
                Scope::Store => Dedup::Store,
            },
            max_blobs: self.dedup_max_blobs,
            min_saving: self.dedup_min_saving.unwrap_or_default(),
            snapshot: self.dedup_snapshot,
        }
    }
}
