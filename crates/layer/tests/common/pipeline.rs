//! A small conversion: a tar becomes chunks, without doubles, and a record; and comes back.
#![allow(dead_code, clippy::unwrap_used)]

use std::collections::HashMap;
use std::io::Read;

use nydus_convert_layer::record::{Part, Record, RecordError, Recorder, Recording, Slice};
use nydus_convert_layer::{EntryKind, Item, LayerError, LayerReader};

/// The chunks of a stream.
#[derive(Default)]
pub struct Blob {
    pub chunks: Vec<Vec<u8>>,
    /// Of each chunk of the stream, which of the blob it is.
    pub numbers: Vec<u32>,
    known: HashMap<Vec<u8>, u32>,
}

impl Blob {
    pub fn push(&mut self, chunk: &[u8]) {
        let number = *self.known.entry(chunk.to_vec()).or_insert_with(|| {
            self.chunks.push(chunk.to_vec());
            self.chunks.len() as u32 - 1
        });
        self.numbers.push(number);
    }

    pub fn payload<'a>(&'a self, slices: impl Iterator<Item = Slice> + 'a) -> Vec<u8> {
        let piece = |Slice { chunk, part }: Slice| {
            let chunk = self.chunks.get(chunk as usize).map_or(&[][..], Vec::as_slice);
            match part {
                Part::Whole => chunk,
                Part::Range { start, length } => {
                    chunk.get(start as usize..).and_then(|rest| rest.get(..length as usize)).unwrap_or(&[])
                }
            }
        };
        slices.flat_map(piece).copied().collect()
    }
}

/// What a caller does with what it is offered.
#[derive(Debug, Clone, Copy)]
pub struct Habits {
    pub chunk_size: usize,
    /// Read unclaimed bytes; if not, they are passed over.
    pub reads_unclaimed: bool,
    /// Of that many files one is not read, one by its first chunk only, and one as it is stored.
    pub skips: usize,
}

impl Habits {
    pub const fn new(chunk_size: usize) -> Self {
        Self { chunk_size, reads_unclaimed: true, skips: usize::MAX }
    }
}

pub struct Pipeline<R> {
    reader: LayerReader<R, Recorder>,
    blob: Blob,
    habits: Habits,
    files: usize,
    /// Holes without end are cut off.
    content_left: usize,
}

/// Converts any bytes.
pub fn convert<R: Read>(source: R, habits: Habits) -> (Recording, Blob) {
    let reader = LayerReader::with_tape(source, Recorder::new());
    let mut pipeline = Pipeline { reader, blob: Blob::default(), habits, files: 0, content_left: 4 << 20 };
    loop {
        match pipeline.step() {
            Ok(true) => {}
            Ok(false) => break,
            Err(LayerError::Read { .. }) => panic!("a slice can always be read"),
            Err(_) => pipeline.reader.salvage(),
        }
    }
    let Pipeline { mut reader, mut blob, .. } = pipeline;
    store(reader.tape_mut(), &mut blob, habits.chunk_size, true);
    let (_, mut recorder) = reader.finish_with_tape().unwrap();
    store(&mut recorder, &mut blob, habits.chunk_size, true);
    (recorder.finish().unwrap(), blob)
}

fn store(recorder: &mut Recorder, blob: &mut Blob, max: usize, flush: bool) {
    while let Some(chunk) = recorder.take_unstored(max, flush) {
        blob.push(&chunk);
    }
}

impl<R: Read> Pipeline<R> {
    fn step(&mut self) -> Result<bool, LayerError> {
        let chunk_size = self.habits.chunk_size;
        let item = self.reader.next_item();
        let payload_follows = match &item {
            Ok(Some(Item::Unclaimed)) => true,
            Ok(Some(Item::Entry(entry))) => matches!(entry.kind, EntryKind::Regular { size: 1.. }),
            _ => false,
        };
        store(self.reader.tape_mut(), &mut self.blob, chunk_size, payload_follows);
        match item? {
            None => return Ok(false),
            Some(Item::Entry(entry)) if matches!(entry.kind, EntryKind::Regular { .. }) => {
                self.files += 1;
                match self.files % self.habits.skips {
                    0 => {}
                    1 if self.habits.skips > 1 && self.habits.skips < usize::MAX => {
                        self.chunk(LayerReader::read_content)?;
                    }
                    2 if self.habits.skips < usize::MAX => while self.chunk(LayerReader::read_stored)? {},
                    _ => while self.content_left > 0 && self.chunk(LayerReader::read_content)? {},
                }
            }
            Some(Item::Unclaimed) if self.habits.reads_unclaimed => {
                while self.chunk(LayerReader::read_stored)? {}
            }
            Some(_) => {}
        }
        Ok(true)
    }

    fn chunk(
        &mut self,
        read: impl Fn(&mut LayerReader<R, Recorder>, &mut [u8]) -> Result<usize, LayerError>,
    ) -> Result<bool, LayerError> {
        let mut buffer = vec![0; self.habits.chunk_size];
        let count = read(&mut self.reader, &mut buffer)?;
        self.content_left = self.content_left.saturating_sub(count);
        if count > 0 {
            self.blob.push(&buffer[..count]);
            self.reader.tape_mut().chunk_done();
        }
        Ok(count > 0)
    }
}

/// The tar again, or how far it came.
pub fn rebuild(record: &Record, blob: &Blob) -> Result<Vec<u8>, std::io::Error> {
    let payload = blob.payload(record.slices());
    let mut tar = Vec::new();
    record.rebuild(&payload[..]).read_to_end(&mut tar)?;
    Ok(tar)
}

/// There and back; returns the record's bytes.
pub fn round_trip(tar: &[u8], habits: Habits) -> Vec<u8> {
    let (recording, blob) = convert(tar, habits);
    assert_eq!(recording.tar_size(), tar.len() as u64);
    let bytes = recording.write(&blob.numbers).unwrap();
    let record = Record::parse(&bytes, tar.len() as u64).unwrap();
    assert_eq!(record.payload_size(), recording.payload_size());
    assert_eq!(blob.payload(record.slices()).len() as u64, record.payload_size());
    let again = rebuild(&record, &blob).unwrap();
    let first = tar.iter().zip(&again).position(|(left, right)| left != right);
    assert!(again == tar, "{} bytes of {}, first difference {first:?}", again.len(), tar.len());
    bytes
}

/// What a damaged record does: an error, or some tar of the right length.
pub fn survive(bytes: &[u8], tar_size: u64, blob: &Blob) -> Result<Vec<u8>, String> {
    let record = Record::parse(bytes, tar_size).map_err(|error: RecordError| error.to_string())?;
    assert!(record.payload_size() <= tar_size);
    // As many pieces as the payload has bytes, at most.
    let pieces = record.slices().take(1_000_000).count() as u64;
    assert!(pieces <= record.payload_size().min(1_000_000));
    let payload = blob.payload(record.slices().take(100_000));
    let mut tar = Vec::new();
    let result = record.rebuild(&payload[..]).take(tar_size + 1).read_to_end(&mut tar);
    assert!(tar.len() as u64 <= tar_size);
    match result {
        Ok(_) => assert_eq!(tar.len() as u64, tar_size),
        Err(ref error) => {
            assert!(error.get_ref().is_some_and(|inner| inner.is::<RecordError>()), "{error:?}")
        }
    }
    result.map(|_| tar).map_err(|error| error.to_string())
}
