//! What the integration tests share: small images, snapshots of directories, real tools.

// Every test binary compiles all of this and uses a part.
#![allow(dead_code, unused_imports, unused_macros)]
// Test code: a panic is how a test reports.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use nydus_convert_oci::image::Format;
use nydus_convert_oci::{Blob, Descriptor, Digest, LayoutSink, Sink, media_type};
use serde_json::json;

/// A directory tree, every path with what is there; symbolic links are not followed.
pub fn snapshot(dir: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(path) = todo.pop() {
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        let mode = metadata.permissions().mode();
        let what = if metadata.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            format!("directory {mode:o}")
        } else if metadata.is_symlink() {
            format!("link to {}", fs::read_link(&path).unwrap().display())
        } else {
            let content = if metadata.is_file() {
                Digest::sha256(&fs::read(&path).unwrap()).hex()
            } else {
                String::new()
            };
            format!("file {mode:o} inode {} {content}", metadata.ino())
        };
        found.insert(path.strip_prefix(dir).unwrap().to_owned(), what);
    }
    found
}

/// Asserts that a directory is what it was; the difference is readable.
pub fn assert_unchanged(dir: &Path, before: &BTreeMap<PathBuf, String>) {
    let after = snapshot(dir);
    let gone: Vec<_> = before.iter().filter(|(path, what)| after.get(*path) != Some(what)).collect();
    let new: Vec<_> = after.iter().filter(|(path, what)| before.get(*path) != Some(what)).collect();
    assert!(gone.is_empty() && new.is_empty(), "was: {gone:#?}\nis: {new:#?}");
}

/// Writes an image of one plain layer that holds `text` to `sink` and gives its manifest's descriptor.
pub fn write_image(sink: &dyn Sink, text: &str) -> nydus_convert_oci::Descriptor {
    let (format, layer) = (Format::Oci, tar(text));
    let mut writer = sink.blob().unwrap();
    writer.write_all(&layer).unwrap();
    let layer = writer.finish().unwrap();
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": [layer.digest] },
        "history": [{ "created_by": text }],
    });
    let config = sink.put(format.config(), config.to_string().as_bytes()).unwrap();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": format.manifest(),
        "config": config,
        "layers": [layer.descriptor(media_type::OCI_LAYER)],
    });
    sink.put(format.manifest(), manifest.to_string().as_bytes()).unwrap()
}

/// Commits an image that holds `text`, under `name`, to the layout `dir`.
pub fn add_image(dir: &Path, name: Option<&str>, text: &str) -> Descriptor {
    let sink = LayoutSink::create(dir, name).unwrap();
    let root = write_image(&sink, text);
    sink.commit(root.clone()).unwrap();
    root
}

/// A tar with one file.
pub fn tar(text: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_path("file").unwrap();
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    builder.append(&header, text.as_bytes()).unwrap();
    builder.into_inner().unwrap()
}

/// Where a blob of a layout is.
pub fn blob_file(dir: &Path, digest: &Digest) -> PathBuf {
    dir.join("blobs").join("sha256").join(digest.hex())
}

/// The directory `fixtures/` of the repository.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

/// Runs a program to its end. Panics with its messages if it fails.
pub fn run<S: AsRef<OsStr>>(program: &str, args: &[S]) -> Vec<u8> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).env("LC_ALL", "C.UTF-8");
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{messages}", output.status);
    output.stdout
}

/// Whether all of `names` are programs of this machine; `"root"` asks for the user root. What is missing is
/// told on stderr; with `CI=true` it panics.
pub fn available(names: &[&str]) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let have = |name: &str| match name {
        "root" => rustix::process::geteuid().is_root(),
        _ => env::split_paths(&path).any(|dir| dir.join(name).is_file()),
    };
    let missing: Vec<&str> = names.iter().copied().filter(|name| !have(name)).collect();
    missing.is_empty() || skip(&format!("{} not found", missing.join(", ")))
}

/// Says that a test does not run, and why. False, for the caller to return.
pub fn skip(reason: &str) -> bool {
    // The test runner names a test's thread after the test.
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("test");
    assert!(env::var_os("CI").is_none_or(|ci| ci != "true"), "CI must not skip {test}: {reason}");
    // Straight to stderr: what eprintln! prints, the test runner swallows when a test passes.
    let _ = writeln!(io::stderr(), "SKIP {test}: {reason}");
    false
}

/// `require!("skopeo", "root")` returns from the calling test when something is missing.
macro_rules! require {
    ($($name:expr),+ $(,)?) => {
        if !$crate::support::available(&[$($name),+]) {
            return;
        }
    };
}
pub(crate) use require;
