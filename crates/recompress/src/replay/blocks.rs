//! Members whose blocks can be made apart from each other: several at a time, written in order.
//!
//! ```text
//!          ┌─► worker 0: blocks 0, n, 2n … ─┐
//! plain ───┼─► worker 1: blocks 1, n+1 …    ├─► out        block i always goes to, and comes from, worker i mod n
//!          └─► …                           ─┘
//! ```

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, Scope};

use super::ends::{Out, Plain, ReplayError};
use crate::klauspost::Settings;
use crate::method::Method;
use crate::pgzip;
use crate::zlib::{PigzParams, Threads, compress_unit};

/// Plain bytes on their way at once; as many compressed ones may wait behind them.
const BUDGET: usize = 16 << 20;

/// More threads than this would not fit the promise of memory: an encoder has up to 2 MiB.
const MAX_WORKERS: usize = 8;

/// What makes a block.
#[derive(Clone, Copy)]
enum Maker {
    Pgzip(Settings),
    Pigz(PigzParams),
}

impl Maker {
    fn make(self, job: &Job) -> Vec<u8> {
        match self {
            Self::Pgzip(settings) => pgzip::compress_block(settings, &job.dictionary, &job.block, job.last),
            Self::Pigz(params) => compress_unit(params, &job.dictionary, &job.block, job.last),
        }
    }

    /// What the block behind this one is told of it.
    fn dictionary(self, block: &[u8]) -> Vec<u8> {
        match self {
            Self::Pgzip(_) => pgzip::dictionary(block).to_vec(),
            Self::Pigz(params) if params.independent => Vec::new(),
            Self::Pigz(_) => block[block.len().saturating_sub(32768)..].to_vec(),
        }
    }
}

struct Job {
    dictionary: Vec<u8>,
    block: Vec<u8>,
    last: bool,
}

/// A member in blocks.
pub(super) struct Blocks {
    maker: Maker,
    size: usize,
    plain_len: u64,
    workers: usize,
}

impl Blocks {
    /// `None` where it does not go, or where there is nothing to gain.
    pub fn of(method: &Method, plain_len: u64, threads: NonZeroUsize) -> Option<Self> {
        let (maker, size) = match method {
            Method::Pgzip { block, settings } => (Maker::Pgzip(*settings), block.bytes()),
            Method::Pigz(params) if params.independent || params.threads == Threads::Many => {
                (Maker::Pigz(*params), params.unit.get())
            }
            _ => return None,
        };
        // Each worker has one block in its hands and one waiting.
        let workers = threads.get().min(MAX_WORKERS).min(BUDGET / (2 * size));
        (workers > 1 && plain_len > size as u64).then_some(Self { maker, size, plain_len, workers })
    }

    /// The length of the next block and whether it is the last.
    fn next(&self, left: u64) -> (usize, bool) {
        let size = self.size as u64;
        let last = match self.maker {
            // The last block is never full, even if that makes it empty.
            Maker::Pgzip(_) => left < size,
            Maker::Pigz(_) => left <= size,
        };
        (left.min(size) as usize, last)
    }

    /// Makes the deflate stream of the member.
    pub fn run<R: Read, W: Write>(&self, plain: &mut Plain<R>, out: &mut Out<W>) -> Result<(), ReplayError> {
        thread::scope(|scope| {
            let workers: Vec<_> = (0..self.workers).map(|_| Worker::start(scope, self.maker)).collect();
            let mut order = VecDeque::new();
            let (mut left, mut dictionary) = (self.plain_len, Vec::new());
            for number in 0.. {
                let (length, last) = self.next(left);
                let mut block = vec![0; length];
                plain.read(&mut block)?;
                left -= length as u64;
                if order.len() == 2 * self.workers {
                    receive(&workers, &mut order, out)?;
                }
                let next = self.maker.dictionary(&block);
                let worker = number % self.workers;
                workers[worker].send(Job { dictionary, block, last });
                order.push_back(worker);
                dictionary = next;
                if last {
                    break;
                }
            }
            while !order.is_empty() {
                receive(&workers, &mut order, out)?;
            }
            Ok(())
        })
    }
}

/// Writes the oldest block that is under way.
fn receive<W: Write>(
    workers: &[Worker],
    order: &mut VecDeque<usize>,
    out: &mut Out<W>,
) -> Result<(), ReplayError> {
    match order.pop_front().and_then(|worker| workers[worker].made.recv().ok()) {
        Some(stored) => out.write(&stored),
        // Only after a panic in a worker, which the scope hands on.
        None => Ok(()),
    }
}

/// A thread that makes blocks until nobody wants any; its queues hold all that may be under way, so neither side waits
/// for the other in vain.
struct Worker {
    jobs: SyncSender<Job>,
    made: Receiver<Vec<u8>>,
}

impl Worker {
    fn start<'scope>(scope: &'scope Scope<'scope, '_>, maker: Maker) -> Self {
        let (jobs, todo) = sync_channel::<Job>(2);
        let (done, made) = sync_channel(2);
        scope.spawn(move || {
            for job in todo {
                if done.send(maker.make(&job)).is_err() {
                    break;
                }
            }
        });
        Self { jobs, made }
    }

    fn send(&self, job: Job) {
        // It can only fail after a panic in the worker, which the scope hands on.
        let _ = self.jobs.send(job);
    }
}
