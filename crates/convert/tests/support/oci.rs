//! Hand-made images: from layer tars to a valid OCI layout, and every way to make it invalid.
//!
//! `Layout::of([Layer::new(tar)]).write(dir)` writes a correct image. The plain fields of [`Layer`], [`Image`] and
//! [`Layout`] change one thing each; what is not changed stays consistent with it. The `*_patch` fields are JSON merge
//! patches (RFC 7396: objects are merged, `null` removes, all else replaces) for what has no field.

use super::sha256_hex;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// How a layer's tar is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    None,
    /// One gzip member.
    #[default]
    Gzip,
    /// Three gzip members one after another, as `cat a.gz b.gz c.gz` makes them.
    GzipMembers,
    /// One zstd frame that does not say how long its content is.
    Zstd,
    /// Three zstd frames that say how long their content is; a skippable frame before, between and after them.
    ZstdFrames,
}

/// Whose media types are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    #[default]
    Oci,
    /// Docker image manifest version 2, schema 2.
    Docker,
}

/// One layer; `Layer::new(tar)` is correct.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    /// The uncompressed bytes: usually a tar.
    pub tar: Vec<u8>,
    pub compression: Compression,
    /// Stored instead of the compressed tar: truncated, with garbage behind it, something else altogether.
    /// Digest and size of the descriptor are of these bytes.
    pub stored: Option<Vec<u8>>,
    /// No blob is written at all.
    pub missing: bool,
    /// What the descriptor says instead of the truth.
    pub digest: Option<String>,
    pub size: Option<u64>,
    pub media_type: Option<String>,
    pub annotations: BTreeMap<String, String>,
    /// What the config says instead of the truth.
    pub diff_id: Option<String>,
}

/// One image; `Image::of(layers)` is correct: linux/amd64, OCI media types.
#[derive(Clone, Debug, Default)]
pub struct Image {
    pub layers: Vec<Layer>,
    pub dialect: Dialect,
    /// `linux` where empty.
    pub os: String,
    /// `amd64` where empty.
    pub architecture: String,
    pub config_patch: Option<Value>,
    pub manifest_patch: Option<Value>,
    /// For the image's descriptor, in index.json or in the image index.
    pub descriptor_patch: Option<Value>,
}

/// A layout directory with one reference; `Layout::of(layers)` is correct and holds one image.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    pub images: Vec<Image>,
    /// The reference leads to an image index even for one image. Several images always have one.
    pub index: bool,
    /// `latest` where empty.
    pub reference: String,
    /// For the image index.
    pub index_patch: Option<Value>,
    /// For index.json.
    pub layout_patch: Option<Value>,
}

/// What was written.
#[derive(Clone, Debug)]
pub struct Written {
    pub dir: PathBuf,
    /// What the reference leads to: the manifest's or the image index's digest, `sha256:…`.
    pub digest: String,
    /// The manifests' digests in the order of the images.
    pub manifests: Vec<String>,
}

impl Layer {
    pub fn new(tar: impl Into<Vec<u8>>) -> Layer {
        Layer { tar: tar.into(), ..Layer::default() }
    }

    /// The bytes that are stored as the layer's blob.
    pub fn blob(&self) -> Vec<u8> {
        self.stored.clone().unwrap_or_else(|| compress(&self.tar, self.compression))
    }

    fn media_type(&self, dialect: Dialect) -> String {
        use Compression::{Gzip, GzipMembers, None, Zstd, ZstdFrames};
        let suffix = match (dialect, self.compression) {
            (Dialect::Oci, None) => "application/vnd.oci.image.layer.v1.tar",
            (Dialect::Oci, Gzip | GzipMembers) => "application/vnd.oci.image.layer.v1.tar+gzip",
            (Dialect::Oci, Zstd | ZstdFrames) => "application/vnd.oci.image.layer.v1.tar+zstd",
            (Dialect::Docker, None) => "application/vnd.docker.image.rootfs.diff.tar",
            (Dialect::Docker, Gzip | GzipMembers) => "application/vnd.docker.image.rootfs.diff.tar.gzip",
            (Dialect::Docker, Zstd | ZstdFrames) => "application/vnd.docker.image.rootfs.diff.tar.zstd",
        };
        self.media_type.clone().unwrap_or_else(|| suffix.to_owned())
    }
}

impl Image {
    pub fn of(layers: impl IntoIterator<Item = Layer>) -> Image {
        Image { layers: layers.into_iter().collect(), ..Image::default() }
    }

    fn os(&self) -> &str {
        if self.os.is_empty() { "linux" } else { &self.os }
    }

    fn architecture(&self) -> &str {
        if self.architecture.is_empty() { "amd64" } else { &self.architecture }
    }

    /// Writes layers, config and manifest, and gives the manifest's descriptor.
    fn write(&self, store: &BlobStore, with_platform: bool) -> Value {
        let (manifest_type, config_type) = match self.dialect {
            Dialect::Oci => {
                ("application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.config.v1+json")
            }
            Dialect::Docker => (
                "application/vnd.docker.distribution.manifest.v2+json",
                "application/vnd.docker.container.image.v1+json",
            ),
        };
        let layers: Vec<Value> = self.layers.iter().map(|layer| store.layer(layer, self.dialect)).collect();
        let config = store.json(config_type, patched(self.config(), &self.config_patch));
        let manifest = json!({
            "schemaVersion": 2, "mediaType": manifest_type, "config": config, "layers": layers,
        });
        let mut descriptor = store.json(manifest_type, patched(manifest, &self.manifest_patch));
        if with_platform {
            descriptor["platform"] = json!({ "architecture": self.architecture(), "os": self.os() });
        }
        patched(descriptor, &self.descriptor_patch)
    }

