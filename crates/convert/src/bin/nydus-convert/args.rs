//! Options that commands share, as they are typed, and what they mean for the library.

use std::fs;
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use nydus_convert::rafs::{self, ChunkSize, Digester};
use nydus_convert::{Compression, FsOptions};

use crate::registries::Registries;
use crate::usage::UsageError;
use crate::values;

#[derive(Debug, Args)]
#[command(next_help_heading = "Prefetch")]
pub struct Prefetch {
    /// File with the paths that clients fetch first, one absolute path in each line; `-` for standard input
    ///
    /// A directory stands for all below it. The files' data lies in front in every layer's blob, so that fetching it is
    /// one sequential read for each.
    #[arg(long = "prefetch", value_name = "FILE|-", env = "NYDUS_CONVERT_PREFETCH")]
    pub list: Option<PathBuf>,
    /// What becomes of the paths
    #[arg(long = "prefetch-policy", value_enum, default_value_t = PrefetchPolicy::Fs,
          env = "NYDUS_CONVERT_PREFETCH_POLICY")]
    pub policy: PrefetchPolicy,
}

impl Prefetch {
    /// Reads the list.
    pub fn lower(&self) -> Result<nydus_convert::Prefetch, UsageError> {
        let Some(file) = self.list.as_ref().filter(|_| self.policy == PrefetchPolicy::Fs) else {
            return Ok(nydus_convert::Prefetch::default());
        };
        let list = if file.as_os_str() == "-" {
            let mut list = Vec::new();
            io::stdin().lock().read_to_end(&mut list).map(|_| list)
        } else {
            fs::read(file)
        };
        let list = list.map_err(|source| UsageError::PrefetchRead { file: file.clone(), source })?;
        nydus_convert::Prefetch::parse(&list)
            .map_err(|source| UsageError::Prefetch { file: file.clone(), source })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PrefetchPolicy {
    /// Bootstraps list them
    Fs,
    /// They are ignored
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Replay {
    /// The tar exactly, and the compressed layer where its encoder is recognised from a sample
    Auto,
    /// The compressed layer always: made again whole and compared while converting, or else kept as it is
    Proven,
    /// The tar exactly
    Tar,
    /// Nothing
    None,
}

impl Replay {
    /// The library's word for it.
    pub fn lower(self) -> nydus_convert::Replay {
        match self {
            Self::Auto => nydus_convert::Replay::Auto,
            Self::Proven => nydus_convert::Replay::Proven,
            Self::Tar => nydus_convert::Replay::Tar,
            Self::None => nydus_convert::Replay::None,
        }
    }
}

/// What conversions of images have in common, whatever their direction.
#[derive(Debug, Args)]
pub struct Transfer {
    /// Images of an index to convert: `all`, or platforms like linux/amd64,linux/arm64/v8
    #[arg(long, default_value = "all", help_heading = "Result", env = "NYDUS_CONVERT_PLATFORM")]
    pub platform: String,
    /// Replace the target whatever it holds: the source itself, or an image of the other kind
    #[arg(long, help_heading = "Result", env = "NYDUS_CONVERT_FORCE")]
    pub force: bool,
    #[command(flatten)]
    pub registries: Registries,
    #[command(flatten)]
    pub resources: Resources,
    #[command(flatten)]
    pub output: Output,
    /// Write the digest of the result to this file
    #[arg(long, value_name = "FILE", env = "NYDUS_CONVERT_DIGEST_FILE")]
    pub digest_file: Option<PathBuf>,
}

impl Transfer {
    /// The bounds asked for.
    pub fn bounds(&self) -> nydus_convert::Resources {
        self.resources.lower(self.registries.common.max_zstd_window())
    }

    /// Writes the digest of the result where it was asked for.
    pub fn write_digest(&self, digest: &str) -> Result<()> {
        let Some(file) = &self.digest_file else { return Ok(()) };
        fs::write(file, digest).with_context(|| format!("cannot write {}", file.display()))
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Format")]
pub struct Format {
    /// Version of the RAFS format
    #[arg(long, value_enum, default_value_t = FsVersion::V6, env = "NYDUS_CONVERT_FS_VERSION")]
    pub fs_version: FsVersion,
    /// How chunks are stored: zstd[:LEVEL], lz4_block or none [default: zstd, and none if kernel-mountable]
    #[arg(long, value_parser = values::compressor, env = "NYDUS_CONVERT_COMPRESSOR")]
    pub compressor: Option<Compression>,
    /// Length of a chunk: a power of two from 4KiB to 16MiB
    #[arg(long, visible_alias = "fs-chunk-size", default_value = "1MiB", value_parser = values::chunk_size,
          value_name = "SIZE", env = "NYDUS_CONVERT_CHUNK_SIZE")]
    pub chunk_size: ChunkSize,
    /// Store files shorter than half of this together, in batches: a power of two up to the chunk size; 0 for none
    #[arg(long, value_name = "SIZE", default_value = "0", value_parser = values::batch_size,
          env = "NYDUS_CONVERT_BATCH_SIZE")]
    pub batch_size: u32,
    /// Let chunks of RAFS v5 begin at multiples of 4 KiB in caches; those of v6 always do
    #[arg(long, env = "NYDUS_CONVERT_ALIGNED_CHUNK")]
    pub aligned_chunk: bool,
    /// Store chunks raw and padded to 4 KiB, so that `mount -t erofs` alone mounts the image (see `mount-cmd`)
    #[arg(long, env = "NYDUS_CONVERT_KERNEL_MOUNTABLE")]
    pub kernel_mountable: bool,
    /// Hash that names chunks: blake3 or sha256
    #[arg(long, default_value = "blake3", value_parser = values::digester, env = "NYDUS_CONVERT_DIGESTER")]
    pub digester: Digester,
    /// Refused: see `Format::lower`
    #[arg(long, hide = true)]
    pub encrypt: bool,
}

impl Format {
    /// The file system asked for.
    pub fn lower(&self) -> Result<FsOptions, UsageError> {
        if self.encrypt {
            return Err(UsageError::Encrypt);
        }
        let fs = FsOptions {
            version: self.fs_version.lower(),
            compression: self.compressor.unwrap_or(match self.kernel_mountable {
                true => Compression::None,
                false => Compression::default(),
            }),
            digester: self.digester,
            chunk_size: self.chunk_size,
            batch_size: self.batch_size,
            aligned_chunks: self.aligned_chunk,
            kernel_mountable: self.kernel_mountable,
        };
        fs.check()?;
        Ok(fs)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FsVersion {
    /// For FUSE clients, also old ones
    #[value(name = "5")]
    V5,
    /// For FUSE clients and the kernel
    #[value(name = "6")]
    V6,
}

impl FsVersion {
    /// The library's word for it.
    pub fn lower(self) -> rafs::FsVersion {
        match self {
            Self::V5 => rafs::FsVersion::V5,
            Self::V6 => rafs::FsVersion::V6,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Fidelity {
    /// Refuse with exit code 3 and a list
    Strict,
    /// Convert to the nearest thing and list what changed
    Warn,
}

impl Fidelity {
    /// The library's word for it.
    pub fn lower(self) -> nydus_convert::Fidelity {
        match self {
            Self::Strict => nydus_convert::Fidelity::Strict,
            Self::Warn => nydus_convert::Fidelity::Warn,
        }
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Resources")]
pub struct Resources {
    /// Threads that hash and compress [default: one per core]
    #[arg(short, long, value_name = "N", env = "NYDUS_CONVERT_JOBS")]
    pub jobs: Option<NonZeroUsize>,
    /// Layers read at the same time [default: the number of jobs, at most 4]
    #[arg(long, value_name = "N", env = "NYDUS_CONVERT_PARALLEL_LAYERS")]
    pub parallel_layers: Option<NonZeroUsize>,
    /// File data in flight; metadata comes on top [default: 64MiB]
    #[arg(long, value_name = "SIZE", value_parser = values::size, env = "NYDUS_CONVERT_MAX_MEMORY")]
    pub max_memory: Option<u64>,
    /// Refuse layers that unpack to more than this [default: 256GiB]
    #[arg(long, value_name = "SIZE", value_parser = values::size, env = "NYDUS_CONVERT_MAX_LAYER_SIZE")]
    pub max_layer_size: Option<u64>,
    /// Memory for names, attributes and directories beyond what the sizes of the layers allow [default: 64MiB]
    #[arg(long, value_name = "SIZE", value_parser = values::size, env = "NYDUS_CONVERT_MAX_METADATA")]
    pub max_metadata: Option<u64>,
}

impl Resources {
    /// The bounds asked for.
    pub fn lower(&self, max_zstd_window: u64) -> nydus_convert::Resources {
        let default = nydus_convert::Resources::default();
        let jobs = self.jobs.unwrap_or(default.jobs);
        nydus_convert::Resources {
            jobs,
            parallel_layers: self.parallel_layers.unwrap_or_else(|| jobs.min(default.parallel_layers)),
            window_bytes: self
                .max_memory
                .map_or(default.window_bytes, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
            max_layer_size: self.max_layer_size.unwrap_or(default.max_layer_size),
            max_zstd_window,
            max_metadata: self.max_metadata.unwrap_or(default.max_metadata),
        }
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct Output {
    /// Print one JSON object on stdout instead of the reference
    #[arg(long, env = "NYDUS_CONVERT_JSON")]
    pub json: bool,
    /// Print nothing on stderr but errors
    #[arg(short, long, conflicts_with = "verbose", env = "NYDUS_CONVERT_QUIET")]
    pub quiet: bool,
    /// How progress is shown on stderr
    #[arg(long, value_enum, default_value_t = Progress::Auto, env = "NYDUS_CONVERT_PROGRESS")]
    pub progress: Progress,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Progress {
    /// Bars on a terminal, else a line per layer
    Auto,
    /// Bars
    Tty,
    /// A line per layer
    Plain,
    /// Nothing
    None,
}
