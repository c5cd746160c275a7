//! Images that the kernel mounts by itself: the printed command is run, and the tree is compared.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::cli::{convert, extract_bootstrap, latest, ok, run};
use crate::support::nydusd::Nydusd;
use crate::support::oci::{Layer, Layout};
use crate::support::tars::Tar;
use crate::support::tools::Tool;
use crate::support::tree::{Ignore, Tree};
use crate::support::umoci;
use serde_json::Value;
use tempfile::{TempDir, tempdir};

/// A mounted image. Dropping it unmounts and takes its loop devices away.
struct Mounted {
    dir: TempDir,
    blobs: PathBuf,
}

impl Mounted {
    /// Runs what `mount-cmd` prints.
    fn new(layout: &Path) -> Self {
        let mounted = Self { dir: tempdir().unwrap(), blobs: layout.join("blobs") };
        fs::create_dir(mounted.root()).unwrap();
        let (bootstrap, root) = (mounted.dir.path().join("image.boot"), mounted.root());
        let args = ["mount-cmd", &latest(layout), "--bootstrap"].map(str::to_owned).into_iter();
        let files = [bootstrap.to_str().unwrap(), "--mountpoint", root.to_str().unwrap()];
        let line = ok(args.chain(files.map(str::to_owned))).stdout;
        assert!(
            line.starts_with("d0=$(losetup") && line.contains(" && mount -t erofs -o \"ro,device=$d0"),
            "{line}"
        );
        let output = Command::new("sh").args(["-ec", &line]).output().unwrap();
        assert!(output.status.success(), "{line}{}", String::from_utf8_lossy(&output.stderr));
        mounted
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("mnt")
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.root()).output();
        let list = Command::new("losetup")
            .args(["--list", "--noheadings", "--raw", "-O", "NAME,BACK-FILE"])
            .output();
        let list = String::from_utf8(list.unwrap().stdout).unwrap();
        for (name, file) in list.lines().filter_map(|line| line.split_once(' ')) {
            if Path::new(file).starts_with(&self.blobs) {
                let _ = Command::new("losetup").args(["--detach", name]).output();
            }
        }
    }
}

/// Whether the kernel mounts EROFS; as with tools, CI must not go without.
fn has_erofs() -> bool {
    let _ = Command::new("modprobe").arg("erofs").output();
    let known =
        fs::read_to_string("/proc/filesystems").unwrap().lines().any(|line| line.ends_with("\terofs"));
    let loops = Path::new("/dev/loop-control").exists();
    if !(known && loops) {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "CI must have EROFS and loop devices");
        eprintln!("SKIP: this kernel has no EROFS, or there are no loop devices");
    }
    known && loops
}

/// Mounted by the kernel and served by the daemon, the image is what umoci unpacks; and it comes back.
fn mount_and_compare(source: &Path, options: &[&str], lost_by_umoci: &[&str]) {
    let dir = tempdir().unwrap();
    let (nydus, back) = (dir.path().join("nydus"), dir.path().join("back"));
    let report = convert(source, &nydus, options);
    let digest = report["digest"].as_str().unwrap();
    ok(["check", "-q", &latest(&nydus)]);
    let bootstrap = extract_bootstrap(&nydus, digest, &dir.path().join("image.boot"));

    let expected = Tree::read(&umoci::unpack(source, "latest", &dir.path().join("bundle")));
    let ignore = Ignore { mtime_of: vec![Vec::new()], ..Ignore::default() };
    let mounted = Mounted::new(&nydus);
    assert_eq!(Tree::read(&mounted.root()).diff(&expected, &ignore), lost_by_umoci);
    // Version 2.2 of the reference tools knows nothing of tarfs.
    if !options.contains(&"--tarfs") {
        Tool::get("nydus-image").run(["check", "--bootstrap", bootstrap.to_str().unwrap()]);
        let daemon = Nydusd::mount(&bootstrap, &nydus.join("blobs/sha256")).unwrap();
        assert_eq!(Tree::read(&daemon.root()).diff(&expected, &ignore), lost_by_umoci);
        assert!(daemon.unmount().success());
    }

    let to_oci = ok(["to-oci", "-q", "--json", &latest(&nydus), &latest(&back)]).stdout;
    let restored: Value = serde_json::from_str(&to_oci).unwrap();
    assert_eq!(restored["images"][0]["digest"], report["images"][0]["source_digest"]);
}

/// See `clients.rs`.
const EMPTY_XATTR: &[&str] = &["\"etc/empty\": xattrs [\"user.empty\"=] != []"];

#[test]
fn the_kernel_mounts_the_fixture() {
    crate::support::require!("nydus-image", "nydusd", "umoci", "losetup", "root");
    if !has_erofs() {
        return;
    }
    let source = crate::support::fixtures().join("small");
    for options in [&["--chunk-size", "4KiB"][..], &["--digester", "sha256"], &["--chunk-size", "16MiB"]] {
        mount_and_compare(&source, &[&["--kernel-mountable"], options].concat(), EMPTY_XATTR);
    }
}

