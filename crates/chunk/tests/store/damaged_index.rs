//! The index is made of the objects, and can be made of them again whatever became of it.

use std::fs;
use std::path::Path;
use std::process::Command;

use nydus_convert_chunk::store::{ChunkStore, PrunePolicy, StoreError, VerifyOptions, VerifyReport};
use tempfile::TempDir;

use crate::place::{
    Random, assert_sound, class, home, key, packed, packed_with, publish, try_publish, wanted,
};

const LAYERS: usize = 12;

fn numbers(layer: usize) -> Vec<usize> {
    (layer * 10..layer * 10 + 11).collect()
}

fn filled(dir: &Path) {
    let store = ChunkStore::open(dir).unwrap();
    for layer in 0..LAYERS {
        publish(&store, &numbers(layer), Some((key(layer as u8), b"body")));
    }
}

/// Whatever is done with the store either works or says that the index is to be made anew.
fn use_it(dir: &Path) -> Result<(), StoreError> {
    let store = ChunkStore::open(dir)?;
    for layer in 0..LAYERS {
        if let Some(layer) = store.find_layer(key(layer as u8))? {
            assert_eq!(layer.body, b"body");
        }
    }
    let all: Vec<_> = (0..LAYERS * 10).map(wanted).collect();
    let forms = std::sync::Arc::new(store.forms(&class(), None));
    for (form, (digest, _)) in forms.find(&all)?.iter().zip(&all) {
        assert!(form.as_ref().is_none_or(|form| form.chunk().digest == *digest));
    }
    assert!(packed_with(&numbers(3), Some(forms)).bytes == packed(&numbers(3)).bytes);
    try_publish(&store, &packed(&[500, 501, 3]), Some((key(99), b"body")))?;
    store.forget(packed(&numbers(5)).finished.id)?;
    store.verify(VerifyOptions::default())?;
    Ok(())
}

fn rebuild(dir: &Path) -> VerifyReport {
    let store = ChunkStore::open_to_rebuild(dir).unwrap();
    let report = store.verify(VerifyOptions { rebuild: true, ..VerifyOptions::default() }).unwrap();
    assert_eq!(report.problems, []);
    for layer in 0..LAYERS {
        assert!(store.find_layer(key(layer as u8)).unwrap().is_some(), "{layer}");
        assert!(home(&store, layer * 10 + 5).is_some());
    }
    assert_sound(&store);
    report
}

#[test]
fn an_index_that_is_gone_or_no_index_at_all() {
    let temp = TempDir::new().unwrap();
    let index = temp.path().join("index.redb");
    filled(temp.path());
    let sound = fs::read(&index).unwrap();
    let zeros = vec![0; sound.len()];
    let cases: [Option<&[u8]>; 7] = [
        None,
        Some(b""),
        Some(b"x"),
        Some(&zeros),
        Some(&sound[..100]),
        Some(&sound[..5000]),
        Some(&sound[..sound.len() / 2]),
    ];
    for (case, content) in cases.into_iter().enumerate() {
        match content {
            None => fs::remove_file(&index).unwrap(),
            Some(content) => fs::write(&index, content).unwrap(),
        }
        if case > 0 {
            let error = use_it(temp.path()).unwrap_err();
            assert!(matches!(error, StoreError::Index(_)), "{case}: {error:?}");
            assert!(error.to_string().contains("store verify --rebuild"));
        } else {
            // One that knows nothing is made: everything is made again.
            use_it(temp.path()).unwrap();
        }
        rebuild(temp.path());
    }
}

#[test]
fn damage_is_an_error_and_no_panic() {
    let temp = TempDir::new().unwrap();
    let index = temp.path().join("index.redb");
    filled(temp.path());
    let sound = fs::read(&index).unwrap();
    let mut random = Random(11);
    let mut failures = 0;
    for case in 0..40 {
        let mut bytes = sound.clone();
        for _ in 0..1 + case % 4 {
            let start = random.below(bytes.len() / 64) * 64;
            let end = (start + (1 << random.below(12))).min(bytes.len());
            match case % 3 {
                0 => bytes[start..end].fill(0xff),
                1 => bytes[start..end].fill(0),
                _ => bytes[start..end].iter_mut().for_each(|byte| *byte = random.below(256) as u8),
            }
        }
        fs::write(&index, &bytes).unwrap();
        match use_it(temp.path()) {
            Ok(()) => {}
            Err(StoreError::Index(_)) => failures += 1,
            Err(error) => panic!("{case}: {error:?}"),
        }
        if case % 4 == 0 {
            rebuild(temp.path());
        }
    }
    assert!(failures > 0);
}

/// All that pruning and the lists of the store need of the index.
fn prune_it(dir: &Path) -> Result<(), StoreError> {
    let store = ChunkStore::open(dir)?;
    store.index().totals()?;
    store.prune(&PrunePolicy { blobs: vec![packed(&numbers(2)).finished.id], ..PrunePolicy::default() })?;
    store.forget(packed(&numbers(5)).finished.id)?;
    store.prune(&PrunePolicy { max_bytes: Some(0), ..PrunePolicy::default() })?;
    Ok(())
}

#[test]
fn what_verifying_finds_sound_can_be_pruned() {
    let (sound, temp) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    filled(sound.path());
    let verify = |dir: &Path| ChunkStore::open(dir)?.verify(VerifyOptions::default());
    verify(sound.path()).unwrap();
    let index = fs::read(sound.path().join("index.redb")).unwrap();
    let mut found = 0;
    for page in 0..index.len() / 4096 {
        let mut bytes = index.clone();
        bytes[page * 4096..][..4096].fill(0);
        if bytes == index {
            continue;
        }
        let damaged = |name: &str| {
            let dir = temp.path().join(format!("{name}-{page}"));
            assert!(Command::new("cp").arg("-a").arg(sound.path()).arg(&dir).status().unwrap().success());
            fs::write(dir.join("index.redb"), &bytes).unwrap();
            dir
        };
        match (verify(&damaged("verified")), prune_it(&damaged("pruned"))) {
            (Ok(_), Ok(())) => {}
            (Err(StoreError::Index(_)), Ok(()) | Err(StoreError::Index(_))) => found += 1,
            (verified, pruned) => panic!("{page}: {verified:?} {pruned:?}"),
        }
    }
    assert!(found > 4, "{found}");
}

#[test]
fn nothing_is_pruned_without_an_index() {
    let temp = TempDir::new().unwrap();
    filled(temp.path());
    fs::remove_file(temp.path().join("index.redb")).unwrap();
    let prune = || ChunkStore::open(temp.path()).unwrap().prune(&PrunePolicy::default());
    let error = prune().unwrap_err();
    assert!(error.to_string().contains("store verify --rebuild"), "{error}");
    rebuild(temp.path());
    assert_eq!(prune().unwrap().pruned, []);
}

#[test]
fn an_index_is_not_taken_away_from_others() {
    let temp = TempDir::new().unwrap();
    filled(temp.path());
    let other = ChunkStore::open(temp.path()).unwrap();
    let before = other.snapshot().unwrap();
    rebuild(temp.path());
    let id = publish(&other, &[700], None);
    assert_eq!(home(&ChunkStore::open(temp.path()).unwrap(), 700), Some(id));
    assert!(other.check_snapshot(before).unwrap().is_err());
    drop(other);
    fs::write(temp.path().join("index.redb"), b"nothing of the kind").unwrap();
    rebuild(temp.path());
}
