//! Where in a gzip stream a decoder can start, found while the stream is read once.
//!
//! ```text
//!   source ─► Scan ─────────────────► decompressor ─► plain bytes ─┬─► consumer
//!             a thread of its own      of the caller               │
//!             walks over the blocks,                               ▼
//!             a piece ahead ──────────────── places ──────────► Windows ─► SeekIndex
//!                                                               keeps 32 KiB
//! ```
//!
//! A point is the start of a block. The first block of a member is one, since not every decoder goes on from one member to
//! the next; then every block that begins 512 KiB of the stream or 2 MiB of plain bytes behind the point before. Inside
//! of members a point costs 32 KiB of memory; after every 1024 of these they become half as frequent, so that 256 GiB
//! have at most 10,240.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use crate::identify::whole::skip_header;
use crate::inflate::{ScanError, Scanner};

/// Bytes of the stream that are handed on at once. More than a scanner reads ahead, which is a few bytes.
const PIECE: usize = 128 << 10;
/// Pieces on their way.
const DEPTH: usize = 2;
/// Longest distance of a match.
const WINDOW: usize = 32 << 10;
/// Stored bytes between two points.
const STORED_STEP: u64 = 512 << 10;
/// Plain bytes between two points.
const PLAIN_STEP: u64 = 2 << 20;
/// Bytes, stored or plain, between two known places.
const PLACE_STEP: u64 = 32 << 10;
/// Plain bytes from the start of a member that is a point to one that is a point too: the shortest that a tar can have
/// between two contents.
const MEMBER_STEP: u64 = 512;
/// The same, after so many of them that something is wrong.
const LONG_MEMBER_STEP: u64 = 32 << 10;
const MANY_MEMBERS: usize = 1 << 20;
/// Points until they become half as frequent.
const POINTS: usize = 1024;

/// A place where a decoder can start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// Plain bytes before it.
    pub plain: u64,
    /// Offset in the stream of the first whole byte of the block.
    pub stored: u64,
    /// The byte before that one.
    pub byte: u8,
    /// How many of its highest bits belong to the block: 0 to 7.
    pub bits: u8,
    /// What the decoder has to know: the plain bytes before, of the same member and 32 KiB at most.
    pub dictionary: Vec<u8>,
}

/// A place that is known in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    plain: u64,
    /// So many bytes of the stream are enough to get there.
    stored: u64,
    /// Whether decoders that get there find the end of a member.
    ends_member: bool,
}

/// The points of a stream, ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeekIndex {
    points: Vec<Point>,
    /// Ascending in both; the first is the start, the last the end of the last block.
    places: Vec<Place>,
}

impl SeekIndex {
    /// The places where inflating can begin, in the order of the stream.
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// The position among the points of the last one that is not behind `plain`.
    pub fn point_before(&self, plain: u64) -> Option<usize> {
        self.points.partition_point(|point| point.plain <= plain).checked_sub(1)
    }

    /// So many bytes of the stream are enough to get `plain` plain bytes: exactly at ends of blocks, else some more.
    pub(crate) fn enough_for(&self, plain: u64) -> u64 {
        let next = self.places.partition_point(|place| place.plain < plain);
        self.places.get(next).or(self.places.last()).map_or(0, |place| place.stored)
    }

    /// So many bytes of the stream are enough to get `plain` plain bytes, also for decoders that fail where a member ends
    /// right after what they want and nothing follows: they get the beginning of the next member, if there is one.
    pub fn safe_for(&self, plain: u64) -> u64 {
        let next = self.places.partition_point(|place| place.plain < plain);
        match (self.places.get(next), self.places.get(next.saturating_add(1))) {
            (Some(place), Some(after)) if place.plain == plain && place.ends_member => after.stored,
            _ => self.enough_for(plain),
        }
    }

    /// About how many bytes of the stream stand for the first `plain` ones: never less for more, and exact at the places
    /// that are known.
    pub fn about(&self, plain: u64) -> u64 {
        let next = self.places.partition_point(|place| place.plain < plain);
        let Some(after) = self.places.get(next) else {
            return self.places.last().map_or(0, |place| place.stored);
        };
        let before = next.checked_sub(1).and_then(|before| self.places.get(before));
        let Some(before) = before else { return after.stored };
        let (part, whole) = (plain - before.plain, after.plain - before.plain);
        let stored = u128::from(after.stored - before.stored) * u128::from(part) / u128::from(whole.max(1));
        // A part of a difference of two u64.
        before.stored + stored as u64
    }
}

