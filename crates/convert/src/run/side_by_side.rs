//! Jobs side by side on a few threads, where the first error *in the order of the jobs* is the one that is told.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Runs all jobs and gives their results in order, or the position of the first that failed and its error.
///
/// `run` gets a function that says, asked again and again, whether a job before it has failed: then its result is
/// not wanted any more.
pub fn side_by_side<J: Sync, T: Send, E: Send>(
    jobs: &[J],
    threads: NonZeroUsize,
    run: impl Fn(&J, &dyn Fn() -> bool) -> Result<T, E> + Sync,
) -> Result<Vec<T>, (usize, E)> {
    let next = AtomicUsize::new(0);
    // The lowest job that failed: those above it need not go on, those below it might fail too.
    let failed = AtomicUsize::new(usize::MAX);
    let results: Vec<Mutex<Option<Result<T, E>>>> = jobs.iter().map(|_| Mutex::new(None)).collect();
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let wanted = number < failed.load(Ordering::Relaxed);
            let (Some(job), Some(slot), true) = (jobs.get(number), results.get(number), wanted) else {
                return;
            };
            let give_up = || failed.load(Ordering::Relaxed) < number;
            let result = run(job, &give_up);
            if result.is_err() {
                failed.fetch_min(number, Ordering::Relaxed);
            }
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads.get().min(jobs.len()) {
            scope.spawn(work);
        }
        work();
    });
    let mut done = Vec::with_capacity(jobs.len());
    // Only behind a failure is there a job without a result.
    for (number, slot) in results.into_iter().enumerate() {
        match slot.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(Ok(result)) => done.push(result),
            Some(Err(error)) => return Err((number, error)),
            None => break,
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_and_errors_come_in_order() {
        for threads in [1, 2, 7].into_iter().filter_map(NonZeroUsize::new) {
            let jobs: Vec<u32> = (0..50).collect();
            let squares = side_by_side(&jobs, threads, |job, _| Ok::<_, ()>(job * job));
            assert_eq!(squares, Ok(jobs.iter().map(|job| job * job).collect()));
            let result = side_by_side(&jobs, threads, |job, give_up| match job {
                20 => Err("late"),
                // The later error can come first; it must not win.
                10 => {
                    thread::sleep(std::time::Duration::from_millis(20));
                    Err("early")
                }
                _ if give_up() => Err("not wanted"),
                _ => Ok(()),
            });
            assert_eq!(result, Err((10, "early")));
            assert_eq!(side_by_side(&[], threads, |(), _| Ok::<_, ()>(())), Ok(Vec::new()));
        }
    }
}
