//! What a target's name holds is not replaced by mistake: its own source, or an image of the other kind.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::tempdir;

use crate::support::cli::{Run, latest, run};
use crate::support::oci::{Compression, Layer, Layout};
use crate::support::tars::Tar;

fn layout(path: &Path, content: &str) {
    let layer = Layer::new(Tar::new().file("a", content).finish());
    Layout::of([Layer { compression: Compression::None, ..layer }]).write(path);
}

/// Runs of one after the other, on layouts `oci` and `other` with a plain image and others that are made: the verb with its
/// options, source, target, and what stderr says if that is refused.
const RUNS: &[(&[&str], &str, &str, Option<&str>)] = &[
    (&["to-nydus"], "oci", "oci", Some("is the source and the target")),
    (&["to-nydus"], "oci", "other/../oci", Some("is the source and the target")),
    (&["to-nydus"], "oci", "nydus", None),
    (&["to-nydus"], "other", "nydus", None),
    (&["to-nydus"], "oci", "other", Some("holds an OCI image, which a Nydus image would replace")),
    // The arguments swapped.
    (&["to-oci"], "oci", "nydus", Some("holds a Nydus image, which an OCI image would replace")),
    (&["to-nydus"], "nydus", "oci", Some("holds an OCI image")),
    (&["to-oci"], "nydus", "nydus", Some("is the source and the target")),
    (&["to-oci"], "nydus", "back", None),
    (&["to-oci"], "nydus", "back", None),
    (&["to-oci"], "nydus", "other", None),
    // A link, archives, an index.
    (&["to-nydus"], "oci", "link", Some("is the source and the target")),
    (&["to-nydus"], "other", "link", Some("holds an OCI image")),
    (&["to-nydus"], "oci", "nydus.tar", None),
    (&["to-nydus"], "other", "nydus.tar", None),
    (&["to-oci"], "nydus.tar", "nydus.tar", Some("is the source and the target")),
    (&["to-oci"], "oci", "nydus.tar", Some("holds a Nydus image")),
    (&["to-oci"], "nydus", "oci.tar", None),
    (&["to-nydus"], "oci", "oci.tar", Some("holds an OCI image")),
    (&["to-nydus", "--index", "with-oci"], "oci", "both", None),
    (&["to-oci"], "both", "oci", None),
    (&["to-oci"], "nydus", "both", Some("holds a Nydus image")),
    (&["to-oci", "--force"], "nydus", "nydus", None),
    (&["to-nydus", "--force"], "oci", "oci", None),
];

/// The image at `path`: an archive by its name, else a layout.
fn reference(path: &Path) -> String {
    match path.extension() {
        Some(_) => format!("oci-archive:{}:latest", path.display()),
        None => latest(path),
    }
}

/// What is there, whole.
fn held(path: &Path) -> Option<Vec<u8>> {
    let file = if path.is_dir() { path.join("index.json") } else { path.to_owned() };
    fs::read(file).ok()
}

#[test]
fn opposites_and_sources() {
    let dir = tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    layout(&at("oci"), "one");
    layout(&at("other"), "two");
    symlink(at("oci"), at("link")).unwrap();
    for (verb, source, target, refused) in RUNS {
        let before = held(&at(target));
        let names = [reference(&at(source)), reference(&at(target))];
        let Run { code, stderr, .. } = run(verb.iter().map(|arg| (*arg).to_owned()).chain(names));
        let what = format!("{verb:?} {source} {target}: {stderr}");
        match refused {
            None => assert_eq!(code, Some(0), "{what}"),
            Some(words) => {
                assert_eq!(code, Some(2), "{what}");
                assert!(stderr.contains(words) && stderr.contains("--force"), "{what}");
                assert_eq!(before, held(&at(target)), "{what}");
            }
        }
    }
}

#[test]
fn other_tags_and_streams_are_others() {
    let dir = tempdir().unwrap();
    let source = dir.path().join("oci");
    layout(&source, "one");
    let beside = format!("oci:{}:nydus", source.display());
    let run = run(["to-nydus", &latest(&source), &beside]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
}
