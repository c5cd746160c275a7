//! What the user wants, one small struct per subject: plain data, no handles. What is at hand for it is in [`Run`](crate::Run).

use std::fmt;
use std::path::PathBuf;

use nydus_convert_chunk::Compression;
use nydus_convert_chunk::store::Snapshot;
use nydus_convert_rafs::{ChunkSize, Digester, FsVersion};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::as_text;
use crate::image::PlatformFilter;
use crate::prefetch::Prefetch;

/// What the Nydus file system looks like. Blobs depend on the layer and on this, and on nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FsOptions {
    /// Version of the format.
    #[serde(with = "as_text")]
    pub version: FsVersion,
    /// How chunks are stored.
    #[serde(with = "as_text")]
    pub compression: Compression,
    /// How chunks are named.
    #[serde(with = "as_text")]
    pub digester: Digester,
    /// Length of a chunk.
    #[serde(with = "as_text::bytes")]
    pub chunk_size: ChunkSize,
    /// Files shorter than half of this many bytes are stored in batches of less than this; 0 for none. A power of two
    /// from 4 KiB to the chunk size; only RAFS v6 has batches.
    pub batch_size: u32,
    /// Whether chunks of RAFS v5 begin at multiples of 4 KiB in the plain address space. Those of v6 always do.
    pub aligned_chunks: bool,
    /// Whether blobs are what the kernel mounts: raw chunks, each padded to 4 KiB. Only RAFS v6, without compression and
    /// batches.
    pub kernel_mountable: bool,
}

/// Options of a file system that mean nothing together.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FsOptionsError {
    /// Batches in the version that has none.
    #[error("RAFS v5 has no batches: leave out --batch-size, or use --fs-version 6")]
    BatchesInV5,
    /// What the kernel cannot read.
    #[error("--kernel-mountable: {what}")]
    NotForTheKernel {
        /// What is in the way.
        what: &'static str,
    },
    /// What blobs that are plain tars exclude.
    #[error("--tarfs: {what}")]
    NotTarfs {
        /// What is in the way.
        what: &'static str,
    },
    /// A batch size that is none.
    #[error("the batch size {size} is not a power of two from 4096 to the chunk size, {chunk_size}")]
    BatchSize {
        /// What was asked for, in bytes.
        size: u32,
        /// The chunk size in bytes.
        chunk_size: u32,
    },
}

impl FsOptions {
    /// Whether the options go together.
    pub fn check(&self) -> Result<(), FsOptionsError> {
        let (size, chunk_size) = (self.batch_size, self.chunk_size.bytes());
        if self.kernel_mountable {
            let obstacles = [
                (self.version == FsVersion::V5, "RAFS v5 is no format of the kernel; use --fs-version 6"),
                (
                    self.compression != Compression::None,
                    "the kernel reads chunks as they are; use --compressor none",
                ),
                (size != 0, "batches share a block; leave out --batch-size"),
            ];
            if let Some((_, what)) = obstacles.into_iter().find(|(is_there, _)| *is_there) {
                return Err(FsOptionsError::NotForTheKernel { what });
            }
        }
        if size == 0 {
            return Ok(());
        }
        if self.version == FsVersion::V5 {
            return Err(FsOptionsError::BatchesInV5);
        }
        let fits = size.is_power_of_two() && (4096..=chunk_size).contains(&size);
        if fits { Ok(()) } else { Err(FsOptionsError::BatchSize { size, chunk_size }) }
    }
}

/// What happens to files that the target format cannot hold as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fidelity {
    /// Refuse the image and tell every such file.
    #[default]
    Strict,
    /// Convert to the nearest thing the format holds and tell every such file.
    Warn,
}

/// What is kept for the way back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Replay {
    /// The tar exactly; the compressed layer where its encoder is recognised from a sample.
    #[default]
    Auto,
    /// The compressed layer too, always: made again whole and compared, or else kept as it is.
    Proven,
    /// The tar exactly.
    Tar,
    /// Nothing: blobs are those of the reference builder.
    None,
}

/// What the index of a result lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IndexForm {
    /// Nydus images; one image stays one image.
    #[default]
    NydusOnly,
    /// The images, for clients that know nothing of Nydus, and behind them their Nydus variants.
    WithOci,
}

/// Which chunks of other blobs a layer's files may lie in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dedup {
    /// None: every layer's blob stands alone, so equal layers are equal blobs in all images.
    #[default]
    Layer,
    /// Those of the layers below it.
    Image,
    /// Those of the layers below it, and those of blobs in the chunk store.
    Store,
}

/// The part of a layer that a blob must save to be referred to, in hundredths of a percent of the layer's stored bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MinSaving(u32);

