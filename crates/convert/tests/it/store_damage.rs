//! Stores that went bad, in whole or in part.

use std::fs;

use serde_json::Value;

use crate::store_house::*;
use crate::support::cli::latest;

#[test]
fn damaged_blobs_are_found_and_made_again() {
    let house = House::new();
    let words = house.ok(&["verify"]);
    assert!(
        words.starts_with("3 blobs, 3 layers, 2 images; ") && words.ends_with("no problems\n"),
        "{words}"
    );
    let sound = house.json(&["verify", "--sample", "100%"]);
    assert!(sound["chunks"].as_u64() > Some(10) && sound["problems"] == Value::Array(Vec::new()));
    let few = house.json(&["verify", "--sample", "1"]);
    assert!(few["bytes"].as_u64() < sound["bytes"].as_u64());

    let broken = house.a.blob(0).to_owned();
    damage(&house.object("blobs", &broken));
    let object = format!("blobs/{}", broken.trim_start_matches("sha256:"));
    for args in [&["verify"][..], &["verify", "--sample", "100"]] {
        let run = house.verb(&[args, &["--json"]].concat());
        assert_eq!(run.code, Some(3), "{args:?}");
        let lines: Vec<&str> = run.stderr.lines().collect();
        assert!(lines.len() == 1 && lines[0].starts_with(&format!("problem: {object}: ")), "{lines:?}");
        let report: Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!(strings(&report["problems"], "object"), [object.as_str()]);
        assert_eq!(report["repaired"], false);
    }
    // Found on the way, and made again: the same image.
    let again = house.convert(&house.a, "again", &[]);
    assert_eq!(again["digest"], house.a.report["digest"]);
    assert_eq!(layers(&again, "from_store"), [false, true]);
    house.ok(&["verify"]);
    assert_eq!(layers(&house.convert(&house.a, "again", &[]), "from_store"), [true, true]);

    damage(&house.object("blobs", &broken));
    let run = house.verb(&["verify", "--repair", "--json"]);
    assert_eq!((run.code, run.stderr.lines().count()), (Some(0), 1));
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((&report["repaired"], &report["forgotten"][0]), (&true.into(), &broken.as_str().into()));
    house.ok(&["verify"]);
    assert_eq!(house.json(&["stat"])["blobs"], 2);
    let again = house.convert(&house.b, "again", &[]);
    assert_eq!(
        (&again["digest"], layers(&again, "from_store")),
        (&house.b.report["digest"], vec![false.into(), true.into()])
    );
    house.ok(&["verify"]);
}

#[test]
fn other_damage_is_repaired_too() {
    let house = House::new();
    for kind in ["descriptions", "layers", "images"] {
        let file = house.files(kind).remove(0);
        if kind == "images" {
            fs::write(&file, "image of what?\n").unwrap();
        } else {
            damage(&file);
        }
        let run = house.verb(&["verify"]);
        assert_eq!(run.code, Some(3), "{kind}");
        assert!(run.stderr.starts_with(&format!("problem: {kind}/")), "{}", run.stderr);
        assert_eq!(house.verb(&["verify", "--repair"]).code, Some(0), "{kind}");
        house.ok(&["verify"]);
        for image in [&house.a, &house.b] {
            assert_eq!(house.convert(image, "again", &[])["digest"], image.report["digest"]);
        }
        house.ok(&["verify"]);
        assert_eq!(house.json(&["stat"])["layers"], 3, "{kind}");
    }
}

#[test]
fn an_index_is_made_anew() {
    let house = House::new();
    let index = house.store().join("index.redb");
    let whole = fs::read(&index).unwrap();
    let garbage = noise(9, whole.len() as u32);
    let zeros = [&whole[..4096], &vec![0; whole.len() - 4096]].concat();
    let spoilt = [Some(garbage), Some(zeros), Some(whole[..whole.len() / 3].to_vec()), None];
    for (number, spoilt) in spoilt.into_iter().enumerate() {
        match spoilt {
            Some(bytes) => {
                fs::write(&index, bytes).unwrap();
                house.fails(&["stat"], 1, &["store verify --rebuild"]);
            }
            None => fs::remove_file(&index).unwrap(),
        }
        let rebuilt = house.json(&["verify", "--rebuild"]);
        assert_eq!((&rebuilt["blobs"], &rebuilt["layers"]), (&3.into(), &3.into()), "{number}");
        assert_eq!(rebuilt["unlisted"], 0);
        assert_eq!(layers(&house.convert(&house.a, "again", &[]), "from_store"), [true, true], "{number}");
    }
}

