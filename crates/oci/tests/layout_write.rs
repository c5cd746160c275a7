//! Writing layouts: what a commit does, and that nothing else does anything.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nydus_convert_oci::{
    Blob, Digest, Error, ErrorKind, LayoutError, LayoutSink, LayoutSource, ManifestKind, Sink, Source,
    VerifyError, copy_image, media_type,
};
use serde_json::{Value, json};
use support::{add_image, assert_unchanged, blob_file, fixtures, skip, snapshot, write_image};
use tempfile::tempdir;

fn names(dir: &Path) -> BTreeSet<String> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn kind(result: Result<(), Error>) -> ErrorKind {
    result.unwrap_err().kind()
}

fn verify_error<T: std::fmt::Debug>(result: Result<T, Error>) -> VerifyError {
    match result.unwrap_err() {
        Error::Verify(error) => *error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_new_layout() {
    let temp = tempdir().unwrap();
    let dir = temp.path().join("a/b/layout");
    let root = add_image(&dir, Some("v1"), "content");
    assert_eq!(names(&dir), BTreeSet::from(["blobs", "index.json", "oci-layout"].map(str::to_owned)));
    assert_eq!(fs::read_to_string(dir.join("oci-layout")).unwrap(), r#"{"imageLayoutVersion":"1.0.0"}"#);
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{}","digest":"{}","size":{},"annotations":{{"org.opencontainers.image.ref.name":"v1"}}}}]}}"#,
        media_type::OCI_MANIFEST,
        root.digest,
        root.size
    );
    assert_eq!(fs::read_to_string(dir.join("index.json")).unwrap(), index);
    for name in names(&dir.join("blobs/sha256")) {
        assert_eq!(Digest::sha256(&fs::read(dir.join("blobs/sha256").join(&name)).unwrap()).hex(), name);
    }
    // The same image again changes nothing, not even inodes of blobs.
    let blobs = snapshot(&dir.join("blobs"));
    add_image(&dir, Some("v1"), "content");
    assert_unchanged(&dir.join("blobs"), &blobs);
    assert_eq!(fs::read_to_string(dir.join("index.json")).unwrap(), index);
}

#[test]
fn other_images_are_not_touched() {
    let temp = tempdir().unwrap();
    let dir = temp.path();
    let path = dir.join("index.json");
    add_image(dir, Some("a"), "one");
    let mut index: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    index["x-field"] = json!({ "keep": [1, 2.5] });
    index["manifests"][0]["x-own"] = json!(true);
    fs::write(&path, serde_json::to_string_pretty(&index).unwrap()).unwrap();
    let entry_a = index["manifests"][0].clone();

    let old_b = add_image(dir, Some("b"), "two");
    let new_b = add_image(dir, Some("b"), "three");
    add_image(dir, None, "four");
    let index: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 3);
    assert_eq!(index["manifests"][0], entry_a);
    assert_eq!(index["x-field"], json!({ "keep": [1, 2.5] }));
    assert_eq!(LayoutSource::open(dir, Some("b"), None).unwrap().root().digest, new_b.digest);
    // Blobs that nothing names any more stay: other names of other tools may need them.
    assert!(blob_file(dir, &old_b.digest).exists());
}

#[test]
fn dropping_leaves_no_trace() {
    let temp = tempdir().unwrap();
    fs::create_dir(temp.path().join("empty")).unwrap();
    add_image(&temp.path().join("layout"), Some("x"), "one");
    let before = snapshot(temp.path());
    for target in ["new", "new/deeper/still", "empty", "layout"] {
        let dir = temp.path().join(target);
        let sink = LayoutSink::create(&dir, Some("x")).unwrap();
        assert_unchanged_but_for_own(&dir, &before, target);
        write_image(&sink, "two");
        let mut unfinished = sink.blob().unwrap();
        unfinished.write_all(&[1; 1 << 20]).unwrap();
        drop(sink);
        assert_unchanged(temp.path(), &before);
        // Writers may live longer than the sink.
        let _ = unfinished.write_all(&[1; 1 << 20]);
        assert!(unfinished.finish().is_err());
        assert_unchanged(temp.path(), &before);
    }
}

/// While a sink lives, the layout has one entry more and no other difference.
fn assert_unchanged_but_for_own(
    dir: &Path,
    before: &std::collections::BTreeMap<PathBuf, String>,
    target: &str,
) {
    let own: Vec<String> =
        names(dir).into_iter().filter(|name| name.starts_with(".nydus-convert-")).collect();
    assert_eq!(own.len(), 1, "{target}");
    let had = before.keys().filter(|path| path.parent() == Some(Path::new(target))).count();
    assert_eq!(names(dir).len(), had + 1, "{target}");
}

#[test]
fn an_unfinished_blob_gives_its_space_back() {
    let temp = tempdir().unwrap();
    let sink = LayoutSink::create(temp.path(), None).unwrap();
    let before = snapshot(temp.path());
    let mut writer = sink.blob().unwrap();
    writer.write_all(&[7; 1 << 20]).unwrap();
    writer.flush().unwrap();
    assert_ne!(snapshot(temp.path()), before);
    drop(writer);
    assert_unchanged(temp.path(), &before);
}

#[test]
fn failed_commits_leave_no_trace() {
    let temp = tempdir().unwrap();
    let dir = temp.path().join("layout");
    let old = add_image(&dir, Some("x"), "one");
    let gone = add_image(&dir, Some("y"), "two");

    // A root that nobody wrote.
    let before = snapshot(temp.path());
    let sink = LayoutSink::create(&dir, Some("x")).unwrap();
    write_image(&sink, "three");
    let root = Blob::of(b"never written").descriptor(media_type::OCI_MANIFEST);
    assert!(matches!(sink.commit(root), Err(Error::Layout(LayoutError::MissingBlob { .. }))));
    assert_unchanged(temp.path(), &before);
    let nowhere = temp.path().join("nowhere");
    let sink = LayoutSink::create(&nowhere, None).unwrap();
    assert!(sink.commit(old.clone()).is_err());
    assert!(!nowhere.exists());

    // Something else removed a blob that the image relies on.
    let sink = LayoutSink::create(&dir, Some("x")).unwrap();
    assert!(sink.has(&gone).unwrap());
    let root = write_image(&sink, "three");
    fs::remove_file(blob_file(&dir, &gone.digest)).unwrap();
    let before = snapshot(&dir.join("blobs"));
    let error = sink.commit(root).unwrap_err();
    assert!(
        matches!(&error, Error::Layout(LayoutError::MissingBlob { digest, .. }) if *digest == gone.digest)
    );
    assert_unchanged(&dir.join("blobs"), &before);

    // The index was damaged meanwhile.
    let sink = LayoutSink::create(&dir, Some("x")).unwrap();
    let root = write_image(&sink, "three");
    fs::write(dir.join("index.json"), "{").unwrap();
    assert_eq!(kind(sink.commit(root)), ErrorKind::Verification);
    fs::write(dir.join("index.json"), "{}").unwrap();
    assert_unchanged(&dir.join("blobs"), &before);

    // The last rename fails: what was published before it is taken back, the directories too.
    let fresh = temp.path().join("fresh");
    fs::create_dir(&fresh).unwrap();
    let before = snapshot(&fresh);
    let sink = LayoutSink::create(&fresh, Some("x")).unwrap();
    let root = write_image(&sink, "three");
    fs::create_dir_all(fresh.join("index.json/in the way")).unwrap();
    assert!(sink.commit(root).is_err());
    fs::remove_dir_all(fresh.join("index.json")).unwrap();
    assert_unchanged(&fresh, &before);
}

#[test]
fn a_damaged_blob_is_replaced_and_put_back_if_that_fails() {
    let temp = tempdir().unwrap();
    let dir = temp.path();
    let root = add_image(dir, Some("x"), "one");
    let path = blob_file(dir, &root.digest);
    let good = fs::read(&path).unwrap();
    fs::write(&path, &good[..good.len() / 2]).unwrap();
    add_image(dir, Some("x"), "one");
    assert_eq!(fs::read(&path).unwrap(), good);

    // First of all blobs in the order of digests, then one that cannot be put in its place.
    fs::write(&path, "short").unwrap();
    let index = fs::read(dir.join("index.json")).unwrap();
    let sink = LayoutSink::create(dir, Some("x")).unwrap();
    let root = write_image(&sink, "one");
    fs::remove_file(dir.join("index.json")).unwrap();
    fs::create_dir(dir.join("index.json")).unwrap();
    assert!(sink.commit(root).is_err());
    fs::remove_dir(dir.join("index.json")).unwrap();
    fs::write(dir.join("index.json"), index).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"short");
    assert_eq!(names(dir), BTreeSet::from(["blobs", "index.json", "oci-layout"].map(str::to_owned)));
}

