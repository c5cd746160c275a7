//! What happened: one report an operation, ready to be printed as JSON.
//!
//! Field names are a public interface (`docs/cli.md`); [`SCHEMA_VERSION`] is raised when one changes its meaning.

use serde::{Deserialize, Serialize};

/// Version of the shape of all reports.
pub const SCHEMA_VERSION: u32 = 1;

/// What a conversion to Nydus did.
#[derive(Debug, Clone, Serialize)]
pub struct ToNydusReport {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The source as given.
    pub source: String,
    /// The target as given.
    pub target: String,
    /// The result, pinned by its digest.
    pub reference: String,
    /// Digest of the result's manifest or index.
    pub digest: String,
    /// Media type of the result's manifest or index.
    pub media_type: String,
    /// One for every image of the source.
    pub images: Vec<ImageReport>,
    /// What the target format cannot hold.
    pub losses: Vec<LossReport>,
    /// What the format cannot hold and no container engine would show either.
    pub notes: Vec<LossReport>,
    /// The state of the chunk store that the result depends on, for `--dedup-snapshot`; only under `--dedup store`.
    pub dedup_snapshot: Option<String>,
    /// What the bytes depend on besides input and options.
    pub tool: ToolReport,
}

/// What became of an entry of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Made into a Nydus image.
    Converted,
    /// Was a Nydus image already; copied unchanged.
    Copied,
    /// An entry of an index that is no image to run; carried along unchanged.
    Carried,
}

/// One image of the source.
#[derive(Debug, Clone, Serialize)]
pub struct ImageReport {
    /// `os/arch[/variant]`, where known.
    pub platform: Option<String>,
    /// Whether it was converted, copied or carried along.
    pub action: Action,
    /// Digest of the source's manifest.
    pub source_digest: String,
    /// Digest of the result's manifest.
    pub digest: String,
    /// Layers in manifest order; empty if nothing was converted.
    pub layers: Vec<LayerReport>,
    /// Length of the merged bootstrap in bytes.
    pub bootstrap_bytes: u64,
    /// Files of the merged file system, names of one file counted once.
    pub inodes: u64,
    /// Blobs that the merged file system uses.
    pub blobs: u64,
}

/// A layer that was converted.
#[derive(Debug, Clone, Serialize)]
pub struct LayerReport {
    /// Digest of the source layer.
    pub source_digest: String,
    /// Digest of its plain tar.
    pub diff_id: String,
    /// Digest of the blob made of it.
    pub blob_digest: String,
    /// Stored length of the source layer.
    pub source_bytes: u64,
    /// Length of the plain tar.
    pub tar_bytes: u64,
    /// Length of the blob.
    pub blob_bytes: u64,
    /// Entries of the tar.
    pub entries: u64,
    /// Chunks of the layer's files.
    pub chunks: u64,
    /// Chunks kept after deduplication inside the layer.
    pub stored_chunks: u64,
    /// Different chunks of other blobs that are used instead.
    pub foreign_chunks: u64,
    /// Of the chunks kept those that were copied from the chunk store instead of being compressed.
    pub copied_chunks: u64,
    /// Whether the blob was made for an earlier image of the same run.
    pub reused: bool,
    /// Whether the whole layer was taken from the chunk store.
    pub from_store: bool,
    /// Blobs of other layers and images that the layer uses.
    pub shared: Vec<SharedReport>,
    /// What is kept for the way back.
    pub replay: ReplayReport,
}

/// What a layer uses of a blob that is not its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SharedReport {
    /// Digest of the blob.
    pub blob_digest: String,
    /// Different chunks of it that the layer uses.
    pub chunks: u64,
    /// Stored bytes that the layer so does without.
    pub saved_bytes: u64,
    /// The image that the blob was made for, as the chunk store remembers it; none for a layer of the image itself.
    pub image: Option<String>,
}

/// How exactly a layer can come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WayBack {
    /// Bit for bit: it was made again whole and compared, or it is kept.
    Proven,
    /// Bit for bit, as far as a sample shows; checked again on the way back.
    Sampled,
    /// Its plain tar, bit for bit; compressed it has another digest.
    Tar,
    /// Files and metadata.
    None,
}

/// What is kept of a layer for the way back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayReport {
    /// How exactly it can come back.
    pub way_back: WayBack,
    /// How its compressed bytes are made again, in words.
    pub method: Option<String>,
    /// Bytes kept in the blob for it.
    pub bytes: u64,
}

/// What a conversion to OCI did.
#[derive(Debug, Clone, Serialize)]
pub struct ToOciReport {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The source as given.
    pub source: String,
    /// The target as given.
    pub target: String,
    /// The result, pinned by its digest.
    pub reference: String,
    /// Digest of the result's manifest or index.
    pub digest: String,
    /// Media type of the result's manifest or index.
    pub media_type: String,
    /// Whether everything is, bit for bit, what it was before it became a Nydus image.
    pub exact: bool,
    /// One for every image of the source.
    pub images: Vec<RestoredImage>,
}

/// What became of an entry of a Nydus index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Restoration {
    /// Manifest and layers are the original's, bit for bit.
    Exact,
    /// Layers or manifest were made anew.
    Rebuilt,
    /// No Nydus image; carried along unchanged.
    Carried,
}

/// One image that came back.
#[derive(Debug, Clone, Serialize)]
pub struct RestoredImage {
    /// `os/arch[/variant]`, where known.
    pub platform: Option<String>,
    /// Whether it came back exactly, was made anew, or was carried along.
    pub action: Restoration,
    /// Digest of the Nydus image's manifest.
    pub source_digest: String,
    /// Digest of the result's manifest.
    pub digest: String,
    /// Layers in manifest order; empty if nothing was converted.
    pub layers: Vec<RestoredLayer>,
    /// Where the layers that the blobs describe do not make the image's file system; none if they do.
    pub difference: Option<DifferenceReport>,
}

