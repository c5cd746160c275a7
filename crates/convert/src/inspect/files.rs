//! Files: how many of which type, and each with its chunks.

use std::collections::HashMap;

use nydus_convert_rafs::{EntryPath, Image, InodeId, InodeKind, Tree};

use super::report::{ChunkPlace, InodeCounts, InspectedFile};
use crate::image::ImageError;
use crate::image::list::list_tree;

/// Counts the files of an image.
pub(super) fn count(image: &Image) -> InodeCounts {
    let mut counts = InodeCounts::default();
    for (_, inode, links) in image.tree.inodes() {
        let kind = &inode.kind;
        match kind {
            InodeKind::Directory(_) => counts.directories += 1,
            InodeKind::Regular { size, .. } => {
                counts.files += 1;
                counts.file_bytes += size;
            }
            InodeKind::Symlink { .. } => counts.symlinks += 1,
            InodeKind::CharDevice(_) | InodeKind::BlockDevice(_) => counts.devices += 1,
            InodeKind::Fifo | InodeKind::Socket => counts.pipes += 1,
        }
        // The number of links of a directory counts its children.
        if !matches!(kind, InodeKind::Directory(_)) {
            counts.further_names += u64::from(links) - 1;
        }
    }
    counts
}

/// Bytes that the list of files may take beside twice the tree.
const FREE: usize = 48 << 20;

/// Every name with the chunks behind it, in the order of the paths. Each has all of its path, which in deep trees is far more
/// than the tree has.
pub(super) fn list(image: &Image) -> Result<Vec<InspectedFile>, ImageError> {
    let limit = image.tree.weight().saturating_mul(2).saturating_add(FREE);
    let mut left = limit;
    list_tree(&image.tree, EntryPath::root(), image.tree.root())
        .map(|(id, listed)| {
            let chunks = match &image.tree.inode(id).kind {
                InodeKind::Regular { chunks, .. } => {
                    chunks.iter().map(|at| ChunkPlace { blob: at.blob, index: at.index }).collect()
                }
                _ => Vec::new(),
            };
            left = left
                .checked_sub(size_of::<InspectedFile>() + listed.path.len())
                .ok_or(ImageError::TooManyPaths { limit })?;
            Ok(InspectedFile { listed, chunks })
        })
        .collect()
}

/// A path of each of these inodes, in their order.
pub(super) fn paths_of(tree: &Tree, wanted: &[InodeId]) -> Vec<String> {
    if wanted.is_empty() {
        return Vec::new();
    }
    let mut names: HashMap<InodeId, Option<String>> = wanted.iter().map(|id| (*id, None)).collect();
    for entry in tree.walk() {
        if let Some(name) = names.get_mut(&entry.id) {
            name.get_or_insert_with(|| entry.path.to_string());
        }
    }
    wanted.iter().filter_map(|id| names.get(id).cloned().flatten()).collect()
}
