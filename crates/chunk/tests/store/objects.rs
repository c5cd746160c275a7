//! Objects: whole or not at all.

use std::io::Write;
use std::time::SystemTime;

use nydus_convert_chunk::store::{ObjectKind, ObjectName};

use crate::place::each;

fn name(kind: ObjectKind, first: u8) -> ObjectName {
    let mut id = [7; 32];
    id[0] = first;
    ObjectName { kind, id }
}

#[test]
fn objects_appear_whole_and_are_replaced() {
    each(|place| {
        for kind in ObjectKind::ALL {
            let name = name(kind, 1);
            assert!(place.objects.open(name).unwrap().is_none());
            let mut object = place.objects.begin().unwrap();
            // More than any buffer has.
            let bytes: Vec<u8> = (0..1_000_000_u32).map(|number| (number >> 3) as u8).collect();
            object.write_all(&bytes[..600_000]).unwrap();
            object.flush().unwrap();
            assert!(place.objects.open(name).unwrap().is_none());
            assert!(place.objects.list(kind).unwrap().is_empty());
            object.write_all(&bytes[600_000..]).unwrap();
            object.finish(name).unwrap();
            assert!(place.bytes(name).unwrap() == bytes);

            let before = place.objects.open(name).unwrap().unwrap();
            place.put(name, b"other");
            assert_eq!(place.bytes(name).unwrap(), b"other");
            let mut old = vec![0; bytes.len()];
            before.read_exact_at(&mut old, 0).unwrap();
            assert!(old == bytes, "who has it open keeps it");
            assert_eq!(place.objects.list(kind).unwrap().len(), 1);
            place.put(name, b"");
            assert_eq!(place.bytes(name).unwrap(), b"");
        }
    });
}

#[test]
fn what_is_not_finished_leaves_nothing() {
    each(|place| {
        let mut object = place.objects.begin().unwrap();
        object.write_all(&[1; 1_000_000]).unwrap();
        let other = place.objects.begin().unwrap();
        drop(object);
        drop(other);
        for kind in ObjectKind::ALL {
            assert!(place.objects.list(kind).unwrap().is_empty());
        }
        let guard = place.objects.pruning().unwrap();
        assert_eq!(place.objects.sweep(true).unwrap(), 0);
        drop(guard);
        if let Some(dir) = &place.dir {
            assert_eq!(std::fs::read_dir(dir.path().join("unfinished")).unwrap().count(), 0);
        }
    });
}

#[test]
fn lists_are_sorted_and_of_one_kind() {
    each(|place| {
        let start = SystemTime::now();
        for first in [200, 3, 255, 0, 17, 16] {
            place.put(name(ObjectKind::Blob, first), &vec![0; usize::from(first)]);
        }
        place.put(name(ObjectKind::Layer, 9), b"");
        let list = place.objects.list(ObjectKind::Blob).unwrap();
        let firsts: Vec<_> = list.iter().map(|info| info.name.id[0]).collect();
        assert_eq!(firsts, [0, 3, 16, 17, 200, 255]);
        for info in list {
            assert_eq!(info.size, u64::from(info.name.id[0]));
            // Clocks of file systems are coarse.
            let long_ago = start - std::time::Duration::from_secs(5);
            assert!(info.used > long_ago, "{:?}", info.used);
        }
        assert_eq!(place.objects.list(ObjectKind::Layer).unwrap().len(), 1);
        assert!(place.objects.list(ObjectKind::Image).unwrap().is_empty());
    });
}

#[test]
fn what_is_open_outlives_its_removal() {
    each(|place| {
        let name = name(ObjectKind::Blob, 5);
        place.put(name, b"content");
        let object = place.objects.open(name).unwrap().unwrap();
        place.objects.remove(name).unwrap();
        place.objects.remove(name).unwrap();
        assert!(place.objects.open(name).unwrap().is_none());
        let mut bytes = [0; 7];
        object.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"content");
        assert!(object.read_exact_at(&mut bytes, 1).is_err());
    });
}

#[test]
fn touching_makes_it_the_last_one_used() {
    each(|place| {
        for first in 0..4 {
            place.put(name(ObjectKind::Blob, first), b"");
        }
        for first in [2, 0, 3, 1] {
            place.objects.touch(name(ObjectKind::Blob, first)).unwrap();
        }
        place.objects.touch(name(ObjectKind::Blob, 99)).unwrap();
        let mut list = place.objects.list(ObjectKind::Blob).unwrap();
        list.sort_by_key(|info| info.used);
        let firsts: Vec<_> = list.iter().map(|info| info.name.id[0]).collect();
        assert_eq!(firsts, [2, 0, 3, 1]);
    });
}

#[test]
fn held_blobs_are_told() {
    each(|place| {
        let blob = nydus_convert_rafs::BlobId([5; 32]);
        let guard = place.objects.publishing().unwrap();
        let second = place.objects.publishing().unwrap();
        place.objects.hold(blob).unwrap();
        place.objects.hold(blob).unwrap();
        drop((guard, second));
        let guard = place.objects.pruning().unwrap();
        assert_eq!(place.objects.held().unwrap().into_iter().collect::<Vec<_>>(), [blob]);
        drop(guard);
    });
}
