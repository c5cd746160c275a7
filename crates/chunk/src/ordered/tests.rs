#![allow(clippy::unwrap_used)]

use std::cell::Cell;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use super::*;

fn count(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).unwrap()
}

/// Work of uneven length.
fn spin(_: &mut Worker, n: u64) -> u64 {
    (0..n.wrapping_mul(7919) % 5000).fold(n, |sum, step| sum ^ std::hint::black_box(step)) ^ n
}

#[test]
fn results_come_in_input_order() {
    let expected: Vec<u64> = (0..500).map(|n| spin(&mut Worker::default(), n)).collect();
    for threads in [1, 2, 3, 8] {
        let pool = Pool::new(count(threads));
        assert_eq!(pool.threads(), threads);
        for window in [1, 2, 5, 1000] {
            assert_eq!(pool.map(0..500, count(window), spin).collect::<Vec<_>>(), expected);
        }
    }
}

#[test]
fn the_window_bounds_what_is_in_flight() {
    let pool = Pool::new(count(3));
    for window in [1, 2, 7] {
        let (pulled, returned, most) = (Cell::new(0), Cell::new(0), Cell::new(0));
        let input = (0..100).inspect(|_| {
            pulled.set(pulled.get() + 1);
            most.set(most.get().max(pulled.get() - returned.get()));
        });
        for result in pool.map(input, count(window), |_, n| n) {
            assert_eq!(result, returned.get());
            returned.set(returned.get() + 1);
        }
        assert_eq!((returned.get(), most.get()), (100, window));
    }
}

#[test]
fn costs_fill_the_window_and_one_item_may_exceed_it() {
    let pool = Pool::new(count(1));
    let (in_flight, most) = (Cell::new(0), Cell::new(0));
    let input = [3, 50, 1, 1, 9, 2, 2].into_iter().inspect(|cost| {
        assert!(in_flight.get() < 10);
        in_flight.set(in_flight.get() + cost);
        most.set(most.get().max(in_flight.get()));
    });
    for cost in pool.map_by_cost(input, 10, |cost| *cost, |_, cost| cost) {
        in_flight.set(in_flight.get() - cost);
    }
    assert_eq!((in_flight.get(), most.get()), (0, 53));
    // A window of nothing still lets one item through at a time.
    assert_eq!(pool.map_by_cost(0..5, 0, |_| 4, |_, n| n).count(), 5);
}

/// Opens a gate when it is dropped.
struct OpensOnDrop(mpsc::Sender<()>);

impl Drop for OpensOnDrop {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

#[test]
fn dropping_cancels_what_has_not_begun_and_waits_for_what_has() {
    let pool = Pool::new(count(1));
    let (open, gate) = channel();
    let (begun_sender, begun) = channel();
    let gate = Mutex::new(gate);
    let ran = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&ran);
    // Item 1 waits for the drop of item 3, which must happen although item 1 occupies the only thread.
    let items = (0..5).map(|n| (n, (n == 3).then(|| OpensOnDrop(open.clone()))));
    let mut map = pool.map(items, count(4), move |_, (n, _guard)| {
        if n == 1 {
            begun_sender.send(()).unwrap();
            gate.lock().unwrap().recv_timeout(Duration::from_secs(60)).unwrap();
        }
        counter.fetch_add(1, Ordering::SeqCst);
        n
    });
    assert_eq!(map.next(), Some(0));
    begun.recv().unwrap();
    drop(map);
    assert_eq!(ran.load(Ordering::SeqCst), 2);
    assert_eq!(Arc::strong_count(&ran), 1, "the work function is gone");
    assert_eq!(pool.map(0..3, count(2), |_, n| n).sum::<i32>(), 3, "the pool still works");
}

#[test]
fn a_panic_is_raised_at_its_place() {
    for threads in [1, 4] {
        let pool = Pool::new(count(threads));
        let mut map = pool.map(0..6, count(3), |_, n| {
            if n == 2 {
                // As `panic!`, without a message on stderr.
                panic::resume_unwind(Box::new("two"));
            }
            n
        });
        assert_eq!((map.next(), map.next()), (Some(0), Some(1)));
        let panic = catch_unwind(AssertUnwindSafe(|| map.next())).unwrap_err();
        assert_eq!(*panic.downcast::<&str>().unwrap(), "two");
        assert_eq!(map.collect::<Vec<_>>(), [3, 4, 5]);
    }
}

#[test]
fn pipelines_share_a_pool() {
    let pool = Pool::new(count(2));
    thread::scope(|scope| {
        for consumer in 0..6 {
            let pool = pool.clone();
            scope.spawn(move || {
                let squares = pool.map(0..200, count(consumer + 1), move |_, n| n * n + consumer);
                // One pipeline feeds another on the same pool.
                let roots = pool.map(squares, count(3), move |_, n| (n - consumer).isqrt());
                assert!(roots.eq(0..200));
            });
        }
    });
}

#[test]
fn threads_are_named_and_outlive_the_handle_as_long_as_needed() {
    let pool = Pool::new(count(2));
    let map = pool.map(0..9, count(2), |_, _| thread::current().name().map(str::to_owned));
    drop(pool);
    for name in map {
        assert!(matches!(name.as_deref(), Some("chunk-0" | "chunk-1")), "{name:?}");
    }
}

#[test]
fn threads_of_the_caller_do_the_work() {
    let threads =
        ThreadPoolBuilder::new().num_threads(3).thread_name(|_| "theirs".to_owned()).build().unwrap();
    let pool = Pool::from(Arc::new(threads));
    assert_eq!(pool.threads(), 3);
    let names = pool.map(0..9, count(2), |_, _| thread::current().name().map(str::to_owned));
    assert!(names.into_iter().all(|name| name.as_deref() == Some("theirs")));
}

#[test]
fn without_threads_the_consumer_works() {
    let pool = Pool { threads: None };
    assert!(pool.map(0..10, count(3), |_, n| n * 2).eq((0..10).map(|n| n * 2)));
}

#[test]
fn the_input_is_not_asked_again_after_its_end() {
    let pool = Pool::new(count(2));
    let ended = Cell::new(false);
    let input = std::iter::from_fn(|| {
        assert!(!ended.replace(true));
        None::<u8>
    });
    assert_eq!(pool.map(input, count(2), |_, n| n).count(), 0);
}
