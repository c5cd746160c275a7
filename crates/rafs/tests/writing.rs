//! What the writer refuses, and that it refuses before it writes.
#![allow(clippy::unwrap_used)]

mod support;

use nydus_convert_rafs::v6::{self, BlobProblem, Loss, WriteError};
use nydus_convert_rafs::{
    BlobFeatures, BlobName, ChunkFlags, ChunkRef, ChunkTable, Directory, EntryPath, Image, Inode, InodeKind,
    Metadata,
};

fn refused(change: impl Fn(&mut Image)) -> WriteError {
    let mut image = support::sample();
    change(&mut image);
    let mut bytes = Vec::new();
    let error = v6::write(&image, &mut bytes).unwrap_err();
    assert!(bytes.is_empty(), "{error}");
    error
}

fn path(text: &str) -> EntryPath {
    EntryPath::parse(text.as_bytes()).unwrap()
}

fn file(image: &mut Image, at: &str) -> (&'static str, u64, Vec<ChunkRef>) {
    let id = image.tree.get(&path(at)).unwrap();
    match &image.tree.inode(id).kind {
        InodeKind::Regular { size, chunks } => ("file", *size, chunks.clone()),
        other => panic!("{other:?}"),
    }
}

fn set_file(image: &mut Image, at: &str, size: u64, chunks: Vec<ChunkRef>) {
    let id = image.tree.get(&path(at)).unwrap();
    image.tree.inode_mut(id).kind = InodeKind::Regular { size, chunks };
}

#[test]
fn files_and_their_chunks() {
    let change = |change: &dyn Fn(&mut u64, &mut Vec<ChunkRef>)| {
        let error = refused(|image| {
            let (_, mut size, mut chunks) = file(image, "-x");
            change(&mut size, &mut chunks);
            set_file(image, "-x", size, chunks);
        });
        assert!(error.to_string().starts_with("/-x: "), "{error}");
        error
    };
    let count = change(&|_, chunks| chunks.truncate(2));
    assert!(matches!(count, WriteError::ChunkCount { size: 8197, expected: 3, actual: 2, .. }), "{count}");
    let unknown = change(&|_, chunks| chunks[1].index = 7);
    assert!(matches!(unknown, WriteError::UnknownChunk { number: 1, blob: 0, index: 7, .. }), "{unknown}");
    let unknown = change(&|_, chunks| chunks[1].blob = 2);
    assert!(matches!(unknown, WriteError::UnknownChunk { number: 1, blob: 2, .. }), "{unknown}");
    let length = change(&|size, _| *size += 1);
    assert!(matches!(length, WriteError::ChunkLength { number: 2, expected: 6, actual: 5, .. }), "{length}");
    let length = change(&|_, chunks| chunks[0] = chunks[2]);
    assert!(matches!(length, WriteError::ChunkLength { number: 0, expected: 4096, .. }), "{length}");
    let huge = change(&|size, _| *size = u64::MAX);
    assert!(matches!(huge, WriteError::ChunkCount { .. }), "{huge}");
}

#[test]
fn places_of_chunks() {
    for change in [
        |image: &mut Image| image.blobs[0].chunk_count = 2,
        |image: &mut Image| image.blobs[0].uncompressed_size -= 4096,
        |image: &mut Image| {
            let mut chunks: Vec<_> = image.blobs[0].chunks.iter().map(|(_, chunk)| *chunk).collect();
            chunks[2].uncompressed_offset += 1;
            image.blobs[0].chunks = ChunkTable::from_iter(chunks);
        },
    ] {
        let error = refused(|image| {
            change(image);
            // Keep the blob itself consistent.
            image.blobs[0].ci.uncompressed_size = 16 * u64::from(image.blobs[0].chunk_count);
        });
        assert!(matches!(error, WriteError::ChunkPlace { blob: 0, index: 2, .. }), "{error}");
    }
}

#[test]
fn blobs() {
    let problem = |change: &dyn Fn(&mut Image)| match refused(change) {
        WriteError::Blob { blob: 1, problem } => problem,
        other => panic!("{other}"),
    };
    assert_eq!(problem(&|image| image.blobs[1].name = BlobName::ThisBlob), BlobProblem::DuplicateId);
    assert_eq!(
        problem(&|image| image.blobs[1].features.remove(BlobFeatures::ALIGNED)),
        BlobProblem::NotAligned
    );
    assert!(matches!(
        problem(&|image| image.blobs[1].features |= BlobFeatures::TARFS),
        BlobProblem::Features { .. }
    ));
    assert!(matches!(problem(&|image| image.blobs[1].chunk_count = 5), BlobProblem::ChunkInformation { .. }));
    assert_eq!(
        problem(&|image| image.blobs[1].uncompressed_size = 0),
        BlobProblem::UncompressedSize { size: 0 }
    );
    let many = refused(|image| {
        let blob = image.blobs[1].clone();
        for number in 0..253_u8 {
            let digest = nydus_convert_rafs::Digester::Sha256.digest(&[number, 1]).0;
            let name = BlobName::Id(nydus_convert_rafs::BlobId(digest));
            image.blobs.push(nydus_convert_rafs::Blob { name, ..blob.clone() });
        }
    });
    assert!(matches!(many, WriteError::TooManyBlobs { count: 255 }), "{many}");
    // Together they are larger than what 32-bit block numbers reach.
    let large = refused(|image| {
        image.blobs.iter_mut().for_each(|blob| blob.uncompressed_size = (1 << 44) - 4096);
    });
    assert!(matches!(large, WriteError::TooLarge), "{large}");
}

