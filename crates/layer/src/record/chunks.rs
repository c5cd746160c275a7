//! Which parts of which chunks make up the payload.
//!
//! ```text
//! run     count × 2        │ start        `count` whole chunks with consecutive numbers
//! parts   count × 2 + 1    │ start │ count × (gap, length)
//!                                         stretches of one chunk; the gap is from the end of the one before
//! start   zigzag of the first number − (1 + the largest number so far), or − 0 at the beginning
//! ```
//! All are varints; no count and no length is 0.

use super::bytes::{Input, put_varint, unzigzag, zigzag};
use super::error::RecordError;

/// A piece of the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// Number of the chunk in the blob.
    pub chunk: u32,
    /// Which part of it.
    pub part: Part,
}

/// How much of a chunk is payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The whole chunk.
    Whole,
    /// A stretch of it.
    Range {
        /// Where it begins in the chunk.
        start: u64,
        /// Bytes, at least one.
        length: u64,
    },
}

/// What the chunks of a stream hold of the payload, before their numbers are known: tokens of one varint with a kind in
/// its low bits, behind a token of parts a gap and a length for each.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    tokens: Vec<u8>,
    /// Chunks of the same kind not written yet.
    run: (u64, u64),
    pub count: u64,
}

const WHOLE: u64 = 0;
const NOTHING: u64 = 1;
const PARTS: u64 = 2;

impl Shapes {
    /// A chunk that is payload.
    pub fn whole(&mut self) {
        self.extend_run(WHOLE);
    }

    /// A chunk, of holes, without any.
    pub fn nothing(&mut self) {
        self.extend_run(NOTHING);
    }

    /// A chunk with stretches of payload: pairs of start and length, at least one.
    pub fn parts(&mut self, parts: &[(u64, u64)]) {
        self.end_run();
        self.count += 1;
        put_varint(&mut self.tokens, (parts.len() as u64) << 2 | PARTS);
        let mut end = 0;
        for (start, length) in parts {
            put_varint(&mut self.tokens, start - end);
            put_varint(&mut self.tokens, *length);
            end = start + length;
        }
    }

    fn extend_run(&mut self, kind: u64) {
        if self.run.0 != kind {
            self.end_run();
        }
        self.run.0 = kind;
        self.run.1 += 1;
        self.count += 1;
    }

    pub fn end_run(&mut self) {
        let (kind, count) = std::mem::take(&mut self.run);
        if count > 0 {
            put_varint(&mut self.tokens, count << 2 | kind);
        }
    }

    pub fn size(&self) -> u64 {
        self.tokens.len() as u64
    }

    /// The column, given the number of each chunk; as many as there are shapes, all runs ended.
    pub fn place(&self, numbers: &[u32]) -> Result<Vec<u8>, RecordError> {
        if numbers.len() as u64 != self.count || self.run.1 > 0 {
            return Err(RecordError::Numbers { chunks: self.count, numbers: numbers.len() });
        }
        let mut tokens = Input::new(&self.tokens, "shapes");
        let mut numbers = numbers;
        let mut column = Starts::default();
        while !tokens.is_empty() {
            let token = tokens.varint()?;
            let count = usize::try_from(token >> 2).map_err(|_| tokens.malformed())?;
            let chunks = if token & 3 == PARTS { 1 } else { count };
            let (now, later) = numbers.split_at_checked(chunks).ok_or_else(|| tokens.malformed())?;
            numbers = later;
            match token & 3 {
                WHOLE => now
                    .chunk_by(|left, right| left.checked_add(1) == Some(*right))
                    .for_each(|run| column.push((run.len() as u64) << 1, run[0], run.len() as u64)),
                PARTS => {
                    now.iter().for_each(|chunk| column.push((count as u64) << 1 | 1, *chunk, 1));
                    for _ in 0..2 * count {
                        put_varint(&mut column.out, tokens.varint()?);
                    }
                }
                _ => {}
            }
        }
        Ok(column.out)
    }
}

/// Writes heads and starts.
#[derive(Default)]
struct Starts {
    out: Vec<u8>,
    /// One more than the largest number so far.
    next: u64,
}

impl Starts {
    fn push(&mut self, head: u64, start: u32, count: u64) {
        put_varint(&mut self.out, head);
        put_varint(&mut self.out, zigzag(i64::from(start) - self.next as i64));
        self.next = self.next.max(u64::from(start) + count);
    }
}

/// Gives the pieces of the payload in its order.
#[derive(Debug, Clone)]
pub struct Slices<'a> {
    input: Input<'a>,
    /// One more than the largest number so far.
    next: u64,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Whole { chunk: u64, left: u64 },
    Parts { chunk: u64, left: u64, position: u64 },
}

impl<'a> Slices<'a> {
    pub(super) const fn new(column: &'a [u8]) -> Self {
        let state = State::Whole { chunk: 0, left: 0 };
        Self { input: Input::new(column, "chunks"), next: 0, state }
    }

