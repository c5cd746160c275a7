//! The exact tar, remembered: everything of a layer that is not content, and where the content is.
//!
//! Every byte of a tar is *framing* (headers, extensions, padding, end) or *payload* (content of files, and bytes with no
//! meaning). Payload is stored anyway, as chunks of a data blob, in the order of the tar; the record keeps the framing
//! and which slices of which chunks make up the payload. Nothing is refused for being odd: what is no tar at all is
//! payload from end to end.
//!
//! ```text
//! reading   LayerReader ─► Recorder ─► Recording ─► bytes of the record, once the chunks have their numbers
//! replay    bytes ─► Record ─► slices: which chunks to fetch ─► payload ─► rebuild ─► the tar
//! ```
//! # The loop
//! ```
//! use nydus_convert_layer::record::{Record, Recorder};
//! use nydus_convert_layer::{Item, LayerError, LayerReader};
//! # use std::io::Read;
//! # let tar = [&b"no tar at all"[..], &[7; 9000]].concat();
//! const CHUNK: usize = 4096;
//! type Reader<R> = LayerReader<R, Recorder>;
//!
//! fn step<R: Read>(reader: &mut Reader<R>, chunks: &mut Vec<Vec<u8>>) -> Result<bool, LayerError> {
//!     let item = reader.next_item();
//!     while let Some(chunk) = reader.tape_mut().take_unstored(CHUNK, true) {
//!         chunks.push(chunk); // payload in nobody's hands, from before the item
//!     }
//!     let read = match item? {
//!         None => return Ok(false),
//!         Some(Item::Entry(_)) => Reader::<R>::read_content, // 0 bytes if it is no file
//!         Some(Item::Unclaimed) => Reader::<R>::read_stored,
//!     };
//!     let mut buffer = [0; CHUNK];
//!     loop {
//!         match read(reader, &mut buffer)? {
//!             0 => return Ok(true),
//!             count => chunks.push(buffer[..count].to_vec()),
//!         }
//!         reader.tape_mut().chunk_done();
//!     }
//! }
//!
//! let (mut reader, mut chunks) = (LayerReader::with_tape(&tar[..], Recorder::new()), Vec::new());
//! while match step(&mut reader, &mut chunks) {
//!     Ok(more) => more,
//!     Err(error @ LayerError::Read { .. }) => return Err(error.into()),
//!     Err(_) => { reader.salvage(); true } // or give the layer up
//! } {}
//! let (_source, mut recorder) = reader.finish_with_tape()?;
//! chunks.extend(std::iter::from_fn(|| recorder.take_unstored(CHUNK, true)));
//! let numbers: Vec<u32> = (0..chunks.len() as u32).collect();
//! let bytes = recorder.finish()?.write(&numbers)?;
//!
//! let record = Record::parse(&bytes, tar.len() as u64)?;
//! let payload: Vec<u8> = record.slices().flat_map(|slice| chunks[slice.chunk as usize].clone()).collect();
//! let mut again = Vec::new(); // all slices are whole chunks here
//! record.rebuild(&payload[..]).read_to_end(&mut again)?;
//! assert_eq!(again, tar);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//! # Bytes
//! ```text
//! version   1 byte: 1
//! columns   one zstd frame, of streams: each a varint, its length, and that many bytes
//!
//! totals │ ops │ lengths │ inline │ chunks │ bodies │ heads…
//! ```
//! Zstd level 19 where the columns have at most 64 KiB, 12 up to 1 MiB, 9 above: the last step of a layer must not take
//! long, and 80,000 files neither.

mod body;
mod bytes;
mod chunks;
mod error;
mod event;
mod head;
mod number;
mod rebuild;
mod recorder;
mod text;

use std::io::{self, Read, Write};

use bytes::{Input, put_varint, varint_size};
use event::EventWriter;
use rebuild::Columns;

pub use chunks::{Part, Slice, Slices};
pub use error::{MAX_COLUMNS, RecordError};
pub use rebuild::Rebuild;
pub use recorder::Recorder;

const VERSION: u8 = 1;
/// Columns are never larger than their tar but for this much: an entry has 512 bytes of header, and columns of a header
/// are smaller; small tars with odd framing are covered by the constant.
const COLUMNS_SLACK: u64 = 2 << 20;
/// Zstd's window, as a power of two, that a reader allows: 128 MiB, the largest that zstd takes unasked.
const WINDOW_LOG_MAX: u32 = 27;
/// Zstd's level by the bytes of all columns together.
const fn level(size: u64) -> i32 {
    match size {
        0..=0x1_0000 => 19,
        0x1_0001..=0x10_0000 => 12,
        _ => 9,
    }
}

/// The record of a tar whose chunks have no numbers yet; made by [`Recorder::finish`].
#[derive(Debug)]
pub struct Recording {
    events: EventWriter,
    shapes: chunks::Shapes,
    tar_size: u64,
    payload_size: u64,
}

/// The record of a tar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    columns: Vec<u8>,
    tar_size: u64,
    payload_size: u64,
}

impl Recording {
    /// Bytes of the tar.
    pub const fn tar_size(&self) -> u64 {
        self.tar_size
    }

    /// Bytes of its payload.
    pub const fn payload_size(&self) -> u64 {
        self.payload_size
    }

