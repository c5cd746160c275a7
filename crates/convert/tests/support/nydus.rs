//! Nydus images in layouts: what they show, and how other tools leave them.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use nydus_convert::oci::LayoutSource;
use nydus_convert::oci::nydus::{Bootstrap, BootstrapWriter, LAYERS_PATH, ORIGIN_PATH, read_bootstrap};
use nydus_convert::rafs::InodeKind;
use nydus_convert::{NydusImage, open_nydus};
use serde_json::{Value, json};

use super::cli;
use super::oci::{Compression, Layer, Layout};
use super::{hex, sha256_hex};

/// Everything that an image promises of every name, a line each: type, mode, owners, size, time, attributes, the first name
/// of the same file, and the digest of the content.
pub fn listing(layout: &Path) -> Vec<String> {
    let source = LayoutSource::open(layout, Some("latest"), None).unwrap();
    let opened = open_nydus(&source, Some(&"linux/amd64".parse().unwrap())).unwrap();
    let mut first: BTreeMap<_, String> = BTreeMap::new();
    let tree = &opened.image.tree;
    tree.walk()
        .map(|entry| {
            let group = first.entry(entry.id).or_insert_with(|| entry.path.to_string());
            let kind = match &entry.inode.kind {
                InodeKind::Directory(_) => "directory".to_owned(),
                InodeKind::Regular { size, .. } => format!("file {size} {}", content(&opened, &entry.path)),
                other => format!("{other:?}"),
            };
            let metadata = &entry.inode.metadata;
            let xattrs = metadata.xattrs.iter().map(|(name, value)| format!("{}={}", hex(name), hex(value)));
            let (mode, uid, gid, mtime) = (metadata.mode, metadata.uid, metadata.gid, metadata.mtime);
            let xattrs = xattrs.collect::<Vec<_>>();
            format!("{} {kind} {mode:o} {uid}:{gid} {mtime:?} {xattrs:?} {group}", entry.path)
        })
        .collect()
}

fn content(image: &NydusImage, path: &nydus_convert::rafs::EntryPath) -> String {
    let mut bytes = Vec::new();
    image.cat(path, &mut bytes).unwrap();
    sha256_hex(&bytes)
}

/// Puts an image together as the snapshotter's converter does: blobs, and the merged bootstrap.
pub fn assemble(blobs: &[Vec<u8>], merged: &[u8], version: &str, history: Value, layout: &Path) {
    let annotated = |key: &str, value: &str| {
        BTreeMap::from([(format!("containerd.io/snapshot/{key}"), value.to_owned())])
    };
    let blob = |blob: &Vec<u8>| Layer {
        media_type: Some("application/vnd.oci.image.layer.nydus.blob.v1".to_owned()),
        annotations: annotated("nydus-blob", "true"),
        compression: Compression::None,
        ..Layer::new(blob.as_slice())
    };
    let mut layers: Vec<Layer> = blobs.iter().map(blob).collect();
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(merged.len() as u64);
    header.set_mode(0o444);
    builder.append_data(&mut header, "image/image.boot", merged).unwrap();
    let mut annotations = annotated("nydus-bootstrap", "true");
    annotations.extend(annotated("nydus-fs-version", version));
    layers.push(Layer { annotations, ..Layer::new(builder.into_inner().unwrap()) });
    let mut layout_of = Layout::of(layers);
    layout_of.images[0].config_patch = Some(json!({ "history": history }));
    layout_of.write(layout);
}

/// Changes manifest and config of the only image of a layout.
pub fn change(layout: &Path, change: impl FnOnce(&mut Value, &mut Value)) {
    let mut manifest = cli::json(layout, &cli::json_root(layout));
    let mut config = cli::json(layout, manifest["config"]["digest"].as_str().unwrap());
    change(&mut manifest, &mut config);
    let put = |value: &Value| {
        let bytes = value.to_string();
        let name = sha256_hex(bytes.as_bytes());
        fs::write(layout.join("blobs/sha256").join(&name), &bytes).unwrap();
        (json!(format!("sha256:{name}")), json!(bytes.len()))
    };
    let (digest, size) = put(&config);
    manifest["config"]["digest"] = digest;
    manifest["config"]["size"] = size;
    let (digest, size) = put(&manifest);
    let path = layout.join("index.json");
    let mut index: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    index["manifests"][0]["digest"] = digest;
    index["manifests"][0]["size"] = size;
    fs::write(path, index.to_string()).unwrap();
}

/// Takes blobs out of a manifest, as converters did with blobs in which no file lies.
pub fn cut(layout: &Path, positions: &[usize]) {
    change(layout, |manifest, config| {
        let ids = &mut config["rootfs"]["diff_ids"];
        for list in [&mut manifest["layers"], ids] {
            let all = list.as_array().unwrap().iter().enumerate();
            let kept = all.filter(|(at, _)| !positions.contains(at)).map(|(_, value)| value.clone());
            *list = kept.collect::<Vec<_>>().into();
        }
    });
}

/// What becomes of the records beside a bootstrap.
pub enum Records {
    Kept,
    Lost,
}

/// Gives an image another merged bootstrap.
pub fn replace_bootstrap(layout: &Path, bootstrap: &[u8], records: Records) {
    let old = bootstrap_layer(layout);
    let size = bootstrap.len() as u64;
    let mut writer = BootstrapWriter::new(Vec::new(), size, |out| out.write_all(bootstrap)).unwrap();
    let kept = [(ORIGIN_PATH, old.origin), (LAYERS_PATH, old.layers)];
    for (path, record) in kept.into_iter().filter(|_| matches!(records, Records::Kept)) {
        record.into_iter().for_each(|record| writer.extra(path, &record).unwrap());
    }
    let (bytes, stored) = writer.finish().unwrap();
    let digest = stored.blob.digest.to_string();
    fs::write(layout.join("blobs").join(digest.replace(':', "/")), bytes).unwrap();
    change(layout, |manifest, config| {
        let last = |list: &Value| list.as_array().unwrap().len() - 1;
        let (layer, id) = (last(&manifest["layers"]), last(&config["rootfs"]["diff_ids"]));
        manifest["layers"][layer]["digest"] = json!(digest);
        manifest["layers"][layer]["size"] = json!(stored.blob.size);
        config["rootfs"]["diff_ids"][id] = json!(stored.diff_id.to_string());
    });
}

/// Takes the records away.
pub fn forget(layout: &Path) {
    replace_bootstrap(layout, &bootstrap_layer(layout).bytes, Records::Lost);
}

fn bootstrap_layer(layout: &Path) -> Bootstrap {
    let manifest = cli::json(layout, &cli::json_root(layout));
    let layer = manifest["layers"].as_array().unwrap().last().unwrap()["digest"].as_str().unwrap();
    read_bootstrap(cli::blob(layout, layer).as_slice(), 1 << 30).unwrap()
}
