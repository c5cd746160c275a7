//! Records: any bytes come back, and damaged records do no harm.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/pipeline.rs"]
mod pipeline;

use common::{Head, Tar, Trickle, pax_body, record};
use nydus_convert_layer::record::{Record, RecordError, Recorder};
use nydus_convert_layer::{BLOCK, LayerReader, Tape};
use pipeline::{Habits, convert, rebuild, round_trip, survive};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

/// Something that a tar can consist of.
#[derive(Debug, Clone)]
enum Piece {
    File(Vec<u8>, u64, u32),
    Directory(Vec<u8>, Vec<u8>),
    Link(u8, Vec<u8>, Vec<u8>),
    Long(u8, Vec<u8>),
    Times(u32, u32, u64),
    Records(Vec<(Vec<u8>, Vec<u8>)>),
    Sparse(u8, Vec<(u16, u16)>),
    Volume(Vec<u8>),
    Odd(u8, Vec<u8>),
    OddPadding(Vec<u8>),
    Base256(i64),
    Zeros(u8),
    Junk(Vec<u8>),
    Large(u32),
}

fn content(size: usize, seed: u32) -> Vec<u8> {
    (0..size as u32).map(|n| ((n / 7).wrapping_mul(seed | 1) >> 3) as u8).collect()
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "(usr|etc)/(lib|share)/[a-c]{1,3}(/[a-z]{1,8}){0,3}".prop_map(String::into_bytes),
        vec(1_u8.., 1..100),
    ]
}

fn piece() -> impl Strategy<Value = Piece> {
    let bytes = |max| vec(any::<u8>(), 0..max);
    let value = prop_oneof!["[0-9]{1,12}(\\.[0-9]{0,10})?".prop_map(String::into_bytes), bytes(40)];
    let key =
        prop_oneof!["(mtime|atime|ctime|path|linkpath|size|uid)", "SCHILY.xattr.user.[ab]", "[ -<>-~]{1,9}"]
            .prop_map(String::into_bytes);
    prop_oneof![
        8 => (name(), 0..9000_u64, any::<u32>()).prop_map(|(name, size, seed)| Piece::File(name, size, seed % 8)),
        2 => (name(), prop_oneof![4 => Just(Vec::new()), 1 => bytes(1500)]).prop_map(|(name, data)| Piece::Directory(name, data)),
        2 => (b'1'..=b'2', name(), bytes(1200)).prop_map(|(kind, name, data)| Piece::Link(kind, name, data)),
        1 => (prop_oneof![Just(b'L'), Just(b'K')], bytes(600)).prop_map(|(kind, text)| Piece::Long(kind, text)),
        3 => (any::<u32>(), 0..1_000_000_000_u32, any::<u64>()).prop_map(|(s, n, more)| Piece::Times(s, n, more)),
        2 => vec((key, value), 0..6).prop_map(Piece::Records),
        2 => (0..4_u8, vec((0..3000_u16, 0..900_u16), 0..40)).prop_map(|(form, map)| Piece::Sparse(form, map)),
        1 => bytes(1000).prop_map(Piece::Volume),
        1 => (any::<u8>(), bytes(700)).prop_map(|(kind, data)| Piece::Odd(kind, data)),
        1 => vec(any::<u8>(), 512).prop_map(Piece::OddPadding),
        1 => any::<i64>().prop_map(Piece::Base256),
        1 => (0..4_u8).prop_map(Piece::Zeros),
        1 => bytes(700).prop_map(Piece::Junk),
        1 => (0..300_000_u32).prop_map(Piece::Large),
    ]
}

fn add(tar: Tar, piece: &Piece) -> Tar {
    match piece {
        Piece::File(name, size, seed) => tar.file(name, &content(*size as usize, *seed)),
        Piece::Directory(name, data) => tar.entry(Head::gnu(b'5', name).mode(0o755), data),
        Piece::Link(kind, name, data) => tar.entry(Head::gnu(*kind, "link").link(name), data),
        Piece::Long(kind, text) => tar.long(*kind, text),
        Piece::Times(seconds, nanos, more) => {
            let trimmed = format!("{seconds}.{nanos:09}");
            let mtime = if more & 1 == 0 { trimmed.trim_end_matches('0') } else { &trimmed };
            let atime = seconds.wrapping_add(*more as u32 % 100).to_string();
            let times =
                [("mtime", mtime.as_bytes()), ("atime", atime.as_bytes()), ("ctime", mtime.as_bytes())];
            tar.pax(&times).entry(Head::ustar(b'0', "timed").mtime(u64::from(*seconds)), b"now")
        }
        Piece::Records(records) => {
            let body: Vec<u8> = records.iter().flat_map(|(key, value)| record(key, value)).collect();
            tar.entry(Head::ustar(b'x', "PaxHeaders/x"), &body).file("described", b"so")
        }
        Piece::Sparse(form, map) => sparse(tar, *form, map),
        Piece::Volume(data) => tar.entry(Head::gnu(b'V', "volume"), data),
        Piece::Odd(kind, data) => tar.entry(Head::v7(*kind, "odd"), data),
        Piece::OddPadding(padding) => {
            let size = usize::from(padding[0]) + 1;
            tar.head(Head::gnu(b'0', "padded").size(size as u64)).raw(&content(size, 3)).raw(&padding[size..])
        }
        Piece::Base256(number) => {
            tar.head(Head::gnu(b'0', "numbers").base_256(136, 12, (*number).into()).put(108, b"   644 \0"))
        }
        Piece::Zeros(count) => tar.raw(&vec![0; usize::from(*count) * BLOCK]),
        Piece::Junk(bytes) => tar.raw(bytes),
        Piece::Large(size) => {
            let xattr = content(*size as usize, 9);
            tar.pax(&[("SCHILY.xattr.user.large", &xattr)]).file("large", b"x")
        }
    }
}