/// What was found in a piece of the stream.
#[derive(Debug, Default)]
struct Found {
    points: VecDeque<(Point, usize)>,
    places: Vec<Place>,
    /// Set at the end; `None` for what is not gzip.
    end: Option<Result<bool, ScanError>>,
}

impl Found {
    fn add(&mut self, mut other: Self) {
        self.points.append(&mut other.points);
        self.places.append(&mut other.places);
        self.end = other.end.or(self.end.take());
    }
}

enum Message {
    Piece(Vec<u8>, Found),
    Failed(io::Error),
    End(Found),
}

/// The stream as it is, for the decompressor.
pub struct Scan {
    pieces: Receiver<Message>,
    found: Arc<Mutex<Found>>,
    piece: Vec<u8>,
    used: usize,
    ended: bool,
}

/// Sees the plain bytes, and keeps what the points need of them.
pub struct Windows {
    found: Arc<Mutex<Found>>,
    plain: u64,
    tail: Vec<u8>,
    points: Vec<Point>,
}

/// Scans `source` on a thread of its own. What the decompressor of [`Scan`] gives goes to [`Windows`].
///
/// # Errors
/// If the thread cannot be started.
pub fn scan<R: Read + Send + 'static>(source: R) -> io::Result<(Scan, Windows)> {
    let (send, pieces) = sync_channel(DEPTH);
    std::thread::Builder::new().name("scan".to_owned()).spawn(move || walk(source, send))?;
    let found = Arc::new(Mutex::new(Found::default()));
    let windows = Windows { found: Arc::clone(&found), plain: 0, tail: Vec::new(), points: Vec::new() };
    Ok((Scan { pieces, found, piece: Vec::new(), used: 0, ended: false }, windows))
}

impl Read for Scan {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.used == self.piece.len() && !self.ended {
            let message =
                self.pieces.recv().map_err(|_| io::Error::other("the scan of the stream stopped"))?;
            let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
            match message {
                Message::Piece(piece, new) => {
                    found.add(new);
                    (self.piece, self.used) = (piece, 0);
                }
                Message::End(new) => {
                    found.add(new);
                    self.ended = true;
                }
                Message::Failed(error) => {
                    self.ended = true;
                    return Err(error);
                }
            }
        }
        let mut rest = self.piece.get(self.used..).unwrap_or_default();
        let read = rest.read(out)?;
        self.used += read;
        Ok(read)
    }
}

impl Windows {
    /// The next plain bytes, in order, and before the decompressor reads on.
    pub fn plain(&mut self, bytes: &[u8]) {
        let end = self.plain + bytes.len() as u64;
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        while found.points.front().is_some_and(|(point, _)| point.plain <= end) {
            let Some((mut point, window)) = found.points.pop_front() else { break };
            // A point that is behind already would be a mistake; without it those before serve.
            let Some(own) = point.plain.checked_sub(self.plain) else { continue };
            // Not more than there are bytes.
            let own = own as usize;
            let fresh = &bytes[own.saturating_sub(window)..own];
            let old = self.tail.len() - (window - fresh.len()).min(self.tail.len());
            point.dictionary = [&self.tail[old..], fresh].concat();
            self.points.push(point);
        }
        drop(found);
        self.plain = end;
        if bytes.len() >= WINDOW {
            self.tail.clear();
            self.tail.extend_from_slice(&bytes[bytes.len() - WINDOW..]);
        } else {
            self.tail.drain(..(self.tail.len() + bytes.len()).saturating_sub(WINDOW));
            self.tail.extend_from_slice(bytes);
        }
    }

    /// The index, when the stream was read to its end; `None` if it is not gzip.
    ///
    /// # Errors
    /// If it is gzip, and not understood.
    pub fn finish(self) -> Result<Option<SeekIndex>, ScanError> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        match found.end.take() {
            Some(Ok(true)) => {
                let places = std::mem::take(&mut found.places);
                // Both walked over the same members, or the index does not tell of all of them.
                if places.last().is_none_or(|last| last.plain != self.plain) {
                    return Err(ScanError::Malformed { what: "a header that decoders read differently" });
                }
                Ok(Some(SeekIndex { points: self.points, places }))
            }
            Some(Ok(false)) => Ok(None),
            Some(Err(error)) => Err(error),
            None => Err(ScanError::Truncated),
        }
    }
}