/// Text that is no part of a layer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("'{text}' is not a percentage from 0 to 100, like 5, 2.5 or 5%")]
pub struct MinSavingError {
    /// What was to be parsed.
    pub text: String,
}

impl MinSaving {
    /// Whether `saved` bytes of `all` are that much. Nothing saved is never enough.
    pub(crate) fn is_reached(self, saved: u64, all: u64) -> bool {
        saved > 0 && u128::from(saved) * 10_000 >= u128::from(all) * u128::from(self.0)
    }
}

/// 5 %.
impl Default for MinSaving {
    fn default() -> Self {
        Self(500)
    }
}

impl fmt::Display for MinSaving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}%", self.0 / 100, self.0 % 100)
    }
}

/// A percentage with at most two decimals.
impl std::str::FromStr for MinSaving {
    type Err = MinSavingError;

    fn from_str(text: &str) -> Result<Self, MinSavingError> {
        let number = text.strip_suffix('%').unwrap_or(text);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |text: &str| {
            text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u32>().ok()).flatten()
        };
        let hundredths = digits(whole).filter(|_| (1..=2).contains(&fraction.len())).and_then(|whole| {
            let fraction = digits(&format!("{fraction:0<2}"))?;
            whole.checked_mul(100)?.checked_add(fraction)
        });
        let hundredths = hundredths.filter(|hundredths| *hundredths <= 10_000);
        hundredths.map(Self).ok_or_else(|| MinSavingError { text: text.to_owned() })
    }
}

/// What of earlier work is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReuseOptions {
    /// What layers may refer to. [`Dedup::Store`] needs a store.
    pub dedup: Dedup,
    /// Blobs that an image may use beside its layers' own.
    pub max_blobs: usize,
    /// What a blob must save to be one of these.
    #[serde(with = "as_text")]
    pub min_saving: MinSaving,
    /// The state of the store that counts under [`Dedup::Store`]; the present one if not told.
    #[serde(with = "as_text::option")]
    pub snapshot: Option<Snapshot>,
}

/// Nothing shared.
impl Default for ReuseOptions {
    fn default() -> Self {
        Self {
            dedup: Dedup::default(),
            max_blobs: Self::MAX_BLOBS,
            min_saving: MinSaving::default(),
            snapshot: None,
        }
    }
}

impl ReuseOptions {
    /// What [`ReuseOptions::max_blobs`] is if not told.
    pub const MAX_BLOBS: usize = 8;
}

/// Options of deduplication that mean nothing together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DedupError {
    /// Nothing to share with.
    #[error("--dedup store needs a chunk store: leave out --no-store, or name one by --store")]
    NoStore,
    /// Layers that are not packed.
    #[error(
        "--dedup image and store are for layers that are packed; --oci-ref and --tarfs leave them as they are"
    )]
    NotPacked,
    /// The kernel's blobs lie one behind another.
    #[error(
        "images for the kernel cannot refer to chunks of other blobs: leave out --dedup, or --kernel-mountable"
    )]
    Kernel,
    /// Two sources of chunks.
    #[error("--chunk-dict and --dedup image or store exclude each other: both say whose chunks are used")]
    Dictionary,
    /// A snapshot that nobody uses.
    #[error("--dedup-snapshot is for --dedup store")]
    Snapshot,
}

impl ToNydusOptions {
    /// Whether what layers may refer to goes with the rest, and with what is at hand.
    pub(crate) fn check_reuse(&self, has_store: bool, has_dictionary: bool) -> Result<(), DedupError> {
        let ReuseOptions { dedup, snapshot, .. } = &self.reuse;
        if snapshot.is_some() && *dedup != Dedup::Store {
            return Err(DedupError::Snapshot);
        }
        if *dedup == Dedup::Layer {
            return Ok(());
        }
        if self.oci_ref || self.tarfs {
            return Err(DedupError::NotPacked);
        }
        if self.fs.kernel_mountable {
            return Err(DedupError::Kernel);
        }
        if has_dictionary {
            return Err(DedupError::Dictionary);
        }
        match dedup {
            Dedup::Store if !has_store => Err(DedupError::NoStore),
            _ => Ok(()),
        }
    }
}

