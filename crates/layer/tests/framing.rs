//! Where entries, contents and the archive end, and what the tape hears of it.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{self, Read};

use common::{Event, Head, Recorder, Tar, Trickle, paths, read, read_one};
use nydus_convert_layer::{BLOCK, EntryKind, Item, LayerError, LayerReader, Tape};

#[test]
fn ends_of_archives() {
    let one = || Tar::new().file("a", b"content");
    let zeros = [0; BLOCK];
    for tar in [
        one().end(),
        one().0,
        one().raw(&zeros).0,
        // Without the filling of the last block.
        one().0[..BLOCK + 7].to_vec(),
        one().0[..BLOCK + 100].to_vec(),
        one().raw(&[0; 20 * BLOCK]).0,
        one().raw(&[0; 2 * BLOCK]).raw(b"junk").0,
        one().raw(&[0; 2 * BLOCK]).file("ignored", b"").0,
        one().raw(&[0; 3 * BLOCK]).file("ignored", b"").0,
        one().raw(&[0; 2 * BLOCK]).raw(&[0; 100]).0,
    ] {
        assert_eq!(read_one(&tar).1, b"content");
    }
    for nothing in [&[][..], &zeros, &[0; 2 * BLOCK], &[0; 10_240]] {
        assert_eq!(read(nothing).unwrap(), []);
    }
    // One block of zeros does not end an archive.
    assert_eq!(paths(&one().raw(&zeros).file("b", b"").raw(&zeros).file("c", b"").end()), ["/a", "/b", "/c"]);
    assert_eq!(paths(&Tar::new().raw(&zeros).file("b", b"").end()), ["/b"]);
    // Nor does one inside a group of headers.
    assert_eq!(paths(&Tar::new().long(b'L', b"long").raw(&zeros).file("b", b"").end()), ["/long"]);
}

#[test]
fn not_a_tar() {
    let gzip = [&[0x1f, 0x8b, 8, 0][..], &[7; 2000]].concat();
    for bytes in [&b"x"[..], &[1; 511], &[1; 512], &[0; 100]] {
        let result = read(bytes);
        assert!(matches!(result, Err(LayerError::NotATar { offset: 0 })), "{result:?}");
    }
    assert!(matches!(read(&gzip[..]), Err(LayerError::OtherFormat { name: "compressed with gzip" })));
    // What may be an EROFS image is none without its superblock.
    let erofs = |magic: &[u8]| [&[0; 2 * BLOCK][..], magic, &[0; 2 * BLOCK]].concat();
    assert!(matches!(
        read(&erofs(&[0xe2, 0xe1, 0xf5, 0xe0])[..]),
        Err(LayerError::OtherFormat { name: "an EROFS image" })
    ));
    assert!(read(&erofs(&[0xe2, 0xe1, 0xf5, 0xe1])[..]).is_ok());
    let result = read(&[&[0; BLOCK][..], &[1; BLOCK]].concat()[..]);
    assert!(matches!(result, Err(LayerError::NotATar { offset: 512 })), "{result:?}");
}

#[test]
fn bad_headers_later() {
    for (tar, bad) in [
        (Tar::new().file("a", b"x").raw(&[1; BLOCK]), 1024),
        (Tar::new().file("a", b"x").raw(&[0; BLOCK]).raw(&[1; BLOCK]), 1536),
        (Tar::new().long(b'L', b"long").raw(&[1; BLOCK]), 1024),
    ] {
        let result = read(tar.end().as_slice());
        assert!(matches!(result, Err(LayerError::BadHeader { offset }) if offset == bad), "{result:?}");
    }
}

