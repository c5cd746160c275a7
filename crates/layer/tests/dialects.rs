//! What each dialect says: names, numbers, types.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Head, Tar, paths, read, read_one, record};
use nydus_convert_layer::{EntryKind, Field, LayerError, NameError};
use nydus_convert_rafs::{DeviceNumber, EntryPath, PathError, Timestamp};

fn path(text: impl AsRef<[u8]>) -> EntryPath {
    EntryPath::parse(text.as_ref()).unwrap()
}

const fn at(seconds: i64, nanos: u32) -> Timestamp {
    Timestamp { seconds, nanos }
}

#[test]
fn every_type() {
    let device = EntryKind::CharDevice(DeviceNumber { major: 1, minor: 3 });
    let block_device = EntryKind::BlockDevice(DeviceNumber { major: 8, minor: 17 });
    let regular = || EntryKind::Regular { size: 0 };
    let symlink = EntryKind::Symlink { target: b"../t".to_vec() };
    let hard_link = EntryKind::HardLink { target: path("usr/t") };
    for (head, kind) in [
        (Head::ustar(b'0', "n"), regular()),
        (Head::ustar(0, "n"), regular()),
        (Head::ustar(b'7', "n"), regular()),
        (Head::v7(0, "n"), regular()),
        (Head::v7(b'0', "n/"), regular()),
        (Head::v7(0, "n/"), EntryKind::Directory),
        (Head::ustar(0, "n//"), EntryKind::Directory),
        (Head::ustar(b'5', "n"), EntryKind::Directory),
        (Head::ustar(b'5', "./n/"), EntryKind::Directory),
        (Head::gnu(b'D', "n/"), EntryKind::Directory),
        (Head::ustar(b'1', "n").link(b"./usr//t"), hard_link.clone()),
        (Head::ustar(b'1', "n").link(b"/usr/t"), hard_link),
        (Head::v7(b'2', "n").link(b"../t"), symlink),
        (Head::ustar(b'3', "n").device(1, 3), device),
        (Head::gnu(b'4', "n").device(8, 17), block_device),
        (Head::ustar(b'3', "n"), EntryKind::CharDevice(DeviceNumber::default())),
        (Head::v7(b'3', "n").put(329, b"junk"), EntryKind::CharDevice(DeviceNumber::default())),
        (Head::ustar(b'6', "n"), EntryKind::Fifo),
        (Head::ustar(b'6', "n").device(0, 0), EntryKind::Fifo),
        (Head::ustar(b'6', "n").put(329, b"blank   "), EntryKind::Fifo),
        (Head::gnu(b'M', "n"), EntryKind::Unsupported { typeflag: b'M' }),
        (Head::gnu(b'N', "n"), EntryKind::Unsupported { typeflag: b'N' }),
        (Head::ustar(b'A', "n"), EntryKind::Unsupported { typeflag: b'A' }),
        (Head::ustar(0xff, "n"), EntryKind::Unsupported { typeflag: 0xff }),
    ] {
        let (entry, content) = read_one(&Tar::new().head(head).end());
        assert_eq!(entry.path, path("n"));
        assert_eq!(entry.kind, kind);
        assert_eq!((entry.offset, content.as_slice()), (0, &b""[..]));
    }
}

#[test]
fn names_of_headers() {
    let name = "n".repeat(100);
    let prefix = "p".repeat(155);
    let star_prefix = "p".repeat(131);
    let gnu_times = Head::gnu(b'0', "n").put(345, b"00000000001\0").put(357, b"00000000002\0");
    for (head, expected) in [
        (Head::v7(b'0', &name), name.clone()),
        (Head::ustar(b'0', &name).put(345, prefix.as_bytes()), format!("{prefix}/{name}")),
        (Head::ustar(b'0', "n").put(345, b"a/b"), "a/b/n".to_owned()),
        // Any version will do, the magic decides.
        (Head::ustar(b'0', "n").put(263, b"\0\0").put(345, b"a"), "a/n".to_owned()),
        (Head::v7(b'0', "n").put(345, b"a/b"), "n".to_owned()),
        // star: times where ustar has the end of the prefix.
        (
            Head::ustar(b'0', "n")
                .put(345, star_prefix.as_bytes())
                .put(476, b"00000000001 00000000002 ")
                .put(508, b"tar\0"),
            format!("{star_prefix}/n"),
        ),
        // GNU: times, unless an old Go wrote a prefix there.
        (gnu_times, "n".to_owned()),
        (Head::gnu(b'0', "n").put(345, b"usr/share/old-go"), "usr/share/old-go/n".to_owned()),
        (Head::gnu(b'0', "n").put(345, b"usr/\xc3\xa9"), "n".to_owned()),
        (Head::gnu(b'0', "n").put(345, b"000000000001abc/d"), "000000000001abc/d/n".to_owned()),
        (Head::gnu(b'0', "n").put(345, b"00000000001 \0junk"), "n".to_owned()),
        (Head::gnu(b'0', "n").base_256(345, 12, -1).base_256(357, 12, 1 << 40), "n".to_owned()),
    ] {
        let (entry, _) = read_one(&Tar::new().head(head).end());
        assert_eq!(entry.path, path(expected));
    }
}