#[test]
fn good_blobs_are_left_alone() {
    let temp = tempdir().unwrap();
    let dir = temp.path();
    let root = add_image(dir, Some("x"), "one");
    let path = blob_file(dir, &root.digest);
    let before = fs::metadata(&path).unwrap();
    // Written anew without asking, and found by asking.
    let sink = LayoutSink::create(dir, Some("y")).unwrap();
    let mut writer = sink.blob().unwrap();
    writer.write_all(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(writer.finish().unwrap(), Blob { digest: root.digest, size: root.size });
    assert!(sink.has(&root).unwrap());
    sink.commit(root.clone()).unwrap();
    let after = fs::metadata(&path).unwrap();
    assert_eq!((before.ino(), before.mtime_nsec()), (after.ino(), after.mtime_nsec()));
}

#[test]
fn digests_of_callers() {
    let temp = tempdir().unwrap();
    let sink = LayoutSink::create(temp.path(), None).unwrap();
    let (digest, wrong) = (Digest::sha256(b"data"), Digest::sha256(b"other"));
    let writer = || {
        let mut writer = sink.blob().unwrap();
        writer.write_all(b"data").unwrap();
        writer
    };
    assert_eq!(writer().finish_as(digest, 4).unwrap(), Blob { digest, size: 4 });
    assert!(matches!(verify_error(writer().finish_as(wrong, 4)), VerifyError::DigestMismatch { .. }));
    assert!(matches!(verify_error(writer().finish_as(digest, 5)), VerifyError::SizeMismatch { .. }));
    let mut prehashed = sink.blob().unwrap().prehashed();
    prehashed.write_all(b"data").unwrap();
    assert!(matches!(verify_error(prehashed.finish_as(digest, 3)), VerifyError::SizeMismatch { .. }));
    let mut prehashed = sink.blob().unwrap().prehashed();
    prehashed.write_all(b"data").unwrap();
    assert_eq!(prehashed.finish_as(digest, 4).unwrap().descriptor("a/b").size, 4);
}

#[test]
fn sha512_blobs_have_a_directory_of_their_own() {
    let temp = tempdir().unwrap();
    let digest: Digest = "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
        2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
        .parse()
        .unwrap();
    let sink = LayoutSink::create(temp.path(), None).unwrap();
    let mut writer = sink.blob().unwrap().prehashed();
    writer.write_all(b"abc").unwrap();
    let blob = writer.finish_as(digest, 3).unwrap();
    sink.commit(blob.descriptor("text/plain")).unwrap();
    assert_eq!(fs::read(temp.path().join("blobs/sha512").join(digest.hex())).unwrap(), b"abc");
    let source = LayoutSource::open(temp.path(), None, Some(&digest)).unwrap();
    assert_eq!(source.read(source.root(), 10).unwrap(), b"abc");
}

#[test]
fn whole_images_are_copied() {
    for fixture in ["index", "small"] {
        let from = fixtures().join(fixture);
        let temp = tempdir().unwrap();
        let to = temp.path().join("copy");
        let source = LayoutSource::open(&from, Some("latest"), None).unwrap();
        for _ in 0..2 {
            let sink = LayoutSink::create(&to, Some("latest")).unwrap();
            copy_image(&source, &sink, source.root()).unwrap();
            sink.commit(source.root().clone()).unwrap();
            assert_eq!(names(&from.join("blobs/sha256")), names(&to.join("blobs/sha256")));
        }
        // A blob that does not verify is not copied, and the target does not come into being.
        let copied = LayoutSource::open(&to, Some("latest"), None).unwrap();
        let (_, kind) = ManifestKind::read(&copied, copied.root()).unwrap();
        let victim = match kind {
            ManifestKind::Index(index) => index.manifests[1].clone(),
            ManifestKind::Image(manifest) => manifest.layers[2].clone(),
            other => panic!("{other:?}"),
        };
        let path = blob_file(&to, &victim.digest);
        let mut bytes = fs::read(&path).unwrap();
        bytes[20] ^= 1;
        fs::write(&path, bytes).unwrap();
        let third = temp.path().join("third");
        let sink = LayoutSink::create(&third, None).unwrap();
        let VerifyError::DigestMismatch { expected, .. } =
            verify_error(copy_image(&copied, &sink, copied.root()))
        else {
            panic!()
        };
        assert_eq!(expected, victim.digest);
        drop(sink);
        assert!(!third.exists());
    }
}

#[test]
fn targets_that_are_no_layouts() {
    let temp = tempdir().unwrap();
    let file = temp.path().join("file");
    fs::write(&file, "x").unwrap();
    let full = temp.path().join("full");
    fs::create_dir_all(full.join("photos")).unwrap();
    let no_marker = temp.path().join("no-marker");
    fs::create_dir(&no_marker).unwrap();
    fs::write(no_marker.join("index.json"), "{}").unwrap();
    symlink("nowhere", temp.path().join("dangling")).unwrap();
    let before = snapshot(temp.path());
    for target in [&file, &file.join("below"), &full, &no_marker] {
        let error = LayoutSink::create(target, None).err().unwrap();
        assert!(matches!(error, Error::Layout(LayoutError::NotALayout { .. })), "{error}");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
    assert!(LayoutSink::create(temp.path().join("dangling"), None).is_err());
    assert!(LayoutSink::create("", None).is_err());
    assert_unchanged(temp.path(), &before);
}

#[test]
fn concurrent_commits_lose_nothing() {
    let temp = tempdir().unwrap();
    // All of them make the directory, too.
    let dir = temp.path().join("deep/layout");
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let dir = &dir;
            scope.spawn(move || {
                for round in 0..6 {
                    let text = format!("{thread} {round}");
                    match round % 3 {
                        // Runs that fail come and go in between.
                        0 => drop(write_image(&LayoutSink::create(dir, Some("never")).unwrap(), &text)),
                        _ => drop(add_image(dir, Some(&format!("t{thread}-{round}")), &text)),
                    }
                    add_image(dir, Some("shared"), &text);
                }
            });
        }
    });
    let index: Value = serde_json::from_slice(&fs::read(dir.join("index.json")).unwrap()).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 8 * 4 + 1);
    for thread in 0..8 {
        for round in [1, 2, 4, 5] {
            let source = LayoutSource::open(&dir, Some(&format!("t{thread}-{round}")), None).unwrap();
            let (_, kind) = ManifestKind::read(&source, source.root()).unwrap();
            let ManifestKind::Image(manifest) = kind else { panic!() };
            source.read(&manifest.layers[0], 1 << 20).unwrap();
        }
    }
    assert!(LayoutSource::open(&dir, Some("never"), None).is_err());
    assert_eq!(names(&dir), BTreeSet::from(["blobs", "index.json", "oci-layout"].map(str::to_owned)));
}

