//! v5 bootstraps of the reference builder, read and written again: the same bytes. See `golden/README.md`.
#![allow(clippy::unwrap_used)]

use nydus_convert_rafs::{BlobName, EntryPath, FsVersion, Image, InodeId, parse, v5};

const MIXED: &[u8] = include_bytes!("golden/v5-mixed.boot");
const WIDE: &[u8] = include_bytes!("golden/v5-wide.boot");
const BARE: &[u8] = include_bytes!("golden/v5-bare.boot");
const MERGED: &[u8] = include_bytes!("golden/v5-merged.boot");
const BROKEN: &[u8] = include_bytes!("golden/v5-link-without-attribute.boot");

fn rewrite(bytes: &[u8]) -> (Image, Vec<u8>) {
    let (version, image) = parse(bytes).unwrap();
    assert_eq!(version, FsVersion::V5);
    let mut written = Vec::new();
    assert_eq!(v5::write(&image, &mut written).unwrap(), written.len() as u64);
    (image, written)
}

fn id(image: &Image, path: &str) -> InodeId {
    image.tree.get(&EntryPath::parse(path.as_bytes()).unwrap()).unwrap()
}

#[test]
fn written_again() {
    for (name, bytes) in [("mixed", MIXED), ("wide", WIDE), ("bare", BARE), ("merged", MERGED)] {
        let (_, written) = rewrite(bytes);
        let mut expected = bytes.to_vec();
        // The reference does not count the root.
        expected[24] += 1;
        let first = written.iter().zip(&expected).position(|(a, b)| a != b);
        assert_eq!((first, written.len()), (None, expected.len()), "{name}");
    }
}

#[test]
fn digests() {
    for bytes in [MIXED, WIDE, BARE, MERGED] {
        v5::check_digests(bytes).unwrap();
        v5::check_digests(&rewrite(bytes).1).unwrap();
    }
}

#[test]
fn both_versions_of_a_layer_have_the_same_files() {
    for (five, six) in [
        (WIDE, include_bytes!("golden/wide.boot").as_slice()),
        (BARE, include_bytes!("golden/bare.boot")),
        (MIXED, include_bytes!("golden/mixed.boot")),
    ] {
        let ((version, five), (other, six)) = (parse(five).unwrap(), parse(six).unwrap());
        assert_eq!((version, other), (FsVersion::V5, FsVersion::V6));
        assert_eq!(five.tree, six.tree);
        assert_eq!(five.chunk_size, six.chunk_size);
        for (five, six) in five.blobs.iter().zip(&six.blobs) {
            assert_eq!((five.name, five.chunk_count), (six.name, six.chunk_count));
            let digests = |blob: &nydus_convert_rafs::Blob| -> Vec<_> {
                blob.chunks.iter().map(|(index, chunk)| (index, chunk.uncompressed_size)).collect()
            };
            assert_eq!(digests(five), digests(six));
        }
    }
}

#[test]
fn merged() {
    let (image, _) = rewrite(MERGED);
    assert!(image.blobs.iter().all(|blob| matches!(blob.name, BlobName::Id(_))));
    assert_eq!(image.prefetch, [id(&image, "usr/lib/abba"), id(&image, "top")]);
    assert_eq!(id(&image, "zz"), id(&image, "usr/lib/zz-again"));
}

/// The reference cannot read what it writes when a hard link does not repeat the attributes of its file: every later
/// record lies elsewhere than the inode table says. It is refused where the records stop making sense.
#[test]
fn a_link_without_its_attributes() {
    let error = v5::parse(BROKEN).unwrap_err();
    let v5::ReadError::Entry { path, .. } = &error else { panic!("{error}") };
    assert_eq!(path.to_string(), "/usr/lib/inner");
}
