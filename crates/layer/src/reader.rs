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
//! # Damage
//! A step that fails has handed nothing out: what it took in comes again when the caller asks for it with
//! [`LayerReader::salvage`], with everything that follows.
//!
//! # Types
//! `V`, GNU tar's name of a volume, names no file: passed over. `X` is Solaris' spelling of `x`. The rest is described
//! at [`EntryKind`](crate::EntryKind).

use std::io::Read;

use nydus_convert_rafs::EntryPath;

use crate::assemble::{Draft, Extensions, Shape, stored_size};
use crate::blocks::{Blocks, Piece};
use crate::content::Content;
use crate::entry::Entry;
use crate::error::{Field, LayerError, Place};
use crate::header::{Header, is_zero, until_nul};
use crate::limits::MAX_EXTENSION;
use crate::number::header_number;
use crate::pax::check_global;
use crate::sparse::Next;
use crate::sparse_map;
use crate::tape::{BLOCK, Tape};

/// Bytes of headers and extensions after which [`LayerReader::next_item`] comes back even without an entry, so that
/// whoever keeps what the tape hears can put it away. Any value would do that is small beside a chunk.
const PAUSE: u64 = 256 << 10;

/// What [`LayerReader::next_item`] finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// An entry; its content, if it is a file with some, can be read now.
    Entry(Entry),
    /// Bytes, possibly none, that belong to no file or that were left of the entry before: they can be read with
    /// [`LayerReader::read_stored`] now, and are passed over otherwise.
    Unclaimed,
}

/// Reads the entries of an uncompressed layer from a stream, in one pass and bounded memory.
#[derive(Debug)]
pub struct LayerReader<R, T = ()> {
    blocks: Blocks<R, T>,
    extensions: Extensions,
    content: Content,
    state: State,
    /// Whether extension headers of the next entry may have been read.
    gathering: bool,
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
    /// At the end of the archive; something may follow.
    Ended,
    /// What follows the archive is being read as what it is, bytes.
    Behind,
    Failed,
}

/// How far [`LayerReader::advance`] came.
enum Step {
    Entry(Entry),
    Pause,
    End,
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
            gathering: false,
            path: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// The next entry; `None` after the last one. What is left of the previous entry's content is passed over. After an
    /// error there is nothing more to read: every further call fails, unless the rest is [salvaged](Self::salvage).
    pub fn next_entry(&mut self) -> Result<Option<Entry>, LayerError> {
        self.guarded(|reader| {
            loop {
                if matches!(reader.state, State::Ended | State::Behind) {
                    return Ok(None);
                }
                match reader.advance(u64::MAX)? {
                    Step::Entry(entry) => return Ok(Some(entry)),
                    Step::Pause => reader.skip_content()?,
                    Step::End => reader.state = State::Ended,
                }
            }
        })
    }

    /// Like [`next_entry`](Self::next_entry), but nothing stored is passed over without a word: whatever the caller did
    /// not read of a content, and whatever is in no file (data behind other entries, what follows the end of the
    /// archive), is announced as [`Item::Unclaimed`] first, once. So a caller that reads all it is offered with
    /// [`read_content`](Self::read_content) and [`read_stored`](Self::read_stored) holds every byte that is not
    /// framing. Comes back with an empty `Unclaimed` now and then when headers go on and on without an entry.
    pub fn next_item(&mut self) -> Result<Option<Item>, LayerError> {
        self.guarded(|reader| {
            if reader.content.stored > 0 && !reader.content.announced {
                reader.content.announced = true;
                return Ok(Some(Item::Unclaimed));
            }
            if reader.state == State::Behind {
                reader.skip_content()?;
                return Ok(None);
            }
            if reader.state != State::Ended {
                match reader.advance(PAUSE)? {
                    Step::Entry(entry) => return Ok(Some(Item::Entry(entry))),
                    Step::Pause => {
                        reader.content.announced = true;
                        return Ok(Some(Item::Unclaimed));
                    }
                    Step::End => {}
                }
            }
            reader.state = State::Behind;
            reader.blocks.take_zero_blocks()?;
            if reader.blocks.peek(1)?.is_empty() {
                return Ok(None);
            }
            reader.content = Content { announced: true, ..Content::rest() };
            Ok(Some(Item::Unclaimed))
        })
    }

    /// Reads content of the present entry: fills `buffer` unless the content ends before. 0 at the end, and for
    /// everything that is no regular file. Holes of sparse files come as zeros.
    pub fn read_content(&mut self, buffer: &mut [u8]) -> Result<usize, LayerError> {
        self.guarded(|reader| {
            let mark = reader.content.mark();
            let (filled, result) = reader.fill(buffer);
            reader.tell_filled(mark, &buffer[..filled], result.is_ok());
            result.map(|()| filled)
        })
    }

