//! Sparse files in all spellings, good and bad.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Head, Recorder, Tar, read, read_one};
use nydus_convert_layer::{BLOCK, Entry, EntryKind, LayerError, LayerReader, SparseError};

const MAP: [(u64, u64); 3] = [(512, 600), (2000, 0), (2000, 3)];
const SIZE: u64 = 3000;

fn stored() -> Vec<u8> {
    [&[b'a'; 600][..], b"end"].concat()
}

fn expanded() -> Vec<u8> {
    [&[0; 512][..], &[b'a'; 600], &[0; 888], b"end", &[0; 997]].concat()
}

/// A GNU `S` header with the beginning of a map, and the extension blocks with the rest.
fn old_gnu(map: &[(u64, u64)], size: u64, stored: u64) -> Tar {
    let table = |mut head: Vec<u8>, map: &[(u64, u64)], at: usize, flag: usize, more: bool| {
        for (index, (offset, length)) in map.iter().enumerate() {
            let text = format!("{offset:011o}\0{length:011o}\0");
            head[at + 24 * index..at + 24 * index + 24].copy_from_slice(text.as_bytes());
        }
        head[flag] = u8::from(more);
        head
    };
    let (first, rest) = map.split_at(map.len().min(4));
    let numbers = table(vec![0; BLOCK], first, 386, 482, !rest.is_empty());
    let head = Head::gnu(b'S', "n").size(stored).put(386, &numbers[386..483]).octal(483, 12, size);
    let mut tar = Tar::new().head(head);
    let blocks: Vec<_> = rest.chunks(21).collect();
    for (index, chunk) in blocks.iter().enumerate() {
        tar = tar.raw(&table(vec![0; BLOCK], chunk, 0, 504, index + 1 < blocks.len()));
    }
    tar
}

fn map_text(map: &[(u64, u64)], separator: &str) -> String {
    let numbers: Vec<_> =
        map.iter().flat_map(|(offset, length)| [offset.to_string(), length.to_string()]).collect();
    numbers.join(separator)
}

fn version_0_0(map: &[(u64, u64)]) -> Tar {
    let numbers: Vec<_> =
        map.iter().map(|(offset, length)| (offset.to_string(), length.to_string())).collect();
    let (count, size) = (map.len().to_string(), SIZE.to_string());
    let mut records = vec![("GNU.sparse.size", size.as_bytes()), ("GNU.sparse.numblocks", count.as_bytes())];
    for (offset, length) in &numbers {
        records.push(("GNU.sparse.offset", offset.as_bytes()));
        records.push(("GNU.sparse.numbytes", length.as_bytes()));
    }
    Tar::new().pax(&records).entry(Head::ustar(b'0', "n"), &stored())
}

fn version_0_1(map: &[(u64, u64)]) -> Tar {
    let (count, size, map) = (map.len().to_string(), SIZE.to_string(), map_text(map, ","));
    let records: [(&str, &[u8]); 4] = [
        ("GNU.sparse.name", b"n"),
        ("GNU.sparse.size", size.as_bytes()),
        ("GNU.sparse.numblocks", count.as_bytes()),
        ("GNU.sparse.map", map.as_bytes()),
    ];
    Tar::new().pax(&records).entry(Head::ustar(b'0', "GNUSparseFile.1/n"), &stored())
}

fn inline(map: &str, records: &[(&str, &[u8])], stored: &[u8]) -> Tar {
    let map = Tar::new().raw(map.as_bytes()).pad().0;
    let version: [(&str, &[u8]); 3] =
        [("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.name", b"n")];
    let content = [&map, stored].concat();
    Tar::new().pax(&[&version[..], records].concat()).entry(Head::ustar(b'0', "GNUSparseFile.1/n"), &content)
}

fn version_1_0(map: &[(u64, u64)]) -> Tar {
    let text = format!("{}\n{}\n", map.len(), map_text(map, "\n"));
    inline(&text, &[("GNU.sparse.realsize", SIZE.to_string().as_bytes())], &stored())
}