/// Gaps and lengths as a sparse file in one of the spellings.
fn sparse(tar: Tar, form: u8, map: &[(u16, u16)]) -> Tar {
    let (mut pairs, mut stored, mut end) = (Vec::new(), Vec::new(), 0_u64);
    for (gap, length) in map {
        let start = end + u64::from(*gap);
        end = start + u64::from(*length);
        pairs.push((start, u64::from(*length)));
        stored.extend(content(usize::from(*length), u32::from(*gap)));
    }
    let size = (end + 5000).to_string();
    let numbers: Vec<String> =
        pairs.iter().flat_map(|(start, length)| [start.to_string(), length.to_string()]).collect();
    let count = pairs.len().to_string();
    match form {
        0 => {
            let map = numbers.join(",");
            let sizes = [("GNU.sparse.size", size.as_bytes()), ("GNU.sparse.numblocks", count.as_bytes())];
            tar.pax(&[&sizes[..], &[("GNU.sparse.map", map.as_bytes())]].concat()).file("sparse", &stored)
        }
        1 => {
            let mut body =
                pax_body(&[("GNU.sparse.size", size.as_bytes()), ("GNU.sparse.numblocks", count.as_bytes())]);
            for pair in numbers.chunks(2) {
                body.extend(record(b"GNU.sparse.offset", pair[0].as_bytes()));
                body.extend(record(b"GNU.sparse.numbytes", pair[1].as_bytes()));
            }
            tar.entry(Head::ustar(b'x', "x"), &body).file("sparse", &stored)
        }
        2 => {
            let lines = numbers.iter().map(|number| format!("{number}\n")).collect::<String>();
            let inline = Tar::new().raw(format!("{count}\n{lines}").as_bytes()).pad().raw(&stored).0;
            let version: [(&str, &[u8]); 3] = [
                ("GNU.sparse.major", b"1"),
                ("GNU.sparse.minor", b"0"),
                ("GNU.sparse.realsize", size.as_bytes()),
            ];
            tar.pax(&version).file("sparse", &inline)
        }
        _ => {
            let mut head = Head::gnu(b'S', "sparse").octal(483, 12, end + 5000).size(stored.len() as u64);
            let entry = |&(start, length): &(u64, u64)| format!("{start:011o}\0{length:011o}\0");
            let (first, more) = pairs.split_at(pairs.len().min(4));
            head = head.put(386, first.iter().map(entry).collect::<String>().as_bytes());
            let blocks: Vec<_> = more.chunks(21).collect();
            head = head.put(482, &[u8::from(!blocks.is_empty())]);
            let mut tar = tar.head(head);
            for (index, block) in blocks.iter().enumerate() {
                let mut bytes = block.iter().map(entry).collect::<String>().into_bytes();
                bytes.resize(BLOCK, 0);
                bytes[504] = u8::from(index + 1 < blocks.len());
                tar = tar.raw(&bytes);
            }
            tar.raw(&stored).pad()
        }
    }
}

fn tar_of(pieces: &[Piece]) -> Vec<u8> {
    pieces.iter().fold(Tar::new(), add).end()
}