/// The moment in which a directory becomes a layout, or ceases to exist again, often.
#[test]
fn the_first_runs_of_a_new_layout_meet() {
    let temp = tempdir().unwrap();
    for round in 0..50 {
        let dir = temp.path().join(format!("{round}/layout"));
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let dir = &dir;
                scope.spawn(move || {
                    drop(LayoutSink::create(dir, None).unwrap());
                    if thread % 2 == 0 {
                        let sink = LayoutSink::create(dir, Some(&format!("t{thread}"))).unwrap();
                        let root = sink.put(media_type::OCI_MANIFEST, b"{}").unwrap();
                        sink.commit(root).unwrap();
                    }
                    drop(LayoutSink::create(dir, None).unwrap());
                });
            }
        });
        let index = fs::read_to_string(dir.join("index.json")).unwrap();
        assert!(index.contains("\"t0\"") && index.contains("\"t2\""), "{index}");
    }
}

const VICTIM: &str = "NYDUS_CONVERT_OCI_TEST_LAYOUT";

/// Not a test of its own: what the next test runs in a process that it kills.
#[test]
fn victim() {
    let Some(dir) = std::env::var_os(VICTIM) else { return };
    let sink = LayoutSink::create(PathBuf::from(dir), Some("x")).unwrap();
    write_image(&sink, "killed");
    println!("\nready");
    std::thread::sleep(std::time::Duration::from_secs(600));
    drop(sink);
}

