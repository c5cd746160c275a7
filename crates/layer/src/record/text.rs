//! Columns of text: fields of a fixed width, filled with NULs as a rule.
//!
//! ```text
//! runs      how many fields equal the last one of their group
//! shared    of each other field: bytes shared with the last one of the group, 1 byte
//! lengths   how many bytes follow those, 1 byte
//! text      these bytes; the rest of the field is NUL
//! ```
//! Nothing is asked of a field: any bytes have exactly one such form.

use super::bytes::{Input, RunReader, RunWriter};
use super::error::RecordError;

/// Writes a column.
#[derive(Debug)]
pub(super) struct TextWriter {
    width: usize,
    runs: RunWriter,
    shared: Vec<u8>,
    lengths: Vec<u8>,
    text: Vec<u8>,
    /// The last field of each group, back to back.
    last: Vec<u8>,
}

/// Reads a column.
#[derive(Debug)]
pub(super) struct TextReader<'a> {
    width: usize,
    runs: RunReader<'a>,
    shared: Input<'a>,
    lengths: Input<'a>,
    text: Input<'a>,
    last: Vec<u8>,
}

impl TextWriter {
    /// `width` is below 256.
    pub fn new(width: usize, groups: usize) -> Self {
        let last = vec![0; width * groups];
        Self {
            width,
            runs: RunWriter::default(),
            shared: Vec::new(),
            lengths: Vec::new(),
            text: Vec::new(),
            last,
        }
    }

    pub fn push(&mut self, group: usize, field: &[u8]) {
        let last = &mut self.last[group * self.width..][..self.width];
        if self.runs.push(last == field) {
            return;
        }
        let end = field.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        let shared = shared_length(&field[..end], last);
        self.shared.push(shared as u8);
        self.lengths.push((end - shared) as u8);
        self.text.extend_from_slice(&field[shared..end]);
        last.copy_from_slice(field);
    }

    pub fn streams(&self) -> [&[u8]; 4] {
        [&self.runs.out, &self.shared, &self.lengths, &self.text]
    }
}

impl<'a> TextReader<'a> {
    pub fn new(
        input: &mut Input<'a>,
        name: &'static str,
        width: usize,
        groups: usize,
    ) -> Result<Self, RecordError> {
        Ok(Self {
            width,
            runs: RunReader::new(input.stream(name)?),
            shared: input.stream(name)?,
            lengths: input.stream(name)?,
            text: input.stream(name)?,
            last: vec![0; width * groups],
        })
    }

    /// Writes the next field of a group to `out`, which has the width.
    pub fn next(&mut self, group: usize, out: &mut [u8]) -> Result<(), RecordError> {
        let last = &mut self.last[group * self.width..][..self.width];
        if !self.runs.expected()? {
            let shared = usize::from(self.shared.byte()?);
            let length = usize::from(self.lengths.byte()?);
            let room = last.get_mut(shared..).ok_or_else(|| self.shared.malformed())?;
            let (new, rest) = room.split_at_mut_checked(length).ok_or_else(|| self.lengths.malformed())?;
            new.copy_from_slice(self.text.take(length)?);
            rest.fill(0);
        }
        out.copy_from_slice(last);
        Ok(())
    }
}

/// How many bytes two texts share at their beginning.
pub(super) fn shared_length(left: &[u8], right: &[u8]) -> usize {
    left.iter().zip(right).take_while(|(left, right)| left == right).count()
}
