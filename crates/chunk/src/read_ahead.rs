//! The road of chunks back out of blobs: read, decompressed and verified by many threads, given out in order.
//!
//! ```text
//!   requests ──► groups of some 256 KiB ──► one positional read ──► decode, verify ──► chunks, in order
//!   caller's     neighbours together        for adjacent chunks     one batch once
//!   thread                                  └───── a thread of the pool ─────┘
//! ```

use std::iter::Peekable;
use std::ops::{Deref, Range};
use std::sync::Arc;

use nydus_convert_rafs::Chunk;

use crate::blob::{Place, length_of};
use crate::ordered::{Map, Pool};
use crate::{BlobError, Buffers, ChunkSource, Group, ReadAt, Worker};

/// Most requests of one group, so that chunks of one byte do not pile up.
const MAX_REQUESTS: usize = 4096;

/// A chunk that is wanted.
#[derive(Debug)]
pub struct Request<S> {
    /// The chunks of the blob that it lies in.
    pub source: Arc<ChunkSource<S>>,
    /// Its number there.
    pub number: u32,
    /// Its record in the bootstrap.
    pub chunk: Chunk,
}

/// The plain bytes of a chunk, verified.
#[derive(Debug)]
pub struct PlainChunk {
    group: Arc<Group>,
    range: Range<usize>,
}

impl Deref for PlainChunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.group.all().get(self.range.clone()).unwrap_or_default()
    }
}

/// Reads all chunks that are requested and gives them in the order of the requests, as many as there are; after the
/// first that cannot be read, its error and then nothing.
///
/// `window_bytes` bounds what is under way, plain and stored bytes and the requests themselves; one group, which may be
/// one chunk of 16 MiB, may go beyond it. Each thread keeps one stored item and one plain batch besides, at most 16 MiB
/// each. Chunks given out hold their group's memory, 256 KiB or one larger chunk, until all of the group are dropped.
/// Requests are pulled on the consumer's thread.
pub fn read_ahead<S, I>(pool: &Pool, window_bytes: usize, requests: I) -> ReadAhead<S, I::IntoIter>
where
    S: ReadAt + Send + Sync + 'static,
    I: IntoIterator<Item = Request<S>>,
{
    let buffers = Buffers::new(window_bytes);
    let work: Work<S> = Box::new(move |worker, requests| read_group(worker, &requests, buffers.group()));
    let groups = Grouped { requests: requests.into_iter().peekable() };
    ReadAhead {
        groups: pool.map_by_cost(groups, window_bytes, |group| cost(group), work),
        current: None,
        done: false,
    }
}

type Work<S> = Box<dyn Fn(&mut Worker, Vec<Request<S>>) -> Read + Send + Sync>;

/// A group of chunks, and why there are no more.
struct Read {
    group: Group,
    failure: Option<BlobError>,
}

/// The chunks of [`read_ahead`].
pub struct ReadAhead<S, I: Iterator<Item = Request<S>>> {
    groups: Map<Grouped<S, I>, Read, Work<S>>,
    current: Option<Current>,
    done: bool,
}

struct Current {
    group: Arc<Group>,
    next: usize,
    start: usize,
    failure: Option<BlobError>,
}

impl<S, I> Iterator for ReadAhead<S, I>
where
    S: ReadAt + Send + Sync + 'static,
    I: Iterator<Item = Request<S>>,
{
    type Item = Result<PlainChunk, BlobError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.done {
            if let Some(current) = &mut self.current {
                if let Some(end) = current.group.end_of(current.next) {
                    let range = current.start..end;
                    (current.next, current.start) = (current.next + 1, end);
                    return Some(Ok(PlainChunk { group: Arc::clone(&current.group), range }));
                }
                if let Some(failure) = current.failure.take() {
                    self.done = true;
                    return Some(Err(failure));
                }
            }
            // The memory of a group goes back before the next one is waited for.
            self.current = None;
            let Some(Read { group, failure }) = self.groups.next() else { break };
            self.current = Some(Current { group: Arc::new(group), next: 0, start: 0, failure });
        }
        None
    }
}

/// Plain and stored bytes, and the requests themselves.
fn cost<S>(group: &[Request<S>]) -> usize {
    let bytes = group.iter().map(|request| length_of(&request.chunk)).sum::<usize>();
    2 * bytes + size_of_val(group)
}

/// Runs of requests that travel together.
struct Grouped<S, I: Iterator<Item = Request<S>>> {
    requests: Peekable<I>,
}

impl<S, I: Iterator<Item = Request<S>>> Iterator for Grouped<S, I> {
    type Item = Vec<Request<S>>;

    fn next(&mut self) -> Option<Vec<Request<S>>> {
        let mut group = vec![self.requests.next()?];
        let mut bytes = length_of(&group[0].chunk);
        let fits = |request: &Request<S>, bytes| bytes + length_of(&request.chunk) <= Group::TARGET;
        while group.len() < MAX_REQUESTS
            && let Some(request) = self.requests.next_if(|request| fits(request, bytes))
        {
            bytes += length_of(&request.chunk);
            group.push(request);
        }
        Some(group)
    }
}

fn read_group<S: ReadAt>(worker: &mut Worker, requests: &[Request<S>], mut group: Group) -> Read {
    let mut rest = requests;
    while let Some(first) = rest.first() {
        let read = match first.source.place(first.number, &first.chunk) {
            Ok(Place::Alone { offset, stored }) => {
                let run = adjacent(rest, offset, stored);
                read_run(worker, &rest[..run.count], offset, run.length, &mut group).map(|()| run.count)
            }
            Ok(place) => {
                let (source, chunk) = (&first.source, &first.chunk);
                let length = length_of(chunk);
                let read = group.fill(length, |plain| {
                    source.read_at(worker, first.number, chunk, place, plain).map(|()| length)
                });
                read.map(|_| 1)
            }
            Err(error) => Err(error),
        };
        match read {
            Ok(count) => rest = &rest[count..],
            Err(failure) => return Read { group, failure: Some(failure) },
        }
    }
    Read { group, failure: None }
}

/// Requests whose stored bytes lie back to back.
struct Run {
    count: usize,
    length: usize,
}

fn adjacent<S: ReadAt>(requests: &[Request<S>], offset: u64, stored: usize) -> Run {
    let mut run = Run { count: 1, length: stored };
    let mut requests = requests.iter();
    let Some(first) = requests.next() else { return run };
    for request in requests {
        if !Arc::ptr_eq(&request.source, &first.source) {
            break;
        }
        match request.source.place(request.number, &request.chunk) {
            Ok(Place::Alone { offset: at, stored }) if at == offset + run.length as u64 => {
                run.count += 1;
                run.length += stored;
            }
            _ => break,
        }
    }
    run
}

/// Reads a run at once; a source that fails fails all of it.
fn read_run<S: ReadAt>(
    worker: &mut Worker,
    requests: &[Request<S>],
    offset: u64,
    length: usize,
    group: &mut Group,
) -> Result<(), BlobError> {
    let Some(source) = requests.first().map(|first| &first.source) else { return Ok(()) };
    source.read_stored(worker, offset, length, |worker, stored| {
        let mut at = 0;
        for Request { number, chunk, .. } in requests {
            let Place::Alone { stored: size, .. } = source.place(*number, chunk)? else { return Ok(()) };
            let piece = stored.get_mut(at..at + size).unwrap_or_default();
            let length = length_of(chunk);
            group.fill(length, |plain| {
                source.decode_alone(worker, *number, chunk, piece, plain).map(|()| length)
            })?;
            at += size;
        }
        Ok(())
    })
}