#[test]
fn a_killed_run_is_cleaned_up_by_the_next() {
    use std::io::{BufRead as _, BufReader};
    let temp = tempdir().unwrap();
    let dir = temp.path().join("layout");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "victim", "--nocapture"])
        .env(VICTIM, &dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "ready"));
    let own = || names(&dir).into_iter().filter(|name| name.starts_with(".nydus-convert")).count();
    // While it lives, others leave it alone.
    add_image(&dir, Some("y"), "other");
    assert_eq!(own(), 1);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(own(), 1);
    let sink = LayoutSink::create(&dir, Some("x")).unwrap();
    assert_eq!(own(), 1, "its own");
    drop(sink);
    assert_eq!(own(), 0);
    // What a run leaves that is killed before its first lock, or while it holds the lock of the layout.
    fs::create_dir(dir.join(".nydus-convert-dead")).unwrap();
    fs::write(dir.join(".nydus-convert.lock"), "").unwrap();
    add_image(&dir, Some("x"), "again");
    assert_eq!(own(), 0);
    // A new target in which the first run was killed is still a target.
    let young = temp.path().join("young");
    fs::create_dir_all(young.join(".nydus-convert-dead")).unwrap();
    add_image(&young, None, "fresh");
    assert_eq!(names(&young).len(), 3);
}