#[test]
fn truncation_is_an_error_wherever_it_hits() {
    let tar = Tar::new()
        .file("first", b"1")
        .long(b'L', b"long name")
        .pax(&[("uid", b"1")])
        .entry(Head::ustar(b'0', "x"), &[7; 1000])
        .0;
    let whole = read(tar.as_slice()).unwrap();
    // Behind these bytes a header could begin, or only filling is missing.
    let boundaries: Vec<_> = (0..=tar.len()).filter(|&end| read(&tar[..end]).is_ok()).collect();
    let fine = |range: std::ops::RangeInclusive<usize>| range;
    let expected: Vec<_> = [
        fine(0..=0),
        fine(513..=1024),
        fine(1536 + 10..=2048),
        fine(2560 + 8..=3072),
        fine(3584 + 1000..=tar.len()),
    ]
    .into_iter()
    .flatten()
    .collect();
    assert_eq!(boundaries, expected);
    assert_eq!(whole.len(), 2);

    match read(&tar[..3584 + 600]) {
        Err(LayerError::Truncated { at, missing }) => {
            assert_eq!(
                (at.offset, at.path.unwrap().as_bytes(), missing),
                (3584 + 600, &b"long name"[..], 400)
            );
        }
        other => panic!("{other:?}"),
    }
    match read(&tar[..1024 + 100]) {
        Err(LayerError::Truncated { at, missing }) => {
            assert_eq!((at.offset, at.path, missing), (1124, None, 412))
        }
        other => panic!("{other:?}"),
    }
    // Also when nobody asks for the content.
    let mut reader = LayerReader::new(&tar[..3584 + 600]);
    reader.next_entry().unwrap();
    reader.next_entry().unwrap();
    assert!(matches!(reader.next_entry(), Err(LayerError::Truncated { missing: 400, .. })));
    assert!(matches!(reader.next_entry(), Err(LayerError::Stopped { .. })));
    assert!(matches!(reader.read_content(&mut [0; 1]), Err(LayerError::Stopped { .. })));
}

#[test]
fn content_where_there_should_be_none() {
    let heads = || {
        [
            Head::ustar(b'1', "n").link(b"t"),
            Head::ustar(b'2', "n").link(b"t"),
            Head::ustar(b'3', "n").device(1, 1),
            Head::ustar(b'4', "n").device(1, 1),
            Head::ustar(b'5', "n"),
            Head::ustar(b'6', "n"),
            Head::v7(0, "n/"),
        ]
    };
    let two_blocks = [7; 600];
    let after_zeros = [&[0; 700][..], &[1; 10]].concat();
    for head in heads() {
        for content in [&b"data"[..], &two_blocks, &after_zeros, &[0; 5]] {
            // There it is.
            let tar = Tar::new().entry(head.clone(), content).file("next", b"own").end();
            let entries = read(tar.as_slice()).unwrap();
            let found: Vec<_> =
                entries.iter().map(|(entry, content)| (entry.path.as_bytes(), &content[..])).collect();
            assert_eq!(found, [(&b"n"[..], &b""[..]), (b"next", b"own")]);
            // The size was idle.
            let idle = head.clone().size(content.len() as u64);
            assert_eq!(paths(&Tar::new().head(idle.clone()).file("next", b"own").end()), ["/n", "/next"]);
            assert_eq!(paths(&Tar::new().head(idle.clone()).end()), ["/n"]);
            assert_eq!(paths(&Tar::new().head(idle.clone()).raw(&[0; BLOCK]).0), ["/n"]);
            assert_eq!(paths(&Tar::new().head(idle).0), ["/n"]);
        }
        // A PAX record says the size too.
        let tar = Tar::new().pax(&[("size", b"4")]).head(head).raw(b"data").pad().file("next", b"").end();
        assert_eq!(paths(&tar), ["/n", "/next"]);
    }
    // The data ends the stream, its block not filled.
    let head = Head::ustar(b'2', "n").link(b"t").size(4);
    assert_eq!(paths(&Tar::new().head(head).raw(b"data").0), ["/n"]);
    // An idle size may be absurd.
    let idle = Head::ustar(b'2', "n").link(b"t").size(1 << 60);
    assert_eq!(paths(&Tar::new().head(idle).file("next", b"").end()), ["/n", "/next"]);
}

#[test]
fn content_of_types_that_nobody_reads() {
    for typeflag in [b'M', b'N', b'A', b'D', 0xff] {
        let inner = Tar::new().file("inner", b"").0;
        let tar = Tar::new().entry(Head::gnu(typeflag, "n"), &inner).file("next", b"").end();
        assert_eq!(paths(&tar), ["/n", "/next"]);
    }
    let tar = Tar::new().entry(Head::gnu(b'V', "a/../label"), &[1; 600]).file("next", b"").end();
    assert_eq!(paths(&tar), ["/next"]);
    let tar = Tar::new().pax(&[("size", b"600")]).head(Head::gnu(b'V', "label")).raw(&[1; 600]).pad();
    assert_eq!(paths(&tar.file("next", b"").end()), ["/next"]);
}

