//! The watcher itself: takes what the decoder takes and gives, keeps little.

use super::assemble::Identified;
use super::collect::Sampler;
use super::ending::{Ending, KEPT, TRAILER};
use super::members::Members;
use super::trial::{Trial, Verdict};
use crate::recipe::{Header, TailBuilder, header};

/// How much of the stream is looked at closely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampling {
    /// Plain bytes from the start of the stream; at most 8 MiB.
    pub plain_bytes: usize,
}

impl Default for Sampling {
    /// 4 MiB.
    fn default() -> Self {
        Self { plain_bytes: 4 << 20 }
    }
}

/// Watches a gzip stream while somebody else inflates it.
///
/// Call [`Identifier::stored`] and [`Identifier::plain`] in the order of the stream, stored bytes before the plain
/// bytes that come out of them; how they are cut into calls makes no difference. The one who inflates checks the
/// trailers. Memory stays below 64 MiB whatever comes.
#[derive(Debug)]
pub struct Identifier {
    sampler: Sampler,
    member: Current,
    members: Members,
    /// Stored bytes before the current member.
    stored: u64,
    /// Something was seen that no recipe can hold.
    hopeless: bool,
}

/// The bytes since the last end of a member.
#[derive(Debug, Default)]
struct Current {
    header: Vec<u8>,
    header_done: bool,
    stored: u64,
    plain: u64,
    /// The last stored bytes, the newest at the end.
    last: [u8; KEPT],
    /// All of them, in case that they are no member.
    tail: TailBuilder,
}

impl Identifier {
    /// A watcher at the start of a stream.
    pub fn new(options: Sampling) -> Self {
        let sampler = Sampler::new(options.plain_bytes);
        let (member, members) = (Current::default(), Members::default());
        Self { sampler, member, members, stored: 0, hopeless: false }
    }

    /// Compressed bytes, headers and trailers included, as the decoder consumes them: what it has read ahead, but
    /// belongs to the next member, comes after [`Identifier::member_end`].
    pub fn stored(&mut self, bytes: &[u8]) {
        if self.hopeless {
            return;
        }
        let deflate = self.member.stored(bytes);
        if self.member.header_done && !deflate.is_empty() {
            self.sampler.stored(deflate, &self.member.header);
        }
    }

    /// Takes the plain bytes that came next out of the stream.
    pub fn plain(&mut self, bytes: &[u8]) {
        if self.hopeless {
            return;
        }
        self.sampler.plain(bytes, self.members.count);
        self.member.plain += bytes.len() as u64;
    }

    /// Everything since the last call, or since the start, was exactly one gzip member.
    pub fn member_end(&mut self) {
        if self.hopeless {
            return;
        }
        let member = std::mem::take(&mut self.member);
        self.stored += member.stored;
        self.hopeless = match member.end() {
            Some((header, ending)) => {
                self.sampler.member_end(self.members.count);
                !self.members.push(header, member.plain, ending)
            }
            None => true,
        };
        if self.hopeless {
            self.sampler = Sampler::new(0);
            self.members = Members::default();
        }
    }

    /// The expensive part, to be run on any thread, as soon as the sample is complete; once.
    ///
    /// A stream that is shorter than the sample never has one: [`Identifier::finish`] does it then.
    pub fn take_trial(&mut self) -> Option<Trial> {
        if self.hopeless { None } else { self.sampler.take().map(|sample| Trial { sample }) }
    }

    /// The end of the stream. Stored bytes behind the last end of a member are the tail.
    ///
    /// `verdict` is that of the trial, if it was taken; where it was taken but is not given, nothing is found.
    pub fn finish(self, verdict: Option<Verdict>) -> Identified {
        let Self { sampler, member, members, stored, hopeless } = self;
        let stored_len = stored + member.stored;
        let tail = if hopeless { None } else { member.tail.finish() };
        let Some(tail) = tail else { return Identified::unknown() };
        match sampler.finish(verdict) {
            Some(verdict) => Identified::new(&members, &verdict, &tail, stored_len),
            None => Identified::unknown(),
        }
    }
}

impl Current {
    /// Gives those of the bytes that are behind the header.
    fn stored<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        self.stored += bytes.len() as u64;
        if !self.tail.is_full() {
            self.tail.push(bytes);
        }
        if let Some(last) = bytes.last_chunk() {
            self.last = *last;
        } else {
            self.last.copy_within(bytes.len().., 0);
            self.last[KEPT - bytes.len()..].copy_from_slice(bytes);
        }
        if self.header_done { bytes } else { self.grow_header(bytes) }
    }

    fn grow_header<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let mut rest = bytes;
        // A header is mostly ten bytes; long ones are looked at again as they grow, by doubling steps.
        while !rest.is_empty() {
            let before = self.header.len();
            let (piece, behind) = rest.split_at(rest.len().min(before.max(64)));
            self.header.extend_from_slice(piece);
            match header(&self.header) {
                Header::Complete(length) => {
                    self.header.truncate(length);
                    self.header_done = true;
                    return &rest[length.saturating_sub(before)..];
                }
                Header::Partial => rest = behind,
                Header::No => {
                    self.header.clear();
                    self.header_done = true;
                    return rest;
                }
            }
        }
        rest
    }

    /// Header and ending, if this is a member.
    fn end(&self) -> Option<(&[u8], Ending)> {
        if !self.header_done || self.header.is_empty() {
            return None;
        }
        let deflate = self.stored.checked_sub((self.header.len() + TRAILER) as u64)?;
        let kept = usize::try_from(deflate).unwrap_or(usize::MAX).min(KEPT - TRAILER);
        let last = &self.last[KEPT - TRAILER - kept..KEPT - TRAILER];
        Some((&self.header, Ending::of(last, deflate, self.plain == 0)))
    }
}
