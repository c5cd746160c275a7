//! Legal layers that other builders refuse or corrupt, from the tar to what the image shows.

use std::collections::BTreeMap;

use crate::support::cli::{convert, latest, ok};
use crate::support::nydusd::Nydusd;
use crate::support::oci::{Layer, Layout};
use crate::support::tars::Tar;
use serde_json::Value;
use tar::EntryType;
use tempfile::{TempDir, tempdir};

/// A converted image and its listing by path.
struct Converted {
    dir: TempDir,
    files: BTreeMap<String, Value>,
    digest: String,
}

impl Converted {
    fn of(layers: impl IntoIterator<Item = Vec<u8>>) -> Converted {
        let dir = tempdir().unwrap();
        let (source, target) = (dir.path().join("oci"), dir.path().join("nydus"));
        Layout::of(layers.into_iter().map(Layer::new)).write(&source);
        let report = convert(&source, &target, &["--chunk-size", "4KiB"]);
        ok(["check", "-q", &latest(&target)]);
        let listing = ok(["ls", "--json", &latest(&target)]).stdout;
        let lines = listing.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let files = lines.map(|file| (file["path"].as_str().unwrap().to_owned(), file)).collect();
        Converted { dir, files, digest: report["digest"].as_str().unwrap().to_owned() }
    }

    fn names(&self) -> Vec<&str> {
        self.files.keys().map(String::as_str).filter(|path| *path != "/").collect()
    }

    fn cat(&self, path: &str) -> String {
        ok(["cat", &latest(&self.dir.path().join("nydus")), path]).stdout
    }
}

#[test]
fn hard_links_reach_anywhere() {
    let lower = Tar::new().file("below", "from below\n").symlink("sym", "below").finish();
    let upper = Tar::new()
        .hard_link("to-lower", "below")
        .hard_link("forward", "later")
        .hard_link("to-link", "to-lower")
        .hard_link("to-symlink", "sym")
        .file("later", "came later\n")
        .special("fifo", EntryType::Fifo, None)
        .hard_link("to-fifo", "fifo")
        .file(".wh.below", "")
        .finish();
    let image = Converted::of([lower, upper]);
    let names = ["/fifo", "/forward", "/later", "/sym", "/to-fifo", "/to-link", "/to-lower", "/to-symlink"];
    assert_eq!(image.names(), names);
    assert_eq!(image.cat("to-lower"), "from below\n");
    assert_eq!(image.cat("forward"), "came later\n");
    for (path, links) in [("/to-lower", 2), ("/to-link", 2), ("/later", 2), ("/fifo", 2), ("/sym", 2)] {
        assert_eq!(image.files[path]["links"], links, "{path}");
    }
    assert_eq!(image.files["/to-symlink"]["type"], "symlink");
}

#[test]
fn layers_are_laid_over_each_other_as_oci_says() {
    let lower = Tar::new()
        .dir("kept", 0o700)
        .file("kept/old", "1")
        .dir("emptied", 0o755)
        .file("emptied/old", "1")
        .dir("usr", 0o755)
        .dir("usr/lib", 0o755)
        .file("usr/lib/old", "1")
        .symlink("lib", "usr/lib")
        .file("was-file", "1")
        .dir("was-dir", 0o755)
        .file("was-dir/x", "1")
        .file(".wh.marker-of-the-lowest-layer", "")
        .finish();
    let upper = Tar::new()
        .file("kept/new", "2")
        .file("emptied/new", "2")
        .file("emptied/.wh..wh..opq", "")
        .file("lib/new", "2")
        .file("lib/.wh.old", "")
        .dir("was-file", 0o755)
        .file("was-file/x", "2")
        .file("was-dir", "2")
        .finish();
    let image = Converted::of([lower, upper]);
    let names = [
        "/emptied",
        "/emptied/new",
        "/kept",
        "/kept/new",
        "/kept/old",
        "/lib",
        "/usr",
        "/usr/lib",
        "/usr/lib/new",
        "/was-dir",
        "/was-file",
        "/was-file/x",
    ];
    assert_eq!(image.names(), names);
    // The upper layer has no entry for this directory, so it cannot have changed it.
    assert_eq!(image.files["/kept"]["mode"], 0o700);
    assert_eq!(image.cat("/lib/new"), "2");
}

