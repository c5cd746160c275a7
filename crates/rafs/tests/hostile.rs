//! Bootstraps with one lie each: every one is refused, for the right reason.
#![allow(clippy::unwrap_used)]

mod support;

use nydus_convert_rafs::v6::{self, ChunkProblem, ChunkUseProblem, EntryProblem, ReadError};
use nydus_convert_rafs::{EntryPath, InodeKind, Timestamp};
use support::raw::{DEVICES, EXTENDED, Raw, SUPERBLOCK};

fn sample() -> Raw {
    let mut bytes = Vec::new();
    v6::write(&support::sample(), &mut bytes).unwrap();
    Raw::new(bytes)
}

fn refused(change: impl Fn(&mut Raw)) -> ReadError {
    let mut raw = sample();
    change(&mut raw);
    v6::parse(&raw.bytes).unwrap_err()
}

/// The problem of an entry and the path that the message names.
fn problem(change: impl Fn(&mut Raw)) -> (String, EntryProblem) {
    match refused(change) {
        ReadError::Entry { path, problem, .. } => (path.to_string(), problem),
        other => panic!("{other}"),
    }
}

/// Copies number and type of an entry over those of another.
fn lead(raw: &mut Raw, entry: &str, to: &str) {
    let (entry, to) = (raw.entry(entry), raw.entry(to));
    raw.bytes.copy_within(to..to + 8, entry);
    raw.bytes.copy_within(to + 10..to + 11, entry + 10);
}

#[test]
fn the_sample_itself_is_fine() {
    support::assert_same(&v6::parse(&sample().bytes).unwrap(), &support::sample());
}

#[test]
fn superblock_fields() {
    for (at, value, field) in [
        (0, 0, "magic"),
        (4, 1, "checksum"),
        (11, 0, "feature_compat"),
        (12, 11, "block size"),
        (13, 1, "number of extensions"),
        (43, 0xff, "metadata area"),
        (44, 1, "shared attributes"),
        (80, 0xd, "feature_incompat"),
        (81, 1, "feature_incompat"),
        (84, 1, "feature_incompat"),
        (87, 0xff, "number of blobs"),
        (88, 12, "device table"),
    ] {
        let error = refused(|raw| raw.bytes[SUPERBLOCK + at] = value);
        assert!(
            matches!(error, ReadError::Superblock { field: found, .. } if found == field),
            "{at}: {error}"
        );
    }
    assert!(matches!(
        refused(|raw| raw.put(SUPERBLOCK + 14, &[0; 2])),
        ReadError::Superblock { field: "root", .. }
    ));
    assert!(matches!(refused(|raw| raw.put(SUPERBLOCK + 16, &[0; 8])), ReadError::Superblock { .. }));
    assert!(matches!(refused(|raw| raw.bytes[SUPERBLOCK + 12] = 9), ReadError::Flags { .. }));
    assert!(matches!(refused(|raw| raw.bytes[EXTENDED + 1] |= 2), ReadError::Flags { .. }));
    for (at, bits) in [(0, 0x00), (0, 0xb5), (0, 0xbc), (0, 0xb0), (1, 0x04), (4, 1)] {
        assert!(
            matches!(refused(|raw| raw.bytes[EXTENDED + at] = bits), ReadError::Flags { .. }),
            "{at} {bits:#x}"
        );
    }
    assert!(matches!(refused(|raw| raw.put(EXTENDED + 20, &[0; 4])), ReadError::ChunkSize { .. }));
    // Reserved flags are let through, as every reader does.
    let mut raw = sample();
    raw.bytes[EXTENDED + 3] = 0xfd;
    v6::parse(&raw.bytes).unwrap();
}

#[test]
fn lengths() {
    let bytes = sample().bytes;
    for length in [0, 1, 1024, 4095, bytes.len() - 1, bytes.len() + 1] {
        let mut bytes = bytes.clone();
        bytes.resize(length, 0);
        assert_eq!(v6::parse(&bytes), Err(ReadError::Size { size: length as u64 }));
    }
    for blocks in 1..bytes.len() / 4096 {
        assert!(v6::parse(&bytes[..blocks * 4096]).is_err(), "{blocks}");
    }
}

