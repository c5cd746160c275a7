#![allow(clippy::unwrap_used)]
use crate::kind::ErrorKind;
use serde_json::{Value, json};

use super::*;
use crate::media_type as mt;
use crate::nydus;
use crate::{Blob, Descriptor, Digest, Platform};

fn descriptor(media_type: &str) -> Value {
    json!({ "mediaType": media_type, "digest": Digest::sha256(media_type.as_bytes()).to_string(), "size": 10 })
}

fn manifest(format: Format, config: &str, layers: &[&str]) -> Value {
    let layers: Vec<Value> = layers.iter().map(|layer| descriptor(layer)).collect();
    json!({ "schemaVersion": 2, "mediaType": format.manifest(), "config": descriptor(config), "layers": layers })
}

fn parse(media_type: &str, value: &Value) -> Result<ManifestKind, ImageError> {
    ManifestKind::parse(media_type, value.to_string().as_bytes())
}

fn kind_of(value: &Value) -> ManifestKind {
    parse(value["mediaType"].as_str().unwrap(), value).unwrap()
}

#[test]
fn ordinary_images() {
    for (format, config, layer) in [
        (Format::Oci, mt::OCI_CONFIG, mt::OCI_LAYER_GZIP),
        (Format::Oci, mt::OCI_CONFIG, mt::OCI_LAYER_ZSTD),
        (Format::Oci, mt::OCI_CONFIG, mt::OCI_LAYER),
        (Format::Oci, mt::OCI_CONFIG, mt::DOCKER_LAYER_GZIP),
        (Format::Docker, mt::DOCKER_CONFIG, mt::DOCKER_LAYER_GZIP),
        (Format::Docker, "application/octet-stream", mt::DOCKER_LAYER_GZIP),
    ] {
        let value = manifest(format, config, &[layer, layer]);
        let ManifestKind::Image(image) = kind_of(&value) else { panic!("{value}") };
        assert_eq!((image.format, image.layers.len()), (format, 2));
        // The media type may be missing inside, or be all there is.
        let mut silent = value.clone();
        silent.as_object_mut().unwrap().remove("mediaType");
        assert_eq!(parse(format.manifest(), &silent).unwrap(), ManifestKind::Image(image.clone()));
        assert_eq!(parse("", &value).unwrap(), ManifestKind::Image(image));
    }
    let empty = manifest(Format::Oci, mt::OCI_CONFIG, &[]);
    assert!(matches!(kind_of(&empty), ManifestKind::Image(_)));
    let mut null = empty;
    null["layers"] = Value::Null;
    assert!(matches!(kind_of(&null), ManifestKind::Image(_)));
}

#[test]
fn nothing_is_lost() {
    let text = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"a/b","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":1,"x":[1]},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0,"urls":["u"]}],"subject":{"mediaType":"m","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":2},"annotations":{"a":"1","b":"2"},"z":{"y":null},"b":[]}"#;
    let ManifestKind::Image(image) = ManifestKind::parse(mt::OCI_MANIFEST, text.as_bytes()).unwrap() else {
        panic!()
    };
    assert_eq!(String::from_utf8(image.to_json()).unwrap(), text);
    let text = r#"{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.list.v2+json","manifests":[{"mediaType":"application/vnd.docker.distribution.manifest.v2+json","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":1,"platform":{"architecture":"arm","os":"linux","variant":"v7","features":["f"]}}],"annotations":{"k":"v"},"other":true}"#;
    let ManifestKind::Index(index) = ManifestKind::parse(mt::DOCKER_LIST, text.as_bytes()).unwrap() else {
        panic!()
    };
    assert_eq!(String::from_utf8(index.to_json()).unwrap(), text);
}

#[test]
fn a_second_parser_agrees() {
    let image = manifest(Format::Oci, mt::OCI_CONFIG, &[mt::OCI_LAYER_GZIP, mt::OCI_LAYER]);
    let ManifestKind::Image(ours) = kind_of(&image) else { panic!() };
    let theirs = oci_spec::image::ImageManifest::from_reader(&ours.to_json()[..]).unwrap();
    assert_eq!(theirs.layers().len(), 2);
    for (ours, theirs) in ours.layers.iter().zip(theirs.layers()) {
        assert_eq!(ours.digest.to_string(), theirs.digest().to_string());
        assert_eq!((ours.size, ours.media_type.as_str()), (theirs.size(), theirs.media_type().as_ref()));
    }
}

