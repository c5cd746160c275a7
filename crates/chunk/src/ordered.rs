//! The one parallel primitive: work done out of order by a few threads, results taken in the order of the input.
//!
//! ```text
//!   input ──pull──► [ at most a window of items ] ──► queue ──► threads ──► results in input order ──► consumer
//!   (caller's thread)                                (shared by all pipelines)                        (same thread)
//! ```
//!
//! Promises: the input is pulled on the consumer's thread only; never more than a window is between the pull and
//! the hand-over; what the consumer sees does not depend on the number of threads; a panic in the work function is
//! raised again at the consumer, at its place in the order; dropping a pipeline removes what has not begun, and
//! waits for what has. A work function must not itself wait for another pipeline of the same pool.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::iter::{Fuse, successors};
use std::num::NonZeroUsize;
use std::panic::{self, AssertUnwindSafe};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::Worker;

#[cfg(test)]
mod tests;

/// Threads that any number of pipelines share, first come, first served. Clones are handles to the same threads; they
/// end after the last handle and the last pipeline are dropped.
#[derive(Clone)]
pub struct Pool {
    /// None on a machine that gives no threads.
    threads: Option<Arc<ThreadPool>>,
}

impl Pool {
    /// Starts the threads. On a machine that gives fewer than asked for, half of them do the work, or a quarter …; with
    /// none at all the consumer's thread does.
    pub fn new(threads: NonZeroUsize) -> Self {
        let start = |count| {
            let builder = ThreadPoolBuilder::new().num_threads(count);
            builder.thread_name(|number| format!("chunk-{number}")).build().ok().map(Arc::new)
        };
        let counts = successors(Some(threads.get()), |count| Some(count / 2).filter(|count| *count > 0));
        Self { threads: counts.into_iter().find_map(start) }
    }

    /// Number of threads that work.
    pub fn threads(&self) -> usize {
        self.threads.as_ref().map_or(0, |threads| threads.current_num_threads())
    }

    /// Applies `f` to every item of `input` on the pool's threads. At most `window` items are in flight: pulled
    /// from the input but not yet returned.
    pub fn map<I, T, R, F>(&self, input: I, window: NonZeroUsize, f: F) -> Map<I::IntoIter, R, F>
    where
        I: IntoIterator<Item = T>,
        T: Send + 'static,
        R: Send + 'static,
        F: Fn(&mut Worker, T) -> R + Send + Sync + 'static,
    {
        self.map_by_cost(input, window.get(), |_| 1, f)
    }

    /// As [`Pool::map`], where the window is a sum of costs. An item is pulled when the sum is below the window,
    /// so one item may exceed it.
    pub(crate) fn map_by_cost<I, T, R, F>(
        &self,
        input: I,
        window: usize,
        cost: fn(&T) -> usize,
        f: F,
    ) -> Map<I::IntoIter, R, F>
    where
        I: IntoIterator<Item = T>,
        T: Send + 'static,
        R: Send + 'static,
        F: Fn(&mut Worker, T) -> R + Send + Sync + 'static,
    {
        Map { input: input.into_iter().fuse(), cost, pipe: Pipe::new(self, window, f) }
    }
}

/// Threads of the caller's. What consumes results must not run on one of them: it waits for them.
impl From<Arc<ThreadPool>> for Pool {
    fn from(threads: Arc<ThreadPool>) -> Self {
        Self { threads: Some(threads) }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("threads", &self.threads()).finish()
    }
}

/// The results of [`Pool::map`], in the order of the input.
pub struct Map<I: Iterator, R, F> {
    input: Fuse<I>,
    cost: fn(&I::Item) -> usize,
    pipe: Pipe<R, F>,
}

impl<I, R, F> Iterator for Map<I, R, F>
where
    I: Iterator,
    I::Item: Send + 'static,
    R: Send + 'static,
    F: Fn(&mut Worker, I::Item) -> R + Send + Sync + 'static,
{
    type Item = R;

    fn next(&mut self) -> Option<R> {
        while self.pipe.has_room() {
            let Some(item) = self.input.next() else { break };
            self.pipe.push((self.cost)(&item), item);
        }
        self.pipe.pop()
    }
}