#[test]
fn names_that_are_not_text() {
    let tar = Tar::new()
        .raw(b"caf\xe9", |_| {}, b"latin-1")
        .raw(b"new\nline", |_| {}, b"x")
        .pax(&[("SCHILY.xattr.user.binary", b"a\n17 path=/smuggled\n\0\xff")])
        .file("attributed", "y")
        .finish();
    let removed = Tar::new().raw(b".wh.caf\xe9", |_| {}, b"").finish();
    let image = Converted::of([tar.clone()]);
    assert_eq!(image.names(), ["/attributed", "/caf\\xe9", "/new\\x0aline"]);
    assert_eq!(image.files["/attributed"]["xattrs"][0], "user.binary");
    assert_eq!(Converted::of([tar, removed]).names(), ["/attributed", "/new\\x0aline"]);
}

#[test]
fn global_records_contiguous_files_and_blank_devices() {
    let global = |header: &mut tar::Header| header.set_entry_type(EntryType::XGlobalHeader);
    let contiguous = |header: &mut tar::Header| header.set_entry_type(EntryType::Continuous);
    let blank = |header: &mut tar::Header| {
        header.set_entry_type(EntryType::Fifo);
        header.as_gnu_mut().unwrap().dev_major = [0; 8];
        header.as_gnu_mut().unwrap().dev_minor = [0; 8];
    };
    let tar = Tar::new()
        .raw(b"pax_global_header", global, b"19 mtime=123456789\n")
        .raw(b"archive/file", contiguous, b"contiguous\n")
        .raw(b"archive/fifo", blank, b"")
        .file("./archive/./file2", "2")
        .file("archive/file2", "two")
        .finish();
    let image = Converted::of([tar]);
    assert_eq!(image.names(), ["/archive", "/archive/fifo", "/archive/file", "/archive/file2"]);
    // Global records mean nothing, as for container engines.
    assert_eq!(image.files["/archive/file"]["mtime"], 1_700_000_000);
    assert_eq!(image.files["/archive/fifo"]["type"], "fifo");
    assert_eq!(image.cat("archive/file"), "contiguous\n");
    assert_eq!(image.cat("archive/file2"), "two");
}

#[test]
fn sparse_files_are_expanded() {
    // PAX 0.1: 10000 bytes, of which 3 at 4097 and 2 at 9998 are stored.
    let tar = Tar::new()
        .pax(&[
            ("GNU.sparse.size", b"10000"),
            ("GNU.sparse.numblocks", b"2"),
            ("GNU.sparse.map", b"4097,3,9998,2"),
            ("GNU.sparse.name", b"sparse"),
        ])
        .file("GNUSparseFile.1/sparse", "abcde")
        .finish();
    let image = Converted::of([tar]);
    assert_eq!(image.files["/sparse"]["size"], 10_000);
    let content = image.cat("sparse");
    assert_eq!((&content[4096..4101], &content[9998..]), ("\0abc\0", "de"));
    assert_eq!(content.bytes().filter(|byte| *byte != 0).count(), 5);
}

#[test]
fn clients_see_times_below_the_second() {
    crate::support::require!("nydusd", "root");
    use std::os::unix::fs::MetadataExt;
    let tar = Tar::new().pax(&[("mtime", b"1700000000.123456789")]).file("exact", "x").finish();
    let image = Converted::of([tar]);
    let target = image.dir.path().join("nydus");
    let bootstrap =
        crate::support::cli::extract_bootstrap(&target, &image.digest, &image.dir.path().join("boot"));
    let daemon = Nydusd::mount(&bootstrap, &target.join("blobs/sha256")).unwrap();
    let metadata = std::fs::metadata(daemon.root().join("exact")).unwrap();
    assert_eq!((metadata.mtime(), metadata.mtime_nsec()), (1_700_000_000, 123_456_789));
    drop(daemon);
}
