//! Nothing is lost on the way back: images that do not remember their layers show the same files before and after, however
//! they were made and whatever their history says.

use std::fs;
use std::path::Path;

use nydus_convert::{Replay, ToNydusOptions, ToOciOptions};
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::cli::{convert, extract_bootstrap, json as read_json, json_root, latest, ok, run};
use crate::support::library;
use crate::support::nydus::{Records, assemble, change, cut, forget, listing, replace_bootstrap};
use crate::support::oci::{Compression, Layer, Layout};
use crate::support::tars::Tar;

/// A tar from entries: `F PATH [CONTENT]`, `D PATH [MODE]`, `L PATH TARGET`, `H PATH TARGET`, `W PATH`, `X PATH CONTENT` (with an
/// extended attribute).
fn tar(entries: &str) -> Vec<u8> {
    let add = |tar: Tar, entry: &str| {
        let mut words = entry.split_whitespace();
        let (kind, path) = (words.next().unwrap(), words.next().unwrap());
        let word = words.next().unwrap_or_default();
        match kind {
            // Long enough for a chunk of its own, short enough for a batch.
            "F" => tar.file(path, word.repeat(700)),
            "W" => tar.file(path, ""),
            "D" if path == "/" => tar.raw(b"./", |root| as_directory(root, word), b""),
            "D" => tar.dir(path, u32::from_str_radix(word, 8).unwrap_or(0o755)),
            "L" => tar.symlink(path, word),
            "H" => tar.hard_link(path, word),
            "X" => tar.pax(&[("SCHILY.xattr.user.of", word.as_bytes())]).file(path, word),
            _ => panic!("{entry}"),
        }
    };
    entries.split(',').map(str::trim).filter(|entry| !entry.is_empty()).fold(Tar::new(), add).finish()
}

fn as_directory(header: &mut tar::Header, mode: &str) {
    header.set_entry_type(tar::EntryType::Directory);
    header.set_mode(u32::from_str_radix(mode, 8).unwrap());
}

fn tars(layers: &str) -> Vec<Vec<u8>> {
    layers.split('|').map(tar).collect()
}

fn write(layers: &str, layout: &Path) {
    let plain = |tar| Layer { compression: Compression::None, ..Layer::new(tar) };
    Layout::of(tars(layers).into_iter().map(plain)).write(layout);
}

/// Converts an image and makes it forget its layers.
fn forgetful(source: &Path, target: &Path, form: &[&str]) {
    if form.contains(&"--oci-ref") {
        convert(source, target, form);
        forget(target);
    } else {
        convert(source, target, &[form, &["--replay", "none"]].concat());
    }
}

/// Layers, separated by `|`; which of them hold no file content.
const SOURCES: &[(&str, &[usize])] = &[
    ("F a one | F b two | F c three", &[]),
    ("D d 711, F d/a one, F d/b two, F e five | W d/.wh.a, W .wh.e, F d/c three", &[]),
    // Nothing but links, directories, whiteouts.
    ("D usr/bin, F usr/bin/python3 py, D var | L usr/bin/python python3, D var/x 700", &[1]),
    ("D d, F d/a one, D e, F e/b two | W d/.wh.a, W .wh.e", &[1]),
    ("D d, F d/a one, F d/b two | W d/.wh..wh..opq, D d 700 | F d/c three", &[1]),
    ("F a one | D d, L d/l x | D d 711, W d/.wh.l, L m y", &[1, 2]),
    ("D d 711 | L d/l x", &[0, 1]),
    // Hard links across layers, in every order.
    ("D d, F d/a one | H b d/a, H c b", &[1]),
    ("F a one | H b a | F a two | H c b", &[1, 3]),
    ("F a one, H b a | W .wh.a | H c b", &[1, 2]),
    // Equal layers and empty ones.
    ("F a one | F b two | F a one", &[]),
    ("F a one | F a two | F a one | F a two", &[]),
    ("F a one | | F b two |", &[1, 3]),
    ("|", &[0, 1]),
    ("D / 700 | | F a one", &[0, 1]),
    // What was there becomes something else.
    ("F a one, D d, F d/x two | D a, F a/y three, F d four", &[]),
    ("D d, F d/x two | L d e, D e, F e/x three", &[]),
    ("L lib usr/lib, D usr/lib, F usr/lib/a one | F lib/b two", &[]),
    // Metadata alone, content alone.
    ("X a one, D d 700 | X a two | D d 755", &[2]),
    ("F a one, F b one | F a one, F c one", &[]),
];