#[test]
fn a_link_in_the_place_of_the_lock_is_refused() {
    let temp = tempdir().unwrap();
    let dir = temp.path().join("layout");
    fs::create_dir(&dir).unwrap();
    symlink(temp.path().join("victim"), dir.join(".nydus-convert.lock")).unwrap();
    assert!(LayoutSink::create(&dir, None).is_err());
    assert!(!temp.path().join("victim").exists());
}

#[test]
fn blobs_on_another_file_system() {
    let temp = tempdir().unwrap();
    let dir = temp.path().join("layout");
    let Ok(other) = tempfile::tempdir_in("/dev/shm") else {
        skip("no /dev/shm");
        return;
    };
    if fs::metadata(other.path()).unwrap().dev() == fs::metadata(temp.path()).unwrap().dev() {
        skip("/dev/shm is the same file system");
        return;
    }
    add_image(&dir, Some("a"), "one");
    fs::rename(dir.join("blobs/sha256"), dir.join("blobs/old")).unwrap();
    symlink(other.path(), dir.join("blobs/sha256")).unwrap();
    let root = add_image(&dir, Some("b"), "two");
    assert_eq!(names(other.path()).len(), 3);
    let source = LayoutSource::open(&dir, Some("b"), None).unwrap();
    source.read(&root, 1 << 20).unwrap();
    // Taken back there, too.
    let before = snapshot(other.path());
    let sink = LayoutSink::create(&dir, Some("b")).unwrap();
    let root = write_image(&sink, "three");
    fs::rename(dir.join("index.json"), dir.join("kept")).unwrap();
    fs::create_dir(dir.join("index.json")).unwrap();
    assert!(sink.commit(root).is_err());
    assert_unchanged(other.path(), &before);
}
