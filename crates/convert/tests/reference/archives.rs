//! Images in files: OCI layouts in a tar, what `docker save` and `podman save` write; real tools on both sides.
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::support::cli::{Run, json as read_json, json_root, latest, ok, ok_bytes, run, snapshot};
use crate::support::oci::{Compression, Layer, Layout};
use crate::support::tars::Tar;
use crate::support::tools::Tool;
use crate::support::tree::{Ignore, Tree};
use crate::support::{require, sha256_hex};
use serde_json::{Value, json};

/// A layer with one file, big enough to have content.
fn layer(text: &str, compression: Compression) -> Layer {
    let tar = Tar::new().dir("etc", 0o755).file(&format!("etc/{text}"), text.repeat(2000)).finish();
    Layer { compression, ..Layer::new(tar) }
}

fn layers() -> [Layer; 2] {
    [layer("one", Compression::Gzip), layer("two", Compression::None)]
}

fn layout(dir: &Path) -> PathBuf {
    let layout = dir.join("plain");
    Layout::of(layers()).write(&layout);
    layout
}

fn digest(run: &Run) -> String {
    run.stdout.trim().rsplit('@').next().unwrap().to_owned()
}

/// `to-nydus` with a way back that does not depend on recognising an encoder.
fn nydus(source: &str, target: &str) -> Run {
    ok(["to-nydus", "-q", "--replay", "proven", source, target])
}

/// Converts `source` there and back; gives the manifest that came back, and checks that the layers are these.
fn there_and_back(dir: &Path, source: &str, layers: &[Vec<u8>]) -> Value {
    let (there, back) = (dir.join("there"), dir.join("back"));
    for old in [&there, &back] {
        let _ = fs::remove_dir_all(old);
    }
    nydus(source, &latest(&there));
    ok(["check", "-q", &latest(&there)]);
    ok(["to-oci", "-q", &latest(&there), &latest(&back)]);
    let manifest = read_json(&back, &json_root(&back));
    let digests: Vec<Value> = layers.iter().map(|l| json!(format!("sha256:{}", sha256_hex(l)))).collect();
    let own: Vec<Value> =
        manifest["layers"].as_array().unwrap().iter().map(|layer| layer["digest"].clone()).collect();
    assert_eq!(own, digests, "{source}");
    ok(["check", "-q", source]);
    manifest
}

#[test]
fn a_nydus_image_in_an_archive() {
    let dir = tempfile::tempdir().unwrap();
    let plain = layout(dir.path());
    let archive = dir.path().join("sub/images.tar");
    let name = format!("oci-archive:{}", archive.display());
    let there = nydus(&latest(&plain), &format!("{name}:nydus"));
    assert_eq!(there.stdout.trim(), format!("{name}:nydus@{}", digest(&there)));

    // Read where it is, by the name that was printed.
    ok(["check", "-q", there.stdout.trim()]);
    assert_eq!(ok_bytes(["cat", &name, "/etc/two"]), "two".repeat(2000).as_bytes());
    assert!(ok(["ls", &name, "/etc"]).stdout.contains("one"));
    assert!(ok(["inspect", "--blobs", &name]).stdout.contains("sha256"));
    let back = ok(["to-oci", "-q", &name, &format!("{name}:plain")]);
    assert_eq!(digest(&back), json_root(&plain), "the other image of the archive was taken along");
    ok(["check", "-q", &format!("{name}:nydus")]);
    ok(["check", "-q", &format!("{name}:plain")]);
    assert_eq!(fs::read_dir(archive.parent().unwrap()).unwrap().count(), 1, "nothing else is left there");

    // The same bytes, however many threads.
    let other = dir.path().join("other.tar");
    for jobs in ["1", "4"] {
        let target = format!("oci-archive:{}:nydus", other.display());
        ok(["to-nydus", "-q", "--replay", "proven", "-j", jobs, &latest(&plain), &target]);
        let target = format!("oci-archive:{}:plain", other.display());
        ok(["to-oci", "-q", "-j", jobs, &format!("oci-archive:{}:nydus", other.display()), &target]);
        assert_eq!(fs::read(&other).unwrap(), fs::read(&archive).unwrap(), "{jobs}");
        fs::remove_file(&other).unwrap();
    }

    let two = run(["check", &name]);
    assert_eq!(two.code, Some(4), "{two:?}");
    assert!(two.stderr.contains("name one of: nydus, plain"), "{}", two.stderr);
}

