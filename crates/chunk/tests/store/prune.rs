//! Pruning removes what a rule names and nobody needs, and tells the same without doing it.

use std::collections::BTreeMap;
use std::fs::File;
use std::time::{Duration, SystemTime};

use nydus_convert_chunk::store::{
    Kept, ObjectInfo, ObjectKind, ObjectName, PrunePolicy, PruneReport, Reason, StoredImage, VerifyOptions,
};
use nydus_convert_rafs::BlobId;

use crate::place::{Place, assert_sound, each, home, key, publish};

fn objects(place: &Place) -> Vec<ObjectInfo> {
    ObjectKind::ALL.iter().flat_map(|kind| place.objects.list(*kind).unwrap()).collect()
}

fn bytes(place: &Place) -> u64 {
    let of_blobs = objects(place).into_iter().filter(|info| info.name.kind != ObjectKind::Image);
    of_blobs.map(|info| info.size).sum()
}

/// Prunes; before that asks what would be done, which must be the same and change nothing.
fn prune(place: &Place, policy: &PrunePolicy) -> PruneReport {
    let store = place.store();
    let before = objects(place);
    let told = store.prune(&PrunePolicy { dry_run: true, ..policy.clone() }).unwrap();
    assert_eq!(objects(place), before);
    let done = store.prune(policy).unwrap();
    assert_eq!(done, told);
    assert_eq!(done.bytes_left, bytes(place));
    let gone: BTreeMap<_, _> = done.pruned.iter().map(|pruned| (pruned.blob, pruned.bytes)).collect();
    let (of_gone, left): (Vec<&ObjectInfo>, Vec<&ObjectInfo>) =
        before.iter().partition(|info| gone.contains_key(&BlobId(info.name.id)));
    for info in of_gone {
        assert!(place.objects.open(info.name).unwrap().is_none(), "{}", info.name);
    }
    for info in left.iter().filter(|info| matches!(info.name.kind, ObjectKind::Blob)) {
        assert!(place.objects.open(info.name).unwrap().is_some(), "{}", info.name);
    }
    assert_sound(&store);
    done
}

fn reasons(report: &PruneReport) -> Vec<(BlobId, Reason)> {
    report.pruned.iter().map(|pruned| (pruned.blob, pruned.reason)).collect()
}

/// Three blobs of three layers, used in this order.
fn three(place: &Place) -> [BlobId; 3] {
    let store = place.store();
    let body = [7; 300];
    let ids = [
        publish(&store, &[1, 2, 3], Some((key(1), &body))),
        publish(&store, &[3, 4], Some((key(2), &body))),
        publish(&store, &[5], Some((key(3), &body))),
    ];
    for id in ids {
        place.objects.touch(ObjectName::blob(id)).unwrap();
    }
    ids
}

fn image(number: u8, blobs: &[BlobId]) -> StoredImage {
    StoredImage { id: [number; 32], name: "x".to_owned(), blobs: blobs.to_vec(), ..StoredImage::default() }
}

#[test]
fn without_a_rule_only_goes_what_nobody_knows() {
    each(|place| {
        let [a, b, c] = three(place);
        let before = bytes(place);
        let report = prune(place, &PrunePolicy::default());
        assert_eq!((report.pruned.len(), report.bytes_left), (0, before));
        let store = place.store();
        store.forget(b).unwrap();
        place.put(ObjectName::description(BlobId([9; 32])), b"of no blob");
        place.put(ObjectName { kind: ObjectKind::Layer, id: [9; 32] }, b"of no blob");
        // Its layer is not the store's any more either.
        let layer = ObjectName { kind: ObjectKind::Layer, id: key(2).0 };
        let told = store.prune(&PrunePolicy { dry_run: true, ..PrunePolicy::default() }).unwrap();
        let report = store.prune(&PrunePolicy::default()).unwrap();
        assert_eq!(report, told);
        let mut gone = reasons(&report);
        gone.sort_by_key(|(id, _)| *id);
        let mut expected = vec![(BlobId([9; 32]), Reason::Unlisted), (b, Reason::Unlisted)];
        expected.sort_by_key(|(id, _)| *id);
        assert_eq!(gone, expected);
        assert!(place.bytes(layer).is_none());
        assert!(bytes(place) < before);
        assert_sound(&store);
        assert_eq!(store.verify(VerifyOptions::default()).unwrap().unlisted, 0);
        assert_eq!((home(&store, 1), home(&store, 5)), (Some(a), Some(c)));
        assert_eq!(prune(place, &PrunePolicy::default()).pruned, []);
    });
}

#[test]
fn the_longest_unused_go_until_the_rest_fits() {
    each(|place| {
        let [a, b, _] = three(place);
        place.objects.touch(ObjectName::blob(a)).unwrap();
        let all = bytes(place);
        let rule = |max_bytes| PrunePolicy { max_bytes: Some(max_bytes), ..PrunePolicy::default() };
        assert_eq!(prune(place, &rule(all)).pruned, []);
        assert_eq!(reasons(&prune(place, &rule(all - 1))), [(b, Reason::Size)]);
        let store = place.store();
        assert!(store.find_layer(key(2)).unwrap().is_none());
        assert_eq!((home(&store, 4), home(&store, 3)), (None, Some(a)));
    });
    each(|place| {
        let [a, b, c] = three(place);
        let rule = PrunePolicy { max_bytes: Some(0), ..PrunePolicy::default() };
        let report = prune(place, &rule);
        assert_eq!(reasons(&report), [(a, Reason::Size), (b, Reason::Size), (c, Reason::Size)]);
        assert_eq!((report.bytes_left, objects(place).len()), (0, 0));
    });
}

