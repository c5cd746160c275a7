//! Images that are read: found behind a reference, opened, listed.

pub mod blob_file;
pub mod error;
pub mod find;
mod kernel;
pub mod list;
pub mod locate;
pub mod nydus;
mod platform_filter;
pub mod referred;

pub use error::{ImageError, NydusError, UnknownBlob};
pub use find::{Found, holds_nydus};
pub use kernel::{KernelMount, kernel_mount};
pub use list::{Listed, open_nydus};
pub use nydus::NydusImage;
pub use platform_filter::PlatformFilter;
