//! What it takes, besides the plain bytes, to make a gzip stream again.
//!
//! ```text
//! stream = member … member tail          member = header, deflate stream, CRC-32 and length of the plain bytes
//!
//! recipe = headers  methods  flushes      each different one once
//!          members: runs of { header, method, flushes, plain length }
//!          tail
//! ```
//!
//! The bytes of a recipe are in [`codec`]. A recipe has one form: `parse(write(x)) == x`, and bytes that parse are the
//! bytes that are written.

mod build;
mod codec;
mod error;
mod flushes;
pub(crate) mod header;
mod tail;

pub(crate) use build::Builder;
pub use error::RecipeError;
pub(crate) use flushes::{Flushes, Inside, MAX_END};
pub(crate) use header::{Header, header};
pub(crate) use tail::{Piece, TailBuilder};

use crate::method::Method;

/// Plain and stored streams are shorter than this many bytes.
pub(crate) const MAX_LENGTH: u64 = 1 << 62;

/// How to make one gzip stream from its plain bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    stored_len: u64,
    plain_len: u64,
    headers: Vec<Vec<u8>>,
    methods: Vec<Method>,
    flushes: Vec<Flushes>,
    runs: Vec<Run>,
    tail: Vec<Piece>,
}

/// Members that are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    /// At least 1.
    count: u64,
    header: u32,
    method: u32,
    flushes: u32,
    plain_len: u64,
}

impl Run {
    const fn like(&self, other: &Self) -> bool {
        self.header == other.header
            && self.method == other.method
            && self.flushes == other.flushes
            && self.plain_len == other.plain_len
    }
}

/// One member to make.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member<'a> {
    pub header: &'a [u8],
    pub method: &'a Method,
    pub flushes: &'a Flushes,
    pub plain_len: u64,
}

impl Recipe {
    /// Reads a recipe from exactly these bytes.
    ///
    /// # Errors
    /// [`RecipeError`]. Memory is bounded by a small multiple of the bytes given, whatever they say.
    pub fn parse(bytes: &[u8]) -> Result<Self, RecipeError> {
        codec::parse(bytes)
    }

    /// The bytes that [`Recipe::parse`] reads.
    pub fn write(&self) -> Vec<u8> {
        codec::write(self)
    }

    /// The encoder of the member with the most plain bytes.
    pub fn method(&self) -> Method {
        // The first of equals: `max_by_key` takes the last.
        let largest = self.runs.iter().rev().max_by_key(|run| run.plain_len);
        let method = largest.and_then(|run| self.methods.get(run.method as usize));
        // There is a member in every recipe.
        method.cloned().unwrap_or(Method::go(crate::go::Level::DEFAULT))
    }

    /// Plain bytes of all members together.
    pub const fn plain_len(&self) -> u64 {
        self.plain_len
    }

    /// Bytes of the whole compressed stream, tail included.
    pub const fn stored_len(&self) -> u64 {
        self.stored_len
    }

    /// The number of gzip members, at least 1.
    pub fn member_count(&self) -> u64 {
        self.runs.iter().map(|run| run.count).sum()
    }

    /// All members in order.
    pub(crate) fn members(&self) -> impl Iterator<Item = Member<'_>> {
        self.runs.iter().flat_map(|run| {
            let member = self.member(run);
            (0..run.count).filter_map(move |_| member)
        })
    }

    fn member(&self, run: &Run) -> Option<Member<'_>> {
        Some(Member {
            header: self.headers.get(run.header as usize)?,
            method: self.methods.get(run.method as usize)?,
            flushes: self.flushes.get(run.flushes as usize)?,
            plain_len: run.plain_len,
        })
    }

    /// The tail: runs of zeros and the bytes behind each.
    pub(crate) fn tail(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.tail.iter().map(|piece| (piece.zeros, piece.bytes.as_slice()))
    }

    pub(crate) fn tail_pieces(&self) -> &[Piece] {
        &self.tail
    }

    /// The smallest stream that the members and the tail could make; `None` beyond [`MAX_LENGTH`].
    fn least_stored(&self) -> Option<u64> {
        let mut least = 0_u64;
        for run in &self.runs {
            // Two bytes of deflate and the trailer.
            let member = self.headers.get(run.header as usize)?.len() as u64 + 10;
            least = least.checked_add(run.count.checked_mul(member)?)?;
        }
        for piece in &self.tail {
            least = least.checked_add(piece.zeros)?.checked_add(piece.bytes.len() as u64)?;
        }
        Some(least).filter(|&least| least < MAX_LENGTH)
    }

    /// Plain bytes of all runs, `None` beyond [`MAX_LENGTH`].
    fn sum_plain(&self) -> Option<u64> {
        let each = |run: &Run| run.count.checked_mul(run.plain_len);
        let sum = self.runs.iter().try_fold(0_u64, |sum, run| sum.checked_add(each(run)?))?;
        (sum < MAX_LENGTH).then_some(sum)
    }
}

#[cfg(test)]
mod tests;