#[test]
fn nydus_images() {
    let mut value = manifest(Format::Oci, mt::OCI_CONFIG, &[nydus::BLOB_MEDIA_TYPE, mt::OCI_LAYER_GZIP]);
    value["layers"][0]["annotations"] = json!({ nydus::BLOB: "true" });
    value["layers"][1]["annotations"] = json!({ nydus::BOOTSTRAP: "true" });
    let ManifestKind::Nydus(image) = kind_of(&value) else { panic!() };
    let (blobs, bootstrap) = image.nydus().unwrap();
    assert_eq!((blobs.len(), bootstrap), (1, &image.layers[1]));
    // With the config type that plain clients skip.
    value["config"] = descriptor(nydus::CONFIG_MEDIA_TYPE);
    assert!(matches!(kind_of(&value), ManifestKind::Nydus(_)));
    // A bootstrap that is not on top is none, and a blob without one is nothing.
    value["config"] = descriptor(mt::OCI_CONFIG);
    value["layers"].as_array_mut().unwrap().swap(0, 1);
    let ManifestKind::UnknownLayers(layer) = kind_of(&value) else { panic!() };
    assert_eq!((layer.number, layer.count), (2, 2));
}

#[test]
fn indexes() {
    for (format, media_type) in [(Format::Oci, mt::OCI_INDEX), (Format::Docker, mt::DOCKER_LIST)] {
        let value = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": [descriptor(format.manifest())] });
        let ManifestKind::Index(index) = kind_of(&value) else { panic!() };
        assert_eq!((index.format, index.manifests.len()), (format, 1));
    }
    let silent = json!({ "schemaVersion": 2, "manifests": [] });
    assert!(matches!(parse("", &silent), Ok(ManifestKind::Index(_))));
    let null = json!({ "schemaVersion": 2, "manifests": null });
    assert!(matches!(parse(mt::OCI_INDEX, &null), Ok(ManifestKind::Index(_))));
}

#[test]
fn index_entries() {
    let entry = |media_type: &str, os: &str| {
        let mut entry = Descriptor::new(media_type, Digest::sha256(b""), 0);
        entry.platform =
            (!os.is_empty()).then(|| Platform::new(os, if os == "unknown" { os } else { "amd64" }));
        entry
    };
    let typed = |artifact_type: &str| {
        let mut entry = entry(mt::OCI_MANIFEST, "linux");
        entry.artifact_type = Some(artifact_type.to_owned());
        entry
    };
    let mut legacy = entry(mt::DOCKER_MANIFEST, "linux");
    legacy.platform.as_mut().unwrap().os_features.push(nydus::LEGACY_OS_FEATURE.to_owned());
    let attestation =
        entry(mt::OCI_MANIFEST, "").annotated("vnd.docker.reference.type", "attestation-manifest");
    let table = [
        (entry(mt::OCI_MANIFEST, "linux"), EntryKind::Image),
        (entry(mt::DOCKER_MANIFEST, ""), EntryKind::Image),
        (entry(mt::OCI_MANIFEST, "unknown"), EntryKind::Extra),
        (attestation, EntryKind::Extra),
        (entry(mt::OCI_INDEX, ""), EntryKind::Index),
        (entry(mt::DOCKER_LIST, "linux"), EntryKind::Index),
        (entry("application/vnd.dev.cosign.simplesigning.v1+json", ""), EntryKind::Extra),
        (typed(nydus::ARTIFACT_TYPE), EntryKind::Nydus),
        (typed("application/spdx+json"), EntryKind::Extra),
        (typed(mt::OCI_CONFIG), EntryKind::Image),
        (legacy, EntryKind::Nydus),
        (entry(mt::DOCKER_SCHEMA1, "linux"), EntryKind::Image),
    ];
    for (entry, kind) in table {
        assert_eq!(EntryKind::of(&entry), kind, "{entry:?}");
    }
}

