//! A store that conversions filled, and the commands that look into it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::support::cli::{self, Run, latest};
use crate::support::oci::{Layer, Layout};
use crate::support::tars::Tar;

/// Bytes of which no two chunks are equal, others for every seed.
pub fn noise(seed: u32, length: u32) -> Vec<u8> {
    let mut state = seed;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8 & 0x3f
    };
    (0..length).map(next).collect()
}

/// A store, and layouts with images `a` and `b` that have their first layer in common.
pub struct House {
    pub dir: TempDir,
    pub a: Image,
    pub b: Image,
}

pub struct Image {
    /// The layout that the image is in.
    pub source: PathBuf,
    /// The tars of its layers.
    pub tars: Vec<Vec<u8>>,
    /// What its first conversion told.
    pub report: Value,
}

impl House {
    pub fn new() -> Self {
        let dir = tempdir().unwrap();
        let base = Tar::new().dir("etc", 0o755).file("etc/base", noise(1, 600_000)).finish();
        let own = |seed| Tar::new().file("etc/own", noise(seed, 300_000)).finish();
        let image = |name: &str, seed| {
            let source = dir.path().join(name);
            let tars = vec![base.clone(), own(seed)];
            Layout::of(tars.iter().cloned().map(Layer::new)).write(&source);
            Image { source, tars, report: Value::Null }
        };
        let (a, b) = (image("a", 2), image("b", 3));
        let mut house = Self { dir, a, b };
        house.a.report = house.convert(&house.a, "a-nydus", &[]);
        house.b.report = house.convert(&house.b, "b-nydus", &[]);
        house
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn store(&self) -> PathBuf {
        self.path("store")
    }

    pub fn command(&self) -> Command {
        let mut command = cli::command();
        command.env_remove("NYDUS_CONVERT_NO_STORE").env("NYDUS_CONVERT_STORE", self.store());
        command
    }

    pub fn convert(&self, image: &Image, target: &str, options: &[&str]) -> Value {
        let mut command = self.command();
        command.args(["to-nydus", "-q", "--json", "--chunk-size", "64KiB"]).args(options);
        let run = run(command.args([latest(&image.source), latest(&self.path(target))]));
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        serde_json::from_str(&run.stdout).unwrap()
    }

    /// One of the verbs.
    pub fn verb(&self, args: &[&str]) -> Run {
        run(self.command().arg("store").args(args))
    }

    pub fn ok(&self, args: &[&str]) -> String {
        let run = self.verb(args);
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{args:?}");
        run.stdout
    }

    pub fn json(&self, args: &[&str]) -> Value {
        let report: Value = serde_json::from_str(&self.ok(&[args, &["--json"]].concat())).unwrap();
        assert_eq!(report["schema_version"], 1);
        report
    }

    /// A verb that must fail with this code and these words.
    pub fn fails(&self, args: &[&str], code: i32, words: &[&str]) {
        let run = self.verb(args);
        assert_eq!((run.code, run.stdout.as_str()), (Some(code), ""), "{args:?}: {}", run.stderr);
        for word in words {
            assert!(run.stderr.contains(word), "{args:?}: {word}: {}", run.stderr);
        }
    }

    /// The file of an object.
    pub fn object(&self, kind: &str, digest: &str) -> PathBuf {
        let id = digest.trim_start_matches("sha256:");
        self.store().join(kind).join(&id[..2]).join(id)
    }

    /// The files of all objects of a kind.
    pub fn files(&self, kind: &str) -> Vec<PathBuf> {
        let entries =
            |dir: PathBuf| fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path());
        entries(self.store().join(kind)).flat_map(entries).collect()
    }
}

impl Image {
    /// Digest of the result.
    pub fn digest(&self) -> &str {
        self.report["digest"].as_str().unwrap()
    }

    /// Digest of a layer's blob.
    pub fn blob(&self, layer: usize) -> &str {
        blob_of(&self.report, layer)
    }
}

pub fn blob_of(report: &Value, layer: usize) -> &str {
    report["images"][0]["layers"][layer]["blob_digest"].as_str().unwrap()
}

pub fn layers(report: &Value, what: &str) -> Vec<Value> {
    report["images"][0]["layers"].as_array().unwrap().iter().map(|layer| layer[what].clone()).collect()
}

pub fn run(command: &mut Command) -> Run {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Run { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub fn strings(list: &Value, what: &str) -> Vec<String> {
    let mut all: Vec<String> =
        list.as_array().unwrap().iter().map(|one| one[what].as_str().unwrap().to_owned()).collect();
    all.sort();
    all
}

/// Changes a byte in the middle of a file, and keeps its times: nobody is told.
pub fn damage(file: &Path) {
    let modified = fs::metadata(file).unwrap().modified().unwrap();
    let mut bytes = fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(file, bytes).unwrap();
    age(file, modified);
}

pub fn age(file: &Path, modified: SystemTime) {
    File::options().append(true).open(file).unwrap().set_modified(modified).unwrap();
}

pub fn is_time(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape == "0000-00-00T00:00:00Z"
}
