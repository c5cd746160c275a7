//! What is written is read, what is read is written.
#![allow(clippy::unwrap_used)]

mod support;

use nydus_convert_rafs::{FsVersion, Image, InodeKind, Metadata, limits, parse, v5};
use proptest::prelude::*;
use support::{Builder, Content, Entry};

fn write(image: &Image) -> Vec<u8> {
    let mut bytes = Vec::new();
    assert_eq!(v5::write(image, &mut bytes).unwrap(), bytes.len() as u64);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn images(image in support::image(120)) {
        let image = support::v5::image(image);
        let bytes = write(&image);
        prop_assert_eq!(bytes.len() % 8, 0);
        let (version, read) = parse(&bytes).unwrap();
        prop_assert_eq!(version, FsVersion::V5);
        support::assert_same(&read, &used(&image));
        prop_assert_eq!(write(&read), bytes.clone());
        v5::check_digests(&bytes).unwrap();
    }

    #[test]
    fn one_changed_digest_is_noticed(image in support::image(40), which: prop::sample::Index, byte in 0_usize..32) {
        let image = support::v5::image(image);
        let mut bytes = write(&image);
        let entries = u32::from_le_bytes(bytes[56..60].try_into().unwrap()) as usize;
        let slot = 8192 + 4 * which.index(entries);
        let at = u32::from_le_bytes(bytes[slot..slot + 4].try_into().unwrap()) as usize * 8;
        bytes[at + byte] ^= 0x10;
        let noticed = matches!(v5::check_digests(&bytes), Err(v5::DigestError::Mismatch { .. }));
        prop_assert!(noticed);
    }

    #[test]
    fn fitted_inodes_can_be_written(entries in prop::collection::vec(support::entry(), 1..10), seconds: i64, nanos: u32) {
        let mut builder = Builder::new(4096, 0);
        for mut entry in entries {
            entry.metadata.mtime = nydus_convert_rafs::Timestamp { seconds, nanos };
            entry.metadata.xattrs.insert(b"other.namespace".to_vec(), Vec::new());
            let mut inode = nydus_convert_rafs::Inode { metadata: entry.metadata, kind: InodeKind::Fifo };
            let losses = v5::fit(Some(&entry.name), &mut inode);
            prop_assert!(!losses.is_empty() && !losses.iter().any(v5::Loss::drops_entry));
            entry.metadata = inode.metadata;
            builder.add(&entry);
        }
        write(&builder.finish());
    }
}

/// The image with the chunks that files use: others have no place in v5.
fn used(image: &Image) -> Image {
    let mut image = image.clone();
    let uses: std::collections::BTreeSet<_> = image
        .tree
        .walk()
        .filter_map(|entry| match &entry.inode.kind {
            InodeKind::Regular { chunks, .. } => Some(chunks.clone()),
            _ => None,
        })
        .flatten()
        .collect();
    for (number, blob) in (0..).zip(&mut image.blobs) {
        let kept = blob.chunks.iter().map(|(index, chunk)| (index, *chunk)).filter(|(index, _)| {
            uses.contains(&nydus_convert_rafs::ChunkRef { blob: number, index: *index })
        });
        blob.chunks = nydus_convert_rafs::ChunkTable::from_unsorted(kept.collect());
    }
    image
}

#[test]
fn the_deepest_tree() {
    let mut builder = Builder::new(4096, 0);
    let directory = |parent| Entry {
        parent,
        name: b"d".to_vec(),
        metadata: Metadata::default(),
        content: Content::Directory,
    };
    for parent in 0..limits::MAX_DEPTH - 1 {
        builder.add(&directory(parent)).unwrap();
    }
    let deepest = builder.image.clone();
    support::assert_same(&v5::parse(&write(&deepest)).unwrap(), &deepest);
    builder.add(&directory(limits::MAX_DEPTH - 1)).unwrap();
    assert!(matches!(v5::write(&builder.finish(), &mut Vec::new()), Err(v5::WriteError::TooDeep)));
}
