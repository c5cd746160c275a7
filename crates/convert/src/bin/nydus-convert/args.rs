//! The command line as it is typed. What it means for the library is in `lower.rs`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use nydus_convert::Compression;
use nydus_convert::rafs::{ChunkSize, Digester};

use crate::registries::{Registries, Registry};
use crate::store::Reuse;
use crate::values;

const EXIT_CODES: &str = "\
Exit codes:
  0 done   1 failed   2 usage   3 not faithful, or verification failed   4 source not found or unsupported
  5 access refused   6 network or registry failed   7 a resource limit or a full disk   130, 143 interrupted

References:
  [docker://][HOST/]REPOSITORY[:TAG][@DIGEST]   an image in a registry; without a host, on Docker's
  oci:DIR[:REF][@DIGEST]                        an OCI image layout in a directory
  oci-archive:FILE[:REF][@DIGEST]               an OCI image layout in a tar
  docker-archive:FILE[:NAME[:TAG]|:@N]          what docker save and podman save write (source)
  dir:DIR[@DIGEST]                              what skopeo copy writes to dir: (source)
  tar:FILE, tar:-, rootfs:DIR                   one layer: a tar, a tar from a pipe, a directory tree (source)";

/// Converts OCI and Docker images to Nydus images, and back.
#[derive(Debug, Parser)]
#[command(name = "nydus-convert", version, about, after_help = EXIT_CODES, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Convert an OCI or Docker image (or index) to a Nydus image
    ToNydus(ToNydus),
    /// Convert a Nydus image (or index) back; by default to exactly the image it was made from
    ToOci(ToOci),
    /// Verify one image: digests, structure, every chunk
    Check(Check),
    /// Show what an image is made of: manifests, layers, bootstrap, blobs, chunks, files
    Inspect(Inspect),
    /// One layer at a time, for build systems
    #[command(subcommand)]
    Layer(crate::layer::Layer),
    /// The chunk store, where conversions keep finished work: what it has, whether it is sound, removing from it
    #[command(subcommand)]
    Store(crate::store_verbs::Store),
    /// List files of an image without mounting it
    Ls(Look),
    /// Print a file of an image without mounting it
    Cat(Look),
    /// Print the command that mounts an image with the kernel alone, without a daemon
    MountCmd(crate::mount::MountCmd),
    /// Print a completion script
    Completions {
        /// The shell to complete for
        shell: clap_complete::Shell,
    },
    /// Write manual pages into a directory, or the main page to stdout
    Man {
        /// Where the pages go
        dir: Option<PathBuf>,
    },
    /// Print the versions of this program and of what its output depends on
    Version {
        /// As one JSON object
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub struct ToNydus {
    /// Image to convert
    pub source: String,
    /// Where the result goes; a reference of that name is replaced
    pub target: String,
    #[command(flatten)]
    pub format: Format,
    /// Leave the layers as they are, gzip or plain tars, and only tell where in them files lie
    ///
    /// The layers become part of the image, beside small blobs that refer to them. Chunks are named by SHA-256; how they
    /// are stored the layers decide.
    #[arg(long, conflicts_with_all = ["fs_version", "compressor", "batch_size", "aligned_chunk", "digester", "kernel_mountable", "replay"], env = "NYDUS_CONVERT_OCI_REF")]
    pub oci_ref: bool,
    /// Make every layer a plain tar that is a blob as it is (tarfs), for the kernel's EROFS: see mount-cmd
    ///
    /// The tars become the blobs, and files are ranges of them: nothing is stored twice, compressed, or deduplicated.
    #[arg(long, conflicts_with_all = ["fs_version", "compressor", "batch_size", "aligned_chunk", "digester", "kernel_mountable", "oci_ref", "chunk_dict"], env = "NYDUS_CONVERT_TARFS")]
    pub tarfs: bool,
    /// What is kept for the exact way back
    #[arg(long, value_enum, default_value_t = Replay::Auto, env = "NYDUS_CONVERT_REPLAY")]
    pub replay: Replay,
    /// What to do with files that the target format cannot hold: refuse the image, or change them and say so
    #[arg(long, value_enum, default_value_t = Fidelity::Strict, env = "NYDUS_CONVERT_FIDELITY")]
    pub fidelity: Fidelity,
    /// Images of an index to convert: `all`, or platforms like linux/amd64,linux/arm64/v8
    #[arg(long, default_value = "all", env = "NYDUS_CONVERT_PLATFORM")]
    pub platform: String,
    /// Use chunks of these images where a layer brings the same: a reference, or bootstrap:FILE
    ///
    /// The result refers to the dictionary's blobs and holds those that it uses. Beside a bootstrap file the blobs are
    /// files named by their ids.
    #[arg(long, value_name = "REF|bootstrap:FILE", env = "NYDUS_CONVERT_CHUNK_DICT")]
    pub chunk_dict: Option<String>,
    #[command(flatten)]
    pub reuse: Reuse,
    #[command(flatten)]
    pub prefetch: Prefetch,
    /// What the result lists: Nydus images, or before them the images themselves, for clients that know no Nydus
    #[arg(long, value_enum, default_value_t = IndexForm::NydusOnly, env = "NYDUS_CONVERT_INDEX")]
    pub index: IndexForm,
    /// Name the source image as the subject of its Nydus image, so that registries list it as a referrer
    #[arg(long, visible_alias = "with-referrer", env = "NYDUS_CONVERT_REFERRER")]
    pub referrer: bool,
    /// Annotation for every manifest made; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::annotation, env = "NYDUS_CONVERT_ANNOTATION")]
    pub annotation: Vec<(String, String)>,
    /// Replace the target whatever it holds: the source itself, or an image of the other kind
    #[arg(long, env = "NYDUS_CONVERT_FORCE")]
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PrefetchPolicy {
    /// Bootstraps list them
    Fs,
    /// They are ignored
    None,
}

#[derive(Debug, Args)]
pub struct ToOci {
    /// Nydus image to convert back
    pub source: String,
    /// Where the result goes; a reference of that name is replaced
    pub target: String,
    /// How layers are stored: original, gzip[:LEVEL], zstd[:LEVEL] or none [default: original]
    ///
    /// `original` gives every layer bit for bit as it was before the image became a Nydus image, and fails with exit
    /// code 3 if one cannot be had; images that do not remember their layers get gzip. The others give the same tars
    /// with fresh compression, hence another digest of the image.
    ///
    /// Where an image remembers nothing and the layers that its blobs describe are not all that it has, one more layer
    /// holds the difference, with a note; if `original` is given explicitly, that is an error with exit code 3.
    #[arg(long, value_parser = values::layers, env = "NYDUS_CONVERT_LAYERS")]
    pub layers: Option<nydus_convert::Layers>,
    /// Images of an index to convert: `all`, or platforms like linux/amd64,linux/arm64/v8
    #[arg(long, default_value = "all", env = "NYDUS_CONVERT_PLATFORM")]
    pub platform: String,
    /// Replace the target whatever it holds: the source itself, or an image of the other kind
    #[arg(long, env = "NYDUS_CONVERT_FORCE")]
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FsVersion {
    /// For FUSE clients, also old ones
    #[value(name = "5")]
    V5,
    /// For FUSE clients and the kernel
    #[value(name = "6")]
    V6,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum IndexForm {
    /// Nydus images; one image stays one image
    NydusOnly,
    /// Always an index: the images, each with an empty layer more, then their Nydus variants
    WithOci,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Fidelity {
    /// Refuse with exit code 3 and a list
    Strict,
    /// Convert to the nearest thing and list what changed
    Warn,
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
    /// Memory for names, attributes and directories beyond what the sizes of the layers allow [default: 48MiB]
    #[arg(long, value_name = "SIZE", value_parser = values::size, env = "NYDUS_CONVERT_MAX_METADATA")]
    pub max_metadata: Option<u64>,
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
    /// Log what happens; twice for more
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
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

#[derive(Debug, Args)]
pub struct Check {
    /// Image to verify
    pub image: String,
    /// Images of an index to verify: `all`, or platforms like linux/amd64
    #[arg(long, default_value = "all", env = "NYDUS_CONVERT_PLATFORM")]
    pub platform: String,
    #[command(flatten)]
    pub registry: Registry,
    #[command(flatten)]
    pub resources: Resources,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct Inspect {
    /// Image to look at
    pub image: String,
    /// Images of an index to show: `all`, or platforms like linux/amd64
    #[arg(long, default_value = "all", env = "NYDUS_CONVERT_PLATFORM")]
    pub platform: String,
    /// Open the blobs and show their sections and batches
    #[arg(long, env = "NYDUS_CONVERT_BLOBS")]
    pub blobs: bool,
    /// Show every chunk; opens the blobs
    #[arg(long, env = "NYDUS_CONVERT_CHUNKS")]
    pub chunks: bool,
    /// Show every file with its chunks
    #[arg(long, env = "NYDUS_CONVERT_FILES")]
    pub files: bool,
    /// Print one JSON object instead of text
    #[arg(long, env = "NYDUS_CONVERT_JSON")]
    pub json: bool,
    #[command(flatten)]
    pub registry: Registry,
}

#[derive(Debug, Args)]
pub struct Look {
    /// Image to look into
    pub image: String,
    /// Path inside the image [default: the root]
    pub path: Option<std::ffi::OsString>,
    /// Which image of an index [default: the one for this machine]
    #[arg(long, env = "NYDUS_CONVERT_PLATFORM")]
    pub platform: Option<String>,
    /// Print one JSON object per line
    #[arg(long, env = "NYDUS_CONVERT_JSON")]
    pub json: bool,
    #[command(flatten)]
    pub registry: Registry,
}