/// How images are made.
const FORMS: &[&str] = &[
    "",
    "--fs-version 5",
    "--fs-version 5 --digester sha256",
    "--tarfs",
    "--oci-ref",
    "--chunk-size 16KiB --batch-size 16KiB",
    "--dedup image --dedup-min-saving 0",
    "--kernel-mountable",
];

/// What the config says of the layers.
fn histories(layers: usize) -> Vec<Value> {
    let entry = |n: usize| json!({ "created_by": n.to_string() });
    let empty = json!({ "created_by": "env", "empty_layer": true });
    vec![
        Value::Null,
        json!([]),
        json!([entry(1)]),
        json!([empty, empty]),
        (0..layers).flat_map(|n| [entry(n), empty.clone()]).collect(),
        (0..layers + 3).map(entry).collect(),
    ]
}

/// To OCI and to Nydus again: the same files, sound images, and a history that fits; gives the report of the image and the
/// layers' number.
fn assert_back(dir: &Path, nydus: &Path, what: &str) -> (Value, usize) {
    let (plain, again) = (dir.join("plain"), dir.join("again"));
    for old in [&plain, &again] {
        let _ = fs::remove_dir_all(old);
    }
    let before = listing(nydus);
    let report = library::to_oci(nydus, &plain, &ToOciOptions::default()).unwrap();
    let report = serde_json::to_value(report).unwrap();
    assert_eq!(library::problems(&plain), [""; 0], "{what}");
    let manifest = read_json(&plain, report["digest"].as_str().unwrap());
    let layers = manifest["layers"].as_array().unwrap().len();
    let config = read_json(&plain, manifest["config"]["digest"].as_str().unwrap());
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), layers, "{what}");
    let history = config["history"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of_layers = history.iter().filter(|entry| entry["empty_layer"] != true).count();
    let speaks_of_layers = report["images"][0]["action"] == "rebuilt" && of_layers > 0;
    assert!(!speaks_of_layers || of_layers == layers, "{what}: {history:?}");
    library::to_nydus(&plain, &again, &ToNydusOptions { replay: Replay::None, ..ToNydusOptions::default() })
        .unwrap();
    assert_eq!(before, listing(&again), "{what}");
    (report["images"][0].clone(), layers)
}

/// Every source in every form, with every history.
#[test]
fn images_without_records_come_back_whole() {
    for (layers, _) in SOURCES {
        let count = tars(layers).len();
        for (number, form) in FORMS.iter().enumerate() {
            let dir = tempdir().unwrap();
            let (source, nydus) = (dir.path().join("oci"), dir.path().join("nydus"));
            write(layers, &source);
            forgetful(&source, &nydus, &form.split_whitespace().collect::<Vec<_>>());
            // What a history says does not depend on the form.
            let histories = if number == 0 && count == 3 { histories(count) } else { vec![Value::Null] };
            for history in histories {
                if !history.is_null() {
                    change(&nydus, |_, config| config["history"] = history.clone());
                }
                let what = format!("{layers} {form} {history}");
                let (report, found) = assert_back(dir.path(), &nydus, &what);
                assert_eq!((found, &report["difference"]), (count, &Value::Null), "{what}");
            }
        }
    }
}

