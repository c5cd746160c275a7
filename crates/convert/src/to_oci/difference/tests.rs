#![allow(clippy::unwrap_used)]

use super::*;
use nydus_convert_rafs::{
    Blob, BlobFeatures, BlobName, Chunk, ChunkDigest, ChunkRef, ChunkSize, CiLocation, Cipher, Compressor,
    Digester, LayerTree, overlay,
};

/// An image of one blob with these chunks.
pub fn image(chunks: Vec<Chunk>) -> Image {
    let blob = Blob {
        name: BlobName::ThisBlob,
        features: BlobFeatures::empty(),
        compressor: Compressor::None,
        digester: Digester::Blake3,
        chunk_count: chunks.len() as u32,
        compressed_size: 0,
        uncompressed_size: 0,
        ci: CiLocation::default(),
        toc_size: 0,
        toc_digest: [0; 32],
        meta_digest: [0; 32],
        meta_size: 0,
        cipher: Cipher::None,
        chunks: chunks.into_iter().collect(),
    };
    Image {
        tree: Tree::new(),
        blobs: vec![blob],
        chunk_size: ChunkSize::default(),
        compressor: Compressor::None,
        digester: Digester::Blake3,
        tarfs: false,
        prefetch: Vec::new(),
    }
}

/// From lines: `d PATH MODE`, `f PATH CHUNK`, `s PATH TARGET`, `l PATH TARGET`, `p PATH TARGET` (a placeholder).
fn tree(lines: &[&str]) -> Tree {
    let mut tree = Tree::new();
    for line in lines {
        let [kind, at, word] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let at = EntryPath::parse(at.as_bytes()).unwrap();
        let mut metadata = Metadata::default();
        let kind = match kind {
            "d" => {
                metadata.mode = u16::from_str_radix(word, 8).unwrap();
                InodeKind::Directory(Directory::new(false))
            }
            "f" => {
                let chunks = vec![ChunkRef { blob: 0, index: word.parse().unwrap() }];
                InodeKind::Regular { size: 1, chunks }
            }
            "s" if word == "socket" => InodeKind::Socket,
            "s" => InodeKind::Symlink { target: word.as_bytes().into() },
            "l" => {
                let target = tree.get(&EntryPath::parse(word.as_bytes()).unwrap()).unwrap();
                tree.link(&at, target).unwrap();
                continue;
            }
            _ => {
                metadata.xattrs.insert(LINK_XATTR.to_vec(), word.as_bytes().to_vec());
                InodeKind::Regular { size: 0, chunks: Vec::new() }
            }
        };
        tree.insert(&at, Inode { metadata, kind }).unwrap();
    }
    tree
}

/// Ten chunks; the last one has the content of the first.
fn merged(lines: &[&str]) -> Image {
    let chunk = |n: u8| Chunk { digest: ChunkDigest([n; 32]), ..Chunk::default() };
    Image { tree: tree(lines), ..image([1, 2, 3, 4, 5, 6, 7, 8, 9, 1].map(chunk).to_vec()) }
}

fn names(tree: &Tree) -> Vec<String> {
    tree.walk().skip(1).map(|entry| entry.path.to_string()).collect()
}

#[test]
fn on_top_of_the_layers_the_difference_makes_the_image() {
    /// Name, the layers' tree, that of the image, and the names of the difference.
    type Case<'a> = (&'a str, &'a [&'a str], &'a [&'a str], &'a [&'a str]);
    let cases: [Case<'_>; 12] = [
        ("nothing", &["f a 0", "d d 755"], &["f a 9", "d d 755"], &[]),
        ("added", &["d d 755"], &["d d 755", "s d/l x", "d e 700", "f e/a 1"], &["/d", "/d/l", "/e", "/e/a"]),
        ("removed", &["d d 755", "f d/a 0", "f b 0"], &["d d 755"], &["/.wh.b", "/d", "/d/.wh.a"]),
        ("content", &["f a 0", "f b 0"], &["f a 1", "f b 0"], &["/a"]),
        ("metadata", &["d d 755", "f d/a 0"], &["d d 700", "f d/a 0"], &["/d"]),
        ("a directory for a file", &["f a 0"], &["d a 755", "f a/b 0"], &["/a", "/a/b"]),
        ("a file for a directory", &["d a 755", "f a/b 0"], &["f a 0"], &["/a"]),
        ("linked", &["f a 0", "f b 0"], &["f a 0", "l b a"], &["/a", "/b"]),
        ("no link", &["f a 0", "l b a"], &["f a 0", "f b 0"], &["/b"]),
        ("one name more", &["f a 0", "l b a"], &["f a 0", "l b a", "l c a"], &["/a", "/b", "/c"]),
        ("swapped", &["f a 0", "f b 1"], &["f a 1", "f b 0"], &["/a", "/b"]),
        ("root", &[], &["d / 700"], &[]),
    ];
    for (what, below, image, expected) in cases {
        let (laid, merged) = (tree(below), merged(image));
        let contents = Contents::of(&merged);
        let compared = compare(&laid, &merged, &contents).unwrap();
        let is_same = is_same(&laid, &merged, &contents);
        assert_eq!(compared.difference.is_none(), is_same, "{what}");
        assert_eq!(is_same, what == "nothing");
        let difference = compared.difference.unwrap_or_default();
        assert_eq!(names(&difference.tree), expected, "{what}");
        let mut result = laid;
        overlay(&mut result, LayerTree::of_tree(difference.tree), |at| contents.place(&merged, at)).unwrap();
        assert!(super::is_same(&result, &merged, &contents), "{what}");
    }
}

#[test]
fn what_no_layer_can_have_is_counted() {
    let (laid, merged) = (tree(&["f a 0"]), merged(&["f a 0", "f .wh.b 0", "s c socket"]));
    let compared = compare(&laid, &merged, &Contents::of(&merged)).unwrap();
    assert!(compared.difference.is_none());
    assert_eq!(compared.unfit, 2);
}

#[test]
fn placeholders_are_links() {
    let laid = tree(&["f a 0", "l known a"]);
    let mut image = merged(&["f a 0", "p known a", "p unknown a", "p nowhere b"]);
    settle_placeholders(&mut image.tree, &laid).unwrap();
    let difference = compare(&laid, &image, &Contents::of(&image)).unwrap().difference.unwrap();
    assert_eq!(names(&difference.tree), ["/a", "/nowhere", "/unknown"]);
    let id = |name: &str| difference.tree.get(&EntryPath::parse(name.as_bytes()).unwrap());
    assert_eq!(id("a"), id("unknown"));
    let nowhere = difference.tree.inode(id("nowhere").unwrap());
    assert!(nowhere.metadata.xattrs.is_empty());
}
