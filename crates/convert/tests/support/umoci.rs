//! What an image means, by a tool that is not ours: `umoci unpack` of an OCI layout, as root.

use super::tools::Tool;
use std::path::{Path, PathBuf};

/// Unpacks the image `reference` of the OCI layout `layout` into `into`, which must not exist or be empty, and gives
/// the directory that holds its root file system. Needs root and the tool `umoci`. The reference must lead to one
/// manifest, not to an index.
pub fn unpack(layout: &Path, reference: &str, into: &Path) -> PathBuf {
    let mut image = layout.as_os_str().to_owned();
    image.push(":");
    image.push(reference);
    Tool::get("umoci").run(["unpack".as_ref(), "--image".as_ref(), image.as_os_str(), into.as_os_str()]);
    into.join("rootfs")
}
