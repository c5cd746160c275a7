//! Peak memory is bounded by the window plus the metadata, whatever the layer. The bounds are those of the
//! documentation; the measure is the largest resident set that the kernel saw.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use crate::support::cli::latest;
use crate::support::tools::Tool;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use sha2::{Digest, Sha256};
use tempfile::tempdir;

/// Converts, filling a chunk store as users do, and gives the peak resident set in KiB.
fn peak_kib(source: &Path, target: &Path) -> u64 {
    let store = tempdir().unwrap();
    let output = Tool::get("time")
        .command()
        .args(["-f", "%M", env!("CARGO_BIN_EXE_nydus-convert"), "to-nydus", "-q"])
        .args([latest(source), latest(target)])
        .arg("--store")
        .arg(store.path())
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    stderr.trim().parse().unwrap()
}

/// Writes a layout with one gzip layer whose plain bytes are `pieces`, each so many times. Each piece becomes a gzip
/// member of its own, compressed once: gigabytes cost no more than their hash.
fn write_layout(dir: &Path, pieces: &[(Vec<u8>, u64)]) {
    let blobs = dir.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let staged = dir.join("layer");
    let mut file = File::create(&staged).unwrap();
    let (mut stored, mut plain, mut size) = (Sha256::new(), Sha256::new(), 0);
    for (piece, times) in pieces {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(piece).unwrap();
        let member = encoder.finish().unwrap();
        for _ in 0..*times {
            file.write_all(&member).unwrap();
            stored.update(&member);
            plain.update(piece);
            size += member.len();
        }
    }
    let (digest, diff_id) = (crate::support::hex(&stored.finalize()), crate::support::hex(&plain.finalize()));
    fs::rename(staged, blobs.join(&digest)).unwrap();
    let put = |value: serde_json::Value| {
        let text = value.to_string();
        let digest = crate::support::sha256_hex(text.as_bytes());
        fs::write(blobs.join(&digest), &text).unwrap();
        json!({ "digest": format!("sha256:{digest}"), "size": text.len() })
    };
    let with_type = |mut value: serde_json::Value, media_type: &str| {
        value["mediaType"] = media_type.into();
        value
    };
    let config = put(json!({ "os": "linux", "architecture": "amd64",
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{diff_id}")] } }));
    let layer = json!({ "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
        "digest": format!("sha256:{digest}"), "size": size });
    let manifest =
        put(json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": with_type(config, "application/vnd.oci.image.config.v1+json"), "layers": [layer] }));
    let mut manifest = with_type(manifest, "application/vnd.oci.image.manifest.v1+json");
    manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": "latest" });
    fs::write(dir.join("index.json"), json!({ "schemaVersion": 2, "manifests": [manifest] }).to_string())
        .unwrap();
    fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

/// Bytes without repetition, so that every chunk is new and must be compressed.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Half the bits: something for the compressor to do.
            (state >> 60) as u8
        })
        .collect()
}

fn header(name: &str, size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path(name).unwrap();
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(1);
    header.set_cksum();
    header.as_bytes().to_vec()
}

#[test]
fn a_file_of_four_gibibytes_takes_less_than_128_mib() {
    crate::support::require!("time");
    let dir = tempdir().unwrap();
    // A piece that is no multiple of the chunk size: the chunks differ although the pieces do not.
    let piece = noise((32 << 20) + 512);
    let times = (4_u64 << 30).div_ceil(piece.len() as u64);
    let size = piece.len() as u64 * times;
    assert!(size >= 4 << 30);
    write_layout(&dir.path().join("oci"), &[(header("big", size), 1), (piece, times), (vec![0; 1024], 1)]);
    let peak = peak_kib(&dir.path().join("oci"), &dir.path().join("nydus"));
    assert!(peak < 128 << 10, "{peak} KiB");
}

#[test]
fn a_layer_of_eighty_thousand_files_takes_less_than_160_mib() {
    crate::support::require!("time");
    let dir = tempdir().unwrap();
    let noise = noise(1 << 20);
    let mut tar = Vec::new();
    for number in 0..80_000_usize {
        let size = 500 + number * 37 % 6000;
        let start = number * 131 % (noise.len() - size);
        tar.extend(header(
            &format!("tree/{:03}/{:03}/a-file-{number}", number % 211, number % 97),
            size as u64,
        ));
        tar.extend(&noise[start..start + size]);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    write_layout(&dir.path().join("oci"), &[(tar, 1), (vec![0; 1024], 1)]);
    let peak = peak_kib(&dir.path().join("oci"), &dir.path().join("nydus"));
    assert!(peak < 160 << 10, "{peak} KiB");
}