#[test]
fn what_cannot_be_converted_says_so() {
    let encrypted = "application/vnd.oci.image.layer.v1.tar+gzip+encrypted";
    let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    let mut typed = manifest(Format::Oci, mt::OCI_CONFIG, &["application/vnd.in-toto+json"]);
    typed["artifactType"] = json!("application/x");
    let table = [
        (manifest(Format::Oci, mt::OCI_CONFIG, &[mt::OCI_LAYER, encrypted]), "layer 2 of 2", "is encrypted"),
        (
            manifest(Format::Docker, mt::DOCKER_CONFIG, &[foreign, mt::DOCKER_LAYER_GZIP]),
            "layer 1 of 2",
            "not distributable",
        ),
        (manifest(Format::Oci, mt::OCI_CONFIG, &[mt::OCI_LAYER, "a/b"]), "layer 2 of 2", "\"a/b\""),
        (manifest(Format::Oci, mt::OCI_CONFIG, &["application/vnd.in-toto+json"]), "artifact", "in-toto"),
        (manifest(Format::Oci, "application/vnd.cncf.helm.config.v1+json", &["a/b"]), "artifact", "helm"),
        (
            manifest(Format::Docker, "application/vnd.docker.plugin.v1+json", &[mt::DOCKER_LAYER_GZIP]),
            "artifact",
            "plugin",
        ),
        (typed, "artifact", "application/x"),
        (json!({ "mediaType": mt::OCI_ARTIFACT, "artifactType": "a/b", "blobs": [] }), "artifact", "a/b"),
        (
            json!({ "schemaVersion": 1, "mediaType": mt::DOCKER_SCHEMA1_SIGNED, "fsLayers": [] }),
            "schema 1",
            "obsolete",
        ),
        (json!({ "schemaVersion": 1, "mediaType": mt::DOCKER_SCHEMA1, "name": "x" }), "schema 1", "obsolete"),
    ];
    for (value, first, second) in table {
        let error = kind_of(&value).refusal().unwrap();
        let text = error.to_string();
        assert!(text.contains(first) && text.contains(second), "{text}");
        assert_eq!(ImageError::from(error).kind(), ErrorKind::Unsupported);
    }
    // Schema 1 without any media type; and a descriptor that names no manifest at all.
    assert_eq!(
        parse("", &json!({ "schemaVersion": 1, "fsLayers": [] })).unwrap(),
        ManifestKind::DockerSchema1
    );
    let kind = ManifestKind::parse("text/plain", b"not even JSON").unwrap();
    assert_eq!(kind, ManifestKind::Artifact { artifact_type: "text/plain".into() });
    assert!(kind_of(&manifest(Format::Oci, mt::OCI_CONFIG, &[mt::OCI_LAYER])).refusal().is_none());
}

#[test]
fn contradictions() {
    let image = manifest(Format::Oci, mt::OCI_CONFIG, &[mt::OCI_LAYER]);
    // The document knows better than its descriptor or a server.
    for other in
        [mt::DOCKER_MANIFEST, mt::OCI_INDEX, mt::DOCKER_SCHEMA1, "application/json", "text/html", "x/y"]
    {
        assert_eq!(parse(other, &image).unwrap(), kind_of(&image), "{other}");
    }
    let mut both = image.clone();
    both["manifests"] = json!([descriptor(mt::OCI_MANIFEST)]);
    assert!(matches!(parse(mt::OCI_MANIFEST, &both), Err(ImageError::Ambiguous { field: "manifests", .. })));
    both["manifests"] = json!([]);
    assert!(parse(mt::OCI_MANIFEST, &both).is_ok());
    both["fsLayers"] = json!([{ "blobSum": "x" }]);
    assert!(matches!(parse(mt::OCI_MANIFEST, &both), Err(ImageError::Ambiguous { field: "fsLayers", .. })));
    let index = json!({ "schemaVersion": 2, "manifests": [], "layers": [descriptor(mt::OCI_LAYER)] });
    assert!(matches!(parse(mt::OCI_INDEX, &index), Err(ImageError::Ambiguous { field: "layers", .. })));
    let index = json!({ "schemaVersion": 2, "manifests": [], "config": descriptor(mt::OCI_CONFIG) });
    assert!(matches!(parse("", &index), Err(ImageError::Ambiguous { field: "config", .. })));
}

