//! Tars made at random, read back; bytes at random, survived.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/oracle.rs"]
mod oracle;

use common::{Head, Recorder, Tar, Trickle, pax_body, read, record};
use nydus_convert_layer::{BLOCK, Entry, EntryKind, LayerError, LayerReader};
use nydus_convert_rafs::{DeviceNumber, EntryPath, Metadata, Timestamp, Xattrs};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// What a test wants to find.
#[derive(Debug, Clone)]
struct Model {
    path: EntryPath,
    kind: EntryKind,
    metadata: Metadata,
    content: Vec<u8>,
    /// Put everything that could stand in the header into records.
    records: bool,
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_map(|byte| if byte == 0 || byte == b'/' { b'_' } else { byte });
    vec(byte, 1..120).prop_filter("no name", |name| name != b"." && name != b"..")
}

fn path() -> impl Strategy<Value = EntryPath> {
    vec(name(), 1..6).prop_map(|names| EntryPath::parse(&names.join(&b'/')).unwrap())
}

fn kind() -> impl Strategy<Value = (EntryKind, Vec<u8>)> {
    let number = || prop_oneof![0..1000_u32, any::<u32>()];
    let device = (number(), number()).prop_map(|(major, minor)| DeviceNumber { major, minor });
    let without = |kind| (kind, Vec::new());
    prop_oneof![
        4 => vec(any::<u8>(), 0..2000)
            .prop_map(|content| (EntryKind::Regular { size: content.len() as u64 }, content)),
        1 => Just(without(EntryKind::Directory)),
        1 => vec(1_u8.., 1..300).prop_map(move |target| without(EntryKind::Symlink { target })),
        1 => path().prop_map(move |target| without(EntryKind::HardLink { target })),
        1 => device.clone().prop_map(move |device| without(EntryKind::CharDevice(device))),
        1 => device.prop_map(move |device| without(EntryKind::BlockDevice(device))),
        1 => Just(without(EntryKind::Fifo)),
    ]
}

fn metadata() -> impl Strategy<Value = Metadata> {
    let time = (prop_oneof![0..1_i64 << 33, any::<i64>()], prop_oneof![Just(0), 0..1_000_000_000_u32]);
    let xattr =
        ("[ -<>-~]{1,20}", vec(any::<u8>(), 0..200)).prop_map(|(name, value)| (name.into_bytes(), value));
    (0..0o10000_u16, any::<u32>(), any::<u32>(), time, vec(xattr, 0..4)).prop_map(
        |(mode, uid, gid, (seconds, nanos), xattrs)| {
            // The sign of "-N.5" leaves no room for i64::MIN with a fraction.
            let nanos = if seconds == i64::MIN { 0 } else { nanos };
            let xattrs: Xattrs = xattrs.into_iter().collect();
            Metadata { mode, uid, gid, mtime: Timestamp { seconds, nanos }, xattrs }
        },
    )
}

fn model() -> impl Strategy<Value = Model> {
    (path(), kind(), metadata(), any::<bool>()).prop_map(|(path, (kind, content), metadata, records)| Model {
        path,
        kind,
        metadata,
        content,
        records,
    })
}

/// Sign, seconds and fraction as PAX has them: the sign belongs to the whole.
fn pax_time(time: Timestamp) -> String {
    if time.nanos == 0 {
        return time.seconds.to_string();
    }
    let total = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
    let sign = if total < 0 { "-" } else { "" };
    let (seconds, nanos) = (total.unsigned_abs() / 1_000_000_000, total.unsigned_abs() % 1_000_000_000);
    format!("{sign}{seconds}.{nanos:09}")
}

