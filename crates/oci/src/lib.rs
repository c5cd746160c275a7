#![doc = include_str!("../README.md")]
//!
//! # Modules
//!
//! | module | subject |
//! |---|---|
//! | [`reference`](mod@reference) | what users type: `docker://…`, `oci:DIR:ref`, `tar:-`, … |
//! | [`archive`] | OCI layouts in a tar as [`Source`] and [`Sink`]; `docker save`, skopeo's `dir:`, single layers as [`Source`] |
//! | [`layout`] | OCI layout directories as [`Source`] and [`Sink`] |
//! | `registry` | registries as [`Source`] and [`Sink`] (feature `registry`) |
//! | [`image`] | manifests, indexes, configs, platforms: classified, checked, nothing lost |
//! | [`compression`] | gzip and zstd layer streams to plain bytes |
//! | [`nydus`] | constants, bootstrap layer, config, manifest and index of a Nydus image |
//!
//! Everything is synchronous. Bytes that come from outside are verified against their descriptors by the
//! readers this crate gives ([`VerifyingReader`]); JSON that this crate writes is compact, in a fixed order
//! and without a clock. Every error has a [`kind`](Error::kind) from which an exit code follows.

pub mod archive;
pub mod compression;
mod descriptor;
mod digest;
mod error;
pub mod image;
mod inner;
mod json;
mod kind;
pub mod layout;
pub mod media_type;
pub mod nydus;
mod platform;
mod range;
pub mod reference;
#[cfg(feature = "registry")]
pub mod registry;
mod sink;
mod source;
mod text;
mod transfer;
mod ustar;
mod verify;

pub use archive::{
    ArchiveError, DirSource, DockerArchiveSource, LayerSource, OciArchiveSink, OciArchiveSource, Unpacking,
};
pub use compression::{
    Compression, DecompressError, Decompressor, StreamLimits, Watch, decompress, decompress_watched,
};
pub use descriptor::{Annotations, Blob, Descriptor};
pub use digest::{Algorithm, DiffId, Digest, DigestError, Hasher, HashingReader};
pub use error::Error;
pub use image::{Config, ImageError, Index, Manifest, ManifestKind};
pub use inner::find_in;
pub use kind::ErrorKind;
pub use layout::{LayoutError, LayoutSink, LayoutSource};
pub use platform::{Platform, PlatformError};
pub use range::{FileRange, RangeReader};
pub use reference::{Reference, ReferenceError, RegistryName};
#[cfg(feature = "registry")]
pub use registry::{RegistryError, RegistryOptions, RegistrySink, RegistrySource};
pub use sink::{BlobWriter, PrehashedBlobWriter, Sink, Upload};
pub use source::Source;
pub use transfer::copy_image;
pub use verify::{VerifyError, VerifyingReader};
