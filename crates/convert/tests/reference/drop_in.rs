//! The program by the name `nydus-image`: behind the converter library of containerd's nydus-snapshotter, beside the
//! reference builder, and what it refuses.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::converter::{Converter, our_builder};
use crate::support::nydusd::Nydusd;
use crate::support::oci::{Compression, Layer, Layout};
use crate::support::tars::Tar;
use crate::support::tools::Tool;
use crate::support::tree::{Ignore, Tree};
use crate::support::umoci;
use serde_json::Value;
use tar::EntryType;
use tempfile::tempdir;

/// A layer that the reference builder takes.
fn plain_layer(number: u32) -> Vec<u8> {
    let noise: Vec<u8> = (0..600_000_u32).map(|n| (n.wrapping_mul(n ^ number) >> 9) as u8).collect();
    let own = format!("own/{number}");
    Tar::new()
        .dir("own", 0o750)
        .file(&own, noise)
        .file(&format!("{own}.small"), "some text")
        .hard_link(&format!("{own}.link"), &own)
        .symlink(&format!("{own}.sym"), "small")
        .dir("shared", 0o755)
        .file("shared/same", "the same in all layers".repeat(900))
        .pax(&[("SCHILY.xattr.user.layer", b"a value")])
        .file("shared/attributed", number.to_string())
        .file(&format!("shared/.wh.of-{number}"), "")
        .file(&format!("shared/of-{}", number + 1), "removed above")
        .finish()
}

/// What is refused by the reference builder, and legal.
fn odd_layer() -> Vec<u8> {
    Tar::new()
        .raw(
            b"pax_global_header",
            |header| header.set_entry_type(EntryType::XGlobalHeader),
            b"20 comment=of-a-git\n",
        )
        .hard_link("forward", "later")
        .file("later", "came later\n")
        .special("fifo", EntryType::Fifo, None)
        .special("null", EntryType::Char, Some((1, 3)))
        .special("loop", EntryType::Block, Some((7, 0)))
        .raw(b"contiguous", |header| header.set_entry_type(EntryType::Continuous), b"like any file\n")
        .finish()
}

struct Bench {
    dir: tempfile::TempDir,
    ours: PathBuf,
}

