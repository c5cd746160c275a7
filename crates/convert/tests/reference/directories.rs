//! Directories whose entries just fill their blocks, or just do not: clients find every name in them.

use crate::support::cli::{convert, extract_bootstrap, latest, ok};
use crate::support::nydusd::Nydusd;
use crate::support::oci::{Compression, Layer, Layout};
use crate::support::tars::Tar;
use crate::support::tree::{Ignore, Tree};
use crate::support::umoci;
use tempfile::tempdir;

/// Directories of one block and of two, with every size around that of full blocks.
fn layer() -> Vec<u8> {
    let mut tar = Tar::new();
    // Entries of 32 bytes behind the dots' 27: with a last name of 25 bytes they fill a block, with one of 20 the second.
    for (count, full) in [(126, 25), (254, 20)] {
        for length in full - 3..=full + 3 {
            let dir = format!("{count}-{length}");
            tar = tar.dir(&dir, 0o755).file(&format!("{dir}/{}", "z".repeat(length)), "last");
            for number in 0..count {
                tar = tar.file(&format!("{dir}/name-of-20-bytes-{number:03}"), "");
            }
        }
    }
    tar.finish()
}

#[test]
fn every_name_is_found() {
    crate::support::require!("nydusd", "umoci", "root");
    let dir = tempdir().unwrap();
    let (source, nydus) = (dir.path().join("oci"), dir.path().join("nydus"));
    Layout::of([Layer { compression: Compression::None, ..Layer::new(layer()) }]).write(&source);
    let expected = Tree::read(&umoci::unpack(&source, "latest", &dir.path().join("bundle")));
    for version in ["6", "5"] {
        let report = convert(&source, &nydus, &["--fs-version", version]);
        ok(["check", "-q", &latest(&nydus)]);
        let digest = report["digest"].as_str().unwrap();
        let bootstrap = extract_bootstrap(&nydus, digest, &dir.path().join("image.boot"));
        let daemon = Nydusd::mount(&bootstrap, &nydus.join("blobs/sha256")).unwrap();
        let ignore = Ignore { mtime_of: vec![Vec::new()], ..Ignore::default() };
        let differences = Tree::read(&daemon.root()).diff(&expected, &ignore);
        assert!(differences.is_empty(), "version {version}: {differences:#?}");
        assert!(daemon.unmount().success());
    }
}