    /// Where in the tar the content that is read next lies. `None` for sparse files, whose content lies there only in
    /// part.
    pub fn content_offset(&self) -> Option<u64> {
        self.content.expansion.is_none().then(|| self.blocks.offset())
    }

    /// Reads what is stored at the present place, of an entry or [unclaimed](Item::Unclaimed), byte for byte: holes of
    /// sparse files are not there. Fills `buffer` unless the bytes end before; 0 at their end. What a file still has
    /// cannot be read with [`read_content`](Self::read_content) afterwards.
    pub fn read_stored(&mut self, buffer: &mut [u8]) -> Result<usize, LayerError> {
        self.guarded(|reader| {
            reader.content.raw = true;
            let (filled, result) = reader.fill_stored(buffer);
            let bytes = &buffer[..filled];
            match result {
                Ok(()) if reader.content.is_file => reader.blocks.record(Piece::Content, bytes),
                Ok(()) => reader.blocks.record(Piece::Unclaimed, bytes),
                Err(_) => reader.blocks.rescue(bytes),
            }
            result.map(|()| filled)
        })
    }

    /// Gives up the tar, not the bytes: after an error everything that the tape was not told so far, from what could
    /// not be understood to the end of the stream, comes as one [`Item::Unclaimed`]. (Of a source that failed, if it
    /// can be read again.)
    pub fn salvage(&mut self) {
        self.content = Content::rest();
        self.state = State::Behind;
        self.path.clear();
    }

    /// The watcher of the raw bytes, to take out what it gathered.
    pub const fn tape_mut(&mut self) -> &mut T {
        self.blocks.tape_mut()
    }

    /// Reads the rest of the stream, so that a digest over it is complete, and gives the source back. Meant for after
    /// the last entry; whatever was not read by then, because of an error for example, is not looked at any more.
    pub fn finish(self) -> Result<R, LayerError> {
        self.finish_with_tape().map(|(source, _)| source)
    }