/// The stream for the scanner; what it is done with goes on.
///
/// The piece before the current one is still held: the scanner reads a few bytes ahead of what it knows, and a point
/// has to be known before its bytes are given away.
struct Pieces<R> {
    source: R,
    send: SyncSender<Message>,
    before: Vec<u8>,
    current: Vec<u8>,
    used: usize,
    /// Offset of the current piece in the stream.
    offset: u64,
    found: Found,
}

impl<R: Read> Pieces<R> {
    fn position(&self) -> u64 {
        self.offset + self.used as u64
    }

    /// A byte of the two pieces at hand.
    fn byte_at(&self, offset: u64) -> Option<u8> {
        match offset.checked_sub(self.offset) {
            Some(at) => self.current.get(at as usize).copied(),
            None => {
                let back = usize::try_from(self.offset - offset).ok()?;
                self.before.get(self.before.len().checked_sub(back)?).copied()
            }
        }
    }

    fn advance(&mut self) -> io::Result<()> {
        self.give_before()?;
        self.offset += self.current.len() as u64;
        self.before = std::mem::take(&mut self.current);
        self.used = 0;
        // Filled to the end, so that only the last one is short.
        (&mut self.source).take(PIECE as u64).read_to_end(&mut self.current)?;
        Ok(())
    }

    fn give_before(&mut self) -> io::Result<()> {
        let before = std::mem::take(&mut self.before);
        if before.is_empty() {
            return Ok(());
        }
        self.send(Message::Piece(before, Found::default()))
    }

    fn send(&mut self, message: Message) -> io::Result<()> {
        let message = match message {
            Message::Piece(piece, _) => Message::Piece(piece, std::mem::take(&mut self.found)),
            Message::End(_) => Message::End(std::mem::take(&mut self.found)),
            failed => failed,
        };
        self.send.send(message).map_err(|_| io::Error::other("nobody reads the stream"))
    }

    /// Hands on all that is left, unseen.
    fn pass(&mut self) -> io::Result<()> {
        while !self.current.is_empty() {
            self.advance()?;
        }
        self.give_before()
    }
}

impl<R: Read> Read for Pieces<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(out)?;
        self.consume(read);
        Ok(read)
    }
}

impl<R: Read> BufRead for Pieces<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.used == self.current.len() && (self.used > 0 || self.offset == 0) {
            self.advance()?;
        }
        Ok(self.current.get(self.used..).unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        self.used += count;
    }
}

fn walk<R: Read>(source: R, send: SyncSender<Message>) {
    let mut pieces = Pieces {
        source,
        send,
        before: Vec::new(),
        current: Vec::new(),
        used: 0,
        offset: 0,
        found: Found::default(),
    };
    let end = match members(&mut pieces) {
        Err(ScanError::Read(error)) => {
            // Nobody reads on, or this is what the reader has to know.
            let _ = pieces.give_before();
            let _ = pieces.send(Message::Failed(error));
            return;
        }
        end => end,
    };
    pieces.found.end = Some(end);
    let passed = pieces.pass();
    let _ = pieces.send(match passed {
        Ok(()) => Message::End(Found::default()),
        Err(error) => Message::Failed(error),
    });
}

/// Where the last point was, and how far the next one has to be.
struct Steps {
    last: Place,
    /// Plain bytes before the last one that is the start of a member. Points inside, however near, do not stand for it:
    /// not every decoder gets from there into the member.
    last_member: u64,
    /// Points so far, at starts of members and inside.
    members: usize,
    inside: usize,
}

impl Steps {
    fn is_due(&self, at: Place, fresh_member: bool) -> bool {
        let (plain, stored) = (at.plain - self.last.plain, at.stored - self.last.stored);
        if self.members == 0 {
            return true;
        }
        if fresh_member {
            let plain = at.plain - self.last_member;
            let many = self.members > MANY_MEMBERS;
            return plain >= if many { LONG_MEMBER_STEP } else { MEMBER_STEP };
        }
        // 512 MiB of the stream, then 1 GiB, 2, …: a few steps at most.
        let shift = (self.inside / POINTS).min(30);
        plain >= PLAIN_STEP << shift || stored >= STORED_STEP << shift
    }

