//! `store stat | ls | verify | gc | rm | export`, on stores that conversions filled.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant, SystemTime};

use crate::store_house::*;
use crate::support::cli::{self, blob, extract_bootstrap, latest, snapshot};
use crate::support::oci::{Layer, Layout};
use crate::support::tars::Tar;
use serde_json::Value;
use tempfile::tempdir;

#[test]
fn what_there_is() {
    let house = House::new();
    let stat = house.json(&["stat"]);
    assert_eq!(stat["path"].as_str(), house.store().to_str());
    assert_eq!((&stat["blobs"], &stat["layers"], &stat["images"]), (&3.into(), &3.into(), &2.into()));
    let stored: u64 =
        layers(&house.a.report, "stored_chunks").iter().map(|count| count.as_u64().unwrap()).sum();
    let of_b = house.b.report["images"][0]["layers"][1]["stored_chunks"].as_u64().unwrap();
    // Tars leave some chunks of framing, which may be equal.
    let chunks = stat["chunks"].as_u64().unwrap();
    assert!(chunks > 15 && chunks <= stored + of_b + 6, "{chunks}");
    for kind in ["blobs", "descriptions", "layers", "images"] {
        let sum: u64 = house.files(kind).iter().map(|file| fs::metadata(file).unwrap().len()).sum();
        assert_eq!(stat["bytes"][kind], sum, "{kind}");
    }
    // The index is larger while it is open.
    let index = fs::metadata(house.store().join("index.redb")).unwrap().len();
    assert!(stat["bytes"]["index"].as_u64() >= Some(index));
    assert_eq!(stat["bytes"]["unfinished"], 0);
    let snapshot = stat["snapshot"].as_str().unwrap();
    assert!(snapshot.starts_with(stat["store"].as_str().unwrap()));
    // The snapshot is one that conversions take.
    house.convert(&house.a, "pinned", &["--dedup", "store", "--dedup-snapshot", snapshot]);
    let words = house.ok(&["stat"]);
    // The same image under another name is the same image.
    for line in ["images 2, ", "layers 3, ", "blobs 3, ", "unfinished 0 bytes"] {
        assert!(words.lines().any(|text| text.starts_with(line)), "{line}: {words}");
    }
}

