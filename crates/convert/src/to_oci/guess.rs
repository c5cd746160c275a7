//! Directories that layers do not describe, in bootstraps that do not tell.

use nydus_convert_rafs::{InodeKind, Metadata, Tree};

/// A bootstrap does not say which directories its layer describes and which are there only because something lies
/// below them. The latter have known metadata; where the whole image has others, they come from another layer, and an
/// entry here would overwrite them.
pub fn forget_guessed_directories(tree: &mut Tree, merged: &Tree) {
    let guessed = Metadata::implicit_directory();
    let root = tree.root();
    let mut stack = vec![(root, Some(merged.root()))];
    while let Some((id, above)) = stack.pop() {
        let differs = above.is_some_and(|above| merged.inode(above).metadata != guessed);
        let is_guess = tree.inode(id).metadata == guessed;
        let Some(directory) = tree.directory(id) else { continue };
        for (name, child) in directory.iter() {
            let above = above.and_then(|above| merged.directory(above)?.get(name));
            stack.push((child, above));
        }
        if let InodeKind::Directory(directory) = &mut tree.inode_mut(id).kind {
            directory.implicit = differs && is_guess && (id == root || !directory.is_empty());
        }
    }
}