    fn add(&mut self, at: Place, fresh_member: bool) {
        self.last = at;
        if fresh_member {
            self.last_member = at.plain;
            self.members += 1;
        } else {
            self.inside += 1;
        }
    }
}

/// Goes through all members; whether there was one at all.
fn members<R: Read>(pieces: &mut Pieces<R>) -> Result<bool, ScanError> {
    let start = Place { plain: 0, stored: 0, ends_member: false };
    let mut steps = Steps { last: start, last_member: 0, members: 0, inside: 0 };
    let mut member = 0;
    pieces.found.places.push(steps.last);
    while skip_header(pieces)? {
        member = one_member(pieces, member, &mut steps)?;
    }
    Ok(steps.members > 0)
}

/// One member behind its header, whose plain bytes begin at `member`; gives where they end.
fn one_member<R: Read>(pieces: &mut Pieces<R>, member: u64, steps: &mut Steps) -> Result<u64, ScanError> {
    let start = pieces.position();
    let mut scanner = Scanner::new(pieces);
    let (mut bit, mut plain) = (8 * start, member);
    let mut known = steps.last;
    loop {
        // Of a block that begins inside of a byte, the first whole one is the next.
        let at = Place { plain, stored: bit.div_ceil(8), ends_member: false };
        if steps.is_due(at, plain == member) {
            let bits = (8 - bit % 8) % 8;
            let byte = at.stored.checked_sub(1).and_then(|before| scanner.stream().byte_at(before));
            let point = Point {
                plain,
                stored: at.stored,
                byte: byte.unwrap_or_default(),
                bits: bits as u8,
                dictionary: Vec::new(),
            };
            let window = usize::try_from(plain - member).unwrap_or(WINDOW).min(WINDOW);
            scanner.stream_mut().found.points.push_back((point, window));
            steps.add(at, plain == member);
        }
        let Some(block) = scanner.next_block()? else { break };
        (bit, plain) = (8 * start + block.end_bit, member + block.plain_end());
        // Before an empty last block: who stops there does not come to the end of the member.
        let end = if block.last && block.plain_len == 0 {
            at
        } else {
            Place { plain, stored: bit.div_ceil(8), ends_member: block.last }
        };
        let far = end.plain - known.plain >= PLACE_STEP || end.stored - known.stored >= PLACE_STEP;
        if block.last || far {
            known = end;
            let places = &mut scanner.stream_mut().found.places;
            // Two places with the same plain bytes: the first is enough.
            if places.last().is_none_or(|last| last.plain < end.plain) {
                places.push(end);
            }
        }
        if block.last {
            break;
        }
    }
    scanner.trailer()?;
    Ok(plain)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    /// Text that compresses to about a third, different from place to place.
    fn text(length: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let mut word = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            format!("{:x} ", (state >> 33) % 5000).into_bytes()
        };
        let mut text = Vec::new();
        while text.len() < length {
            text.extend(word());
        }
        text.truncate(length);
        text
    }

    fn gzip(plain: &[u8], level: u32) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    /// Reads a stream as a converter does, `step` plain bytes at once.
    fn index_of(stream: Vec<u8>, step: usize) -> (Vec<u8>, Result<Option<SeekIndex>, ScanError>) {
        let (scan, mut windows) = scan(io::Cursor::new(stream)).unwrap();
        let mut decoder = flate2::read::MultiGzDecoder::new(scan);
        let (mut plain, mut piece) = (Vec::new(), vec![0; step]);
        loop {
            let read = decoder.read(&mut piece).unwrap();
            if read == 0 {
                return (plain, windows.finish());
            }
            windows.plain(&piece[..read]);
            plain.extend_from_slice(&piece[..read]);
        }
    }

    #[test]
    fn every_point_has_its_window_and_begins_a_block() {
        let parts = [text(9 << 20), text(100), text(3 << 20), Vec::new(), text(200_000)];
        for (level, step) in [(0, 1 << 20), (1, 1000), (6, 64 << 10), (9, 5 << 20)] {
            let stream: Vec<u8> = parts.iter().flat_map(|part| gzip(part, level)).collect();
            let (plain, index) = index_of(stream.clone(), step);
            let index = index.unwrap().unwrap();
            assert_eq!(plain, parts.concat());
            // The fastest level of zlib-rs writes one block for a whole member.
            assert!(
                index.points().len() > if level == 1 { 2 } else { 5 },
                "level {level}: {}",
                index.points().len()
            );
            let starts: Vec<u64> = parts
                .iter()
                .scan(0, |at, part| Some(std::mem::replace(at, *at + part.len() as u64)))
                .collect();
            for point in index.points() {
                assert!(plain[..point.plain as usize].ends_with(&point.dictionary));
                // At the border of two members it may be the last block of one or the first of the other.
                let window = |start: &u64| {
                    point.plain.checked_sub(*start).map(|behind| behind.min(WINDOW as u64) as usize)
                };
                assert!(starts.iter().any(|start| window(start) == Some(point.dictionary.len())));
                let before = point.stored.checked_sub(1).map(|before| stream[before as usize]);
                assert_eq!(Some(point.byte), before);
            }
            assert_eq!(index.points()[0].plain, 0);
            assert!(index.enough_for(plain.len() as u64) + 8 <= stream.len() as u64);
            for pair in (0..plain.len() as u64).step_by(77_777).collect::<Vec<_>>().windows(2) {
                assert!(index.about(pair[0]) <= index.about(pair[1]));
                assert!(index.about(pair[1]) <= index.enough_for(pair[1]));
            }
        }
    }

    /// As in eStargz: a file's last block, with the header of the next file behind it, and the next member.
    #[test]
    fn a_member_right_behind_a_point_has_its_own() {
        let (content, header, next) = (vec![0; 2 << 20], vec![1; 511], text(100_000));
        let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
        encoder.write_all(&content).unwrap();
        encoder.flush().unwrap();
        encoder.write_all(&header).unwrap();
        let stream = [encoder.finish().unwrap(), gzip(&next, 6)].concat();
        let (plain, index) = index_of(stream, 64 << 10);
        let index = index.unwrap().unwrap();
        let start = (content.len() + header.len()) as u64;
        assert_eq!(plain.len() as u64, start + next.len() as u64);
        let near = |at: u64| index.points().iter().any(|point| point.plain == at && at > 0);
        assert!(near(content.len() as u64) && near(start));
        let own = &index.points()[index.point_before(start).unwrap()];
        assert_eq!((own.plain, own.bits, own.dictionary.len()), (start, 0, 0));
    }

    #[test]
    fn streams_that_are_no_gzip() {
        let (plain, index) = (b"no gzip at all".to_vec(), index_of_plain(b"no gzip at all".to_vec()));
        assert_eq!((index.0, index.1.unwrap()), (plain, None));
        assert!(index_of_plain(Vec::new()).1.unwrap().is_none());
        // A damaged block is passed on as it is: whoever decodes it knows better what to say.
        let mut damaged = gzip(&text(300_000), 6);
        damaged[12] ^= 0xff;
        let (passed, index) = index_of_plain(damaged.clone());
        assert_eq!(passed, damaged);
        assert!(index.is_err());
    }

    /// The stream as it comes out, without decompressing.
    fn index_of_plain(stream: Vec<u8>) -> (Vec<u8>, Result<Option<SeekIndex>, ScanError>) {
        let (mut scan, windows) = scan(io::Cursor::new(stream)).unwrap();
        let mut passed = Vec::new();
        scan.read_to_end(&mut passed).unwrap();
        (passed, windows.finish())
    }

    #[test]
    fn points_become_rarer() {
        let start = Place { plain: 0, stored: 0, ends_member: false };
        let mut steps = Steps { last: start, last_member: 0, members: 1, inside: 0 };
        let (mut at, mut points) = (start, 0);
        while at.plain < 256 << 30 {
            if steps.is_due(at, false) {
                steps.add(at, false);
                points += 1;
            }
            at = Place { plain: at.plain + (64 << 10), stored: at.stored + (64 << 10), ..at };
        }
        assert!(points < 11 * 1024, "{points}");
    }
}
