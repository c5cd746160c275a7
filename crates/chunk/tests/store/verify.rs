//! Verifying finds every kind of damage, and repairing lets everything be made again.

use nydus_convert_chunk::store::{
    BlobNumber, ObjectKind, ObjectName, StoredImage, VerifyOptions, VerifyReport,
};

use crate::place::{Place, assert_sound, class, each, home, key, publish, wanted};

const FULL: VerifyOptions = VerifyOptions { sample: None, repair: false, rebuild: false };
const SAMPLE: VerifyOptions = VerifyOptions { sample: Some((100, 3)), ..FULL };

fn verify(place: &Place, options: VerifyOptions) -> VerifyReport {
    place.another().verify(options).unwrap()
}

fn image() -> StoredImage {
    StoredImage { id: [77; 32], name: "x".to_owned(), ..StoredImage::default() }
}

#[test]
fn a_sound_store_has_no_problems() {
    each(|place| {
        let store = place.store();
        assert_eq!(verify(place, FULL), VerifyReport::default());
        publish(&store, &[1, 2, 3], Some((key(1), b"body")));
        publish(&store, &[3, 4], Some((key(2), b"")));
        publish(&store, &[], None);
        store.put_image(&image()).unwrap();
        let sizes: u64 = place.objects.list(ObjectKind::Blob).unwrap().iter().map(|info| info.size).sum();
        let expected =
            VerifyReport { blobs: 3, layers: 2, images: 1, bytes: sizes, ..VerifyReport::default() };
        assert_eq!(verify(place, FULL), expected);
        let sampled = verify(place, SAMPLE);
        assert_eq!((sampled.chunks, sampled.problems.len()), (5, 0));
        let nothing = verify(place, VerifyOptions { sample: Some((0, 3)), ..FULL });
        assert_eq!((nothing.chunks, nothing.bytes), (0, 0));
    });
}

#[test]
fn a_sample_is_a_part_that_the_seed_decides() {
    each(|place| {
        let store = place.store();
        publish(&store, &(0..400).collect::<Vec<_>>(), None);
        let read = |percent, seed| verify(place, VerifyOptions { sample: Some((percent, seed)), ..FULL });
        assert_eq!(read(20, 1), read(20, 1));
        let chunks = read(20, 1).chunks;
        assert!((40..160).contains(&chunks), "{chunks}");
        assert!(read(20, 1).bytes != read(20, 2).bytes);
    });
}

#[test]
fn every_damage_is_found_and_mended() {
    let layer = ObjectName { kind: ObjectKind::Layer, id: key(1).0 };
    let picture = ObjectName { kind: ObjectKind::Image, id: image().id };
    each(|place| {
        let store = place.store();
        let id = publish(&store, &[1, 2, 3], Some((key(1), b"body")));
        let (blob, description) = (ObjectName::blob(id), ObjectName::description(id));
        let last = |name| place.bytes(name).unwrap().len() - 1;
        let cases: [(ObjectName, &str, bool); 12] = [
            (blob, "bit", true),
            (blob, "last bit", false),
            (blob, "cut", true),
            (blob, "gone", true),
            (description, "bit", true),
            (description, "last bit", true),
            (description, "cut", true),
            (description, "gone", true),
            (layer, "bit", true),
            (layer, "cut", true),
            (layer, "gone", true),
            (picture, "cut", true),
        ];
        for (name, how, by_sample) in cases {
            publish(&store, &[1, 2, 3], Some((key(1), b"body")));
            store.put_image(&image()).unwrap();
            assert_sound(&store);
            match how {
                "bit" => place.damage(name, 50),
                "last bit" => place.damage(name, last(name)),
                "cut" => place.put(name, &place.bytes(name).unwrap()[..3]),
                _ => place.objects.remove(name).unwrap(),
            }
            let found: Vec<_> = verify(place, FULL).problems.iter().map(|problem| problem.name).collect();
            assert_eq!(found, [name], "{name} {how}");
            let sampled = verify(place, SAMPLE).problems;
            assert_eq!(!sampled.is_empty(), by_sample, "{name} {how} {sampled:?}");
            let report = verify(place, VerifyOptions { repair: true, ..FULL });
            assert_eq!(report.problems.len(), 1);
            assert_eq!(report.forgotten.contains(&id), name != picture);
            assert_eq!(verify(place, FULL).problems, [], "{name} {how}");
            let is_there = store.find_layer(key(1)).unwrap().is_some();
            assert_eq!((is_there, home(&store, 2).is_some()), (name == picture, name == picture));
        }
        publish(&store, &[1, 2, 3], Some((key(1), b"body")));
        assert_eq!(store.find_layer(key(1)).unwrap().unwrap().body, b"body");
        assert_eq!(home(&store, 2), Some(id));
    });
}

#[test]
fn what_nobody_was_told_of_is_no_problem() {
    each(|place| {
        let store = place.store();
        publish(&store, &[1], Some((key(1), b"")));
        place.put(ObjectName { kind: ObjectKind::Blob, id: [1; 32] }, b"whatever");
        place.put(ObjectName { kind: ObjectKind::Layer, id: [200; 32] }, b"whatever");
        let report = verify(place, FULL);
        assert_eq!((report.unlisted, report.problems.len()), (2, 0));
        // As if a process had been ended that published layer 1 anew, as another blob.
        publish(&store, &[2], Some((key(2), b"")));
        let other = place.bytes(ObjectName { kind: ObjectKind::Layer, id: key(2).0 }).unwrap();
        place.put(ObjectName { kind: ObjectKind::Layer, id: key(1).0 }, &other);
        let report = verify(place, FULL);
        assert_eq!((report.unlisted, report.problems.len()), (3, 0));
        assert!(store.find_layer(key(1)).unwrap().is_none());
    });
}

#[test]
fn an_index_that_is_made_anew_finds_the_same() {
    each(|place| {
        let store = place.store();
        let keys: Vec<_> = (0..20).map(key).collect();
        for (number, key) in keys.iter().enumerate() {
            let first = number * 3;
            let layer = Some((*key, &b"body"[..]));
            let id = publish(&store, &[first, first + 1, first + 2, first + 3, first + 4], layer);
            // Clocks of file systems are too coarse for so many at once.
            place.objects.touch(ObjectName::blob(id)).unwrap();
        }
        let digests: Vec<_> = (0..70).map(|number| wanted(number).0).collect();
        let look = || {
            let found = place.index.find_chunks(&class(), &digests, BlobNumber(u32::MAX)).unwrap();
            let found: Vec<_> =
                found.iter().map(|found| found.map(|found| (found.id, found.number))).collect();
            (found, place.index.find_layers(&keys).unwrap(), place.index.totals().unwrap())
        };
        let (before, snapshot) = (look(), store.snapshot().unwrap());
        assert!(before.0.iter().flatten().count() == 62);
        let report = verify(place, VerifyOptions { rebuild: true, ..FULL });
        assert_eq!((report.blobs, report.problems.len()), (20, 0));
        assert!(look() == before);
        assert!(store.check_snapshot(snapshot).unwrap().is_err());
        // What is damaged does not come back.
        let id = before.1[4].unwrap();
        place.damage(ObjectName::description(id), 20);
        assert_eq!(verify(place, VerifyOptions { rebuild: true, ..FULL }).blobs, 19);
        assert_eq!(place.index.numbers(&[id]).unwrap(), [None]);
        assert!(store.find_layer(keys[4]).unwrap().is_none());
    });
}