    /// Whether the column is sound, and of no more than `limit` pieces, of which those with a length have at most
    /// `limit` bytes together. Runs are not walked one by one.
    pub(super) fn check(mut self, limit: u64) -> Result<(), RecordError> {
        let mut pieces = 0_u64;
        while !self.input.is_empty() {
            self.next_head()?;
            let (count, bytes) = match self.state {
                State::Whole { left, .. } => (left, left),
                State::Parts { left, .. } => {
                    let mut bytes = 0_u64;
                    for _ in 0..left {
                        let (_, length) = self.next_part()?;
                        bytes = bytes.saturating_add(length);
                    }
                    (left, bytes)
                }
            };
            pieces = pieces.saturating_add(count.max(bytes));
            if pieces > limit {
                return Err(self.input.malformed());
            }
        }
        Ok(())
    }

    fn next_head(&mut self) -> Result<(), RecordError> {
        let head = self.input.varint()?;
        let code = unzigzag(self.input.varint()?);
        let chunk = self.next.checked_add_signed(code).ok_or_else(|| self.input.malformed())?;
        let left = head >> 1;
        let chunks = if head & 1 == 0 { left } else { 1 };
        let end = chunk.checked_add(chunks).filter(|end| left > 0 && *end <= 1 << 32);
        self.next = self.next.max(end.ok_or_else(|| self.input.malformed())?);
        self.state = match head & 1 {
            0 => State::Whole { chunk, left },
            _ => State::Parts { chunk, left, position: 0 },
        };
        Ok(())
    }

    /// Start and length of the next stretch.
    fn next_part(&mut self) -> Result<(u64, u64), RecordError> {
        let (gap, length) = (self.input.varint()?, self.input.varint()?);
        let State::Parts { position, left, .. } = &mut self.state else { return Err(self.input.malformed()) };
        let start = position.checked_add(gap);
        let end = start.and_then(|start| start.checked_add(length)).filter(|_| length > 0);
        let (start, end) = start.zip(end).ok_or(RecordError::Malformed { column: "chunks" })?;
        *position = end;
        *left = left.saturating_sub(1);
        Ok((start, length))
    }

    fn try_next(&mut self) -> Result<Option<Slice>, RecordError> {
        if matches!(self.state, State::Whole { left: 0, .. } | State::Parts { left: 0, .. }) {
            if self.input.is_empty() {
                return Ok(None);
            }
            self.next_head()?;
        }
        let (chunk, part) = match &mut self.state {
            State::Whole { chunk, left } => {
                let now = *chunk;
                *chunk += 1;
                *left -= 1;
                (now, Part::Whole)
            }
            State::Parts { chunk, .. } => {
                let chunk = *chunk;
                let (start, length) = self.next_part()?;
                (chunk, Part::Range { start, length })
            }
        };
        let chunk = u32::try_from(chunk).map_err(|_| self.input.malformed())?;
        Ok(Some(Slice { chunk, part }))
    }
}

impl Iterator for Slices<'_> {
    type Item = Slice;

    /// The column was checked: an error would be none of its bytes'.
    fn next(&mut self) -> Option<Slice> {
        self.try_next().ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn shapes_become_slices() {
        let mut shapes = Shapes::default();
        shapes.whole();
        shapes.whole();
        shapes.whole();
        shapes.nothing();
        shapes.parts(&[(0, 5), (5, 1), (100, 7)]);
        shapes.whole();
        shapes.whole();
        shapes.end_run();
        let numbers = [0, 1, 1, 9, 2, u32::MAX, 0];
        let column = shapes.place(&numbers).unwrap();
        Slices::new(&column).check(18).unwrap();
        assert!(Slices::new(&column).check(17).is_err());
        let whole = |chunk| Slice { chunk, part: Part::Whole };
        let range = |start, length| Slice { chunk: 2, part: Part::Range { start, length } };
        let expected = [
            whole(0),
            whole(1),
            whole(1),
            range(0, 5),
            range(5, 1),
            range(100, 7),
            whole(u32::MAX),
            whole(0),
        ];
        assert_eq!(Slices::new(&column).collect::<Vec<_>>(), expected);
        for end in 1..column.len() {
            let cut = Slices::new(&column[..end]);
            assert!(cut.clone().check(u64::MAX).is_err() || cut.count() < expected.len());
        }
        assert!(matches!(shapes.place(&numbers[1..]), Err(RecordError::Numbers { chunks: 7, numbers: 6 })));
    }

    #[test]
    fn a_long_run_is_short() {
        let mut shapes = Shapes::default();
        (0..1_000_000).for_each(|_| shapes.whole());
        shapes.end_run();
        let column = shapes.place(&(0..1_000_000).collect::<Vec<_>>()).unwrap();
        assert_eq!(column.len(), 4);
        assert_eq!(Slices::new(&column).count(), 1_000_000);
    }

    #[test]
    fn bad_columns() {
        // Count 0, a number below 0, one above the last, an empty stretch, one without end.
        for column in [&[0, 0][..], &[2, 1], &[4, 0xfe, 0xff, 0xff, 0xff, 0x1f], &[3, 0, 0, 0], &[3, 0, 1]] {
            assert!(Slices::new(column).check(u64::MAX).is_err(), "{column:x?}");
        }
    }
}
