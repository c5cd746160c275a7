//! Finds the sparse map of an entry in the stream: in the records, in blocks behind the header, or before the content.

use std::io::Read;

use crate::assemble::Draft;
use crate::blocks::{Blocks, Piece};
use crate::error::{LayerError, Place, SparseError};
use crate::header::SparseTable;
use crate::limits::MAX_EXTENSION;
use crate::sparse::{Expansion, Form, Segments, inline_lines};
use crate::tape::{BLOCK, Tape};

/// Consumes the map of a sparse file. Returns how the rest of the stored bytes expands, and how many they are.
/// `scratch` is room for the map.
pub(crate) fn read<R: Read, T: Tape>(
    blocks: &mut Blocks<R, T>,
    scratch: &mut Vec<u8>,
    draft: &Draft<'_>,
    form: Form,
    stored: u64,
) -> Result<(Expansion, u64), LayerError> {
    let size = draft.sparse_size(form, stored)?;
    let bad = |error| draft.bad_sparse(error);
    let mut data = stored;
    let segments = match form {
        Form::Records => Segments::from_records(draft.pax()).map_err(bad)?,
        Form::OldGnu => read_old(blocks, draft)?,
        Form::Inline => {
            scratch.clear();
            let map = gather_inline(blocks, scratch, draft, stored);
            blocks.record(if map.is_ok() { Piece::Extension } else { Piece::Opaque }, scratch);
            data -= map?;
            Segments::from_inline(scratch).map_err(bad)?
        }
    };
    Ok((segments.expand(size, data).map_err(bad)?, data))
}

/// Reads the extension blocks of an old GNU map; no size counts them, each says whether one more follows.
fn read_old<R: Read, T: Tape>(blocks: &mut Blocks<R, T>, draft: &Draft<'_>) -> Result<Segments, LayerError> {
    let bad = |error| draft.bad_sparse(error);
    let mut segments = Segments::default();
    let table = draft.header().sparse_table();
    segments.push_table(&table).map_err(bad)?;
    let mut extended = table.extended;
    let mut taken = 0;
    while extended {
        if taken >= MAX_EXTENSION {
            return Err(bad(SparseError::TooLong));
        }
        let offset = blocks.offset();
        let ahead = blocks.peek(BLOCK)?;
        let Some(block) = ahead.first_chunk() else {
            return Err(truncated(draft, offset, ahead.len()));
        };
        let table = SparseTable::extension(block);
        segments.push_table(&table).map_err(bad)?;
        extended = table.extended;
        blocks.skip(Piece::Extension, BLOCK as u64)?;
        taken += BLOCK;
    }
    Ok(segments)
}

/// Gathers the blocks of an inline map: as many as its count asks for. Returns their size.
fn gather_inline<R: Read, T: Tape>(
    blocks: &mut Blocks<R, T>,
    map: &mut Vec<u8>,
    draft: &Draft<'_>,
    stored: u64,
) -> Result<u64, LayerError> {
    let bad = |error| draft.bad_sparse(error);
    let mut lines = 0;
    let mut needed = 1;
    while lines < needed {
        if map.len() >= MAX_EXTENSION {
            return Err(bad(SparseError::TooLong));
        }
        let begin = map.len();
        // The map is part of what is stored, so it cannot be larger.
        if stored < (begin + BLOCK) as u64 {
            return Err(bad(SparseError::Malformed));
        }
        let offset = blocks.offset();
        let ahead = blocks.peek(BLOCK)?.len();
        if !blocks.gather(ahead as u64, map)? || ahead < BLOCK {
            return Err(truncated(draft, offset, ahead));
        }
        let line_feeds = map[begin..].iter().filter(|&&byte| byte == b'\n').count() as u64;
        if lines == 0 && line_feeds > 0 {
            let first = map.split(|&byte| byte == b'\n').next().unwrap_or_default();
            needed = inline_lines(first).ok_or_else(|| bad(SparseError::Malformed))?;
        }
        lines += line_feeds;
    }
    Ok(map.len() as u64)
}

/// The stream ends `present` bytes into a block of the map that begins at `offset`.
fn truncated(draft: &Draft<'_>, offset: u64, present: usize) -> LayerError {
    let at = Place { offset: offset + present as u64, ..draft.place() };
    LayerError::Truncated { at, missing: (BLOCK - present) as u64 }
}