#[test]
fn a_size_in_a_record_overrides_the_header_of_the_entry_only() {
    let tar = Tar::new()
        .pax(&[("size", b"600")])
        .long(b'L', b"name")
        .head(Head::ustar(b'0', "x").size(0))
        .raw(&[7; 600])
        .pad()
        .file("next", b"z")
        .end();
    let entries = read(tar.as_slice()).unwrap();
    assert_eq!(entries[0].1, [7; 600]);
    assert_eq!(entries[0].0.path.as_bytes(), b"name");
    assert_eq!(entries[1].1, b"z");
}

#[test]
fn content_can_be_read_in_any_steps() {
    let content: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    let tar = Tar::new().file("small", b"abc").file("large", &content).file("last", b"xyz").end();
    for source_step in [1, 511, 4096, 1 << 20] {
        // A byte a call takes long: the small ones suffice.
        let tar = if source_step == 1 { &Tar::new().file("large", &content[..3000]).end()[..] } else { &tar };
        for step in [1, 7, 512, 100_000, 131_072, 400_000, 2_000_000] {
            let mut reader = LayerReader::new(Trickle { bytes: tar, step: source_step });
            while let Some(entry) = reader.next_entry().unwrap() {
                let EntryKind::Regular { size } = entry.kind else { panic!() };
                let size = size as usize;
                let mut read: Vec<u8> = Vec::new();
                let mut buffer = vec![0_u8; step];
                loop {
                    let count = reader.read_content(&mut buffer).unwrap();
                    read.extend(&buffer[..count]);
                    if count < step {
                        break;
                    }
                }
                assert_eq!(reader.read_content(&mut buffer).unwrap(), 0);
                assert_eq!(read.len(), size);
                if entry.path.as_bytes() == b"large" {
                    assert!(read == content[..size]);
                }
            }
            reader.finish().unwrap();
        }
    }
}

#[test]
fn left_content_is_passed_over() {
    let tar = Tar::new().file("a", &[1; 2000]).file("b", &[2; 2000]).file("c", b"3").end();
    let mut reader = LayerReader::new(tar.as_slice());
    let mut buffer = [0; 700];
    assert_eq!(reader.next_entry().unwrap().unwrap().offset, 0);
    assert_eq!(reader.read_content(&mut buffer).unwrap(), 700);
    assert_eq!(reader.next_entry().unwrap().unwrap().offset, 512 + 2048);
    assert_eq!(reader.next_entry().unwrap().unwrap().offset, 2 * (512 + 2048));
    assert_eq!(reader.read_content(&mut buffer).unwrap(), 1);
    assert_eq!(reader.next_entry().unwrap(), None);
    assert_eq!(reader.next_entry().unwrap(), None);
    assert_eq!(reader.read_content(&mut buffer).unwrap(), 0);
}

#[test]
fn finish_reads_the_stream_to_its_end() {
    let tar = Tar::new().file("a", &[1; 300_000]).end();
    let stream = [&tar[..], &[0; 5000], b"junk", &[9; 300_000]].concat();
    for entries in 0..3 {
        let mut reader = LayerReader::new(stream.as_slice());
        (0..entries).for_each(|_| drop(reader.next_entry().unwrap()));
        assert_eq!(reader.finish().unwrap(), b"");
    }
}

#[test]
fn the_tape_hears_what_the_bytes_are() {
    let mut tape = Recorder::default();
    let tar = Tar::new()
        .pax(&[("uid", b"1")])
        .file("a", b"content")
        .entry(Head::ustar(b'5', "d"), b"odd")
        .raw(&[0; BLOCK])
        .file("b", &[1; BLOCK])
        .end();
    let stream = [&tar[..], &[0; 3 * BLOCK], b"junk"].concat();
    let mut reader = LayerReader::with_tape(stream.as_slice(), &mut tape);
    while reader.next_entry().unwrap().is_some() {}
    reader.finish().unwrap();
    assert_eq!(
        tape.names(),
        [
            "header",
            "extension",
            "padding",
            "header",
            "content",
            "padding",
            "header",
            "opaque",
            "padding",
            "zeros",
            "header",
            "content",
            "zeros",
            "opaque"
        ]
    );
    assert_eq!(tape.0.last(), Some(&Event::Opaque(b"junk".to_vec())));
    assert_eq!(tape.0[tape.0.len() - 2], Event::ZeroBlocks(3));
    assert_eq!(tape.replay(), stream);
}