/// As converters left them before they learned of layers without content: the merged bootstrap alone has these layers' files.
#[test]
fn layers_that_have_no_blob_come_back_in_one_more() {
    for (layers, bare) in SOURCES.iter().filter(|(_, bare)| !bare.is_empty()) {
        for form in ["", "--fs-version 5", "--oci-ref"] {
            let dir = tempdir().unwrap();
            let (source, nydus) = (dir.path().join("oci"), dir.path().join("nydus"));
            write(layers, &source);
            forgetful(&source, &nydus, &form.split_whitespace().collect::<Vec<_>>());
            let whole = listing(&nydus);
            let mut positions = bare.to_vec();
            if form == "--oci-ref" {
                // The reference leaves the original layers out, too; they are where the image is.
                let listed = read_json(&nydus, &json_root(&nydus))["layers"].as_array().unwrap().len();
                positions.extend(tars(layers).len()..listed - 1);
            }
            cut(&nydus, &positions);
            assert_eq!(listing(&nydus), whole);
            let what = format!("{layers} {form}");
            let (report, found) = assert_back(dir.path(), &nydus, &what);
            let kept = tars(layers).len() - bare.len();
            let difference = &report["difference"];
            // Nothing but a whiteout of nothing was in those layers, or an entry of no effect.
            let Some(written) = difference["written"].as_u64() else {
                assert_eq!(found, kept, "{what}");
                continue;
            };
            // A layer of every name of the image needs none below it.
            let result = match written as usize + 1 < whole.len() {
                true => ("one-more-layer", kept + 1),
                false => ("one-layer", 1),
            };
            assert_eq!((difference["result"].as_str().unwrap(), found), result, "{what}");
            assert_eq!(report["layers"].as_array().unwrap().last().unwrap()["blob_digest"], Value::Null);
            // Who asks for the original layers gets them or nothing.
            let target = dir.path().join("refused");
            let refused = run(["to-oci", "--layers", "original", &latest(&nydus), &latest(&target)]);
            assert_eq!(refused.code, Some(3), "{what}: {}", refused.stderr);
            let first = difference["examples"][0].as_str().unwrap();
            assert!(
                refused.stderr.contains("has no record") && refused.stderr.contains(first),
                "{}",
                refused.stderr
            );
            assert!(!target.exists());
        }
    }
}

/// A dictionary's blobs are in the manifest, and are no layers, whatever the history says.
#[test]
fn blobs_of_dictionaries_are_no_layers() {
    let base = "D usr, F usr/a one, F usr/b two | F c three";
    let cases = [
        // Some of it, all of it, and the base itself with more on top.
        ("D app, F app/a one, F app/x four | F app/c three", "", 2),
        ("D app, F app/a one, F app/b two, F app/c three", "", 1),
        ("D usr, F usr/a one, F usr/b two | F c three | F d four", "", 3),
        ("D app, F app/a one, F app/x four | L l app", "", 2),
        ("D app, F app/a one, F app/x four | F app/c three", "--fs-version 5", 2),
        ("D app, F app/a one, F app/x four | F app/c three", "--chunk-size 16KiB --batch-size 16KiB", 2),
    ];
    for (layers, form, count) in cases {
        let dir = tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        write(base, &at("base"));
        write(layers, &at("oci"));
        let form: Vec<&str> = form.split_whitespace().collect();
        convert(&at("base"), &at("dict"), &form);
        let dictionary = latest(&at("dict"));
        convert(
            &at("oci"),
            &at("nydus"),
            &[&form[..], &["--replay", "none", "--chunk-dict", &dictionary]].concat(),
        );
        for history in histories(count) {
            change(&at("nydus"), |_, config| config["history"] = history.clone());
            let what = format!("{layers} {form:?} {history}");
            let (report, found) = assert_back(dir.path(), &at("nydus"), &what);
            assert_eq!((found, &report["difference"]), (count, &Value::Null), "{what}");
        }
    }
}

/// Nothing of the image is a layer: blobs of other images with all its content, or of its own without a description.
#[test]
fn an_image_whose_layers_are_gone_becomes_one_layer() {
    let dir = tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    write("D usr, F usr/a one, F usr/b two, F usr/c three, F usr/d four", &at("base"));
    write("D app, F app/a one, F app/b two", &at("oci"));
    convert(&at("base"), &at("dict"), &[]);
    convert(&at("oci"), &at("nydus"), &["--replay", "none", "--chunk-dict", &latest(&at("dict"))]);
    cut(&at("nydus"), &[0]);
    let (report, found) = assert_back(dir.path(), &at("nydus"), "the dictionary's blob alone");
    assert_eq!((found, &report["difference"]["result"]), (1, &json!("one-layer")));
}