#[test]
fn hostile_json() {
    let bad = [
        String::new(),
        "null".into(),
        "[]".into(),
        "{".into(),
        "{\"schemaVersion\":2}".into(),
        "{\"schemaVersion\":\"2\",\"config\":{},\"layers\":[]}".into(),
        "{\"schemaVersion\":2,\"config\":{},\"layers\":[]}".into(),
        manifest(Format::Oci, mt::OCI_CONFIG, &[]).to_string() + "x",
        manifest(Format::Oci, mt::OCI_CONFIG, &[]).to_string().replacen("\"layers\":[]", "\"layers\":{}", 1),
        manifest(Format::Oci, mt::OCI_CONFIG, &[mt::OCI_LAYER]).to_string().replacen(
            "sha256:",
            "sha256:../",
            2,
        ),
        manifest(Format::Oci, mt::OCI_CONFIG, &[]).to_string().replacen("{", "{\"layers\":[],", 1),
        format!("{{\"schemaVersion\":2,\"config\":{}{}}}", "[".repeat(200_000), "]".repeat(200_000)),
    ];
    for text in &bad {
        let error = ManifestKind::parse(mt::OCI_MANIFEST, text.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Verification, "{}: {error}", &text[..text.len().min(80)]);
    }
    let strange = manifest(Format::Oci, mt::OCI_CONFIG, &[]).to_string().replace(":2,", ":3,");
    let error = ManifestKind::parse(mt::OCI_MANIFEST, strange.as_bytes()).unwrap_err();
    assert!(matches!(error, ImageError::SchemaVersion { version: 3 }));
    let large = vec![b' '; MAX_MANIFEST as usize + 1];
    let error = ManifestKind::parse(mt::OCI_MANIFEST, &large).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceLimit);
    let escapes = json!({ "schemaVersion": 2, "mediaType": "\u{1b}[31m".to_owned() + &"x".repeat(1000) });
    let text = parse(mt::OCI_MANIFEST, &escapes).unwrap_err().to_string();
    assert!(!text.contains('\u{1b}') && text.len() < 400, "{text}");
}

#[test]
fn configs() {
    let id = Digest::sha256(b"layer").to_string();
    let text = format!(
        r#"{{"created":"2020-01-01T00:00:00Z","x":1.0,"architecture":"arm64","os":"linux","variant":"v8","os.features":["f"],"config":{{"Env":["A=1"],"Healthcheck":{{"Interval":30000000000}}}},"rootfs":{{"type":"layers","diff_ids":["{id}"]}},"history":[{{"created_by":"a","y":1}}],"z":null}}"#
    );
    let config = Config::parse(text.as_bytes()).unwrap();
    assert_eq!(String::from_utf8(config.to_json()).unwrap(), text);
    assert_eq!(config.diff_ids().iter().map(ToString::to_string).collect::<Vec<_>>(), [id]);
    assert_eq!(config.history().len(), 1);
    let platform = config.platform().unwrap();
    assert_eq!((platform.to_string().as_str(), platform.os_features.len()), ("linux/arm64/v8", 1));
    assert_eq!(config.fields()["config"]["Env"][0], "A=1");
    let theirs = oci_spec::image::ImageConfiguration::from_reader(text.as_bytes()).unwrap();
    assert_eq!(theirs.rootfs().diff_ids().len(), 1);

    let bare = Config::parse(b"{}").unwrap();
    assert!(bare.diff_ids().is_empty() && bare.history().is_empty() && bare.platform().is_none());
    for bad in [
        "",
        "[]",
        r#"{"rootfs":{"diff_ids":["x"]}}"#,
        r#"{"rootfs":{"diff_ids":[1]}}"#,
        r#"{"rootfs":{"diff_ids":{}}}"#,
    ] {
        assert_eq!(Config::parse(bad.as_bytes()).unwrap_err().kind(), ErrorKind::Verification, "{bad}");
    }
    let large = vec![b' '; MAX_CONFIG as usize + 1];
    assert_eq!(Config::parse(&large).unwrap_err().kind(), ErrorKind::ResourceLimit);
}

#[test]
fn layers_and_diff_ids_are_paired() {
    let ManifestKind::Image(image) = kind_of(&manifest(Format::Oci, mt::OCI_CONFIG, &[mt::OCI_LAYER])) else {
        panic!()
    };
    let one = json!({ "rootfs": { "diff_ids": [Blob::of(b"").digest.to_string()] } });
    assert!(check_layers(&image, &Config::parse(one.to_string().as_bytes()).unwrap()).is_ok());
    let error = check_layers(&image, &Config::parse(b"{}").unwrap()).unwrap_err();
    assert!(matches!(error, ImageError::LayerCount { layers: 1, diff_ids: 0 }));
}
