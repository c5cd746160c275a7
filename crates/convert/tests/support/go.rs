//! Go programs of this repository, built with modules that Go fetches.

use std::fs;
use std::path::{Path, PathBuf};

use super::tools::Tool;

/// The program whose sources are in `directory` of this crate. `None`: its modules are out of reach, which `CI=true`
/// does not forgive.
pub fn build(directory: &str) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join(source.file_name().unwrap());
    fs::create_dir_all(&target).unwrap();
    for file in ["go.mod", "go.sum", "main.go"] {
        fs::copy(source.join(file), target.join(file)).unwrap();
    }
    let mut go = Tool::get("go").command();
    go.args(["build", "-o", "program", "."]).current_dir(&target);
    let built = go.env("GOFLAGS", "-mod=readonly").output().unwrap();
    if !built.status.success() {
        let reason = String::from_utf8_lossy(&built.stderr).into_owned();
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{reason}");
        eprintln!("SKIP {directory}: {reason}");
        return None;
    }
    Some(target.join("program"))
}
