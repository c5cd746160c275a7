//! Any bytes as a tar come back from their record; any bytes as a record do no harm. The first byte says which.

use std::io::Read;

use nydus_convert_layer::record::{Part, Record, Recorder, Slice};
use nydus_convert_layer::{EntryKind, Item, LayerError, LayerReader};

const CHUNK: usize = 1024;
/// A sparse file may claim exabytes; that many of its chunks are read.
const MAX_CHUNKS: usize = 1000;

type Reader<'a> = LayerReader<&'a [u8], Recorder>;

fn take_unstored(recorder: &mut Recorder, chunks: &mut Vec<Vec<u8>>, flush: bool) {
    while let Some(chunk) = recorder.take_unstored(CHUNK, flush) {
        chunks.push(chunk);
    }
}

/// One item, and all that it offers.
fn step(reader: &mut Reader<'_>, chunks: &mut Vec<Vec<u8>>) -> Result<bool, LayerError> {
    let item = reader.next_item();
    take_unstored(reader.tape_mut(), chunks, true);
    let stored = match item? {
        None => return Ok(false),
        Some(Item::Entry(entry)) if !matches!(entry.kind, EntryKind::Regular { .. }) => return Ok(true),
        Some(Item::Entry(_)) => false,
        Some(Item::Unclaimed) => true,
    };
    for _ in 0..if stored { usize::MAX } else { MAX_CHUNKS } {
        let mut chunk = vec![0; CHUNK];
        let count = if stored { reader.read_stored(&mut chunk)? } else { reader.read_content(&mut chunk)? };
        if count == 0 {
            break;
        }
        chunk.truncate(count);
        chunks.push(chunk);
        reader.tape_mut().chunk_done();
    }
    Ok(true)
}

fn payload(chunks: &[Vec<u8>], slices: impl Iterator<Item = Slice>) -> Vec<u8> {
    let piece = |slice: Slice| {
        let chunk = chunks.get(slice.chunk as usize)?;
        match slice.part {
            Part::Whole => Some(&chunk[..]),
            Part::Range { start, length } => chunk.get(start as usize..)?.get(..length as usize),
        }
    };
    slices.filter_map(piece).flatten().copied().collect()
}

fn there_and_back(tar: &[u8]) {
    let mut reader = LayerReader::with_tape(tar, Recorder::new());
    let mut chunks = Vec::new();
    loop {
        match step(&mut reader, &mut chunks) {
            Ok(true) => {}
            Ok(false) => break,
            Err(_) => reader.salvage(),
        }
    }
    let (_, mut recorder) = reader.finish_with_tape().expect("a slice can always be read");
    take_unstored(&mut recorder, &mut chunks, true);
    let recording = recorder.finish().expect("chunks in order");
    let numbers: Vec<u32> = (0..chunks.len() as u32).collect();
    let bytes = recording.write(&numbers).expect("a small record");
    let record = Record::parse(&bytes, tar.len() as u64).expect("a good record");
    let mut again = Vec::new();
    record.rebuild(&payload(&chunks, record.slices())[..]).read_to_end(&mut again).expect("the tar");
    assert!(again == tar);
}

fn survive(record: &[u8], tar_size: u64) {
    let Ok(record) = Record::parse(record, tar_size) else { return };
    let chunks = vec![vec![7; CHUNK]; 16];
    let payload = payload(&chunks, record.slices().take(10_000));
    let mut count = 0;
    let mut tar = record.rebuild(&payload[..]).take(1 << 24);
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read @ 1..) = tar.read(&mut buffer) {
        count += read as u64;
    }
    assert!(count <= tar_size);
}

/// Panics if `bytes` break the promise above.
pub fn check(bytes: &[u8]) {
    match bytes {
        [0, tar @ ..] => there_and_back(tar),
        // The columns as they are: the fuzzer knows no zstd.
        [1, size, columns @ ..] => {
            let mut record = vec![1];
            // One raw block of up to 128 KiB in a frame with an 8 MiB window, without content size.
            let columns = &columns[..columns.len().min(128 << 10)];
            record.extend([0x28, 0xb5, 0x2f, 0xfd, 0, 0x68]);
            record.extend(&(columns.len() as u32 * 8 + 1).to_le_bytes()[..3]);
            record.extend(columns);
            survive(&record, u64::from(*size) * 512);
        }
        [_, size, record @ ..] => survive(record, u64::from(*size) * 512),
        _ => {}
    }
}
