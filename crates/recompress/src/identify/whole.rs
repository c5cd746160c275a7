//! A whole stream at once, and proof: decode, recognise, make it again, compare.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::num::NonZeroUsize;

use crc32fast::Hasher;
use flate2::bufread::MultiGzDecoder;
use flate2::{Decompress, FlushDecompress, Status};

use super::{Identifier, Sampling};
use crate::inflate::{Kind, ScanError, Scanner};
use crate::recipe::{Builder, Flushes, Header, Inside, MAX_END, Recipe, header};
use crate::replay::{ReplayError, replay};

/// Bytes read, or inflated, at once.
const PIECE: usize = 64 << 10;

/// Flushes that a recipe can hold, of all members together.
const MAX_FLUSHES: usize = 1 << 20;

/// Finds a recipe that makes the gzip stream again, byte for byte: it was tried on all of it.
///
/// `open` gives the stream from its start, as often as it is asked: a file opened again, a slice. `None` means that no
/// known encoder makes this stream, or that it is no gzip stream. Costs an inflation, and for every candidate that
/// gets far an inflation and an encoding; memory stays below 128 MiB.
///
/// # Errors
/// What `open` and the readers give.
///
/// # Examples
/// ```
/// # use nydus_convert_recompress::{identify, replay};
/// # use std::num::NonZeroUsize;
/// // An empty file, compressed by Go.
/// let stored = b"\x1f\x8b\x08\0\0\0\0\0\0\xff\x01\0\0\xff\xff\0\0\0\0\0\0\0\0";
/// let recipe = identify(|| Ok(&stored[..]), NonZeroUsize::MIN)?.expect("known");
/// assert_eq!(recipe.method().to_string(), "Go compress/flate level 6");
/// # Ok::<_, std::io::Error>(())
/// ```
pub fn identify<R: Read>(
    mut open: impl FnMut() -> io::Result<R>,
    threads: NonZeroUsize,
) -> io::Result<Option<Recipe>> {
    let mut identifier = Identifier::new(Sampling::default());
    watch(&mut open()?, &mut identifier)?;
    let identified = identifier.finish(None);
    for recipe in &identified.candidates {
        if is_proven(recipe, &mut open, threads)? {
            return Ok(Some(recipe.clone()));
        }
    }
    if identified.candidates.is_empty() && identified.unscanned.is_empty() {
        return Ok(None);
    }
    // Perhaps there are flushes where the sample does not reach.
    let Some(flushes) = scan(open()?)? else { return Ok(None) };
    for recipe in identified.candidates.iter().chain(&identified.unscanned) {
        match flushed(recipe, &flushes) {
            Some(flushed) if flushed != *recipe && is_proven(&flushed, &mut open, threads)? => {
                return Ok(Some(flushed));
            }
            _ => {}
        }
    }
    Ok(None)
}

/// Whether the recipe makes this stream.
fn is_proven<R: Read>(
    recipe: &Recipe,
    open: &mut impl FnMut() -> io::Result<R>,
    threads: NonZeroUsize,
) -> io::Result<bool> {
    let plain = MultiGzDecoder::new(BufReader::with_capacity(PIECE, open()?)).take(recipe.plain_len());
    let mut comparer = Comparer { original: open()?, buffer: vec![0; PIECE], differs: false };
    match replay(recipe, plain, &mut comparer, threads) {
        Ok(_) => Ok(true),
        Err(ReplayError::Write(error)) if !comparer.differs => Err(error),
        Err(ReplayError::Read(error)) if !is_content(&error) => Err(error),
        Err(_) => Ok(false),
    }
}

/// Whether an error is about the bytes of a stream, not about the reading of them.
fn is_content(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    matches!(error.kind(), InvalidData | InvalidInput | UnexpectedEof)
}

/// Takes only bytes that are equal to those of the original.
struct Comparer<R> {
    original: R,
    buffer: Vec<u8>,
    differs: bool,
}