    fn config(&self) -> Value {
        let created = "2023-11-14T22:13:20Z";
        let diff_id = |layer: &Layer| {
            layer.diff_id.clone().unwrap_or_else(|| format!("sha256:{}", sha256_hex(&layer.tar)))
        };
        let history = |n: usize| json!({ "created": created, "created_by": format!("layer {}", n + 1) });
        json!({
            "created": created,
            "architecture": self.architecture(),
            "os": self.os(),
            "config": { "Env": ["PATH=/bin"] },
            "rootfs": { "type": "layers", "diff_ids": self.layers.iter().map(diff_id).collect::<Vec<_>>() },
            "history": (0..self.layers.len()).map(history).collect::<Vec<_>>(),
        })
    }
}

impl Layout {
    /// One image of these layers.
    pub fn of(layers: impl IntoIterator<Item = Layer>) -> Layout {
        Layout { images: vec![Image::of(layers)], ..Layout::default() }
    }

    /// Writes the layout into `dir`, which is created; blobs and references that are there already stay.
    pub fn write(&self, dir: &Path) -> Written {
        let store = BlobStore::create(dir);
        let index = self.index || self.images.len() != 1;
        let descriptors: Vec<Value> = self.images.iter().map(|image| image.write(&store, index)).collect();
        let text = |descriptor: &Value| descriptor["digest"].as_str().unwrap_or_default().to_owned();
        let manifests = descriptors.iter().map(text).collect();
        let mut top = if index {
            let media_type = "application/vnd.oci.image.index.v1+json";
            let value = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": descriptors });
            store.json(media_type, patched(value, &self.index_patch))
        } else {
            descriptors.into_iter().next().unwrap()
        };
        let reference = if self.reference.is_empty() { "latest" } else { &self.reference };
        merge(&mut top, &json!({ "annotations": { "org.opencontainers.image.ref.name": reference } }));
        let digest = text(&top);

        let path = dir.join("index.json");
        let old = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let mut root: Value = old.unwrap_or_else(|| json!({ "schemaVersion": 2, "manifests": [] }));
        root["manifests"].as_array_mut().unwrap().push(top);
        fs::write(path, patched(root, &self.layout_patch).to_string()).unwrap();
        fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        Written { dir: dir.to_owned(), digest, manifests }
    }
}

struct BlobStore {
    dir: PathBuf,
}

impl BlobStore {
    fn create(layout: &Path) -> BlobStore {
        let dir = layout.join("blobs/sha256");
        fs::create_dir_all(&dir).unwrap();
        BlobStore { dir }
    }

    fn layer(&self, layer: &Layer, dialect: Dialect) -> Value {
        let blob = layer.blob();
        let digest = layer.digest.clone().unwrap_or_else(|| format!("sha256:{}", sha256_hex(&blob)));
        if !layer.missing {
            // A wrong digest is a blob under a wrong name; one that is no file name stays unwritten.
            let name = digest.strip_prefix("sha256:").filter(|name| !name.contains('/'));
            name.into_iter().for_each(|name| fs::write(self.dir.join(name), &blob).unwrap());
        }
        let size = layer.size.unwrap_or(blob.len() as u64);
        let mut descriptor =
            json!({ "mediaType": layer.media_type(dialect), "digest": digest, "size": size });
        if !layer.annotations.is_empty() {
            descriptor["annotations"] = json!(layer.annotations);
        }
        descriptor
    }

    fn json(&self, media_type: &str, value: Value) -> Value {
        let bytes = value.to_string();
        let name = sha256_hex(bytes.as_bytes());
        fs::write(self.dir.join(&name), &bytes).unwrap();
        json!({ "mediaType": media_type, "digest": format!("sha256:{name}"), "size": bytes.len() })
    }
}

/// `plain` as a stream of that kind.
pub fn compress(plain: &[u8], compression: Compression) -> Vec<u8> {
    let thirds = plain.chunks(plain.len().div_ceil(3).max(1));
    match compression {
        Compression::None => plain.to_vec(),
        Compression::Gzip => gzip(plain),
        Compression::GzipMembers => thirds.flat_map(gzip).collect(),
        Compression::Zstd => zstd::encode_all(plain, 3).unwrap(),
        Compression::ZstdFrames => {
            let frames = thirds.flat_map(|part| [zstd::bulk::compress(part, 3).unwrap(), skippable_frame()]);
            skippable_frame().into_iter().chain(frames.flatten()).collect()
        }
    }
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// Magic number, length of what follows, and that.
fn skippable_frame() -> Vec<u8> {
    let content = b"to be skipped";
    let mut frame = 0x184D_2A5E_u32.to_le_bytes().to_vec();
    frame.extend((content.len() as u32).to_le_bytes());
    frame.extend(content);
    frame
}

fn patched(mut value: Value, patch: &Option<Value>) -> Value {
    patch.iter().for_each(|patch| merge(&mut value, patch));
    value
}

/// JSON merge patch.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in fields {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(name);
        } else {
            merge(&mut target[name.as_str()], value);
        }
    }
}
