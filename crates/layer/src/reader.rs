//! Walks a layer: header by header, entry by entry, with the content in between.
//!
//! # The end
//! Two blocks of zeros end the archive; what follows is nobody's and read by [`LayerReader::finish`] only. So does the
//! end of the stream where a header could begin, or in the filling of a last block, as in Go. One block of zeros with a
//! header behind it is passed over: Go refuses such a layer and GNU tar warns and stops, but the entries behind it are
//! there (someone joined two archives), and leaving them out in silence would be the one wrong answer.
//!
//! # Content where there should be none
//! Links, directories, devices and fifos have no content. Some writers declare a size nevertheless: V7 and star the
//! size of a hard link's target, some the length of a symlink; most of these store nothing, but POSIX lets a hard link
//! carry the file's data. Go and GNU tar ignore the size. So: if the next block is a header or the end of the archive
//! then the size was idle, exactly as Go reads it; if not, Go would fail there, and the data is what must be passed over.
//!
//! # Types
//! `V`, GNU tar's name of a volume, names no file: passed over. `X` is Solaris' spelling of `x`. The rest is described
//! at [`EntryKind`](crate::EntryKind).

use std::io::Read;

use nydus_convert_rafs::EntryPath;

use crate::assemble::{Draft, Extensions, Shape, stored_size};
use crate::blocks::{Blocks, Piece};
use crate::entry::Entry;
use crate::error::{Field, LayerError, Place};
use crate::header::{Header, is_zero, until_nul};
use crate::limits::MAX_EXTENSION;
use crate::number::header_number;
use crate::pax::GlobalError;
use crate::sparse::{Expansion, Next};
use crate::sparse_map;
use crate::tape::{BLOCK, Tape};

/// Reads the entries of an uncompressed layer from a stream, in one pass and bounded memory.
#[derive(Debug)]
pub struct LayerReader<R, T = ()> {
    blocks: Blocks<R, T>,
    extensions: Extensions,
    content: Content,
    state: State,
    /// Normal form of the present entry's path, for errors in its content.
    path: Vec<u8>,
    /// Room for bodies and maps, reused.
    scratch: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No header so far.
    Start,
    /// Between the first header and the end.
    Inside,
    Ended,
    Failed,
}

/// What is stored behind the present header and not consumed yet.
#[derive(Debug)]
struct Content {
    piece: Piece,
    /// Bytes stored.
    stored: u64,
    /// Bytes that fill the last block.
    padding: u64,
    /// Of a sparse file.
    expansion: Option<Expansion>,
}

impl Content {
    const NONE: Self = Self::stored(Piece::Opaque, 0);

    const fn stored(piece: Piece, stored: u64) -> Self {
        Self { piece, stored, padding: stored.wrapping_neg() % BLOCK as u64, expansion: None }
    }

    /// What comes next in the file, and how much of it.
    fn next(&mut self) -> Next {
        match &mut self.expansion {
            Some(expansion) => expansion.next(),
            None if self.piece == Piece::Content && self.stored > 0 => Next::Data(self.stored),
            None => Next::End,
        }
    }

    fn advance(&mut self, count: u64) {
        if let Some(expansion) = &mut self.expansion {
            expansion.advance(count);
        }
    }
}

impl<R: Read> LayerReader<R> {
    /// Reads from the beginning of a tar. The source need not be buffered.
    pub fn new(source: R) -> Self {
        Self::with_tape(source, ())
    }
}

