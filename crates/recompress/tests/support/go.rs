//! The Go programs below `tests/encoders`, built by a toolchain and against modules of choice.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{have, run, skip};

/// A program that is there.
pub struct Program(PathBuf);

impl Program {
    /// The program `name`, built by the toolchain `version`, which Go fetches. `module` is the stem of its module files
    /// where there are several.
    ///
    /// `None`: Go, or what it fetches, is out of reach.
    pub fn build(name: &str, module: Option<&str>, version: &str) -> Option<Self> {
        if !have("go", "version") {
            return None;
        }
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/encoders").join(name);
        let place = format!("{name}-{}-{version}", module.unwrap_or_default());
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("encoders").join(place);
        fs::create_dir_all(&directory).unwrap();
        for (extension, file) in [("mod", "go.mod"), ("sum", "go.sum")] {
            let from = source.join(module.map_or(file.into(), |stem| format!("{stem}.{extension}")));
            if from.exists() {
                fs::copy(from, directory.join(file)).unwrap();
            }
        }
        fs::copy(source.join("main.go"), directory.join("main.go")).unwrap();
        let command = |args: &[&str]| {
            let mut go = Command::new("go");
            go.args(args).current_dir(&directory);
            // Flags of this machine's configuration that the oldest toolchains do not know are none of ours.
            go.env("GOTOOLCHAIN", format!("go{version}")).env("GOFLAGS", "-mod=readonly");
            go.output().unwrap()
        };
        // Go before 1.21 does not know about other toolchains.
        let said = command(&["version"]);
        if !String::from_utf8_lossy(&said.stdout).contains(&format!("go{version} ")) {
            skip(&format!("no Go {version}: {}", String::from_utf8_lossy(&said.stderr)));
            return None;
        }
        let built = command(&["build", "-o", "program", "main.go"]);
        if !built.status.success() {
            skip(&format!("{name} by Go {version}: {}", String::from_utf8_lossy(&built.stderr)));
            return None;
        }
        Some(Self(directory.join("program")))
    }

    pub fn run(&self, mode: &str, level: i32, number: usize, plain: &[u8]) -> Vec<u8> {
        run(&self.0, &[mode, &level.to_string(), &number.to_string()], plain)
    }
}
