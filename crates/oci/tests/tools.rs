//! Real tools on both sides: what they write we read, what we write they read, digests equal.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nydus_convert_oci::image::{Config, EntryKind, Index, Manifest, check_layers};
use nydus_convert_oci::nydus::{self, BootstrapWriter, FsVersion, IndexParts, ManifestParts};
use nydus_convert_oci::{
    Annotations, Blob, Compression, Descriptor, Digest, LayoutSink, LayoutSource, ManifestKind, Sink as _,
    Source, copy_image, decompress, media_type,
};
use serde_json::Value;
use support::{add_image, blob_file, fixtures, require, run};
use tempfile::tempdir;

/// `oci:DIR:NAME`
fn oci(dir: &Path, name: &str) -> OsString {
    let mut text = OsString::from("oci:");
    text.push(dir);
    text.push(format!(":{name}"));
    text
}

fn skopeo<S: AsRef<std::ffi::OsStr>>(args: &[S]) -> Vec<u8> {
    run("skopeo", args)
}

/// Copies by skopeo, digests kept or the copy fails.
fn skopeo_copy(from: &OsString, to: &OsString) {
    let flags = ["copy", "-q", "--all", "--preserve-digests"].map(OsString::from);
    skopeo(&[&flags[..], &[from.clone(), to.clone()]].concat());
}

/// Reads everything that `name` names, verified; gives the manifests of its images.
fn read_all(dir: &Path, name: &str) -> Vec<Manifest> {
    let source = LayoutSource::open(dir, Some(name), None).unwrap();
    let mut images = Vec::new();
    let mut todo = vec![source.root().clone()];
    while let Some(descriptor) = todo.pop() {
        match ManifestKind::read(&source, &descriptor).unwrap().1 {
            ManifestKind::Image(manifest) => {
                let (_, config) = Config::read(&source, &manifest.config).unwrap();
                check_layers(&manifest, &config).unwrap();
                for (layer, diff_id) in manifest.layers.iter().zip(config.diff_ids()) {
                    let mut plain = Vec::new();
                    decompress(source.open(layer).unwrap(), 1 << 30)
                        .unwrap()
                        .read_to_end(&mut plain)
                        .unwrap();
                    assert_eq!(Digest::sha256(&plain), diff_id.0);
                }
                images.push(manifest);
            }
            ManifestKind::Index(index) => todo.extend(index.manifests),
            ManifestKind::Artifact { artifact_type } => {
                assert!(artifact_type.contains("in-toto"), "{artifact_type}")
            }
            other => panic!("{other:?}"),
        }
    }
    images
}

#[test]
fn layouts_of_umoci() {
    require!("umoci", "skopeo");
    let temp = tempdir().unwrap();
    let dir = temp.path().join("layout");
    let text = dir.to_str().unwrap();
    run("umoci", &["init", "--layout", text]);
    let image = format!("{text}:it");
    run("umoci", &["new", "--image", &image]);
    // An image without layers is an image.
    assert_eq!(read_all(&dir, "it")[0].layers.len(), 0);
    let file = temp.path().join("file");
    fs::write(&file, "some content\n".repeat(1000)).unwrap();
    for target in ["/a", "/b"] {
        run("umoci", &["insert", "--rootless", "--image", &image, file.to_str().unwrap(), target]);
    }
    assert_eq!(read_all(&dir, "it")[0].layers.len(), 2);
    // Ours goes beside theirs, and theirs stays what it was.
    let theirs = fs::read_to_string(dir.join("index.json")).unwrap();
    let root = add_image(&dir, Some("ours"), "content");
    assert_eq!(read_all(&dir, "it")[0].layers.len(), 2);
    let list = String::from_utf8(run("umoci", &["list", "--layout", text])).unwrap();
    assert_eq!(list.lines().collect::<BTreeSet<_>>(), BTreeSet::from(["it", "ours"]));
    let index: Value = serde_json::from_str(&fs::read_to_string(dir.join("index.json")).unwrap()).unwrap();
    assert_eq!(index["manifests"][0], serde_json::from_str::<Value>(&theirs).unwrap()["manifests"][0]);
    // Their garbage collector takes nothing of ours.
    run("umoci", &["gc", "--layout", text]);
    LayoutSource::open(&dir, Some("ours"), None).unwrap().read(&root, 1 << 20).unwrap();
    read_all(&dir, "ours");
}