/// Everything that `to_nydus` can be told.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ToNydusOptions {
    /// The file system.
    pub fs: FsOptions,
    /// Strict or lenient.
    pub fidelity: Fidelity,
    /// Which images of an index.
    pub platforms: PlatformFilter,
    /// Whether the layers stay as they are, gzip streams or plain tars, and the image only tells where in them files
    /// lie. Of [`FsOptions`] only the chunk size counts then.
    pub oci_ref: bool,
    /// Whether the layers become blobs as plain tars, which the kernel mounts (tarfs). Of [`FsOptions`] only the chunk
    /// size counts then; it excludes `oci_ref` and a chunk dictionary.
    pub tarfs: bool,
    /// What is kept for the way back.
    pub replay: Replay,
    /// What of earlier work is used.
    pub reuse: ReuseOptions,
    /// What clients fetch first; it lies in front in every layer's blob.
    pub prefetch: Prefetch,
    /// Whether the images are listed beside their Nydus variants.
    pub index: IndexForm,
    /// Whether Nydus images name the images that they were made from as their subjects.
    pub referrer: bool,
    /// Annotations added to every manifest made.
    pub annotations: Vec<(String, String)>,
    /// Where temporary files are made; the system's directory for them if not told.
    pub tmpdir: Option<PathBuf>,
}

impl ToNydusOptions {
    /// Whether the form of the blobs goes with the rest.
    pub(crate) fn check_form(&self, has_dictionary: bool) -> Result<(), FsOptionsError> {
        let obstacles = [
            (self.oci_ref, "layers that stay as they are (--oci-ref) are no tars"),
            (has_dictionary, "ranges of tars have no digests to find them by (--chunk-dict)"),
        ];
        match obstacles.into_iter().find(|(is_there, _)| self.tarfs && *is_there) {
            Some((_, what)) => Err(FsOptionsError::NotTarfs { what }),
            None => Ok(()),
        }
    }

    /// Whether every layer is read from front to end once, so that it may come from a pipe.
    pub fn reads_once(&self) -> bool {
        self.replay != Replay::Proven && !self.oci_ref && !self.tarfs && self.index == IndexForm::NydusOnly
    }

    /// The same with what follows from them.
    pub(crate) fn effective(&self) -> Self {
        let mut options = self.clone();
        if options.oci_ref || options.tarfs {
            options.fs = FsOptions { chunk_size: self.fs.chunk_size, ..FsOptions::default() };
        }
        options
    }
}

/// How `to_oci` stores layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layers {
    /// As they were, bit for bit. Images that do not remember get [`Layers::Gzip`].
    #[default]
    Original,
    /// gzip at a level from 1 to 9.
    Gzip(u32),
    /// zstd at a level from 1 to 22.
    Zstd(i32),
    /// Not compressed.
    Plain,
}

impl Layers {
    /// The level that most tools take.
    pub const GZIP_LEVEL: u32 = 6;
    /// The level that `zstd` takes.
    pub const ZSTD_LEVEL: i32 = 3;
}

/// Text that is no way to store layers.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LayersError {
    /// A level that the compression does not have.
    #[error("'{text}': the level of {name} is a number from 1 to {most}")]
    Level {
        /// What was to be parsed.
        text: String,
        /// The compression.
        name: &'static str,
        /// The highest level.
        most: u32,
    },
    /// Something else.
    #[error("'{text}' is not one of original, gzip[:LEVEL], zstd[:LEVEL], none")]
    Name {
        /// What was to be parsed.
        text: String,
    },
}

/// `original`, `gzip[:LEVEL]`, `zstd[:LEVEL]` or `none`.
impl std::str::FromStr for Layers {
    type Err = LayersError;

    fn from_str(text: &str) -> Result<Self, LayersError> {
        let (name, level) = text.split_once(':').map_or((text, None), |(name, level)| (name, Some(level)));
        let level_of = |name, default: u32, most: u32| match level.map(str::parse) {
            None => Ok(default),
            Some(Ok(level)) if (1..=most).contains(&level) => Ok(level),
            Some(_) => Err(LayersError::Level { text: text.to_owned(), name, most }),
        };
        match (name, level) {
            ("original", None) => Ok(Self::Original),
            ("none", None) => Ok(Self::Plain),
            ("gzip", _) => level_of("gzip", Self::GZIP_LEVEL, 9).map(Self::Gzip),
            ("zstd", _) => {
                level_of("zstd", Self::ZSTD_LEVEL as u32, 22).map(|level| Self::Zstd(level as i32))
            }
            _ => Err(LayersError::Name { text: text.to_owned() }),
        }
    }
}

impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Original => f.write_str("original"),
            Self::Gzip(level) => write!(f, "gzip:{level}"),
            Self::Zstd(level) => write!(f, "zstd:{level}"),
            Self::Plain => f.write_str("none"),
        }
    }
}

/// What `to_oci` does where an image has no record and the layers that its blobs describe are not all that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lacking {
    /// One more layer holds the difference, or one layer all files.
    #[default]
    Add,
    /// It is an error.
    Refuse,
}

/// Everything that `to_oci` can be told.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ToOciOptions {
    /// How layers are stored.
    #[serde(with = "as_text")]
    pub layers: Layers,
    /// What to do where layers are lacking.
    pub lacking: Lacking,
    /// Which images of an index.
    pub platforms: PlatformFilter,
}
