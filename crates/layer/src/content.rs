//! What stands behind a header, on the way through it: stored bytes, and what they expand to.

use crate::sparse::{Expansion, Next};
use crate::tape::BLOCK;

/// What is stored behind the present header and not consumed yet.
#[derive(Debug)]
pub(crate) struct Content {
    /// Of a regular file, or what belongs to nobody.
    pub is_file: bool,
    /// Bytes stored.
    pub stored: u64,
    /// Bytes that fill the last block.
    pub padding: usize,
    /// Of a sparse file.
    pub expansion: Option<Expansion>,
    /// Reaches to the end of the stream, wherever that is.
    pub to_end: bool,
    /// Whether the caller knows of it.
    pub announced: bool,
    /// Whether the caller reads it as it is stored.
    pub raw: bool,
}

impl Content {
    pub const NONE: Self = Self::stored(false, 0);

    pub const fn stored(is_file: bool, stored: u64) -> Self {
        let padding = (stored.wrapping_neg() % BLOCK as u64) as usize;
        Self { is_file, stored, padding, expansion: None, to_end: false, announced: false, raw: false }
    }

    /// All that follows.
    pub const fn rest() -> Self {
        let mut content = Self::stored(false, u64::MAX);
        content.padding = 0;
        content.to_end = true;
        content
    }

    /// What comes next in the file, and how much of it.
    pub fn next(&mut self) -> Next {
        match &mut self.expansion {
            _ if self.raw || !self.is_file => Next::End,
            Some(expansion) => expansion.next(),
            None if self.stored > 0 => Next::Data(self.stored),
            None => Next::End,
        }
    }

    pub fn advance(&mut self, count: u64) {
        if let Some(expansion) = &mut self.expansion {
            expansion.advance(count);
        }
    }

    pub fn mark(&self) -> (usize, u64) {
        self.expansion.as_ref().map_or((0, 0), Expansion::mark)
    }
}
