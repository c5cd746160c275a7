//! Byte for byte what the reference builder writes, where the format leaves no freedom: whole-second times, at most one
//! extended attribute a file, every directory described. `docs/limitations.md` tells where it ends.

use std::fs;
use std::path::Path;

use crate::support::cli::{blob, convert};
use crate::support::oci::{Compression, Layer, Layout};
use crate::support::sections::sections;
use crate::support::tars::Tar;
use crate::support::tools::Tool;
use nydus_convert::rafs::meta::section;
use tar::EntryType;
use tempfile::tempdir;

/// The blob stream that the reference builder makes of a tar.
fn reference_blob(dir: &Path, tar: &Path, compressor: &str, chunk_size: &str) -> Vec<u8> {
    let out = dir.join("reference.blob");
    let _ = fs::remove_file(&out);
    Tool::get("nydus-image").run([
        "create",
        "--type",
        "tar-rafs",
        "--fs-version",
        "6",
        "--blob-inline-meta",
        "--features",
        "blob-toc",
        "--whiteout-spec",
        "none",
        "--compressor",
        compressor,
        "--chunk-size",
        chunk_size,
        "--blob",
        out.to_str().unwrap(),
        tar.to_str().unwrap(),
    ]);
    fs::read(out).unwrap()
}

fn our_blob(dir: &Path, tar: &Path, compressor: &str, chunk_size: &str) -> Vec<u8> {
    let (source, target) = (dir.join("oci"), dir.join("nydus"));
    // What an earlier call left.
    let _ = fs::remove_dir_all(&source);
    let layer = Layer { compression: Compression::None, ..Layer::new(fs::read(tar).unwrap()) };
    Layout::of([layer]).write(&source);
    let report = convert(
        &source,
        &target,
        &["--replay", "none", "--compressor", compressor, "--chunk-size", chunk_size],
    );
    blob(&target, report["images"][0]["layers"][0]["blob_digest"].as_str().unwrap())
}

/// Everything is equal but the stored form of zstd frames: the reference carries libzstd 1.5.2, we carry a newer one.
fn assert_same_sections(ours: &[u8], reference: &[u8], what: &str) {
    let (ours, reference) = (sections(ours), sections(reference));
    assert_eq!(ours.len(), 5, "{what}");
    for (ours, reference) in ours.iter().zip(&reference) {
        assert_eq!((&ours.name, ours.digest), (&reference.name, reference.digest), "{what}");
        let first = ours.plain.iter().zip(&reference.plain).position(|(a, b)| a != b);
        assert!(ours.plain == reference.plain, "{what}: {} differs at {first:?}", ours.name);
        // Small frames come out alike from both libraries, whatever they hold.
        if ours.stored.len() < 2048 {
            assert_eq!(ours.stored, reference.stored, "{what}: {}", ours.name);
        }
    }
}

/// Everything that the reference builder accepts.
fn varied_tar() -> Vec<u8> {
    let pattern = |seed: u32, length: u32| -> Vec<u8> {
        (0..length).map(|n| (n.wrapping_mul(n ^ seed) >> 5) as u8).collect()
    };
    let mut tar = Tar::new()
        .dir("./", 0o755)
        .dir("etc", 0o755)
        .file("etc/hello", "hello\n")
        .file("etc/empty", "")
        .file("etc/copy", "hello\n")
        .pax(&[("SCHILY.xattr.user.mime_type", b"text/plain")])
        .file("etc/attributed", "x")
        .symlink("etc/link", "hello")
        .hard_link("etc/hard", "etc/hello")
        .dir("dev", 0o750)
        .special("dev/null", EntryType::Char, Some((1, 3)))
        .special("dev/sda", EntryType::Block, Some((8, 0)))
        .special("dev/pipe", EntryType::Fifo, Some((0, 0)))
        .dir("data", 0o1777)
        .file("data/large", pattern(7, 3 << 20))
        .file("data/+before-the-dots", pattern(9, 5000))
        .file("data/exact", pattern(3, 1 << 20))
        .dir("many", 0o755);
    for number in 0..700 {
        tar = tar.file(&format!("many/a-name-of-some-length-{number:05}"), format!("{}", number % 50));
    }
    for number in 0..40 {
        tar = tar
            .dir(&format!("many/sub-{number}"), 0o700)
            .symlink(&format!("many/sub-{number}/s"), &"t".repeat(number * 90 + 1));
    }
    tar.finish()
}

#[test]
fn the_blob_stream_is_the_reference_builders_digest_for_digest() {
    crate::support::require!("nydus-image");
    let dir = tempdir().unwrap();
    let path = dir.path().join("layer.tar");
    let noise: Vec<u8> = (0..200_000_u32).map(|n| (n.wrapping_mul(n) >> 9) as u8).collect();
    let described =
        Tar::new().dir("./", 0o755).dir("etc", 0o755).file("etc/hello", "hello\n").file("noise", &noise);
    let implicit = Tar::new()
        .file("usr/share/noise", &noise)
        .symlink("usr/link", "share")
        .hard_link("n", "usr/share/noise");
    for tar in [described.finish(), implicit.finish()] {
        fs::write(&path, tar).unwrap();
        for chunk_size in ["0x1000", "0x100000"] {
            let reference = reference_blob(dir.path(), &path, "none", chunk_size);
            let ours = our_blob(dir.path(), &path, "none", chunk_size);
            assert_eq!(
                crate::support::sha256_hex(&ours),
                crate::support::sha256_hex(&reference),
                "{chunk_size}"
            );
        }
    }
}

#[test]
fn every_section_is_the_reference_builders() {
    crate::support::require!("nydus-image");
    let dir = tempdir().unwrap();
    let tar = dir.path().join("layer.tar");
    fs::write(&tar, varied_tar()).unwrap();
    for chunk_size in ["0x1000", "0x10000", "0x100000"] {
        let reference = reference_blob(dir.path(), &tar, "none", chunk_size);
        let ours = our_blob(dir.path(), &tar, "none", chunk_size);
        assert_same_sections(&ours, &reference, chunk_size);
    }
}

#[test]
fn a_distributions_base_layer_is_the_reference_builders() {
    crate::support::require!("nydus-image", "debootstrap", "buildah", "root");
    let Some(tar) = crate::support::debian::debian_tar() else { return };
    let dir = tempdir().unwrap();
    let reference = reference_blob(dir.path(), &tar, "none", "0x100000");
    assert_same_sections(&our_blob(dir.path(), &tar, "none", "0x100000"), &reference, "Debian");
}

#[test]
fn compressed_blobs_hold_the_same_chunks() {
    crate::support::require!("nydus-image");
    let dir = tempdir().unwrap();
    let tar = dir.path().join("layer.tar");
    fs::write(&tar, varied_tar()).unwrap();
    for compressor in ["zstd", "lz4_block"] {
        let digests =
            |blob: &[u8]| sections(blob).into_iter().find(|s| s.name == section::BLOB_DIGEST).unwrap().stored;
        let reference = digests(&reference_blob(dir.path(), &tar, compressor, "0x10000"));
        assert_eq!(digests(&our_blob(dir.path(), &tar, compressor, "0x10000")), reference, "{compressor}");
    }
}
