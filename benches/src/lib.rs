//! Inputs for benchmarks: trees whose files compress about as program files do, the same in every run.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde_json::json;
use sha2::{Digest, Sha256};

/// Bytes that compress to roughly a third: words from a small vocabulary between numbers.
pub struct Text {
    state: u64,
}

impl Text {
    /// Text number `seed`.
    pub fn new(seed: u64) -> Self {
        Self { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 }
    }

    fn next(&mut self) -> u64 {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.state >> 33
    }

    /// `length` bytes of it.
    pub fn take(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 32);
        while bytes.len() < length {
            let number = self.next();
            // Skewed towards common words.
            let word = (number % 64 * (number / 64 % 64)) / 8;
            bytes.extend_from_slice(format!("word{word:x} ").as_bytes());
            if number.is_multiple_of(5) {
                bytes.extend_from_slice(&self.next().to_le_bytes()[..4]);
            }
        }
        bytes.truncate(length);
        bytes
    }
}

/// Writes a tar of `files` files in directories of 200; sizes spread from 0 to twice `mean` bytes.
pub fn write_tree(out: impl Write, files: usize, mean: usize) -> io::Result<()> {
    let mut builder = tar::Builder::new(out);
    let entry = |kind, size: usize| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(if kind == tar::EntryType::Directory { 0o755 } else { 0o644 });
        header.set_mtime(1_700_000_000);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(size as u64);
        header
    };
    let mut text = Text::new(7);
    for number in 0..files {
        let directory = format!("tree/{:04}", number / 200);
        if number % 200 == 0 {
            builder.append_data(&mut entry(tar::EntryType::Directory, 0), &directory, io::empty())?;
        }
        let size = (text.next() as usize) % (2 * mean + 1);
        let content = text.take(size);
        let mut header = entry(tar::EntryType::Regular, size);
        builder.append_data(&mut header, format!("{directory}/file-{number}"), content.as_slice())?;
    }
    builder.into_inner()?.flush()
}

/// Writes a tar of one file of `size` bytes, of which no MiB repeats.
pub fn write_large(mut out: impl Write, size: u64) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_path("large")?;
    header.set_mode(0o644);
    header.set_mtime(1_700_000_000);
    header.set_size(size);
    header.set_cksum();
    out.write_all(header.as_bytes())?;
    let mut text = Text::new(11);
    let mut left = size;
    while left > 0 {
        let length = left.min(1 << 20);
        out.write_all(&text.take(length as usize))?;
        left -= length;
    }
    let padding = size.next_multiple_of(512) - size + 1024;
    out.write_all(&vec![0; padding as usize])?;
    out.flush()
}

/// Writes an OCI layout `dir` whose only image, `latest`, has `layer` as its only layer: a tar, plain or compressed by gzip.
pub fn write_layout(dir: &Path, layer: &[u8]) -> io::Result<()> {
    let (suffix, diff_id) = match layer {
        [0x1f, 0x8b, ..] => {
            let mut plain = Hash(Sha256::new());
            io::copy(&mut flate2::bufread::MultiGzDecoder::new(layer), &mut plain)?;
            ("+gzip", hex(&plain.0.finalize()))
        }
        _ => ("", hex(&Sha256::digest(layer))),
    };
    let blobs = dir.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let put = |media_type: &str, bytes: &[u8]| -> io::Result<serde_json::Value> {
        let digest = hex(&Sha256::digest(bytes));
        fs::write(blobs.join(&digest), bytes)?;
        Ok(json!({ "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": bytes.len() }))
    };
    let layer = put(&format!("application/vnd.oci.image.layer.v1.tar{suffix}"), layer)?;
    let rootfs = json!({ "type": "layers", "diff_ids": [format!("sha256:{diff_id}")] });
    let config = json!({ "os": "linux", "architecture": "amd64", "rootfs": rootfs }).to_string();
    let config = put("application/vnd.oci.image.config.v1+json", config.as_bytes())?;
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest =
        json!({ "schemaVersion": 2, "mediaType": media_type, "config": config, "layers": [layer] })
            .to_string();
    let mut manifest = put(media_type, manifest.as_bytes())?;
    manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": "latest" });
    fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    fs::write(dir.join("index.json"), json!({ "schemaVersion": 2, "manifests": [manifest] }).to_string())
}

/// Takes bytes and keeps their digest.
struct Hash(Sha256);

impl Write for Hash {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lower-case hex.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
