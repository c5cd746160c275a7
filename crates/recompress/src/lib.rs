#![doc = include_str!("../README.md")]
//!
//! # Modules
//! The encoders, byte for byte:
//!
//! | module | encoders |
//! |---|---|
//! | [`go`] | Go's `compress/flate`, 1.8 to 1.26, all levels |
//! | [`klauspost`] | `github.com/klauspost/compress/flate` from 1.15.11 on, and Go 1.27 |
//! | [`pgzip`] | the framing of `github.com/klauspost/pgzip`: podman, buildah, skopeo, umoci |
//! | [`zlib`] | zlib, GNU gzip, pigz |
//!
//! All of them implement [`deflate::Deflate`]: plain bytes in pieces, raw deflate bytes out. Nothing here knows of
//! container images.

mod bytes;
pub mod deflate;
mod encode;
pub mod go;
mod identify;
pub mod inflate;
pub mod klauspost;
mod method;
pub mod pgzip;
mod recipe;
mod replay;
pub mod seek;
mod stored;
mod wire;
pub mod zlib;

pub use identify::whole::identify;
pub use identify::{Identified, Identifier, Sampling, Trial, Verdict};
pub use method::Method;
pub use recipe::{Recipe, RecipeError};
pub use replay::{ReplayError, Replayed, replay};
