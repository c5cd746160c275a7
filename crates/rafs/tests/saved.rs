//! What is saved of a layer does what the layer does.
#![allow(clippy::unwrap_used)]

#[path = "../../../fuzz/src/saved_layer.rs"]
mod saved_layer;
mod support;

use nydus_convert_rafs::{
    Blob, BlobFeatures, BlobId, BlobName, Chunk, ChunkDigest, ChunkFlags, ChunkRef, Cipher, DeviceNumber,
    Directory, EntryPath, FsVersion, Image, Inode, InodeKind, LayerTree, Metadata, SavedError, Timestamp,
    Tree, TreeError, limits, overlay, write,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn path(bytes: &[u8]) -> EntryPath {
    EntryPath::parse(bytes).unwrap()
}

/// Names that meet each other in several layers, whiteouts of them, and some that no one else has.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let raw = vec(any::<u8>(), 1..12).prop_filter("not a file name", |name| {
        name != b"." && name != b".." && !name.contains(&b'/') && !name.contains(&0)
    });
    prop_oneof![
        8 => "[a-c]".prop_map(String::into_bytes),
        2 => "\\.wh\\.[a-c]".prop_map(String::into_bytes),
        1 => Just(b".wh..wh..opq".to_vec()),
        1 => raw,
    ]
}

fn entry_path() -> impl Strategy<Value = EntryPath> {
    vec(name(), 0..5).prop_map(|names| path(&names.join(&b'/')))
}

/// A chunk that exists in [`image`]: one of two blobs.
fn chunks() -> impl Strategy<Value = Vec<ChunkRef>> {
    let run = (0_u16..2, 0_u32..CHUNKS, prop_oneof![3 => 1_u32..4, 1 => 1_u32..CHUNKS]);
    vec(run, 0..4).prop_map(|runs| {
        let run = |(blob, first, count): (u16, u32, u32)| {
            (first..CHUNKS.min(first + count)).map(move |index| ChunkRef { blob, index })
        };
        runs.into_iter().flat_map(run).collect()
    })
}

fn kind() -> impl Strategy<Value = InodeKind> {
    // Most can be written; the others are an error of the image's, not of what is saved.
    let number = |end: u32| prop_oneof![20 => 0..end, 1 => any::<u32>()];
    let device = (number(0x1000), number(0x10_0000)).prop_map(|(major, minor)| DeviceNumber { major, minor });
    let target = prop_oneof!["(\\.\\./|/)?[a-c](/[a-c])?".prop_map(String::into_bytes), vec(1_u8.., 1..40)];
    prop_oneof![
        4 => Just(InodeKind::Directory(Directory::default())),
        4 => chunks().prop_map(|chunks| InodeKind::Regular { size: 4096 * chunks.len() as u64, chunks }),
        3 => target.prop_map(|target| InodeKind::Symlink { target: target.into() }),
        1 => device.clone().prop_map(InodeKind::CharDevice),
        1 => device.prop_map(InodeKind::BlockDevice),
        1 => Just(InodeKind::Fifo),
        1 => Just(InodeKind::Socket),
    ]
}

/// Mostly the same as everything else has, as in real layers.
fn metadata() -> impl Strategy<Value = Metadata> {
    let usual =
        (prop_oneof![Just(0o644), Just(0o755)], 0_u32..2, 0_i64..3).prop_map(|(mode, uid, seconds)| {
            let mtime = Timestamp { seconds, nanos: 0 };
            Metadata { mode, uid, gid: uid, mtime, ..Metadata::default() }
        });
    let old = (i64::MIN..0).prop_map(|seconds| {
        let mtime = Timestamp { seconds, nanos: 1 };
        Metadata { mtime, ..Metadata::default() }
    });
    prop_oneof![6 => usual, 3 => support::metadata(), 1 => old]
}

/// Layers as entries make them, in any order: some directories implicit, links within, forward and out of the layer.
fn layer() -> impl Strategy<Value = LayerTree> {
    let target = vec("[a-c]".prop_map(String::into_bytes), 1..3).prop_map(|names| path(&names.join(&b'/')));
    let what = prop_oneof![9 => kind().prop_map(Ok), 1 => target.prop_map(Err)];
    let entry = (entry_path(), metadata(), what);
    vec(entry, 0..40).prop_map(|entries| {
        let mut layer = LayerTree::new();
        for (path, metadata, kind) in entries {
            // What has no place in a tree is not this test's subject.
            match kind {
                Ok(kind) => drop(layer.insert(&path, Inode { metadata, kind })),
                Err(target) => drop(layer.link(&path, &target, metadata)),
            }
        }
        match layer.finish() {
            Ok(()) => layer,
            Err(_) => LayerTree::new(),
        }
    })
}