#[test]
fn tables() {
    let misplaced = |change: &dyn Fn(&mut Raw)| match refused(change) {
        ReadError::Table { table, .. } => table,
        other => panic!("{other}"),
    };
    assert_eq!(misplaced(&|raw| raw.put(EXTENDED + 8, &[0; 8])), "blob table");
    assert_eq!(misplaced(&|raw| raw.put(EXTENDED + 8, &4097_u64.to_le_bytes())), "blob table");
    assert_eq!(misplaced(&|raw| raw.put(EXTENDED + 8, &(1_u64 << 63).to_le_bytes())), "blob table");
    assert_eq!(misplaced(&|raw| raw.put(EXTENDED + 16, &256_u32.to_le_bytes())), "blob table");
    assert_eq!(misplaced(&|raw| raw.put(EXTENDED + 24, &[0xff; 8])), "chunk table");
    assert_eq!(misplaced(&|raw| raw.put(EXTENDED + 24, &[0; 8])), "chunk table");
    assert_eq!(misplaced(&|raw| raw.put(EXTENDED + 32, &81_u64.to_le_bytes())), "chunk table");
    assert_eq!(misplaced(&|raw| raw.put(EXTENDED + 32, &(80_u64 << 50).to_le_bytes())), "chunk table");
    assert_eq!(misplaced(&|raw| raw.put(EXTENDED + 40, &4100_u64.to_le_bytes())), "prefetch table");
    assert_eq!(misplaced(&|raw| raw.put(EXTENDED + 48, &7_u32.to_le_bytes())), "prefetch table");
    for change in [
        |raw: &mut Raw| raw.put(EXTENDED + 24, &4096_u64.to_le_bytes()),
        |raw: &mut Raw| raw.put(EXTENDED + 40, &4096_u64.to_le_bytes()),
        |raw: &mut Raw| {
            let chunks = raw.table(24) as u64;
            raw.put(EXTENDED + 40, &chunks.to_le_bytes());
        },
    ] {
        assert!(matches!(refused(change), ReadError::TablesOverlap { .. }));
    }
    let error = refused(|raw| raw.put(raw.table(40) + 4, &5_u32.to_le_bytes()));
    assert!(matches!(error, ReadError::Prefetch { nid: 5, .. }), "{error}");
}

#[test]
fn blobs() {
    // Field of the entry of the second blob, bytes to put there.
    for (at, bytes) in [
        (0, &b"A"[..]),               // no hexadecimal digit
        (0, &[b'x'; 64]),             // the first blob's id
        (64, &[0]),                   // position
        (68, &[0, 0, 1]),             // chunk size
        (72, &[0xff, 0xff, 0xff, 1]), // more chunks than numbers
        (72, &[9]),                   // not what the chunk information has
        (76, &[4]),                   // compressor
        (80, &[2]),                   // digester
        (84, &[0]),                   // not aligned
        (84, &[0x41]),                // tarfs
        (84, &[0x09]),                // zran without version 2
        (85, &[0x01]),                // encrypted without a cipher
        (85, &[0x10]),                // unknown
        (87, &[0xff]),                // the internal bit
        (88, &[0, 0, 0, 0, 0, 1, 1]), // more than 2⁴⁰ bytes
        (96, &[0, 0]),                // no blocks
        (96, &[1]),                   // no whole blocks
        (96, &[0, 0x20]),             // not what the device table has
        (102, &[1]),                  // more than 2⁴⁴ bytes
        (108, &[9]),                  // compressor of the chunk information
        (112, &[0xff; 8]),            // wraps around
        (120, &[0xff]),               // larger than the plain size
        (216, &[1]),                  // a cipher without encryption
        (216, &[2]),                  // a reserved cipher
    ] {
        let error = refused(|raw| raw.put(raw.table(8) + 256 + at, bytes));
        assert!(matches!(error, ReadError::Blob { blob: 1, .. }), "{at}: {error}");
    }
    for at in [0, 64, 66] {
        let error = refused(|raw| raw.bytes[DEVICES + 128 + at] ^= 3);
        assert!(matches!(error, ReadError::Blob { blob: 1, .. }), "{at}: {error}");
    }
}