#[test]
fn other_tools_read_and_write_the_same_archives() {
    require!("skopeo", "tar");
    let dir = tempfile::tempdir().unwrap();
    let plain = layout(dir.path());
    let skopeo = |from: &str, to: &str| {
        Tool::get("skopeo").run(["copy", "--insecure-policy", "--preserve-digests", from, to]);
    };
    let (theirs, ours) = (dir.path().join("theirs.tar"), dir.path().join("ours.tar"));
    let (theirs_name, ours_name) =
        (format!("oci-archive:{}:a", theirs.display()), format!("oci-archive:{}:b", ours.display()));
    skopeo(&latest(&plain), &theirs_name);
    let there = nydus(&theirs_name, &ours_name);
    let copied = dir.path().join("copied");
    skopeo(&ours_name, &latest(&copied));
    assert_eq!(json_root(&copied), digest(&there));
    ok(["check", "-q", &latest(&copied)]);
    let back = ok(["to-oci", "-q", "--force", &ours_name, &ours_name]);
    assert_eq!(digest(&back), json_root(&plain));
    skopeo(&ours_name, &latest(&dir.path().join("again")));
    assert_eq!(json_root(&dir.path().join("again")), json_root(&plain));

    // As people pack a layout by hand: with ./ in front, compressed.
    for (file, flags) in [("hand.tar", "-cf"), ("hand.tgz", "-czf")] {
        let hand = dir.path().join(file);
        let into = ["-C".as_ref(), plain.as_os_str(), ".".as_ref()];
        Tool::get("tar").run([flags.as_ref(), hand.as_os_str()].into_iter().chain(into));
        let target = format!("{ours_name}-{file}");
        assert_eq!(digest(&nydus(&format!("oci-archive:{}", hand.display()), &target)), digest(&there));
    }
}

#[test]
fn an_archive_that_cannot_be_written_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let plain = layout(dir.path());
    let archive = dir.path().join("a.tar");
    fs::write(&archive, "not ours").unwrap();
    let before = snapshot(dir.path());
    let name = format!("oci-archive:{}:x", archive.display());
    let refused = run(["to-nydus", "-q", &latest(&plain), &name]);
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert_eq!(snapshot(dir.path()), before);

    fs::write(&archive, Tar::new().file("some", "thing").finish()).unwrap();
    let refused = run(["to-nydus", "-q", &latest(&plain), &name]);
    assert!(refused.stderr.contains("is not an OCI layout"), "{}", refused.stderr);

    // A run that fails on the way leaves the archive, and nothing beside it.
    fs::remove_file(&archive).unwrap();
    let good = nydus(&latest(&plain), &name);
    let broken = dir.path().join("broken");
    Layout::of([Layer { stored: Some(b"no gzip".to_vec()), ..layers()[0].clone() }]).write(&broken);
    let before = snapshot(dir.path());
    assert_ne!(run(["to-nydus", "-q", &latest(&broken), &name]).code, Some(0));
    assert_eq!(snapshot(dir.path()), before);
    ok(["check", "-q", good.stdout.trim()]);
}

/// An archive as `docker save` writes it, in one of its shapes.
struct Saved {
    tar: Tar,
    list: Vec<Value>,
}

impl Saved {
    fn new() -> Saved {
        Saved { tar: Tar::new(), list: Vec::new() }
    }

