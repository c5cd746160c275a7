//! The converter library of containerd's nydus-snapshotter, as `converter/main.go` calls it, with a builder of choice.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::OnceLock;

/// The program, built.
pub struct Converter(PathBuf);

/// What a run printed.
pub struct Ran {
    pub ok: bool,
    pub stdout: String,
    pub stderr: String,
}

impl Converter {
    /// The program, built once. `None`: its modules are out of reach, which `CI=true` does not forgive.
    pub fn get() -> Option<&'static Converter> {
        static BUILT: OnceLock<Option<Converter>> = OnceLock::new();
        BUILT.get_or_init(Converter::build).as_ref()
    }

    fn build() -> Option<Converter> {
        super::go::build("tests/support/converter").map(Converter)
    }

    /// Runs it with `NYDUS_BUILDER` set.
    pub fn run<S: AsRef<std::ffi::OsStr>>(&self, builder: &Path, args: &[S]) -> Ran {
        let mut command = std::process::Command::new(&self.0);
        let Output { status, stdout, stderr } =
            command.args(args).env("NYDUS_BUILDER", builder).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ran { ok: status.success(), stdout: text(stdout), stderr: text(stderr) }
    }

    /// Runs it and demands success.
    pub fn ok<S: AsRef<std::ffi::OsStr>>(&self, builder: &Path, args: &[S]) -> String {
        let ran = self.run(builder, args);
        assert!(ran.ok, "{}{}", ran.stdout, ran.stderr);
        ran.stdout
    }
}

/// A link named `nydus-image` to our program, in `dir`.
pub fn our_builder(dir: &Path) -> PathBuf {
    let link = dir.join("nydus-image");
    if !link.exists() {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_nydus-convert"), &link).unwrap();
    }
    link
}
