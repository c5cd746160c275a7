//! The index: what it finds, and in which state of the store.

use nydus_convert_chunk::store::{BlobNumber, ChunkClass, Index, LayerKey, NewBlob, Totals};
use nydus_convert_rafs::{BlobId, ChunkDigest};

use crate::place::{class, each, key};

const ALL: BlobNumber = BlobNumber(u32::MAX);

fn digest(number: u8) -> ChunkDigest {
    ChunkDigest([number; 32])
}

fn blob(number: u8) -> BlobId {
    BlobId([number; 32])
}

/// Adds a blob with chunks, whose numbers are their places in the list.
fn add(index: &dyn Index, id: u8, class: &ChunkClass, chunks: &[u8], layers: &[LayerKey]) -> BlobNumber {
    let chunks: Vec<_> =
        chunks.iter().enumerate().map(|(place, chunk)| (digest(*chunk), place as u32)).collect();
    index.publish(&NewBlob { id: blob(id), class, chunks: &chunks, layers }).unwrap()
}

fn forget(index: &dyn Index, id: u8, class: &ChunkClass, chunks: &[u8]) -> bool {
    let chunks: Vec<_> = chunks.iter().map(|chunk| digest(*chunk)).collect();
    index.forget(blob(id), class, &chunks).unwrap()
}

/// Which blob each chunk is in, and its number there.
fn find(index: &dyn Index, class: &ChunkClass, chunks: &[u8], before: BlobNumber) -> Vec<Option<(u8, u32)>> {
    let wanted: Vec<_> = chunks.iter().map(|chunk| digest(*chunk)).collect();
    let found = index.find_chunks(class, &wanted, before).unwrap();
    found.into_iter().map(|found| found.map(|found| (found.id.0[0], found.number))).collect()
}

#[test]
fn an_empty_index_finds_nothing() {
    each(|place| {
        let index = place.index.as_ref();
        assert_eq!(find(index, &class(), &[1, 2], ALL), [None, None]);
        assert_eq!(find(index, &class(), &[], ALL), []);
        assert_eq!(index.find_layers(&[key(1), key(2)]).unwrap(), [None, None]);
        assert_eq!(index.numbers(&[blob(1)]).unwrap(), [None]);
        assert_eq!(index.totals().unwrap(), Totals::default());
        assert_eq!((index.blobs().unwrap(), index.layers().unwrap()), (vec![], vec![]));
        assert!(!index.has_lost(ALL).unwrap());
        assert_eq!(index.next().unwrap(), BlobNumber(0));
        assert!(!forget(index, 1, &class(), &[1]));
        assert_eq!(index.next().unwrap(), BlobNumber(0), "nothing was lost");
        index.clear().unwrap();
        assert_eq!(index.totals().unwrap(), Totals::default());
    });
}

#[test]
fn who_comes_first_is_found() {
    each(|place| {
        let index = place.index.as_ref();
        assert_eq!(add(index, 10, &class(), &[1, 2, 3], &[key(1)]), BlobNumber(0));
        assert_eq!(add(index, 11, &class(), &[9, 3, 4], &[key(2), key(3)]), BlobNumber(1));
        let all = [1, 2, 3, 4, 5, 9];
        let expected = [Some((10, 0)), Some((10, 1)), Some((10, 2)), Some((11, 2)), None, Some((11, 0))];
        assert_eq!(find(index, &class(), &all, ALL), expected);
        assert_eq!(find(index, &class(), &all, BlobNumber(2)), expected);
        assert_eq!(
            find(index, &class(), &all, BlobNumber(1)),
            [Some((10, 0)), Some((10, 1)), Some((10, 2)), None, None, None]
        );
        assert_eq!(find(index, &class(), &all, BlobNumber(0)), [None; 6]);
        assert_eq!(
            index.find_layers(&[key(3), key(1), key(9), key(2)]).unwrap(),
            [Some(blob(11)), Some(blob(10)), None, Some(blob(11))]
        );
        assert_eq!(index.numbers(&[blob(11), blob(12)]).unwrap(), [Some(BlobNumber(1)), None]);
        assert_eq!(index.blobs().unwrap(), [(BlobNumber(0), blob(10)), (BlobNumber(1), blob(11))]);
        assert_eq!(index.layers().unwrap(), [(key(1), blob(10)), (key(2), blob(11)), (key(3), blob(11))]);
        assert_eq!(index.totals().unwrap(), Totals { blobs: 2, chunks: 5, layers: 3 });
    });
}

#[test]
fn publishing_may_be_repeated_and_adds_what_is_new() {
    each(|place| {
        let index = place.index.as_ref();
        for _ in 0..2 {
            assert_eq!(add(index, 10, &class(), &[1, 2, 1], &[key(1)]), BlobNumber(0));
            assert_eq!(add(index, 11, &class(), &[2, 5], &[]), BlobNumber(1));
            assert_eq!(index.next().unwrap(), BlobNumber(2));
            assert_eq!(index.totals().unwrap(), Totals { blobs: 2, chunks: 3, layers: 1 });
        }
        assert_eq!(find(index, &class(), &[1], ALL), [Some((10, 0))], "of equal chunks the first");
        add(index, 10, &class(), &[1, 2, 6], &[key(7)]);
        assert_eq!(find(index, &class(), &[6], BlobNumber(1)), [Some((10, 2))]);
        // A layer is what it became last.
        add(index, 11, &class(), &[], &[key(1)]);
        assert_eq!(index.find_layers(&[key(1), key(7)]).unwrap(), [Some(blob(11)), Some(blob(10))]);
        forget(index, 10, &class(), &[1, 2, 6]);
        assert_eq!(index.find_layers(&[key(1), key(7)]).unwrap(), [Some(blob(11)), None]);
    });
}