    /// The same, giving back the watcher too.
    pub fn finish_with_tape(self) -> Result<(R, T), LayerError> {
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

    /// Goes to the next entry. Pauses in front of content that belongs to no entry, and after `pause` bytes.
    fn advance(&mut self, pause: u64) -> Result<Step, LayerError> {
        let begin = self.blocks.offset();
        self.skip_content()?;
        if !std::mem::replace(&mut self.gathering, true) {
            self.extensions.clear();
            self.path.clear();
        }
        while let Some((offset, header)) = self.next_header()? {
            match header.typeflag() {
                b'x' | b'X' | b'g' | b'L' | b'K' => self.read_extension(offset, &header)?,
                b'V' => {
                    let size = stored_size(&header, &self.extensions, || Place { offset, path: None })?;
                    self.content = Content::stored(false, size);
                    self.extensions.clear();
                    return Ok(Step::Pause);
                }
                _ => {
                    self.gathering = false;
                    return self.assemble(offset, &header).map(Step::Entry);
                }
            }
            if self.blocks.offset() - begin >= pause {
                return Ok(Step::Pause);
            }
        }
        Ok(Step::End)
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
                    // It begins with zeros as an empty tar does.
                    let is_first = self.state == State::Start && self.blocks.offset() == 2 * BLOCK as u64;
                    return match is_first && self.blocks.peek(BLOCK)?.starts_with(EROFS) {
                        true => Err(LayerError::OtherFormat { name: "an EROFS image" }),
                        false => Ok(None),
                    };
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
                None if self.state == State::Start => {
                    let format = OTHERS.iter().find(|(magic, _)| offset == 0 && block.starts_with(magic));
                    return Err(match format {
                        Some((_, name)) => LayerError::OtherFormat { name },
                        None => LayerError::NotATar { offset },
                    });
                }
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
        self.blocks.skip_padding((size.wrapping_neg() % BLOCK as u64) as usize)?;

        let bad_pax = |position| LayerError::BadPax { offset, position };
        match typeflag {
            b'L' => until_nul(&self.scratch).clone_into(&mut self.extensions.long_name),
            b'K' => until_nul(&self.scratch).clone_into(&mut self.extensions.long_target),
            b'g' => check_global(&self.scratch).map_err(bad_pax)?,
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
            (Shape::File, None) => Content::stored(true, stored),
            (Shape::File, Some(form)) => {
                let (expansion, data) =
                    sparse_map::read(&mut self.blocks, &mut self.scratch, &draft, form, stored)?;
                size = expansion.size();
                Content { expansion: Some(expansion), ..Content::stored(true, data) }
            }
            (Shape::Unsupported | Shape::DumpDirectory, _) => Content::stored(false, stored),
            _ if stored > 0 && data_follows(self.blocks.peek(2 * BLOCK)?) => Content::stored(false, stored),
            _ => Content::NONE,
        };
        let (kind, metadata) = (draft.kind(size)?, draft.metadata()?);
        Ok(Entry { path: draft.path, kind, metadata, offset })
    }

    /// Fills the buffer with content; returns how far it came.
    fn fill(&mut self, buffer: &mut [u8]) -> (usize, Result<(), LayerError>) {
        let mut filled = 0;
        while filled < buffer.len() {
            let room = &mut buffer[filled..];
            let count = match self.content.next() {
                Next::End => break,
                Next::Hole(count) => {
                    let count = cap(count, room);
                    room[..count].fill(0);
                    count
                }
                Next::Data(count) => {
                    let count = cap(count, room);
                    match self.pull(&mut room[..count]) {
                        Ok(read) => read,
                        Err(error) => return (filled, Err(error)),
                    }
                }
            };
            self.content.advance(count as u64);
            filled += count;
        }
        (filled, Ok(()))
    }

    /// Fills the buffer with what is stored; returns how far it came.
    fn fill_stored(&mut self, buffer: &mut [u8]) -> (usize, Result<(), LayerError>) {
        let mut filled = 0;
        while filled < buffer.len() && self.content.stored > 0 {
            let room = &mut buffer[filled..];
            let count = cap(self.content.stored, room);
            match self.pull(&mut room[..count]) {
                Ok(read) => filled += read,
                Err(error) => return (filled, Err(error)),
            }
        }
        (filled, Ok(()))
    }

    /// Some bytes of what is stored. 0 only at an end that nothing foretold.
    fn pull(&mut self, room: &mut [u8]) -> Result<usize, LayerError> {
        let read = match self.blocks.pull_rescued(room) {
            0 => self.blocks.pull(room)?,
            rescued => rescued,
        };
        match (read, self.content.to_end) {
            (0, true) => self.content.stored = 0,
            (0, false) => return Err(self.truncated(self.content.stored)),
            (_, true) => {}
            (_, false) => self.content.stored -= read as u64,
        }
        Ok(read)
    }

    /// Tells the tape what was read since `mark`, or keeps it for who salvages it.
    fn tell_filled(&mut self, mark: (usize, u64), mut filled: &[u8], success: bool) {
        if let Some(expansion) = &mut self.content.expansion {
            expansion.rewind(mark);
        }
        while !filled.is_empty() {
            let (is_data, count) = match &mut self.content.expansion {
                None => (true, filled.len()),
                Some(expansion) => match expansion.next() {
                    Next::End => return,
                    Next::Hole(count) => (false, cap(count, filled)),
                    Next::Data(count) => (true, cap(count, filled)),
                },
            };
            self.content.advance(count as u64);
            let (piece, rest) = filled.split_at(count);
            match (is_data, success) {
                (true, true) => self.blocks.record(Piece::Content, piece),
                (true, false) => self.blocks.rescue(piece),
                (false, true) => self.blocks.tape_mut().hole(count as u64),
                (false, false) => {}
            }
            filled = rest;
        }
    }

    /// Consumes what is left behind the present header.
    fn skip_content(&mut self) -> Result<(), LayerError> {
        let content = std::mem::replace(&mut self.content, Content::NONE);
        if content.to_end {
            return self.blocks.skip_rest();
        }
        let piece = if content.is_file { Piece::Skipped } else { Piece::Opaque };
        let skipped = self.blocks.skip(piece, content.stored)?;
        if skipped < content.stored {
            return Err(self.truncated(content.stored - skipped));
        }
        // A last file whose block is not filled is whole nevertheless.
        self.blocks.skip_padding(content.padding)
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

fn cap(count: u64, room: &[u8]) -> usize {
    usize::try_from(count).map_or(room.len(), |count| count.min(room.len()))
}

/// The size that a header says. PAX records say nothing about extension headers.
/// What an EROFS image has behind its first 1024 bytes.
const EROFS: &[u8] = &[0xe2, 0xe1, 0xf5, 0xe0];

/// What else is found where a tar should be, by its first bytes.
const OTHERS: &[(&[u8], &str)] = &[
    (b"hsqs", "a SquashFS image"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x04\x22\x4d\x18", "compressed with lz4"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
    (b"\x1f\x8b", "compressed with gzip"),
    (b"070701", "a cpio archive"),
    (b"!<arch>", "an ar archive"),
    (b"{", "JSON"),
    (b"<", "a page of a web server"),
];

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
