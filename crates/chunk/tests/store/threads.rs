//! Many at once: some publish, some look up, one prunes, one verifies.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nydus_convert_chunk::store::{ChunkStore, PrunePolicy, VerifyOptions};
use nydus_convert_rafs::BlobId;

use crate::place::{
    Packed, Random, assert_sound, class, each, key, packed, packed_with, publish, try_publish,
};

const LAYERS: usize = 24;

fn numbers(layer: usize) -> Vec<usize> {
    (layer * 3..layer * 3 + 7).collect()
}

/// Takes layers that are there, makes those that are not; all must be what they would be without a store.
fn convert(store: &ChunkStore, expected: &[Packed], seed: u64) {
    let mut random = Random(seed);
    for _ in 0..30 {
        let number = random.below(LAYERS);
        let body = [number as u8; 50];
        if let Some(layer) = store.find_layer(key(number as u8)).unwrap() {
            let mut bytes = vec![0; layer.size as usize];
            layer.data.read_exact_at(&mut bytes, 0).unwrap();
            assert!(bytes == expected[number].bytes && layer.body == body);
            continue;
        }
        let forms = Arc::new(store.forms(&class(), None));
        let again = packed_with(&numbers(number), Some(Arc::clone(&forms)));
        assert!(again.bytes == expected[number].bytes);
        try_publish(store, &again, Some((key(number as u8), &body))).unwrap();
    }
}

#[test]
fn all_get_what_they_would_get_alone() {
    let expected: Vec<_> = (0..LAYERS).map(|number| packed(&numbers(number))).collect();
    let ids: Vec<BlobId> = expected.iter().map(|packed| packed.finished.id).collect();
    each(|place| {
        let (over, shared) = (AtomicBool::new(false), place.store());
        thread::scope(|scope| {
            let others = [
                scope.spawn(|| {
                    let (store, mut random) = (place.another(), Random(5));
                    while !over.load(Ordering::Relaxed) {
                        let blobs = (0..4).map(|_| ids[random.below(LAYERS)]).collect();
                        store.prune(&PrunePolicy { blobs, ..PrunePolicy::default() }).unwrap();
                        thread::yield_now();
                    }
                }),
                scope.spawn(|| {
                    let store = place.another();
                    while !over.load(Ordering::Relaxed) {
                        let report =
                            store.verify(VerifyOptions { repair: true, ..Default::default() }).unwrap();
                        assert_eq!(report.problems, []);
                    }
                }),
            ];
            let users: Vec<_> = (0..4)
                .map(|user| {
                    let (expected, shared) = (&expected, &shared);
                    scope.spawn(move || {
                        // Half of them by themselves, so that what they hold is let go.
                        for round in 0..3 {
                            match user % 2 {
                                0 => convert(shared, expected, user * 10 + round),
                                _ => convert(&place.another(), expected, user * 10 + round),
                            }
                        }
                    })
                })
                .collect();
            let users: Vec<_> = users.into_iter().map(thread::ScopedJoinHandle::join).collect();
            over.store(true, Ordering::Relaxed);
            for result in users.into_iter().chain(others.map(thread::ScopedJoinHandle::join)) {
                result.unwrap();
            }
        });
        let store = place.store();
        assert_sound(&store);
        store.prune(&PrunePolicy::default()).unwrap();
        assert_eq!(store.verify(VerifyOptions::default()).unwrap().unlisted, 0);
    });
}

#[test]
fn the_same_blob_from_all_sides_is_one_blob() {
    each(|place| {
        let ids: Vec<BlobId> = thread::scope(|scope| {
            let publishing = |number: usize| {
                let store = place.another();
                move || publish(&store, &[1, 2, 3 + number / 4], Some((key(number as u8), b"body")))
            };
            let threads: Vec<_> = (0..8).map(|number| scope.spawn(publishing(number))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(ids[..4].iter().all(|id| *id == ids[0]) && ids[4..].iter().all(|id| *id == ids[4]));
        let totals = place.index.totals().unwrap();
        assert_eq!((totals.blobs, totals.chunks, totals.layers), (2, 4, 8));
        assert_sound(&place.store());
    });
}
