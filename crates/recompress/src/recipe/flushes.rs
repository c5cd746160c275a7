//! Where the original's caller flushed within one member.
//!
//! ```text
//! end (number), kind:  0                                    none before the end
//!                      1, n (number ≥ 1)                    at n, 2n, 3n … as long as plain bytes follow
//!                      2, count, first, steps … (numbers)   at these offsets
//! ```
//! Offsets are plain bytes from the start of the member and lie before its end; several flushes may be at one offset.
//! `end` counts the flushes behind the last plain byte.

use std::num::NonZeroU64;

use super::error::RecipeError;
use crate::wire::{Input, put_number};

/// The flushes of one member.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Flushes {
    pub inside: Inside,
    /// Flushes behind the last plain byte; at most [`MAX_END`].
    pub end: u8,
}

/// Flushes before the last plain byte.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Inside {
    #[default]
    None,
    Every(NonZeroU64),
    /// Ascending, not empty.
    At(Vec<u64>),
}

/// More flushes than this at one end are nobody's habit.
pub(crate) const MAX_END: u8 = 16;

impl Flushes {
    pub const fn at_end(count: u8) -> Self {
        Self { inside: Inside::None, end: count }
    }

    /// Where the flush after the first `done` ones is; `None` when only those at the end remain.
    pub fn next(&self, done: usize) -> Option<u64> {
        match &self.inside {
            Inside::None => None,
            Inside::Every(n) => n.get().checked_mul(done as u64 + 1),
            Inside::At(offsets) => offsets.get(done).copied(),
        }
    }

    /// Whether they lie within a member of this many plain bytes.
    pub fn fit(&self, plain_len: u64) -> bool {
        match &self.inside {
            Inside::At(offsets) => offsets.last().is_some_and(|&last| last < plain_len),
            // Without a single flush in it, another way to say "none".
            Inside::Every(n) => n.get() < plain_len,
            Inside::None => true,
        }
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(self.end);
        match &self.inside {
            Inside::None => out.push(0),
            Inside::Every(n) => {
                out.push(1);
                put_number(n.get(), out);
            }
            Inside::At(offsets) => {
                out.push(2);
                put_number(offsets.len() as u64, out);
                let mut before = 0;
                for &offset in offsets {
                    put_number(offset - before, out);
                    before = offset;
                }
            }
        }
    }

    pub fn parse(input: &mut Input) -> Result<Self, RecipeError> {
        let wrong = RecipeError::Invalid { what: "flushes" };
        let end = input.byte()?;
        if end > MAX_END {
            return Err(wrong);
        }
        let inside = match input.byte()? {
            0 => Inside::None,
            1 => NonZeroU64::new(input.number()?).map(Inside::Every).ok_or(wrong)?,
            2 => {
                let (mut offsets, mut offset) = (Vec::new(), 0_u64);
                for _ in 0..input.number()? {
                    offset = offset
                        .checked_add(input.number()?)
                        .ok_or(RecipeError::Invalid { what: "flushes" })?;
                    offsets.push(offset);
                }
                if offsets.is_empty() {
                    return Err(wrong);
                }
                Inside::At(offsets)
            }
            _ => return Err(wrong),
        };
        Ok(Self { inside, end })
    }
}