const CHUNKS: u32 = 40;

/// The tree as an image over blobs in which all chunks are that [`chunks`] gives, and those that [`place`] makes of them.
fn image(tree: Tree) -> Image {
    let mut builder = support::Builder::new(4096, 4);
    for (number, pick) in (0..CHUNKS).flat_map(|number| [1, 3, 5, 7].map(|pick| (number, pick))) {
        builder.add(&support::Entry {
            parent: 0,
            name: format!("{number}-{pick}").into_bytes(),
            metadata: Metadata::default(),
            content: support::Content::File { chunks: vec![pick], tail: 0 },
        });
    }
    Image { tree, ..builder.finish() }
}

/// Chunks of a layer are found elsewhere in the image.
fn place(at: ChunkRef) -> ChunkRef {
    ChunkRef { blob: 3 - at.blob, ..at }
}

/// The bootstraps of a tree, changed to what they can hold; or why there are none.
fn bootstraps(tree: &Tree) -> [Result<Vec<u8>, String>; 2] {
    [FsVersion::V5, FsVersion::V6].map(|version| {
        let mut tree = tree.clone();
        let ids: Vec<_> = tree.inodes().map(|(id, ..)| id).collect();
        for id in ids {
            version.fit(None, tree.inode_mut(id));
        }
        let mut bytes = Vec::new();
        let image = match version {
            FsVersion::V5 => Image { tree, ..support::v5::image(image(Tree::new())) },
            FsVersion::V6 => image(tree),
        };
        write(version, &image, &mut bytes).map(|_| bytes).map_err(|error| error.to_string())
    })
}

/// What equality of trees does not look at: which directories are implicit.
fn implicit(tree: &Tree) -> Vec<EntryPath> {
    let directories = tree
        .walk()
        .filter(|entry| matches!(&entry.inode.kind, InodeKind::Directory(directory) if directory.implicit));
    directories.map(|entry| entry.path).collect()
}

fn assert_same_tree(left: &Tree, right: &Tree) {
    assert_eq!(left, right);
    assert_eq!(implicit(left), implicit(right));
    assert_eq!(bootstraps(left), bootstraps(right));
}

/// Lays both over the same base; gives the result.
fn assert_same_overlay(base: &Tree, left: &LayerTree, right: &LayerTree) -> Tree {
    let over = |layer: &LayerTree| {
        let mut tree = base.clone();
        let result = overlay(&mut tree, layer.clone(), place);
        (tree, result)
    };
    let (left, right) = (over(left), over(right));
    assert_eq!(left.1, right.1);
    assert_same_tree(&left.0, &right.0);
    left.0
}

fn saved(layer: &LayerTree) -> LayerTree {
    let bytes = layer.write();
    let again = LayerTree::parse(&bytes).unwrap();
    assert_eq!(again.write(), bytes);
    let links = |layer: &LayerTree| -> Vec<_> {
        layer.links().iter().map(|link| (link.path.clone(), link.target.clone())).collect()
    };
    assert_eq!(links(&again), links(layer));
    assert_same_tree(again.tree(), layer.tree());
    again
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn saved_layers_do_what_the_layers_do(layers in vec(layer(), 1..4)) {
        let mut base = Tree::new();
        for layer in &layers {
            base = assert_same_overlay(&base, layer, &saved(layer));
        }
    }

    #[test]
    fn blobs_come_back(image in support::image(20)) {
        for blob in image.blobs {
            let head = blob.write_head().unwrap();
            let chunks = blob.chunks.iter().map(|(index, chunk)| {
                (index, Chunk::parse_saved(&chunk.write_saved()).unwrap())
            });
            let chunks = nydus_convert_rafs::ChunkTable::from_unsorted(chunks.collect());
            prop_assert_eq!(Blob { chunks, ..Blob::parse_head(&head).unwrap() }, blob);
        }
    }

    #[test]
    fn any_bytes(bytes in vec(any::<u8>(), 0..200)) {
        saved_layer::check(&bytes);
        saved_layer::check(&[b"nct\x02", bytes.as_slice()].concat());
    }
}

fn regular(first: u32, count: u32) -> InodeKind {
    let chunks = (first..first + count).map(|index| ChunkRef { blob: 0, index }).collect();
    InodeKind::Regular { size: 4096 * u64::from(count), chunks }
}