/// What an image has that its layers have not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DifferenceReport {
    /// What was done about it.
    pub result: Mended,
    /// Names that the layers have not, or have otherwise.
    pub written: u64,
    /// Names that the layers have and the image has not.
    pub removed: u64,
    /// The first of both.
    pub examples: Vec<String>,
}

/// What is done about layers that do not make the image's file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mended {
    /// The last layer holds the difference.
    OneMoreLayer,
    /// The only layer holds all files.
    OneLayer,
    /// Nothing: the original layers are what the record says.
    Original,
}

/// One layer that came back.
#[derive(Debug, Clone, Serialize)]
pub struct RestoredLayer {
    /// Digest of the blob it came from; none for a layer made of the whole file system.
    pub blob_digest: Option<String>,
    /// Digest of the layer.
    pub digest: String,
    /// Digest of its plain tar.
    pub diff_id: String,
    /// Length of the layer.
    pub bytes: u64,
    /// Whether the layer is the original, bit for bit.
    pub exact: bool,
    /// Whether its plain tar is the original, bit for bit.
    pub exact_tar: bool,
    /// How it was made, in words.
    pub method: String,
}

/// Something of one file that the target format cannot hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LossReport {
    /// Digest of the source layer.
    pub layer: String,
    /// Path of the file, with `\xNN` for what is not text.
    pub path: String,
    /// What cannot be held, in words.
    pub problem: String,
}

/// What the bytes of a result depend on besides input and options.
#[derive(Debug, Clone, Serialize)]
pub struct ToolReport {
    /// Version of this program.
    pub version: &'static str,
    /// Version of the zstd library.
    pub libzstd: &'static str,
}

impl ToolReport {
    /// Of the program that is running.
    pub fn current() -> Self {
        Self { version: env!("CARGO_PKG_VERSION"), libzstd: zstd::zstd_safe::version_string() }
    }
}

/// Why an image was refused: what the target format cannot hold.
#[derive(Debug, Clone, Serialize)]
pub struct RefusalReport<'a> {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The source as given.
    pub source: &'a str,
    /// The target as given.
    pub target: &'a str,
    /// The error in words.
    pub error: &'a str,
    /// What the target format cannot hold.
    pub losses: &'a [LossReport],
}

/// What a check found.
#[derive(Debug, Clone, Serialize)]
pub struct CheckReport {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The image as given.
    pub image: String,
    /// The same, pinned by its digest.
    pub reference: String,
    /// One for every image checked.
    pub images: Vec<CheckedImage>,
    /// What is wrong; empty for a sound image.
    pub problems: Vec<String>,
}

/// One image that was checked.
#[derive(Debug, Clone, Serialize)]
pub struct CheckedImage {
    /// `os/arch[/variant]`, where known.
    pub platform: Option<String>,
    /// `nydus`, `oci`, or `other` for an entry of an index that is no image to run.
    pub kind: &'static str,
    /// Digest of the manifest.
    pub digest: String,
    /// Layers, a bootstrap layer included.
    pub layers: u64,
    /// Files of the file system.
    pub inodes: u64,
    /// Chunks whose digest was compared.
    pub chunks: u64,
    /// Plain bytes of these chunks.
    pub bytes: u64,
}

/// What packing one layer made.
#[derive(Debug, Clone, Serialize)]
pub struct PackReport {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Digest of the blob.
    pub blob_digest: String,
    /// Length of the blob.
    pub blob_bytes: u64,
    /// Digest of the layer as it came.
    pub source_digest: String,
    /// Length of the layer as it came.
    pub source_bytes: u64,
    /// Digest of its plain tar.
    pub diff_id: String,
    /// Length of the plain tar.
    pub tar_bytes: u64,
    /// Entries of the tar.
    pub entries: u64,
    /// Chunks of the layer's files.
    pub chunks: u64,
    /// Chunks kept after deduplication inside the layer.
    pub stored_chunks: u64,
    /// Chunks that a dictionary has.
    pub foreign_chunks: u64,
    /// What is kept for the way back.
    pub replay: ReplayReport,
    /// What the target format cannot hold.
    pub losses: Vec<LossReport>,
    /// What the format cannot hold and no container engine would show either.
    pub notes: Vec<LossReport>,
    /// What the bytes depend on besides input and options.
    pub tool: ToolReport,
}

/// What merging layers made.
#[derive(Debug, Clone, Serialize)]
pub struct MergeReport {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The file that the bootstrap went to.
    pub bootstrap: String,
    /// SHA-256 of the bootstrap.
    pub bootstrap_digest: String,
    /// Length of the bootstrap in bytes.
    pub bootstrap_bytes: u64,
    /// Version of RAFS: `5` or `6`.
    pub fs_version: String,
    /// Files of the merged file system, names of one file counted once.
    pub inodes: u64,
    /// The blobs that its files lie in, in the order of the blob table.
    pub blobs: Vec<MergedBlob>,
    /// What the bytes depend on besides input and options.
    pub tool: ToolReport,
}

/// A blob of a merged bootstrap.
#[derive(Debug, Clone, Serialize)]
pub struct MergedBlob {
    /// Digest of the blob.
    pub digest: String,
    /// Chunks that it holds.
    pub chunks: u64,
}

/// What unpacking one layer made.
#[derive(Debug, Clone, Serialize)]
pub struct UnpackReport {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Digest of the tar.
    pub diff_id: String,
    /// Length of the tar.
    pub tar_bytes: u64,
    /// Whether it is the one that the layer was made from, bit for bit.
    pub exact: bool,
    /// What the bytes depend on besides input and options.
    pub tool: ToolReport,
}
