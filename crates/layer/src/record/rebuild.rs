//! The tar again, from its record and its payload.

use std::io::{self, ErrorKind, Read};

use super::RecordError;
use super::body::BodyReader;
use super::bytes::Input;
use super::event::{BARE, EXTENSION, FILE, INLINE, MAX_BODY, PAYLOAD, ZEROS, filling};
use super::head::{HeadReader, size_field};
use super::number::declared_size;

/// The columns of events, headers and bodies, on the way through them.
#[derive(Debug)]
pub(super) struct Columns<'a> {
    pub ops: Input<'a>,
    pub lengths: Input<'a>,
    pub inline: Input<'a>,
    pub bodies: BodyReader<'a>,
    pub heads: HeadReader<'a>,
}

/// Gives the tar while it is read; made by [`Record::rebuild`](super::Record::rebuild).
///
/// Errors carry a [`RecordError`], or are those of the payload.
#[derive(Debug)]
pub struct Rebuild<'a, R> {
    payload: R,
    /// `None`: an error ended it.
    columns: Option<Columns<'a>>,
    /// What came too late to be returned.
    error: Option<io::Error>,
    tar_size: u64,
    tar_left: u64,
    payload_left: u64,
    now: Now,
}

/// What the present event still has to make, in this order.
#[derive(Debug, Default)]
struct Now {
    staged: Vec<u8>,
    given: usize,
    inline: u64,
    payload: u64,
    zeros: u64,
}

impl<'a, R: Read> Rebuild<'a, R> {
    pub(super) fn new(
        columns: Result<Columns<'a>, RecordError>,
        tar_size: u64,
        payload_size: u64,
        payload: R,
    ) -> Self {
        let (columns, error) = match columns {
            Ok(columns) => (Some(columns), None),
            Err(error) => (None, Some(damaged(error))),
        };
        let now = Now::default();
        Self { payload, columns, error, tar_size, tar_left: tar_size, payload_left: payload_size, now }
    }

    /// Makes some bytes; 0 at the end of the tar.
    fn step(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let Some(columns) = &mut self.columns else {
            return Err(self.error.take().unwrap_or_else(|| ErrorKind::Other.into()));
        };
        loop {
            let now = &mut self.now;
            let cap = |count: u64| usize::try_from(count).map_or(out.len(), |count| count.min(out.len()));
            if now.given < now.staged.len() {
                let count = (now.staged.len() - now.given).min(out.len());
                out[..count].copy_from_slice(&now.staged[now.given..now.given + count]);
                now.given += count;
                return Ok(count);
            }
            if now.inline > 0 {
                let count = cap(now.inline);
                out[..count].copy_from_slice(columns.inline.take(count).map_err(damaged)?);
                now.inline -= count as u64;
                return Ok(count);
            }
            if now.payload > 0 {
                let count = cap(now.payload);
                let read = self.payload.read(&mut out[..count])?;
                if read == 0 {
                    return Err(io::Error::new(
                        ErrorKind::UnexpectedEof,
                        RecordError::PayloadEnds { missing: now.payload + self.payload_left },
                    ));
                }
                now.payload -= read as u64;
                return Ok(read);
            }
            if now.zeros > 0 {
                let count = cap(now.zeros);
                out[..count].fill(0);
                now.zeros -= count as u64;
                return Ok(count);
            }
            let wrong_size = RecordError::TarSize { expected: self.tar_size };
            if columns.ops.is_empty() {
                return if self.tar_left == 0 && self.payload_left == 0 {
                    Ok(0)
                } else {
                    Err(damaged(wrong_size))
                };
            }
            now.next_event(columns).map_err(damaged)?;
            let left = now.size().and_then(|size| self.tar_left.checked_sub(size));
            let payload_left = self.payload_left.checked_sub(now.payload);
            (self.tar_left, self.payload_left) = left.zip(payload_left).ok_or_else(|| damaged(wrong_size))?;
        }
    }
}

impl Now {
    fn next_event(&mut self, columns: &mut Columns<'_>) -> Result<(), RecordError> {
        self.staged.clear();
        self.given = 0;
        let op = columns.ops.byte()?;
        match op {
            FILE | EXTENSION | BARE => {
                let block = columns.heads.next(&mut columns.bodies.mtime)?;
                self.staged.extend_from_slice(&block);
                let size = declared_size(size_field(&block));
                match op {
                    FILE => self.payload = size,
                    EXTENSION => {
                        let length = usize::try_from(size).ok().filter(|length| *length <= MAX_BODY);
                        let length = length.ok_or_else(|| columns.ops.malformed())?;
                        self.staged.extend_from_slice(columns.bodies.next(length)?);
                    }
                    _ => return Ok(()),
                }
                self.zeros = filling(size);
            }
            PAYLOAD => self.payload = columns.lengths.varint()?,
            INLINE => self.inline = columns.lengths.varint()?,
            ZEROS => self.zeros = columns.lengths.varint()?,
            _ => return Err(columns.ops.malformed()),
        }
        Ok(())
    }

    /// Bytes of the event.
    fn size(&self) -> Option<u64> {
        let parts = [self.staged.len() as u64, self.inline, self.payload, self.zeros];
        parts.into_iter().try_fold(0_u64, u64::checked_add)
    }
}

impl<R: Read> Read for Rebuild<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < out.len() {
            match self.step(&mut out[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.columns = None;
                    if filled == 0 {
                        return Err(error);
                    }
                    self.error = Some(error);
                    break;
                }
            }
        }
        Ok(filled)
    }
}

fn damaged(error: RecordError) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}
