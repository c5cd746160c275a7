//! What is saved of layers: the readers take any bytes, and what they accept is safe to use, and can be written and read
//! again.

use nydus_convert_rafs::{
    Blob, BlobFeatures, BlobName, Chunk, ChunkDigest, ChunkSize, ChunkTable, CiLocation, Cipher, Compressor,
    Digester, Directory, EntryPath, FsVersion, Image, Inode, InodeKind, LayerTree, Metadata, Tree, overlay,
    write,
};

/// Panics if `bytes` break the promise above.
pub fn check(bytes: &[u8]) {
    if let Ok(layer) = LayerTree::parse(bytes) {
        check_layer(layer);
    }
    if let Ok(blob) = Blob::parse_head(bytes) {
        assert_eq!(blob.write_head().expect("what is read is written"), bytes);
    }
    if let Some(bytes) = bytes.first_chunk()
        && let Ok(chunk) = Chunk::parse_saved(bytes)
    {
        assert_eq!(chunk.write_saved(), *bytes);
    }
}

fn check_layer(layer: LayerTree) {
    let written = layer.write();
    let again = LayerTree::parse(&written).expect("what is written is read");
    assert_eq!(again.write(), written);
    assert!(again.tree() == layer.tree());

    let own = image(layer.tree().clone());
    for version in [FsVersion::V5, FsVersion::V6] {
        // Most have chunks that are not there, or that do not fit the file.
        let _ = write(version, &own, &mut Vec::new());
    }
    let (mut left, mut right) = (base(), base());
    let results = [overlay(&mut left, layer, |at| at), overlay(&mut right, again, |at| at)];
    assert_eq!(results[0], results[1]);
    assert!(left == right);
}

/// A layer below with names that layers of the corpus have too.
fn base() -> Tree {
    let kinds = [
        ("d", InodeKind::Directory(Directory::new(false))),
        ("d/file", InodeKind::Regular { size: 0, chunks: Vec::new() }),
        ("link", InodeKind::Symlink { target: b"d/e".as_slice().into() }),
        ("target", InodeKind::Fifo),
    ];
    let mut tree = Tree::new();
    for (path, kind) in kinds {
        let path = EntryPath::parse(path.as_bytes()).expect("a path");
        tree.insert(&path, Inode { metadata: Metadata::default(), kind }).expect("a place");
    }
    tree
}

/// An image of this tree over one blob with 64 chunks of 4096 bytes.
fn image(tree: Tree) -> Image {
    let chunk = |number: u64| Chunk {
        digest: ChunkDigest([number as u8; 32]),
        compressed_size: 4096,
        uncompressed_size: 4096,
        compressed_offset: 4096 * number,
        uncompressed_offset: 4096 * number,
        ..Chunk::default()
    };
    let blob = Blob {
        name: BlobName::ThisBlob,
        features: BlobFeatures::ALIGNED,
        compressor: Compressor::None,
        digester: Digester::Blake3,
        chunk_count: 64,
        compressed_size: 64 * 4096,
        uncompressed_size: 64 * 4096,
        ci: CiLocation { uncompressed_size: 64 * 16, ..CiLocation::default() },
        toc_size: 0,
        toc_digest: [0; 32],
        meta_digest: [0; 32],
        meta_size: 0,
        cipher: Cipher::None,
        chunks: ChunkTable::from_iter((0..64).map(chunk)),
    };
    let chunk_size = ChunkSize::new(4096).expect("a chunk size");
    let (compressor, digester) = (Compressor::None, Digester::Blake3);
    Image { tree, blobs: vec![blob], chunk_size, compressor, digester, tarfs: false, prefetch: Vec::new() }
}
