#![doc = include_str!("../README.md")]
//!
//! # Operations
//! An operation takes a [`oci::Source`], mostly a [`oci::Sink`], options, and a [`Run`]: threads, memory, an observer. It gives
//! a report: [`to_nydus`], [`to_oci`], [`check()`], [`open_nydus`], [`inspect`], [`layer_verbs`], [`store_verbs`].

/// The example of the guide compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/library.md")]
pub struct LibraryGuide;

mod as_text;
mod check;
mod dictionary;
mod error;
mod image;
pub mod inspect;
mod kind;
mod layer;
pub mod layer_verbs;
mod options;
mod prefetch;
pub mod remembered;
mod report;
mod reuse;
mod rootfs;
mod run;
pub mod store_verbs;
mod to_nydus;
mod to_oci;

/// Where finished work is kept for later conversions.
pub use nydus_convert_chunk::store;
/// Images as OCI knows them: references, layouts, manifests.
pub use nydus_convert_oci as oci;
/// The file system format.
pub use nydus_convert_rafs as rafs;

pub use check::check;
pub use dictionary::{ChunkDictionary, DictionaryError};
pub use error::Error;
pub use image::{
    ImageError, KernelMount, Listed, NydusError, NydusImage, PlatformFilter, UnknownBlob, holds_nydus,
    kernel_mount, open_nydus,
};
pub use kind::Kind;
pub use layer::{LayerFailure, Lost, LostEntry, MergeLayer};
pub use nydus_convert_chunk::{Compression, CompressionError, ZstdLevel};
pub use options::{
    Dedup, DedupError, Fidelity, FsOptions, FsOptionsError, IndexForm, Lacking, Layers, LayersError,
    MinSaving, MinSavingError, Replay, ReuseOptions, ToNydusOptions, ToOciOptions,
};
pub use prefetch::{Prefetch, PrefetchError};
pub use report::{
    Action, CheckReport, CheckedImage, DifferenceReport, ImageReport, LayerReport, LossReport, Mended,
    MergeReport, MergedBlob, PackReport, RefusalReport, ReplayReport, Restoration, RestoredImage,
    RestoredLayer, SCHEMA_VERSION, SharedReport, ToNydusReport, ToOciReport, ToolReport, UnpackReport,
    WayBack,
};
pub use rootfs::{Rootfs, RootfsError};
pub use run::{LayerLabel, Observer, Resources, Run, Stop};
pub use to_nydus::{MergeError, StreamedLayer, merge, to_nydus, to_nydus_stream};
pub use to_oci::to_oci;