fn write(tar: Tar, model: &Model) -> Tar {
    let Model { path, kind, metadata, content, records } = model;
    let path = path.as_bytes();
    let (typeflag, target, device) = match kind {
        EntryKind::Regular { .. } => (b'0', &[][..], None),
        EntryKind::Directory => (b'5', &[][..], None),
        EntryKind::Symlink { target } => (b'2', target.as_slice(), None),
        EntryKind::HardLink { target } => (b'1', target.as_bytes(), None),
        EntryKind::CharDevice(device) => (b'3', &[][..], Some(device)),
        EntryKind::BlockDevice(device) => (b'4', &[][..], Some(device)),
        EntryKind::Fifo => (b'6', &[][..], None),
        EntryKind::Unsupported { .. } => unreachable!(),
    };
    let mut head = Head::gnu(typeflag, &path[..path.len().min(100)])
        .link(&target[..target.len().min(100)])
        .mode(metadata.mode.into());
    let mut pax = Vec::new();
    let mut tar = tar;
    if *records {
        let time = pax_time(metadata.mtime);
        pax.extend([record(b"mtime", time.as_bytes()), record(b"path", path)]);
        pax.push(record(b"uid", metadata.uid.to_string().as_bytes()));
        pax.push(record(b"gid", metadata.gid.to_string().as_bytes()));
        pax.push(record(b"size", content.len().to_string().as_bytes()));
        if !target.is_empty() {
            pax.push(record(b"linkpath", target));
        }
        if let Some(device) = device {
            pax.push(record(b"SCHILY.devmajor", device.major.to_string().as_bytes()));
            pax.push(record(b"SCHILY.devminor", device.minor.to_string().as_bytes()));
        }
    } else {
        head = head.base_256(108, 8, metadata.uid.into()).base_256(116, 8, metadata.gid.into());
        head = head.base_256(136, 12, metadata.mtime.seconds.into());
        if let Some(device) = device {
            for (at, number) in [(329, device.major), (337, device.minor)] {
                head = if number < 1 << 21 {
                    head.octal(at, 8, number.into())
                } else {
                    head.base_256(at, 8, number.into())
                };
            }
        }
        if path.len() > 100 {
            tar = tar.long(b'L', path);
        }
        if target.len() > 100 {
            tar = tar.long(b'K', target);
        }
    }
    for (name, value) in metadata.xattrs.iter() {
        pax.push(record(&[b"SCHILY.xattr.", name].concat(), value));
    }
    if !pax.is_empty() {
        tar = tar.entry(Head::ustar(b'x', "x"), &pax.concat());
    }
    tar.entry(head, content)
}

fn tar_of(models: &[Model]) -> Vec<u8> {
    models.iter().fold(Tar::new(), write).end()
}

/// Everything there is to see: entries and contents, then the error, if any, as text.
fn observe(
    source: impl std::io::Read,
    step: usize,
    tape: &mut Recorder,
) -> (Vec<(Entry, Vec<u8>)>, Option<String>) {
    let mut reader = LayerReader::with_tape(source, tape);
    let mut entries = Vec::new();
    let mut buffer = vec![0; step];
    let mut all = || -> Result<(), LayerError> {
        while let Some(entry) = reader.next_entry()? {
            entries.push((entry, Vec::new()));
            let (_, content) = entries.last_mut().unwrap();
            while content.len() < 100_000 {
                match reader.read_content(&mut buffer)? {
                    0 => break,
                    count => content.extend(&buffer[..count]),
                }
            }
            content.truncate(100_000);
        }
        Ok(())
    };
    let error = all().err().map(|error| error.to_string());
    if error.is_some() {
        // How much of a truncated file could be read before the error is a matter of the steps.
        entries.last_mut().into_iter().for_each(|(_, content)| content.clear());
    }
    reader.finish().unwrap();
    (entries, error)
}

/// Reads bytes in several ways; they must agree, and the tape must give the bytes back.
fn survives(bytes: &[u8]) -> Result<(), TestCaseError> {
    let mut tape = Recorder::default();
    let whole = observe(bytes, 4096, &mut tape);
    prop_assert!(tape.replay() == bytes);
    for step in [1, 513, 200_000] {
        let mut tape = Recorder::default();
        let again = observe(Trickle { bytes, step }, step.max(7), &mut tape);
        prop_assert!(again == whole);
        prop_assert!(tape.replay() == bytes);
    }
    Ok(())
}

