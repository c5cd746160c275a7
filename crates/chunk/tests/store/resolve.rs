//! Chunks that are decided on when a layer is over.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;

use nydus_convert_chunk::store::{ChunkStore, ObjectName};
use nydus_convert_chunk::{
    BlobWriter, Candidates, ChunkLookup, Foreign, Others, Packing, Resolved, pack_with,
};
use nydus_convert_rafs::{BlobId, ChunkDigest, ChunkRef};

use crate::place::{class, each, packed, publish, wanted, zstd};
use crate::support::{BOOTSTRAP, chunk, groups, pool};

/// Knows two chunks.
struct Two;

impl ChunkLookup for Two {
    fn find(&mut self, digest: &ChunkDigest, length: u32) -> Option<ChunkRef> {
        let number = [40, 41].into_iter().find(|number| wanted(*number) == (*digest, length))?;
        Some(ChunkRef { blob: 3, index: number as u32 })
    }
}

struct Outcome {
    bytes: Vec<u8>,
    packing: Packing,
    resolved: Resolved,
    damaged: Vec<BlobId>,
}

/// Packs chunks and decides that the blobs in `pay` do.
fn resolve(
    store: &ChunkStore,
    numbers: &[usize],
    pay: &BTreeSet<BlobId>,
    (threads, cuts): (usize, &[usize]),
) -> Outcome {
    let chunks: Vec<_> = numbers.iter().copied().map(chunk).collect();
    let mut writer = BlobWriter::new(Vec::new(), zstd().blob);
    let forms = Arc::new(store.forms(&class(), None));
    let (mut candidates, mut lookup) = (Candidates::default(), Two);
    let mut foreign = Foreign::new(&mut lookup);
    let others = Others {
        foreign: Some(&mut foreign),
        forms: Some(Arc::clone(&forms)),
        candidates: Some(&mut candidates),
    };
    let mut packing = pack_with(&pool(threads), &zstd(), groups(&chunks, cuts), &mut writer, others).unwrap();
    let savings = candidates.savings();
    let ids =
        savings.iter().map(|saving| (saving.blob, saving.id)).collect::<std::collections::BTreeMap<_, _>>();
    for saving in &savings {
        assert!(saving.chunks > 0 && saving.stored_bytes >= saving.chunks);
    }
    let pays = |blob| pay.contains(&ids[&blob]);
    let before = foreign.hits().len() as u32;
    let resolved =
        candidates.resolve::<Infallible, _>(store, &mut writer, &mut packing, before, pays).unwrap();
    let (bytes, _) = writer.finish_data().unwrap().finish(BOOTSTRAP).unwrap();
    Outcome { bytes, packing, resolved, damaged: forms.all_damaged() }
}

#[test]
fn what_does_not_pay_comes_last() {
    each(|place| {
        let store = place.store();
        let a = publish(&store, &[1, 2, 3], None);
        let b = publish(&store, &[4, 5, 6, 3], None);
        let stream = [10, 40, 2, 11, 4, 41, 3, 10, 12, 1, 4, 40, 6, 2];
        for pay in [vec![], vec![a], vec![b], vec![a, b]] {
            let pay: BTreeSet<_> = pay.into_iter().collect();
            let outcome = resolve(&store, &stream, &pay, (2, &[3]));
            // What the numbers must be, told the slow way.
            let of = |number: usize| match number {
                1..=3 => Some(a),
                4..=6 => Some(b),
                _ => None,
            };
            let firsts = |wanted: &dyn Fn(usize) -> bool| {
                let mut seen: Vec<usize> = Vec::new();
                for number in stream {
                    if wanted(number) && !seen.contains(&number) {
                        seen.push(number);
                    }
                }
                seen
            };
            let mut own = firsts(&|number| number < 40 && of(number).is_none());
            own.extend(firsts(&|number| of(number).is_some_and(|id| !pay.contains(&id))));
            let mut elsewhere = firsts(&|number| number >= 40);
            let kept = firsts(&|number| of(number).is_some_and(|id| pay.contains(&id)));
            elsewhere.extend(&kept);
            let expected: Vec<u32> = stream
                .iter()
                .map(|number| match own.iter().position(|own| own == number) {
                    Some(at) => at as u32,
                    None => {
                        Foreign::FIRST + elsewhere.iter().position(|other| other == number).unwrap() as u32
                    }
                })
                .collect();
            assert_eq!(outcome.packing.indexes, expected);
            assert!(outcome.bytes == packed(&own).bytes);
            assert_eq!(outcome.packing.new_chunks, own.len() as u64);
            let got: Vec<_> =
                outcome.resolved.elsewhere.iter().map(|one| (one.id, one.chunk.digest)).collect();
            let want: Vec<_> = kept.iter().map(|number| (of(*number).unwrap(), wanted(*number).0)).collect();
            assert_eq!(got, want);
            let heads: BTreeSet<_> = outcome.resolved.elsewhere.iter().map(|one| one.blob).collect();
            assert_eq!(outcome.resolved.heads.keys().copied().collect::<BTreeSet<_>>(), heads);
        }
    });
}

#[test]
fn neither_threads_nor_cuts_decide() {
    each(|place| {
        let store = place.store();
        let ids: Vec<_> =
            (0..5).map(|blob| publish(&store, &(blob * 6..blob * 6 + 9).collect::<Vec<_>>(), None)).collect();
        let stream: Vec<usize> = (0..150).map(|at| at * 7 % 61 % 50).collect();
        let pay = BTreeSet::from([ids[1], ids[4]]);
        let expected = resolve(&store, &stream, &pay, (1, &[150]));
        for how in [(2, &[1, 7, 30][..]), (8, &[3]), (3, &[20, 1])] {
            let outcome = resolve(&store, &stream, &pay, how);
            assert!(outcome.bytes == expected.bytes);
            assert_eq!(outcome.packing, expected.packing);
            assert_eq!(outcome.resolved.elsewhere, expected.resolved.elsewhere);
        }
    });
}

#[test]
fn nothing_refers_to_what_is_damaged() {
    each(|place| {
        let store = place.store();
        let id = publish(&store, &[1, 2, 3], None);
        let form = store.forms(&class(), None).find(&[wanted(1)]).unwrap().pop().unwrap().unwrap();
        place.damage(ObjectName::blob(id), form.chunk().compressed_offset as usize);
        let outcome = resolve(&store, &[1], &BTreeSet::from([id]), (1, &[1]));
        assert!(outcome.bytes == packed(&[1]).bytes);
        assert_eq!((outcome.packing.indexes, outcome.damaged), (vec![0], vec![id]));
        assert_eq!(outcome.resolved.elsewhere, []);
    });
}