/// A layer with a bit of everything. It reaches into a lower layer that has the file `below`.
fn sample() -> LayerTree {
    let mut layer = LayerTree::new();
    let mut number = 0;
    let mut metadata = || {
        number += 1;
        let mut metadata =
            Metadata { mode: 0o600 + number % 8, uid: u32::from(number / 4), ..Metadata::default() };
        metadata.mtime = Timestamp { seconds: 1_700_000_000 - i64::from(number), nanos: number.into() };
        if number % 3 == 0 {
            metadata.xattrs.insert(b"user.a".to_vec(), vec![0; 3]);
            metadata.xattrs.insert(b"user.b".to_vec(), Vec::new());
        }
        metadata
    };
    let device = DeviceNumber { major: 259, minor: 0x12345 };
    let entries: [(&[u8], InodeKind); 11] = [
        (b"d", InodeKind::Directory(Directory::default())),
        (b"d/file", regular(0, 20)),
        (b"d/.wh.gone", regular(0, 0)),
        (b"implicit/.wh..wh..opq", regular(0, 0)),
        (b"implicit/\xff", regular(20, 2)),
        (b"again", regular(3, 1)),
        (b"null", InodeKind::CharDevice(device)),
        (b"disk", InodeKind::BlockDevice(device)),
        (b"pipe", InodeKind::Fifo),
        (b"socket", InodeKind::Socket),
        (b"link", InodeKind::Symlink { target: b"d".as_slice().into() }),
    ];
    for (at, kind) in entries {
        layer.insert(&path(at), Inode { metadata: metadata(), kind }).unwrap();
    }
    layer.link(&path(b"d/hard"), &path(b"d/file"), metadata()).unwrap();
    layer.link(&path(b"forward"), &path(b"later"), metadata()).unwrap();
    layer.link(&path(b"outside"), &path(b"below"), metadata()).unwrap();
    layer.link(&path(b"replaced"), &path(b"nowhere"), metadata()).unwrap();
    layer.insert(&path(b"later"), Inode { metadata: metadata(), kind: regular(22, 1) }).unwrap();
    layer.insert(&path(b"replaced"), Inode { metadata: metadata(), kind: InodeKind::Fifo }).unwrap();
    layer.finish().unwrap();
    layer
}

#[test]
fn every_part_comes_back() {
    let layer = sample();
    let again = saved(&layer);
    assert_eq!(implicit(again.tree()), [path(b""), path(b"implicit")]);
    let [forward, outside] = again.links() else { panic!("{:?}", again.links()) };
    assert_eq!((&forward.path, &outside.path), (&path(b"forward"), &path(b"outside")));

    let mut base = Tree::new();
    for name in [&b"below"[..], b"implicit/hidden", b"d/gone", b"d/stays"] {
        base.insert(&path(name), Inode { metadata: Metadata::default(), kind: InodeKind::Fifo }).unwrap();
    }
    let tree = assert_same_overlay(&base, &layer, &again);
    let same = |a: &[u8], b: &[u8]| {
        assert!(tree.get(&path(a)).is_some());
        assert_eq!(tree.get(&path(a)), tree.get(&path(b)));
    };
    same(b"forward", b"later");
    same(b"outside", b"below");
    same(b"d/hard", b"d/file");
    assert!(tree.get(&path(b"implicit/hidden")).is_none() && tree.get(&path(b"d/gone")).is_none());
    assert!(tree.get(&path(b"d/stays")).is_some());

    // Without the lower layer the link out of the layer leads nowhere: for both.
    assert_same_overlay(&Tree::new(), &layer, &again);
}

#[test]
fn the_sample_is_small() {
    let bytes = sample().write();
    let names: usize =
        sample().tree().walk().filter_map(|entry| entry.path.file_name().map(<[u8]>::len)).sum();
    // A name's length, head, mode, owner, time, and what there is besides: not much more than twenty bytes an entry.
    assert!(bytes.len() < names + 22 * sample().tree().walk().count(), "{}", bytes.len());
}

#[test]
fn cut_short_anywhere() {
    let bytes = sample().write();
    LayerTree::parse(&bytes).unwrap();
    for length in 0..bytes.len() {
        LayerTree::parse(&bytes[..length]).unwrap_err();
    }
    let long = [bytes.as_slice(), &[0]].concat();
    let (structure, offset) = ("saved layer", bytes.len() as u64);
    assert_eq!(LayerTree::parse(&long).unwrap_err(), SavedError::TooLong { structure, offset, count: 1 });
}

