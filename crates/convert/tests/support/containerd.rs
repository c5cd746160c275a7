//! containerd with the nydus snapshotter, all of it below one directory: nothing of the machine's own containerd is
//! touched.
//!
//! ```text
//! crictl ─► containerd ─► containerd-nydus-grpc ─► nydusd ─► registry     pull: manifest, config, bootstrap
//! ctr    ─► containerd ─► shim ─► runc ─► a program of the image          run: what the program touches
//! ```
//!
//! The pull goes through the interface of Kubernetes because containerd tells a snapshotter only there which image and
//! which layer a snapshot belongs to; `ctr image pull` of containerd 1.6 fetches all layers before it asks.

use super::tools::Tool;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What a test of the chain has to [`require!`](super::require) beside what it needs itself.
macro_rules! require_containerd {
    ($($name:expr),* $(,)?) => {
        $crate::support::require!(
            "containerd", "ctr", "crictl", "containerd-shim-runc-v2", "runc", "containerd-nydus-grpc", "nydusd",
            "umount", "root" $(, $name)*
        );
    };
}
pub(crate) use require_containerd;

/// A running containerd. Dropping it ends it and all that it started, and unmounts what these mounted.
pub struct Containerd {
    dir: TempDir,
    processes: Vec<Child>,
    runs: u32,
}

impl Containerd {
    /// Starts the snapshotter and containerd for images of the registry at `host`, which speaks plain HTTP.
    /// The tools are those of [`require_containerd!`].
    pub fn start(host: &str) -> Containerd {
        let dir = TempDir::new().unwrap();
        write_configuration(dir.path(), host);
        let mut containerd = Containerd { dir, processes: Vec::new(), runs: 0 };
        let socket = containerd.path("snapshotter.sock");
        containerd.spawn("containerd-nydus-grpc", "snapshotter.toml", &|| socket.exists());
        let client = containerd.ctr(&["version"]);
        containerd.spawn("containerd", "containerd.toml", &|| {
            let mut command = Command::new(client.get_program());
            command.args(client.get_args()).output().is_ok_and(|output| output.status.success())
        });
        containerd
    }

    /// Pulls an image, as a kubelet does.
    pub fn pull(&self, image: &str) {
        let endpoint = format!("unix://{}", self.path("containerd.sock").display());
        let mut command = Tool::get("crictl").command();
        command.args(["--timeout", "120s", "--runtime-endpoint", &endpoint, "--image-endpoint", &endpoint]);
        self.output(command.args(["pull", image]));
    }

