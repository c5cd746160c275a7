//! What is written is read, what is read is written.
#![allow(clippy::unwrap_used)]

mod support;

use nydus_convert_rafs::{Inode, InodeKind, limits, v6};
use proptest::prelude::*;
use support::{Builder, Content, Entry};

fn write(image: &nydus_convert_rafs::Image) -> Vec<u8> {
    let mut bytes = Vec::new();
    assert_eq!(v6::write(image, &mut bytes).unwrap(), bytes.len() as u64);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn images(image in support::image(120)) {
        let bytes = write(&image);
        prop_assert_eq!(bytes.len() % 4096, 0);
        let read = v6::parse(&bytes).unwrap();
        support::assert_same(&read, &image);
        prop_assert_eq!(write(&read), bytes);
    }

    #[test]
    fn fitted_inodes_can_be_written(entries in prop::collection::vec(support::entry(), 1..10), seconds: i64, nanos: u32) {
        let mut builder = Builder::new(4096, 1);
        for mut entry in entries {
            entry.metadata.mtime = nydus_convert_rafs::Timestamp { seconds, nanos };
            entry.metadata.xattrs.insert(b"other.namespace".to_vec(), Vec::new());
            entry.metadata.xattrs.insert(b"user.".to_vec(), Vec::new());
            let kind = InodeKind::Fifo;
            let mut inode = Inode { metadata: entry.metadata, kind };
            let losses = v6::fit(Some(&entry.name), &mut inode);
            prop_assert!(losses.len() >= 2 && !losses.iter().any(v6::Loss::drops_entry));
            entry.metadata = inode.metadata;
            builder.add(&entry);
        }
        write(&builder.finish());
    }
}

#[test]
fn the_deepest_tree() {
    let mut builder = Builder::new(4096, 0);
    let directory = |parent| Entry {
        parent,
        name: b"d".to_vec(),
        metadata: nydus_convert_rafs::Metadata::default(),
        content: Content::Directory,
    };
    for parent in 0..limits::MAX_DEPTH - 1 {
        builder.add(&directory(parent)).unwrap();
    }
    let deepest = builder.image.clone();
    support::assert_same(&v6::parse(&write(&deepest)).unwrap(), &deepest);
    builder.add(&directory(limits::MAX_DEPTH - 1)).unwrap();
    assert!(matches!(v6::write(&builder.finish(), &mut Vec::new()), Err(v6::WriteError::TooDeep)));
}

#[test]
fn a_directory_of_many_blocks() {
    let mut builder = Builder::new(4096, 0);
    for number in 0..5000 {
        let entry = Entry {
            parent: 0,
            name: format!("{number:05}").into_bytes(),
            metadata: nydus_convert_rafs::Metadata::default(),
            content: Content::Fifo,
        };
        builder.add(&entry).unwrap();
    }
    let image = builder.finish();
    support::assert_same(&v6::parse(&write(&image)).unwrap(), &image);
}
