//! Chunks in their stored form: copied when they are sound, made again when they are not.

use std::sync::Arc;

use nydus_convert_chunk::store::{ChunkClass, ObjectName};
use nydus_convert_rafs::BlobId;

use crate::place::{Packed, Place, class, each, home, packed, packed_with, publish, wanted};
use crate::support::chunk;

/// Packs with what the place has, and says which blobs turned out to be damaged.
fn pack_again(place: &Place, numbers: &[usize]) -> (Packed, Vec<BlobId>) {
    let forms = Arc::new(place.store().forms(&class(), None));
    let packed = packed_with(numbers, Some(Arc::clone(&forms)));
    (packed, forms.all_damaged())
}

/// Where a chunk lies in its blob.
fn offset(place: &Place, number: usize) -> usize {
    let form = place.store().forms(&class(), None).find(&[wanted(number)]).unwrap().pop().unwrap().unwrap();
    assert_eq!(form.length(), form.chunk().compressed_size as usize);
    form.chunk().compressed_offset as usize
}

#[test]
fn chunks_are_copied_and_the_bytes_are_the_same() {
    each(|place| {
        let store = place.store();
        publish(&store, &[1, 2, 3, 4, 5], None);
        let numbers = [9, 2, 8, 4, 4, 7];
        let (again, damaged) = pack_again(place, &numbers);
        assert!(again.bytes == packed(&numbers).bytes);
        assert_eq!((again.packing.new_chunks, again.packing.copied_chunks), (5, 2));
        assert_eq!(damaged, []);
        // All of it, and from many blobs.
        for number in 20..120 {
            publish(&store, &[number, number + 1], None);
        }
        let numbers: Vec<usize> = (0..121).map(|at| 20 + at * 7 % 121).collect();
        let (again, _) = pack_again(place, &numbers);
        assert!(again.bytes == packed(&numbers).bytes);
        assert_eq!(again.packing.copied_chunks, 101);
    });
}

#[test]
fn what_is_found_is_what_was_asked_for() {
    each(|place| {
        let store = place.store();
        let id = publish(&store, &[1, 2, 3], None);
        let find =
            |class: &ChunkClass, wanted| store.forms(class, None).find(&[wanted]).unwrap().pop().unwrap();
        let (digest, length) = wanted(3);
        let form = find(&class(), (digest, length)).unwrap();
        assert_eq!((form.blob_id(), form.number(), form.chunk().digest), (id, 2, digest));
        let mut stored = vec![0; form.length()];
        assert!(form.read(&mut stored));
        assert!(zstd::decode_all(stored.as_slice()).unwrap() == chunk(3));
        assert!(find(&ChunkClass::new("others"), (digest, length)).is_none());
        assert!(find(&class(), (digest, length + 1)).is_none());
        // The index takes it for the same.
        let mut other = digest;
        other.0[31] ^= 1;
        assert!(find(&class(), (other, length)).is_none());
    });
}

#[test]
fn damaged_chunks_are_made_again() {
    each(|place| {
        let store = place.store();
        let id = publish(&store, &[2, 3, 5, 6], None);
        // One bit of every byte of a chunk would take long; first, last and one between.
        let (start, end) = (offset(place, 3), offset(place, 5));
        for at in [start, (start + end) / 2, end - 1] {
            place.damage(ObjectName::blob(id), at);
            let (again, damaged) = pack_again(place, &[6, 3, 9, 2]);
            assert!(again.bytes == packed(&[6, 3, 9, 2]).bytes);
            assert_eq!(damaged, [id], "{at}");
            place.damage(ObjectName::blob(id), at);
        }
        assert_eq!(pack_again(place, &[6, 3, 9, 2]).1, []);
        // The blob is too short.
        let bytes = place.bytes(ObjectName::blob(id)).unwrap();
        place.put(ObjectName::blob(id), &bytes[..end - 1]);
        let (again, damaged) = pack_again(place, &[6, 3, 9, 2]);
        assert!(again.bytes == packed(&[6, 3, 9, 2]).bytes);
        assert_eq!(damaged, [id]);
    });
}

#[test]
fn blobs_that_cannot_be_used_are_named_and_replaced() {
    each(|place| {
        let store = place.store();
        let numbers = [2, 3, 5, 6];
        let (blob, description) = {
            let id = packed(&numbers).finished.id;
            (ObjectName::blob(id), ObjectName::description(id))
        };
        for case in 0..5 {
            let id = publish(&store, &numbers, None);
            match case {
                0 => place.objects.remove(blob).unwrap(),
                1 => place.objects.remove(description).unwrap(),
                // Its front, and the record of its last chunk.
                2 => place.damage(description, 9),
                3 => place.damage(description, place.bytes(description).unwrap().len() - 30),
                _ => place.put(description, b"NCDS"),
            }
            let (again, damaged) = pack_again(place, &[6, 3, 9, 2]);
            assert!(again.bytes == packed(&[6, 3, 9, 2]).bytes, "{case}");
            assert_eq!(damaged, [id], "{case}");
            // Whoever meets this says so to the store. Then another blob gives these chunks.
            store.forget(id).unwrap();
            assert_eq!(home(&store, 3), None);
            let other = publish(&store, &[3, 5, 10 + case], None);
            assert_eq!(home(&store, 3), Some(other), "{case}");
            store.forget(other).unwrap();
        }
    });
}