#[test]
fn names_are_bytes() {
    for name in
        [&b"\xff\xfe"[..], b"new\nline", b" ", b"-", b"\x01", "größe".as_bytes(), b".wh.x", b".wh..wh..opq"]
    {
        let (entry, _) = read_one(&Tar::new().file(name, b"").end());
        assert_eq!(entry.path.as_bytes(), name);
        let tar = Tar::new().pax(&[("path", name), ("linkpath", name)]).head(Head::ustar(b'2', "x"));
        let (entry, _) = read_one(&tar.end());
        assert_eq!(entry.path.as_bytes(), name);
        assert_eq!(entry.kind, EntryKind::Symlink { target: name.to_vec() });
    }
}

#[test]
fn names_and_targets_come_from_the_most_specific_place() {
    let long = "l/".repeat(200);
    let link = |tar: Tar| tar.head(Head::ustar(b'2', "name").put(345, b"prefix").link(b"target")).end();
    for (tar, name, target) in [
        (Tar::new(), "prefix/name", "target"),
        (Tar::new().pax(&[("path", b"p"), ("linkpath", b"q")]), "p", "q"),
        (Tar::new().pax(&[("path", b""), ("linkpath", b"")]), "prefix/name", "target"),
        (Tar::new().pax(&[("path", b"a"), ("path", b"b")]), "b", "target"),
        (Tar::new().pax(&[("path", b"a"), ("path", b"")]), "prefix/name", "target"),
        (Tar::new().long(b'L', long.as_bytes()), &long, "target"),
        (Tar::new().long(b'K', b"k"), "prefix/name", "k"),
        (Tar::new().long(b'K', b"k").long(b'L', b"l"), "l", "k"),
        (Tar::new().long(b'L', b"l").long(b'L', b"m"), "m", "target"),
        (Tar::new().long(b'L', b""), "prefix/name", "target"),
        (Tar::new().long(b'L', b"l").pax(&[("path", b"p")]), "l", "target"),
        (Tar::new().pax(&[("path", b"p"), ("linkpath", b"q")]).long(b'K', b"k"), "p", "k"),
        // The second local header replaces the first.
        (Tar::new().pax(&[("path", b"p")]).pax(&[("linkpath", b"q")]), "prefix/name", "q"),
        (Tar::new().entry(Head::ustar(b'X', "sun"), &record(b"path", b"p")), "p", "target"),
        // Global records mean nothing.
        (Tar::new().global(&[("path", b"g"), ("linkpath", b"h")]), "prefix/name", "target"),
        (Tar::new().global(&[("path", b"g")]).pax(&[("path", b"p")]), "p", "target"),
        (Tar::new().pax(&[("path", b"p")]).global(&[("comment", b"c")]), "p", "target"),
    ] {
        let (entry, _) = read_one(&link(tar));
        assert_eq!(entry.path, path(name));
        assert_eq!(entry.kind, EntryKind::Symlink { target: target.into() });
    }
    // A body without the final NUL, and one with bytes after it.
    for body in [&b"long"[..], b"long\0rest"] {
        let tar = Tar::new().entry(Head::gnu(b'L', "././@LongLink"), body).file("x", b"");
        assert_eq!(paths(&tar.end()), ["/long"]);
    }
}

