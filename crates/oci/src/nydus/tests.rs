#![allow(clippy::unwrap_used)]
use std::io::{self, Read};

use serde_json::json;

use super::*;
use crate::image::{Config, Format, Index, ManifestKind};
use crate::ustar;
use crate::{
    Annotations, Blob, Descriptor, Digest, ErrorKind, Platform, VerifyingReader, decompress, media_type as mt,
};

fn layer(bootstrap: &[u8], extras: &[(&str, &[u8])]) -> (Vec<u8>, StoredBootstrap) {
    let size = bootstrap.len() as u64;
    let mut writer = BootstrapWriter::new(Vec::new(), size, |out| out.write_all(bootstrap)).unwrap();
    extras.iter().for_each(|(name, content)| writer.extra(name, content).unwrap());
    writer.finish().unwrap()
}

fn untar(gzipped: &[u8]) -> Vec<u8> {
    let mut tar = Vec::new();
    decompress(gzipped, u64::MAX).unwrap().read_to_end(&mut tar).unwrap();
    tar
}

#[test]
fn bootstrap_layers_are_written_and_read() {
    for size in [0, 1, 511, 512, 513, 100_000] {
        let bootstrap: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
        let (bytes, stored) = layer(&bootstrap, &[(ORIGIN_PATH, b"origin"), ("image/x", b"")]);
        assert_eq!(stored.blob, Blob::of(&bytes));
        let tar = untar(&bytes);
        assert_eq!(stored.diff_id.0, Digest::sha256(&tar));
        assert_eq!(tar.len() % 512, 0);
        let expected = Bootstrap {
            bytes: bootstrap,
            origin: Some(b"origin".to_vec()),
            layers: None,
            diff_id: stored.diff_id,
        };
        assert_eq!(read_bootstrap(&bytes[..], 200_000).unwrap(), expected);
        assert_eq!(read_bootstrap(&tar[..], 200_000).unwrap(), expected, "plain");
    }
}

#[test]
fn another_tar_reader_sees_the_same() {
    let (bytes, _) = layer(b"boot", &[(ORIGIN_PATH, b"origin")]);
    let tar = untar(&bytes);
    let mut archive = tar::Archive::new(&tar[..]);
    let mut seen = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let header = entry.header().clone();
        assert_eq!((header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap()), (0, 0, 0));
        let mut content = String::new();
        entry.read_to_string(&mut content).unwrap();
        let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        seen.push((path, header.entry_type().as_byte(), header.mode().unwrap(), content));
    }
    let row = |path: &str, kind, mode, content: &str| (path.to_owned(), kind, mode, content.to_owned());
    assert_eq!(
        seen,
        [
            row("image", b'5', 0o755, ""),
            row("image/image.boot", b'0', 0o444, "boot"),
            row("image/image.origin", b'0', 0o444, "origin")
        ]
    );
}

