//! v5 bootstraps with one lie each: every one is refused, for the right reason.
#![allow(clippy::unwrap_used)]

mod support;

use nydus_convert_rafs::v5::{self, BlobProblem, ChunkProblem, EntryProblem, ReadError};
use nydus_convert_rafs::{FsVersion, ParseError, parse};

/// A bootstrap to damage, of [`support::sample`].
#[derive(Clone)]
struct Raw(Vec<u8>);

impl Raw {
    fn new() -> Self {
        let mut bytes = Vec::new();
        v5::write(&support::v5::image(support::sample()), &mut bytes).unwrap();
        Self(bytes)
    }

    fn u32(&self, at: usize) -> usize {
        u32::from_le_bytes(self.0[at..at + 4].try_into().unwrap()) as usize
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Position in the inode table of the record of this name; names of the sample differ.
    fn position(&self, name: &str) -> usize {
        (1..=self.u32(56)).find(|position| self.name(*position) == name.as_bytes()).unwrap()
    }

    fn name(&self, position: usize) -> &[u8] {
        let at = self.record(position);
        let length = usize::from(u16::from_le_bytes([self.0[at + 100], self.0[at + 101]]));
        &self.0[at + 128..at + 128 + length]
    }

    /// Offset of the record at a position.
    fn record(&self, position: usize) -> usize {
        8 * self.u32(Self::slot(position))
    }

    fn slot(position: usize) -> usize {
        8192 + 4 * (position - 1)
    }

    fn inode(&self, name: &str) -> usize {
        self.record(self.position(name))
    }
}

fn refused(change: impl Fn(&mut Raw)) -> ReadError {
    let mut raw = Raw::new();
    change(&mut raw);
    v5::parse(&raw.0).unwrap_err()
}

/// The problem of an entry and the path that the message names.
fn problem(change: impl Fn(&mut Raw)) -> (String, EntryProblem) {
    match refused(change) {
        ReadError::Entry { path, problem, .. } => (path.to_string(), problem),
        other => panic!("{other}"),
    }
}

#[test]
fn the_sample_itself_is_fine() {
    let expected = support::v5::image(support::sample());
    let (version, image) = parse(&Raw::new().0).unwrap();
    assert_eq!(version, FsVersion::V5);
    support::assert_same(&image, &expected);
}

#[test]
fn versions() {
    assert_eq!(parse(&[0; 9000]), Err(ParseError::Unknown));
    assert_eq!(parse(&[]), Err(ParseError::Unknown));
    let mut raw = Raw::new();
    raw.put(4, &0x400_u32.to_le_bytes());
    assert_eq!(FsVersion::detect(&raw.0), None);
    let mut v6 = Vec::new();
    nydus_convert_rafs::v6::write(&support::sample(), &mut v6).unwrap();
    assert_eq!(FsVersion::detect(&v6), Some(FsVersion::V6));
    assert_eq!(FsVersion::detect(&v6[..1028]), Some(FsVersion::V6));
    assert!(matches!(parse(&v6[..1028]), Err(ParseError::V6(_))));
    assert!(matches!(parse(&Raw::new().0[..100]), Err(ParseError::V5(_))));
}

#[test]
fn lengths() {
    let bytes = Raw::new().0;
    for length in [0, 80, 8184, 8192, bytes.len() - 1, bytes.len() + 1] {
        let mut bytes = bytes.clone();
        bytes.resize(length, 0);
        assert_eq!(v5::parse(&bytes), Err(ReadError::Size { size: length as u64 }));
    }
    for length in (8200..bytes.len()).step_by(8) {
        assert!(v5::parse(&bytes[..length]).is_err(), "{length}");
    }
}

#[test]
fn superblock_fields() {
    for (at, value, field) in
        [(0, 0, "magic"), (4, 1, "version"), (8, 1, "size of the superblock"), (30, 1, "number of inodes")]
    {
        let error = refused(|raw| raw.0[at] = value);
        assert!(
            matches!(error, ReadError::Superblock { field: found, .. } if found == field),
            "{at}: {error}"
        );
    }
    assert!(matches!(refused(|raw| raw.put(12, &[0; 4])), ReadError::ChunkSize(_)));
    // No compressor, two hashes, undefined, those of v6.
    for (at, bits) in [(16, 0x14), (16, 0x9c), (17, 4), (20, 1), (17, 1), (17, 2), (19, 2)] {
        let error = refused(|raw| raw.0[at] = bits);
        assert!(matches!(error, ReadError::Flags { .. }), "{at} {bits:#x}: {error}");
    }
}

#[test]
fn tables() {
    let misplaced =
        |at: usize, value: u64, size: usize| match refused(|raw| raw.put(at, &value.to_le_bytes()[..size])) {
            ReadError::Table { table, .. } => table,
            other => panic!("{other}"),
        };
    for (at, table) in
        [(32, "inode table"), (40, "prefetch table"), (48, "blob table"), (72, "extended blob table")]
    {
        assert_eq!(misplaced(at, 8196, 8), table);
        assert_eq!(misplaced(at, 8, 8), table);
        assert_eq!(misplaced(at, 1 << 40, 8), table);
        assert_eq!(misplaced(at, u64::MAX - 7, 8), table);
    }
    assert_eq!(misplaced(56, u64::MAX, 4), "inode table");
    assert_eq!(misplaced(60, u64::MAX, 4), "prefetch table");
    assert_eq!(misplaced(64, u64::MAX, 4), "blob table");
    assert_eq!(misplaced(68, u64::MAX, 4), "extended blob table");
    // One entry for two blobs.
    assert_eq!(misplaced(68, 1, 4), "extended blob table");
    for at in [40, 48, 72] {
        let error = refused(|raw| raw.put(at, &8192_u64.to_le_bytes()));
        assert!(matches!(error, ReadError::TablesOverlap { .. }), "{at}: {error}");
    }
    let error = refused(|raw| raw.put(raw.u32(40), &77_u32.to_le_bytes()));
    assert!(matches!(error, ReadError::Prefetch { number: 77, .. }), "{error}");
}

#[test]
fn blobs() {
    let problem = |change: &dyn Fn(&mut Raw)| match refused(change) {
        ReadError::Blob { problem, .. } => problem,
        other => panic!("{other}"),
    };
    // 8 bytes and 64 of the first id, a zero, 8 bytes, the second id.
    assert_eq!(problem(&|raw| raw.put(raw.u32(48) + 8, b"X")), BlobProblem::Id);
    assert_eq!(problem(&|raw| raw.put(raw.u32(48) + 72, b"a")), BlobProblem::Id);
    assert_eq!(problem(&|raw| raw.put(raw.u32(48) + 20, &[0])), BlobProblem::Id);
    assert_eq!(problem(&|raw| raw.put(raw.u32(48) + 81, &[b'x'; 64])), BlobProblem::DuplicateId);
    assert!(matches!(problem(&|raw| raw.put(raw.u32(72) + 3, &[1])), BlobProblem::TooManyChunks { .. }));
    assert!(matches!(problem(&|raw| raw.put(raw.u32(72) + 15, &[1])), BlobProblem::Size { .. }));
    assert!(matches!(problem(&|raw| raw.put(raw.u32(72) + 23, &[1])), BlobProblem::Size { .. }));
}

#[test]
fn an_image_without_extended_table_is_read() {
    let mut raw = Raw::new();
    raw.put(68, &[0; 12]);
    let image = v5::parse(&raw.0).unwrap();
    let expected = support::v5::image(support::sample());
    assert_eq!(image.tree, expected.tree);
    for (found, expected) in image.blobs.iter().zip(&expected.blobs) {
        assert_eq!(found.chunk_count, expected.chunk_count);
        assert_eq!(found.chunks, expected.chunks);
        assert!(found.compressed_size <= expected.compressed_size && found.compressed_size > 0);
    }
}

#[test]
fn inode_table() {
    let at = |value: u32| problem(|raw| raw.put(Raw::slot(raw.position("p")), &value.to_le_bytes()));
    assert_eq!(at(0).1, EntryProblem::Slot { slot: 0 });
    assert_eq!(at(1024).1, EntryProblem::Slot { slot: 1024 });
    assert_eq!(at(u32::MAX).1, EntryProblem::Slot { slot: u32::MAX });
    let (path, same) = problem(|raw| {
        let slot = raw.u32(Raw::slot(raw.position("c"))) as u32;
        raw.put(Raw::slot(raw.position("p")), &slot.to_le_bytes());
    });
    assert_eq!((path.as_str(), same), ("/", EntryProblem::Order { name: b"c".to_vec() }));
    // In the middle of the table itself.
    assert!(matches!(
        at(1026).1,
        EntryProblem::Overlap
            | EntryProblem::NoLinks
            | EntryProblem::Mode { .. }
            | EntryProblem::OutOfBounds { .. }
    ));
}

#[test]
fn inodes() {
    let at = |name: &'static str, offset: usize, bytes: &'static [u8]| {
        problem(|raw| raw.put(raw.inode(name) + offset, bytes)).1
    };
    assert_eq!(at("p", 32, &[9]), EntryProblem::Parent { parent: 9 });
    assert_eq!(at("p", 40, &[99]), EntryProblem::Link { number: 99 });
    assert_eq!(at("p", 40, &[0]), EntryProblem::Number { position: position("p"), number: 0 });
    assert_eq!(at("d", 40, &[99]), EntryProblem::Number { position: position("d"), number: 99 });
    assert_eq!(at("p", 60, &[0xa4, 1]), EntryProblem::Mode { mode: 0o644 });
    assert_eq!(at("p", 62, &[1]), EntryProblem::Mode { mode: 0x1_11a4 });
    assert_eq!(at("p", 88, &[0; 4]), EntryProblem::NoLinks);
    assert!(matches!(at("p", 108, &[0, 0xca, 0x9a, 0x3b]), EntryProblem::Time { nanos: 1_000_000_000, .. }));
    assert_eq!(at("p", 100, &[0]), EntryProblem::Name { name: Vec::new() });
    assert_eq!(at("p", 128, b"/"), EntryProblem::Name { name: b"/".to_vec() });
    assert_eq!(at("p", 128, b"."), EntryProblem::Name { name: b".".to_vec() });
    assert_eq!(at("p", 128, b"c"), EntryProblem::Order { name: b"c".to_vec() });
    assert!(matches!(
        at("p", 100, &[0xff, 0xff]),
        EntryProblem::OutOfBounds { .. } | EntryProblem::Name { .. }
    ));
    assert_eq!(at("l", 102, &[0]), EntryProblem::Symlink { size: 0 });
    assert_eq!(at("l", 102, &[0xff, 0xff]), EntryProblem::Symlink { size: 0xffff });
    assert_eq!(at("l", 102, &[0, 0x10]), EntryProblem::Symlink { size: 4096 });
    assert_eq!(at("l", 136, &[0]), EntryProblem::Symlink { size: 5 });
    assert_eq!(at("-x", 80, &[0xc]), EntryProblem::Hole);
    assert_eq!(at("-x", 64, &[0]), EntryProblem::ChunkCount { count: 3, size: 8192 });
    assert_eq!(at("-x", 96, &[2]), EntryProblem::ChunkCount { count: 2, size: 8197 });
    assert_eq!(at("-x", 96, &[0xff; 4]), EntryProblem::OutOfBounds { part: "list of chunks" });
    let (path, root) = problem(|raw| raw.put(raw.record(1) + 60, &[0xed, 0x81]));
    assert_eq!((path.as_str(), root), ("/", EntryProblem::Mode { mode: 0o100_755 }));
}

fn position(name: &str) -> u32 {
    Raw::new().position(name) as u32
}

#[test]
fn children() {
    let (path, outside) = problem(|raw| raw.put(raw.inode("d") + 96, &[200]));
    assert!(matches!(outside, EntryProblem::Children { count: 200, .. }), "{outside}");
    assert_eq!(path, "/d");
    let (_, back) = problem(|raw| raw.put(raw.inode("d") + 92, &[1]));
    assert!(matches!(back, EntryProblem::Children { first: 1, .. }), "{back}");
    let (_, wraps) = problem(|raw| raw.put(raw.inode("d") + 92, &[0xff; 8]));
    assert!(matches!(wraps, EntryProblem::Children { .. }), "{wraps}");
    // A second directory that claims the children of another.
    let (_, shared) = problem(|raw| {
        let (x, d) = (raw.inode("x"), raw.inode("d"));
        raw.0.copy_within(d + 92..d + 100, x + 92);
    });
    assert!(matches!(
        shared,
        EntryProblem::Parent { .. } | EntryProblem::Children { .. } | EntryProblem::TwoParents { .. }
    ));
}

#[test]
fn links() {
    // `link` is a further name of `-x`, whose record is the first.
    let target = position("-x");
    let (path, kind) = problem(|raw| {
        let to = raw.position("p") as u64;
        raw.put(raw.inode("link") + 40, &to.to_le_bytes());
    });
    assert_eq!((path.as_str(), kind), ("/d/e/link", EntryProblem::Link { number: u64::from(position("p")) }));
    let (_, size) = problem(|raw| raw.put(raw.inode("link") + 64, &[1]));
    assert_eq!(size, EntryProblem::Link { number: target.into() });
    let (_, huge) = problem(|raw| raw.put(raw.inode("link") + 44, &[1]));
    assert!(matches!(huge, EntryProblem::Link { .. }));
    // What its record says besides is not looked at, but by those who ask for digests.
    let mut raw = Raw::new();
    let at = raw.inode("link");
    raw.put(at + 80, &[2]);
    assert_eq!(v5::parse(&raw.0).unwrap().tree, support::v5::image(support::sample()).tree);
    assert!(matches!(
        v5::check_digests(&raw.0),
        Err(v5::DigestError::Mismatch { path, .. }) if path.to_string() == "/d/e/link"
    ));
}

#[test]
fn extended_attributes() {
    // Behind the head and the name: u64 62, u32 16 `security.label` 0 `x`, u32 12 `user.note` 0 and two bytes.
    let damage =
        |offset: usize, bytes: &'static [u8]| problem(|raw| raw.put(raw.inode("p") + 136 + offset, bytes)).1;
    assert_eq!(damage(0, &[0xff; 8]), EntryProblem::OutOfBounds { part: "list of extended attributes" });
    for (offset, bytes) in [
        (0, &[3_u8][..]),                    // a length cut short
        (8, &[0xff]),                        // a pair past the end
        (8, &[2]),                           // a name without an end
        (12, &[0]),                          // an empty name
        (28, b"\x0f\0\0\0security.label\0"), // the same name again
    ] {
        let problem = damage(offset, bytes);
        assert!(matches!(problem, EntryProblem::Xattr { .. }), "{offset}: {problem}");
    }
}

#[test]
fn chunks() {
    // The list of chunks ends the record.
    let first = |raw: &Raw| {
        let at = raw.inode("-x");
        let next =
            (1..=raw.u32(56)).map(|position| raw.record(position)).filter(|other| *other > at).min().unwrap();
        next - 3 * 80
    };
    let chunk = |offset: usize, bytes: &'static [u8]| match problem(|raw| raw.put(first(raw) + offset, bytes))
    {
        (path, EntryProblem::Chunk { number: 0, problem }) => {
            assert_eq!(path, "/-x");
            problem
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(chunk(32, &[2]), ChunkProblem::Blob { blob: 2 });
    assert_eq!(chunk(32, &[0xff; 4]), ChunkProblem::Blob { blob: u32::MAX });
    assert!(matches!(chunk(36, &[0x20]), ChunkProblem::Flags { .. }));
    assert_eq!(chunk(44, &[1]), ChunkProblem::Length { expected: 4096, actual: 4097 });
    assert_eq!(chunk(64, &[1]), ChunkProblem::FileOffset { offset: 1 });
    let later = |offset: usize, bytes: &'static [u8]| match refused(|raw| raw.put(first(raw) + offset, bytes))
    {
        ReadError::Chunk { blob: 0, problem, .. } => problem,
        other => panic!("{other}"),
    };
    assert_eq!(later(72, &[1]), ChunkProblem::Differs);
    assert_eq!(later(72, &[0xff; 4]), ChunkProblem::Place);
    assert_eq!(later(48, &[0xff; 8]), later(56, &[0xff; 8]));
}