#[test]
fn layouts_of_buildah() {
    require!("buildah", "root");
    let temp = tempdir().unwrap();
    let dir = temp.path().join("layout");
    let storage = ["--root", "graph", "--runroot", "run"];
    let buildah = |args: &[&str]| {
        let mut command = Command::new("buildah");
        command
            .current_dir(temp.path())
            .stdin(Stdio::null())
            .args(storage)
            .args(["--storage-driver", "vfs"])
            .args(args);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    fs::write(temp.path().join("file"), "x".repeat(300_000)).unwrap();
    let container = buildah(&["from", "scratch"]);
    buildah(&["copy", "-q", &container, "file", "/file"]);
    for (format, name) in [("oci", "o"), ("docker", "d")] {
        let target = format!("oci:{}:{name}", dir.display());
        buildah(&["commit", "-q", "--format", format, &container, &target]);
        let images = read_all(&dir, name);
        assert_eq!((images.len(), images[0].layers.len()), (1, 1));
    }
    buildah(&["rm", "--all"]);
}

#[test]
fn skopeo_in_every_format() {
    require!("skopeo");
    let temp = tempdir().unwrap();
    let from = oci(&fixtures().join("small"), "latest");
    // A layout made by skopeo.
    let dir = temp.path().join("copy");
    skopeo_copy(&from, &oci(&dir, "again"));
    assert_eq!(read_all(&dir, "again")[0].layers.len(), 4);
    // Docker schema 2, and zstd: skopeo puts them in a directory of its own shape, we in a layout.
    for (flags, media_type, compression) in [
        (&["--format", "v2s2"][..], media_type::DOCKER_LAYER_GZIP, Compression::Gzip),
        (
            &["--dest-compress", "--dest-compress-format", "zstd"],
            media_type::OCI_LAYER_ZSTD,
            Compression::Zstd,
        ),
        (&["--dest-decompress"], media_type::OCI_LAYER, Compression::None),
    ] {
        let plain = temp.path().join("dir");
        let _ = fs::remove_dir_all(&plain);
        let mut to = OsString::from("dir:");
        to.push(&plain);
        let flags: Vec<OsString> = ["copy", "-q"].iter().chain(flags).map(OsString::from).collect();
        skopeo(&[&flags[..], &[from.clone(), to]].concat());
        let layout = temp.path().join(media_type.rsplit('.').next().unwrap());
        let root = import_dir(&plain, &layout);
        let image = read_all(&layout, "x").pop().unwrap();
        assert!(image.layers.iter().all(|layer| layer.media_type == media_type), "{image:?}");
        let source = LayoutSource::open(&layout, Some("x"), None).unwrap();
        let layer = decompress(source.open(&image.layers[0]).unwrap(), 1 << 30).unwrap();
        assert_eq!(layer.compression(), compression);
        // And skopeo takes it back from us; but in layouts it looks for manifests of OCI's own media types
        // only.
        if root.media_type == media_type::OCI_MANIFEST {
            let raw = skopeo(&["inspect".into(), "--raw".into(), oci(&layout, "x")]);
            assert_eq!(Digest::sha256(&raw), root.digest);
        }
    }
}

/// Copies what skopeo's `dir:` wrote into a layout, as `x`.
fn import_dir(dir: &Path, layout: &Path) -> Descriptor {
    let manifest = fs::read(dir.join("manifest.json")).unwrap();
    let value: Value = serde_json::from_slice(&manifest).unwrap();
    let sink = LayoutSink::create(layout, Some("x")).unwrap();
    let layers = value["layers"].as_array().unwrap().iter();
    for descriptor in layers.chain([&value["config"]]) {
        let digest = descriptor["digest"].as_str().unwrap().parse().unwrap();
        let bytes = fs::read(dir.join(Digest::hex(&digest))).unwrap();
        let mut writer = sink.blob().unwrap();
        writer.write_all(&bytes).unwrap();
        writer.finish_as(digest, bytes.len() as u64).unwrap();
    }
    let media_type = value["mediaType"].as_str().unwrap_or(media_type::OCI_MANIFEST);
    let root = sink.put(media_type, &manifest).unwrap();
    sink.commit(root.clone()).unwrap();
    root
}

#[test]
fn skopeo_reads_what_we_copy() {
    require!("skopeo");
    for fixture in ["small", "index"] {
        let temp = tempdir().unwrap();
        let (ours, theirs) = (temp.path().join("ours"), temp.path().join("theirs"));
        let source = LayoutSource::open(fixtures().join(fixture), Some("latest"), None).unwrap();
        let sink = LayoutSink::create(&ours, Some("v1.2_x")).unwrap();
        copy_image(&source, &sink, source.root()).unwrap();
        sink.commit(source.root().clone()).unwrap();
        let raw = skopeo(&["inspect".into(), "--raw".into(), oci(&ours, "v1.2_x")]);
        assert_eq!(Digest::sha256(&raw), source.root().digest);
        if fixture == "small" {
            let text = skopeo(&["inspect".into(), oci(&ours, "v1.2_x")]);
            let value: Value = serde_json::from_slice(&text).unwrap();
            assert_eq!(value["Digest"], source.root().digest.to_string());
            assert_eq!(value["Layers"].as_array().unwrap().len(), 4);
        }
        skopeo_copy(&oci(&ours, "v1.2_x"), &oci(&theirs, "x"));
        let copied = LayoutSource::open(&theirs, Some("x"), None).unwrap();
        assert_eq!(copied.root().digest, source.root().digest);
        read_all(&theirs, "x");
        // skopeo writes into our layout as well.
        skopeo_copy(&oci(&theirs, "x"), &oci(&ours, "second"));
        read_all(&ours, "v1.2_x");
        read_all(&ours, "second");
    }
}

/// The shape of a converted image (the blobs are only bytes here): manifest by manifest, then the index.
fn nydus_shape(source: &dyn Source, sink: &LayoutSink) -> Descriptor {
    let root = source.root();
    match ManifestKind::read(source, root).unwrap().1 {
        ManifestKind::Image(manifest) => {
            let blob = nydus_manifest(source, sink, root, &manifest).0;
            blob.descriptor(manifest.format.manifest())
        }
        ManifestKind::Index(index) => {
            let entries =
                index.entries().map(|(kind, entry)| nydus_entry(source, sink, &index, kind, entry)).collect();
            let new = IndexParts { source: &index, entries, annotations: Annotations::new() }.assemble();
            sink.put(new.format.index(), &new.to_json()).unwrap()
        }
        other => panic!("{other:?}"),
    }
}

fn nydus_entry(
    source: &dyn Source,
    sink: &LayoutSink,
    index: &Index,
    kind: EntryKind,
    entry: &Descriptor,
) -> Descriptor {
    if kind == EntryKind::Extra {
        copy_image(source, sink, entry).unwrap();
        return entry.clone();
    }
    let ManifestKind::Image(manifest) = ManifestKind::read(source, entry).unwrap().1 else { panic!() };
    let (blob, config) = nydus_manifest(source, sink, entry, &manifest);
    nydus::index_entry(index.format, entry, blob, config.platform().unwrap(), None)
}

fn nydus_manifest(
    source: &dyn Source,
    sink: &LayoutSink,
    root: &Descriptor,
    manifest: &Manifest,
) -> (Blob, Config) {
    let (_, config) = Config::read(source, &manifest.config).unwrap();
    let blobs: Vec<Blob> = (0..manifest.layers.len())
        .map(|number| {
            let mut writer = sink.blob().unwrap();
            writer.write_all(format!("{} blob {number}", root.digest).as_bytes()).unwrap();
            writer.finish().unwrap()
        })
        .collect();
    let boot = vec![1; 100_000];
    let writer =
        BootstrapWriter::new(sink.blob().unwrap().prehashed(), boot.len() as u64, |out| out.write_all(&boot));
    let mut writer = writer.unwrap();
    writer.extra(nydus::ORIGIN_PATH, b"origin").unwrap();
    let (layer, stored) = writer.finish().unwrap();
    layer.finish_as(stored.blob.digest, stored.blob.size).unwrap();
    let config = nydus::config(&config, &blobs, &stored);
    let parts = ManifestParts {
        source: manifest,
        source_digest: root.digest,
        source_reference: None,
        config: sink.put(manifest.format.config(), &config.to_json()).unwrap(),
        blobs: blobs.into_iter().map(nydus::blob_descriptor).collect(),
        bootstrap: nydus::bootstrap_descriptor(manifest.format, stored.blob, FsVersion::V6),
        fs_version: FsVersion::V6,
        builder_version: None,
        artifact_type: None,
        subject: None,
        annotations: Annotations::new(),
    };
    let json = parts.assemble().to_json();
    sink.put(manifest.format.manifest(), &json).unwrap();
    (Blob::of(&json), config)
}

#[test]
fn nydus_images_travel_through_skopeo() {
    require!("skopeo");
    for fixture in ["small", "index"] {
        let temp = tempdir().unwrap();
        let (ours, theirs) = (temp.path().join("ours"), temp.path().join("theirs"));
        let source = LayoutSource::open(fixtures().join(fixture), Some("latest"), None).unwrap();
        let sink = LayoutSink::create(&ours, Some("nydus")).unwrap();
        let root = nydus_shape(&source, &sink);
        sink.commit(root.clone()).unwrap();
        skopeo_copy(&oci(&ours, "nydus"), &oci(&theirs, "nydus"));
        let copied = LayoutSource::open(&theirs, Some("nydus"), None).unwrap();
        assert_eq!(copied.root().digest, root.digest);
        let files = |dir: &Path| {
            let names = fs::read_dir(dir.join("blobs/sha256")).unwrap();
            names.map(|entry| entry.unwrap().file_name()).collect::<BTreeSet<_>>()
        };
        assert_eq!(files(&ours), files(&theirs));
        let (mut todo, mut nydus_images) = (vec![root], 0);
        while let Some(descriptor) = todo.pop() {
            match ManifestKind::read(&copied, &descriptor).unwrap().1 {
                ManifestKind::Index(index) => todo.extend(index.manifests),
                ManifestKind::Nydus(manifest) => {
                    nydus_images += 1;
                    let (_, layer) = manifest.nydus().unwrap();
                    let boot = nydus::read_bootstrap(copied.open(layer).unwrap(), 1 << 20).unwrap();
                    let (_, config) = Config::read(&copied, &manifest.config).unwrap();
                    check_layers(&manifest, &config).unwrap();
                    assert_eq!(config.diff_ids().last(), Some(&boot.diff_id));
                    assert_eq!((boot.bytes.len(), boot.origin.as_deref()), (100_000, Some(&b"origin"[..])));
                }
                ManifestKind::Artifact { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(nydus_images, if fixture == "index" { 2 } else { 1 });
    }
}

#[test]
fn two_runs_give_the_same_layout() {
    let temp = tempdir().unwrap();
    let source = LayoutSource::open(fixtures().join("index"), Some("latest"), None).unwrap();
    let dirs: Vec<PathBuf> = ["a", "b"].map(|name| temp.path().join(name)).to_vec();
    let files: Vec<_> = dirs
        .iter()
        .map(|dir| {
            let sink = LayoutSink::create(dir, Some("nydus")).unwrap();
            let root = nydus_shape(&source, &sink);
            sink.commit(root).unwrap();
            let blobs =
                fs::read_dir(dir.join("blobs/sha256")).unwrap().map(|entry| entry.unwrap().file_name());
            (fs::read(dir.join("index.json")).unwrap(), blobs.collect::<BTreeSet<_>>())
        })
        .collect();
    assert_eq!(files[0], files[1]);
}

/// Runs `program` as a filter over `input`.
fn filter(program: &str, args: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child =
        Command::new(program).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).unwrap());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        output.stdout
    })
}

