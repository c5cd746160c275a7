//! Reading layouts: finding images, and everything that can be wrong.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::symlink;
use std::path::Path;

use nydus_convert_oci::image::{Config, check_layers};
use nydus_convert_oci::layout::{CONTAINERD_NAME, NoLayout};
use nydus_convert_oci::{
    Descriptor, Digest, Error, ErrorKind, LayoutError, LayoutSink, LayoutSource, ManifestKind, Sink, Source,
    decompress, media_type,
};
use serde_json::{Value, json};
use support::{add_image, blob_file, fixtures, write_image};
use tempfile::tempdir;

fn layout_error(result: Result<LayoutSource, Error>) -> LayoutError {
    match result.err().unwrap() {
        Error::Layout(error) => error,
        other => panic!("{other:?}"),
    }
}

fn edit_index(dir: &Path, edit: impl FnOnce(&mut Value)) {
    let path = dir.join("index.json");
    let mut index = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    edit(&mut index);
    fs::write(&path, index.to_string()).unwrap();
}

#[test]
fn images_are_found() {
    let dir = tempdir().unwrap();
    let dir = dir.path();
    let only = add_image(dir, None, "one");
    assert_eq!(LayoutSource::open(dir, None, None).unwrap().root(), &only);
    let two = add_image(dir, Some("two"), "two");
    let named = LayoutSource::open(dir, Some("two"), None).unwrap();
    assert_eq!(named.root().digest, two.digest);
    assert_eq!(named.root().annotations["org.opencontainers.image.ref.name"], "two");
    assert_eq!(LayoutSource::open(dir, None, Some(&only.digest)).unwrap().root().digest, only.digest);
    assert_eq!(LayoutSource::open(dir, Some("two"), Some(&two.digest)).unwrap().root().digest, two.digest);

    let error = layout_error(LayoutSource::open(dir, None, None));
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let text = error.to_string();
    assert!(
        text.contains("several images") && text.contains("two") && text.contains(&only.digest.to_string()),
        "{text}"
    );
    let error = layout_error(LayoutSource::open(dir, Some("three"), None));
    assert!(matches!(&error, LayoutError::RefMissing { available, .. } if available.len() == 2), "{error}");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let error = layout_error(LayoutSource::open(dir, Some("two"), Some(&only.digest)));
    assert!(matches!(error, LayoutError::PinMismatch { .. }));
    assert_eq!(error.kind(), ErrorKind::Verification);
    let error = layout_error(LayoutSource::open(dir, None, Some(&Digest::sha256(b"nothing"))));
    assert!(matches!(error, LayoutError::RefMissing { .. }));
}

#[test]
fn names_of_containerd_and_names_twice() {
    let dir = tempdir().unwrap();
    let dir = dir.path();
    let one = add_image(dir, Some("latest"), "one");
    let two = add_image(dir, Some("other"), "two");
    edit_index(dir, |index| {
        index["manifests"][0]["annotations"][CONTAINERD_NAME] = json!("docker.io/library/x:latest");
    });
    let by_full_name = LayoutSource::open(dir, Some("docker.io/library/x:latest"), None).unwrap();
    assert_eq!(by_full_name.root().digest, one.digest);
    // Two names of one image: still one image.
    edit_index(dir, |index| {
        index["manifests"][1]["digest"] = json!(one.digest);
        index["manifests"][1]["size"] = json!(one.size);
    });
    assert_eq!(LayoutSource::open(dir, None, None).unwrap().root().digest, one.digest);
    // One name of two images: none.
    edit_index(dir, |index| {
        index["manifests"][1]["digest"] = json!(two.digest);
        index["manifests"][1]["annotations"] = json!({ "org.opencontainers.image.ref.name": "latest" });
    });
    let error = layout_error(LayoutSource::open(dir, Some("latest"), None));
    assert!(
        matches!(&error, LayoutError::Ambiguous { available, .. } if available.contains(&two.digest.to_string()))
    );
}

#[test]
fn a_platform_is_found_by_its_digest() {
    let dir = fixtures().join("index");
    let source = LayoutSource::open(&dir, Some("latest"), None).unwrap();
    let (_, kind) = ManifestKind::read(&source, source.root()).unwrap();
    let ManifestKind::Index(index) = kind else { panic!() };
    assert_eq!(index.manifests.len(), 3);
    for entry in &index.manifests {
        let inner = LayoutSource::open(&dir, None, Some(&entry.digest)).unwrap();
        assert_eq!(inner.root(), entry);
    }
}

