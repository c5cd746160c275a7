//! One layer at a time, for build systems: pack, merge, unpack.
//!
//! ```text
//!   tar, gzip, zstd ─► pack_layer ─► blob stream ──┬──► merge_layers ─► bootstrap of the image
//!   (any stream)       one pass      (any stream)  │     LayerBootstrap::read: of a blob, or of a bootstrap file
//!                                                  └──► unpack_layer ─► tar (any stream)
//! ```
//! The stages are those of whole images; here a [`Source`](crate::oci::Source) is one stream or some files, and a
//! [`Sink`](crate::oci::Sink) is one stream. Blobs and bootstraps of the reference builder are taken as well as ours,
//! and it takes ours. `docs/drop-in.md` tells how its command lines are understood.

mod check;
mod error;
mod files;
mod layer_bootstrap;
mod merge;
mod pack;
mod streams;
mod tar_bootstrap;
mod unpack;

pub use check::check_bootstrap;
pub use error::VerbError;
pub use layer_bootstrap::LayerBootstrap;
pub use merge::{MergedLayers, merge_layers};
pub use pack::{NamedStream, PackLayerOptions, pack_layer};
pub(crate) use streams::StreamSource;
pub use tar_bootstrap::{TarBootstrap, TarBootstrapOptions, bootstrap_of_tar};
pub use unpack::{UnpackFiles, unpack_layer};
