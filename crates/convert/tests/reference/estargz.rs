//! Real eStargz layers, made by the library that image converters use, and referred to as they are (`--oci-ref`).

use std::io::Read;
use std::path::Path;
use std::process::Command;

use crate::support::cli::{latest, ok, ok_bytes};
use crate::support::oci::Layout;
use crate::support::referring::{Daemon, convert_and_return, layer, tars};
use crate::support::tree::{Kind, Tree};
use crate::support::{encoders, go, sha256_hex, umoci};
use flate2::read::MultiGzDecoder;
use tempfile::tempdir;

/// The layer of a tar: with a table of contents of its own, and a footer that is a gzip member without content.
fn estargz(program: &Path, mode: &str, least: &str, tar: &[u8]) -> Vec<u8> {
    let mut command = Command::new(program);
    command.args([mode, "9", least]);
    let stored = encoders::through(command, tar);
    let footer = &stored[stored.len() - 51..];
    assert!(footer.windows(6).any(|window| window == b"STARGZ"), "no footer");
    stored
}

/// Every file of the image, read by us, is what umoci unpacks; gives their number.
fn compare_contents(nydus: &Path, expected: &Tree) -> usize {
    let mut files = 0;
    for (path, node) in &expected.0 {
        if let Kind::File { sha256, .. } = &node.kind {
            let path = format!("/{}", String::from_utf8(path.clone()).unwrap());
            assert_eq!(&sha256_hex(&ok_bytes(["cat", &latest(nydus), &path])), sha256, "{path}");
            files += 1;
        }
    }
    files
}

#[test]
fn layers_of_the_library_are_referred_to() {
    crate::support::require!("go", "nydus-image", "nydusd", "umoci", "root");
    let Some(program) = go::build("../recompress/tests/encoders/estargz") else { return };
    // A member for every file, with the tar's bytes as they were and sorted anew; members with several files.
    for (mode, least) in [("append", "0"), ("build", "0"), ("build", "50000")] {
        let dir = tempdir().unwrap();
        let source = dir.path().join("oci");
        let layers = tars().map(|tar| {
            let (stored, mut plain) = (estargz(&program, mode, least, &tar), Vec::new());
            MultiGzDecoder::new(stored.as_slice()).read_to_end(&mut plain).unwrap();
            layer(&plain, stored)
        });
        Layout::of(layers).write(&source);
        // No chunk lies in two members, so the daemon of the reference serves them.
        convert_and_return(&source, &[], dir.path(), Daemon::Serves);
        let nydus = dir.path().join("nydus");
        let expected = Tree::read(&umoci::unpack(&source, "latest", &dir.path().join("expected")));
        assert!(compare_contents(&nydus, &expected) > 10, "{mode} {least}");
        // The table of contents is a file, or, where the tar's bytes are kept, behind the end of the tar.
        let listed = ok(["ls", &latest(&nydus)]).stdout;
        assert_eq!(listed.contains("stargz.index.json"), mode == "build", "{mode} {least}: {listed}");
    }
}