#[test]
fn chunk_records() {
    let chunk = |change: &dyn Fn(&mut Raw, usize)| match refused(|raw| change(raw, raw.table(24))) {
        ReadError::Chunk { problem, .. } => problem,
        other => panic!("{other}"),
    };
    assert_eq!(
        chunk(&|raw, at| raw.bytes[at + 36] |= 0x20),
        ChunkProblem::Flags { bits: 0x20 | raw_flags(0) }
    );
    assert_eq!(chunk(&|raw, at| raw.put(at + 32, &[2])), ChunkProblem::Blob { blob: 2 });
    assert_eq!(chunk(&|raw, at| raw.put(at + 32, &[0xff; 4])), ChunkProblem::Blob { blob: u32::MAX });
    assert_eq!(chunk(&|raw, at| raw.put(at + 72, &[3])), ChunkProblem::Index { index: 3 });
    assert_eq!(chunk(&|raw, at| raw.put(at + 44, &[0; 4])), ChunkProblem::Size { size: 0 });
    assert_eq!(chunk(&|raw, at| raw.put(at + 44, &[1, 0x10])), ChunkProblem::Size { size: 0x1001 });
    assert_eq!(chunk(&|raw, at| raw.put(at + 56, &[1])), ChunkProblem::Place);
    assert_eq!(chunk(&|raw, at| raw.put(at + 56, &[0, 0x40])), ChunkProblem::Place);
    assert_eq!(chunk(&|raw, at| raw.put(at + 48, &[0xff; 8])), ChunkProblem::Place);
    let duplicate = chunk(&|raw, at| {
        raw.bytes.copy_within(at..at + 80, at + 80);
        raw.bytes[at + 80] ^= 1;
    });
    assert!(matches!(duplicate, ChunkProblem::Duplicate { .. }));
}

/// Flags of the first record of the chunk table.
fn raw_flags(record: usize) -> u32 {
    let raw = sample();
    raw.u32(raw.table(24) + 80 * record + 36)
}

#[test]
fn inodes() {
    let at = |path: &'static str, offset: usize, bytes: &'static [u8]| {
        let (found, problem) = problem(|raw| raw.put(raw.inode(path) + offset, bytes));
        assert_eq!(found, path);
        problem
    };
    assert_eq!(at("/-x", 0, &[0x19]), EntryProblem::Format { format: 0x19 });
    assert_eq!(at("/-x", 0, &[3]), EntryProblem::Format { format: 3 });
    assert_eq!(at("/-x", 0, &[1]), EntryProblem::Layout { format: 1 });
    assert_eq!(at("/p", 0, &[9]), EntryProblem::Layout { format: 9 });
    assert_eq!(at("/p", 4, &[0, 0]), EntryProblem::Mode { mode: 0 });
    assert_eq!(at("/p", 44, &[0; 4]), EntryProblem::NoLinks);
    assert!(matches!(at("/p", 40, &[0, 0xca, 0x9a, 0x3b]), EntryProblem::Time { nanos: 1_000_000_000, .. }));
    assert_eq!(at("/-x", 8, &[0xff; 8]), EntryProblem::OutOfBounds { part: "list of chunks" });
    assert_eq!(at("/-x", 8, &[0, 0, 0, 0, 8]), EntryProblem::OutOfBounds { part: "list of chunks" });
    assert_eq!(at("/-x", 16, &[0]), EntryProblem::ChunkFormat { format: 0 });
    assert_eq!(at("/-x", 17, &[1]), EntryProblem::ChunkFormat { format: 0x122 });
    assert_eq!(at("/d/l", 8, &[0]), EntryProblem::Symlink { size: 0 });
    assert_eq!(at("/d/l", 8, &[0, 0x10]), EntryProblem::Symlink { size: 4096 });
    assert_eq!(at("/d/l", 9, &[0xf]), EntryProblem::InlineCrossesBlock);
    assert_eq!(at("/d/e/long", 16, &[0xff; 4]), EntryProblem::OutOfBounds { part: "content" });
    assert_eq!(at("/d", 8, &[0]), EntryProblem::EmptyDirectory);
    assert_eq!(at("/d", 15, &[0x80]), EntryProblem::Overlap);
    assert_eq!(at("/x", 9, &[0x50]), EntryProblem::OutOfBounds { part: "content" });
    assert_eq!(at("/", 4, &[0, 0xa0]), EntryProblem::Mode { mode: 0o120_000 });
    let (_, nul) = problem(|raw| {
        let target = raw.inode("/d/l") + 64 + 12 + 4 * (usize::from(raw.u16(raw.inode("/d/l") + 2)) - 1);
        raw.put(target, &[0]);
    });
    assert_eq!(nul, EntryProblem::Symlink { size: 5 });
}

