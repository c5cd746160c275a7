//! Makes the record while a tar is read.
//!
//! ```text
//!             header, extension, padding, zero blocks          content read, unclaimed bytes read
//! LayerReader ───────────────────────────► Recorder ◄──────────────────────────────── chunk_done
//!                                            │ take_unstored: payload that is in nobody's hands,
//!                                            ▼                to be stored as chunks too
//!                                        Recording
//! ```

use std::collections::VecDeque;

use super::chunks::Shapes;
use super::event::{EventWriter, MAX_BODY};
use super::head::MAX_ENCODED;
use super::{MAX_COLUMNS, RecordError, Recording};
use crate::tape::{BLOCK, Tape};

/// Framing that is kept whatever the size of the tar.
const FREE: u64 = 1 << 20;
/// Beyond that, a tar's framing may have this part of it; what is more is kept like payload.
const SHARE: u64 = 4;
/// No more columns than that, so that slices find room below [`MAX_COLUMNS`].
const MAX_FRAMING: u64 = MAX_COLUMNS / 4 * 3;

/// The [`Tape`] that makes a [`Recording`].
///
/// Payload is cut into chunks by the caller, who says after each that it is [done](Self::chunk_done). Payload that the
/// reader passed over, and framing too large or too odd to be kept in a record, is in nobody's hands: the recorder keeps
/// it until the caller [takes](Self::take_unstored) it and stores it as chunks too. Memory: the columns, about 40 bytes
/// a header, at most 1 MiB and a quarter of the tar and a few bytes for each file and sparse segment; and what is not
/// taken.
#[derive(Debug)]
pub struct Recorder {
    events: EventWriter,
    shapes: Shapes,
    tar_size: u64,
    payload_size: u64,
    unstored: VecDeque<u8>,
    chunk: Chunk,
    /// Whether chunks were told of in another order than their bytes.
    disorder: bool,
}

/// The chunk being filled.
#[derive(Debug, Default)]
struct Chunk {
    length: u64,
    /// Start and length of its payload, stretch by stretch.
    parts: Vec<(u64, u64)>,
}

impl Recorder {
    /// For a tar from its beginning.
    pub fn new() -> Self {
        Self {
            events: EventWriter::new(),
            shapes: Shapes::default(),
            tar_size: 0,
            payload_size: 0,
            unstored: VecDeque::new(),
            chunk: Chunk::default(),
            disorder: false,
        }
    }

    /// What was read since the last call is one chunk, the next of the stream: content with its holes, or unclaimed
    /// bytes.
    pub fn chunk_done(&mut self) {
        let Chunk { length, parts } = &mut self.chunk;
        match parts[..] {
            [] => self.shapes.nothing(),
            [(0, whole)] if whole == *length => self.shapes.whole(),
            _ => self.shapes.parts(parts),
        }
        *length = 0;
        parts.clear();
    }

    /// Payload that is the next chunk of the stream, at most `max` bytes (at least 1): to be called after each step of
    /// the reader until it gives nothing. Without `flush` only whole chunks of `max` bytes come out; `flush` is needed
    /// before content or unclaimed bytes are read, and at the end.
    pub fn take_unstored(&mut self, max: usize, flush: bool) -> Option<Vec<u8>> {
        let max = max.max(1);
        let count = self.unstored.len().min(max);
        if count == 0 || (count < max && !flush) {
            return None;
        }
        self.disorder |= self.chunk.length > 0;
        self.shapes.whole();
        Some(self.unstored.drain(..count).collect())
    }

    /// Bytes that wait to be taken.
    pub fn unstored(&self) -> usize {
        self.unstored.len()
    }

    /// Ends the record, after [`finish_with_tape`](crate::LayerReader::finish_with_tape) of the reader and the last
    /// [`take_unstored`](Self::take_unstored).
    pub fn finish(mut self) -> Result<Recording, RecordError> {
        if self.disorder || !self.unstored.is_empty() || self.chunk.length > 0 {
            return Err(RecordError::Disorder);
        }
        self.events.flush();
        self.shapes.end_run();
        let Self { events, shapes, tar_size, payload_size, .. } = self;
        Ok(Recording { events, shapes, tar_size, payload_size })
    }

    /// Whether framing that adds at most `bytes` to the columns is still kept.
    fn has_room(&self, bytes: u64) -> bool {
        let size = self.events.size() + self.shapes.size() + bytes;
        size <= (FREE + self.tar_size / SHARE).min(MAX_FRAMING)
    }

    /// Payload in the caller's hands.
    fn in_hand(&mut self, bytes: &[u8]) {
        let count = bytes.len() as u64;
        self.payload(count);
        self.disorder |= !self.unstored.is_empty();
        let Chunk { length, parts } = &mut self.chunk;
        match parts.last_mut() {
            Some((start, part)) if *start + *part == *length => *part += count,
            _ => parts.push((*length, count)),
        }
        *length += count;
    }

    /// Payload in nobody's hands.
    fn loose(&mut self, bytes: &[u8]) {
        self.payload(bytes.len() as u64);
        self.disorder |= self.chunk.length > 0;
        self.unstored.extend(bytes);
    }

    fn payload(&mut self, count: u64) {
        self.events.payload(count);
        self.payload_size += count;
        self.tar_size += count;
    }
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new()
    }
}

impl Tape for Recorder {
    fn header(&mut self, block: &[u8; BLOCK]) {
        if !self.has_room(MAX_ENCODED) {
            return self.loose(block);
        }
        self.events.header(block);
        self.tar_size += BLOCK as u64;
    }

    fn extension(&mut self, body: &[u8]) {
        if body.len() > MAX_BODY || !self.has_room(2 * body.len() as u64) {
            return self.loose(body);
        }
        self.events.body(body);
        self.tar_size += body.len() as u64;
    }

    fn content(&mut self, bytes: &[u8]) {
        self.in_hand(bytes);
    }

    fn skipped(&mut self, bytes: &[u8]) {
        self.loose(bytes);
    }

    fn hole(&mut self, length: u64) {
        self.chunk.length += length;
    }

    fn padding(&mut self, bytes: &[u8]) {
        if bytes.iter().any(|&byte| byte != 0) && !self.has_room(BLOCK as u64 * 2) {
            return self.loose(bytes);
        }
        self.events.filling(bytes);
        self.tar_size += bytes.len() as u64;
    }

    fn zero_blocks(&mut self, count: u64) {
        self.events.zeros(count * BLOCK as u64);
        self.tar_size += count * BLOCK as u64;
    }

    fn opaque(&mut self, bytes: &[u8]) {
        self.loose(bytes);
    }

    fn unclaimed(&mut self, bytes: &[u8]) {
        self.in_hand(bytes);
    }
}