    fn config(layers: &[Layer]) -> String {
        let ids: Vec<String> = layers.iter().map(|l| format!("sha256:{}", sha256_hex(&l.tar))).collect();
        json!({ "architecture": "arm64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": ids } })
            .to_string()
    }

    /// The shape of docker up to 24: a directory for each layer, links where layers are equal.
    fn classic(mut self, tags: Value, layers: &[Layer]) -> Saved {
        let config = Saved::config(layers);
        let name = format!("{}.json", sha256_hex(config.as_bytes()));
        let mut names: Vec<String> = Vec::new();
        for (number, layer) in layers.iter().enumerate() {
            let file = format!("id{}-{number}/layer.tar", self.list.len());
            let same = layers.iter().take(number).position(|other| other.blob() == layer.blob());
            self.tar = match same {
                Some(same) => self.tar.symlink(&file, &format!("../{}", names[same])),
                None => self.tar.file(&file, layer.blob()),
            };
            names.push(file);
        }
        self.tar = self.tar.file(&name, config);
        self.list.push(json!({ "Config": name, "RepoTags": tags, "Layers": names }));
        self
    }

    /// The shape since 25: the files of an OCI layout, and the old list.
    fn layout(mut self, tags: Value, layers: &[Layer]) -> Saved {
        let config = Saved::config(layers);
        let blob = |bytes: &[u8]| format!("blobs/sha256/{}", sha256_hex(bytes));
        let names: Vec<String> = layers.iter().map(|layer| blob(&layer.blob())).collect();
        for (name, layer) in names.iter().zip(layers) {
            self.tar = self.tar.file(name, layer.blob());
        }
        self.tar = self.tar.file(&blob(config.as_bytes()), &config);
        self.list.push(json!({ "Config": blob(config.as_bytes()), "RepoTags": tags, "Layers": names }));
        self
    }

    fn write(self, path: &Path) -> String {
        let list = Value::Array(self.list).to_string();
        fs::write(path, self.tar.file("manifest.json", list).finish()).unwrap();
        format!("docker-archive:{}", path.display())
    }
}

#[test]
fn every_shape_of_docker_save() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("saved.tar");
    let plain = [layer("a", Compression::None), layer("b", Compression::None), layer("a", Compression::None)];
    let packed =
        [layer("a", Compression::Gzip), layer("b", Compression::Zstd), layer("a", Compression::Gzip)];
    for layers in [plain, packed] {
        let blobs: Vec<Vec<u8>> = layers.iter().map(Layer::blob).collect();
        let classic = Saved::new().classic(json!(["busybox:1.0", "other:2"]), &layers).write(&file);
        let from_classic = there_and_back(dir.path(), &classic, &blobs);
        let since_25 = Saved::new().layout(Value::Null, &layers[..2]).write(&file);
        there_and_back(dir.path(), &since_25, &blobs[..2]);
        // Another archive of the same image is the same image.
        let both = Saved::new()
            .classic(Value::Null, &layers[..1])
            .classic(json!(["docker.io/library/x:1"]), &layers);
        let name = both.write(&file);
        for pick in ["x:1", "docker.io/library/x:1", "@1"] {
            assert_eq!(there_and_back(dir.path(), &format!("{name}:{pick}"), &blobs), from_classic, "{pick}");
        }
        for (pick, says) in
            [("", "name one of: @0, docker.io/library/x:1"), (":x:2", "no image \"x:2\"; it has: @0")]
        {
            let refused = run(["check", &format!("{name}{pick}")]);
            assert_eq!(refused.code, Some(4), "{refused:?}");
            assert!(refused.stderr.contains(says), "{}", refused.stderr);
        }
    }
}