#[test]
fn extended_attributes() {
    // Behind the inode: 12 bytes of header, then `security.label=x`: 4 + 5 + 1 + 2 bytes, then `user.note` 4 + 4 + 2 + 2.
    for (offset, byte) in [
        (64 + 4, 1),       // shared attributes
        (64 + 12, 0xff),   // a name past the end
        (64 + 13, 5),      // an unknown namespace
        (64 + 13, 2),      // a suffix where none can be
        (64 + 16, 0),      // a NUL in a name
        (64 + 12 + 14, 5), // a value past the end
    ] {
        let (path, problem) = problem(|raw| raw.put(raw.inode("/p") + offset, &[byte]));
        assert_eq!(path, "/p");
        assert!(matches!(problem, EntryProblem::Xattr { .. }), "{offset}: {problem}");
    }
    let (_, twice) = problem(|raw| {
        let second = raw.inode("/p") + 64 + 24;
        raw.bytes.copy_within(second - 12..second - 4, second);
        raw.put(second, &[4, 6, 2, 0]);
        raw.put(second - 12, &[4, 6, 2, 0]);
    });
    assert_eq!(twice, EntryProblem::Xattr { what: "a name is there twice" });
    let (_, outside) = problem(|raw| raw.put(raw.inode("/p") + 2, &[0xff; 2]));
    assert!(matches!(
        outside,
        EntryProblem::OutOfBounds { .. } | EntryProblem::Overlap | EntryProblem::Xattr { .. }
    ));
}

