//! Layers made by the writer, read back.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/oracle.rs"]
mod oracle;

use std::io::Read;

use common::{paths, read, read_one};
use nydus_convert_layer::{
    BLOCK, Entry, EntryKind, LayerPlan, LayerReader, LayerWriteError, LayerWriter, Misfit, Whiteouts,
};
use nydus_convert_rafs::{
    DeviceNumber, Directory, EntryPath, Inode, InodeKind, LINK_XATTR, LayerTree, Metadata, Timestamp, Tree,
    Xattrs,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

fn path(text: impl AsRef<[u8]>) -> EntryPath {
    EntryPath::parse(text.as_ref()).unwrap()
}

fn file(size: u64) -> InodeKind {
    InodeKind::Regular { size, chunks: Vec::new() }
}

fn inode(kind: InodeKind) -> Inode {
    Inode { metadata: Metadata { mode: 0o644, ..Metadata::default() }, kind }
}

fn with_xattr(mut inode: Inode, name: &[u8], value: &[u8]) -> Inode {
    inode.metadata.xattrs.insert(name.to_vec(), value.to_vec());
    inode
}

fn directory() -> Inode {
    inode(InodeKind::Directory(Directory::new(false)))
}

/// What is expected of a file's content: its own number, repeated.
fn content_of(tree: &Tree, plan: &LayerPlan<'_>) -> Vec<u8> {
    let bytes = plan.files().flat_map(|id| match tree.inode(id).kind {
        InodeKind::Regular { size, .. } => vec![id.index() as u8; size as usize],
        _ => unreachable!(),
    });
    bytes.collect()
}

fn tar_of(tree: &Tree, whiteouts: Whiteouts) -> Vec<u8> {
    let plan = LayerPlan::of(tree, whiteouts);
    let content = content_of(tree, &plan);
    let tar = plan.write(Vec::new(), content.as_slice()).unwrap();
    assert_eq!(tar.len() % BLOCK, 0);
    assert!(tar.ends_with(&[0; 2 * BLOCK]));
    let mut pulled = Vec::new();
    plan.read(content.as_slice()).read_to_end(&mut pulled).unwrap();
    assert!(pulled == tar);
    tar
}

fn tree_of(tar: &[u8]) -> Tree {
    let mut layer = LayerTree::new();
    for (Entry { path, kind, metadata, .. }, _) in read(tar).unwrap() {
        let kind = match kind {
            EntryKind::Regular { size } => file(size),
            EntryKind::Directory => InodeKind::Directory(Directory::new(false)),
            EntryKind::Symlink { target } => InodeKind::Symlink { target: target.into() },
            EntryKind::CharDevice(number) => InodeKind::CharDevice(number),
            EntryKind::BlockDevice(number) => InodeKind::BlockDevice(number),
            EntryKind::Fifo => InodeKind::Fifo,
            EntryKind::HardLink { target } => {
                layer.link(&path, &target, metadata).unwrap();
                continue;
            }
            EntryKind::Unsupported { .. } => unreachable!(),
        };
        layer.insert(&path, Inode { metadata, kind }).unwrap();
    }
    layer.finish().unwrap();
    layer.tree().clone()
}

fn one(name: impl AsRef<[u8]>, kind: &EntryKind, metadata: &Metadata) -> Vec<u8> {
    let mut writer = LayerWriter::new(Vec::new());
    writer.append(&path(name), kind, metadata).unwrap();
    writer.finish().unwrap()
}

/// The first block's type: `x` if there are records.
fn first_type(tar: &[u8]) -> u8 {
    tar[156]
}

#[test]
fn what_fits_has_no_records() {
    let limits = Metadata {
        mode: 0o7777,
        uid: (1 << 21) - 1,
        gid: (1 << 21) - 1,
        mtime: Timestamp { seconds: (1 << 33) - 1, nanos: 0 },
        ..Metadata::default()
    };
    let number = DeviceNumber { major: (1 << 21) - 1, minor: (1 << 21) - 1 };
    let name = format!("{}/{}", "d".repeat(155), "\u{e4}".repeat(50));
    for kind in [
        EntryKind::Regular { size: 0 },
        EntryKind::Symlink { target: vec![0xff; 100] },
        EntryKind::HardLink { target: path([b't'; 100]) },
        EntryKind::CharDevice(number),
        EntryKind::BlockDevice(number),
        EntryKind::Fifo,
    ] {
        let tar = one(&name, &kind, &limits);
        assert_eq!((tar.len(), first_type(&tar) == b'x'), (3 * BLOCK, false), "{kind:?}");
        let (entry, _) = read_one(&tar);
        assert_eq!((entry.path, entry.kind, entry.metadata), (path(&name), kind, limits.clone()));
    }
}

#[test]
fn what_does_not_fit_has_records() {
    let device = |major, minor| EntryKind::CharDevice(DeviceNumber { major, minor });
    let plain = Metadata::default;
    let at = |seconds, nanos| Metadata { mtime: Timestamp { seconds, nanos }, ..plain() };
    for (name, kind, metadata) in [
        ("f".repeat(101), EntryKind::Fifo, plain()),
        (format!("{}/{}", "d".repeat(156), "f"), EntryKind::Fifo, plain()),
        ("d".repeat(100), EntryKind::Directory, plain()),
        ("f".into(), EntryKind::Symlink { target: b"t\xff/".repeat(1700) }, plain()),
        ("f".into(), EntryKind::HardLink { target: path([b't'; 101]) }, plain()),
        ("f".into(), device(1 << 21, 0), plain()),
        ("f".into(), device(0, u32::MAX), plain()),
        ("f".into(), EntryKind::Fifo, Metadata { uid: 1 << 21, ..plain() }),
        ("f".into(), EntryKind::Fifo, Metadata { gid: u32::MAX, ..plain() }),
        ("f".into(), EntryKind::Fifo, at(1 << 33, 0)),
        ("f".into(), EntryKind::Fifo, at(-1, 0)),
        ("f".into(), EntryKind::Fifo, at(-1, 250_000_000)),
        ("f".into(), EntryKind::Fifo, at(i64::MIN, 1)),
    ] {
        let tar = one(&name, &kind, &metadata);
        assert_eq!(first_type(&tar), b'x', "{kind:?} {metadata:?}");
        let (entry, _) = read_one(&tar);
        assert_eq!((entry.path, entry.kind, entry.metadata), (path(&name), kind, metadata));
    }
}

#[test]
fn sizes_beyond_eight_gibibytes() {
    for (size, has_records) in [((1 << 33) - 1, false), (1 << 33, true), (i64::MAX as u64, true)] {
        let mut writer = LayerWriter::new(Vec::new());
        writer.append(&path("f"), &EntryKind::Regular { size }, &Metadata::default()).unwrap();
        let error = writer.finish().unwrap_err();
        assert!(
            matches!(error, LayerWriteError::ContentTooShort { missing, .. } if missing == size),
            "{error}"
        );

        let mut tree = Tree::new();
        tree.insert(&path("f"), inode(file(size))).unwrap();
        let plan = LayerPlan::of(&tree, Whiteouts::Oci);
        let mut head = vec![0; if has_records { 3 } else { 1 } * BLOCK];
        plan.read(std::io::repeat(0)).read_exact(&mut head).unwrap();
        assert_eq!(first_type(&head) == b'x', has_records);
        let mut reader = LayerReader::new(head.as_slice());
        assert_eq!(reader.next_entry().unwrap().unwrap().kind, EntryKind::Regular { size });
    }
    let too_large = EntryKind::Regular { size: 1 << 63 };
    let error = LayerWriter::new(Vec::new()).append(&path("f"), &too_large, &Metadata::default());
    assert!(matches!(error, Err(LayerWriteError::FileTooLarge { .. })));
}

#[test]
fn binary_attributes() {
    let mut metadata = Metadata::default();
    for (name, value) in [
        (&b"user.text"[..], &b"\0\n10 path=x\n"[..]),
        (b"user.empty", b""),
        (b"user.\xff %3D", &[0xff; 70_000]),
        (b"security.capability", b"\x01\0\0\x02\0\x04\0\0"),
    ] {
        metadata.xattrs.insert(name.to_vec(), value.to_vec());
    }
    let tar = one("f", &EntryKind::Regular { size: 0 }, &metadata);
    assert_eq!(read_one(&tar).0.metadata, metadata);
}

#[test]
fn wrong_lengths_and_entries_are_errors() {
    let regular = |size| EntryKind::Regular { size };
    let start = |size| {
        let mut writer = LayerWriter::new(Vec::new());
        writer.append(&path("a"), &regular(size), &Metadata::default()).unwrap();
        writer
    };
    let mut writer = start(10);
    writer.write_content(b"12345").unwrap();
    let error = writer.append(&path("b"), &EntryKind::Fifo, &Metadata::default()).unwrap_err();
    assert!(matches!(error, LayerWriteError::ContentTooShort { missing: 5, .. }), "{error}");
    let error = writer.write_content(b"123456").unwrap_err();
    assert!(matches!(error, LayerWriteError::ContentTooLong { surplus: 1, .. }), "{error}");
    let error = start(3).copy_content(&b"1234"[..]).unwrap_err();
    assert!(matches!(error, LayerWriteError::ContentTooLong { surplus: 1, .. }), "{error}");
    let error = start(3).copy_content(&b"12"[..]).unwrap_err();
    assert!(matches!(error, LayerWriteError::ContentTooShort { missing: 1, .. }), "{error}");
    let mut writer = start(3);
    writer.copy_content(&b"123"[..]).unwrap();
    assert_eq!(read_one(&writer.finish().unwrap()).1, b"123");

    let append = |name: &str, kind: &EntryKind, metadata: &Metadata| {
        LayerWriter::new(Vec::new()).append(&path(name), kind, metadata).unwrap_err()
    };
    let plain = Metadata::default();
    assert!(matches!(append("", &EntryKind::Fifo, &plain), LayerWriteError::RootNotDirectory));
    let error = append("a", &EntryKind::Symlink { target: Vec::new() }, &plain);
    assert!(matches!(error, LayerWriteError::SymlinkTarget { .. }));
    let error = append("a", &EntryKind::Unsupported { typeflag: b'M' }, &plain);
    assert!(matches!(error, LayerWriteError::UnsupportedType { typeflag: b'M', .. }));
    let metadata = with_xattr(directory(), b"user.a=b", b"").metadata;
    assert!(matches!(append("a", &EntryKind::Fifo, &metadata), LayerWriteError::XattrName { .. }));
    let metadata = with_xattr(directory(), b"user.a", &vec![0; 1 << 20]).metadata;
    assert!(matches!(append("a", &EntryKind::Fifo, &metadata), LayerWriteError::ExtensionTooLarge { .. }));
}

#[test]
fn a_plan_notices_wrong_content() {
    let mut tree = Tree::new();
    tree.insert(&path("a"), inode(file(3))).unwrap();
    tree.insert(&path("b"), inode(file(3))).unwrap();
    let plan = LayerPlan::of(&tree, Whiteouts::Oci);
    let error = plan.write(Vec::new(), &b"12345"[..]).unwrap_err();
    assert!(
        matches!(&error, LayerWriteError::ContentTooShort { path: at, missing: 1 } if *at == path("b")),
        "{error}"
    );
    let error = plan.write(Vec::new(), &b"1234567"[..]).unwrap_err();
    assert!(matches!(error, LayerWriteError::ContentTooLong { .. }), "{error}");
    let mut tar = plan.read(&b"12345"[..]);
    let error = tar.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    assert!(tar.read(&mut [0; 10]).is_err(), "an error is not the end");
}

#[test]
fn order_links_and_whiteouts() {
    let mut tree = Tree::new();
    for name in ["b/x", ".profile", ".wh..profile", "b/.wh..wh..opq", "-", "a"] {
        tree.insert(&path(name), inode(file(0))).unwrap();
    }
    let a = tree.get(&path("a")).unwrap();
    tree.link(&path("-first"), a).unwrap();
    tree.link(&path("b/a"), a).unwrap();
    tree.insert(&path("d/e"), directory()).unwrap();
    let tar = tar_of(&tree, Whiteouts::Oci);
    let expected =
        ["/.wh..profile", "/-", "/-first", "/.profile", "/a", "/b/.wh..wh..opq", "/b/a", "/b/x", "/d/e"];
    assert_eq!(paths(&tar), expected);
    let link = EntryKind::HardLink { target: path("-first") };
    let entries = read(tar.as_slice()).unwrap();
    assert_eq!((&entries[4].0.kind, &entries[6].0.kind), (&link, &link));
    assert_eq!(entries[4].0.metadata.mode, 0o644);
}

#[test]
fn the_root_has_an_entry_if_it_was_described() {
    let mut tree = Tree::new();
    assert_eq!(tar_of(&tree, Whiteouts::Oci), [0; 2 * BLOCK]);
    tree.insert(&EntryPath::root(), Inode { metadata: Metadata::implicit_directory(), ..directory() })
        .unwrap();
    let tar = tar_of(&tree, Whiteouts::Oci);
    assert_eq!((&tar[..3], paths(&tar)), (&b"./\0"[..], vec!["/".to_owned()]));
    // Bootstraps of whole images do not say; there the metadata tells.
    let mut tree = Tree::new();
    let root = tree.root();
    tree.inode_mut(root).metadata.uid = 7;
    assert_eq!(read_one(&tar_of(&tree, Whiteouts::Oci)).0.metadata.uid, 7);
}

#[test]
fn links_into_lower_layers() {
    let mut layer = LayerTree::new();
    let metadata = with_xattr(directory(), b"user.own", b"1").metadata;
    layer.link(&path("a"), &path("lower/t"), metadata.clone()).unwrap();
    layer.link(&path("b"), &path("a"), metadata.clone()).unwrap();
    layer.finish().unwrap();
    let tar = tar_of(layer.tree(), Whiteouts::Oci);
    for (entry, _) in read(tar.as_slice()).unwrap() {
        assert_eq!(entry.kind, EntryKind::HardLink { target: path("lower/t") });
        assert_eq!(entry.metadata, metadata);
    }
    assert_eq!(tree_of(&tar), *layer.tree());

    // What is no target, or has content, is an attribute.
    let mut tree = Tree::new();
    tree.insert(&path("a"), with_xattr(inode(file(0)), LINK_XATTR, b"../x")).unwrap();
    tree.insert(&path("b"), with_xattr(inode(file(0)), LINK_XATTR, b"/")).unwrap();
    tree.insert(&path("c"), with_xattr(inode(file(1)), LINK_XATTR, b"a")).unwrap();
    assert_eq!(tree_of(&tar_of(&tree, Whiteouts::Oci)), tree);
}

#[test]
fn whiteouts_of_overlayfs() {
    let mut tree = Tree::new();
    let gone = tree.insert(&path("d/gone"), inode(InodeKind::CharDevice(DeviceNumber::default()))).unwrap();
    tree.link(&path("d/too"), gone).unwrap();
    let opaque = with_xattr(directory(), b"user.own", b"1");
    tree.insert(&path("d"), with_xattr(opaque, b"trusted.overlay.opaque", b"y")).unwrap();
    tree.insert(&path("e"), with_xattr(directory(), b"user.overlay.opaque", b"y")).unwrap();
    tree.insert(&path("f"), with_xattr(directory(), b"trusted.overlay.opaque", b"x")).unwrap();
    tree.insert(&path("null"), inode(InodeKind::CharDevice(DeviceNumber { major: 1, minor: 3 }))).unwrap();
    assert_eq!(tree_of(&tar_of(&tree, Whiteouts::Oci)), tree);

    let tar = tar_of(&tree, Whiteouts::Overlay);
    let expected =
        ["/d", "/d/.wh..wh..opq", "/d/.wh.gone", "/d/.wh.too", "/e", "/e/.wh..wh..opq", "/f", "/null"];
    assert_eq!(paths(&tar), expected);
    for (entry, _) in read(tar.as_slice()).unwrap() {
        if entry.path.to_string().contains("/.wh.") {
            assert_eq!((&entry.kind, entry.metadata.xattrs.len()), (&EntryKind::Regular { size: 0 }, 0));
        }
        let attributes = entry.metadata.xattrs.iter().map(|(name, _)| name).collect::<Vec<_>>();
        match entry.path.as_bytes() {
            b"d" => assert_eq!(attributes, [b"user.own"]),
            b"f" => assert_eq!(attributes, [b"trusted.overlay.opaque"]),
            _ => assert!(attributes.is_empty()),
        }
    }
}

#[test]
fn misfits_are_left_out_and_named() {
    let mut tree = Tree::new();
    let socket = tree.insert(&path("d/a"), inode(InodeKind::Socket)).unwrap();
    tree.link(&path("d/b"), socket).unwrap();
    tree.insert(&path("e"), inode(InodeKind::Symlink { target: b"a\0"[..].into() })).unwrap();
    let file = with_xattr(inode(file(0)), b"user.a=b", b"1");
    tree.insert(&path("f"), with_xattr(file, b"user.kept", b"2")).unwrap();
    let tar = tar_of(&tree, Whiteouts::Oci);
    assert_eq!(paths(&tar), ["/f"]);
    assert_eq!(read_one(&tar).0.metadata.xattrs.len(), 1);
    let expected = [
        Misfit::Socket { path: path("d/a") },
        Misfit::Socket { path: path("d/b") },
        Misfit::SymlinkTarget { path: path("e"), target: b"a\0".to_vec() },
        Misfit::XattrName { path: path("f"), name: b"user.a=b".to_vec() },
    ];
    assert_eq!(LayerPlan::of(&tree, Whiteouts::Oci).misfits().collect::<Vec<_>>(), expected);
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_map(|byte| if byte == 0 || byte == b'/' { b'_' } else { byte });
    prop_oneof![
        3 => select(vec![b"a".to_vec(), b"b".to_vec(), b".wh.a".to_vec(), b".wh..wh..opq".to_vec()]),
        1 => vec(byte, 1..200).prop_filter("no name", |name| name != b"." && name != b".."),
    ]
}

fn metadata() -> impl Strategy<Value = Metadata> {
    let time = (prop_oneof![0..1_i64 << 34, any::<i64>()], prop_oneof![Just(0), 0..1_000_000_000_u32]);
    let xattr =
        ("[ -<>-~]{1,20}", vec(any::<u8>(), 0..200)).prop_map(|(name, value)| (name.into_bytes(), value));
    let id = || prop_oneof![0..1000_u32, any::<u32>()];
    (0..0o10000_u16, id(), id(), time, vec(xattr, 0..4)).prop_map(
        |(mode, uid, gid, (seconds, nanos), xattrs)| {
            let xattrs: Xattrs = xattrs.into_iter().collect();
            Metadata { mode, uid, gid, mtime: Timestamp { seconds, nanos }, xattrs }
        },
    )
}

fn kind() -> impl Strategy<Value = InodeKind> {
    let device = (any::<u32>(), 0..100_u32).prop_map(|(major, minor)| DeviceNumber { major, minor });
    prop_oneof![
        4 => (0..2000_u64).prop_map(file),
        2 => Just(InodeKind::Directory(Directory::new(false))),
        1 => vec(1_u8.., 1..300).prop_map(|target| InodeKind::Symlink { target: target.into() }),
        1 => device.clone().prop_map(InodeKind::CharDevice),
        1 => device.prop_map(InodeKind::BlockDevice),
        1 => Just(InodeKind::Fifo),
    ]
}

/// Trees as layers have them: some directories implicit, links within and out of the layer.
fn layer() -> impl Strategy<Value = LayerTree> {
    let path = || vec(name(), 0..5).prop_map(|names| path(names.join(&b'/')));
    let entry = (path(), metadata(), prop_oneof![4 => kind().prop_map(Ok), 1 => path().prop_map(Err)]);
    vec(entry, 0..30).prop_map(|entries| {
        let mut layer = LayerTree::new();
        for (path, metadata, kind) in entries {
            // What has no place in a tree is not this test's subject.
            match kind {
                Ok(kind) => drop(layer.insert(&path, Inode { metadata, kind })),
                Err(target) if target.is_root() || path.is_root() => {}
                Err(target) => drop(layer.link(&path, &target, metadata)),
            }
        }
        match layer.finish() {
            Ok(()) => layer,
            Err(_) => LayerTree::new(),
        }
    })
}

/// Whether the layer is one whose meaning does not hang on the order of its entries: what links to lower layers point to
/// is not in this one, not as a directory nor as another such link.
fn is_ordered(layer: &LayerTree) -> bool {
    let tree = layer.tree();
    tree.walk().filter_map(|entry| entry.inode.metadata.xattrs.get(LINK_XATTR)).all(|target| {
        let found = tree.resolve(&path(target));
        found.is_ok_and(|found| found.is_none())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn a_tree_comes_back(layer in layer()) {
        prop_assume!(is_ordered(&layer));
        let tree = layer.tree();
        let tar = tar_of(tree, Whiteouts::Oci);
        let again = tree_of(&tar);
        prop_assert!(again == *tree);
        prop_assert!(tar_of(&again, Whiteouts::Oci).len() == tar.len());

        let plan = LayerPlan::of(tree, Whiteouts::Oci);
        let entries = read(tar.as_slice()).unwrap();
        let contents: Vec<u8> = entries.iter().flat_map(|(_, content)| content.clone()).collect();
        prop_assert!(contents == content_of(tree, &plan));
        if oracle::is_competent(&tar, &entries) {
            oracle::compare(&tar, &entries);
        }
    }
}