/// Fails after some bytes, and is interrupted before each piece.
struct Broken<'a> {
    bytes: &'a [u8],
    interrupt: bool,
}

impl Read for Broken<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.interrupt = !self.interrupt;
        if self.interrupt {
            return Err(io::ErrorKind::Interrupted.into());
        }
        match self.bytes.read(out)? {
            0 => Err(io::Error::other("cable")),
            count => Ok(count),
        }
    }
}

#[test]
fn errors_of_the_source() {
    let tar = Tar::new().file("a", &[1; 10_000]).0;
    let mut reader = LayerReader::new(Broken { bytes: &tar, interrupt: false });
    reader.next_entry().unwrap();
    assert_eq!(reader.read_content(&mut [0; 20_000]).unwrap(), 10_000);
    match reader.next_entry() {
        Err(LayerError::Read { offset, source }) => {
            assert_eq!((offset, source.to_string()), (tar.len() as u64, "cable".to_owned()));
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(reader.next_entry(), Err(LayerError::Stopped { .. })));
    assert!(matches!(reader.finish(), Err(LayerError::Read { .. })));
}

/// The next item: a path, or what is unclaimed.
fn item<R: Read, T: Tape>(reader: &mut LayerReader<R, T>) -> Result<String, Vec<u8>> {
    match reader.next_item().unwrap().unwrap() {
        Item::Entry(entry) => Ok(entry.path.to_string()),
        Item::Unclaimed => Err(stored(reader)),
    }
}

fn stored<R: Read, T: Tape>(reader: &mut LayerReader<R, T>) -> Vec<u8> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 300]);
    loop {
        match reader.read_stored(&mut buffer).unwrap() {
            0 => return bytes,
            count => bytes.extend(&buffer[..count]),
        }
    }
}

#[test]
fn items_leave_nothing_out() {
    let tar = Tar::new()
        .file("left", &[1; 1000])
        .file("half", &[2; 1000])
        .file("read", &[3; 1000])
        .entry(Head::ustar(b'5', "d"), b"behind a directory")
        .entry(Head::gnu(b'V', "label"), b"behind a label")
        .file("last", b"")
        .end();
    let stream = [&tar[..], &[0; 3 * BLOCK], b"junk"].concat();
    let mut tape = Recorder::default();
    let mut reader = LayerReader::with_tape(&stream[..], &mut tape);
    assert_eq!(item(&mut reader).unwrap(), "/left");
    assert_eq!(item(&mut reader).unwrap_err(), [1; 1000]);
    assert_eq!(item(&mut reader).unwrap(), "/half");
    assert_eq!(reader.read_content(&mut [0; 400]).unwrap(), 400);
    assert_eq!(item(&mut reader).unwrap_err(), [2; 600]);
    assert_eq!(item(&mut reader).unwrap(), "/read");
    assert_eq!(stored(&mut reader), [3; 1000]);
    assert_eq!(reader.read_content(&mut [0; 400]).unwrap(), 0);
    assert_eq!(item(&mut reader).unwrap(), "/d");
    assert_eq!(item(&mut reader).unwrap_err(), b"behind a directory");
    assert_eq!(item(&mut reader).unwrap_err(), b"behind a label");
    assert_eq!(item(&mut reader).unwrap(), "/last");
    assert_eq!(item(&mut reader).unwrap_err(), b"junk");
    assert_eq!(reader.next_item().unwrap(), None);
    assert_eq!(reader.next_item().unwrap(), None);
    reader.finish().unwrap();
    assert_eq!(tape.replay(), stream);

    // What nobody reads is announced once.
    let mut reader = LayerReader::with_tape(&stream[..], Recorder::default());
    let mut kinds = Vec::new();
    while let Some(item) = reader.next_item().unwrap() {
        kinds.push(if matches!(item, Item::Entry(_)) { 'e' } else { 'u' });
    }
    assert_eq!(kinds.iter().collect::<String>(), "eueueueuueu");
    let (_, tape) = reader.finish_with_tape().unwrap();
    assert_eq!(tape.replay(), stream);
}

/// Counts bytes in the caller's hands, bytes passed over, and holes.
#[derive(Default)]
struct Hands([u64; 3]);