#[test]
fn chunk_indexes() {
    let chunk = |offset: usize, bytes: &'static [u8]| {
        // The attributes of `-x` end at 64 + 36.
        match problem(|raw| raw.put(raw.inode("/-x") + 104 + offset, bytes)) {
            (path, EntryProblem::Chunk { number, problem }) => {
                assert_eq!(path, "/-x");
                (number, problem)
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(chunk(2, &[0]), (0, ChunkUseProblem::Device { device: 0 }));
    assert_eq!(chunk(2, &[3]), (0, ChunkUseProblem::Device { device: 3 }));
    assert_eq!(chunk(8, &[9]), (1, ChunkUseProblem::Unknown { blob: 0, index: 9 }));
    assert_eq!(chunk(3, &[1]), (0, ChunkUseProblem::Unknown { blob: 0, index: 0x1_0000 }));
    assert_eq!(chunk(4, &[1]), (0, ChunkUseProblem::Block { block: 1 }));
    assert_eq!(chunk(8, &[2, 0, 1, 0, 2]), (1, ChunkUseProblem::Length { expected: 4096, actual: 5 }));
}

#[test]
fn directories_that_are_no_tree() {
    assert_eq!(problem(|raw| lead(raw, "/d/e", "/.")), ("/d".to_owned(), EntryProblem::DirectoryLinked));
    assert_eq!(problem(|raw| lead(raw, "/d/e", "/d/.")), ("/d".to_owned(), EntryProblem::DirectoryLinked));
    assert_eq!(problem(|raw| lead(raw, "/x", "/d")), ("/".to_owned(), EntryProblem::DirectoryLinked));
    assert_eq!(problem(|raw| lead(raw, "/d/.", "/.")), ("/d".to_owned(), EntryProblem::Dots));
    assert_eq!(problem(|raw| lead(raw, "/d/e/..", "/..")), ("/d/e".to_owned(), EntryProblem::Dots));
    assert_eq!(problem(|raw| raw.put(raw.entry("/d/.") + 10, &[1])).1, EntryProblem::Dots);
    assert_eq!(
        problem(|raw| raw.put(raw.entry("/x") + 10, &[1])),
        ("/".to_owned(), EntryProblem::FileType { file_type: 1 })
    );
    let (path, zero) = problem(|raw| raw.put(raw.entry("/p"), &[0; 8]));
    assert_eq!((path.as_str(), matches!(zero, EntryProblem::Dirent { .. })), ("/", true));
    let (path, far) = problem(|raw| raw.put(raw.entry("/p"), &[0xff; 8]));
    assert_eq!((path.as_str(), far), ("/p", EntryProblem::OutOfBounds { part: "inode" }));
}

#[test]
fn names() {
    let name = |path: &'static str, bytes: &'static [u8]| problem(|raw| raw.put(raw.name(path), bytes));
    for (path, bytes) in [("/p", &b"/"[..]), ("/p", b"\0"), ("/-x", b"-/")] {
        let (found, problem) = name(path, bytes);
        assert_eq!(found, "/");
        assert!(matches!(problem, EntryProblem::Name { .. }), "{problem}");
    }
    assert_eq!(name("/p", b"z"), ("/".to_owned(), EntryProblem::Order { name: b"s".to_vec() }));
    assert_eq!(name("/p", b"d"), ("/".to_owned(), EntryProblem::Order { name: b"d".to_vec() }));
    // A second `..` that leads to a file.
    assert_eq!(name("/-x", b".."), ("/".to_owned(), EntryProblem::Dots));
    // Without a `.` or a `..`: what they lead to then has two names.
    assert_eq!(name("/d/..", b".-"), ("/d".to_owned(), EntryProblem::DirectoryLinked));
    assert_eq!(name("/d/.", b"+"), ("/d".to_owned(), EntryProblem::DirectoryLinked));
    // Without a `.`, whose place a further name of a file takes.
    let missing = problem(|raw| {
        lead(raw, "/d/.", "/d/a");
        raw.put(raw.name("/d/."), b"+");
    });
    assert_eq!(missing, ("/d".to_owned(), EntryProblem::Dots));
}

#[test]
fn damaged_directory_blocks() {
    let first = |bytes: &'static [u8]| match problem(|raw| raw.put(raw.entry("/d/.") + 8, bytes)) {
        (path, EntryProblem::Dirent { what }) => {
            assert_eq!(path, "/d");
            what
        }
        other => panic!("{other:?}"),
    };
    for offset in [&[0, 0][..], &[13, 0], &[0xff, 0xff], &[0, 0x10]] {
        assert_eq!(first(offset), "the first name lies where no name can");
    }
    assert_eq!(first(&[0xfc, 0x0f]), "the entries are cut short");
    let later = problem(|raw| raw.put(raw.entry("/d/..") + 8, &[0xff, 0xff]));
    assert!(matches!(later.1, EntryProblem::Dirent { .. }));
    let backwards = problem(|raw| raw.put(raw.entry("/d/a") + 8, &[1, 0]));
    assert!(matches!(backwards.1, EntryProblem::Dirent { .. }));
    let (path, short) = problem(|raw| raw.put(raw.inode("/d") + 8, &[8]));
    assert_eq!((path.as_str(), matches!(short, EntryProblem::Dirent { .. })), ("/d", true));
}

#[test]
fn files_that_lie_over_each_other_do_not_multiply() {
    // A hundred short links, made to share one long target.
    let mut builder = support::Builder::new(4096, 0);
    for number in 0..100 {
        builder.add(&support::Entry {
            parent: 0,
            name: format!("{number:03}").into_bytes(),
            metadata: nydus_convert_rafs::Metadata::default(),
            content: support::Content::Symlink(b"target".to_vec()),
        });
    }
    let mut bytes = Vec::new();
    v6::write(&builder.finish(), &mut bytes).unwrap();
    let mut raw = Raw::new(bytes);
    let end = raw.bytes.len();
    raw.bytes.extend([b't'; 4096]);
    for number in 0..100 {
        let at = raw.inode(&format!("/{number:03}"));
        raw.put(at, &[1, 0]);
        raw.put(at + 8, &4000_u64.to_le_bytes());
        raw.put(at + 16, &(end as u32 / 4096).to_le_bytes());
    }
    let error = v6::parse(&raw.bytes).unwrap_err();
    assert!(matches!(error, ReadError::Entry { problem: EntryProblem::Overlap, .. }), "{error}");
}

#[test]
fn deeper_than_clients_can_name() {
    let mut builder = support::Builder::new(4096, 0);
    let mut add = |parent: usize, name: &[u8], content| {
        let metadata = nydus_convert_rafs::Metadata::default();
        builder.add(&support::Entry { parent, name: name.to_vec(), metadata, content }).unwrap();
    };
    let depth = nydus_convert_rafs::limits::MAX_DEPTH;
    (0..depth - 1).for_each(|parent| add(parent, b"d", support::Content::Directory));
    add(depth - 1, b"f", support::Content::Fifo);
    add(0, b"x", support::Content::Directory);
    let mut bytes = Vec::new();
    v6::write(&builder.finish(), &mut bytes).unwrap();
    v6::parse(&bytes).unwrap();

    // The deepest file and the last directory change places.
    let mut raw = Raw::new(bytes);
    let deepest = "/d".repeat(depth - 1);
    let (file, directory) = (raw.entry(&format!("{deepest}/f")), raw.entry("/x"));
    let (this, parent) = (raw.entry(&format!("{deepest}/.")), raw.entry("/x/.."));
    raw.bytes.copy_within(this..this + 8, parent);
    for part in [0..8, 10..11] {
        for offset in part {
            raw.bytes.swap(file + offset, directory + offset);
        }
    }
    let error = v6::parse(&raw.bytes).unwrap_err();
    assert!(matches!(error, ReadError::Entry { problem: EntryProblem::TooDeep, .. }), "{error}");
}

#[test]
fn an_image_without_a_chunk_table_is_read() {
    let mut raw = sample();
    raw.put(EXTENDED + 24, &[0; 16]);
    let image = v6::parse(&raw.bytes).unwrap();
    assert_eq!(image.tree, support::sample().tree);
    assert!(image.blobs.iter().all(|blob| blob.chunks.is_empty()));
    assert!(matches!(v6::write(&image, &mut Vec::new()), Err(v6::WriteError::UnknownChunk { .. })));

    // Numbers beyond the blob's chunks are noticed all the same.
    raw.put(raw.inode("/-x") + 104, &[200]);
    assert!(v6::parse(&raw.bytes).is_err());
}

#[test]
fn short_inodes_are_read() {
    let mut raw = sample();
    let at = raw.inode("/c");
    let device = raw.u32(at + 16);
    let mut short = [0; 32];
    short[4..8].copy_from_slice(&[0xa4, 0x21, 1, 0]);
    short[16..20].copy_from_slice(&device.to_le_bytes());
    short[24..28].copy_from_slice(&[7, 0, 100, 0]);
    raw.put(at, &short);
    let image = v6::parse(&raw.bytes).unwrap();
    let mut expected = support::sample();
    let path = EntryPath::parse(b"c").unwrap();
    let id = expected.tree.get(&path).unwrap();
    expected.tree.inode_mut(id).metadata.mtime = Timestamp::default();
    assert!(matches!(expected.tree.inode(id).kind, InodeKind::CharDevice(_)));
    support::assert_same(&image, &expected);
}
