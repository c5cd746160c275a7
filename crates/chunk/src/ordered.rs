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

use std::collections::VecDeque;
use std::fmt;
use std::iter::Fuse;
use std::num::NonZeroUsize;
use std::panic::{self, AssertUnwindSafe};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use crate::Worker;

#[cfg(test)]
mod tests;

/// Threads that any number of pipelines share, first come, first served. Clones are handles to the same threads;
/// they end when the last handle and the last pipeline are dropped.
#[derive(Clone)]
pub struct Pool {
    threads: Arc<Threads>,
}

impl Pool {
    /// Starts the threads. On a machine that gives fewer than asked for, those it gives do the work; with none at
    /// all the consumer's thread does.
    pub fn new(threads: NonZeroUsize) -> Self {
        let queue = Arc::new(Queue::default());
        let handles = (0..threads.get())
            .map_while(|number| {
                let queue = Arc::clone(&queue);
                let builder = thread::Builder::new().name(format!("chunk-{number}"));
                builder.spawn(move || run(&queue)).ok()
            })
            .collect();
        Self { threads: Arc::new(Threads { queue, handles }) }
    }

    /// Number of threads that work.
    pub fn threads(&self) -> usize {
        self.threads.handles.len()
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
    id: u64,
    f: Arc<F>,
    window: usize,
    /// Sum of the costs in flight.
    load: usize,
    /// Oldest first.
    flying: VecDeque<(usize, Receiver<thread::Result<R>>)>,
}

impl<R, F> Pipe<R, F> {
    pub(crate) fn new(pool: &Pool, window: usize, f: F) -> Self {
        let id = pool.threads.queue.new_pipe();
        Self { pool: pool.clone(), id, f: Arc::new(f), window, load: 0, flying: VecDeque::new() }
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
        let (sender, receiver) = mpsc::sync_channel(1);
        let f = Arc::clone(&self.f);
        let job = move |worker: &mut Worker| {
            let result = panic::catch_unwind(AssertUnwindSafe(|| f(worker, item)));
            if result.is_err() {
                *worker = Worker::default();
            }
            // Whoever sees the result may rely on this thread being done with what `f` holds.
            drop(f);
            let _ = sender.send(result);
        };
        self.load += cost;
        self.flying.push_back((cost, receiver));
        self.pool.threads.submit(self.id, Box::new(job));
    }

    /// Waits for the oldest result. `None` when nothing is in flight.
    pub(crate) fn pop(&mut self) -> Option<R> {
        let (_, receiver) = self.flying.front()?;
        // A job leaves the queue by running, which sends, or by the drop of this very pipeline.
        let Ok(result) = receiver.recv() else { unreachable!("a job ended without a result") };
        Some(self.landed(result))
    }

    /// The oldest result, if it is there already.
    pub(crate) fn pop_ready(&mut self) -> Option<R> {
        let (_, receiver) = self.flying.front()?;
        let result = receiver.try_recv().ok()?;
        Some(self.landed(result))
    }

    /// Takes the oldest item, whose result this is, out of the books.
    fn landed(&mut self, result: thread::Result<R>) -> R {
        self.load -= self.flying.pop_front().map_or(0, |(cost, _)| cost);
        result.unwrap_or_else(|panic| panic::resume_unwind(panic))
    }
}

impl<R, F> Drop for Pipe<R, F> {
    fn drop(&mut self) {
        self.pool.threads.queue.remove(self.id);
        // What was removed reports at once that nothing will come; what runs reports when it is done.
        for (_, receiver) in self.flying.drain(..) {
            let _ = receiver.recv();
        }
    }
}

type Job = Box<dyn FnOnce(&mut Worker) + Send>;

struct Threads {
    queue: Arc<Queue>,
    handles: Vec<JoinHandle<()>>,
}

impl Threads {
    fn submit(&self, pipe: u64, job: Job) {
        if self.handles.is_empty() {
            job(&mut Worker::default());
        } else {
            self.queue.put(pipe, job);
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.queue.close();
        // Pipelines hold handles and wait for their jobs, so this never runs on one of the threads.
        for handle in self.handles.drain(..) {
            let _ = handle.join();
        }
    }
}

fn run(queue: &Queue) {
    let mut worker = Worker::default();
    while let Some(job) = queue.take() {
        job(&mut worker);
    }
}

/// Jobs that wait for a thread.
#[derive(Default)]
struct Queue {
    state: Mutex<QueueState>,
    changed: Condvar,
}

#[derive(Default)]
struct QueueState {
    /// Each with the pipeline it belongs to.
    waiting: VecDeque<(u64, Job)>,
    pipes: u64,
    closed: bool,
}

impl Queue {
    /// No code of others runs under the lock, so a poisoned one is still sound.
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn new_pipe(&self) -> u64 {
        let mut state = self.lock();
        state.pipes += 1;
        state.pipes
    }

    fn put(&self, pipe: u64, job: Job) {
        self.lock().waiting.push_back((pipe, job));
        self.changed.notify_one();
    }

    /// Waits for a job. `None` when the queue is closed.
    fn take(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if let Some((_, job)) = state.waiting.pop_front() {
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn remove(&self, pipe: u64) {
        let mut state = self.lock();
        let (removed, kept): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut state.waiting).into_iter().partition(|(owner, _)| *owner == pipe);
        state.waiting = kept;
        drop(state);
        // The items' own drops run here, outside the lock.
        drop(removed);
    }

    fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }
}