#[test]
fn damaged_anywhere() {
    let mut bytes = sample().write();
    let mut accepted = 0;
    for at in 0..bytes.len() {
        let original = bytes[at];
        let flips = (0..8).map(|bit| original ^ (1 << bit));
        for value in flips.chain([0, 1, 0x7f, 0x80, 0xff, original.wrapping_add(1)]) {
            bytes[at] = value;
            accepted += usize::from(LayerTree::parse(&bytes).is_ok());
            saved_layer::check(&bytes);
        }
        bytes[at] = original;
    }
    // Names, owners and times can be anything; if nothing is accepted any more, the property is not looked at.
    assert!(accepted > bytes.len() && accepted < 14 * bytes.len(), "{accepted} of {} bytes", bytes.len());
}

/// A saved layer whose root has `entries` and no owner, time or mode; `links` is all behind that.
fn raw(entries: &[&[u8]], links: &[u8]) -> Vec<u8> {
    [b"nct\x02\x80", &[entries.len() as u8][..], &entries.concat(), links].concat()
}

#[test]
fn hostile_layers() {
    let none = &[0][..];
    let error = |bytes: Vec<u8>| LayerTree::parse(&bytes).unwrap_err();
    let field = |bytes: Vec<u8>| match error(bytes) {
        SavedError::Field { field, offset, value, .. } => (field, offset, value),
        error => panic!("{error}"),
    };
    LayerTree::parse(&raw(&[], none)).unwrap();
    LayerTree::parse(&raw(&[b"\x01a\x05", b"\x01b\x07\x01"], none)).unwrap();

    assert!(matches!(error(b"nct\x01\x80\0\0".to_vec()), SavedError::Magic { .. }));
    assert_eq!(field(b"nct\x02\x05\0\0".to_vec()), ("the root's head", 4, 5));
    // Links to what comes later, to a directory, to the root; flags where there are none.
    assert_eq!(field(raw(&[b"\x01a\x07\x01", b"\x01b\x05"], none)), ("inode", 9, 1));
    assert_eq!(field(raw(&[b"\x01a\0\0", b"\x01b\x07\x01"], none)), ("inode", 13, 1));
    assert_eq!(field(raw(&[b"\x01a\x07\0"], none)), ("inode", 9, 0));
    assert_eq!(field(raw(&[b"\x01a\x05", b"\x01b\x0f\x01"], none)), ("head", 11, 0x0f));
    assert_eq!(field(raw(&[b"\x01a\x85"], none)), ("head", 8, 0x85));
    // Names.
    assert!(matches!(error(raw(&[b"\x01b\x05", b"\x01a\x05"], none)), SavedError::Order { offset: 9, .. }));
    assert!(matches!(error(raw(&[b"\x01a\x05", b"\x01a\x05"], none)), SavedError::Order { .. }));
    for name in [&b"\0"[..], b"\x01.", b"\x02..", b"\x03a/b", b"\x01\0"] {
        let error = error(raw(&[&[name, &[5]].concat()], none));
        assert!(
            matches!(error, SavedError::Tree { source: TreeError::BadName { .. }, offset: 6, .. }),
            "{error}"
        );
    }
    assert!(matches!(
        error(raw(&[b"\x01a\x45\x02\x01b\0\x01a\0"], none)),
        SavedError::Order { offset: 13, .. }
    ));
    // Metadata.
    assert_eq!(field(raw(&[b"\x01a\x0d\x80\x20"], none)), ("mode", 9, 0o10000));
    assert_eq!(field(raw(&[b"\x01a\x15\x80\x80\x80\x80\x10\0"], none)), ("owner", 9, 1 << 32));
    assert_eq!(field(raw(&[b"\x01a\x25\0\x80\x94\xeb\xdc\x03"], none)), ("nanoseconds", 10, 1_000_000_000));
    // Chunks: 2²⁴ is no number, nor is -1; 2²⁰ + 1 in a run are too many, alone or together.
    assert_eq!(field(raw(&[b"\x01a\x01\0\x01\x01\0\x80\x80\x80\x10"], none)), ("chunk", 11, 1 << 24));
    assert_eq!(field(raw(&[b"\x01a\x01\0\x01\x01\0\x01"], none)), ("chunk", 11, u64::MAX));
    assert_eq!(field(raw(&[b"\x01a\x01\0\x01\x80\x80\x80\x01"], none)), ("run", 11, 1 << 21));
    let full = b"\x01a\x01\0\x01\xfe\xff\x7f";
    LayerTree::parse(&raw(&[full], none)).unwrap();
    assert_eq!(field(raw(&[full, b"\x01b\x01\0\x01\x02"], none)), ("run", 19, 2));
    // Links out of the layer.
    LayerTree::parse(&raw(&[], b"\x01\x01a\x01b\0\x01\0")).unwrap();
    assert_eq!(field(raw(&[], b"\x01\x01a\x01b\x01\0\0")), ("placeholder", 11, 1));
    assert_eq!(field(raw(&[], b"\x01\x01a\x01b\0\x02\0")), ("earlier", 12, 2));
    assert_eq!(field(raw(&[], b"\x01\x01a\x01b\0\0\x03")), ("forward", 13, 3));
    assert!(matches!(error(raw(&[], b"\x01\x02/a\x01b\0\0\0")), SavedError::Path { offset: 7, .. }));
    assert!(matches!(error(raw(&[], b"\x01\x01a\x02..\0\0\0")), SavedError::Path { offset: 9, .. }));
    assert!(matches!(error(raw(&[], b"\x01\0\x01b\0\0\0")), SavedError::Tree { .. }));
    // Counts that no bytes pay for.
    let huge = b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
    for before in [&b"nct\x02\x80"[..], b"nct\x02\x80\0", b"nct\x02\xc0", b"nct\x02\x80\x01\x01a\x01\0"] {
        assert!(matches!(error([before, huge].concat()), SavedError::CutShort { .. }), "{before:?}");
    }
}