fn check(tar: Tar) {
    let tar = tar.file("next", b"own").end();
    let mut entries = read(tar.as_slice()).unwrap();
    assert_eq!(entries.pop().unwrap().1, b"own");
    let (Entry { path, kind, .. }, content) = entries.pop().unwrap();
    assert_eq!((path.as_bytes(), kind), (&b"n"[..], EntryKind::Regular { size: SIZE }));
    assert!(content == expanded());

    // Small steps, skipping, and the raw bytes.
    let mut tape = Recorder::default();
    let mut reader = LayerReader::with_tape(tar.as_slice(), &mut tape);
    reader.next_entry().unwrap();
    let mut steps = Vec::new();
    let mut buffer = [0; 7];
    for _ in 0..200 {
        let count = reader.read_content(&mut buffer).unwrap();
        steps.extend(&buffer[..count]);
    }
    assert!(expanded().starts_with(&steps) && steps.len() == 1400);
    assert_eq!(reader.next_entry().unwrap().unwrap().path.as_bytes(), b"next");
    reader.finish().unwrap();
    assert_eq!(tape.replay(), tar);
}

#[test]
fn every_spelling() {
    let of = stored();
    check(old_gnu(&MAP, SIZE, of.len() as u64).raw(&of).pad());
    check(version_0_0(&MAP));
    check(version_0_1(&MAP));
    check(version_1_0(&MAP));
    // A final segment of nothing at the end of the file, as GNU tar writes it.
    let with_end = [&MAP[..], &[(SIZE, 0)]].concat();
    check(old_gnu(&with_end, SIZE, of.len() as u64).raw(&of).pad());
    check(version_0_0(&with_end));
    check(version_0_1(&with_end));
    check(version_1_0(&with_end));
}

#[test]
fn old_maps_that_go_on_in_extension_blocks() {
    for count in [4_u64, 5, 25, 26, 46, 47, 1000] {
        let map: Vec<_> = (0..count).map(|n| (n * 1024, 100)).collect();
        let stored: Vec<u8> = (0..count).flat_map(|n| [n as u8; 100]).collect();
        let tar = old_gnu(&map, count * 1024, stored.len() as u64).raw(&stored).pad().end();
        let (_, content) = read_one(&tar);
        let expected: Vec<u8> = (0..count).flat_map(|n| [&[n as u8; 100][..], &[0; 924]].concat()).collect();
        assert!(content == expected[..], "{count}");
    }
}

#[test]
fn inline_maps_of_many_blocks() {
    let map: Vec<_> = (0..1000).map(|n| (n * 1024, 1)).collect();
    let text = format!("1000\n{}\n", map_text(&map, "\n"));
    assert!(text.len() > 10 * BLOCK);
    let (entry, content) = read_one(&inline(&text, &[("GNU.sparse.realsize", b"1024000")], &[9; 1000]).end());
    assert_eq!(entry.kind, EntryKind::Regular { size: 1_024_000 });
    assert!(content.iter().enumerate().all(|(index, byte)| *byte == if index % 1024 == 0 { 9 } else { 0 }));
    // A count that ends with its block.
    let text = format!("{:0>511}\n0\n5\n", 1);
    assert_eq!(read_one(&inline(&text, &[("GNU.sparse.realsize", b"5")], b"hello").end()).1, b"hello");
}