#[test]
fn what_is_listed() {
    let house = House::new();
    let listed = house.json(&["ls", "--blobs"]);
    let images = listed["images"].as_array().unwrap();
    assert_eq!(images.len(), 2);
    for image in [&house.a, &house.b] {
        let listed = images.iter().find(|listed| listed["digest"] == image.digest()).unwrap();
        assert_eq!(listed["name"], image.report["reference"]);
        assert_eq!(listed["source"], image.report["source"]);
        assert!(is_time(listed["made"].as_str().unwrap()));
        let mut blobs = layers(&image.report, "blob_digest");
        blobs.sort_by_key(Value::to_string);
        assert_eq!(listed["blobs"], Value::Array(blobs));
        let bytes: u64 =
            layers(&image.report, "blob_bytes").iter().map(|bytes| bytes.as_u64().unwrap()).sum();
        assert_eq!((&listed["bytes"], &listed["missing_blobs"]), (&bytes.into(), &0.into()));
    }
    let uses = |digest: &str| {
        let blobs = listed["blobs"].as_array().unwrap();
        let blob = blobs.iter().find(|blob| blob["digest"] == digest).unwrap();
        assert!(is_time(blob["used"].as_str().unwrap()));
        assert_eq!(blob["bytes"], fs::metadata(house.object("blobs", digest)).unwrap().len());
        blob["images"].as_u64().unwrap()
    };
    assert_eq!((uses(house.a.blob(0)), uses(house.a.blob(1)), uses(house.b.blob(1))), (2, 1, 1));
    assert!(house.json(&["ls"]).get("blobs").is_none());

    // The flag names the store as well as the variable.
    let store = house.store();
    let args = ["store", "ls", "--store", text(&store)];
    let lines = run(house.command().env_remove("NYDUS_CONVERT_STORE").args(args)).stdout;
    let lines: Vec<Vec<&str>> = lines.lines().map(|line| line.split('\t').collect()).collect();
    let name = house.b.report["reference"].as_str().unwrap();
    let of_b = lines.iter().find(|line| line[0] == house.b.digest()).unwrap();
    assert!(lines.len() == 2 && of_b[4] == name, "{lines:?}");
    let blobs = house.ok(&["ls", "--blobs"]);
    let base = blobs.lines().find(|line| line.starts_with(house.a.blob(0))).unwrap();
    assert!(blobs.lines().count() == 3 && base.ends_with("\t2 images"), "{blobs}");

    // Who reads may have seen enough.
    let mut child = house.command().args(["store", "ls"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}

/// The images of the repository, with names from the command line as people give them.
#[test]
fn a_real_image_by_all_its_names() {
    let house = House::new();
    let small =
        Image { source: crate::support::fixtures().join("small"), tars: Vec::new(), report: Value::Null };
    let report = house.convert(&small, "small", &[]);
    let digest = report["digest"].as_str().unwrap();
    let (name, source) = (report["target"].as_str().unwrap(), report["source"].as_str().unwrap());
    for called in [name, source, digest, &digest[..20], &digest["sha256:".len()..][..12]] {
        let target = house.path("out");
        let exported = house.json(&["export", called, text(&target)]);
        assert_eq!(exported["image"], digest, "{called}");
        fs::remove_dir_all(target).unwrap();
    }
    house.ok(&["rm", source]);
    house.fails(&["export", name, text(&house.path("out"))], 4, &["no image", name, "store ls"]);
    assert!(!house.path("out").exists());
}

#[test]
fn conversions_keep_the_store_below_its_limit() {
    let house = House::new();
    let total = |house: &House| {
        let bytes = house.json(&["stat"])["bytes"].clone();
        let kinds = ["blobs", "descriptions"];
        kinds.iter().map(|kind| bytes[kind].as_u64().unwrap()).sum::<u64>()
    };
    let whole = total(&house);
    house.convert(&house.b, "once", &["--store-max-size", "unlimited"]);
    house.convert(&house.b, "twice", &["--store-max-size", "1GiB"]);
    assert_eq!(total(&house), whole);
    // What the run itself uses stays, whatever the limit.
    house.convert(&house.b, "again", &["--store-max-size", &(whole - 1).to_string()]);
    assert!(total(&house) < whole);
    assert_eq!(
        layers(&house.convert(&house.b, "all", &["--store-max-size", "0"]), "from_store"),
        [true, true]
    );
    assert_eq!(layers(&house.convert(&house.a, "half", &[]), "from_store"), [true, false]);
    let limit = |args: &[&str]| house.json(&[&["stat"], args].concat())["limit"].clone();
    assert_eq!(limit(&["--store-max-size", "3MiB"]), 3 << 20);
    assert_eq!(limit(&["--store-max-size", "unlimited"]), Value::Null);
    assert!((2 << 30..=50 << 30).contains(&limit(&[]).as_u64().unwrap()));
}

/// A store that cannot be brought back to its limit is no reason to fail.
#[test]
fn a_limit_that_cannot_be_kept_is_a_note() {
    let house = House::new();
    fs::remove_file(house.store().join("index.redb")).unwrap();
    let mut command = house.command();
    command.args([
        "to-nydus",
        "--store-max-size",
        "1",
        &latest(&house.a.source),
        &latest(&house.path("noted")),
    ]);
    let run = run(&mut command);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stderr.contains("store verify --rebuild"), "{}", run.stderr);
}

#[test]
fn copies_cost_the_store_nothing() {
    let house = House::new();
    let known = house.json(&["ls"]);
    let copied = Image { source: house.path("a-nydus"), tars: Vec::new(), report: Value::Null };
    let report = house.convert(&copied, "copy", &[]);
    assert_eq!(
        (&report["images"][0]["action"], &report["digest"]),
        (&"copied".into(), &house.a.report["digest"])
    );
    assert_eq!(house.json(&["ls"]), known);
    let out = house.path("out");
    house.ok(&["export", house.a.report["target"].as_str().unwrap(), out.to_str().unwrap()]);
    assert_eq!(fs::read_dir(&out).unwrap().count(), 2);
    // What needs no blobs of the store is none of its images.
    house.convert(&house.a, "tarfs", &["--tarfs"]);
    assert_eq!(house.json(&["ls"]), known);
}

#[test]
fn what_is_not_kept_goes() {
    let house = House::new();
    let name = house.a.report["target"].as_str().unwrap();
    let before = snapshot(&house.store().join("blobs"));
    let mut told = house.json(&["gc", "--keep", name, "--dry-run"]);
    assert_eq!(snapshot(&house.store().join("blobs")), before);
    assert_eq!(strings(&told["removed"], "digest"), [house.b.blob(1)]);
    assert_eq!(
        (&told["removed"][0]["reason"], &told["kept"]),
        (&"not-kept".into(), &Value::Array(Vec::new()))
    );
    assert_eq!(
        (&told["forgotten"][0]["digest"], &told["forgotten"][0]["reason"]),
        (&house.b.report["digest"], &"incomplete".into())
    );
    let words = house.ok(&["gc", "--keep", name, "--dry-run"]);
    assert!(words.starts_with(&format!("would remove blob {}, ", house.b.blob(1))), "{words}");
    told["dry_run"] = false.into();
    assert_eq!(house.json(&["gc", "--keep", name]), told);
    house.ok(&["verify"]);
    assert_eq!(strings(&house.json(&["ls"])["images"], "digest"), [house.a.digest()]);
    assert_eq!(layers(&house.convert(&house.a, "again", &[]), "from_store"), [true, true]);
    let again = house.convert(&house.b, "again", &[]);
    assert_eq!(
        (layers(&again, "from_store"), &again["digest"]),
        (vec![true.into(), false.into()], &house.b.report["digest"])
    );
}

#[test]
fn what_is_old_or_too_much_goes() {
    let house = House::new();
    let day = Duration::from_secs(24 * 60 * 60);
    let now = SystemTime::now();
    age(&house.object("blobs", house.b.blob(1)), now - 40 * day);
    age(&house.object("blobs", house.a.blob(1)), now - 20 * day);
    let both = |args: &[&str]| {
        let mut told = house.json(&[args, &["--dry-run"]].concat());
        told["dry_run"] = false.into();
        let done = house.json(args);
        assert_eq!(told, done, "{args:?}");
        done
    };
    assert_eq!(strings(&both(&["gc", "--max-age", "50d"])["removed"], "digest"), [""; 0]);
    let kept = both(&["gc", "--max-age", "30d", "--keep", house.b.digest()]);
    assert_eq!(
        (strings(&kept["kept"], "digest"), &kept["kept"][0]["reason"]),
        (vec![house.b.blob(1).to_owned()], &"image".into())
    );
    assert_eq!(kept["removed"], Value::Array(Vec::new()));
    let old = both(&["gc", "--max-age", "30d"]);
    assert_eq!(strings(&old["removed"], "digest"), [house.b.blob(1)]);
    assert_eq!(old["removed"][0]["reason"], "age");

    let left = old["left_bytes"].as_u64().unwrap();
    assert_eq!(both(&["gc", "--max-size", &left.to_string()])["removed"], Value::Array(Vec::new()));
    let smaller = both(&["gc", "--max-size", &(left - 1).to_string()]);
    assert_eq!(strings(&smaller["removed"], "digest"), [house.a.blob(1)]);
    assert_eq!(smaller["removed"][0]["reason"], "size");
    assert_eq!(smaller["left_bytes"].as_u64().unwrap() + smaller["removed_bytes"].as_u64().unwrap(), left);
    both(&["gc", "--max-size", "0"]);
    let stat = house.json(&["stat"]);
    assert_eq!(
        (&stat["blobs"], &stat["layers"], &stat["chunks"], &stat["images"]),
        (&0.into(), &0.into(), &0.into(), &0.into())
    );
    assert_eq!(
        house.files("blobs").len() + house.files("descriptions").len() + house.files("layers").len(),
        0
    );
    house.ok(&["verify"]);
}

#[test]
fn what_ended_runs_left_goes() {
    let house = House::new();
    fs::write(house.store().join("unfinished/1-0-0"), [0; 1234]).unwrap();
    let stranger = house.object("blobs", &"ab".repeat(32));
    fs::create_dir_all(stranger.parent().unwrap()).unwrap();
    fs::write(&stranger, "not in the index").unwrap();
    assert_eq!(house.json(&["stat"])["bytes"]["unfinished"], 1234);
    let found = house.json(&["verify"]);
    assert_eq!((&found["unlisted"], &found["problems"]), (&1.into(), &Value::Array(Vec::new())));
    let gone = house.json(&["gc"]);
    assert_eq!(
        (&gone["unfinished_bytes"], &gone["removed"][0]["reason"]),
        (&1234.into(), &"unlisted".into())
    );
    assert_eq!(
        (gone["removed"].as_array().unwrap().len(), gone["forgotten"].as_array().unwrap().len()),
        (1, 0)
    );
    assert!(!stranger.exists());
    assert_eq!(house.json(&["verify"])["unlisted"], 0);
    assert!(house.ok(&["gc"]).starts_with("removed 0 blobs, 0 bytes; "));
}

#[test]
fn images_and_blobs_are_removed_by_name() {
    let house = House::new();
    let gone = house.json(&["rm", house.a.report["target"].as_str().unwrap()]);
    assert_eq!(strings(&gone["removed"], "digest"), [house.a.blob(1)]);
    assert_eq!(
        (&gone["kept"][0]["digest"], &gone["kept"][0]["reason"]),
        (&house.a.blob(0).into(), &"image".into())
    );
    assert_eq!(
        (&gone["forgotten"][0]["digest"], &gone["forgotten"][0]["reason"]),
        (&house.a.report["digest"], &"asked".into())
    );
    assert_eq!(strings(&house.json(&["ls"])["images"], "digest"), [house.b.digest()]);
    house.ok(&["verify"]);

    let base = &house.b.blob(0)["sha256:".len()..];
    let words = house.ok(&["rm", &base[..16]]);
    assert!(words.starts_with(&format!("removed blob sha256:{base}, ")), "{words}");
    assert!(words.contains(&format!("forgot image {}", house.b.digest())), "{words}");
    let stat = house.json(&["stat"]);
    assert_eq!((&stat["blobs"], &stat["images"]), (&1.into(), &0.into()));
    house.fails(&["rm", base], 4, &["no image or blob", base]);
}

/// With everything that an image shares with its lower layers in a directory, tools find it there.
#[test]
fn exported_blobs_are_what_tools_expect() {
    let house = House::new();
    let shared = Tar::new().file("etc/copy", noise(1, 600_000)).file("etc/new", noise(7, 100_000)).finish();
    let tars = vec![house.a.tars[0].clone(), shared];
    let mut image = Image { source: house.path("c"), tars, report: Value::Null };
    Layout::of(image.tars.iter().cloned().map(Layer::new)).write(&image.source);
    image.report = house.convert(&image, "c-nydus", &["--dedup", "image"]);
    assert!(image.report["images"][0]["layers"][1]["foreign_chunks"].as_u64() > Some(0));

    let out = house.path("out");
    let lines = house.ok(&["export", image.digest(), text(&out)]);
    let mut names: Vec<String> = lines.lines().map(str::to_owned).collect();
    names.sort();
    let mut expected: Vec<PathBuf> = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().path()).collect();
    expected.sort();
    assert_eq!(names, expected.iter().map(|path| text(path).to_owned()).collect::<Vec<_>>());
    for layer in [0, 1] {
        let id = image.blob(layer).trim_start_matches("sha256:");
        assert!(fs::read(out.join(id)).unwrap() == blob(&house.path("c-nydus"), image.blob(layer)));
        let file = out.join(id);
        let tar = cli::ok_bytes(["layer", "unpack", "-q", text(&file), "--blob-dir", text(&out)]);
        assert!(tar == image.tars[layer], "layer {layer}");
    }
    // A dictionary: the bootstrap, and the blobs beside it.
    let boot = extract_bootstrap(&house.path("c-nydus"), image.digest(), &out.join("image.boot"));
    let dictionary = format!("bootstrap:{}", boot.display());
    let report = house.convert(&house.b, "with-dictionary", &["--chunk-dict", &dictionary]);
    assert!(layers(&report, "foreign_chunks")[0].as_u64() > Some(0));
    cli::ok(["check", "-q", &latest(&house.path("with-dictionary"))]);

    // What is there is replaced; what is damaged replaces nothing.
    house.ok(&["export", image.digest(), text(&out)]);
    let before = snapshot(&out);
    damage(&house.object("blobs", image.blob(1)));
    house.fails(
        &["export", image.digest(), text(&out)],
        3,
        &[&image.blob(1)["sha256:".len()..], "is damaged"],
    );
    assert_eq!(snapshot(&out), before);
    house.fails(&["export", image.digest(), text(&house.path("new"))], 3, &["is damaged"]);
    assert!(!house.path("new").exists());
    fs::remove_file(house.object("blobs", image.blob(0))).unwrap();
    house.fails(&["export", image.digest(), text(&out)], 4, &["is not in the chunk store any more"]);
    assert_eq!(snapshot(&out), before);
}

