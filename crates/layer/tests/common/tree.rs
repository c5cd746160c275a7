//! A real directory, and the comparison of a tar with it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, FileTimes};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use nydus_convert_layer::{Entry, EntryKind};
use nydus_convert_rafs::Timestamp;
use rustix::fs::{CWD, Dev, FileType, Mode, XattrFlags};

/// Whether a program is there. On the build server it has to be; elsewhere a test may go without, and says so.
pub fn have(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
    if !found {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{program} is missing");
        eprintln!("skipped: no {program} on this machine");
    }
    found
}

/// Runs a program, which must not fail; returns what it wrote.
pub fn run(command: &mut Command) -> Vec<u8> {
    let output = command.env("LC_ALL", "C").output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A directory under construction. What needs privileges is left out without them.
pub struct Tree {
    directory: tempfile::TempDir,
}

impl Tree {
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub fn root(&self) -> &Path {
        self.directory.path()
    }

    pub fn path(&self, name: impl AsRef<[u8]>) -> PathBuf {
        self.root().join(OsStr::from_bytes(name.as_ref()))
    }

    /// A file, and the directories above it.
    pub fn file(&self, name: impl AsRef<[u8]>, content: &[u8]) -> &Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    /// What every dialect can hold.
    pub fn plain() -> Self {
        let tree = Self::new();
        tree.file("usr/bin/tool", &[0x7f; 3000])
            .file("empty", b"")
            .file("block", &[5; 512])
            .file("etc/.wh.gone", b"");
        fs::create_dir(tree.path("void")).unwrap();
        fs::hard_link(tree.path("block"), tree.path("usr/hard")).unwrap();
        symlink("../block", tree.path("usr/soft")).unwrap();
        symlink("nowhere", tree.path("dangling")).unwrap();
        fs::hard_link(tree.path("dangling"), tree.path("dangling too")).unwrap();
        // What nobody may read, root alone can archive.
        let unreadable = if rustix::process::geteuid().is_root() { 0 } else { 0o400 };
        for (name, mode) in
            [("usr/bin/tool", 0o4755), ("empty", unreadable), ("void", 0o1777), ("block", 0o640)]
        {
            fs::set_permissions(tree.path(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        tree.own("usr/bin/tool", 1000, 50);
        tree.time("usr/bin/tool", 1_234_567_890, 0);
        tree
    }

    /// And what ustar can: longer names, special files.
    pub fn special() -> Self {
        let tree = Self::plain();
        let long = format!("{}/{}", "d".repeat(90), "f".repeat(99));
        tree.file(&long, b"long").file(b"not\nall/n\xc3\xa4mes/are \xff\\fine", b"odd");
        rustix::fs::mknodat(CWD, tree.path("fifo"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        if rustix::process::geteuid().is_root() {
            for (name, kind, number) in [
                ("null", FileType::CharacterDevice, rustix::fs::makedev(1, 3)),
                ("whiteout", FileType::CharacterDevice, 0),
                ("disk", FileType::BlockDevice, rustix::fs::makedev(259, 70_000)),
            ] {
                let mode = Mode::from_raw_mode(0o666);
                if rustix::fs::mknodat(CWD, tree.path(name), kind, mode, number as Dev).is_err() {
                    eprintln!("left out: devices");
                }
            }
        }
        tree
    }

    /// And what only GNU and PAX can: names of any length, large numbers.
    pub fn large() -> Self {
        let tree = Self::special();
        let name = "n".repeat(255);
        let long = format!("{name}/{name}/{name}/{name}");
        tree.file(&long, b"very long");
        fs::hard_link(tree.path(&long), tree.path("to-long")).unwrap();
        symlink("t/".repeat(1000), tree.path("long-target")).unwrap();
        symlink(OsStr::from_bytes(b"odd\n\xff"), tree.path("odd-target")).unwrap();
        tree.own("empty", 3_000_000, 4_000_000_000);
        tree
    }

    /// And times of any distance.
    pub fn wild() -> Self {
        let tree = Self::large();
        tree.time("block", 10_000_000_000, 999_999_999);
        tree.time("empty", -86_400, 250_000_000);
        tree.time("void", -1, 1);
        tree
    }

    fn own(&self, name: &str, uid: u32, gid: u32) {
        if rustix::process::geteuid().is_root() {
            let path = self.path(name);
            let mode = fs::metadata(&path).unwrap().permissions();
            std::os::unix::fs::chown(&path, Some(uid), Some(gid)).unwrap();
            // A change of owner takes set-id bits away.
            fs::set_permissions(&path, mode).unwrap();
        }
    }

    fn time(&self, name: &str, seconds: i64, nanos: u32) {
        let distance = Duration::from_secs(seconds.unsigned_abs());
        let whole = if seconds < 0 { UNIX_EPOCH - distance } else { UNIX_EPOCH + distance };
        let times = FileTimes::new().set_modified(whole + Duration::from_nanos(nanos.into()));
        File::open(self.path(name)).unwrap().set_times(times).unwrap();
    }

    /// Sets an extended attribute; `false` if the file system has none.
    pub fn xattr(&self, file: &str, name: &str, value: &[u8]) -> bool {
        rustix::fs::lsetxattr(self.path(file), name, value, XattrFlags::empty()).is_ok()
    }

    /// Compares every entry with the file of that name. Each file must have come once.
    pub fn check(&self, entries: &[(Entry, Vec<u8>)], with_nanos: bool) {
        let mut found = BTreeMap::new();
        for (entry, content) in entries {
            let path = self.path(entry.path.as_bytes());
            self.check_entry(entry, content, &path, with_nanos);
            assert!(found.insert(path, ()).is_none(), "{} twice", entry.path);
        }
        let mut expected = BTreeMap::new();
        walk(self.root(), &mut expected);
        assert_eq!(found, expected);
    }

    fn check_entry(&self, entry: &Entry, content: &[u8], path: &Path, with_nanos: bool) {
        let stat = fs::symlink_metadata(path).unwrap();
        let (metadata, kind) = (&entry.metadata, stat.file_type());
        let device = |number: nydus_convert_rafs::DeviceNumber| {
            rustix::fs::makedev(number.major, number.minor) == stat.rdev() as Dev
        };
        let rustix_kind = FileType::from_raw_mode(stat.mode());
        let same = match &entry.kind {
            EntryKind::Regular { size } => {
                let expected = if kind.is_file() { fs::read(path).unwrap() } else { panic!("{path:?}") };
                *size == stat.len() && content == expected
            }
            EntryKind::Directory => kind.is_dir(),
            EntryKind::Symlink { target } => fs::read_link(path).unwrap().as_os_str().as_bytes() == target,
            EntryKind::HardLink { target } => {
                fs::symlink_metadata(self.path(target.as_bytes())).unwrap().ino() == stat.ino()
            }
            EntryKind::CharDevice(number) => rustix_kind == FileType::CharacterDevice && device(*number),
            EntryKind::BlockDevice(number) => rustix_kind == FileType::BlockDevice && device(*number),
            EntryKind::Fifo => rustix_kind == FileType::Fifo,
            EntryKind::Unsupported { .. } => false,
        };
        assert!(same, "{entry:?}");
        assert_eq!(
            (u32::from(metadata.mode), metadata.uid, metadata.gid),
            (stat.mode() & 0o7777, stat.uid(), stat.gid())
        );
        let nanos = if with_nanos { stat.mtime_nsec() as u32 } else { 0 };
        assert_eq!(metadata.mtime, Timestamp { seconds: stat.mtime(), nanos }, "{}", entry.path);
    }
}

fn walk(directory: &Path, found: &mut BTreeMap<PathBuf, ()>) {
    found.insert(directory.join(""), ());
    for item in fs::read_dir(directory).unwrap() {
        let path = item.unwrap().path();
        if path.symlink_metadata().unwrap().is_dir() {
            walk(&path, found);
        } else {
            found.insert(path, ());
        }
    }
}