#[test]
fn the_deepest_layer() {
    let deep = |depth: usize| path(&b"d/".repeat(depth));
    let mut layer = LayerTree::new();
    let directory =
        || Inode { metadata: Metadata::default(), kind: InodeKind::Directory(Directory::default()) };
    layer.insert(&deep(limits::MAX_DEPTH), directory()).unwrap();
    layer.insert(&deep(limits::MAX_DEPTH + 1), directory()).unwrap_err();
    layer.finish().unwrap();
    assert_eq!(LayerTree::parse(&layer.write()).unwrap().tree(), layer.tree());

    let deeper = [&b"nct\x02"[..], &b"\0\x01\x01d".repeat(limits::MAX_DEPTH + 1), &[0, 0, 0]].concat();
    assert!(matches!(LayerTree::parse(&deeper), Err(SavedError::TooDeep { .. })));
}

#[test]
fn more_chunks_than_runs_may_stand_for() {
    let mut layer = LayerTree::new();
    for (name, count) in [(&b"a"[..], 600_000), (b"b", 600_000), (b"c", 400_000)] {
        let inode = Inode { metadata: Metadata::default(), kind: regular(0, count) };
        layer.insert(&path(name), inode).unwrap();
    }
    layer.finish().unwrap();
    let bytes = layer.write();
    // The second file does not fit any more, the third one does.
    assert!((600_000..600_100).contains(&bytes.len()), "{}", bytes.len());
    assert_eq!(LayerTree::parse(&bytes).unwrap().tree(), layer.tree());
}

#[test]
fn what_blobs_cannot_be() {
    let mut blob = image(Tree::new()).blobs.swap_remove(1);
    assert!(matches!(blob.name, BlobName::Id(BlobId(_))));
    let head = blob.write_head().unwrap();
    for (at, field) in
        [(4, "name"), (43, "features"), (44, "compressor"), (48, "digester"), (96, "compressor")]
    {
        let mut damaged = head.clone();
        damaged[at] = 0x84;
        let error = Blob::parse_head(&damaged).unwrap_err();
        assert!(matches!(error, SavedError::Field { field: name, .. } if name == field), "{error}");
    }
    for length in 0..head.len() {
        assert!(matches!(Blob::parse_head(&head[..length]), Err(SavedError::Magic { .. })));
    }
    blob.cipher = Cipher::Aes128Xts { key: [1; 32], iv: [2; 16] };
    assert_eq!(blob.write_head(), Err(SavedError::Encrypted));
    blob.cipher = Cipher::None;
    blob.features |= BlobFeatures::ENCRYPTED;
    assert_eq!(blob.write_head(), Err(SavedError::Encrypted));

    let chunk = Chunk {
        digest: ChunkDigest([1; 32]),
        flags: ChunkFlags::all(),
        compressed_size: 2,
        uncompressed_size: u32::MAX,
        compressed_offset: 3,
        uncompressed_offset: u64::MAX - 1,
        crc32: 4,
    };
    let mut bytes = chunk.write_saved();
    assert_eq!(Chunk::parse_saved(&bytes), Ok(chunk));
    bytes[32] |= 0x80;
    assert!(matches!(Chunk::parse_saved(&bytes), Err(SavedError::Field { field: "flags", offset: 32, .. })));
}
