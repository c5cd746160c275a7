//! A RAFS image mounted by the reference daemon over FUSE.
//!
//! The daemon (nydusd 2.2) needs: the merged bootstrap as a file; a directory in which each blob stream is a file named
//! by its blob id (in an OCI layout of ours `blobs/sha256` is that directory as it stands); for RAFS v6 a file cache
//! with a directory of its own; `enable_xattr`, without which it has no xattrs at all; and `--rlimit-nofile 0` where
//! the hard limit is below the million descriptors it asks for otherwise. Cache validation is on: every chunk is
//! checked against its digest before it is served.

use super::tools::Tool;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A mounted image. Dropping it unmounts, reaps the daemon and removes all it wrote.
pub struct Nydusd {
    child: Child,
    dir: TempDir,
}

impl Nydusd {
    /// Mounts `bootstrap`, whose blobs are files of `blob_dir` named by blob id.
    /// Needs root, `/dev/fuse` and the tool `nydusd`. The error is what the daemon logged.
    pub fn mount(bootstrap: &Path, blob_dir: &Path) -> Result<Nydusd, String> {
        Nydusd::mount_with(bootstrap, blob_dir, &serde_json::json!({ "enable": false }))
    }

    /// The same with the daemon's settings for prefetching: the file system asks for it, the cache does it.
    pub fn mount_with(
        bootstrap: &Path,
        blob_dir: &Path,
        prefetch: &serde_json::Value,
    ) -> Result<Nydusd, String> {
        let dir = TempDir::new().unwrap();
        for name in ["mnt", "cache"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        // Only bootstraps of v5 have digests of inodes; the daemon refuses to check those of v6.
        let is_v5 = fs::read(bootstrap).unwrap().starts_with(b"SFAR");
        let config = serde_json::json!({
            "version": 2,
            "backend": { "type": "localfs", "localfs": { "dir": blob_dir } },
            "cache": {
                "type": "filecache",
                "validate": true,
                "prefetch": prefetch,
                "filecache": { "work_dir": dir.path().join("cache") },
            },
            "rafs": { "mode": "direct", "enable_xattr": true, "validate": is_v5, "prefetch": prefetch },
        });
        fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
        let log = File::create(dir.path().join("log")).unwrap();
        let child = Tool::get("nydusd")
            .command()
            .args(["fuse", "--rlimit-nofile", "0", "--log-level", "warn", "--config"])
            .arg(dir.path().join("config.json"))
            .arg("--bootstrap")
            .arg(bootstrap)
            .arg("--mountpoint")
            .arg(dir.path().join("mnt"))
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut daemon = Nydusd { child, dir };
        daemon.wait_until_mounted().map(|()| daemon)
    }

    /// The root of the mounted image.
    pub fn root(&self) -> PathBuf {
        self.dir.path().join("mnt")
    }

    /// Where the daemon keeps what it has fetched.
    pub fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    /// All that the daemon has logged so far, warnings and errors.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Unmounts and gives the daemon's exit status, which is success for a clean life.
    pub fn unmount(mut self) -> ExitStatus {
        self.stop()
    }

    fn wait_until_mounted(&mut self) -> Result<(), String> {
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(60) {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Err(format!("nydusd ended with {status}\n{}", self.log()));
            }
            if self.is_mounted() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err(format!("nydusd mounted nothing in 60 s\n{}", self.log()))
    }

    /// A mount point is on another device than its parent.
    fn is_mounted(&self) -> bool {
        let device = |path: &Path| fs::metadata(path).map(|stat| stat.dev()).ok();
        device(&self.root()).is_some_and(|mounted| Some(mounted) != device(self.dir.path()))
    }

    /// Unmounting ends the daemon; if it does not, or files are still open, it is killed and the mount detached.
    fn stop(&mut self) -> ExitStatus {
        let root = self.root();
        let umount = |lazily: bool| {
            if let Some(umount) = Tool::find("umount") {
                let _ = umount.command().args(lazily.then_some("-l")).arg(&root).output();
            }
        };
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(10) {
            if self.is_mounted() {
                // Busy for a moment where a test beside this one just forked: its child has our files open until it
                // becomes another program.
                umount(false);
            } else if let Ok(Some(status)) = self.child.try_wait() {
                return status;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        umount(true);
        self.child.wait().unwrap()
    }
}

impl Drop for Nydusd {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        self.stop();
    }
}
