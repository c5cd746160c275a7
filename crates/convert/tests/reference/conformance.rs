//! One suite over every variant of the format, by a table: what we write, the reference checks and serves, and it comes
//! back to the bit. The other direction, images by the reference, is in `reference_images.rs`.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::support::cli::{convert, extract_bootstrap, latest, ok};
use crate::support::encoders;
use crate::support::noise::noise;
use crate::support::nydusd::Nydusd;
use crate::support::oci::{Compression, Layer, Layout};
use crate::support::tars::Tar;
use crate::support::tools::Tool;
use crate::support::tree::{Ignore, Tree};
use crate::support::umoci;
use serde_json::Value;
use tar::EntryType;
use tempfile::{TempDir, tempdir};

/// One way to write an image.
#[derive(Clone, Copy)]
struct Variant {
    version: &'static str,
    compressor: &'static str,
    digester: &'static str,
    chunk_size: &'static str,
    /// `None`: no batches.
    batch_size: Option<&'static str>,
}

const VERSIONS: [&str; 2] = ["5", "6"];
const COMPRESSORS: [&str; 3] = ["zstd", "lz4_block", "none"];
const DIGESTERS: [&str; 2] = ["blake3", "sha256"];
const CHUNK_SIZES: [&str; 4] = ["4KiB", "128KiB", "1MiB", "16MiB"];

impl Variant {
    fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for version in VERSIONS {
            for compressor in COMPRESSORS {
                for digester in DIGESTERS {
                    for chunk_size in CHUNK_SIZES {
                        let variant = Self { version, compressor, digester, chunk_size, batch_size: None };
                        all.push(variant);
                        // RAFS v5 has no batches.
                        if version == "6" {
                            let batch_size = Some(if chunk_size == "4KiB" { "4KiB" } else { "128KiB" });
                            all.push(Self { batch_size, ..variant });
                        }
                    }
                }
            }
        }
        all
    }

    fn options(&self) -> Vec<&'static str> {
        let Self { version, compressor, digester, chunk_size, batch_size } = *self;
        let mut options = vec!["--fs-version", version, "--compressor", compressor, "--digester", digester];
        options.extend(["--chunk-size", chunk_size]);
        options.extend(batch_size.iter().flat_map(|size| ["--batch-size", *size]));
        options
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.options().join(" "))
    }
}

/// Two layers: every type of file, chunks of every length that matters, links, attributes, whiteouts.
fn layers() -> [Vec<u8>; 2] {
    let text = "one line of text, and another\n".repeat(20_000);
    let long = format!("data/{}", "long".repeat(50));
    let mut lower = Tar::new()
        .dir("data", 0o2755)
        .dir("data/emptied", 0o700)
        .file("data/emptied/old", "old")
        .file("data/gone", "gone")
        .file("data/empty", "")
        // More than a chunk of the largest size, the first of them raw.
        .file("data/noise", noise(1, (16 << 20) + 4097))
        .file("data/text", &text)
        .hard_link("data/text-link", "data/text")
        .symlink("data/sym", "text")
        .pax(&[("path", long.as_bytes()), ("SCHILY.xattr.user.x", b"a value")])
        .file("long", "long name")
        .pax(&[("SCHILY.xattr.user.a", b"1"), ("SCHILY.xattr.user.b", &[0, 10, 255])])
        .file("data/attributes", "with attributes")
        .hard_link("data/attributes-link", "data/attributes")
        .special("data/fifo", EntryType::Fifo, Some((0, 0)))
        .special("data/null", EntryType::Char, Some((1, 3)))
        .special("data/loop", EntryType::Block, Some((7, 0)))
        .dir("data/small", 0o755);
    for (number, length) in [1, 17, 4095, 4096, 4097, 65_536, 131_072, 131_073].into_iter().enumerate() {
        lower = lower.file(&format!("data/small/{number}"), &text.as_bytes()[number..number + length]);
    }
    let upper = Tar::new()
        .dir("data", 0o750)
        .file("data/.wh.gone", "")
        .dir("data/emptied", 0o711)
        .file("data/emptied/.wh..wh..opq", "")
        .file("data/emptied/new", "new".repeat(3000))
        .file("data/again", &text)
        .finish();
    [lower.finish(), upper]
}

/// The source, and what umoci makes of it.
struct Source {
    dir: TempDir,
    layout: PathBuf,
    digest: Value,
    expected: Tree,
}

impl Source {
    fn new() -> Self {
        let dir = tempdir().unwrap();
        let layout = dir.path().join("oci");
        let [lower, upper] = layers();
        let stored = Some(encoders::filter("gzip", &["-n"], &lower));
        let lower = Layer { stored, compression: Compression::Gzip, ..Layer::new(lower) };
        let upper = Layer { compression: Compression::None, ..Layer::new(upper) };
        let digest = Layout::of([lower, upper]).write(&layout).digest.into();
        let unpacked = umoci::unpack(&layout, "latest", &dir.path().join("bundle"));
        let expected = Tree::read(&unpacked);
        Self { dir, layout, digest, expected }
    }

    fn conforms(&self, variant: &Variant) {
        let at = |name: &str| self.dir.path().join(name);
        let (nydus, back) = (at("nydus"), at("back"));
        let report = convert(&self.layout, &nydus, &variant.options());
        ok(["check", "-q", &latest(&nydus)]);
        // The reference of this version knows no batches; newer ones read them, see `oracle/`.
        if variant.batch_size.is_none() {
            self.is_served(&nydus, report["digest"].as_str().unwrap(), variant);
        }
        let restored = ok(["to-oci", "-q", "--json", &latest(&nydus), &latest(&back)]).stdout;
        let restored: Value = serde_json::from_str(&restored).unwrap();
        assert_eq!(restored["digest"], self.digest, "{variant}");
        for made in [nydus, back] {
            std::fs::remove_dir_all(made).unwrap();
        }
    }

    /// The reference accepts the image, and its daemon serves every file of it.
    fn is_served(&self, nydus: &Path, digest: &str, variant: &Variant) {
        let bootstrap = extract_bootstrap(nydus, digest, &self.dir.path().join("image.boot"));
        Tool::get("nydus-image").run(["check", "--bootstrap", bootstrap.to_str().unwrap()]);
        let daemon = Nydusd::mount(&bootstrap, &nydus.join("blobs/sha256"))
            .unwrap_or_else(|error| panic!("{variant}: {error}"));
        let served = Tree::read(&daemon.root());
        // A root that no layer describes has the time of the unpacking in one tree and none in the other.
        let differences =
            served.diff(&self.expected, &Ignore { mtime_of: vec![Vec::new()], ..Ignore::default() });
        assert!(differences.is_empty(), "{variant}: {differences:#?}");
        assert!(daemon.unmount().success());
    }
}

#[test]
fn what_we_write_is_served_and_comes_back() {
    crate::support::require!("nydus-image", "nydusd", "umoci", "gzip", "root");
    let source = Source::new();
    for variant in Variant::all() {
        source.conforms(&variant);
    }
}