#[test]
fn archives_of_podman_and_skopeo() {
    require!("skopeo", "podman", "root");
    let dir = tempfile::tempdir().unwrap();
    let plain = layout(dir.path());
    let tars: Vec<Vec<u8>> = layers().iter().map(|layer| layer.tar.clone()).collect();
    let archive = dir.path().join("skopeo.tar");
    let name = format!("docker-archive:{}", archive.display());
    Tool::get("skopeo").run(["copy", "--insecure-policy", &latest(&plain), &format!("{name}:some/name:1")]);
    there_and_back(dir.path(), &format!("{name}:some/name:1"), &tars);

    let podman = |arguments: &[&str]| {
        let (root, run) = (dir.path().join("podman"), dir.path().join("podman-run"));
        let mut command = Tool::get("podman").command();
        command.arg("--root").arg(&root).arg("--runroot").arg(&run).args(["--storage-driver", "vfs"]);
        let output = command.args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    podman(&["load", "-q", "-i", archive.to_str().unwrap()]);
    let saved = dir.path().join("podman.tar");
    for (format, transport) in [("docker-archive", "docker-archive"), ("oci-archive", "oci-archive")] {
        podman(&["save", "-q", "--format", format, "-o", saved.to_str().unwrap(), "some/name:1"]);
        let source = format!("{transport}:{}", saved.display());
        nydus(&source, &latest(&dir.path().join(format)));
        let back = dir.path().join(format!("{format}-back"));
        ok(["to-oci", "-q", &latest(&dir.path().join(format)), &latest(&back)]);
        let manifest = read_json(&back, &json_root(&back));
        let config = read_json(&back, manifest["config"]["digest"].as_str().unwrap());
        let ids: Vec<String> = tars.iter().map(|tar| format!("sha256:{}", sha256_hex(tar))).collect();
        assert_eq!(config["rootfs"]["diff_ids"], json!(ids), "{format}");
        fs::remove_file(&saved).unwrap();
    }
    // And what came back from Nydus, podman takes.
    let ours = dir.path().join("ours.tar");
    let target = format!("oci-archive:{}:some/name:2", ours.display());
    ok(["to-oci", "-q", &latest(&dir.path().join("oci-archive")), &target]);
    podman(&["load", "-q", "-i", ours.to_str().unwrap()]);
}

#[test]
fn hostile_archives() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bad.tar");
    let docker = format!("docker-archive:{}", file.display());
    let refused = |name: &str, code: i32, says: &str| {
        let before = snapshot(dir.path());
        let refused = run(["to-nydus", "-q", name, &latest(&dir.path().join("out"))]);
        assert_eq!(refused.code, Some(code), "{refused:?}");
        assert!(refused.stderr.contains(says), "{says}: {}", refused.stderr);
        assert_eq!(snapshot(dir.path()), before);
    };
    refused(&docker, 4, "there is no archive");
    refused(&format!("docker-archive:{}", dir.path().display()), 4, "is not a regular file");

    let one = [layer("a", Compression::None)];
    let whole = |saved: Saved| {
        saved.write(&file);
        fs::read(&file).unwrap()
    };
    let good = whole(Saved::new().classic(Value::Null, &one));
    fs::write(&file, &good[..3000]).unwrap();
    refused(&docker, 3, "is truncated");
    fs::write(&file, &good[..1000]).unwrap();
    refused(&docker, 3, "is truncated");
    fs::write(&file, [&good[..], b"x"].concat()).unwrap();
    ok(["check", "-q", &docker]);
    fs::write(&file, [0x55; 2000]).unwrap();
    refused(&docker, 3, "is not a tar");
    fs::write(&file, Tar::new().file("repositories", "{}").finish()).unwrap();
    refused(&docker, 4, "no file manifest.json");

    let with = |list: &str, tar: Tar| {
        fs::write(&file, tar.file("manifest.json", list).finish()).unwrap();
    };
    let config = Saved::config(&one);
    let list = r#"[{"Config":"c","Layers":["l"]}]"#;
    with("[{}]", Tar::new());
    refused(&docker, 3, "is damaged");
    with(&"[".repeat(100_000), Tar::new());
    refused(&docker, 3, "is damaged");
    with(list, Tar::new().file("c", &config).file("l", one[0].blob()).file("./l", "other"));
    refused(&docker, 3, "has two files \"l\"");
    with(list, Tar::new().file("c", &config).symlink("l", "m").symlink("m", "l"));
    refused(&docker, 3, "leads nowhere");
    for link in ["/etc/passwd", "../../etc/passwd", "..", "gone"] {
        with(list, Tar::new().file("c", &config).symlink("l", link));
        refused(&docker, 4, "has no file \"l\"");
    }
    with(r#"[{"Config":"/etc/passwd","Layers":[]}]"#, Tar::new());
    refused(&docker, 4, "has no file \"/etc/passwd\"");
    with(r#"[{"Config":"c","Layers":[]}]"#, Tar::new().file("c", &config));
    refused(&docker, 3, "layer");
    with(list, Tar::new().file("c", &config).file("l", layer("b", Compression::None).tar));
    refused(&docker, 3, "sha256:");

    let oci = format!("oci-archive:{}", file.display());
    refused(&oci, 4, "is not an OCI layout");
    let marker = r#"{"imageLayoutVersion":"1.0.0"}"#;
    let index = json!({ "schemaVersion": 2, "manifests": [{ "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": format!("sha256:{}", "0".repeat(64)), "size": 7 }] });
    fs::write(&file, Tar::new().file("oci-layout", marker).finish()).unwrap();
    refused(&oci, 4, "no file index.json");
    fs::write(&file, Tar::new().file("oci-layout", marker).file("index.json", index.to_string()).finish())
        .unwrap();
    refused(&oci, 4, "no content for sha256:000");
}

#[test]
fn directories_of_skopeo() {
    require!("skopeo");
    let dir = tempfile::tempdir().unwrap();
    let plain = dir.path().join("plain");
    Layout { index: true, ..Layout::of(layers()) }.write(&plain);
    let copied = dir.path().join("dir");
    let name = format!("dir:{}", copied.display());
    let skopeo = |how: &[&str]| {
        let _ = fs::remove_dir_all(&copied);
        let fixed = ["copy", "--insecure-policy", "--preserve-digests"];
        let ends = [latest(&plain), name.clone()];
        Tool::get("skopeo").run(fixed.iter().chain(how).copied().chain(ends.iter().map(String::as_str)));
    };
    for how in [&[][..], &["--all"]] {
        skopeo(how);
        let (there, back) = (dir.path().join("there"), dir.path().join("back"));
        nydus(&name, &latest(&there));
        let back = ok(["to-oci", "-q", &latest(&there), &latest(&back)]);
        let own = sha256_hex(&fs::read(copied.join("manifest.json")).unwrap());
        assert_eq!(digest(&back), format!("sha256:{own}"), "{how:?}");
        ok(["check", "-q", &format!("{name}@sha256:{own}")]);
        fs::remove_dir_all(&there).unwrap();
    }
    let pinned = run(["check", &format!("{name}@sha256:{}", "0".repeat(64))]);
    assert_eq!(pinned.code, Some(3), "{pinned:?}");
    for (path, says) in
        [(plain, "has no file manifest.json"), (dir.path().join("gone"), "there is no directory")]
    {
        let refused = run(["check", &format!("dir:{}", path.display())]);
        assert_eq!(refused.code, Some(4), "{refused:?}");
        assert!(refused.stderr.contains(says), "{}", refused.stderr);
    }
}

/// `to-nydus tar:-` with `bytes` on standard input.
fn piped(bytes: &[u8], target: &str, options: &[&str]) -> Run {
    let mut command = crate::support::cli::command();
    command.args(["to-nydus", "-q", "tar:-", target]).args(options);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A run that fails reads no further.
    let _ = stdin.write_all(bytes);
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Run { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn a_tar_in_a_file_and_from_a_pipe() {
    let dir = tempfile::tempdir().unwrap();
    for (number, compression) in
        [Compression::None, Compression::Gzip, Compression::Zstd].into_iter().enumerate()
    {
        let layer = layer("alone", compression);
        let file = dir.path().join("layer");
        fs::write(&file, layer.blob()).unwrap();
        let source = format!("tar:{}", file.display());
        let manifest = there_and_back(dir.path(), &source, &[layer.blob()]);
        let config = manifest["config"]["digest"].as_str().unwrap();
        let config = read_json(&dir.path().join("back"), config);
        assert_eq!(config["architecture"], "amd64");

        // Read once, converted while it comes: the same image.
        let of = |name: &str| latest(&dir.path().join(format!("{name}{number}")));
        let replay = ["--replay", "tar"];
        let from_pipe = piped(&layer.blob(), &of("pipe"), &replay);
        assert_eq!(from_pipe.code, Some(0), "{from_pipe:?}");
        let from_file = ok(["to-nydus", "-q", "--replay", "tar", &source, &of("file")]);
        assert_eq!(digest(&from_pipe), digest(&from_file));
        // Read twice, so kept for a while.
        let proven = piped(&layer.blob(), &of("proven"), &["--replay", "proven"]);
        let back = ok(["to-oci", "-q", &of("proven"), &of("back")]);
        assert_eq!(proven.code, Some(0), "{proven:?}");
        let root = read_json(&dir.path().join(format!("back{number}")), &digest(&back));
        assert_eq!(root["layers"][0]["digest"], format!("sha256:{}", sha256_hex(&layer.blob())));
    }
    let arm = piped(
        &layer("x", Compression::None).tar,
        &latest(&dir.path().join("arm")),
        &["--platform", "linux/arm64"],
    );
    assert_eq!(arm.code, Some(0), "{arm:?}");
    ok(["ls", "--platform", "linux/arm64", &latest(&dir.path().join("arm")), "/etc"]);

    let target = dir.path().join("bad");
    for (bytes, says) in
        [(&layer("x", Compression::Gzip).blob()[..50], "truncated"), (&[b'x'; 2000], "tar:-")]
    {
        let refused = piped(bytes, &latest(&target), &[]);
        assert!(refused.code != Some(0) && refused.stderr.contains(says), "{refused:?}");
        assert!(!target.exists());
    }
    let gone = run(["check", &format!("tar:{}", target.display())]);
    assert_eq!(gone.code, Some(4), "{gone:?}");
    for target in ["docker-archive:x", "dir:x", "rootfs:x", "tar:x", "tar:-"] {
        let refused = run(["to-nydus", "rootfs:.", target]);
        assert_eq!(refused.code, Some(2), "{refused:?}");
    }
}

#[test]
fn a_directory_tree() {
    require!("root", "umoci", "cp");
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    fs::create_dir_all(tree.join("usr/bin")).unwrap();
    fs::create_dir(tree.join("empty")).unwrap();
    fs::write(tree.join("usr/bin/tool"), "#!/bin/sh\n".repeat(3000)).unwrap();
    fs::hard_link(tree.join("usr/bin/tool"), tree.join("usr/bin/again")).unwrap();
    fs::write(tree.join("usr/a.txt"), "sorts before the directory's files").unwrap();
    fs::write(tree.join("none"), "").unwrap();
    std::os::unix::fs::symlink("/etc/../tool", tree.join("usr/bin/link")).unwrap();
    std::os::unix::fs::chown(tree.join("usr/a.txt"), Some(1234), Some(70000)).unwrap();
    fs::set_permissions(tree.join("usr/bin/tool"), fs::Permissions::from_mode(0o4751)).unwrap();
    let node = |name: &str, kind, device| {
        let mode = rustix::fs::Mode::from_raw_mode(0o640);
        rustix::fs::mknodat(rustix::fs::CWD, tree.join(name), kind, mode, device).unwrap();
    };
    node("fifo", rustix::fs::FileType::Fifo, 0);
    node("zero", rustix::fs::FileType::CharacterDevice, rustix::fs::makedev(1, 5));
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(tree.join("usr/a.txt"), "user.note", b"kept\n1", flags).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(tree.join("socket")).unwrap();

    let source = format!("rootfs:{}", tree.display());
    let (there, back) = (dir.path().join("there"), dir.path().join("back"));
    let converted = ok(["to-nydus", "--progress", "none", &source, &latest(&there)]);
    assert!(converted.stderr.contains("/socket is a socket"), "{}", converted.stderr);
    ok(["check", "-q", &latest(&there)]);
    ok(["check", "-q", &source]);
    ok(["to-oci", "-q", &latest(&there), &latest(&back)]);
    let unpacked = crate::support::umoci::unpack(&back, "latest", &dir.path().join("unpacked"));
    let mut expected = Tree::read(&tree);
    expected.0.remove(&b"socket"[..]);
    Tree::read(&unpacked).assert_same(&expected, &Ignore::default());

    // Another copy of the tree, with other inodes in another order, is the same image.
    let copy = dir.path().join("copy");
    Tool::get("cp").run(["-a".as_ref(), tree.as_os_str(), copy.as_os_str()]);
    let again =
        ok(["to-nydus", "-q", &format!("rootfs:{}", copy.display()), &latest(&dir.path().join("again"))]);
    assert_eq!(digest(&again), digest(&converted));
    let missing = run(["check", &format!("rootfs:{}/gone", tree.display())]);
    assert_eq!(missing.code, Some(4), "{missing:?}");
}