    /// Chunks that the recorder was told of.
    pub const fn chunks(&self) -> u64 {
        self.shapes.count
    }

    /// The bytes of the record. `numbers[i]` is the number in the blob of the i-th chunk of the stream; equal chunks may
    /// share one.
    pub fn write(&self, numbers: &[u32]) -> Result<Vec<u8>, RecordError> {
        let mut totals = Vec::new();
        put_varint(&mut totals, self.payload_size);
        let chunks = self.shapes.place(numbers)?;
        let events = &self.events;
        let streams = || {
            [&totals[..], &events.ops, &events.lengths, &events.inline, &chunks, events.bodies.stream()]
                .into_iter()
                .chain(events.heads.streams())
        };
        let size = streams().map(|stream| varint_size(stream.len() as u64) + stream.len() as u64).sum();
        if size > columns_limit(self.tar_size) {
            return Err(RecordError::TooLarge { size });
        }
        compress(streams(), size).map_err(|source| RecordError::Compress { source })
    }
}

fn compress<'a>(streams: impl Iterator<Item = &'a [u8]>, size: u64) -> io::Result<Vec<u8>> {
    let mut encoder = zstd::Encoder::new(vec![VERSION], level(size))?;
    encoder.set_pledged_src_size(Some(size))?;
    let mut length = Vec::new();
    for stream in streams {
        length.clear();
        put_varint(&mut length, stream.len() as u64);
        encoder.write_all(&length)?;
        encoder.write_all(stream)?;
    }
    encoder.finish()
}

/// Bytes of columns that a tar can need.
fn columns_limit(tar_size: u64) -> u64 {
    tar_size.saturating_add(COLUMNS_SLACK).min(MAX_COLUMNS)
}

impl Record {
    /// Reads the record of a tar of `tar_size` bytes. Memory: the columns, at most `tar_size` + 2 MiB and at most
    /// [`MAX_COLUMNS`], and zstd's window.
    pub fn parse(bytes: &[u8], tar_size: u64) -> Result<Self, RecordError> {
        match bytes.split_first() {
            None => Err(RecordError::Empty),
            Some((&VERSION, frame)) => {
                let columns = decompress(frame, tar_size).map_err(|source| RecordError::Frame { source })?;
                let mut record = Self { columns, tar_size, payload_size: 0 };
                record.payload_size = record.check()?;
                Ok(record)
            }
            Some((&version, _)) => Err(RecordError::Version { version }),
        }
    }

    /// Bytes of the tar.
    pub const fn tar_size(&self) -> u64 {
        self.tar_size
    }

    /// Bytes of payload that [`rebuild`](Self::rebuild) reads.
    pub const fn payload_size(&self) -> u64 {
        self.payload_size
    }

    /// The pieces of chunks that are the payload, in its order.
    pub fn slices(&self) -> Slices<'_> {
        Slices::new(self.split().map_or(&[], |split| split.chunks))
    }

    /// The tar, made while it is read: never more than [`tar_size`](Self::tar_size) bytes, and an error at the end if it
    /// is less. `payload`: the [`slices`](Self::slices), one behind the other.
    pub fn rebuild<R: Read>(&self, payload: R) -> Rebuild<'_, R> {
        let columns = self.split().map(|split| split.columns);
        Rebuild::new(columns, self.tar_size, self.payload_size, payload)
    }

    /// Checks what can be checked without walking from header to header; returns the payload's size.
    fn check(&self) -> Result<u64, RecordError> {
        let Split { mut totals, chunks, rest, .. } = self.split()?;
        let payload_size = totals.varint()?;
        if !totals.is_empty() {
            return Err(totals.malformed());
        }
        if !rest.is_empty() {
            return Err(rest.malformed());
        }
        if payload_size > self.tar_size {
            return Err(RecordError::TarSize { expected: self.tar_size });
        }
        Slices::new(chunks).check(payload_size)?;
        Ok(payload_size)
    }

    fn split(&self) -> Result<Split<'_>, RecordError> {
        let mut rest = Input::new(&self.columns, "columns");
        let totals = rest.stream("totals")?;
        let (ops, lengths) = (rest.stream("ops")?, rest.stream("lengths")?);
        let inline = rest.stream("inline")?;
        let length = rest.length()?;
        let chunks = rest.take(length)?;
        let bodies = body::BodyReader::new(&mut rest)?;
        let heads = head::HeadReader::new(&mut rest)?;
        Ok(Split { totals, chunks, columns: Columns { ops, lengths, inline, bodies, heads }, rest })
    }
}

/// The streams of a record.
struct Split<'a> {
    totals: Input<'a>,
    chunks: &'a [u8],
    columns: Columns<'a>,
    rest: Input<'a>,
}

fn decompress(frame: &[u8], tar_size: u64) -> io::Result<Vec<u8>> {
    let limit = columns_limit(tar_size);
    let mut decoder = zstd::Decoder::with_buffer(frame)?.single_frame();
    decoder.window_log_max(WINDOW_LOG_MAX)?;
    let mut columns = Vec::new();
    decoder.by_ref().take(limit).read_to_end(&mut columns)?;
    // Nothing may follow: no byte in the frame, none behind it.
    if decoder.read(&mut [0])? > 0 || !decoder.finish().is_empty() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(columns)
}