impl<R: Read> Write for Comparer<R> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(self.buffer.len());
        let found = self.original.read(&mut self.buffer[..count])?;
        self.differs = found == 0 && count > 0 || self.buffer[..found] != bytes[..found];
        if self.differs { Err(io::ErrorKind::InvalidData.into()) } else { Ok(found) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Shows the whole stream to the identifier. What is behind the last good member is not inflated.
pub(super) fn watch(stored: &mut impl Read, identifier: &mut Identifier) -> io::Result<()> {
    let mut input = Input { stored, buffer: vec![0; PIECE], start: 0, end: 0 };
    while member(&mut input, identifier)? {
        identifier.member_end();
    }
    while input.fill()? {
        identifier.stored(input.unread());
        input.start = input.end;
    }
    Ok(())
}

/// Takes one member; false where there is none, or one that is damaged.
fn member<R: Read>(input: &mut Input<R>, identifier: &mut Identifier) -> io::Result<bool> {
    let mut start = Vec::new();
    loop {
        if !input.fill()? {
            return Ok(false);
        }
        let byte = input.unread()[0];
        identifier.stored(&[byte]);
        input.start += 1;
        start.push(byte);
        match header(&start) {
            Header::Complete(_) => break,
            Header::Partial => {}
            Header::No => return Ok(false),
        }
    }
    let (mut inflater, mut plain) = (Decompress::new(false), vec![0; PIECE]);
    let mut crc = Hasher::new();
    loop {
        let more = input.fill()?;
        let before = (inflater.total_in(), inflater.total_out());
        let Ok(status) = inflater.decompress(input.unread(), &mut plain, FlushDecompress::None) else {
            return Ok(false);
        };
        let consumed = (inflater.total_in() - before.0) as usize;
        let made = (inflater.total_out() - before.1) as usize;
        identifier.stored(&input.unread()[..consumed]);
        identifier.plain(&plain[..made]);
        crc.update(&plain[..made]);
        input.start += consumed;
        match status {
            Status::StreamEnd => break,
            _ if consumed == 0 && made == 0 && !more => return Ok(false),
            _ => {}
        }
    }
    let mut trailer = [0; 8];
    for byte in &mut trailer {
        if !input.fill()? {
            return Ok(false);
        }
        *byte = input.unread()[0];
        identifier.stored(&[*byte]);
        input.start += 1;
    }
    let length = (inflater.total_out() as u32).to_le_bytes();
    Ok(trailer[..4] == crc.finalize().to_le_bytes() && trailer[4..] == length)
}

/// A reader with its bytes in view.
struct Input<'a, R> {
    stored: &'a mut R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl<R: Read> Input<'_, R> {
    /// Makes sure that there are unread bytes; false at the end.
    fn fill(&mut self) -> io::Result<bool> {
        while self.start == self.end {
            match self.stored.read(&mut self.buffer) {
                Ok(0) => return Ok(false),
                Ok(count) => (self.start, self.end) = (0, count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn unread(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }
}

/// The flushes of every member that has any, by its number; `None` when there are too many.
fn scan(stored: impl Read) -> io::Result<Option<Vec<(u64, Flushes)>>> {
    let mut reader = BufReader::with_capacity(PIECE, stored);
    let (mut found, mut total) = (Vec::new(), 0);
    for index in 0.. {
        if !skip_header(&mut reader)? {
            break;
        }
        match member_flushes(&mut reader, MAX_FLUSHES - total) {
            Ok(Some(flushes)) => {
                total += if let Inside::At(offsets) = &flushes.inside { offsets.len() } else { 0 };
                if flushes != Flushes::default() {
                    found.push((index, flushes));
                }
            }
            Ok(None) => return Ok(None),
            Err(ScanError::Read(error)) => return Err(error),
            // The tail looks like a member.
            Err(ScanError::Truncated | ScanError::Malformed { .. }) => break,
        }
    }
    Ok(Some(found))
}

/// Reads the header of a member; `false` if there is none, and then it is not told how far was read.
pub(crate) fn skip_header(reader: &mut impl BufRead) -> io::Result<bool> {
    let mut start = Vec::new();
    loop {
        let mut byte = [0];
        match reader.read_exact(&mut byte) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            other => other?,
        }
        start.extend(byte);
        match header(&start) {
            Header::Complete(_) => return Ok(true),
            Header::Partial => {}
            Header::No => return Ok(false),
        }
    }
}

fn member_flushes(reader: &mut impl BufRead, most: usize) -> Result<Option<Flushes>, ScanError> {
    let (mut scanner, mut offsets, mut plain_len) = (Scanner::new(reader), Vec::new(), 0);
    while let Some(block) = scanner.next_block()? {
        plain_len = block.plain_end();
        if block.kind == Kind::Stored && block.plain_len == 0 && !block.last {
            offsets.push(block.plain_start);
        }
        if offsets.len() > most {
            return Ok(None);
        }
    }
    scanner.trailer()?;
    let inside = offsets.partition_point(|&offset| offset < plain_len);
    let end = u8::try_from(offsets.len() - inside).ok().filter(|&end| end <= MAX_END);
    offsets.truncate(inside);
    let inside = if offsets.is_empty() { Inside::None } else { Inside::At(offsets) };
    Ok(end.map(|end| Flushes { inside, end }))
}

/// The recipe with these flushes instead of its own.
fn flushed(recipe: &Recipe, flushes: &[(u64, Flushes)]) -> Option<Recipe> {
    let (mut builder, mut listed, none) = (Builder::new(), flushes.iter().peekable(), Flushes::default());
    for (index, member) in (0..).zip(recipe.members()) {
        let own = listed.next_if(|(at, _)| *at == index).map_or(&none, |(_, flushes)| flushes);
        let flushes = if member.method.can_flush() { own } else { &none };
        builder.push(1, member.header, member.method, flushes, member.plain_len);
    }
    builder.finish(recipe.tail_pieces().to_vec(), recipe.stored_len())
}