fn habits() -> impl Strategy<Value = Habits> {
    let chunk_size = prop_oneof![Just(512_usize), Just(4096), 512..4096_usize];
    (chunk_size, prop::bool::weighted(0.8), prop_oneof![2 => Just(usize::MAX), 1 => 3..5_usize])
        .prop_map(|(chunk_size, reads_unclaimed, skips)| Habits { chunk_size, reads_unclaimed, skips })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn tars_come_back(pieces in vec(piece(), 0..12), habits in habits(), tail in vec(any::<u8>(), 0..700)) {
        let mut tar = tar_of(&pieces);
        round_trip(&tar, habits);
        tar.extend([0; 3 * BLOCK]);
        tar.extend(&tail);
        round_trip(&tar, habits);
    }

    #[test]
    fn damaged_tars_come_back(
        pieces in vec(piece(), 1..8),
        habits in habits(),
        changes in vec((any::<Index>(), any::<u8>(), any::<bool>()), 0..6),
        cut in any::<Index>(),
        whole in any::<bool>(),
    ) {
        let mut tar = tar_of(&pieces);
        for (at, byte, good) in changes {
            let position = at.index(tar.len());
            tar[position] = byte;
            // Half of the headers that are hit stay headers.
            let block = position / BLOCK * BLOCK;
            if good && tar.len() - block >= BLOCK {
                let head = Head::v7(b'0', "").put(0, &tar[block..block + BLOCK]).block();
                tar[block..block + BLOCK].copy_from_slice(&head);
            }
        }
        let end = if whole { tar.len() } else { cut.index(tar.len()) };
        round_trip(&tar[..end], habits);
    }

    #[test]
    fn any_bytes_come_back(bytes in vec(any::<u8>(), 0..3000), habits in habits()) {
        round_trip(&bytes, habits);
    }

    #[test]
    fn records_do_not_depend_on_how_the_source_is_read(pieces in vec(piece(), 0..8), habits in habits(), step in 1..2000_usize) {
        let tar = tar_of(&pieces);
        let write = |(recording, blob): (nydus_convert_layer::record::Recording, pipeline::Blob)| {
            recording.write(&blob.numbers).unwrap()
        };
        let trickled = write(convert(Trickle { bytes: &tar, step }, habits));
        prop_assert!(write(convert(&tar[..], habits)) == trickled);
    }

    #[test]
    fn damaged_records_do_no_harm(
        pieces in vec(piece(), 1..8),
        changes in vec((any::<Index>(), any::<u8>()), 1..4),
        cut in any::<Index>(),
        other_size in 0..20_000_u64,
    ) {
        let tar = tar_of(&pieces);
        let (recording, blob) = convert(&tar[..], Habits::new(1024));
        let bytes = recording.write(&blob.numbers).unwrap();
        let size = tar.len() as u64;
        prop_assert!(survive(&bytes[..cut.index(bytes.len())], size, &blob).is_err());
        if other_size != size {
            prop_assert!(survive(&bytes, other_size, &blob).is_err());
        }
        // Behind the frame, in the frame, and in the columns.
        prop_assert!(survive(&[&bytes[..], b"x"].concat(), size, &blob).is_err());
        let mut columns = zstd::decode_all(&bytes[1..]).unwrap();
        let mut damaged = bytes.clone();
        for (at, byte) in changes {
            let position = at.index(damaged.len());
            damaged[position] ^= byte;
            let position = at.index(columns.len());
            columns[position] = byte;
        }
        let _ = survive(&damaged, size, &blob);
        let columns = [&bytes[..1], &zstd::encode_all(&columns[..], 1).unwrap()].concat();
        let _ = survive(&columns, size, &blob);
    }

    #[test]
    fn any_records_do_no_harm(columns in vec(prop_oneof![4 => 0..6_u8, 1 => any::<u8>()], 0..400), size in any::<u32>()) {
        let (_, blob) = convert(&tar_of(&[])[..], Habits::new(1024));
        let bytes = [&[1][..], &zstd::encode_all(&columns[..], 1).unwrap()].concat();
        let _ = survive(&bytes, u64::from(size) % 1_000_000, &blob);
        let _ = survive(&columns, u64::from(size) % 1_000_000, &blob);
    }
}

#[test]
fn payload_that_is_not_stored_in_order_is_an_error() {
    let finish = |steps: &dyn Fn(&mut Recorder)| {
        let mut recorder = Recorder::new();
        steps(&mut recorder);
        recorder.finish().map(|recording| recording.payload_size())
    };
    let disorder = |result| matches!(result, Err(RecordError::Disorder));
    assert!(disorder(finish(&|recorder| recorder.content(b"left open"))));
    assert!(disorder(finish(&|recorder| recorder.opaque(b"not taken"))));
    assert!(disorder(finish(&|recorder| {
        recorder.opaque(b"late");
        recorder.content(b"content");
        recorder.chunk_done();
        recorder.take_unstored(100, true);
    })));
    assert!(disorder(finish(&|recorder| {
        recorder.content(b"content");
        recorder.opaque(b"early");
        recorder.chunk_done();
        recorder.take_unstored(100, true);
    })));
    let good = finish(&|recorder| {
        recorder.content(b"content");
        recorder.chunk_done();
        recorder.opaque(b"opaque");
        assert_eq!(recorder.take_unstored(10, false), None);
        assert_eq!(recorder.take_unstored(4, false).as_deref(), Some(&b"opaq"[..]));
        assert_eq!(recorder.take_unstored(4, true).as_deref(), Some(&b"ue"[..]));
        assert_eq!(recorder.take_unstored(4, true), None);
    });
    assert_eq!(good.unwrap(), 13);
}