/// A pipeline that its owner fills and empties by hand.
pub(crate) struct Pipe<R, F> {
    pool: Pool,
    f: Arc<F>,
    window: usize,
    /// Sum of the costs in flight.
    load: usize,
    /// Oldest first.
    flying: VecDeque<Flying<R>>,
}

struct Flying<R> {
    cost: usize,
    result: Receiver<thread::Result<R>>,
    job: Arc<dyn Cancel>,
}

impl<R, F> Pipe<R, F> {
    pub(crate) fn new(pool: &Pool, window: usize, f: F) -> Self {
        Self { pool: pool.clone(), f: Arc::new(f), window, load: 0, flying: VecDeque::new() }
    }

    /// Whether the window allows another item. Always true of an empty pipeline.
    pub(crate) fn has_room(&self) -> bool {
        self.flying.is_empty() || self.load < self.window
    }

    /// Hands an item to the threads.
    pub(crate) fn push<T>(&mut self, cost: usize, item: T)
    where
        T: Send + 'static,
        R: Send + 'static,
        F: Fn(&mut Worker, T) -> R + Send + Sync + 'static,
    {
        let (sender, result) = mpsc::sync_channel(1);
        let job = Arc::new(Job(Mutex::new(Some((item, Arc::clone(&self.f))))));
        self.load += cost;
        self.flying.push_back(Flying { cost, result, job: Arc::clone(&job) as Arc<dyn Cancel> });
        let run = move || {
            let Some((item, f)) = job.take() else { return };
            let result = with_worker(|worker| f(worker, item));
            // Whoever sees the result may rely on this thread being done with what `f` holds.
            drop(f);
            let _ = sender.send(result);
        };
        match &self.pool.threads {
            Some(threads) => threads.spawn_fifo(run),
            None => run(),
        }
    }

    /// Waits for the oldest result. `None` when nothing is in flight.
    pub(crate) fn pop(&mut self) -> Option<R> {
        // A job is taken by running, which sends, or by the drop of this very pipeline.
        let Ok(result) = self.flying.front()?.result.recv() else {
            unreachable!("a job ended without a result")
        };
        Some(self.landed(result))
    }

    /// The oldest result, if it is there already.
    pub(crate) fn pop_ready(&mut self) -> Option<R> {
        let result = self.flying.front()?.result.try_recv().ok()?;
        Some(self.landed(result))
    }

    /// Takes the oldest item, whose result this is, out of the books.
    fn landed(&mut self, result: thread::Result<R>) -> R {
        self.load -= self.flying.pop_front().map_or(0, |oldest| oldest.cost);
        result.unwrap_or_else(|panic| panic::resume_unwind(panic))
    }
}

impl<R, F> Drop for Pipe<R, F> {
    fn drop(&mut self) {
        self.flying.retain(|flying| !flying.job.cancel());
        for running in self.flying.drain(..) {
            let _ = running.result.recv();
        }
    }
}

/// An item and what is done with it, until one of both sides takes it: a thread, or the drop of its pipeline.
struct Job<T, F>(Mutex<Option<(T, Arc<F>)>>);

impl<T, F> Job<T, F> {
    fn take(&self) -> Option<(T, Arc<F>)> {
        // No code of others runs under the lock, so a poisoned one is still sound.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A job of any item.
trait Cancel: Send + Sync {
    /// Takes the job away; whether it had not begun.
    fn cancel(&self) -> bool;
}

impl<T: Send, F: Send + Sync> Cancel for Job<T, F> {
    fn cancel(&self) -> bool {
        self.take().is_some()
    }
}

thread_local! {
    static WORKER: RefCell<Worker> = RefCell::default();
}

/// Runs `f` with what this thread keeps from one job to the next; after a panic it keeps nothing.
fn with_worker<R>(f: impl FnOnce(&mut Worker) -> R) -> thread::Result<R> {
    WORKER.with(|kept| match kept.try_borrow_mut() {
        Ok(mut worker) => {
            let result = panic::catch_unwind(AssertUnwindSafe(|| f(&mut worker)));
            if result.is_err() {
                *worker = Worker::default();
            }
            result
        }
        Err(_) => panic::catch_unwind(AssertUnwindSafe(|| f(&mut Worker::default()))),
    })
}