#[test]
fn classes_do_not_mix() {
    each(|place| {
        let index = place.index.as_ref();
        let other = ChunkClass::new(&"others ".repeat(100));
        add(index, 10, &class(), &[1, 2], &[]);
        add(index, 11, &other, &[2, 3], &[]);
        assert_eq!(find(index, &class(), &[1, 2, 3], ALL), [Some((10, 0)), Some((10, 1)), None]);
        assert_eq!(find(index, &other, &[1, 2, 3], ALL), [None, Some((11, 0)), Some((11, 1))]);
        assert!(forget(index, 11, &other, &[2, 3]));
        assert_eq!(find(index, &class(), &[2], ALL), [Some((10, 1))]);
        assert_eq!(find(index, &other, &[2], ALL), [None]);
    });
}

#[test]
fn what_is_forgotten_is_lost_to_those_who_knew_it() {
    each(|place| {
        let index = place.index.as_ref();
        let id = index.id().unwrap();
        add(index, 10, &class(), &[1, 2], &[key(1), key(2)]);
        add(index, 11, &class(), &[2, 3], &[key(3)]);
        assert!(!index.has_lost(BlobNumber(2)).unwrap());
        assert!(forget(index, 10, &class(), &[1, 2]));
        assert!(!forget(index, 10, &class(), &[1, 2]));
        assert_eq!(index.next().unwrap(), BlobNumber(3));
        // Chunk 2 of the other blob is found again when somebody tells of it.
        assert_eq!(find(index, &class(), &[1, 2, 3], ALL), [None, None, Some((11, 1))]);
        assert_eq!(index.find_layers(&[key(1), key(2), key(3)]).unwrap(), [None, None, Some(blob(11))]);
        assert_eq!(index.numbers(&[blob(10)]).unwrap(), [None]);
        let lost = |index: &dyn Index| {
            (0..8).map(|before| u8::from(index.has_lost(BlobNumber(before)).unwrap())).collect::<Vec<_>>()
        };
        assert_eq!(lost(index), [0, 1, 1, 0, 0, 0, 0, 0]);
        assert_eq!(add(index, 10, &class(), &[1, 2], &[]), BlobNumber(3), "no number is given twice");
        assert_eq!(find(index, &class(), &[1, 2], BlobNumber(3)), [None, None]);
        assert_eq!(find(index, &class(), &[1, 2], BlobNumber(4)), [Some((10, 0)), Some((10, 1))]);

        index.clear().unwrap();
        assert_eq!(lost(index), [0, 1, 1, 1, 1, 0, 0, 0]);
        assert_eq!((index.id().unwrap(), index.next().unwrap()), (id, BlobNumber(5)));
        assert_eq!(index.totals().unwrap(), Totals::default());
        assert_eq!((index.blobs().unwrap(), index.layers().unwrap()), (vec![], vec![]));
        assert_eq!(find(index, &class(), &[1, 2, 3], ALL), [None, None, None]);
        assert_eq!(add(index, 12, &class(), &[3], &[key(3)]), BlobNumber(5));
        assert_eq!(find(index, &class(), &[3], ALL), [Some((12, 0))]);
    });
}

#[test]
fn entries_that_are_left_of_forgotten_blobs_are_replaced() {
    each(|place| {
        let index = place.index.as_ref();
        add(index, 10, &class(), &[1, 2], &[key(1)]);
        // Its description could not be read.
        assert!(forget(index, 10, &ChunkClass::new(""), &[]));
        assert_eq!(find(index, &class(), &[1, 2], ALL), [None, None]);
        add(index, 11, &class(), &[2, 1], &[]);
        assert_eq!(find(index, &class(), &[1, 2], ALL), [Some((11, 1)), Some((11, 0))]);
    });
}

#[test]
fn digests_that_agree_in_front_are_one_chunk_to_the_index() {
    each(|place| {
        let index = place.index.as_ref();
        let (one, mut other) = (digest(1), digest(1));
        other.0[10] = 2;

        index.publish(&NewBlob { id: blob(1), class: &class(), chunks: &[(one, 7)], layers: &[] }).unwrap();
        index.publish(&NewBlob { id: blob(2), class: &class(), chunks: &[(other, 8)], layers: &[] }).unwrap();
        let found = index.find_chunks(&class(), &[one, other], ALL).unwrap();
        assert_eq!(found.iter().flatten().map(|found| found.number).collect::<Vec<_>>(), [7, 7]);
        other.0[9] = 2;
        assert_eq!(index.find_chunks(&class(), &[other], ALL).unwrap(), [None]);
    });
}

#[test]
fn many_layers_of_one_blob_and_many_blobs() {
    each(|place| {
        let index = place.index.as_ref();
        let keys: Vec<_> = (0..=255).map(key).collect();
        for id in 0..20 {
            add(index, id, &class(), &[id, 100], &keys[usize::from(id) * 10..][..10]);
        }
        assert!(forget(index, 7, &class(), &[7, 100]));
        let layers = index.find_layers(&keys).unwrap();
        for (number, layer) in layers.iter().enumerate() {
            let expected = (number < 200 && number / 10 != 7).then(|| blob(number as u8 / 10));
            assert_eq!(*layer, expected, "{number}");
        }
    });
}
