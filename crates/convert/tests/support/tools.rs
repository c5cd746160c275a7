//! Finding the programs that tests drive, and what happens when one is missing.
//!
//! A program is looked for in `bin/` of the cache root, where `.ci/tools` installs what no distribution
//! packages, and then in `PATH`. Cache root: `$NYDUS_CONVERT_CI_CACHE`, else
//! `$XDG_CACHE_HOME/nydus-convert-ci`, else `$HOME/.cache/nydus-convert-ci`.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A program of this machine.
#[derive(Clone, Debug)]
pub struct Tool {
    path: PathBuf,
}

impl Tool {
    /// The program `name`, or `None` where this machine has none.
    pub fn find(name: &str) -> Option<Tool> {
        let path = env::var_os("PATH").unwrap_or_default();
        // Administrators' tools (debootstrap) are not in every user's PATH.
        let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
        std::iter::once(cache_root().join("bin"))
            .chain(env::split_paths(&path))
            .chain(system)
            .map(|dir| dir.join(name))
            .find(|file| rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok() && file.is_file())
            .map(|path| Tool { path })
    }

    /// The program `name`. Panics if it is missing: for use behind [`require!`].
    pub fn get(name: &str) -> Tool {
        Tool::find(name).unwrap_or_else(|| panic!("{name} not found; .ci/tools installs it"))
    }

    /// Where the program is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A command for this program: no standard input, C locale.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.stdin(Stdio::null()).env("LC_ALL", "C.UTF-8");
        command
    }

    /// Runs the program to its end and gives what it printed. Panics with its messages if it fails.
    pub fn run<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, args: I) -> Output {
        let mut command = self.command();
        command.args(args);
        let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        assert!(
            output.status.success(),
            "{command:?}: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        output
    }
}

/// Where tools and made images are kept from run to run (see the module).
pub fn cache_root() -> PathBuf {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("NYDUS_CONVERT_CI_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|dir| dir.join("nydus-convert-ci")))
        .or_else(|| set("HOME").map(|dir| dir.join(".cache/nydus-convert-ci")))
        .unwrap_or_else(|| env::temp_dir().join("nydus-convert-ci"))
}

/// Whether every tool of `names` is here; `"root"` in the list asks for the user root instead of a program.
/// What is missing is told on stderr, as `SKIP <test>: <tool> not found`; with `CI=true` it panics.
pub fn available(names: &[&str]) -> bool {
    let have = |name: &str| if name == "root" { is_root() } else { Tool::find(name).is_some() };
    let missing: Vec<&str> = names.iter().copied().filter(|name| !have(name)).collect();
    if missing.is_empty() {
        return true;
    }
    // The test runner names a test's thread after the test.
    let thread = std::thread::current();
    let reason = format!("{}: {} not found", thread.name().unwrap_or("test"), missing.join(", "));
    assert!(env::var_os("CI").is_none_or(|ci| ci != "true"), "CI must not skip {reason}");
    // Straight to stderr: what eprintln! prints, the test runner swallows when a test passes.
    let _ = writeln!(io::stderr(), "SKIP {reason}");
    false
}

fn is_root() -> bool {
    // The directory belongs to the process's effective user.
    fs::metadata("/proc/self").is_ok_and(|stat| stat.uid() == 0)
}

/// `require!("skopeo", "root")` returns from the calling test when something is missing; see [`available`].
macro_rules! require {
    ($($name:expr),+ $(,)?) => {
        if !$crate::support::tools::available(&[$($name),+]) {
            return;
        }
    };
}
pub(crate) use require;
