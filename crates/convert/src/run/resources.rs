//! What an operation may use of the machine.

use std::num::NonZeroUsize;

use nydus_convert_oci::StreamLimits;
use serde::{Deserialize, Serialize};

/// What a conversion may use of the machine. Never visible in the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Resources {
    /// Threads that hash and compress.
    pub jobs: NonZeroUsize,
    /// Layers read at the same time.
    pub parallel_layers: NonZeroUsize,
    /// Bytes of file data in flight, over all layers together. Metadata comes on top.
    pub window_bytes: usize,
    /// Largest layer accepted, in plain bytes: what stands between a decompression bomb and the disk.
    pub max_layer_size: u64,
    /// Largest window of a zstd frame accepted, in bytes. It comes on top of `window_bytes`; of large ones there is one at
    /// a time.
    pub max_zstd_window: u64,
    /// Bytes of memory that the names, attributes and directories of a conversion may take beyond what the sizes of its
    /// layers and bootstraps allow.
    pub max_metadata: u64,
}

impl Resources {
    /// 64 MiB: enough that every worker finds the next chunk waiting.
    pub(crate) const DEFAULT_WINDOW: usize = 64 << 20;
    /// 256 GiB: beyond any image seen in the field, within what a disk survives.
    pub(crate) const DEFAULT_MAX_LAYER_SIZE: u64 = 256 << 30;
    /// 64 MiB: what a quarter of a million files take.
    pub(crate) const DEFAULT_MAX_METADATA: u64 = 64 << 20;

    /// What reading a layer may take.
    pub(crate) fn stream_limits(&self) -> StreamLimits {
        StreamLimits { plain: self.max_layer_size, zstd_window: self.max_zstd_window }
    }
}

impl Default for Resources {
    fn default() -> Self {
        let jobs = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self {
            jobs,
            parallel_layers: jobs.min(NonZeroUsize::MIN.saturating_add(3)),
            window_bytes: Self::DEFAULT_WINDOW,
            max_layer_size: Self::DEFAULT_MAX_LAYER_SIZE,
            max_zstd_window: StreamLimits::DEFAULT_ZSTD_WINDOW,
            max_metadata: Self::DEFAULT_MAX_METADATA,
        }
    }
}
