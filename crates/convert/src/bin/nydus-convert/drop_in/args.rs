//! The reference builder's command lines, as far as its callers write them. What each means is in `docs/drop-in.md`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use nydus_convert::Compression;
use nydus_convert::rafs::{ChunkSize, Digester};

use crate::args::{Fidelity, FsVersion, Replay};
use crate::values;

/// Builds, merges, unpacks and checks RAFS file systems as `nydus-image` does; this is nydus-convert by that name.
#[derive(Debug, Parser)]
#[command(
    name = "nydus-image",
    disable_version_flag = true,
    arg_required_else_help = true,
    max_term_width = 110
)]
pub struct Cli {
    /// Print the version
    #[arg(short = 'V', long)]
    pub version: bool,
    /// What is logged to stderr
    #[arg(short, long, global = true, value_enum)]
    pub log_level: Option<LogLevel>,
    /// Refused
    #[arg(short = 'L', long, global = true, hide = true)]
    pub log_file: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a blob of a layer
    Create(Create),
    /// Make the bootstrap of an image of the bootstraps of its layers
    Merge(Merge),
    /// Make a tar of a layer
    Unpack(Unpack),
    /// Check a bootstrap
    Check(Check),
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

impl LogLevel {
    /// The word that a log filter knows.
    pub fn filter(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

#[derive(Debug, Args)]
pub struct Create {
    /// The layer: a tar, plain or compressed with gzip or zstd; may be a pipe, `-` is stdin
    #[arg(value_name = "SOURCE")]
    pub source: PathBuf,
    /// Kind of conversion: tar-rafs, targz-rafs or estargz-rafs; targz-ref or estargz-ref makes a blob that refers to the
    /// layer; tar-tarfs writes a bootstrap over a plain tar
    #[arg(short = 't', long = "type", default_value = "dir-rafs", value_name = "TYPE")]
    pub kind: String,
    /// File or pipe that the blob goes to
    #[arg(short, long)]
    pub blob: Option<PathBuf>,
    /// Put the bootstrap into the blob: the only way here
    #[arg(long)]
    pub blob_inline_meta: bool,
    /// RAFS version
    #[arg(short = 'v', long, value_enum, default_value_t = FsVersion::V6)]
    pub fs_version: FsVersion,
    /// Features of the blob; version 6 always has a table of contents
    #[arg(long, value_name = "FEATURE", value_parser = ["blob-toc"], value_delimiter = ',')]
    pub features: Vec<String>,
    /// How chunks are stored: zstd[:LEVEL], lz4_block or none
    #[arg(long, default_value = "zstd", value_parser = values::compressor)]
    pub compressor: Compression,
    /// Hash that names chunks: blake3 or sha256
    #[arg(long, default_value = "blake3", value_parser = values::digester)]
    pub digester: Digester,
    /// Length of a chunk: a power of two from 0x1000 to 0x1000000
    #[arg(long, default_value = "0x100000", value_parser = values::chunk_size)]
    pub chunk_size: ChunkSize,
    /// Store files shorter than half of this together, in batches; 0 for none; version 6 only
    #[arg(long, default_value = "0", value_parser = values::batch_size, value_name = "SIZE")]
    pub batch_size: u32,
    /// Let chunks of version 5 begin at multiples of 4 KiB in caches; those of version 6 always do
    #[arg(long)]
    pub aligned_chunk: bool,
    /// How removed files are marked; a layer's markers are kept as they are
    #[arg(long, default_value = "oci", value_parser = ["oci", "none", "overlayfs"])]
    pub whiteout_spec: String,
    /// Whether stdin has paths of files to fetch first, one a line: fs or none
    #[arg(long, default_value = "none", value_name = "POLICY")]
    pub prefetch_policy: String,
    /// Use chunks of the image with this bootstrap where the layer brings the same
    #[arg(long, value_name = "bootstrap=FILE")]
    pub chunk_dict: Option<String>,
    /// Write what was made as JSON to this file
    #[arg(short = 'J', long, value_name = "FILE")]
    pub output_json: Option<PathBuf>,
    /// What to do with files that the format cannot hold
    #[arg(long, value_enum, default_value_t = Fidelity::Warn, env = "NYDUS_CONVERT_FIDELITY", hide = true)]
    pub fidelity: Fidelity,
    /// What is kept for the way back
    #[arg(long, value_enum, default_value_t = Replay::None, env = "NYDUS_CONVERT_REPLAY", hide = true)]
    pub replay: Replay,
    #[command(flatten)]
    pub refused: RefusedByCreate,
}

/// Understood and refused: see `refusals.rs`.
#[derive(Debug, Args)]
pub struct RefusedByCreate {
    #[arg(long, hide = true)]
    pub encrypt: bool,
    #[arg(short = 'B', long, hide = true)]
    pub bootstrap: Option<PathBuf>,
    #[arg(short = 'D', long, hide = true)]
    pub blob_dir: Option<PathBuf>,
    #[arg(long, hide = true)]
    pub blob_id: Option<String>,
    #[arg(long, hide = true)]
    pub blob_data_size: Option<String>,
    #[arg(long, hide = true)]
    pub parent_bootstrap: Option<PathBuf>,
    #[arg(long, hide = true)]
    pub repeatable: bool,
    #[arg(short = 'C', long, hide = true)]
    pub config: Option<PathBuf>,
    #[arg(long, hide = true)]
    pub source_type: Option<String>,
    #[arg(long, hide = true)]
    pub inline_bootstrap: bool,
    #[arg(long, hide = true)]
    pub attributes: Option<PathBuf>,
    #[arg(long, hide = true)]
    pub disable_check: bool,
}

#[derive(Debug, Args)]
pub struct Merge {
    /// Bootstraps in files named after their blobs' digests, or blobs; the lowest layer first
    #[arg(required = true, value_name = "SOURCE")]
    pub sources: Vec<PathBuf>,
    /// File that the bootstrap of the image goes to
    #[arg(short = 'B', long)]
    pub bootstrap: Option<PathBuf>,
    /// Bootstrap of an image that the layers are put on
    #[arg(long)]
    pub parent_bootstrap: Option<PathBuf>,
    /// Dictionary that the layers were made with: their bootstraps tell all that is needed
    #[arg(long, value_name = "DICT")]
    pub chunk_dict: Option<String>,
    /// Whether stdin has paths of files to fetch first, one a line: fs or none
    #[arg(long, default_value = "none", value_name = "POLICY")]
    pub prefetch_policy: String,
    /// Write what was made as JSON to this file
    #[arg(short = 'J', long, value_name = "FILE")]
    pub output_json: Option<PathBuf>,
    /// Ids of the layers' blobs, instead of their file names
    #[arg(long, value_delimiter = ',')]
    pub original_blob_ids: Vec<String>,
    /// Digests of the blobs; of layers that refer to the original tar, of what describes it
    #[arg(long, value_delimiter = ',')]
    pub blob_digests: Vec<String>,
    /// Sizes of the same
    #[arg(long, value_delimiter = ',')]
    pub blob_sizes: Vec<u64>,
    /// Digests of their tables of contents
    #[arg(long, value_delimiter = ',')]
    pub blob_toc_digests: Vec<String>,
    /// Sizes of their tables of contents
    #[arg(long, value_delimiter = ',')]
    pub blob_toc_sizes: Vec<u32>,
    /// Refused
    #[arg(short = 'D', long, hide = true)]
    pub blob_dir: Option<PathBuf>,
    /// Refused
    #[arg(short = 'C', long, hide = true)]
    pub config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Unpack {
    /// The bootstrap
    #[arg(value_name = "BOOTSTRAP")]
    pub positional: Option<PathBuf>,
    /// The bootstrap
    #[arg(short = 'B', long)]
    pub bootstrap: Option<PathBuf>,
    /// The blob, whole or its chunks alone
    #[arg(short, long)]
    pub blob: Option<PathBuf>,
    /// Directory of blobs named by their ids
    #[arg(short = 'D', long)]
    pub blob_dir: Option<PathBuf>,
    /// File or pipe that the tar goes to
    #[arg(long)]
    pub output: PathBuf,
    /// Refused
    #[arg(long, hide = true)]
    pub backend_type: Option<String>,
    /// Refused
    #[arg(long, hide = true)]
    pub backend_config: Option<String>,
    /// Refused
    #[arg(short = 'C', long, hide = true)]
    pub config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Check {
    /// The bootstrap
    #[arg(value_name = "BOOTSTRAP")]
    pub positional: Option<PathBuf>,
    /// The bootstrap
    #[arg(short = 'B', long)]
    pub bootstrap: Option<PathBuf>,
    /// Directory of blobs named by their ids: they are verified too
    #[arg(short = 'D', long)]
    pub blob_dir: Option<PathBuf>,
    /// Nothing more is said
    #[arg(short = 'v', long)]
    pub verbose: bool,
    /// Write what was found as JSON to this file
    #[arg(short = 'J', long, value_name = "FILE")]
    pub output_json: Option<PathBuf>,
    /// Refused
    #[arg(short = 'C', long, hide = true)]
    pub config: Option<PathBuf>,
}