#[test]
fn the_bytes_are_known() {
    let (bytes, stored) = layer(b"boot", &[]);
    // The gzip header: no flags, no time, no hints, unknown system.
    assert_eq!(bytes[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
    // Go's archive/tar makes the same bytes of the same two entries: computed with Go 1.26.8.
    assert_eq!(
        stored.diff_id.to_string(),
        "sha256:315d6c3e0a9da440f2c6058c86b13f4a6ae0c44e48d332947b4d37c85d97f8f0"
    );
    // Compressed by zlib-rs 0.6.8. Another encoder is another output: that belongs into the changelog.
    assert_eq!(
        stored.blob.digest.to_string(),
        "sha256:544d63bfdf1a36ced96854a38ed12ec292d7a0690b15f3aad13de4296aa8d846"
    );
}

#[test]
fn writers_keep_their_word() {
    let short = BootstrapWriter::new(Vec::new(), 5, |out| out.write_all(b"four"));
    assert!(matches!(short, Err(BootstrapError::WrongSize { expected: 5, actual: 4, .. })));
    let mut writer = BootstrapWriter::new(Vec::new(), 0, |_| Ok(())).unwrap();
    assert!(matches!(writer.extra(&"x".repeat(101), b""), Err(BootstrapError::BadFile { .. })));
}

fn archive(entries: &[(&str, tar::EntryType, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, kind, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn layers_of_other_tools() {
    use tar::EntryType as T;
    let boot = |entries: &[(&str, T, &[u8])]| read_bootstrap(&archive(entries)[..], 1000);
    assert_eq!(boot(&[("image.boot", T::Regular, b"old")]).unwrap().bytes, b"old");
    let both = boot(&[("image.boot", T::Regular, b"old"), ("image/image.boot", T::Regular, b"new")]).unwrap();
    assert_eq!(both.bytes, b"new");
    assert_eq!(boot(&[("./image/image.boot", T::Regular, b"x")]).unwrap().bytes, b"x");
    let pax =
        boot(&[("h", T::XHeader, b"20 comment=whatever\n"), ("image/image.boot", T::Regular, b"x")]).unwrap();
    assert_eq!((pax.bytes, pax.origin), (b"x".to_vec(), None));
    let behind =
        boot(&[("image/backend.json", T::Regular, &[b' '; 900]), ("image/image.boot", T::Regular, b"x")]);
    assert_eq!(behind.unwrap().bytes, b"x");
    let mut no_trailer = archive(&[("image/image.boot", T::Regular, b"x")]);
    no_trailer.truncate(1024);
    assert_eq!(read_bootstrap(&no_trailer[..], 10).unwrap().bytes, b"x");
}

#[test]
fn hostile_layers() {
    use tar::EntryType as T;
    let error = |bytes: &[u8]| read_bootstrap(bytes, 1000).unwrap_err();
    assert!(matches!(error(&archive(&[])), BootstrapError::Missing));
    assert!(matches!(error(b""), BootstrapError::Missing));
    assert!(matches!(
        error(&archive(&[("image/image.boot", T::Symlink, b"")])),
        BootstrapError::NotAFile { .. }
    ));
    let twice = archive(&[("image/image.boot", T::Regular, b"a"), ("./image/image.boot", T::Regular, b"b")]);
    assert!(matches!(error(&twice), BootstrapError::Twice { .. }));
    let large = archive(&[("image/image.boot", T::Regular, &[1; 1001])]);
    let too_large = error(&large);
    assert!(matches!(too_large, BootstrapError::TooLarge { size: 1001, limit: 1000, .. }));
    assert_eq!(too_large.kind(), ErrorKind::ResourceLimit);
    assert!(matches!(error(&[b'x'; 1024]), BootstrapError::NotATar { offset: 0 }));
    let empty = archive(&[("image/image.boot", T::Regular, &vec![0; 80 << 20])]);
    assert_eq!(read_bootstrap(&empty[..], 1 << 30).unwrap().bytes.len(), 80 << 20);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    io::Write::write_all(&mut encoder, &empty).unwrap();
    let bomb = read_bootstrap(&encoder.finish().unwrap()[..], 1 << 30).unwrap_err();
    assert!(
        matches!(bomb, BootstrapError::OutOfProportion { .. }) && bomb.kind() == ErrorKind::ResourceLimit
    );
    // What nobody would read is not written.
    let zeros = |out: &mut dyn io::Write| (0..40).try_for_each(|_| out.write_all(&[0; 1 << 20]));
    let written = BootstrapWriter::new(Vec::new(), 40 << 20, zeros).err().unwrap();
    assert!(matches!(written, BootstrapError::OutOfProportion { .. }));
    let good = archive(&[("image/image.boot", T::Regular, &[1; 700])]);
    for cut in [100, 512, 1000, 1300, 1535] {
        assert!(matches!(error(&good[..cut]), BootstrapError::Truncated { .. }), "{cut}");
    }
    // A size that the stream does not have must not be reserved.
    let mut liar = ustar::header("image/image.boot", b'0', 0o444, (1 << 33) - 1).to_vec();
    liar.extend_from_slice(&[0; 512]);
    assert!(matches!(
        read_bootstrap(&liar[..], u64::MAX).unwrap_err(),
        BootstrapError::Truncated { offset: 1024 }
    ));
    // What is below keeps its kind.
    let (bytes, _) = layer(b"boot", &[]);
    let wrong = VerifyingReader::with(&bytes[..], Digest::sha256(b""), bytes.len() as u64);
    assert_eq!(read_bootstrap(wrong, 1000).unwrap_err().kind(), ErrorKind::Verification);
    assert!(matches!(error(&bytes[..bytes.len() - 1]).kind(), ErrorKind::Verification));
}

fn source(format: Format) -> (crate::Manifest, Config) {
    let digest = Digest::sha256(b"layer");
    let value = json!({
        "schemaVersion": 2,
        "mediaType": format.manifest(),
        "config": { "mediaType": format.config(), "digest": digest, "size": 1 },
        "layers": [{ "mediaType": format.layer_gzip(), "digest": digest, "size": 5 }],
        "annotations": { "org.opencontainers.image.title": "t", "k": "theirs" },
        "x-unknown": 1,
    });
    let ManifestKind::Image(manifest) = ManifestKind::parse("", value.to_string().as_bytes()).unwrap() else {
        panic!()
    };
    let config = json!({
        "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": [digest], "extra": true },
        "config": { "Cmd": ["sh"] },
        "history": [{ "created": "2020-01-01T00:00:00Z", "created_by": "x" }],
        "architecture": "amd64",
        "moby.buildkit.buildinfo.v1": "e30=",
    });
    (manifest, Config::parse(config.to_string().as_bytes()).unwrap())
}

fn stored() -> StoredBootstrap {
    StoredBootstrap { blob: Blob::of(b"bootstrap.gz"), diff_id: crate::DiffId(Digest::sha256(b"bootstrap")) }
}

#[test]
fn the_config_differs_in_two_places_only() {
    let (_, config) = source(Format::Oci);
    let blob = Blob::of(b"blob");
    let new = super::config(&config, &[blob], &stored());
    let expected = format!(
        r#"{{"os":"linux","rootfs":{{"type":"layers","diff_ids":["{}","{}"],"extra":true}},"config":{{"Cmd":["sh"]}},"history":[{{"created":"2020-01-01T00:00:00Z","created_by":"x"}},{{"created_by":"Nydus Converter","comment":"Nydus Bootstrap Layer"}}],"architecture":"amd64","moby.buildkit.buildinfo.v1":"e30="}}"#,
        blob.digest,
        stored().diff_id
    );
    assert_eq!(String::from_utf8(new.to_json()).unwrap(), expected);
    assert_eq!(new.diff_ids().len(), 2);
    let bare = super::config(&Config::parse(b"{}").unwrap(), &[], &stored());
    assert_eq!(Config::parse(&bare.to_json()).unwrap(), bare);
    assert_eq!(bare.history().len(), 1);
    let theirs = oci_spec::image::ImageConfiguration::from_reader(&new.to_json()[..]).unwrap();
    assert_eq!(theirs.rootfs().diff_ids().len(), 2);
}

fn parts<'a>(source: &'a crate::Manifest, config: &Config) -> ManifestParts<'a> {
    let config = Blob::of(&config.to_json()).descriptor(source.format.config());
    let mut subject = Blob::of(b"subject").descriptor(source.format.manifest());
    subject.platform = Some(Platform::new("linux", "amd64"));
    ManifestParts {
        source,
        source_digest: Digest::sha256(b"manifest"),
        source_reference: Some("docker.io/library/x:latest"),
        config,
        blobs: vec![blob_descriptor(Blob::of(b"blob"))],
        bootstrap: bootstrap_descriptor(source.format, stored().blob, FsVersion::V6),
        fs_version: FsVersion::V6,
        builder_version: Some("1"),
        artifact_type: Some(ARTIFACT_TYPE),
        subject: Some(subject),
        annotations: Annotations::from([("k".into(), "mine".into())]),
    }
}

#[test]
fn manifests() {
    let (manifest, config) = source(Format::Oci);
    let new = parts(&manifest, &config).assemble();
    let (d, blob, boot) = (Digest::sha256(b"manifest"), Digest::sha256(b"blob"), stored().blob);
    let c = Blob::of(&config.to_json());
    let s = Blob::of(b"subject");
    let expected = format!(
        concat!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","#,
            r#""artifactType":"application/vnd.nydus.image.manifest.v1+json","#,
            r#""config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{}","size":{}}},"#,
            r#""layers":[{{"mediaType":"application/vnd.oci.image.layer.nydus.blob.v1","digest":"{}","size":4,"#,
            r#""annotations":{{"containerd.io/snapshot/nydus-blob":"true"}}}},"#,
            r#"{{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"{}","size":12,"#,
            r#""annotations":{{"containerd.io/snapshot/nydus-bootstrap":"true","containerd.io/snapshot/nydus-fs-version":"6"}}}}],"#,
            r#""subject":{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{}","size":7}},"#,
            r#""annotations":{{"containerd.io/snapshot/nydus-builder-version":"1","containerd.io/snapshot/nydus-fs-version":"6","#,
            r#""containerd.io/snapshot/nydus-source-digest":"{}","containerd.io/snapshot/nydus-source-reference":"docker.io/library/x:latest","#,
            r#""k":"mine","org.opencontainers.image.title":"t"}}}}"#
        ),
        c.digest, c.size, blob, boot.digest, s.digest, d
    );
    assert_eq!(String::from_utf8(new.to_json()).unwrap(), expected);
    let ManifestKind::Nydus(again) = ManifestKind::parse(mt::OCI_MANIFEST, expected.as_bytes()).unwrap()
    else {
        panic!()
    };
    assert_eq!(again, new);
    assert_eq!(oci_spec::image::ImageManifest::from_reader(expected.as_bytes()).unwrap().layers().len(), 2);
}

#[test]
fn docker_stays_docker() {
    let (manifest, config) = source(Format::Docker);
    let new = parts(&manifest, &config).assemble();
    assert_eq!(new.artifact_type, None);
    assert_eq!(new.config.media_type, mt::DOCKER_CONFIG);
    let types: Vec<&str> = new.layers.iter().map(|layer| layer.media_type.as_str()).collect();
    assert_eq!(types, [BLOB_MEDIA_TYPE, mt::DOCKER_LAYER_GZIP]);
    assert!(new.layers[1].annotations.contains_key(BOOTSTRAP));
    assert!(matches!(ManifestKind::parse(mt::DOCKER_MANIFEST, &new.to_json()), Ok(ManifestKind::Nydus(_))));
}

#[test]
fn indexes() {
    let arm = Platform { variant: Some("v8".into()), ..Platform::new("linux", "arm64") };
    let entry = |platform: Option<Platform>| {
        let mut entry = Blob::of(b"old").descriptor(mt::OCI_MANIFEST).annotated("a", "kept");
        entry.platform = platform;
        entry
    };
    let extra: Descriptor = serde_json::from_value(json!({
        "mediaType": mt::OCI_MANIFEST, "digest": Digest::sha256(b"att"), "size": 3, "urls": ["u"],
        "platform": { "os": "unknown", "architecture": "unknown" },
        "annotations": { "vnd.docker.reference.type": "attestation-manifest" },
    }))
    .unwrap();
    for format in [Format::Oci, Format::Docker] {
        let source = Index {
            format,
            artifact_type: None,
            manifests: vec![],
            unreadable: Vec::new(),
            subject: None,
            annotations: Annotations::from([("i".into(), "kept".into())]),
            other: serde_json::Map::new(),
        };
        let config_platform = Platform::new("linux", "amd64");
        let stated = index_entry(
            format,
            &entry(Some(arm.clone())),
            Blob::of(b"new"),
            config_platform.clone(),
            Some(ARTIFACT_TYPE),
        );
        let filled = index_entry(format, &entry(None), Blob::of(b"new2"), config_platform.clone(), None);
        assert_eq!(stated.platform.as_ref(), Some(&arm));
        assert_eq!(filled.platform.as_ref(), Some(&config_platform));
        assert_eq!(stated.annotations["a"], "kept");
        assert_eq!(stated.artifact_type.is_some(), format == Format::Oci);
        assert_eq!(filled.artifact_type, None);
        let entries = vec![stated, extra.clone(), filled];
        let annotations = Annotations::from([("u".into(), "mine".into())]);
        let index = IndexParts { source: &source, entries, annotations }.assemble();
        assert_eq!(index.manifests[1], extra);
        assert_eq!(index.annotations.get("i").unwrap(), "kept");
        assert_eq!(index.annotations.contains_key("u"), format == Format::Oci);
        let ManifestKind::Index(again) = ManifestKind::parse(format.index(), &index.to_json()).unwrap()
        else {
            panic!()
        };
        assert_eq!(again, index);
    }
}