impl Bench {
    fn new() -> Bench {
        let dir = tempdir().unwrap();
        let ours = our_builder(dir.path());
        Bench { dir, ours }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, bytes: &[u8]) -> String {
        fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    /// What our program says to a command line, and with which code it ends.
    fn run(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let output = Command::new(&self.ours).args(args).stdin(Stdio::null()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }

    fn ok(&self, args: &[&str]) -> String {
        let (code, stdout, stderr) = self.run(args);
        assert_eq!(code, Some(0), "{args:?}: {stdout}{stderr}");
        stdout
    }
}

/// Both builders' `create` as the converter writes it.
fn create(builder: &Path, version: &str, options: &[&str], blob: &str, source: &str) -> bool {
    let mut command = Command::new(builder);
    let fixed = "create --log-level warn --prefetch-policy fs --whiteout-spec none --type tar-rafs --blob-inline-meta";
    command.args(fixed.split(' ')).args(["--fs-version", version, "--blob", blob]);
    if version == "6" {
        command.args(["--features", "blob-toc"]);
    }
    command.args(options).arg(source).stdin(Stdio::null()).stderr(Stdio::null()).stdout(Stdio::null());
    command.status().unwrap().success()
}

fn reference() -> PathBuf {
    Tool::get("nydus-image").path().to_owned()
}

fn reference_check(bootstrap: &str) {
    Tool::get("nydus-image").run(["check", "--bootstrap", bootstrap]);
}

/// What a tar unpacks to, by GNU tar.
fn extracted(tar: &str, into: &str) -> Tree {
    fs::create_dir_all(into).unwrap();
    Tool::get("tar").run(["-C", into, "--xattrs", "--xattrs-include=*", "-xpf", tar]);
    Tree::read(Path::new(into))
}

/// The plain layers of an OCI layout, in files.
fn layers_of(layout: &Path, bench: &Bench) -> Vec<String> {
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let manifest = crate::support::cli::json(layout, index["manifests"][0]["digest"].as_str().unwrap());
    let layers = manifest["layers"].as_array().unwrap().iter().enumerate();
    layers
        .map(|(number, layer)| {
            let stored = crate::support::cli::blob(layout, layer["digest"].as_str().unwrap());
            bench.write(&format!("layer{number}.tar.gz"), &stored)
        })
        .collect()
}

fn debian_through_the_library(version: &str) {
    let (Some(image), Some(converter)) = (crate::support::debian::debian_image(), Converter::get()) else {
        return;
    };
    let bench = Bench::new();
    let version = ["-fs-version", version];
    let run = |args: &[&str]| converter.ok(&bench.ours, &[&version[..], args].concat());
    let (mut blobs, mut tars) = (Vec::new(), Vec::new());
    for layer in layers_of(&image, &bench) {
        let (blob, tar) = (format!("{layer}.blob"), format!("{layer}.unpacked"));
        run(&["pack", &layer, &blob]);
        run(&["unpack", &blob, &tar]);
        let stored = fs::read(&tar).unwrap();
        tars.push(Layer { compression: Compression::None, ..Layer::new(stored) });
        blobs.push(blob);
    }
    let bootstrap = bench.path("merged.boot");
    let mut merge = vec!["merge", bootstrap.as_str()];
    merge.extend(blobs.iter().map(String::as_str));
    let used = run(&merge);
    let digests: Vec<String> = blobs
        .iter()
        .map(|blob| format!("sha256:{}", crate::support::sha256_hex(&fs::read(blob).unwrap())))
        .collect();
    assert!(used.lines().count() > 1 && used.lines().all(|id| digests.contains(&id.to_owned())), "{used}");
    reference_check(&bootstrap);

    let again = bench.dir.path().join("again");
    Layout::of(tars).write(&again);
    let expected = Tree::read(&umoci::unpack(&image, "latest", &bench.dir.path().join("expected")));
    let actual = Tree::read(&umoci::unpack(&again, "latest", &bench.dir.path().join("actual")));
    actual.assert_same(&expected, &Ignore { root: true, ..Ignore::default() });
}

#[test]
fn the_converter_library_packs_merges_and_unpacks_debian() {
    crate::support::require!("nydus-image", "go", "umoci", "root");
    debian_through_the_library("6");
}

#[test]
fn the_converter_library_packs_merges_and_unpacks_debian_in_version_5() {
    crate::support::require!("nydus-image", "go", "umoci", "root");
    debian_through_the_library("5");
}

/// Two layers by each builder, merged by the other, and every layer unpacked by both.
fn each_others_layers(version: &str, options: &[&str]) {
    let bench = Bench::new();
    let mut blobs = [Vec::new(), Vec::new()];
    for number in [1, 2] {
        let source = bench.write(&format!("{number}.tar"), &plain_layer(number));
        let expected = extracted(&source, &bench.path(&format!("{number}.tree")));
        for (of, builder) in [bench.ours.clone(), reference()].iter().enumerate() {
            let blob = bench.path(&format!("{number}.{of}.blob"));
            assert!(create(builder, version, options, &blob, &source), "{version} {options:?} {builder:?}");
            blobs[of].push(named_bootstrap(&bench, &blob));
            // The bootstrap and the chunks apart, as the converter hands them over.
            for (by, unpacker) in [bench.ours.clone(), reference()].iter().enumerate() {
                let tar = bench.path(&format!("{number}.{of}.{by}.tar"));
                let mut unpack = Command::new(unpacker);
                unpack.args([
                    "unpack",
                    "--log-level",
                    "warn",
                    "--bootstrap",
                    &blobs[of][number as usize - 1],
                ]);
                unpack.args(["--output", &tar, "--blob", &chunks_alone(&blob)]).stdout(Stdio::null());
                assert!(unpack.status().unwrap().success(), "{unpack:?}");
                let tree = extracted(&tar, &format!("{tar}.tree"));
                tree.assert_same(&expected, &Ignore { root: true, ..Ignore::default() });
            }
        }
    }
    for (of, layers) in blobs.iter().enumerate() {
        for (by, merger) in [bench.ours.clone(), reference()].iter().enumerate() {
            let (merged, json) = (bench.path(&format!("{of}.{by}.boot")), bench.path("merged.json"));
            let mut merge = Command::new(merger);
            merge.args(["merge", "--prefetch-policy", "fs", "--output-json", &json, "--bootstrap", &merged]);
            merge.args(layers).stdin(Stdio::null()).stdout(Stdio::null());
            assert!(merge.status().unwrap().success(), "{merge:?}");
            reference_check(&merged);
            bench.ok(&["check", "--bootstrap", &merged]);
            let json: Value = serde_json::from_slice(&fs::read(json).unwrap()).unwrap();
            assert_eq!(json["blobs"].as_array().unwrap().len(), 2);
        }
    }
}

/// The chunks of a blob in a file, as the converter extracts them.
fn chunks_alone(blob: &str) -> String {
    let bytes = fs::read(blob).unwrap();
    let data = sections_of(&bytes).into_iter().find(|(name, _)| name == "image.blob").unwrap().1;
    fs::write(format!("{blob}.data"), data).unwrap();
    format!("{blob}.data")
}

/// The bootstrap of a blob in a file named after the blob's digest.
fn named_bootstrap(bench: &Bench, blob: &str) -> String {
    let bytes = fs::read(blob).unwrap();
    let boot = sections_of(&bytes).into_iter().find(|(name, _)| name == "image.boot").unwrap().1;
    bench.write(&crate::support::sha256_hex(&bytes), &boot)
}

/// Names and plain bytes of the sections, with a table of contents and without.
fn sections_of(blob: &[u8]) -> Vec<(String, Vec<u8>)> {
    let reader = std::sync::Arc::new(nydus_convert_chunk::BlobReader::open(blob.to_vec()).unwrap());
    let names = ["image.blob", "image.boot"].into_iter();
    names.filter_map(|name| Some((name.to_owned(), reader.section(name).unwrap()?))).collect()
}

#[test]
fn ours_and_the_reference_take_each_others_layers() {
    crate::support::require!("nydus-image", "tar", "root");
    for compressor in ["zstd", "lz4_block", "none"] {
        for chunk_size in ["0x1000", "0x100000"] {
            let options = ["--compressor", compressor, "--chunk-size", chunk_size];
            each_others_layers("6", &options);
            each_others_layers("5", &options);
        }
    }
    each_others_layers("5", &["--aligned-chunk"]);
}

/// A base, and a layer that has one file of it under another name and one of its own.
fn base_and_user() -> [Vec<u8>; 2] {
    let text =
        |seed: u32| -> Vec<u8> { (0..90_000).map(|n: u32| (n.wrapping_mul(n ^ seed) >> 7) as u8).collect() };
    let base = Tar::new().dir("base", 0o755).file("base/file", text(1)).file("base/other", text(2));
    let user = Tar::new().dir("user", 0o755).file("user/file", text(1)).file("user/own", text(3));
    [base.finish(), user.finish()]
}

/// A layer that uses a dictionary, by each builder, merged by each and served by the daemon.
fn with_a_dictionary(version: &str, options: &[&str]) {
    let bench = Bench::new();
    let tars = base_and_user();
    let sources: Vec<String> =
        tars.iter().enumerate().map(|(number, tar)| bench.write(&format!("{number}.tar"), tar)).collect();
    let expected = extracted(&sources[1], &bench.path("expected"));
    let blobs = bench.path("blobs");
    fs::create_dir(&blobs).unwrap();
    let by_id = |blob: &str| {
        let id = crate::support::sha256_hex(&fs::read(blob).unwrap());
        fs::copy(blob, format!("{blobs}/{id}")).unwrap();
        id
    };
    let base = bench.path("base.blob");
    assert!(create(&bench.ours, version, options, &base, &sources[0]));
    let (base_id, dictionary) = (by_id(&base), bench.path("dictionary.boot"));
    bench.ok(&["merge", "--bootstrap", &dictionary, &named_bootstrap(&bench, &base)]);
    let dictionary = format!("bootstrap={dictionary}");
    let builders = [bench.ours.clone(), reference()];
    for (of, builder) in builders.iter().enumerate() {
        let blob = bench.path(&format!("{of}.blob"));
        let with = [options, &["--chunk-dict", &dictionary]].concat();
        assert!(create(builder, version, &with, &blob, &sources[1]));
        let ids = [base_id.clone(), by_id(&blob)];
        // The file that the base has is not stored again.
        assert!(fs::metadata(&blob).unwrap().len() < 150_000, "{builder:?}");
        for (by, merger) in builders.iter().enumerate() {
            let (merged, json) = (bench.path(&format!("{of}.{by}.boot")), bench.path("merged.json"));
            let mut merge = Command::new(merger);
            merge.args([
                "merge",
                "--chunk-dict",
                &dictionary,
                "--output-json",
                &json,
                "--bootstrap",
                &merged,
            ]);
            merge.arg(named_bootstrap(&bench, &blob)).stdin(Stdio::null()).stdout(Stdio::null());
            assert!(merge.status().unwrap().success(), "{merge:?}");
            reference_check(&merged);
            bench.ok(&["check", "--bootstrap", &merged, "--blob-dir", &blobs]);
            let json: Value = serde_json::from_slice(&fs::read(json).unwrap()).unwrap();
            let mut used: Vec<&str> =
                json["blobs"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
            used.sort_unstable();
            let mut both = ids.each_ref().map(String::as_str);
            both.sort_unstable();
            assert_eq!(used, both);
            let daemon = Nydusd::mount(Path::new(&merged), Path::new(&blobs)).unwrap();
            Tree::read(&daemon.root()).assert_same(&expected, &Ignore { root: true, ..Ignore::default() });
            assert!(daemon.unmount().success());
        }
    }
}

#[test]
fn dictionaries_by_both_builders() {
    crate::support::require!("nydus-image", "nydusd", "tar", "root");
    with_a_dictionary("6", &["--compressor", "lz4_block"]);
    with_a_dictionary("6", &["--chunk-size", "0x1000"]);
    with_a_dictionary("5", &[]);
}

#[test]
fn odd_layers_that_the_reference_refuses() {
    crate::support::require!("nydus-image", "tar", "root");
    let bench = Bench::new();
    let source = bench.write("odd.tar", &odd_layer());
    for version in ["5", "6"] {
        let blob = bench.path(&format!("odd.{version}.blob"));
        assert!(!create(&reference(), version, &[], &bench.path("refused"), &source));
        assert!(create(&bench.ours, version, &[], &blob, &source));
        let (boot, tar) = (named_bootstrap(&bench, &blob), bench.path(&format!("{version}.tar")));
        let unpack = ["unpack", "--bootstrap", &boot, "--blob", &chunks_alone(&blob), "--output", &tar];
        bench.ok(&unpack);
        let tree = extracted(&tar, &bench.path(&format!("{version}.tree")));
        let names: Vec<_> = tree.0.keys().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        assert_eq!(names, ["", "contiguous", "fifo", "forward", "later", "loop", "null"]);
        assert_eq!(tree.0[&b"forward"[..]].group, tree.0[&b"later"[..]].group);
        assert!(tree.0[&b"forward"[..]].group.is_some());

        let merged = bench.path(&format!("{version}.boot"));
        bench.ok(&["merge", "--bootstrap", &merged, &boot]);
        reference_check(&merged);
    }
}

#[test]
fn refusals_reach_the_callers_of_the_library() {
    crate::support::require!("go", "tar", "root");
    let Some(converter) = Converter::get() else { return };
    let bench = Bench::new();
    let (source, blob) = (bench.write("layer.tar", &plain_layer(1)), bench.path("blob"));
    let ran = converter.run(&bench.ours, &["-encrypt", "pack", &source, &blob]);
    assert!(!ran.ok && ran.stderr.contains("protects nothing"), "{}", ran.stderr);
    let ran = converter.run(&bench.ours, &["-chunk-size", "1000", "pack", &source, &blob]);
    assert!(!ran.ok && ran.stderr.contains("--chunk-size"), "{}", ran.stderr);
    let ran = converter.run(&bench.ours, &["pack", &bench.write("text", b"no tar at all"), &blob]);
    assert!(!ran.ok && ran.stderr.contains("not a tar"), "{}", ran.stderr);
    // What the help tells of is used.
    converter.ok(&bench.ours, &["-batch-size", "0x10000", "pack", &source, &blob]);
    let reader = nydus_convert_chunk::BlobReader::open(fs::File::open(&blob).unwrap()).unwrap();
    let features = reader.blob_meta().unwrap().unwrap().header.features;
    assert!(features.contains(nydus_convert::rafs::BlobFeatures::BATCH));
    // The library hands over the chunks without what describes batches, and takes the end of a pipe for success.
    let tar = bench.path("unpacked");
    let ran = converter.run(&bench.ours, &["unpack", &blob, &tar]);
    assert!(!ran.ok && ran.stderr.contains("image.blob"), "{}", ran.stderr);
    let (boot, whole) = (named_bootstrap(&bench, &blob), bench.path("whole"));
    bench.ok(&["unpack", "--bootstrap", &boot, "--blob", &blob, "--output", &whole]);
    let ignore = Ignore { root: true, ..Ignore::default() };
    extracted(&whole, &bench.path("1")).assert_same(&extracted(&source, &bench.path("2")), &ignore);
}

#[test]
fn prefetch_parents_and_the_result_as_json() {
    crate::support::require!("nydus-image");
    let bench = Bench::new();
    let mut boots = Vec::new();
    for number in [1, 2] {
        let source = bench.write("layer.tar", &plain_layer(number));
        let blob = bench.path(&format!("{number}.blob"));
        assert!(create(&bench.ours, "6", &[], &blob, &source));
        boots.push(named_bootstrap(&bench, &blob));
    }
    let merge = |args: &[&str], patterns: &str, to: &str| -> Value {
        let json = bench.path("merge.json");
        let mut command = Command::new(&bench.ours);
        command.args(["merge", "--prefetch-policy", "fs", "-J", &json, "--bootstrap", to]).args(args);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), patterns.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
        serde_json::from_slice(&fs::read(json).unwrap()).unwrap()
    };
    let [one, both, step] = ["one", "both", "step"].map(|name| bench.path(name));
    merge(&[&boots[0]], "/", &one);
    let whole = merge(&[&boots[0], &boots[1]], "/own/2\nrelative\n/nothing/there\n/own/2/below\n/", &both);
    merge(&["--parent-bootstrap", &one, &boots[1]], "/own/2\n/", &step);
    assert!(fs::read(&both).unwrap() == fs::read(&step).unwrap());
    for key in ["version", "trace", "external_bootstrap", "external_blobs"] {
        assert!(!whole[key].is_null(), "{key}");
    }
    assert_eq!((&whole["bootstrap"], &whole["fs_version"]), (&Value::from(both.as_str()), &Value::from("6")));
    assert_eq!(whole["compressor"], "zstd");
    reference_check(&both);

    let paths = |bootstrap: &str| -> Vec<String> {
        let (_, image) = nydus_convert::rafs::parse(&fs::read(bootstrap).unwrap()).unwrap();
        let name = |id| image.tree.walk().find(|entry| entry.id == id).unwrap().path.to_string();
        image.prefetch.iter().map(|id| name(*id)).collect()
    };
    assert_eq!(paths(&both), ["/own/2", "/"]);
    assert_eq!(paths(&one), ["/"]);
}

#[test]
fn callers_find_versions_and_features() {
    let bench = Bench::new();
    for flag in ["--version", "-V"] {
        let version = bench.ok(&[flag]);
        let found = version.lines().find_map(|line| line.strip_prefix("Version:")).unwrap().trim();
        assert!(found.starts_with(&format!("v{}", env!("CARGO_PKG_VERSION"))), "{version}");
    }
    for flag in ["-h", "--help"] {
        let help = bench.ok(&["create", flag]);
        for feature in ["--type", "tar-rafs", "--batch-size", "--blob-inline-meta", "--fs-version"] {
            assert!(help.contains(feature), "{feature}: {help}");
        }
        // Callers use what they find here.
        assert!(!help.contains("--encrypt"), "{help}");
        for command in ["merge", "unpack", "check"] {
            assert!(bench.ok(&[command, flag]).contains("Usage: nydus-image"));
        }
    }
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    let bench = Bench::new();
    let source = bench.write("layer.tar", &plain_layer(1));
    let blob = bench.path("blob");
    let create = ["create", "-t", "tar-rafs", "--blob-inline-meta", "--blob", &blob];
    let with = |options: &[&str]| [&create[..], options, &[&source]].concat().join("\n");
    let cases = [
        (with(&["--encrypt"]), "ocicrypt"),
        (with(&["--chunk-dict", "image=x"]), "--chunk-dict image=x"),
        (with(&["--parent-bootstrap", "x"]), "--parent-bootstrap"),
        (with(&["--repeatable"]), "--repeatable"),
        (with(&["--blob-id", "x"]), "--blob-id"),
        (with(&["--bootstrap", "x"]), "--bootstrap"),
        (with(&["--config", "x"]), "--config"),
        (with(&["--prefetch-policy", "blob"]), "--prefetch-policy blob"),
        (with(&["--fs-version", "5", "--batch-size", "0x1000"]), "--batch-size"),
        (with(&["--source-type", "directory", "--inline-bootstrap"]), "tar-rafs"),
        (with(&["--no-such-flag"]), "--no-such-flag"),
        (with(&["--log-file", "x"]), "--log-file"),
        (format!("create\n{source}"), "dir-rafs"),
        (format!("create\n-t\nestargztoc-ref\n{source}"), "estargztoc-ref"),
        (with(&["--source-type", "targz-ref", "--fs-version", "5"]), "--fs-version 5"),
        (with(&["--source-type", "targz-ref", "--batch-size", "0x1000"]), "--batch-size"),
        (with(&["--source-type", "estargz-ref", "--chunk-dict", "bootstrap=x"]), "--chunk-dict"),
        (format!("create\n-t\ntar-rafs\n--blob\n{blob}\n{source}"), "--blob-inline-meta"),
        (format!("create\n-t\ntar-rafs\n--blob-inline-meta\n{source}"), "--blob"),
        ("compact\n--bootstrap\nx".to_owned(), "nydus-image compact"),
        ("unpack\n--bootstrap\nx\n--output\ny\n--backend-type\nhttp-proxy".to_owned(), "--backend-type"),
        (format!("merge\n{source}"), "--bootstrap"),
    ];
    for (line, named) in cases {
        let args: Vec<&str> = line.split('\n').collect();
        let (code, stdout, stderr) = bench.run(&args);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{args:?}: {stderr}");
        assert!(stderr.contains(named), "{args:?}: {stderr}");
        assert!(!Path::new(&blob).exists(), "{args:?}");
    }
}
