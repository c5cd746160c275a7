//! Manifests, indexes and configs: parsed without losing anything, classified, checked against each other.
//!
//! [`ManifestKind`] says what some JSON is; [`Manifest`], [`Index`] and [`Config`] are what it holds.

mod config;
mod error;
mod index;
mod kind;
mod manifest;
mod outline;
mod put;
#[cfg(test)]
mod tests;
mod unsupported;

pub use config::{Config, check_layers};
pub use error::{ImageError, MAX_CONFIG, MAX_MANIFEST};
pub use index::{EntryKind, Index, UnreadableEntry};
pub use kind::ManifestKind;
pub use manifest::{Format, Manifest};
pub use put::put;
pub use unsupported::{LayerAt, UnsupportedImage};
