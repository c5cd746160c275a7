//! Running `nydus-convert` as a user does, and looking at what it left behind.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// What a run printed and how it ended.
#[derive(Clone, Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A command for the program, without standard input, and without what earlier runs left in the user's chunk store.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nydus-convert"));
    command.stdin(Stdio::null()).env("NYDUS_CONVERT_NO_STORE", "true");
    command
}

/// The program with no credentials, no proxies and no configuration around.
pub fn alone(home: &Path) -> Command {
    let mut command = command();
    command.env_clear().env("HOME", home).env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

/// Runs a command of the program to its end.
pub fn end(command: &mut Command) -> Run {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Run { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Runs the program to its end.
pub fn run<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(args: I) -> Run {
    end(command().args(args))
}

/// Runs the program and demands success.
pub fn ok<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(args: I) -> Run {
    let run = run(args);
    assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
    run
}

/// Runs the program, demands success, and gives what it printed as it is.
pub fn ok_bytes<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(args: I) -> Vec<u8> {
    let output = command().args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// `oci:DIR:latest`.
pub fn latest(dir: &Path) -> String {
    format!("oci:{}:latest", dir.display())
}

/// Converts `source:latest` to `target:latest` and gives the JSON report.
pub fn convert(source: &Path, target: &Path, options: &[&str]) -> Value {
    let (source, target) = (latest(source), latest(target));
    let fixed = ["to-nydus", "--json", "-q", source.as_str(), target.as_str()];
    serde_json::from_str(&ok(fixed.iter().chain(options)).stdout).unwrap()
}

/// The content of a blob of a layout by its digest.
pub fn blob(layout: &Path, digest: &str) -> Vec<u8> {
    fs::read(layout.join("blobs").join(digest.replace(':', "/"))).unwrap()
}

/// A JSON blob of a layout.
pub fn json(layout: &Path, digest: &str) -> Value {
    serde_json::from_slice(&blob(layout, digest)).unwrap()
}

/// The digest that the only reference of a layout leads to.
pub fn json_root(layout: &Path) -> String {
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    index["manifests"][0]["digest"].as_str().unwrap().to_owned()
}

/// The merged bootstrap of a Nydus manifest, written to `file`.
pub fn extract_bootstrap(layout: &Path, manifest: &str, file: &Path) -> PathBuf {
    let manifest = json(layout, manifest);
    let layer = manifest["layers"].as_array().unwrap().last().unwrap()["digest"].as_str().unwrap().to_owned();
    let layer = blob(layout, &layer);
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(layer.as_slice()));
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.path_bytes().as_ref() == b"image/image.boot" {
            std::io::copy(&mut entry, &mut fs::File::create(file).unwrap()).unwrap();
            return file.to_owned();
        }
    }
    panic!("no bootstrap in the last layer");
}

/// Everything below a directory: names, types, sizes, times of change, content. Two equal snapshots mean that nothing
/// was touched.
pub fn snapshot(dir: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    let mut pending = vec![dir.to_owned()];
    while let Some(path) = pending.pop() {
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            all.insert(path, "missing".to_owned());
            continue;
        };
        let content =
            if metadata.is_file() { super::sha256_hex(&fs::read(&path).unwrap()) } else { String::new() };
        if metadata.is_dir() {
            pending.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        all.insert(path, format!("{:o} {} {content}", metadata.mode(), metadata.len()));
    }
    all
}