#[test]
fn an_image_is_read_end_to_end() {
    let source = LayoutSource::open(fixtures().join("small"), None, None).unwrap();
    let (_, kind) = ManifestKind::read(&source, source.root()).unwrap();
    let ManifestKind::Image(manifest) = kind else { panic!() };
    let (_, config) = Config::read(&source, &manifest.config).unwrap();
    check_layers(&manifest, &config).unwrap();
    assert_eq!(config.platform().unwrap().to_string(), "linux/amd64");
    for (layer, diff_id) in manifest.layers.iter().zip(config.diff_ids()) {
        let mut plain = Vec::new();
        decompress(source.open(layer).unwrap(), 1 << 30).unwrap().read_to_end(&mut plain).unwrap();
        assert_eq!(Digest::sha256(&plain), diff_id.0);
        let file = source.open_file(layer).unwrap();
        let mut magic = [0; 2];
        file.read_exact_at(&mut magic, 0).unwrap();
        assert_eq!(magic, [0x1f, 0x8b]);
    }
}

#[test]
fn bad_blobs() {
    let dir = tempdir().unwrap();
    let dir = dir.path();
    let root = add_image(dir, Some("x"), "content");
    let source = LayoutSource::open(dir, Some("x"), None).unwrap();
    let path = blob_file(dir, &root.digest);
    let good = fs::read(&path).unwrap();
    let error = source.read(&root, root.size - 1).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }));
    assert_eq!(error.kind(), ErrorKind::ResourceLimit);

    let fails = |kind: ErrorKind, contains: &str| {
        let error = source.read(&root, 1 << 20).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        let text = error.to_string();
        assert!(text.contains(contains) && text.contains(&root.digest.hex()), "{text}");
    };
    let mut bad = good.clone();
    bad[10] ^= 1;
    fs::write(&path, &bad).unwrap();
    fails(ErrorKind::Verification, "has the digest");
    fs::write(&path, [&good[..], b" "].concat()).unwrap();
    fails(ErrorKind::Verification, "declared");
    assert_eq!(source.open_file(&root).unwrap_err().kind(), ErrorKind::Verification);
    fs::write(&path, &good[1..]).unwrap();
    fails(ErrorKind::Verification, "declared");
    fs::remove_file(&path).unwrap();
    fails(ErrorKind::NotFound, path.to_str().unwrap());
    fs::create_dir(&path).unwrap();
    fails(ErrorKind::Verification, "not a regular file");
    fs::remove_dir(&path).unwrap();
    // Opening a fifo that nobody writes to would wait for ever.
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    fails(ErrorKind::Verification, "not a regular file");
    fs::remove_file(&path).unwrap();
    // A link to a good file is as good as the file.
    let elsewhere = dir.join("elsewhere");
    fs::write(&elsewhere, &good).unwrap();
    symlink(&elsewhere, &path).unwrap();
    assert_eq!(source.read(&root, 1 << 20).unwrap(), good);
}

#[test]
fn linked_blob_directories() {
    let dir = tempdir().unwrap();
    let (layout, shared) = (dir.path().join("layout"), dir.path().join("shared"));
    let root = add_image(&layout, None, "content");
    fs::rename(layout.join("blobs"), &shared).unwrap();
    symlink(&shared, layout.join("blobs")).unwrap();
    let source = LayoutSource::open(&layout, None, None).unwrap();
    assert_eq!(source.read(&root, 1 << 20).unwrap().len() as u64, root.size);
}

