//! Any bytes as entries of a layer: a tree that is swept now and then is the tree that never is.

use nydus_convert_rafs::{Directory, EntryPath, Inode, InodeKind, LayerTree, Metadata, Tree, overlay};

/// Panics if `bytes` break the promise above.
pub fn check(bytes: &[u8]) {
    let (mut swept, mut kept) = (LayerTree::new(), LayerTree::new());
    for step in bytes.chunks(4) {
        let &[operation, one, two, mode] = step else { break };
        let same = apply(&mut swept, operation, (one, two), mode);
        assert_eq!(apply(&mut kept, operation, (one, two), mode), same);
        if operation & 0x80 != 0 {
            swept.sweep();
        }
        assert!(swept.weight() <= kept.weight());
    }
    assert_eq!(swept.finish(), kept.finish());
    let targets = |layer: &LayerTree| -> Vec<(EntryPath, EntryPath)> {
        layer.links().iter().map(|link| (link.path.clone(), link.target.clone())).collect()
    };
    assert_eq!(targets(&swept), targets(&kept));
    assert!(swept.tree() == kept.tree());
    let order = |tree: &Tree| -> Vec<Inode> { tree.inodes().map(|(_, inode, _)| inode.clone()).collect() };
    let files =
        |tree: &Tree| -> Vec<Metadata> { order(tree).into_iter().map(|inode| inode.metadata).collect() };
    assert_eq!(files(swept.tree()), files(kept.tree()));
    let merged = |layer: LayerTree| {
        let mut base = Tree::new();
        overlay(&mut base, layer, |chunk| chunk).map(|()| base)
    };
    assert!(merged(swept) == merged(kept));
}

/// A path of up to three of four names.
fn path(byte: u8) -> EntryPath {
    let names = [2, 4, 6].map(|shift| ["a", "b", "c", ".wh.a"][usize::from(byte >> shift & 3)]);
    let depth = usize::from(byte & 3);
    EntryPath::parse(names[..depth].join("/").as_bytes()).expect("plain names")
}

fn apply(layer: &mut LayerTree, operation: u8, (one, two): (u8, u8), mode: u8) -> bool {
    let metadata = Metadata { mode: mode.into(), ..Metadata::default() };
    let kind = match operation % 5 {
        0 | 1 => InodeKind::Regular { size: 0, chunks: Vec::new() },
        2 => InodeKind::Directory(Directory::new(false)),
        3 => InodeKind::Symlink { target: path(two | 1).as_bytes().into() },
        _ => return layer.link(&path(one), &path(two), metadata).is_ok(),
    };
    layer.insert(&path(one), Inode { metadata, kind }).is_ok()
}