#[test]
fn extensions_end_with_their_entry() {
    let tar = Tar::new()
        .long(b'L', b"first")
        .long(b'K', b"target")
        .pax(&[("uid", b"7"), ("SCHILY.xattr.user.a", b"1")])
        .head(Head::ustar(b'2', "x"))
        .head(Head::ustar(b'2', "second").link(b"own"));
    let entries = read(tar.end().as_slice()).unwrap();
    assert_eq!(entries[0].0.metadata.uid, 7);
    let second = &entries[1].0;
    assert_eq!(second.path, path("second"));
    assert_eq!(second.kind, EntryKind::Symlink { target: b"own".to_vec() });
    assert_eq!(second.metadata.uid, 0);
    assert!(second.metadata.xattrs.is_empty());
    // What stands before a volume label belongs to it.
    let tar = Tar::new().long(b'L', b"label").head(Head::gnu(b'V', "volume")).file("x", b"");
    assert_eq!(paths(&tar.end()), ["/x"]);
    // Extension headers without an entry, at the end.
    assert_eq!(paths(&Tar::new().file("x", b"").long(b'L', b"nobody").end()), ["/x"]);
}

#[test]
fn global_records_change_no_entry() {
    let tar = Tar::new()
        .global(&[("mtime", b"5.5"), ("uid", b"1"), ("size", b"1"), ("SCHILY.xattr.user.all", b"g")])
        .file("a", b"five!")
        .pax(&[("uid", b"2"), ("SCHILY.xattr.user.own", b"l")])
        .file("b", b"")
        .global(&[("uid", b""), ("gid", b"3"), ("path", b"evil")])
        .file("c", b"")
        .global(&[("comment", b"the last")]);
    let entries = read(tar.end().as_slice()).unwrap();
    let facts: Vec<_> = entries
        .iter()
        .map(|(entry, content)| {
            let metadata = &entry.metadata;
            let names: Vec<_> =
                metadata.xattrs.iter().map(|(name, _)| name.escape_ascii().to_string()).collect();
            (
                entry.path.to_string(),
                metadata.mtime,
                metadata.uid,
                metadata.gid,
                names.join(" "),
                content.len(),
            )
        })
        .collect();
    assert_eq!(
        facts,
        [
            ("/a".to_owned(), at(0, 0), 0, 0, String::new(), 5),
            ("/b".to_owned(), at(0, 0), 2, 0, "user.own".to_owned(), 0),
            ("/c".to_owned(), at(0, 0), 0, 0, String::new(), 0),
        ]
    );
}

#[test]
fn numbers() {
    let head = Head::ustar(b'0', "n").mode(0o104_755).owner(1000, 2000).mtime(1_700_000_000);
    let (entry, _) = read_one(&Tar::new().head(head.clone()).end());
    let metadata = &entry.metadata;
    assert_eq!((metadata.mode, metadata.uid, metadata.gid), (0o4755, 1000, 2000));
    assert_eq!(metadata.mtime, at(1_700_000_000, 0));

    let binary = head.base_256(108, 8, 0xffff_ffff).base_256(116, 8, 0x1_0000).base_256(136, 12, -5);
    let (entry, _) = read_one(&Tar::new().head(binary.clone()).end());
    let metadata = &entry.metadata;
    assert_eq!((metadata.uid, metadata.gid, metadata.mtime), (u32::MAX, 0x1_0000, at(-5, 0)));

    let records: [(&str, &[u8]); 3] = [("uid", b"4294967295"), ("gid", b"0070"), ("mtime", b"-0.25")];
    let (entry, _) = read_one(&Tar::new().pax(&records).head(binary).end());
    let metadata = &entry.metadata;
    assert_eq!((metadata.uid, metadata.gid, metadata.mtime), (u32::MAX, 70, at(-1, 750_000_000)));

    // What a record overrides may be anything.
    let junk = Head::ustar(b'0', "n").put(108, b"no digit").put(136, b"nor is this.");
    let (entry, _) = read_one(&Tar::new().pax(&[("uid", b"1"), ("mtime", b"2")]).head(junk).end());
    assert_eq!((entry.metadata.uid, entry.metadata.mtime), (1, at(2, 0)));

    // Blank fields are zeros.
    let blank = Head::ustar(b'6', "n").put(100, &[b' '; 48]).put(329, &[0; 16]);
    let (entry, _) = read_one(&Tar::new().head(blank).end());
    assert_eq!(entry.metadata, Default::default());
}