/// A byte of some header changed, the checksum made good again.
fn mutate(tar: &mut [u8], at: Index, byte: u8) {
    let block = at.index(tar.len() / BLOCK) * BLOCK;
    let block = &mut tar[block..block + BLOCK];
    block[at.index(BLOCK)] = byte;
    block[148..156].fill(b' ');
    let sum: u64 = block.iter().map(|&byte| u64::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn what_is_written_is_read(models in vec(model(), 0..8)) {
        let tar = tar_of(&models);
        let entries = read(tar.as_slice()).unwrap();
        prop_assert_eq!(entries.len(), models.len());
        for ((entry, content), model) in entries.iter().zip(&models) {
            let mut metadata = model.metadata.clone();
            if !model.records {
                metadata.mtime.nanos = 0;
            }
            prop_assert_eq!((&entry.path, &entry.kind), (&model.path, &model.kind));
            prop_assert_eq!(&entry.metadata, &metadata);
            prop_assert!(content == &model.content);
        }
        survives(&tar)?;
    }

    #[test]
    fn another_parser_reads_the_same(models in vec(model(), 0..8)) {
        let tar = tar_of(&models);
        let entries = read(tar.as_slice()).unwrap();
        if oracle::is_competent(&tar, &entries) {
            oracle::compare(&tar, &entries);
        }
    }

    #[test]
    fn sparse_files_in_all_spellings_are_the_same(
        segments in vec((0..5000_u64, vec(any::<u8>(), 0..600)), 1..60),
        tail in 0..5000_u64,
    ) {
        let (mut map, mut stored, mut file) = (Vec::new(), Vec::new(), Vec::new());
        for (gap, data) in &segments {
            file.resize(file.len() + *gap as usize, 0);
            map.push([file.len().to_string(), data.len().to_string()]);
            stored.extend(data);
            file.extend(data);
        }
        file.resize(file.len() + tail as usize, 0);
        let (count, size, numbers) = (map.len().to_string(), file.len().to_string(), map.concat());

        let sizes = [record(b"GNU.sparse.size", size.as_bytes()), record(b"GNU.sparse.numblocks", count.as_bytes())].concat();
        let pairs = map.iter().flat_map(|[offset, length]| {
            [record(b"GNU.sparse.offset", offset.as_bytes()), record(b"GNU.sparse.numbytes", length.as_bytes())].concat()
        });
        let version_0_0 = [sizes.clone(), pairs.collect()].concat();
        let version_0_1 = [sizes, record(b"GNU.sparse.map", numbers.join(",").as_bytes())].concat();
        let version_1_0 = pax_body(&[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.realsize", size.as_bytes()),
        ]);
        let inline = Tar::new().raw(format!("{count}\n{}\n", numbers.join("\n")).as_bytes()).pad().raw(&stored).0;
        let mut old = Head::gnu(b'S', "f").octal(483, 12, file.len() as u64).block();
        let mut blocks: Vec<[u8; BLOCK]> = Vec::new();
        for (index, [offset, length]) in map.iter().enumerate() {
            let text: String = [offset, length].iter().map(|n| format!("{:011o}\0", n.parse::<u64>().unwrap())).collect();
            let (block, at) = match index.checked_sub(4) {
                None => (&mut old, 386 + 24 * index),
                Some(index) => {
                    if index % 21 == 0 {
                        match blocks.last_mut() {
                            None => old[482] = 1,
                            Some(block) => block[504] = 1,
                        }
                        blocks.push([0; BLOCK]);
                    }
                    (blocks.last_mut().unwrap(), 24 * (index % 21))
                }
            };
            block[at..at + 24].copy_from_slice(text.as_bytes());
        }
        let head = Head::gnu(b'S', "f").put(386, &old[386..495]).size(stored.len() as u64);

        for tar in [
            Tar::new().entry(Head::ustar(b'x', "x"), &version_0_0).file("f", &stored),
            Tar::new().entry(Head::ustar(b'x', "x"), &version_0_1).file("f", &stored),
            Tar::new().entry(Head::ustar(b'x', "x"), &version_1_0).file("f", &inline),
            Tar::new().head(head).raw(&blocks.concat()).raw(&stored).pad(),
        ] {
            let tar = tar.file("next", b"").end();
            let entries = read(tar.as_slice()).unwrap();
            prop_assert_eq!(&entries[0].0.kind, &EntryKind::Regular { size: file.len() as u64 });
            prop_assert!(entries[0].1 == file);
            prop_assert_eq!(entries.len(), 2);
            oracle::compare(&tar, &entries);
            survives(&tar)?;
        }
    }

    #[test]
    fn any_bytes_are_survived(bytes in vec(any::<u8>(), 0..3000)) {
        survives(&bytes)?;
    }

    #[test]
    fn damaged_tars_are_survived(
        models in vec(model(), 1..5),
        changes in vec((any::<Index>(), any::<u8>()), 0..4),
        typeflags in vec((any::<Index>(), select(b"\x000123456789gxXLKSVDMN".to_vec())), 0..3),
        cut in any::<Index>(),
        whole in any::<bool>(),
    ) {
        let mut tar = tar_of(&models);
        for (at, byte) in changes {
            mutate(&mut tar, at, byte);
        }
        for (at, typeflag) in typeflags {
            let block = at.index(tar.len() / BLOCK) * BLOCK;
            tar[block + 156] = typeflag;
            mutate(&mut tar, at, typeflag);
        }
        let end = if whole { tar.len() } else { cut.index(tar.len()) };
        survives(&tar[..end])?;
    }

    #[test]
    fn any_records_are_survived(body in "([0-9]{1,2} [a-zA-Z.=\n]{0,12}\n|20 GNU.sparse.map=0,1\n){0,6}") {
        let tar = Tar::new().entry(Head::ustar(b'x', "x"), body.as_bytes()).file("f", b"f");
        let tar = tar.entry(Head::ustar(b'g', "g"), body.as_bytes()).file("f", b"f").end();
        survives(&tar)?;
    }
}