#[test]
fn numbers_must_be_as_many_as_chunks() {
    let (recording, blob) = convert(&Tar::new().file("a", b"content").end()[..], Habits::new(512));
    assert_eq!((recording.chunks(), &blob.numbers[..]), (1, &[0][..]));
    assert!(matches!(recording.write(&[]), Err(RecordError::Numbers { chunks: 1, numbers: 0 })));
    assert!(matches!(recording.write(&[1, 2]), Err(RecordError::Numbers { chunks: 1, numbers: 2 })));
}

#[test]
fn errors_of_rebuilding() {
    let tar = Tar::new().file("a", b"content").end();
    let (recording, blob) = convert(&tar[..], Habits::new(512));
    let bytes = recording.write(&blob.numbers).unwrap();
    assert!(matches!(Record::parse(&[], 0), Err(RecordError::Empty)));
    assert!(matches!(Record::parse(&[2, 0], 0), Err(RecordError::Version { version: 2 })));
    let mut record = Record::parse(&bytes, tar.len() as u64).unwrap();
    let mut out = Vec::new();
    let error = std::io::Read::read_to_end(&mut record.rebuild(&b"cont"[..]), &mut out).unwrap_err();
    let inner = error.get_ref().unwrap().downcast_ref();
    assert!(matches!(inner, Some(RecordError::PayloadEnds { missing: 3 })));
    // What came before the error is there.
    assert_eq!(out, tar[..BLOCK + 4]);
    for size in [0, 1, 512, tar.len() as u64 - 1, tar.len() as u64 + 1, u64::MAX] {
        let result = Record::parse(&bytes, size).and_then(|other| {
            record = other;
            rebuild(&record, &blob).map_err(|error| *error.into_inner().unwrap().downcast().unwrap())
        });
        assert!(matches!(result, Err(RecordError::TarSize { expected }) if expected == size), "{result:?}");
    }
}

/// Framing that takes more than its share becomes chunks; the record stays small and the recorder too.
#[test]
fn hostile_framing_is_payload() {
    let mut seed = 1_u64;
    let mut noise = |length: usize| -> Vec<u8> {
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 56) as u8
        };
        (0..length).map(|_| next()).collect()
    };
    let mut headers = Tar::new();
    for _ in 0..10_000 {
        headers = headers.head(Head::v7(b'0', noise(100)).put(157, &noise(355)).size(0));
    }
    let mut bodies = Tar::new();
    for _ in 0..100 {
        bodies = bodies.pax(&[("comment", &noise(60_000))]).file("described", b"x");
    }
    let mut padding = Tar::new();
    for _ in 0..20_000 {
        padding = padding.head(Head::v7(b'0', "padded").size(1)).raw(&noise(512));
    }
    for (tar, files) in [(headers.end(), 0), (bodies.end(), 100), (padding.end(), 20_000)] {
        let record = round_trip(&tar, Habits::new(4096));
        let (recording, blob) = convert(&tar[..], Habits::new(4096));
        assert!(recording.payload_size() > tar.len() as u64 / 8);
        let columns = zstd::decode_all(&record[1..]).unwrap().len();
        assert!(columns < (1 << 20) + tar.len() / 4 + 70_000 + 8 * files, "{columns} of {}", tar.len());
        // Large pieces, not one for each header.
        assert!(blob.numbers.len() < tar.len() / 1024 + 2 * files, "{} chunks", blob.numbers.len());
    }
}

#[test]
fn a_chain_of_extensions_comes_in_portions() {
    let mut chain = Tar::new();
    for _ in 0..20 {
        chain = chain.pax(&[("comment", &vec![b'x'; 200_000])]);
    }
    let tar = chain.file("a", b"").end();
    let mut reader = LayerReader::with_tape(&tar[..], Recorder::new());
    let mut pauses = 0;
    while reader.next_item().unwrap().is_some() {
        assert!(reader.tape_mut().unstored() < 600_000);
        while reader.tape_mut().take_unstored(100_000, true).is_some() {}
        pauses += 1;
    }
    assert!(pauses > 5);
    round_trip(&tar, Habits::new(1000));
}

#[test]
fn an_ordinary_layer_costs_a_few_bytes_an_entry() {
    let mut tar = Tar::new();
    for n in 0..2000_u64 {
        let head =
            Head::gnu(b'0', format!("usr/lib/module-{}/file-{n}.so", n / 50)).mtime(1_700_000_000 + n / 100);
        tar = tar.entry(head, &content(3, n as u32));
    }
    let tar = tar.end();
    let record = round_trip(&tar, Habits::new(4096));
    assert!(record.len() < 4000, "{} bytes", record.len());
}
