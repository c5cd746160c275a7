//! What v5 can hold of an image.

use nydus_convert_rafs::{BlobFeatures, CiLocation, Image, InodeId, InodeKind, Tree};

/// The image as v5 gives it back: blobs without what only v6 says of them, files of their own where names of one inode
/// that is no regular file were.
pub fn image(mut image: Image) -> Image {
    let (compressor, digester) = (image.compressor, image.digester);
    for blob in &mut image.blobs {
        (blob.compressor, blob.digester) = (compressor, digester);
        blob.features = BlobFeatures::CAP_TAR_TOC;
        blob.ci = CiLocation::default();
        (blob.toc_size, blob.toc_digest) = (0, [0; 32]);
        (blob.meta_size, blob.meta_digest) = (0, [0; 32]);
        if blob.chunk_count == 0 {
            // Sizes of nothing are not told apart from sizes that are not told.
            (blob.compressed_size, blob.uncompressed_size) = (1, 4096);
        }
    }
    let (tree, firsts) = split_links(&image.tree);
    image.prefetch = image.prefetch.iter().map(|id| firsts[id.index()].unwrap()).collect();
    image.tree = tree;
    image
}

/// The tree with an inode for each name of what is no regular file, and the new id of every old inode's first name.
fn split_links(tree: &Tree) -> (Tree, Vec<Option<InodeId>>) {
    let mut split = Tree::new();
    let mut firsts = vec![None; tree.capacity()];
    let (from, to) = (tree.root(), split.root());
    split.inode_mut(to).metadata = tree.inode(from).metadata.clone();
    firsts[from.index()] = Some(to);
    let mut stack = vec![(from, to)];
    // In the order in which v5 numbers names: what is prefetched is found by its first one.
    while let Some((from, to)) = stack.pop() {
        let mut directories = Vec::new();
        for (name, id) in tree.directory(from).unwrap().iter() {
            let mut inode = tree.inode(id).clone();
            let shared = firsts[id.index()].filter(|_| matches!(inode.kind, InodeKind::Regular { .. }));
            let is_directory = matches!(inode.kind, InodeKind::Directory(_));
            if is_directory {
                inode.kind = InodeKind::Directory(nydus_convert_rafs::Directory::new(false));
            }
            let child = shared.unwrap_or_else(|| split.add(inode).unwrap());
            firsts[id.index()].get_or_insert(child);
            split.set_child(to, name, child).unwrap();
            if is_directory {
                directories.push((id, child));
            }
        }
        stack.extend(directories.into_iter().rev());
    }
    (split, firsts)
}