#[test]
fn names_of_nothing_and_of_several() {
    let house = House::new();
    let name = house.a.report["target"].as_str().unwrap();
    let other = house.convert(&house.a, "a-nydus", &["--compressor", "none"]);
    let (one, two) = (house.a.digest(), other["digest"].as_str().unwrap());
    for args in [&["rm", name][..], &["gc", "--keep", name], &["export", name, text(&house.path("out"))]] {
        house.fails(args, 4, &["may be any of", one, two, "use the digest"]);
    }
    for args in
        [&["rm", "oci:nowhere"][..], &["gc", "--keep", "busybox"], &["rm", "sha256:"], &["rm", &one[7..10]]]
    {
        house.fails(args, 4, &["the chunk store remembers no image"]);
    }
    // Nothing is removed if one of the names is wrong.
    house.fails(&["rm", one, "oci:nowhere"], 4, &["oci:nowhere"]);
    assert_eq!(house.json(&["stat"])["images"], 3);
    house.ok(&["rm", one, two]);
    assert_eq!(strings(&house.json(&["ls"])["images"], "digest"), [house.b.digest()]);

    for args in [
        &["verify", "--sample", "0"][..],
        &["gc", "--max-age", "30"],
        &["gc", "--max-size", "much"],
        &["rm"],
        &["export", one],
        &["mv"],
    ] {
        house.fails(args, 2, &[]);
    }
}