impl Tape for Hands {
    fn header(&mut self, _: &[u8; BLOCK]) {}
    fn extension(&mut self, _: &[u8]) {}
    fn padding(&mut self, _: &[u8]) {}
    fn zero_blocks(&mut self, _: u64) {}

    fn content(&mut self, bytes: &[u8]) {
        self.0[0] += bytes.len() as u64;
    }

    fn unclaimed(&mut self, bytes: &[u8]) {
        self.0[0] += bytes.len() as u64;
    }

    fn skipped(&mut self, bytes: &[u8]) {
        self.0[1] += bytes.len() as u64;
    }

    fn opaque(&mut self, bytes: &[u8]) {
        self.0[1] += bytes.len() as u64;
    }

    fn hole(&mut self, length: u64) {
        self.0[2] += length;
    }
}

#[test]
fn the_tape_hears_whether_bytes_are_read() {
    let map = b"1\n100\n5\n";
    let sparse = || {
        let sparse: [(&str, &[u8]); 3] =
            [("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"1000")];
        let content = Tar::new().raw(map).pad().raw(b"holey").0;
        Tar::new().pax(&sparse).file("s", &content).entry(Head::ustar(b'5', "d"), b"odd").end()
    };
    type Use<'a> = &'a dyn Fn(&mut LayerReader<&[u8], Hands>);
    let heard = |use_it: Use<'_>| {
        let tar = sparse();
        let mut reader = LayerReader::with_tape(&tar[..], Hands::default());
        reader.next_item().unwrap();
        use_it(&mut reader);
        while reader.next_item().unwrap().is_some() {}
        reader.finish_with_tape().unwrap().1.0
    };
    assert_eq!(heard(&|_| {}), [0, 8, 0]);
    assert_eq!(heard(&|reader| assert_eq!(reader.read_content(&mut [0; 50]).unwrap(), 50)), [0, 8, 50]);
    assert_eq!(heard(&|reader| assert_eq!(reader.read_content(&mut [0; 102]).unwrap(), 102)), [2, 6, 100]);
    assert_eq!(heard(&|reader| assert_eq!(reader.read_content(&mut [0; 2000]).unwrap(), 1000)), [5, 3, 995]);
    assert_eq!(heard(&|reader| assert_eq!(stored(reader), b"holey")), [5, 3, 0]);
    assert_eq!(
        heard(&|reader| {
            stored(reader);
            assert_eq!(item(reader).unwrap(), "/d");
            assert_eq!(item(reader).unwrap_err(), b"odd");
        }),
        [8, 0, 0]
    );
}

#[test]
fn salvage_gives_all_that_was_not_told() {
    let good = || Tar::new().file("a", &[1; 100]);
    let cut = |tar: Tar, length: usize| tar.0[..length].to_vec();
    for (bytes, salvaged) in [
        // A bad header and what follows; a cut one; no tar at all.
        (good().raw(&[1; 600]).0, 1024),
        (cut(good().file("b", b""), 1024 + 300), 1024),
        (vec![9; 700], 0),
        // Content that ends too early: its header was told.
        (cut(good().file("b", &[2; 5000]), 1024 + 512 + 3000), 1024 + 512),
        // An entry whose header is bad, and its content.
        (good().entry(Head::ustar(b'0', "../b"), &[2; 700]).0, 1024 + 512),
        // An extension too large: nothing of its body was told.
        (good().entry(Head::ustar(b'x', "x"), &vec![b'x'; 2 << 20]).0, 1024 + 512),
        // A bad record: its body was.
        (good().entry(Head::ustar(b'x', "x"), &[b'x'; 700]).raw(b"more").0, 1024 + 512 + 1024),
    ] {
        let mut tape = Recorder::default();
        let mut reader = LayerReader::with_tape(&bytes[..], &mut tape);
        let mut run = || -> Result<(), LayerError> {
            while reader.next_item()?.is_some() {
                while reader.read_content(&mut [0; 4000])? > 0 {}
            }
            Ok(())
        };
        run().unwrap_err();
        assert!(matches!(reader.next_item(), Err(LayerError::Stopped { .. })));
        reader.salvage();
        assert_eq!(reader.read_content(&mut [0; 10]).unwrap(), 0);
        assert!(item(&mut reader).unwrap_err() == bytes[salvaged..], "from {salvaged} on");
        assert_eq!(reader.next_item().unwrap(), None);
        reader.finish().unwrap();
        assert!(tape.replay() == bytes);
    }
}