#[test]
fn the_old_go() {
    each(|place| {
        let [a, ..] = three(place);
        let rule = |max_age| PrunePolicy { max_age: Some(max_age), ..PrunePolicy::default() };
        let hour = Duration::from_secs(3600);
        assert_eq!(prune(place, &rule(hour)).pruned, []);
        // Only files have times that can be set.
        let Some(dir) = &place.dir else { return };
        let hex = a.to_string();
        let file = File::open(dir.path().join("blobs").join(&hex[..2]).join(&hex)).unwrap();
        file.set_modified(SystemTime::now() - 2 * hour).unwrap();
        assert_eq!(prune(place, &rule(3 * hour)).pruned, []);
        // Using it makes it young.
        assert!(home(&place.another(), 1) == Some(a));
        assert_eq!(prune(place, &rule(hour)).pruned, []);
        file.set_modified(SystemTime::now() - 2 * hour).unwrap();
        assert_eq!(reasons(&prune(place, &rule(hour))), [(a, Reason::Age)]);
        // A clock that was wrong makes nothing old.
        three(place);
        let file = File::open(dir.path().join("blobs").join(&hex[..2]).join(&hex)).unwrap();
        file.set_modified(SystemTime::now() + 2 * hour).unwrap();
        assert_eq!(prune(place, &rule(hour)).pruned, []);
    });
}

#[test]
fn images_keep_their_blobs() {
    each(|place| {
        let [a, b, c] = three(place);
        let store = place.store();
        store.put_image(&image(1, &[b])).unwrap();
        store.put_image(&image(2, &[a, c])).unwrap();
        let keep = PrunePolicy { keep_images: vec![[1; 32]], ..PrunePolicy::default() };
        let told = store.prune(&PrunePolicy { dry_run: true, max_bytes: Some(0), ..keep.clone() }).unwrap();
        assert_eq!(told.kept, [(b, Kept::Image)]);
        assert_eq!(told.images, [image(2, &[a, c])]);
        // With another rule only that one decides what goes.
        let asked = PrunePolicy { blobs: vec![c, b], ..keep.clone() };
        let report = prune(place, &asked);
        assert_eq!((reasons(&report), report.kept), (vec![(c, Reason::Asked)], vec![(b, Kept::Image)]));
        assert_eq!(report.images, [image(2, &[a, c])]);
        assert_eq!(store.images().unwrap(), [image(1, &[b])]);
        let report = prune(place, &keep);
        assert_eq!(reasons(&report), [(a, Reason::NotKept)]);
        assert_eq!(report.kept, []);
        assert_eq!(home(&store, 3), Some(b), "its copy is found now");
    });
}

#[test]
fn what_is_in_use_stays() {
    each(|place| {
        let [a, b, c] = three(place);
        let user = place.another();
        let layer = user.find_layer(key(1)).unwrap().unwrap();
        assert_eq!(home(&user, 4), Some(b));
        let all = PrunePolicy { blobs: vec![a, b, c], ..PrunePolicy::default() };
        let report = prune(place, &all);
        assert_eq!(reasons(&report), [(c, Reason::Asked)]);
        assert_eq!(report.kept, [(a, Kept::Held), (b, Kept::Held)]);
        assert!(layer.data.size().unwrap() > 0);
        drop((user, layer));
        if place.dir.is_some() {
            // Whoever held them has ended.
            assert_eq!(prune(place, &all).pruned.len(), 2);
        }
    });
}

#[test]
fn copies_of_lost_chunks_are_found_again() {
    each(|place| {
        let store = place.store();
        let x = publish(&store, &[20, 21, 22], None);
        let y = publish(&store, &[22, 23, 20], None);
        let z = publish(&store, &[20, 21], None);
        let before = store.snapshot().unwrap();
        prune(place, &PrunePolicy { blobs: vec![x], ..PrunePolicy::default() });
        assert_eq!([20, 21, 22].map(|number| home(&store, number)), [Some(y), Some(z), Some(y)]);
        assert!(store.check_snapshot(before).unwrap().is_err());
        let after = store.snapshot().unwrap();
        assert_eq!(store.check_snapshot(after).unwrap(), Ok(()));
    });
}

#[test]
fn what_killed_processes_left_is_swept() {
    each(|place| {
        let Some(dir) = &place.dir else { return };
        let (sessions, unfinished) = (dir.path().join("sessions"), dir.path().join("unfinished"));
        std::fs::write(sessions.join("1-0"), [7; 32]).unwrap();
        std::fs::write(unfinished.join("1-0-5"), [7; 100]).unwrap();
        let living = place.another();
        let object = living.begin().unwrap();
        let report = prune(place, &PrunePolicy::default());
        assert_eq!(report.unfinished_bytes, 100);
        assert_eq!(std::fs::read_dir(&sessions).unwrap().count(), 2);
        assert_eq!(std::fs::read_dir(&unfinished).unwrap().count(), 1);
        object.finish(ObjectName::blob(BlobId([1; 32]))).unwrap();
        drop(living);
        assert_eq!(std::fs::read_dir(&sessions).unwrap().count(), 1);
    });
}