/// Layers with records in their blobs, merged by hand: they come back exactly, and what they lack on top of them.
#[test]
fn packed_layers_come_back_exactly_below_what_they_lack() {
    for version in ["5", "6"] {
        let dir = tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let all = tars("D d, F d/a one | D d 700, F d/b two, W d/.wh.a | L d/l b, H c d/b");
        let mut blobs = Vec::new();
        for (number, tar) in all.iter().enumerate() {
            let (from, to) = (at("layer.tar"), at(&format!("blob{number}")));
            fs::write(&from, tar).unwrap();
            ok(["layer", "pack", "-q", "--fs-version", version, &from, "-o", &to]);
            blobs.push(to);
        }
        let merge = ["layer", "merge", "-q", "-o", &at("merged")];
        ok(merge.into_iter().chain(blobs.iter().map(String::as_str)));
        let merged = fs::read(at("merged")).unwrap();
        let blobs: Vec<Vec<u8>> = blobs.iter().map(|blob| fs::read(blob).unwrap()).collect();
        let nydus = dir.path().join("nydus");
        for (kept, extra) in [(3, 0), (2, 1)] {
            let _ = fs::remove_dir_all(&nydus);
            assemble(&blobs[..kept], &merged, version, json!([{}, {}]), &nydus);
            let (report, found) = assert_back(dir.path(), &nydus, version);
            assert_eq!(found, kept + extra);
            for (layer, tar) in report["layers"].as_array().unwrap()[..kept].iter().zip(&all) {
                let diff_id = format!("sha256:{}", crate::support::sha256_hex(tar));
                assert_eq!((&layer["diff_id"], &layer["exact_tar"]), (&json!(diff_id), &json!(true)));
            }
        }
    }
}

/// A placeholder of a hard link that another tool's merge took for a file is the link again.
#[test]
fn placeholders_of_links_are_links() {
    let dir = tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    write("F a one | H b a", &at("right"));
    let placeholder =
        Tar::new().pax(&[("SCHILY.xattr.trusted.nydus-convert.hardlink", b"a")]).file("b", "").finish();
    Layout::of([Layer::new(tar("F a one")), Layer::new(placeholder)]).write(&at("oci"));
    for dir in ["right", "oci"] {
        convert(&at(dir), &at(&format!("{dir}-nydus")), &["--replay", "none"]);
    }
    let nydus = at("oci-nydus");
    assert_ne!(listing(&nydus), listing(&at("right-nydus")));
    ok(["to-oci", "-q", &latest(&nydus), &latest(&at("plain"))]);
    convert(&at("plain"), &at("again"), &["--replay", "none"]);
    assert_eq!(listing(&at("again")), listing(&at("right-nydus")));
}

/// With a record the original layers are what they are; that the bootstrap shows something else is told.
#[test]
fn the_record_wins_over_a_bootstrap_that_differs() {
    for form in ["", "--fs-version 5", "--tarfs", "--oci-ref"] {
        let dir = tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        write("D d, F d/a one | L d/l a", &at("oci"));
        write("D d, F d/a one | L d/l a, L d/more a", &at("other"));
        let form: Vec<&str> = form.split_whitespace().collect();
        let digest = json_root(&at("oci"));
        convert(&at("oci"), &at("nydus"), &form);
        convert(&at("other"), &at("other-nydus"), &form);
        let back = |target: &str| {
            let run =
                ok(["to-oci", "--json", "--layers", "original", &latest(&at("nydus")), &latest(&at(target))]);
            (serde_json::from_str::<Value>(&run.stdout).unwrap(), run.stderr)
        };
        let (report, stderr) = back("same");
        assert_eq!((&report["digest"], &report["images"][0]["difference"]), (&json!(digest), &Value::Null));
        assert!(!stderr.contains("bootstrap"), "{stderr}");
        let other = extract_bootstrap(&at("other-nydus"), &json_root(&at("other-nydus")), &at("other.boot"));
        replace_bootstrap(&at("nydus"), &fs::read(other).unwrap(), Records::Kept);
        let (report, stderr) = back("swapped");
        assert_eq!((&report["digest"], &report["exact"]), (&json!(digest), &json!(true)));
        let difference = &report["images"][0]["difference"];
        assert_eq!(
            (&difference["result"], &difference["examples"]),
            (&json!("original"), &json!(["/d/more"]))
        );
        assert!(stderr.contains("/d/more"), "{stderr}");
    }
}
