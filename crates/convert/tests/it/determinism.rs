//! The output is a function of input bytes, options and version: not of threads, umask, directory or the run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::cli::{latest, snapshot};
use crate::support::oci::{Layer, Layout};
use crate::support::tars::Tar;
use tempfile::tempdir;

/// Layers of many sizes: small files that travel in groups, large ones of several chunks, duplicates within and across.
fn layers() -> Vec<Layer> {
    (0..5_u32)
        .map(|layer| {
            let mut tar = Tar::new().dir("d", 0o755);
            for file in 0..300_u32 {
                let seed = if file % 3 == 0 { 0 } else { layer + 1 };
                let words = (file * file * 17 % 40_000) as usize;
                let content: Vec<u8> = (0..words as u32)
                    .flat_map(|n| (n.wrapping_mul(seed + file) >> 3).to_le_bytes())
                    .collect();
                tar = tar.file(&format!("d/{layer}-{file}"), content);
            }
            Layer::new(tar.finish())
        })
        .collect()
}

fn content(dir: &Path) -> BTreeMap<PathBuf, String> {
    let relative = |(path, state): (PathBuf, String)| (path.strip_prefix(dir).unwrap().to_owned(), state);
    // Modes are the umask's business.
    let without_mode = |state: String| state.split_once(' ').unwrap().1.to_owned();
    snapshot(dir)
        .into_iter()
        .map(relative)
        // The size of a directory is the file system's business.
        .filter(|(path, _)| dir.join(path).is_file())
        .map(|(path, state)| (path, without_mode(state)))
        .collect()
}

#[test]
fn threads_umask_directory_and_run_do_not_show() {
    let dir = tempdir().unwrap();
    let source = dir.path().join("oci");
    Layout::of(layers()).write(&source);
    let mut first: Option<BTreeMap<PathBuf, String>> = None;
    for (number, (jobs, parallel, umask, memory)) in [
        ("1", "1", "022", "64MiB"),
        ("2", "2", "022", "64MiB"),
        ("3", "1", "077", "1MiB"),
        ("8", "4", "000", "64MiB"),
        ("8", "4", "022", "16MiB"),
        ("1", "5", "022", "64MiB"),
    ]
    .into_iter()
    .enumerate()
    {
        let target = dir.path().join(format!("somewhere-{number}")).join("nydus");
        std::fs::create_dir(target.parent().unwrap()).unwrap();
        let status = Command::new("sh")
            .args(["-c", "umask $0; exec \"$@\"", umask])
            .arg(env!("CARGO_BIN_EXE_nydus-convert"))
            .args([
                "to-nydus",
                "-q",
                "--no-store",
                "--chunk-size",
                "16KiB",
                "-j",
                jobs,
                "--parallel-layers",
                parallel,
            ])
            .args(["--max-memory", memory, &latest(&source), &latest(&target)])
            .current_dir(target.parent().unwrap())
            .status()
            .unwrap();
        assert!(status.success());
        let content = content(&target);
        assert_eq!(content.len(), 2 + 5 + 3, "layout files, blobs, bootstrap layer, config, manifest");
        match &first {
            None => first = Some(content),
            Some(first) => assert_eq!(&content, first, "{jobs} jobs, {parallel} layers, umask {umask}"),
        }
    }
}
