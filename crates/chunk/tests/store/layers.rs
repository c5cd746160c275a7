//! Layers, and states of the store by name.

use nydus_convert_chunk::store::{ObjectKind, ObjectName, Snapshot, SnapshotError};

use crate::place::{class, each, home, key, packed, packed_with, publish, wanted};

#[test]
fn layers_come_back_whole() {
    each(|place| {
        let store = place.store();
        let expected = packed(&[1, 2, 3]);
        let id = publish(&store, &[1, 2, 3], Some((key(1), b"what merging needs")));
        let layer = place.another().find_layer(key(1)).unwrap().unwrap();
        assert_eq!((layer.blob, layer.body.as_slice()), (id, &b"what merging needs"[..]));
        assert_eq!(layer.size, expected.bytes.len() as u64);
        let mut bytes = vec![0; expected.bytes.len()];
        layer.data.read_exact_at(&mut bytes, 0).unwrap();
        assert!(bytes == expected.bytes);
        assert_eq!(layer.description.class, class());
        assert_eq!(layer.description.blob, expected.finished.blob);
        assert_eq!(layer.description.checks, expected.finished.checks);
        assert!(store.find_layer(key(2)).unwrap().is_none());
        // Two layers can become one blob, and one layer another blob later.
        publish(&store, &[1, 2, 3], Some((key(2), b"the same")));
        assert_eq!(store.find_layer(key(2)).unwrap().unwrap().blob, id);
        let other = publish(&store, &[4], Some((key(1), b"")));
        assert_eq!(store.find_layer(key(1)).unwrap().unwrap().blob, other);
        assert_eq!(store.find_layer(key(2)).unwrap().unwrap().blob, id);
    });
}

#[test]
fn a_layer_that_lost_a_part_is_not_found_until_it_is_made_again() {
    let layer = ObjectName { kind: ObjectKind::Layer, id: key(1).0 };
    each(|place| {
        let store = place.store();
        let numbers = [1, 2, 3];
        let id = publish(&store, &numbers, Some((key(1), b"body")));
        for name in [layer, ObjectName::blob(id), ObjectName::description(id)] {
            for change in 0..3 {
                match change {
                    0 => place.objects.remove(name).unwrap(),
                    1 => {
                        let bytes = place.bytes(name).unwrap();
                        place.put(name, &bytes[..bytes.len() - 1]);
                    }
                    // What is in a blob is for whoever takes it.
                    _ if name == ObjectName::blob(id) => continue,
                    _ => place.damage(name, 60),
                }
                assert!(store.find_layer(key(1)).unwrap().is_none(), "{name}, {change}");
                publish(&store, &numbers, Some((key(1), b"body")));
                assert_eq!(store.find_layer(key(1)).unwrap().unwrap().body, b"body");
            }
        }
        store.forget(id).unwrap();
        assert!(store.find_layer(key(1)).unwrap().is_none());
    });
}

#[test]
fn snapshots_have_a_text_form() {
    each(|place| {
        let snapshot = place.store().snapshot().unwrap();
        let text = snapshot.to_string();
        assert_eq!(text.parse::<Snapshot>(), Ok(snapshot));
        assert!(text.ends_with("-0"));
        for bad in ["", "-", "17", "0123456789abcdef-", "0123456789abcdef--1", "123-1", "0123456789abcdeg-1"]
        {
            assert_eq!(bad.parse::<Snapshot>(), Err(SnapshotError::Text { text: bad.to_owned() }));
        }
        assert!("0123456789abcdef-4294967296".parse::<Snapshot>().is_err());
    });
}

#[test]
fn snapshots_of_other_stores_and_other_times() {
    each(|place| {
        let store = place.store();
        let check = |snapshot: Snapshot| store.check_snapshot(snapshot).unwrap();
        publish(&store, &[1, 2], None);
        let early = store.snapshot().unwrap();
        let other = publish(&store, &[2, 3], None);
        let late = store.snapshot().unwrap();
        assert_eq!(place.another().snapshot().unwrap(), late);
        assert_eq!((check(early), check(late)), (Ok(()), Ok(())));

        let at = |snapshot| {
            let found = store.forms(&class(), Some(snapshot)).find(&[1, 2, 3].map(wanted)).unwrap();
            found.iter().map(Option::is_some).collect::<Vec<_>>()
        };
        assert_eq!((at(early), at(late)), (vec![true, true, false], vec![true; 3]));
        // What came later changes nothing.
        let forms = std::sync::Arc::new(store.forms(&class(), Some(early)));
        assert_eq!(packed_with(&[1, 3, 5], Some(forms)).packing.copied_chunks, 1);

        let (id, before) =
            late.to_string().split_once('-').map(|(id, n)| (id.to_owned(), n.to_owned())).unwrap();
        let future: Snapshot = format!("{id}-{}", before.parse::<u32>().unwrap() + 1).parse().unwrap();
        assert_eq!(check(future), Err(SnapshotError::Future { snapshot: future }));
        let foreign = format!("{:016x}-0", u64::from_str_radix(&id, 16).unwrap() ^ 1).parse().unwrap();
        assert_eq!(check(foreign), Err(SnapshotError::OtherStore { snapshot: foreign }));

        store.forget(other).unwrap();
        assert_eq!(check(early), Ok(()));
        assert_eq!(check(late), Err(SnapshotError::Lost { snapshot: late }));
        assert_eq!(check(store.snapshot().unwrap()), Ok(()));
        assert_eq!(home(&store, 3), None);
    });
}
