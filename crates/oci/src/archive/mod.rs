//! Images in files: OCI layouts in a tar, what `docker save` writes, skopeo's directories, and single layers.
//!
//! ```text
//!   oci-layout  index.json  blobs/sha256/<hex> …                    an OCI layout
//!   manifest.json  <hex>.json  <id>/layer.tar …                     docker save; podman: <hex>.tar, and links to it
//!   manifest.json  oci-layout  index.json  blobs/sha256/<hex> …     docker save since 25: both
//! ```
//! Content is read where it is in the file; nothing is unpacked. An archive that is itself compressed (gzip, zstd) is
//! decompressed into a temporary file without a name first. Names are looked up and never become paths of this machine;
//! links are followed inside the archive only.

mod dir;
mod docker;
mod error;
mod layer;
mod members;
mod oci;
mod parts;
mod sink;

use std::path::PathBuf;

pub use dir::DirSource;
pub use docker::DockerArchiveSource;
pub use error::ArchiveError;
use error::shown;
pub use layer::LayerSource;
pub use oci::OciArchiveSource;
pub(crate) use parts::{Part, Parts};
pub use sink::OciArchiveSink;

use crate::compression::StreamLimits;

/// Where archives are unpacked that are compressed, and what that may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpacking {
    /// Directory for files without a name.
    pub dir: PathBuf,
    /// Largest window of a zstd frame in bytes.
    pub max_zstd_window: u64,
}

impl Unpacking {
    /// Limits of an archive; conversions have limits of their own for what is in it.
    fn limits(&self) -> StreamLimits {
        StreamLimits { plain: MAX_PLAIN, zstd_window: self.max_zstd_window }
    }
}

/// Plain bytes of an archive that is compressed.
const MAX_PLAIN: u64 = 1 << 40;
