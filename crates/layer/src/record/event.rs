//! The order of things: which headers, bodies, payload and zeros follow each other.
//!
//! ```text
//! op   then                                  makes
//!  0                                         header, payload of the size it declares, zeros to the end of the block
//!  1                                         header, extension body of that size, zeros to the end of the block
//!  2                                         header
//!  3   length in `lengths`                   payload
//!  4   length in `lengths`, bytes in `inline`   these bytes
//!  5   length in `lengths`                   zeros
//! ```
//! One byte an event. An ordinary entry is one event, and so is an ordinary extension.

use super::body::BodyWriter;
use super::bytes::put_varint;
use super::head::{HeadWriter, size_field};
use super::number::declared_size;
use crate::tape::BLOCK;

pub(super) const FILE: u8 = 0;
pub(super) const EXTENSION: u8 = 1;
pub(super) const BARE: u8 = 2;
pub(super) const PAYLOAD: u8 = 3;
pub(super) const INLINE: u8 = 4;
pub(super) const ZEROS: u8 = 5;

/// Largest body of an extension that a record holds.
pub(super) const MAX_BODY: usize = 64 << 10;

/// Bytes that fill the last block of `size`.
pub(super) const fn filling(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

/// Writes the columns of events, headers and bodies.
#[derive(Debug)]
pub(super) struct EventWriter {
    pub ops: Vec<u8>,
    pub lengths: Vec<u8>,
    pub inline: Vec<u8>,
    pub heads: HeadWriter,
    pub bodies: BodyWriter,
    heads_size: u64,
    pending: Pending,
}

/// What came since the last event that was written; in this order, each part possibly missing.
#[derive(Debug, Default)]
struct Pending {
    /// A header, and the size it declares.
    header: Option<u64>,
    body: Option<Vec<u8>>,
    payload: u64,
    filling: Filling,
}

#[derive(Debug)]
enum Filling {
    Zeros(u64),
    Bytes(Vec<u8>),
}

impl Default for Filling {
    fn default() -> Self {
        Self::Zeros(0)
    }
}

impl EventWriter {
    pub fn new() -> Self {
        Self {
            ops: Vec::new(),
            lengths: Vec::new(),
            inline: Vec::new(),
            heads: HeadWriter::new(),
            bodies: BodyWriter::default(),
            heads_size: 0,
            pending: Pending::default(),
        }
    }

    pub fn header(&mut self, block: &[u8; BLOCK]) {
        self.flush();
        self.heads.push(block, &mut self.bodies.mtime);
        self.heads_size = self.heads.streams().map(|stream| stream.len() as u64).sum();
        self.pending.header = Some(declared_size(size_field(block)));
    }

    /// A body of at most [`MAX_BODY`] bytes.
    pub fn body(&mut self, body: &[u8]) {
        let Pending { body: None, payload: 0, filling: Filling::Zeros(0), .. } = self.pending else {
            self.flush();
            return self.body(body);
        };
        self.pending.body = Some(body.to_vec());
    }

    pub fn payload(&mut self, length: u64) {
        if !matches!(self.pending.filling, Filling::Zeros(0)) {
            self.flush();
        }
        self.pending.payload += length;
    }

    /// What fills a block.
    pub fn filling(&mut self, bytes: &[u8]) {
        if !matches!(self.pending.filling, Filling::Zeros(0)) {
            self.flush();
        }
        let is_zero = bytes.iter().all(|&byte| byte == 0);
        self.pending.filling =
            if is_zero { Filling::Zeros(bytes.len() as u64) } else { Filling::Bytes(bytes.to_vec()) };
    }

    pub fn zeros(&mut self, length: u64) {
        self.flush();
        self.event(ZEROS, length);
    }

    /// Writes what is pending.
    pub fn flush(&mut self) {
        let Pending { header, body, payload, filling: after } = std::mem::take(&mut self.pending);
        match (header, &body, payload, &after) {
            (Some(size), None, payload, Filling::Zeros(zeros))
                if payload == size && *zeros == filling(size) =>
            {
                return self.ops.push(FILE);
            }
            (Some(size), Some(body), 0, Filling::Zeros(zeros))
                if body.len() as u64 == size && *zeros == filling(size) =>
            {
                self.ops.push(EXTENSION);
                return self.bodies.push(body);
            }
            (Some(_), ..) => self.ops.push(BARE),
            (None, ..) => {}
        }
        if let Some(body) = body {
            self.inline(&body);
        }
        self.event(PAYLOAD, payload);
        match after {
            Filling::Zeros(zeros) => self.event(ZEROS, zeros),
            Filling::Bytes(bytes) => self.inline(&bytes),
        }
    }

    fn inline(&mut self, bytes: &[u8]) {
        self.event(INLINE, bytes.len() as u64);
        self.inline.extend_from_slice(bytes);
    }

    fn event(&mut self, op: u8, length: u64) {
        if length > 0 {
            self.ops.push(op);
            put_varint(&mut self.lengths, length);
        }
    }

    /// Bytes of all columns so far, without what is pending.
    pub fn size(&self) -> u64 {
        let own = self.ops.len() + self.lengths.len() + self.inline.len();
        own as u64 + self.heads_size + self.bodies.size()
    }
}
