//! Images of RAFS v5: what the reference does with them, and the way back. The table of all variants is in
//! `conformance.rs`; here is what only v5 has.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::cli::{blob, convert, extract_bootstrap, json as read_json, latest, ok, run};
use crate::support::nydusd::Nydusd;
use crate::support::oci::{Compression, Layer, Layout};
use crate::support::sha256_hex;
use crate::support::tars::Tar;
use crate::support::tools::Tool;
use crate::support::tree::{Ignore, Tree};
use crate::support::umoci;
use nydus_convert::rafs::{BlobFeatures, FsVersion, Image, InodeKind, parse};
use serde_json::Value;
use tar::EntryType;
use tempfile::tempdir;

/// Every type of inode, links to a file with attributes, a file that is replaced later in the same tar, and bytes that
/// belong to no file.
fn lower() -> Vec<u8> {
    let big: Vec<u8> = (0..300_000_u32).flat_map(|n| (n.wrapping_mul(n) >> 7).to_le_bytes()).collect();
    let mut tar = Tar::new()
        .dir("etc", 0o755)
        .file("etc/replaced", "what nobody will see".repeat(500))
        .file("etc/empty", "")
        .file("etc/big", &big)
        .pax(&[("SCHILY.xattr.user.a", b"1"), ("SCHILY.xattr.user.b", &[0, 10, 255])])
        .file("etc/attributes", "with attributes")
        .hard_link("etc/attributes-link", "etc/attributes")
        .hard_link("another-link", "etc/attributes")
        .symlink("etc/sym", "big")
        .special("etc/fifo", EntryType::Fifo, Some((0, 0)))
        .special("etc/null", EntryType::Char, Some((1, 3)))
        .special("etc/loop", EntryType::Block, Some((7, 0)))
        .file("etc/replaced", "new")
        .finish();
    tar.extend(b"behind the end of the tar".repeat(100));
    tar.resize(tar.len().next_multiple_of(10_240), 7);
    tar
}

fn upper() -> Vec<u8> {
    Tar::new()
        .dir("etc", 0o750)
        .file("etc/.wh.empty", "")
        // The lower layer has these bytes, but no file of it.
        .file("etc/more", "what nobody will see".repeat(500))
        .finish()
}

fn source(at: &Path) -> String {
    let layers = [lower(), upper()].map(|tar| Layer { compression: Compression::None, ..Layer::new(tar) });
    Layout::of(layers).write(at).digest
}