#[test]
fn devices() {
    let number =
        |head, records: &[(&str, &[u8])]| match read_one(&Tar::new().pax(records).head(head).end()).0.kind {
            EntryKind::CharDevice(number) | EntryKind::BlockDevice(number) => (number.major, number.minor),
            kind => panic!("{kind:?}"),
        };
    let head = || Head::ustar(b'3', "n").device(4, 5);
    assert_eq!(number(head(), &[]), (4, 5));
    assert_eq!(
        number(head(), &[("SCHILY.devmajor", b"300"), ("SCHILY.devminor", b"4000000")]),
        (300, 4_000_000)
    );
    assert_eq!(number(head().base_256(337, 8, 0xffff_ffff), &[]), (4, u32::MAX));
}

#[test]
fn numbers_out_of_range() {
    let head = || Head::ustar(b'3', "n").owner(1, 1);
    for (tar, field) in [
        (Tar::new().pax(&[("uid", b"4294967296")]).head(head()), Field::Uid),
        (Tar::new().pax(&[("uid", b"-1")]).head(head()), Field::Uid),
        (Tar::new().head(head().base_256(108, 8, -2)), Field::Uid),
        (Tar::new().head(head().base_256(108, 8, 1 << 32)), Field::Uid),
        (Tar::new().head(head().put(108, b"000008 ")), Field::Uid),
        (Tar::new().pax(&[("gid", b"nobody")]).head(head()), Field::Gid),
        (Tar::new().head(head().put(100, b"rw-r--r-")), Field::Mode),
        (Tar::new().pax(&[("mtime", b"9223372036854775808")]).head(head()), Field::Mtime),
        (Tar::new().pax(&[("mtime", b"yesterday")]).head(head()), Field::Mtime),
        (Tar::new().head(head().base_256(136, 12, 1 << 70)), Field::Mtime),
        (Tar::new().head(head().put(329, b"x")), Field::DeviceMajor),
        (Tar::new().head(head().base_256(337, 8, -1)), Field::DeviceMinor),
        (Tar::new().pax(&[("SCHILY.devminor", b"4294967296")]).head(head()), Field::DeviceMinor),
        (Tar::new().pax(&[("size", b"-1")]).head(head()), Field::Size),
        (Tar::new().head(head().base_256(124, 12, -1)), Field::Size),
        (Tar::new().head(head().put(124, b"1 TiB")), Field::Size),
    ] {
        let tar = tar.end();
        let offset = tar.len() as u64 - 3 * 512;
        match read(tar.as_slice()) {
            Err(LayerError::BadNumber { at, field: found, .. }) => {
                assert_eq!((found, at.offset, at.path), (field, offset, Some(path("n"))));
            }
            other => panic!("{field:?}: {other:?}"),
        }
    }
}

#[test]
fn names_are_cleaned() {
    for (name, cleaned) in [(&b"a/../b"[..], "b"), (b"./x/./y/..", "x"), (b"a/b/../../c", "c"), (b"a/..", "")]
    {
        let (entry, _) = read_one(&Tar::new().head(Head::ustar(b'0', name)).end());
        assert_eq!(entry.path, path(cleaned));
        let (entry, _) = read_one(&Tar::new().head(Head::ustar(b'1', "link").link(name)).end());
        assert_eq!(entry.kind, EntryKind::HardLink { target: path(cleaned) });
    }
}