impl<R: Read, T: Tape> LayerReader<R, T> {
    /// The same, with a watcher of the raw bytes; see [`Tape`].
    pub fn with_tape(source: R, tape: T) -> Self {
        Self {
            blocks: Blocks::new(source, tape),
            extensions: Extensions::default(),
            content: Content::NONE,
            state: State::Start,
            path: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// The next entry; `None` after the last one. What is left of the previous entry's content is passed over. After an
    /// error there is nothing more to read: every further call fails.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, LayerError> {
        self.guarded(|reader| {
            if reader.state == State::Ended {
                return Ok(None);
            }
            let entry = reader.advance()?;
            if entry.is_none() {
                reader.state = State::Ended;
            }
            Ok(entry)
        })
    }

    /// Reads content of the present entry: fills `buffer` unless the content ends before. 0 at the end, and for
    /// everything that is no regular file. Holes of sparse files come as zeros.
    pub fn read_content(&mut self, buffer: &mut [u8]) -> Result<usize, LayerError> {
        self.guarded(|reader| reader.fill(buffer))
    }

    /// Reads the rest of the stream, so that a digest over it is complete, and gives the source back. Meant for after
    /// the last entry; whatever was not read by then, because of an error for example, is not looked at any more.
    pub fn finish(self) -> Result<R, LayerError> {
        self.blocks.drain()
    }

    /// Runs a step that leaves the reader useless when it fails.
    fn guarded<V>(&mut self, step: impl FnOnce(&mut Self) -> Result<V, LayerError>) -> Result<V, LayerError> {
        if self.state == State::Failed {
            return Err(LayerError::Stopped { offset: self.blocks.offset() });
        }
        let result = step(self);
        if result.is_err() {
            self.state = State::Failed;
        }
        result
    }

    fn advance(&mut self) -> Result<Option<Entry>, LayerError> {
        self.skip_content()?;
        self.extensions.clear();
        self.path.clear();
        while let Some((offset, header)) = self.next_header()? {
            match header.typeflag() {
                b'x' | b'X' | b'g' | b'L' | b'K' => self.read_extension(offset, &header)?,
                b'V' => {
                    let size = stored_size(&header, &self.extensions, || Place { offset, path: None })?;
                    self.content = Content::stored(Piece::Opaque, size);
                    self.skip_content()?;
                    self.extensions.clear();
                }
                _ => return self.assemble(offset, &header).map(Some),
            }
        }
        Ok(None)
    }

    /// Consumes the next header; `None` at the end of the archive.
    fn next_header(&mut self) -> Result<Option<(u64, Header)>, LayerError> {
        let mut after_zeros = false;
        loop {
            let offset = self.blocks.offset();
            let block = self.blocks.peek(BLOCK)?;
            let length = block.len();
            if length == 0 {
                return Ok(None);
            }
            if length == BLOCK && is_zero(block) {
                self.blocks.take_zero_block();
                if after_zeros {
                    return Ok(None);
                }
                after_zeros = true;
                continue;
            }
            match Header::parse(block) {
                Some(header) => {
                    self.blocks.take_header();
                    self.state = State::Inside;
                    return Ok(Some((offset, header)));
                }
                None if self.state == State::Start => return Err(LayerError::NotATar { offset }),
                None if length < BLOCK => return Err(self.truncated_after(length as u64, BLOCK as u64)),
                None => return Err(LayerError::BadHeader { offset }),
            }
        }
    }

    /// Reads the body of an extension header and keeps what it says.
    fn read_extension(&mut self, offset: u64, header: &Header) -> Result<(), LayerError> {
        let (typeflag, size) = (header.typeflag(), extension_size(offset, header)?);
        if size > MAX_EXTENSION as u64 {
            return Err(LayerError::ExtensionTooLarge { offset, typeflag, size });
        }
        let is_local = matches!(typeflag, b'x' | b'X');
        let body = if is_local { self.extensions.pax.local.clear() } else { &mut self.scratch };
        body.clear();
        if !self.blocks.gather(size, body)? {
            self.blocks.record(Piece::Opaque, body);
            let missing = size - body.len() as u64;
            return Err(self.truncated(missing));
        }
        self.blocks.record(Piece::Extension, body);
        self.blocks.skip(Piece::Padding, size.wrapping_neg() % BLOCK as u64)?;

        let bad_pax = |position| LayerError::BadPax { offset, position };
        match typeflag {
            b'L' => until_nul(&self.scratch).clone_into(&mut self.extensions.long_name),
            b'K' => until_nul(&self.scratch).clone_into(&mut self.extensions.long_target),
            b'g' => self.extensions.pax.add_global(&self.scratch).map_err(|error| match error {
                GlobalError::Malformed(position) => bad_pax(position),
                GlobalError::TooLarge => LayerError::GlobalsTooLarge { offset },
            })?,
            _ => self.extensions.pax.local.parse().map_err(bad_pax)?,
        }
        Ok(())
    }

    /// Makes the entry, and consumes its sparse map if it has one.
    fn assemble(&mut self, offset: u64, header: &Header) -> Result<Entry, LayerError> {
        let draft = Draft::new(header, &self.extensions, offset)?;
        self.path.extend_from_slice(draft.path.as_bytes());
        let stored = draft.stored_size()?;
        let mut size = stored;
        self.content = match (draft.shape, draft.sparse) {
            (Shape::File, None) => Content::stored(Piece::Content, stored),
            (Shape::File, Some(form)) => {
                let (expansion, data) =
                    sparse_map::read(&mut self.blocks, &mut self.scratch, &draft, form, stored)?;
                size = expansion.size();
                Content { expansion: Some(expansion), ..Content::stored(Piece::Content, data) }
            }
            (Shape::Unsupported | Shape::DumpDirectory, _) => Content::stored(Piece::Opaque, stored),
            _ if stored > 0 && data_follows(self.blocks.peek(2 * BLOCK)?) => {
                Content::stored(Piece::Opaque, stored)
            }
            _ => Content::NONE,
        };
        let (kind, metadata) = (draft.kind(size)?, draft.metadata()?);
        Ok(Entry { path: draft.path, kind, metadata, offset })
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, LayerError> {
        let mut filled = 0;
        while filled < buffer.len() {
            let room = &mut buffer[filled..];
            let cap = |count: u64| usize::try_from(count).map_or(room.len(), |count| count.min(room.len()));
            let count = match self.content.next() {
                Next::End => break,
                Next::Hole(count) => {
                    let count = cap(count);
                    room[..count].fill(0);
                    count
                }
                Next::Data(count) => {
                    let count = cap(count);
                    let read = self.blocks.read_content(&mut room[..count])?;
                    if read == 0 {
                        let missing = self.content.stored;
                        return Err(self.truncated(missing));
                    }
                    self.content.stored -= read as u64;
                    read
                }
            };
            self.content.advance(count as u64);
            filled += count;
        }
        Ok(filled)
    }

    /// Consumes what is left behind the present header.
    fn skip_content(&mut self) -> Result<(), LayerError> {
        let Content { piece, stored, padding, .. } = std::mem::replace(&mut self.content, Content::NONE);
        let skipped = self.blocks.skip(piece, stored)?;
        if skipped < stored {
            return Err(self.truncated(stored - skipped));
        }
        // A last file whose block is not filled is whole nevertheless.
        self.blocks.skip(Piece::Padding, padding)?;
        Ok(())
    }

    fn truncated(&self, missing: u64) -> LayerError {
        let path = if self.path.is_empty() { None } else { EntryPath::parse(&self.path).ok() };
        LayerError::Truncated { at: Place { offset: self.blocks.offset(), path }, missing }
    }

    /// The stream ends `present` bytes after the last consumed one, in something of `needed` bytes.
    fn truncated_after(&self, present: u64, needed: u64) -> LayerError {
        let at = Place { offset: self.blocks.offset() + present, path: None };
        LayerError::Truncated { at, missing: needed - present }
    }
}

/// The size that a header says. PAX records say nothing about extension headers.
fn extension_size(offset: u64, header: &Header) -> Result<u64, LayerError> {
    let size = header_number(header.size()).and_then(|size| u64::try_from(size).ok());
    size.ok_or_else(|| {
        let at = Place { offset, path: None };
        LayerError::BadNumber { at, field: Field::Size, value: header.size().to_vec() }
    })
}

/// Whether the two blocks behind a header that should have no content are content; see the top of this file.
fn data_follows(ahead: &[u8]) -> bool {
    let (first, second) = ahead.split_at(ahead.len().min(BLOCK));
    match first.len() {
        0 => false,
        BLOCK if is_zero(first) => second.len() == BLOCK && !is_zero(second) && !Header::is_header(second),
        BLOCK => !Header::is_header(first),
        _ => true,
    }
}