    /// Runs a program in a new container of a pulled image and gives what it printed.
    pub fn run(&mut self, image: &str, program: &[&str]) -> String {
        self.runs += 1;
        // Also the control group's name: without one of its own, one of the namespace stays behind.
        let name = format!("nydus-convert-{}-{}", std::process::id(), self.runs);
        let mut command = self.ctr(&["--namespace", "k8s.io", "run", "--rm", "--snapshotter", "nydus"]);
        command.arg("--runc-root").arg(self.path("runc")).args(["--cgroup", &format!("/{name}")]);
        command.args([image, &name]).args(program);
        self.output(&mut command)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn ctr(&self, args: &[&str]) -> Command {
        let mut command = Tool::get("ctr").command();
        command.arg("--address").arg(self.path("containerd.sock")).args(args);
        command
    }

    /// Runs a client to its end. What the servers logged is part of the complaint.
    fn output(&self, command: &mut Command) -> String {
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(
            output.status.success(),
            "{command:?}: {}\n{}{}\n{}",
            output.status,
            text(&output.stdout),
            text(&output.stderr),
            self.logs()
        );
        text(&output.stdout)
    }

    fn spawn(&mut self, program: &str, configuration: &str, is_ready: &dyn Fn() -> bool) {
        let log = File::create(self.path(&format!("{program}.log"))).unwrap();
        let mut command = Tool::get(program).command();
        command.arg("--config").arg(self.path(configuration));
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.processes.push(command.spawn().unwrap());
        let started = Instant::now();
        while !is_ready() {
            let ended = self.processes.last_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "{program} ended with {ended:?}\n{}", self.logs());
            assert!(started.elapsed() < Duration::from_secs(60), "{program} is not ready\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn logs(&self) -> String {
        let mut all = String::new();
        for program in ["containerd", "containerd-nydus-grpc"] {
            let log = fs::read_to_string(self.path(&format!("{program}.log"))).unwrap_or_default();
            all.push_str(&format!("--- {program}\n{log}"));
        }
        all
    }
}

impl Drop for Containerd {
    /// containerd first, which uses the snapshotter, which ends its daemons; then whatever a failed test has left.
    fn drop(&mut self) {
        for child in self.processes.iter_mut().rev() {
            let _ = kill_process(Pid::from_child(child), Signal::TERM);
            let started = Instant::now();
            while matches!(child.try_wait(), Ok(None)) && started.elapsed() < Duration::from_secs(20) {
                std::thread::sleep(Duration::from_millis(10));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        // Shims and daemons have the directory, which is this test's alone, in their command lines.
        for process in processes_naming(self.dir.path()) {
            let _ = kill_process(process, Signal::KILL);
        }
        for mount in mounts_below(self.dir.path()).iter().rev() {
            let _ = Command::new(Tool::get("umount").path()).arg("-l").arg(mount).output();
        }
    }
}

fn write_configuration(dir: &Path, host: &str) {
    let at = |name: &str| dir.join(name).display().to_string();
    // JSON strings are TOML strings.
    let quoted = |name: &str| serde_json::Value::from(at(name)).to_string();
    let hosts = dir.join("registries").join(host);
    fs::create_dir_all(&hosts).unwrap();
    fs::write(hosts.join("hosts.toml"), format!("server = \"http://{host}\"\n")).unwrap();

    let daemon = serde_json::json!({
        "device": {
            "backend": { "type": "registry", "config": { "scheme": "http", "timeout": 30, "connect_timeout": 5 } },
            "cache": { "type": "blobcache" },
        },
        "mode": "direct",
        "enable_xattr": true,
        "fs_prefetch": { "enable": false },
    });
    fs::write(dir.join("nydusd.json"), daemon.to_string()).unwrap();
    // See `nydusd.rs` for the limit.
    let nydusd = Tool::get("nydusd").path().display().to_string();
    fs::write(dir.join("nydusd"), format!("#!/bin/sh\nexec '{nydusd}' \"$@\" --rlimit-nofile 0\n")).unwrap();
    fs::set_permissions(dir.join("nydusd"), fs::Permissions::from_mode(0o755)).unwrap();

    let snapshotter = format!(
        "version = 1
root = {root}
address = {socket}
daemon_mode = \"dedicated\"
cleanup_on_close = true
[system]
enable = false
[daemon]
nydusd_path = {nydusd}
nydusd_config = {configuration}
fs_driver = \"fusedev\"
recover_policy = \"none\"
[cgroup]
enable = false
[log]
log_to_stdout = true
[metrics]
address = \"\"
",
        root = quoted("snapshots"),
        socket = quoted("snapshotter.sock"),
        nydusd = quoted("nydusd"),
        configuration = quoted("nydusd.json"),
    );
    fs::write(dir.join("snapshotter.toml"), snapshotter).unwrap();

    let containerd = format!(
        "version = 2
root = {root}
state = {state}
[grpc]
address = {socket}
[proxy_plugins.nydus]
type = \"snapshot\"
address = {snapshotter}
[plugins.\"io.containerd.grpc.v1.cri\".containerd]
snapshotter = \"nydus\"
disable_snapshot_annotations = false
[plugins.\"io.containerd.grpc.v1.cri\".registry]
config_path = {registries}
[plugins.\"io.containerd.grpc.v1.cri\".cni]
conf_dir = {network}
[plugins.\"io.containerd.internal.v1.opt\"]
path = {opt}
",
        root = quoted("root"),
        state = quoted("state"),
        socket = quoted("containerd.sock"),
        snapshotter = quoted("snapshotter.sock"),
        registries = quoted("registries"),
        network = quoted("network"),
        opt = quoted("opt"),
    );
    fs::write(dir.join("containerd.toml"), containerd).unwrap();
}

/// Mount points below a directory, in the order in which they were mounted.
fn mounts_below(dir: &Path) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    points.filter(|point| point.starts_with(dir)).collect()
}

fn processes_naming(dir: &Path) -> Vec<Pid> {
    let dir = dir.as_os_str().as_encoded_bytes();
    let names = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.windows(dir.len()).any(|window| window == dir)
    };
    let pids =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    pids.filter(names).filter_map(Pid::from_raw).collect()
}