#[test]
fn names_that_cannot_be() {
    let long = "d/".repeat(2048);
    let parent = |error: &NameError| matches!(error, NameError::Path(PathError::LeavesRoot { .. }));
    let nul = |error: &NameError| matches!(error, NameError::Path(PathError::Nul { .. }));
    for name in [&b".."[..], b"../x", b"a/../../b", b"/..", b"./../x"] {
        let tar = Tar::new().file("ok", b"content").head(Head::ustar(b'0', name)).end();
        match read(tar.as_slice()) {
            Err(LayerError::BadName { offset: 1024, source }) => assert!(parent(&source)),
            other => panic!("{other:?}"),
        }
        let tar = Tar::new().head(Head::ustar(b'1', "link").link(name)).end();
        match read(tar.as_slice()) {
            Err(LayerError::BadLinkTarget { at, source }) => {
                assert_eq!((at.offset, at.path), (0, Some(path("link"))));
                assert!(parent(&source));
            }
            other => panic!("{other:?}"),
        }
        // A symbolic link may point anywhere.
        read_one(&Tar::new().head(Head::ustar(b'2', "link").link(name)).end());
    }
    let error = |tar: Tar| read(tar.end().as_slice()).unwrap_err();
    match error(Tar::new().pax(&[("path", b"a\0b")]).file("x", b"")) {
        LayerError::BadName { offset: 1024, source } => assert!(nul(&source)),
        other => panic!("{other:?}"),
    }
    for typeflag in [b'1', b'2'] {
        match error(Tar::new().pax(&[("linkpath", b"a\0b")]).head(Head::ustar(typeflag, "x"))) {
            LayerError::BadLinkTarget { source, .. } => assert!(nul(&source)),
            other => panic!("{other:?}"),
        }
    }
    let empty = error(Tar::new().head(Head::ustar(b'2', "x")));
    assert!(matches!(empty, LayerError::BadLinkTarget { source: NameError::Empty, .. }), "{empty:?}");

    // 2048 components of one byte each, without the last slash: the longest name there can be.
    read_one(&Tar::new().long(b'L', &long.as_bytes()[..4095]).file("x", b"").end());
    match error(Tar::new().long(b'L', [&long.as_bytes()[..4095], b"d"].concat().as_slice()).file("x", b"")) {
        LayerError::BadName { source: NameError::TooLong { length: 4096 }, .. } => {}
        other => panic!("{other:?}"),
    }
    match error(Tar::new().long(b'L', format!("{long}d").as_bytes()).file("x", b"")) {
        LayerError::BadName { source: NameError::TooLong { length: 4097 }, .. } => {}
        other => panic!("{other:?}"),
    }
    match error(Tar::new().pax(&[("linkpath", format!("{long}d").as_bytes())]).head(Head::ustar(b'1', "x"))) {
        LayerError::BadLinkTarget { source: NameError::TooLong { length: 4097 }, .. } => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn xattrs() {
    let capability = b"\x01\x00\x00\x02\n\x04\0\0=10 path=evil\n\0";
    let big = vec![0xa5; 65_536];
    let tar = Tar::new().pax(&[
        ("SCHILY.xattr.security.capability", capability),
        ("SCHILY.xattr.user.big", &big),
        ("SCHILY.xattr.user.empty", b""),
        ("LIBARCHIVE.xattr.user.%c3%a9", b"AAo"),
        ("SCHILY.xattr.user.both", b"schily"),
        ("LIBARCHIVE.xattr.user.both", b"bGlidg"),
        ("SCHILY.acl.access", b"user::rwx,group::r-x,other::r-x"),
        ("RHT.security.selinux", b"system_u"),
    ]);
    let (entry, _) = read_one(&tar.file("x", b"").end());
    let xattrs: Vec<_> = entry.metadata.xattrs.iter().collect();
    assert_eq!(
        xattrs,
        [
            (&b"security.capability"[..], &capability[..]),
            (b"user.big", &big),
            (b"user.both", b"schily"),
            (b"user.empty", b""),
            ("user.é".as_bytes(), b"\0\n"),
        ]
    );
    assert_eq!(entry.path, path("x"));
}

#[test]
fn checksums_of_both_kinds() {
    let name = b"\xff\x80name";
    let block = Head::ustar(b'0', name).block();
    let blank: Vec<u8> =
        block.iter().enumerate().map(|(i, b)| if (148..156).contains(&i) { b' ' } else { *b }).collect();
    let unsigned: i64 = blank.iter().map(|&byte| i64::from(byte)).sum();
    let signed: i64 = blank.iter().map(|&byte| i64::from(byte as i8)).sum();
    assert_ne!(unsigned, signed);
    for (sum, good) in
        [(unsigned, true), (signed, true), (unsigned + 1, false), (signed - 1, false), (0, false)]
    {
        for text in [format!("{sum:06o}\0 "), format!("{sum:7o}\0"), format!("{sum:o} \0")] {
            let mut block = block;
            block[148..156].fill(0);
            block[148..148 + text.len()].copy_from_slice(text.as_bytes());
            let result = read(&Tar::new().raw(&block).end()[..]);
            if good {
                assert_eq!(result.unwrap()[0].0.path.as_bytes(), name);
            } else {
                assert!(matches!(result, Err(LayerError::NotATar { offset: 0 })), "{result:?}");
            }
        }
    }
}