#[test]
fn holes_only_and_nothing_at_all() {
    for (size, text) in [(0_u64, "0\n"), (5000, "0\n"), (5000, "1\n5000\n0\n")] {
        let (entry, content) =
            read_one(&inline(text, &[("GNU.sparse.realsize", size.to_string().as_bytes())], b"").end());
        assert_eq!(entry.kind, EntryKind::Regular { size });
        assert!(content == vec![0; size as usize]);
    }
    let zero: [(&str, &[u8]); 2] = [("GNU.sparse.size", b"4000"), ("GNU.sparse.numblocks", b"0")];
    let version: [(&str, &[u8]); 2] = [("GNU.sparse.major", b"0"), ("GNU.sparse.minor", b"0")];
    assert_eq!(read_one(&Tar::new().pax(&[zero, version].concat()).file("n", b"").end()).1, [0; 4000]);
    // Without a version and without a segment it is a plain file.
    assert_eq!(read_one(&Tar::new().pax(&zero).file("n", b"plain").end()).1, b"plain");
    assert_eq!(read_one(&old_gnu(&[], 4000, 0).end()).1, [0; 4000]);
}

#[test]
fn a_file_of_exabytes() {
    let size = i64::MAX as u64;
    let text = format!("1\n{}\n5\n", size - 5);
    let tar = inline(&text, &[("GNU.sparse.realsize", size.to_string().as_bytes())], b"hello")
        .file("next", b"")
        .end();
    let mut reader = LayerReader::new(tar.as_slice());
    assert_eq!(reader.next_entry().unwrap().unwrap().kind, EntryKind::Regular { size });
    let mut buffer = [1; 1000];
    assert_eq!(reader.read_content(&mut buffer).unwrap(), 1000);
    assert_eq!(buffer, [0; 1000]);
    assert_eq!(reader.next_entry().unwrap().unwrap().path.as_bytes(), b"next");
}

#[test]
fn sparse_records_of_a_global_header_mean_nothing() {
    let records: [(&str, &[u8]); 3] =
        [("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.map", b"0,1")];
    assert_eq!(read_one(&Tar::new().global(&records).file("n", b"plain").end()).1, b"plain");
}

#[track_caller]
fn refused(tar: Tar, expected: SparseError) {
    let tar = tar.end();
    let mut tape = Recorder::default();
    let mut reader = LayerReader::with_tape(tar.as_slice(), &mut tape);
    match reader.next_entry() {
        Err(LayerError::BadSparse { at, source }) => {
            assert_eq!(source, expected);
            assert!(at.path.is_some());
        }
        other => panic!("{other:?}"),
    }
    reader.finish().unwrap();
    assert!(tape.replay() == tar);
}

#[test]
fn maps_that_lie() {
    let stored_size = stored().len() as u64;
    let segment = |segment| SparseError::Segment { segment };
    for (map, error) in [
        (&[(512, 600), (1000, 3)][..], segment(1)),
        (&[(2000, 3), (512, 600)], segment(1)),
        (&[(512, 600), (2998, 3)], segment(1)),
        (&[(0, 603), (3001, 0)], segment(1)),
        (&[(i64::MAX as u64, 600), (0, 3)], segment(0)),
        (&[(5, i64::MAX as u64)], segment(0)),
        (&[(0, 602)], SparseError::Stored { mapped: 602, stored: 603 }),
        (&[(0, 604)], SparseError::Stored { mapped: 604, stored: 603 }),
        (&[], SparseError::Stored { mapped: 0, stored: 603 }),
    ] {
        let in_octal = map.iter().all(|(offset, length)| offset.max(length) >> 33 == 0);
        if in_octal {
            refused(old_gnu(map, SIZE, stored_size).raw(&stored()).pad(), error);
        }
        if !map.is_empty() {
            refused(version_0_0(map), error);
            refused(version_0_1(map), error);
        }
        refused(version_1_0(map), error);
    }
}