#[test]
fn streams_of_real_compressors() {
    require!("gzip", "pigz", "zstd");
    let data: Vec<u8> = (0..400_000u32)
        .flat_map(|i| format!("{} ", i.wrapping_mul(2_654_435_761) >> 12).into_bytes())
        .collect();
    let gzip: [(&str, &[&str]); 8] = [
        ("gzip", &["-1"]),
        ("gzip", &["-9"]),
        ("gzip", &["--rsyncable"]),
        ("pigz", &["-6"]),
        ("pigz", &["-i", "-b", "32"]),
        ("pigz", &["-0"]),
        ("pigz", &["-11", "-F"]),
        ("pigz", &["-R"]),
    ];
    let zstd: [(&str, &[&str]); 5] = [
        ("zstd", &["-q", "-1", "-c"]),
        ("zstd", &["-q", "-19", "-c", "--no-check"]),
        ("zstd", &["-q", "-T2", "-c"]),
        ("zstd", &["-q", "--long=27", "-c"]),
        ("zstd", &["-q", "--ultra", "-22", "-c"]),
    ];
    let all =
        gzip.map(|row| (row, Compression::Gzip)).into_iter().chain(zstd.map(|row| (row, Compression::Zstd)));
    for ((program, args), compression) in all {
        // The slow ones on a part.
        let input = if args.contains(&"-11") { &data[..200_000] } else { &data[..] };
        let one = filter(program, args, input);
        let twice = [one.clone(), one.clone()].concat();
        for (stream, expected) in [(&one, input.to_vec()), (&twice, [input, input].concat())] {
            let mut plain = Vec::new();
            let mut decompressor = decompress(&stream[..], 1 << 30).unwrap();
            assert_eq!(decompressor.compression(), compression);
            decompressor.read_to_end(&mut plain).unwrap();
            assert!(plain == expected, "{program} {args:?}");
        }
    }
}

#[test]
fn gzip_agrees_with_us() {
    require!("gzip");
    let dir = fixtures().join("small");
    for image in read_all(&dir, "latest") {
        for layer in &image.layers {
            let theirs = filter("gzip", &["-dc"], &fs::read(blob_file(&dir, &layer.digest)).unwrap());
            let mut ours = Vec::new();
            let source = LayoutSource::open(&dir, Some("latest"), None).unwrap();
            decompress(source.open(layer).unwrap(), 1 << 30).unwrap().read_to_end(&mut ours).unwrap();
            assert!(ours == theirs);
        }
    }
}
