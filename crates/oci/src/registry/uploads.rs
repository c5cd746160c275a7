//! Pushes staged blobs on threads of their own, while others are still being made.

use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use super::client::Client;
use super::error::RegistryError;
use super::upload::push;
use crate::descriptor::Blob;
use crate::digest::Digest;

/// Blobs pushed at the same time: what docker pushes at a time is five; three fill a line and spare registries.
const AT_ONCE: usize = 3;

/// Blobs on their way. Dropped, it gives up what is not done.
pub(super) struct Uploads {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Shared {
    client: Arc<Client>,
    part: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<(Blob, File)>,
    /// What the repository has or will have.
    known: HashSet<Digest>,
    running: usize,
    /// Why it was closed before its end.
    failed: Option<Arc<RegistryError>>,
    closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What one thread does.
    fn work(&self) {
        loop {
            let mut state = self.lock();
            let (blob, file) = loop {
                if state.closed {
                    return;
                }
                if let Some(next) = state.waiting.pop_front() {
                    break next;
                }
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            };
            state.running += 1;
            drop(state);
            let result = push(&self.client, &file, blob, self.part);
            let mut state = self.lock();
            state.running -= 1;
            if let Err(error) = result {
                state.failed.get_or_insert(Arc::new(error));
                state.closed = true;
            }
            self.changed.notify_all();
        }
    }
}

impl Uploads {
    /// Nothing yet.
    pub fn new(client: Arc<Client>, part: u64) -> Self {
        let shared = Shared { client, part, state: Mutex::default(), changed: Condvar::new() };
        Self { shared: Arc::new(shared), threads: Mutex::default() }
    }

    /// Takes on a blob: the first `blob.size` bytes of `file`. From the first failure of any blob on, that is the answer.
    pub fn add(&self, blob: Blob, file: File) -> Result<(), RegistryError> {
        let mut state = self.shared.lock();
        fail(&state)?;
        if !state.known.insert(blob.digest) {
            return Ok(());
        }
        state.waiting.push_back((blob, file));
        drop(state);
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        if threads.len() < AT_ONCE {
            let shared = Arc::clone(&self.shared);
            let thread = thread::Builder::new().name("push".to_owned()).spawn(move || shared.work());
            let path = std::path::PathBuf::from("a thread");
            threads.push(thread.map_err(|source| RegistryError::Staging { path, source })?);
        }
        self.shared.changed.notify_one();
        Ok(())
    }

    /// Whether the repository has a blob or will have it.
    pub fn knows(&self, digest: &Digest) -> bool {
        self.shared.lock().known.contains(digest)
    }

    /// Notes that the repository has a blob.
    pub fn note(&self, digest: Digest) {
        self.shared.lock().known.insert(digest);
    }

    /// Whether everything went well so far.
    pub fn check(&self) -> Result<(), RegistryError> {
        fail(&self.shared.lock())
    }

    /// Waits until every blob is there.
    pub fn wait(&self) -> Result<(), RegistryError> {
        let mut state = self.shared.lock();
        while !state.closed && (state.running > 0 || !state.waiting.is_empty()) {
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        fail(&state)
    }
}

fn fail(state: &State) -> Result<(), RegistryError> {
    match &state.failed {
        // All layers end by it; which of them ends first is chance, what they say is not.
        Some(error) => Err(RegistryError::Push(Arc::clone(error))),
        None if state.closed => Err(RegistryError::Closed),
        None => Ok(()),
    }
}

impl Drop for Uploads {
    fn drop(&mut self) {
        {
            let mut state = self.shared.lock();
            let idle = state.running == 0 && state.waiting.is_empty();
            state.closed = true;
            if !idle {
                self.shared.client.cancelled.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        }
        self.shared.changed.notify_all();
        for thread in self.threads.get_mut().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // A thread that panicked has nothing left to say.
            let _ = thread.join();
        }
    }
}