#[test]
fn maps_that_are_none() {
    let malformed = SparseError::Malformed;
    let size: (&str, &[u8]) = ("GNU.sparse.realsize", b"5");
    for text in
        ["x\n0\n5\n", "-1\n", "\n", "1\n0\n", "1\n-1\n5\n", "1\n0\nfive\n", "", "9223372036854775807\n0\n5\n"]
    {
        refused(inline(text, &[size], b"hello"), malformed);
    }
    for records in [
        &[("GNU.sparse.map", &b"0,5,6"[..])][..],
        &[("GNU.sparse.map", b"0;5")],
        &[("GNU.sparse.map", b"0,5"), ("GNU.sparse.numblocks", b"2")],
        &[("GNU.sparse.map", b"0,5"), ("GNU.sparse.numblocks", b"x")],
        &[("GNU.sparse.map", b"0,-5")],
        &[("GNU.sparse.map", b"0,5"), ("GNU.sparse.size", b"-5")],
        &[("GNU.sparse.offset", b"0")],
    ] {
        refused(Tar::new().pax(records).file("n", b"hello"), malformed);
    }
    let head = Head::gnu(b'S', "n").size(5).octal(483, 12, 5);
    let head_with = |at, text: &[u8]| Tar::new().head(head.clone().put(at, text)).raw(b"hello").pad();
    refused(head_with(386, b"not a number"), malformed);
    refused(head_with(483, b"nor is this."), malformed);
}

#[test]
fn maps_that_never_end() {
    // An old map whose every block announces one more.
    let mut block = [0; BLOCK];
    block[504] = 1;
    let head = Head::gnu(b'S', "n").put(482, b"\x01").octal(483, 12, 0);
    refused((0..2100).fold(Tar::new().head(head), |tar, _| tar.raw(&block)), SparseError::TooLong);
    // An inline one of two megabytes.
    let text = format!("262144\n{}", "0\n0\n".repeat(1 << 19));
    refused(inline(&text, &[], b""), SparseError::TooLong);
    // One without a line feed.
    refused(inline(&"1".repeat(2 << 20), &[], b""), SparseError::TooLong);
}

#[test]
fn what_cannot_be_sparse() {
    refused(
        Tar::new().pax(&[("GNU.sparse.map", b"")]).pax(&[("GNU.sparse.major", b"2")]).file("n", b""),
        SparseError::Version,
    );
    refused(Tar::new().pax(&[("GNU.sparse.major", b"1")]).file("n", b""), SparseError::Version);
    refused(
        Tar::new().pax(&[("GNU.sparse.map", b"0,0")]).head(Head::ustar(b'5', "n")),
        SparseError::NotAFile,
    );
    refused(
        Tar::new().pax(&[("GNU.sparse.map", b"0,0")]).head(Head::ustar(b'1', "n").link(b"t")),
        SparseError::NotAFile,
    );
    let tar =
        Tar::new().pax(&[("GNU.sparse.map", b"0,9")]).entry(Head::ustar(b'A', "n"), b"acl").file("next", b"");
    assert_eq!(read(tar.end().as_slice()).unwrap()[0].0.kind, EntryKind::Unsupported { typeflag: b'A' });
    refused(Tar::new().head(Head::ustar(b'S', "n")), SparseError::Dialect);
    refused(Tar::new().head(Head::v7(b'S', "n")), SparseError::Dialect);
}

#[test]
fn truncated_maps() {
    let inline_tar = version_1_0(&MAP).0;
    let map: Vec<_> = (0..50).map(|n| (n, 1)).collect();
    let old_tar = old_gnu(&map, 50, 50).raw(&[1; 50]).pad().0;
    for (tar, begin, end) in [(inline_tar, 1536, 2048), (old_tar, 512, 2048)] {
        for cut in [begin, begin + 1, begin + 511, end - 1] {
            let mut tape = Recorder::default();
            let mut reader = LayerReader::with_tape(&tar[..cut], &mut tape);
            match reader.next_entry() {
                Err(LayerError::Truncated { at, missing }) => {
                    assert_eq!(at.offset, cut as u64);
                    assert_eq!((at.offset + missing) % 512, 0);
                    assert_eq!(at.path.unwrap().as_bytes(), b"n");
                }
                other => panic!("{cut}: {other:?}"),
            }
            reader.finish().unwrap();
            assert_eq!(tape.replay(), &tar[..cut]);
        }
    }
}