#[test]
fn stores_that_are_none() {
    let dir = tempdir().unwrap();
    let full = dir.path().join("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("file"), "").unwrap();
    let file = full.join("file");
    for store in [dir.path().join("missing"), full, file] {
        let before = snapshot(dir.path());
        for args in [
            &["stat"][..],
            &["ls"],
            &["verify"],
            &["verify", "--rebuild"],
            &["gc", "--max-size", "0"],
            &["rm", "abcdef"],
            &["export", "abcdef", "out"],
        ] {
            let run = cli::run([&["store"], args, &["--store", text(&store)]].concat());
            assert_eq!((run.code, run.stdout.as_str()), (Some(4), ""), "{args:?}: {}", run.stderr);
            assert!(
                run.stderr.contains(&format!("there is no chunk store in {}", store.display())),
                "{}",
                run.stderr
            );
        }
        assert_eq!(snapshot(dir.path()), before);
    }
}

/// A conversion that has taken chunks from the store and waits for the rest of its layer.
struct Waiting {
    child: Child,
    rest: Vec<u8>,
}

impl Waiting {
    fn begin(house: &House, tar: &[u8], target: &str) -> Self {
        let mut command = house.command();
        command.args(["to-nydus", "-q", "--json", "--chunk-size", "64KiB", "tar:-"]);
        command.arg(latest(&house.path(target))).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (now, rest) = tar.split_at(tar.len() - 4096);
        child.stdin.as_mut().unwrap().write_all(now).unwrap();
        Self { child, rest: rest.to_vec() }
    }

    fn finish(mut self) -> Value {
        self.child.stdin.take().unwrap().write_all(&self.rest).unwrap();
        let output = self.child.wait_with_output().unwrap();
        assert!(output.status.success());
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

#[test]
fn what_a_running_conversion_uses_stays() {
    let house = House::new();
    // Another layer with the same big file in front.
    let tar = Tar::new().file("big", noise(1, 600_000)).file("last", noise(8, 200_000)).finish();
    let waiting = Waiting::begin(&house, &tar, "waited");
    let deadline = Instant::now() + Duration::from_secs(120);
    let held = loop {
        let told = house.json(&["gc", "--max-size", "0", "--dry-run"]);
        if !told["kept"].as_array().unwrap().is_empty() {
            break told;
        }
        assert!(Instant::now() < deadline, "the conversion uses nothing of the store");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(
        (strings(&held["kept"], "digest"), &held["kept"][0]["reason"]),
        (vec![house.a.blob(0).to_owned()], &"held".into())
    );
    let done = house.json(&["gc", "--max-size", "0"]);
    assert_eq!((&done["kept"], &done["removed"]), (&held["kept"], &held["removed"]));
    assert!(house.ok(&["gc", "--max-size", "0"]).contains("a running conversion uses it"));
    let rm = house.json(&["rm", house.a.blob(0)]);
    assert_eq!(rm["kept"][0]["reason"], "held");
    let report = waiting.finish();
    assert!(layers(&report, "copied_chunks")[0].as_u64() > Some(0), "{report}");

    // The same as without a store.
    let file = house.path("layer.tar");
    fs::write(&file, &tar).unwrap();
    let target = latest(&house.path("without"));
    let plain = cli::ok([
        "to-nydus",
        "-q",
        "--json",
        "--chunk-size",
        "64KiB",
        &format!("tar:{}", text(&file)),
        &target,
    ]);
    let plain: Value = serde_json::from_str(&plain.stdout).unwrap();
    assert_eq!(plain["digest"], report["digest"]);
    house.ok(&["verify"]);
    // Now nobody holds it.
    assert_eq!(house.json(&["gc", "--max-size", "0"])["kept"], Value::Array(Vec::new()));
    assert_eq!(house.json(&["stat"])["blobs"], 0);
}