#[test]
fn the_kernel_mounts_a_whole_distribution() {
    crate::support::require!("nydus-image", "nydusd", "umoci", "losetup", "root", "debootstrap", "buildah");
    let Some(source) = crate::support::debian::debian_image() else { return };
    if has_erofs() {
        mount_and_compare(&source, &["--kernel-mountable"], &[]);
        mount_and_compare(&source, &["--tarfs"], &[]);
    }
}

#[test]
fn the_kernel_mounts_tars() {
    crate::support::require!("umoci", "losetup", "root");
    if !has_erofs() {
        return;
    }
    let source = crate::support::fixtures().join("small");
    for chunk_size in ["4KiB", "1MiB", "16MiB"] {
        mount_and_compare(&source, &["--tarfs", "--chunk-size", chunk_size], EMPTY_XATTR);
    }
}

/// Times before 1970 and after 2106 are the tar's, by the kernel and by the daemon.
#[test]
fn times_are_kept() {
    crate::support::require!("nydus-image", "nydusd", "losetup", "root");
    if !has_erofs() {
        return;
    }
    let times: [i64; 5] = [-1, -86_400, -5_000_000_000, 1 << 31, 5_000_000_000];
    let mut tar = Tar::new();
    for time in times {
        tar = tar.pax(&[("mtime", time.to_string().as_bytes())]).file(&format!("at{time}"), "content");
    }
    let dir = tempdir().unwrap();
    let (source, nydus) = (dir.path().join("source"), dir.path().join("nydus"));
    Layout::of([Layer::new(tar.finish())]).write(&source);
    let report = convert(&source, &nydus, &["--kernel-mountable"]);
    let digest = report["digest"].as_str().unwrap();
    let bootstrap = extract_bootstrap(&nydus, digest, &dir.path().join("image.boot"));
    let mounted = Mounted::new(&nydus);
    let daemon = Nydusd::mount(&bootstrap, &nydus.join("blobs/sha256")).unwrap();
    for root in [mounted.root(), daemon.root()] {
        let of = |time: &i64| fs::metadata(root.join(format!("at{time}"))).unwrap().mtime();
        assert_eq!(times.each_ref().map(of), times, "{}", root.display());
    }
    assert!(daemon.unmount().success());
}

#[test]
fn nothing_is_mounted_where_a_blob_is_missing() {
    let dir = tempdir().unwrap();
    let (nydus, bootstrap) = (dir.path().join("nydus"), dir.path().join("image.boot"));
    convert(&crate::support::fixtures().join("small"), &nydus, &["--kernel-mountable"]);
    let line = ok(["mount-cmd", &latest(&nydus), "--bootstrap", bootstrap.to_str().unwrap()]).stdout;
    let bin = dir.path().join("bin");
    fs::create_dir(&bin).unwrap();
    // Stand-ins: no device can be made, and whoever mounts is found out.
    for (name, script) in [("losetup", "exit 1"), ("mount", ": > \"$0.called\"")] {
        fs::write(bin.join(name), format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let status = Command::new("/bin/sh").args(["-c", &line]).env("PATH", &bin).status().unwrap();
    assert!(!status.success() && !bin.join("mount.called").exists(), "{line}");
}

#[test]
fn what_the_kernel_cannot_mount_is_refused() {
    let dir = tempdir().unwrap();
    let (source, bootstrap) = (crate::support::fixtures().join("small"), dir.path().join("image.boot"));
    for (options, why) in [
        (&["--compressor", "none"][..], "packed without gaps"),
        (&["--compressor", "zstd", "--chunk-size", "4KiB"], "compressed"),
        (&["--fs-version", "5"], "RAFS v5"),
        (&["--batch-size", "64KiB"], "batched"),
    ] {
        let nydus = dir.path().join("nydus");
        convert(&source, &nydus, options);
        let refused = run(["mount-cmd", &latest(&nydus), "--bootstrap", bootstrap.to_str().unwrap()]);
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(4), ""), "{options:?}");
        assert!(
            refused.stderr.contains(why) && refused.stderr.contains("--kernel-mountable"),
            "{}",
            refused.stderr
        );
        assert!(!bootstrap.exists());
        fs::remove_dir_all(nydus).unwrap();
    }
    let oci = run(["mount-cmd", &latest(&source), "--bootstrap", bootstrap.to_str().unwrap()]);
    assert_eq!(oci.code, Some(4), "{}", oci.stderr);
}

#[test]
fn options_that_do_not_go_together() {
    let dir = tempdir().unwrap();
    let (source, target) =
        (latest(&crate::support::fixtures().join("small")), latest(&dir.path().join("nydus")));
    for option in ["--compressor=zstd", "--fs-version=5", "--batch-size=64KiB"] {
        let refused = run(["to-nydus", &source, &target, "--kernel-mountable", option]);
        let name = option.split('=').next().unwrap();
        assert_eq!(refused.code, Some(2), "{option}: {}", refused.stderr);
        assert!(refused.stderr.contains(name), "{}", refused.stderr);
    }
}