#[test]
fn what_a_new_index_does_not_know_is_not_removed() {
    let house = House::new();
    fs::remove_file(house.store().join("index.redb")).unwrap();
    for target in ["other", "once-more"] {
        house.fails(&["gc"], 1, &["store verify --rebuild"]);
        house.convert(&house.b, target, &[]);
    }
    house.ok(&["verify", "--rebuild"]);
    house.ok(&["gc"]);
    assert_eq!(layers(&house.convert(&house.a, "again", &[]), "from_store"), [true, true]);
}

/// Ways in which a file goes bad: a page of zeros, a flipped bit, a page of another place, an end that is missing.
fn spoilt(whole: &[u8]) -> impl Iterator<Item = (String, Vec<u8>)> {
    let pages = whole.len() / 4096;
    let spoil = move |name: &str, at: usize, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = whole.to_vec();
        change(&mut bytes);
        (format!("{name} {at}"), bytes)
    };
    let zeros = move |page| spoil("zeros", page, &|bytes| bytes[page * 4096..][..4096].fill(0));
    // Every page has some that are in use.
    let bits = move |step: usize| {
        let at = step * 331;
        spoil("bit", at, &|bytes| bytes[at] ^= 1 << (at % 8))
    };
    let swapped = move |page| {
        spoil("page", page, &|bytes| bytes.copy_within((page - 1) * 4096..page * 4096, page * 4096))
    };
    let cut = move |step| spoil("cut", step, &|bytes| bytes.truncate(step * whole.len() / 16));
    let bits = (0..whole.len() / 331).filter(move |step| whole[step * 331] != 0).map(bits);
    (0..pages).map(zeros).chain(bits).chain((1..pages).map(swapped)).chain((0..16).map(cut))
}

#[test]
fn damage_of_the_index_is_reported_once() {
    let house = House::new();
    let index = house.store().join("index.redb");
    let whole = fs::read(&index).unwrap();
    let verbs: [&[&str]; 5] =
        [&["verify", "--repair"], &["stat"], &["ls"], &["gc", "--dry-run"], &["verify", "--sample", "1"]];
    for (turn, (name, bytes)) in spoilt(&whole).enumerate() {
        fs::write(&index, bytes).unwrap();
        let args = verbs[turn % verbs.len()];
        let run = house.verb(args);
        match run.code {
            Some(0) => assert_eq!(run.stderr, "", "{name} {args:?}"),
            Some(1) => {
                assert_eq!(run.stderr.lines().count(), 1, "{name} {args:?}: {}", run.stderr);
                assert!(run.stderr.contains("store verify --rebuild"), "{name} {args:?}: {}", run.stderr);
            }
            code => panic!("{name} {args:?}: {code:?}: {}", run.stderr),
        }
    }
}

/// A conversion makes the same, or says what is wrong with the store.
#[test]
fn no_damage_of_the_index_changes_a_result() {
    let house = House::new();
    let index = house.store().join("index.redb");
    let whole = fs::read(&index).unwrap();
    for (number, (name, bytes)) in spoilt(&whole).step_by(7).enumerate() {
        fs::write(&index, bytes).unwrap();
        let target = house.path(&format!("again-{number}"));
        let mut command = house.command();
        command.args(["to-nydus", "-q", "--json", "--chunk-size", "64KiB"]);
        let run = run(command.args([latest(&house.a.source), latest(&target)]));
        match run.code {
            Some(0) => {
                let report: Value = serde_json::from_str(&run.stdout).unwrap();
                assert_eq!(report["digest"], house.a.report["digest"], "{name}: {}", run.stderr);
                fs::remove_dir_all(target).unwrap();
            }
            Some(1) => {
                assert!(run.stderr.contains("store verify --rebuild"), "{name}: {}", run.stderr);
                assert!(!target.exists(), "{name}");
            }
            code => panic!("{name}: {code:?}: {}", run.stderr),
        }
    }
}