fn bootstrap_of(dir: &Path, layout: &Path, report: &Value) -> (PathBuf, Image) {
    let file = extract_bootstrap(layout, report["digest"].as_str().unwrap(), &dir.join("image.boot"));
    let (version, image) = parse(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(version, FsVersion::V5);
    (file, image)
}

#[test]
fn the_way_there_and_back() {
    let dir = tempdir().unwrap();
    let [oci, nydus, back] = ["oci", "nydus", "back"].map(|name| dir.path().join(name));
    let original = source(&oci);
    for options in [&[][..], &["--aligned-chunk"], &["--compressor", "none", "--chunk-size", "4KiB"]] {
        let report = convert(&oci, &nydus, &[&["--fs-version", "5"], options].concat());
        let manifest = read_json(&nydus, report["digest"].as_str().unwrap());
        let last = manifest["layers"].as_array().unwrap().last().unwrap();
        assert_eq!(last["annotations"]["containerd.io/snapshot/nydus-fs-version"], "5");

        let checked: Value = serde_json::from_str(&ok(["check", "--json", &latest(&nydus)]).stdout).unwrap();
        let stored: u64 = report["images"][0]["layers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|layer| layer["stored_chunks"].as_u64().unwrap())
            .sum();
        assert_eq!(checked["images"][0]["chunks"], stored, "every chunk is checked");
        assert_eq!(ok(["cat", &latest(&nydus), "/etc/replaced"]).stdout, "new");
        assert!(ok(["ls", &latest(&nydus), "/etc"]).stdout.contains("attributes-link"));

        let (_, image) = bootstrap_of(dir.path(), &nydus, &report);
        let aligned = options.contains(&"--aligned-chunk");
        for blob in &image.blobs {
            assert_eq!(blob.features.bits(), 0x5000_0000);
            let at =
                |alignment| blob.chunks.iter().all(|(_, chunk)| chunk.uncompressed_offset % alignment == 0);
            assert!(!blob.features.contains(BlobFeatures::ALIGNED) && at(4096) == aligned, "{options:?}");
        }

        let made: Value =
            serde_json::from_str(&ok(["to-oci", "--json", &latest(&nydus), &latest(&back)]).stdout).unwrap();
        assert_eq!((&made["digest"], &made["exact"]), (&original.clone().into(), &true.into()));
        for made in [&nydus, &back] {
            fs::remove_dir_all(made).unwrap();
        }
    }
    // Without records the files come back.
    convert(&oci, &nydus, &["--fs-version", "5", "--replay", "none"]);
    let listing = || ok(["ls", "--json", &latest(&nydus)]).stdout;
    let expected = listing();
    ok(["check", "-q", &latest(&nydus)]);
    ok(["to-oci", "-q", &latest(&nydus), &latest(&back)]);
    convert(&back, &nydus, &["--fs-version", "5"]);
    assert_eq!(listing(), expected);
}

#[test]
fn a_damaged_chunk_of_no_file_is_found() {
    let dir = tempdir().unwrap();
    let [oci, nydus] = ["oci", "nydus"].map(|name| dir.path().join(name));
    source(&oci);
    let report = convert(&oci, &nydus, &["--fs-version", "5", "--compressor", "none"]);
    let digest = report["images"][0]["layers"][0]["blob_digest"].as_str().unwrap();
    let mut bytes = blob(&nydus, digest);
    let wanted = b"behind the end of the tar";
    let at = bytes.windows(wanted.len()).position(|window| window == wanted).unwrap();
    bytes[at] ^= 1;
    fs::write(nydus.join("blobs").join(digest.replace(':', "/")), bytes).unwrap();
    assert_eq!(run(["check", "-q", &latest(&nydus)]).code, Some(3));
    assert_eq!(run(["to-oci", "-q", &latest(&nydus), &latest(&dir.path().join("back"))]).code, Some(3));
}

#[test]
fn the_reference_serves_what_umoci_unpacks() {
    crate::support::require!("nydus-image", "nydusd", "umoci", "root");
    let dir = tempdir().unwrap();
    let [oci, nydus] = ["oci", "nydus"].map(|name| dir.path().join(name));
    // umoci refuses what lies behind the end of a tar.
    let mut tar = lower();
    tar.truncate(
        tar.windows(1024).position(|window| window == [0; 1024]).unwrap().next_multiple_of(512) + 1024,
    );
    let layers = [tar, upper()].map(|tar| Layer { compression: Compression::None, ..Layer::new(tar) });
    Layout::of(layers).write(&oci);
    let expected = Tree::read(&umoci::unpack(&oci, "latest", &dir.path().join("bundle")));
    for options in [&[][..], &["--aligned-chunk", "--digester", "sha256"]] {
        let report = convert(&oci, &nydus, &[&["--fs-version", "5"], options].concat());
        let (bootstrap, _) = bootstrap_of(dir.path(), &nydus, &report);
        Tool::get("nydus-image").run(["check", "--bootstrap", bootstrap.to_str().unwrap()]);
        let daemon = Nydusd::mount(&bootstrap, &nydus.join("blobs/sha256")).unwrap();
        let served = Tree::read(&daemon.root());
        let differences = served.diff(&expected, &Ignore { mtime_of: vec![Vec::new()], ..Ignore::default() });
        assert!(differences.is_empty(), "{options:?}: {differences:#?}");
        assert!(daemon.unmount().success());
        fs::remove_dir_all(&nydus).unwrap();
    }
}

/// The bootstrap at the end of a blob stream of v5.
fn layer_bootstrap(stream: &[u8]) -> &[u8] {
    use nydus_convert::rafs::meta::section;
    let (body, header) = stream.split_last_chunk::<{ section::HEADER_LEN }>().unwrap();
    let header = section::parse(header).unwrap();
    assert_eq!(header.name, section::IMAGE_BOOT);
    &body[body.len() - header.size as usize..]
}

#[test]
fn the_reference_merges_and_unpacks_our_layers() {
    crate::support::require!("nydus-image");
    let dir = tempdir().unwrap();
    let [oci, nydus] = ["oci", "nydus"].map(|name| dir.path().join(name));
    // Its `unpack` panics at fifos and devices.
    let plain = Tar::new()
        .dir("etc", 0o755)
        .file("etc/big", "some words ".repeat(200_000))
        .pax(&[("SCHILY.xattr.user.a", b"1")])
        .file("etc/attributes", "with attributes")
        .hard_link("etc/link", "etc/attributes")
        .symlink("etc/sym", "big")
        .finish();
    let layers = [plain, upper()].map(|tar| Layer { compression: Compression::None, ..Layer::new(tar) });
    Layout::of(layers).write(&oci);
    let report = convert(&oci, &nydus, &["--fs-version", "5"]);
    let mut bootstraps = Vec::new();
    for layer in report["images"][0]["layers"].as_array().unwrap() {
        let stream = blob(&nydus, layer["blob_digest"].as_str().unwrap());
        let file = dir.path().join(sha256_hex(&stream));
        fs::write(&file, layer_bootstrap(&stream)).unwrap();
        bootstraps.push(file);
    }
    let merged = dir.path().join("merged");
    let arguments = ["merge", "--bootstrap", merged.to_str().unwrap()];
    let files = bootstraps.iter().map(|file| file.to_str().unwrap());
    Tool::get("nydus-image").run(arguments.into_iter().chain(files));
    Tool::get("nydus-image").run(["check", "--bootstrap", merged.to_str().unwrap()]);
    let (_, theirs) = parse(&fs::read(&merged).unwrap()).unwrap();
    let (_, ours) = bootstrap_of(dir.path(), &nydus, &report);
    let files = |image: &Image| {
        let digests = |inode: &InodeKind| match inode {
            InodeKind::Regular { chunks, .. } => {
                chunks.iter().map(|at| image.chunk(*at).unwrap().digest).collect::<Vec<_>>()
            }
            _ => Vec::new(),
        };
        let all = image.tree.walk();
        all.map(|entry| (entry.path.to_string(), digests(&entry.inode.kind))).collect::<Vec<_>>()
    };
    assert_eq!(files(&theirs), files(&ours));

    let (tar, stream) = (dir.path().join("unpacked.tar"), &bootstraps[0]);
    let blobs = nydus.join("blobs/sha256").join(stream.file_name().unwrap());
    Tool::get("nydus-image").run([
        "unpack",
        "--bootstrap",
        stream.to_str().unwrap(),
        "--blob",
        blobs.to_str().unwrap(),
        "--output",
        tar.to_str().unwrap(),
    ]);
    let mut archive = tar::Archive::new(fs::File::open(&tar).unwrap());
    let mut found = 0;
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let expected = match entry.path().unwrap().file_name().unwrap().to_str().unwrap() {
            "big" => "some words ".repeat(200_000),
            "attributes" => "with attributes".to_owned(),
            _ => continue,
        };
        assert_eq!(std::io::read_to_string(&mut entry).unwrap(), expected);
        found += 1;
    }
    assert_eq!(found, 2);
}

#[test]
fn chunks_and_bootstraps_are_the_reference_builders() {
    crate::support::require!("nydus-image");
    let dir = tempdir().unwrap();
    let [oci, nydus, tar, out] = ["oci", "nydus", "tar", "out"].map(|name| dir.path().join(name));
    let noise: Vec<u8> = (0..500_000_u32).flat_map(|n| (n.wrapping_mul(n) >> 9).to_le_bytes()).collect();
    let plain = Tar::new()
        .dir("./", 0o755)
        .dir("etc", 0o755)
        .file("etc/hello", "hello\n")
        .file("etc/again", "hello\n")
        .pax(&[("SCHILY.xattr.user.a", b"1")])
        .file("etc/attributes", "x")
        .file("noise", &noise)
        .symlink("link", "noise")
        .hard_link("hard", "noise")
        .special("null", EntryType::Char, Some((1, 3)))
        .finish();
    fs::write(&tar, &plain).unwrap();
    Layout::of([Layer { compression: Compression::None, ..Layer::new(plain) }]).write(&oci);
    for options in [&[][..], &["--aligned-chunk"], &["--digester", "sha256", "--chunk-size", "0x1000"]] {
        let _ = fs::remove_file(&out);
        let fixed = ["--fs-version", "5", "--compressor", "none"];
        let create =
            ["create", "--type", "tar-rafs", "--blob-inline-meta", "--whiteout-spec", "none", "--blob"];
        let files = [out.to_str().unwrap(), tar.to_str().unwrap()];
        Tool::get("nydus-image").run([&create[..], &files[..1], &fixed, options, &files[1..]].concat());
        let report = convert(&oci, &nydus, &[&fixed[..], &["--replay", "none"], options].concat());
        let ours = blob(&nydus, report["images"][0]["layers"][0]["blob_digest"].as_str().unwrap());
        let theirs = fs::read(&out).unwrap();
        // The bootstrap differs in two fields that no reader looks at: the builder does not count the root, and it
        // marks as a link what was one in the tar, where we mark all names but the first.
        let (own, other) = (layer_bootstrap(&ours), layer_bootstrap(&theirs));
        assert_eq!(own.len(), other.len());
        let differing = own.iter().zip(other).filter(|(a, b)| a != b).count();
        assert!(differing <= 3, "{options:?}: {differing} bytes differ");
        assert!(parse(own).unwrap() == parse(other).unwrap(), "{options:?}");
        let before = ours.len() - own.len() - 512;
        assert!(ours[..before] == theirs[..before], "{options:?}");
    }
}