#[test]
fn what_must_be_fitted_first() {
    let error = refused(|image| {
        let id = image.tree.get(&path("d/e/empty")).unwrap();
        image.tree.inode_mut(id).metadata.mtime.nanos = 1_000_000_000;
    });
    let WriteError::Unfit { path: found, loss } = error else { panic!("{error}") };
    assert_eq!((found, loss), (path("d/e/empty"), Loss::Nanoseconds { nanos: 1_000_000_000 }));

    let error = refused(|image| {
        let id = image.tree.get(&path("c")).unwrap();
        let root = image.tree.root();
        image.tree.set_child(root, &[b'n'; 256], id).unwrap();
    });
    assert!(matches!(error, WriteError::Unfit { loss: Loss::NameTooLong { length: 256 }, .. }), "{error}");

    let error = refused(|image| {
        let root = image.tree.root();
        image.tree.inode_mut(root).metadata.xattrs.insert(b"x".to_vec(), Vec::new());
    });
    assert_eq!(
        error.to_string(),
        "/: the extended attribute 'x' belongs to no namespace that the format knows; it is dropped"
    );
}

#[test]
fn trees_that_are_none() {
    let linked = refused(|image| {
        let (d, root) = (image.tree.get(&path("d")).unwrap(), image.tree.root());
        image.tree.set_child(root, b"again", d).unwrap();
    });
    assert!(matches!(linked, WriteError::DirectoryLinked { .. }), "{linked}");
    let cycle = refused(|image| {
        let (d, e) = (image.tree.get(&path("d")).unwrap(), image.tree.get(&path("d/e")).unwrap());
        image.tree.set_child(e, b"loop", d).unwrap();
    });
    assert!(matches!(cycle, WriteError::DirectoryLinked { .. }), "{cycle}");
    let root = refused(|image| {
        let (e, root) = (image.tree.get(&path("d/e")).unwrap(), image.tree.root());
        image.tree.set_child(e, b"root", root).unwrap();
    });
    assert!(matches!(root, WriteError::DirectoryLinked { .. }), "{root}");
    let file = refused(|image| {
        let root = image.tree.root();
        image.tree.inode_mut(root).kind = InodeKind::Fifo;
    });
    assert!(matches!(file, WriteError::RootNotDirectory), "{file}");
    let nameless = refused(|image| {
        let kind = InodeKind::Directory(Directory::default());
        let id = image.tree.add(Inode { metadata: Metadata::default(), kind }).unwrap();
        image.prefetch.push(id);
    });
    assert!(matches!(nameless, WriteError::PrefetchUnknown), "{nameless}");
}

#[test]
fn an_output_that_fails() {
    struct Full(usize);
    impl std::io::Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let taken = self.0.min(bytes.len());
            self.0 -= taken;
            if taken == 0 { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    for room in [0, 1, 4096, 20_000] {
        let error = v6::write(&support::sample(), &mut Full(room)).unwrap_err();
        let WriteError::Io(error) = error else { panic!("{error}") };
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    }
}

#[test]
fn every_name_of_a_file_counts_where_a_chunk_is_recorded() {
    // Two files use chunk 0; the second use, at 4096, is of the file with the higher number.
    let mut builder = support::Builder::new(4096, 1);
    for (name, chunks) in [(&b"a"[..], vec![1]), (b"b", vec![1, 0])] {
        builder.add(&support::Entry {
            parent: 0,
            name: name.to_vec(),
            metadata: Metadata::default(),
            content: support::Content::File { chunks, tail: 0 },
        });
    }
    let image = builder.finish();
    let record = |image: &Image| {
        let mut bytes = Vec::new();
        v6::write(image, &mut bytes).unwrap();
        let raw = support::raw::Raw::new(bytes);
        let digest = image.blobs[0].chunks.get(0).unwrap().digest.0;
        let records = (raw.table(24)..).step_by(80);
        let at = records.take(2).find(|at| raw.bytes[*at..at + 32] == digest).unwrap();
        raw.u64(at + 64)
    };
    assert_eq!(record(&image), 4096);
    let mut linked = image;
    let a = linked.tree.get(&path("a")).unwrap();
    let root = linked.tree.root();
    linked.tree.set_child(root, b"c", a).unwrap();
    assert_eq!(record(&linked), 0);
    assert_eq!(linked.blobs[0].chunks.get(0).unwrap().flags, ChunkFlags::empty());
}
