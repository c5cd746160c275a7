//! Layers that are only referred to, by the name `nydus-image`: what the converter library of containerd's nydus-snapshotter
//! issues with `OCIRef`, by our builder and by the reference's, each other's results merged by both, and served.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::cli::{blob, ok, run};
use crate::support::converter::{Converter, our_builder};
use crate::support::nydusd::Nydusd;
use crate::support::oci::{Compression, Layer, Layout};
use crate::support::referring::tars;
use crate::support::tools::Tool;
use crate::support::tree::{Ignore, Tree};
use crate::support::{sha256_hex, umoci};
use serde_json::Value;
use tempfile::{TempDir, tempdir};

/// Layers of a source image in files named by their digests, in a directory where a daemon looks for blobs.
struct Bench {
    dir: TempDir,
    builders: [PathBuf; 2],
    layers: Vec<PathBuf>,
    expected: Tree,
}

impl Bench {
    fn new() -> Bench {
        let dir = tempdir().unwrap();
        let source = dir.path().join("oci");
        let [lower, upper] = tars();
        let upper = Layer { compression: Compression::None, ..Layer::new(upper) };
        let built = Layout::of([Layer::new(lower), upper]).write(&source);
        let manifest: Value = serde_json::from_slice(&blob(&source, &built.digest)).unwrap();
        let blobs = dir.path().join("blobs");
        fs::create_dir(&blobs).unwrap();
        let layers = manifest["layers"].as_array().unwrap().iter().map(|layer| {
            let digest = layer["digest"].as_str().unwrap();
            let file = blobs.join(digest.trim_start_matches("sha256:"));
            fs::write(&file, blob(&source, digest)).unwrap();
            file
        });
        let layers = layers.collect();
        let expected = Tree::read(&umoci::unpack(&source, "latest", &dir.path().join("bundle")));
        let builders = [our_builder(dir.path()), Tool::get("nydus-image").path().to_owned()];
        Bench { dir, builders, layers, expected }
    }

    fn blobs(&self) -> &str {
        self.layers[0].parent().unwrap().to_str().unwrap()
    }

    /// What the library makes of all layers with a builder, in files named by their digests.
    fn pack(&self, converter: &Converter, builder: &Path) -> Vec<PathBuf> {
        let pack = |layer: &PathBuf| {
            let made = self.dir.path().join("made");
            let args = ["-oci-ref", "pack", layer.to_str().unwrap(), made.to_str().unwrap()];
            converter.ok(builder, &args);
            let named = self.dir.path().join("blobs").join(sha256_hex(&fs::read(&made).unwrap()));
            fs::rename(made, &named).unwrap();
            named
        };
        self.layers.iter().map(pack).collect()
    }

    fn is_served(&self, bootstrap: &Path) {
        let daemon = Nydusd::mount(bootstrap, &self.dir.path().join("blobs")).unwrap();
        let served = Tree::read(&daemon.root());
        served.assert_same(&self.expected, &Ignore { mtime_of: vec![Vec::new()], ..Ignore::default() });
        assert!(daemon.unmount().success());
    }
}

fn check(builder: &Path, bootstrap: &Path, options: &[&str]) {
    let mut command = Command::new(builder);
    command.args(["check", "--bootstrap"]).arg(bootstrap).args(options);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_library_refers_to_layers() {
    crate::support::require!("go", "nydus-image", "nydusd", "umoci", "root");
    let Some(converter) = Converter::get() else { return };
    let bench = Bench::new();
    let bootstrap = bench.dir.path().join("merged.boot");
    for of in &bench.builders {
        let blobs = bench.pack(converter, of);
        for merger in &bench.builders {
            let mut merge = vec!["-oci-ref", "merge", bootstrap.to_str().unwrap()];
            for (blob, layer) in blobs.iter().zip(&bench.layers) {
                merge.extend([blob.to_str().unwrap(), layer.to_str().unwrap()]);
            }
            let used = converter.ok(merger, &merge);
            let ids = bench.layers.iter().map(|layer| layer.file_name().unwrap().to_str().unwrap());
            let ids: Vec<String> = ids.map(|id| format!("sha256:{id}")).collect();
            assert_eq!(used.lines().collect::<Vec<_>>(), ids, "{of:?} {merger:?}");
            check(&bench.builders[0], &bootstrap, &["--blob-dir", bench.blobs()]);
            check(&bench.builders[1], &bootstrap, &[]);
            bench.is_served(&bootstrap);
        }
    }
}

#[test]
fn results_are_told_alike() {
    crate::support::require!("nydus-image", "umoci", "root");
    let bench = Bench::new();
    let path = |name: &str| bench.dir.path().join(name).to_str().unwrap().to_owned();
    for kind in ["targz-ref", "estargz-ref"] {
        for layer in &bench.layers {
            let told = bench.builders.each_ref().map(|builder| {
                let (blob, json) = (path("blob"), path("json"));
                let _ = fs::remove_file(&blob);
                let mut create = Command::new(builder);
                create.args(["create", "--type", kind, "--blob-inline-meta", "--features", "blob-toc"]);
                create.args(["--blob", &blob, "--output-json", &json]).arg(layer);
                let output = create.output().unwrap();
                assert!(output.status.success(), "{create:?}: {}", String::from_utf8_lossy(&output.stderr));
                let told: Value = serde_json::from_slice(&fs::read(json).unwrap()).unwrap();
                told["blobs"].clone()
            });
            assert_eq!(told[0], told[1], "{kind} {layer:?}");
        }
    }
}

#[test]
fn layers_come_back_and_damage_is_found() {
    crate::support::require!("nydus-image", "umoci", "root");
    let bench = Bench::new();
    let path = |name: &str| bench.dir.path().join(name).to_str().unwrap().to_owned();
    let (merged, tar) = (path("merged.boot"), path("tar"));
    let mut blobs = Vec::new();
    for (number, (layer, expected)) in bench.layers.iter().zip(tars()).enumerate() {
        let made = path(&number.to_string());
        ok(["layer", "pack", "-q", "--oci-ref", layer.to_str().unwrap(), "-o", &made]);
        ok(["layer", "unpack", "-q", &made, "--blob-dir", bench.blobs(), "-o", &tar]);
        assert!(fs::read(&tar).unwrap() == expected);
        fs::copy(&made, format!("{}/{}", bench.blobs(), sha256_hex(&fs::read(&made).unwrap()))).unwrap();
        blobs.push(made);
    }
    ok(["layer", "merge", "-q", &blobs[0], &blobs[1], "-o", &merged]);
    check(&bench.builders[0], Path::new(&merged), &["--blob-dir", bench.blobs()]);
    check(&bench.builders[1], Path::new(&merged), &[]);
    let refused = run(["layer", "unpack", &blobs[0], "--bootstrap", &merged, "-o", &tar]);
    assert_eq!(refused.code, Some(4), "{}", refused.stderr);
    assert!(refused.stderr.contains("which is a tar already"), "{}", refused.stderr);

    let mut layer = fs::read(&bench.layers[1]).unwrap();
    *layer.last_mut().unwrap() ^= 1;
    fs::write(&bench.layers[1], layer).unwrap();
    let mut command = Command::new(&bench.builders[0]);
    let output =
        command.args(["check", "--bootstrap", &merged, "--blob-dir", bench.blobs()]).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
}