#[test]
fn what_is_not_a_layout() {
    let temp = tempdir().unwrap();
    let dir = temp.path().join("layout");
    let reason = |dir: &Path| match layout_error(LayoutSource::open(dir, None, None)) {
        LayoutError::NotALayout { reason, .. } => reason,
        other => panic!("{other:?}"),
    };
    let error = layout_error(LayoutSource::open(&dir, None, None));
    assert!(matches!(error, LayoutError::NotFound { .. }));
    assert_eq!(error.kind(), ErrorKind::NotFound);
    fs::write(&dir, "file").unwrap();
    assert_eq!(reason(&dir), NoLayout::NotADirectory);
    fs::remove_file(&dir).unwrap();
    fs::create_dir(&dir).unwrap();
    assert_eq!(reason(&dir), NoLayout::NoMarker(None));
    fs::write(dir.join("index.json"), r#"{"schemaVersion":2,"manifests":[]}"#).unwrap();
    assert_eq!(reason(&dir), NoLayout::NoMarker(None));
    fs::rename(dir.join("index.json"), dir.join("kept")).unwrap();
    fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0","x":1}"#).unwrap();
    assert_eq!(reason(&dir), NoLayout::NoIndex);
    fs::rename(dir.join("kept"), dir.join("index.json")).unwrap();
    assert!(matches!(layout_error(LayoutSource::open(&dir, None, None)), LayoutError::Empty { .. }));

    for (marker, kind) in [
        (r#"{"imageLayoutVersion":"2.0.0"}"#, ErrorKind::Unsupported),
        (r#"{"imageLayoutVersion":1}"#, ErrorKind::Verification),
        ("", ErrorKind::Verification),
        (&" ".repeat(5000), ErrorKind::ResourceLimit),
    ] {
        fs::write(dir.join("oci-layout"), marker).unwrap();
        assert_eq!(LayoutSource::open(&dir, None, None).err().unwrap().kind(), kind, "{marker}");
        assert_eq!(LayoutSink::create(&dir, None).err().unwrap().kind(), kind, "{marker}");
    }
}

#[test]
fn damaged_indexes() {
    let temp = tempdir().unwrap();
    let dir = temp.path();
    add_image(dir, Some("x"), "content");
    let path = dir.join("index.json");
    let malformed = |text: &str| {
        fs::write(&path, text).unwrap();
        let error = layout_error(LayoutSource::open(dir, Some("x"), None));
        assert!(matches!(error, LayoutError::Malformed { .. }), "{text}: {error}");
        assert!(error.to_string().contains("index.json"));
    };
    malformed("");
    malformed(r#"{"manifests":[]"#);
    malformed(r#"{"manifests":{}}"#);
    let named = |fields: &str| {
        format!(r#"{{"manifests":[{{"annotations":{{"org.opencontainers.image.ref.name":"x"}}{fields}}}]}}"#)
    };
    malformed(&named(""));
    malformed(&named(r#","mediaType":"a","size":1,"digest":"sha256:../../../../etc/passwd""#));
    malformed(&named(&format!(r#","mediaType":"a","size":-1,"digest":"{}""#, Digest::sha256(b""))));
    let file = fs::File::create(&path).unwrap();
    file.set_len(nydus_convert_oci::layout::MAX_INDEX_FILE + 1).unwrap();
    assert_eq!(LayoutSource::open(dir, None, None).err().unwrap().kind(), ErrorKind::ResourceLimit);
}

#[test]
fn an_entry_of_an_unknown_algorithm_does_not_hide_the_others() {
    let dir = tempdir().unwrap();
    let dir = dir.path();
    let root = add_image(dir, Some("x"), "content");
    edit_index(dir, |index| {
        let odd = json!({ "mediaType": media_type::OCI_MANIFEST, "size": 1, "digest": "blake3:00",
            "annotations": { "org.opencontainers.image.ref.name": "odd" } });
        index["manifests"].as_array_mut().unwrap().insert(0, odd);
        index["manifests"].as_array_mut().unwrap().push(json!(7));
    });
    assert_eq!(LayoutSource::open(dir, Some("x"), None).unwrap().root().digest, root.digest);
    assert!(LayoutSource::open(dir, Some("odd"), None).is_err());
    assert_eq!(LayoutSource::open(dir, None, Some(&root.digest)).unwrap().root().digest, root.digest);
}

#[test]
fn sources_and_sinks_are_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<LayoutSource>();
    shared::<LayoutSink>();
    shared::<Box<dyn Sink>>();
    shared::<Box<dyn Source>>();
    let dir = tempdir().unwrap();
    let sink = LayoutSink::create(dir.path(), None).unwrap();
    let roots: Vec<Descriptor> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| write_image(&sink, "same"))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(roots.windows(2).all(|pair| pair[0] == pair[1]));
    sink.commit(roots[0].clone()).unwrap();
    assert_eq!(fs::read_dir(dir.path().join("blobs/sha256")).unwrap().count(), 3);
}
