//! Images in real registries: there and back, whoever copies them in between; who may and who may not; what is refused.
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::certificates::certificates;
use crate::support::cli::{Run, alone, end, latest, ok, run};
use crate::support::noise::noise;
use crate::support::oci::{Compression, Dialect, Image, Layer, Layout};
use crate::support::registry::{Program, Registry, Wants};
use crate::support::require;
use crate::support::tars::Tar;
use crate::support::tools::Tool;
use serde_json::{Value, json};

/// `to-nydus` with a way back that does not depend on recognising an encoder.
fn nydus<const N: usize>(arguments: [&str; N]) -> Run {
    ok(["to-nydus", "--replay", "proven"].iter().copied().chain(arguments))
}

/// A layer with one file, big enough to have content.
fn layer(text: &str) -> Layer {
    Layer::new(Tar::new().dir("etc", 0o755).file("etc/text", text.repeat(2000)).finish())
}

fn plain_layout(dir: &Path) -> PathBuf {
    let layout = dir.join("plain");
    Layout::of([layer("one"), layer("two")]).write(&layout);
    layout
}

/// Copies `oci:DIR:latest` into a registry, byte for byte.
fn push(layout: &Path, name: &str) {
    let target = format!("docker://{name}");
    let fixed = ["copy", "--all", "--preserve-digests", "--dest-tls-verify=false", "--insecure-policy"];
    Tool::get("skopeo").run(fixed.iter().copied().chain([latest(layout).as_str(), &target]));
}

fn digest(run: &Run) -> String {
    run.stdout.trim().rsplit('@').next().unwrap().to_owned()
}

#[test]
fn there_and_back() {
    require!("skopeo");
    Program::all().for_each(there_and_back_in);
}

fn there_and_back_in(program: Program) {
    let registry = Registry::of(program);
    let host = registry.host();
    let dir = tempfile::tempdir().unwrap();
    let layout = plain_layout(dir.path());
    push(&layout, &format!("{host}/a/plain:1"));

    let there = nydus([&latest(&layout), &format!("{host}/a/nydus:1")]);
    let again = nydus([&format!("{host}/a/plain:1"), &format!("docker://{host}/b/nydus")]);
    assert_eq!(digest(&there), digest(&again), "the same image by either road");
    assert_eq!(there.stdout.trim(), format!("docker://{host}/a/nydus:1@{}", digest(&there)));

    let back = ok(["to-oci", "-q", &format!("{host}/b/nydus"), &format!("{host}/a/back:1")]);
    let original = crate::support::cli::json_root(&layout);
    assert_eq!(digest(&back), original);
    // The pinned name that was printed is a source.
    ok(["check", "-q", there.stdout.trim()]);
    let listed = ok(["ls", &format!("{host}/a/nydus:1"), "/etc"]).stdout;
    assert!(listed.contains("/etc/text"), "{listed}");
    assert_eq!(ok(["cat", &format!("{host}/a/nydus:1"), "/etc/text"]).stdout, "two".repeat(2000));
    ok(["inspect", &format!("{host}/a/nydus:1")]);

    // A Nydus image is copied as it is; its blobs are in the registry already and need not travel.
    let copy = nydus([&format!("{host}/a/nydus:1"), &format!("{host}/c/copy:1")]);
    assert_eq!(digest(&copy), digest(&there));
    assert!(copy.stderr.contains("copied unchanged"), "{}", copy.stderr);
    // The other one has the blobs by their digests, whatever repository asks.
    assert!(program == Program::Zot || registry.log().contains("mount="), "blobs are mounted");
    ok(["check", "-q", &format!("{host}/c/copy:1")]);
}

#[test]
fn copies_by_others_keep_the_way_back() {
    require!("skopeo", "crane", "oras", "regctl");
    Program::all().for_each(copies_keep_the_way_back_in);
}

fn copies_keep_the_way_back_in(program: Program) {
    let registry = Registry::of(program);
    let host = registry.host();
    let dir = tempfile::tempdir().unwrap();
    let index = Layout {
        images: vec![
            Image::of([layer("base"), layer("amd64")]),
            Image { architecture: "arm64".to_owned(), ..Image::of([layer("base"), layer("arm64")]) },
        ],
        ..Layout::default()
    };
    let original = index.write(&dir.path().join("index")).digest;
    let nydus = nydus([&latest(&dir.path().join("index")), &format!("{host}/x/nydus:1")]);
    let nydus = digest(&nydus);
    let from = format!("{host}/x/nydus:1");
    let shown =
        Tool::get("skopeo").run(["inspect", "--raw", "--tls-verify=false", &format!("docker://{from}")]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert!(
        shown["manifests"].as_array().unwrap().iter().all(|entry| entry["platform"]["os"] == "linux"),
        "{shown}"
    );

    for arch in ["amd64", "arm64"] {
        let choice = ["--override-os", "linux", "--override-arch", arch, "inspect", "--tls-verify=false"];
        let name = format!("docker://{from}");
        let shown = Tool::get("skopeo").run(choice.iter().copied().chain([name.as_str()]));
        let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
        assert_eq!(shown["Architecture"], arch, "{program:?}");
    }

    let back = |name: &str, by: &str| {
        let back = ok(["to-oci", "-q", name, &format!("{host}/back/{by}:1")]);
        assert_eq!(digest(&back), original, "after a copy by {by}");
    };
    let name = |by: &str| format!("{host}/copies/{by}:1");
    let to = name("skopeo");
    let plain = [
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
        "--insecure-policy",
        "--all",
        "--preserve-digests",
    ];
    Tool::get("skopeo").run(
        ["copy"]
            .iter()
            .copied()
            .chain(plain)
            .chain([format!("docker://{from}").as_str(), &format!("docker://{to}")]),
    );
    back(&to, "skopeo");
    type Copy = fn(&str, &str) -> Vec<String>;
    let others: [(&str, Copy); 3] = [
        ("crane", |from, to| vec!["copy".into(), "--insecure".into(), from.into(), to.into()]),
        ("oras", |from, to| {
            let plain = ["--from-plain-http".to_owned(), "--to-plain-http".to_owned()];
            ["cp".to_owned(), "-r".to_owned()]
                .into_iter()
                .chain(plain)
                .chain([from.into(), to.into()])
                .collect()
        }),
        ("regctl", |from, to| vec!["image".into(), "copy".into(), from.into(), to.into()]),
    ];
    for (by, arguments) in others {
        let home = tempfile::tempdir().unwrap();
        let config = json!({ "hosts": { &host: { "tls": "disabled", "hostname": &host } } });
        fs::create_dir(home.path().join(".regctl")).unwrap();
        fs::write(home.path().join(".regctl/config.json"), config.to_string()).unwrap();
        let to = name(by);
        let output =
            Tool::get(by).command().env("HOME", home.path()).args(arguments(&from, &to)).output().unwrap();
        assert!(output.status.success(), "{by}: {}", String::from_utf8_lossy(&output.stderr));
        let shown = ok(["inspect", "--json", &to]).stdout;
        assert!(shown.contains(&nydus), "{by} keeps the digest");
        back(&to, by);
    }
}

#[test]
fn through_archives_and_layouts() {
    require!("skopeo");
    for program in Program::all() {
        let registry = Registry::that(Wants { program, password: true, ..Wants::default() });
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        fs::create_dir(&home).unwrap();
        let do_it = |arguments: &[&str]| {
            let mut command = alone(&home);
            command.args(arguments).args(["-q", "--src-creds", "user:secret", "--dest-creds", "user:secret"]);
            let run = end(&mut command);
            assert_eq!(run.code, Some(0), "{program:?} {arguments:?}: {}", run.stderr);
            digest(&run)
        };
        let (source, host) = (plain_layout(dir.path()), registry.host());
        let place =
            |transport: &str, name: &str| format!("{transport}:{}:x", dir.path().join(name).display());
        let [archive, layout] = [("oci-archive", "archive.tar"), ("oci", "layout")].map(|(t, n)| place(t, n));
        let [to, again, back] = ["nydus", "again", "back"].map(|name| format!("{host}/{name}/image:1"));
        // Into the registry, out into an archive, from there to a layout, and into the registry again.
        let nydus = do_it(&["to-nydus", "--replay", "proven", &latest(&source), &to]);
        for (from, to) in [(&to, &archive), (&archive, &layout), (&layout, &again)] {
            assert_eq!(do_it(&["to-nydus", from, to]), nydus, "{program:?} {from} {to}");
        }
        assert_eq!(do_it(&["to-oci", &again, &back]), crate::support::cli::json_root(&source));
        let [plain_archive, plain_layout] =
            [("oci-archive", "plain.tar"), ("oci", "plain-again")].map(|(t, n)| place(t, n));
        for (from, to) in [(&archive, &plain_layout), (&to, &plain_archive)] {
            assert_eq!(
                do_it(&["to-oci", from, to]),
                crate::support::cli::json_root(&source),
                "{program:?} {from}"
            );
        }
        // From an archive of another tool's into the registry.
        let skopeos = place("oci-archive", "skopeo.tar");
        let fixed = ["copy", "--src-tls-verify=false", "--src-creds", "user:secret", "--insecure-policy"];
        let from = format!("docker://{back}");
        Tool::get("skopeo").run(fixed.iter().copied().chain([from.as_str(), &skopeos]));
        assert_eq!(do_it(&["to-nydus", "--replay", "proven", &skopeos, &to]), nydus);
    }
}

#[test]
fn who_may() {
    require!("docker-registry", "skopeo");
    let registry = Registry::that(Wants { password: true, ..Wants::default() });
    let host = registry.host();
    let dir = tempfile::tempdir().unwrap();
    let (layout, home) = (plain_layout(dir.path()), dir.path().join("home"));
    fs::create_dir(&home).unwrap();
    let (source, target) = (latest(&layout), format!("{host}/a/nydus:1"));
    let convert = |change: &dyn Fn(&mut Command)| {
        let mut command = alone(&home);
        command.args(["to-nydus", "-q", &source, &target]);
        change(&mut command);
        end(&mut command)
    };

    let refused = convert(&|_| ());
    assert_eq!(refused.code, Some(5), "{}", refused.stderr);
    assert!(refused.stderr.contains("no credentials were found"), "{}", refused.stderr);
    let refused = convert(&|command| {
        command.args(["--dest-creds", "user:wrong"]);
    });
    assert_eq!(refused.code, Some(5), "{}", refused.stderr);
    assert!(!refused.stderr.contains("wrong"), "{}", refused.stderr);
    assert_eq!(
        convert(&|command| {
            command.args(["--dest-creds", "user"]);
        })
        .code,
        Some(2)
    );
    // Those of the source are not for the target.
    assert_eq!(
        convert(&|command| {
            command.args(["--src-creds", "user:secret"]);
        })
        .code,
        Some(5)
    );
    let right = |change: &dyn Fn(&mut Command)| {
        let run = convert(change);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
    };
    right(&|command| {
        command.args(["--dest-creds", "user:secret"]);
    });
    right(&|command| {
        command.env("NYDUS_CONVERT_DEST_CREDS", "user:secret");
    });

    // dXNlcjpzZWNyZXQ= is user:secret.
    let file = json!({ "auths": { &host: { "auth": "dXNlcjpzZWNyZXQ=" } } }).to_string();
    let path = dir.path().join("auth.json");
    fs::write(&path, &file).unwrap();
    right(&|command| {
        command.arg("--authfile").arg(&path);
    });
    right(&|command| {
        command.env("REGISTRY_AUTH_FILE", &path);
    });
    assert_eq!(
        convert(&|command| {
            command.args(["--authfile", "/nowhere/auth.json"]);
        })
        .code,
        Some(1)
    );
    for place in ["run/containers/auth.json", ".config/containers/auth.json", ".docker/config.json"] {
        let place = home.join(place);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(&place, &file).unwrap();
        right(&|command| {
            command.env("XDG_RUNTIME_DIR", home.join("run"));
        });
        fs::remove_file(place).unwrap();
    }
    let docker = dir.path().join("docker");
    fs::create_dir(&docker).unwrap();
    fs::write(docker.join("config.json"), json!({ "credHelpers": { &host: "of-the-test" } }).to_string())
        .unwrap();
    let helper = dir.path().join("docker-credential-of-the-test");
    let script = format!(
        "#!/bin/sh\nread host\n[ \"$host\" = {host} ] && [ \"$1\" = get ] && echo '{{\"Username\":\"user\",\"Secret\":\"secret\"}}'\n"
    );
    fs::write(&helper, script).unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap());
    right(&|command| {
        command.env("DOCKER_CONFIG", &docker).env("PATH", &path);
    });
    let missing = convert(&|command| {
        command.env("DOCKER_CONFIG", &docker);
    });
    assert_eq!(missing.code, Some(5));
    assert!(missing.stderr.contains("docker-credential-of-the-test"), "{}", missing.stderr);
}

#[test]
fn tls_by_a_private_authority() {
    require!("docker-registry", "skopeo", "openssl");
    let dir = tempfile::tempdir().unwrap();
    let [ca, certificate, key] = certificates(dir.path());
    let registry =
        Registry::that(Wants { password: true, tls: Some((&certificate, &key)), ..Wants::default() });
    let (layout, home) = (plain_layout(dir.path()), dir.path().join("home"));
    fs::create_dir(&home).unwrap();
    let target = format!("{}/a/nydus:1", registry.host());
    let convert = |arguments: &[&str]| {
        let mut command = alone(&home);
        command.args(["to-nydus", "-q", &latest(&layout), &target, "--dest-creds", "user:secret"]);
        end(command.args(["--retry-times", "0"]).args(arguments))
    };
    let ca = ca.to_str().unwrap();
    let trusted = convert(&["--dest-ca-file", ca]);
    assert_eq!(trusted.code, Some(0), "{}", trusted.stderr);
    assert_eq!(convert(&["--dest-insecure"]).code, Some(0));
    let stranger = tempfile::tempdir().unwrap();
    let [other, _, _] = certificates(stranger.path());
    let untrusted = convert(&["--dest-ca-file", other.to_str().unwrap()]);
    assert_eq!(untrusted.code, Some(6), "{}", untrusted.stderr);
    assert!(untrusted.stderr.contains("certificate"), "{}", untrusted.stderr);
    // Plain HTTP with a registry that speaks TLS.
    assert_eq!(convert(&["--plain-http"]).code, Some(6));
    assert_eq!(convert(&["--dest-ca-file", "/nowhere"]).code, Some(1));

    let mut check = alone(&home);
    check.args(["check", "-q", &target, "--creds", "user:secret", "--ca-file", ca]);
    assert_eq!(end(&mut check).code, Some(0));
}

#[test]
fn every_kind_of_image() {
    require!("docker-registry", "skopeo");
    let registry = Registry::start();
    let host = registry.host();
    let dir = tempfile::tempdir().unwrap();
    let attestation = json!({ "annotations": { "vnd.docker.reference.type": "attestation-manifest" },
                              "platform": { "os": "unknown", "architecture": "unknown" } });
    let in_toto = Layer { media_type: Some("application/vnd.in-toto+json".to_owned()), ..layer("{}") };
    let zstd = Layer { compression: Compression::Zstd, ..layer("zstd") };
    let kinds = [
        ("zstd", Layout::of([zstd])),
        (
            "schema2",
            Layout {
                images: vec![Image { dialect: Dialect::Docker, ..Image::of([layer("docker")]) }],
                ..Layout::default()
            },
        ),
        (
            "list",
            Layout {
                images: vec![
                    Image { dialect: Dialect::Docker, ..Image::of([layer("docker")]) },
                    Image {
                        dialect: Dialect::Docker,
                        architecture: "arm64".to_owned(),
                        ..Image::of([layer("arm")])
                    },
                ],
                index_patch: Some(
                    json!({ "mediaType": "application/vnd.docker.distribution.manifest.list.v2+json" }),
                ),
                ..Layout::default()
            },
        ),
        (
            "attested",
            Layout {
                images: vec![
                    Image::of([layer("image")]),
                    Image { descriptor_patch: Some(attestation), ..Image::of([in_toto]) },
                ],
                ..Layout::default()
            },
        ),
    ];
    for (kind, layout) in kinds {
        let at = dir.path().join(kind);
        let mut written = layout.write(&at);
        if kind == "list" {
            written.digest = retype_root(&at, "application/vnd.docker.distribution.manifest.list.v2+json");
        }
        let name = format!("{host}/kinds/{kind}:1");
        crate::support::library::push(&at, &name);
        nydus([&name, &format!("{host}/nydus/{kind}:1")]);
        ok(["check", "-q", &format!("{host}/nydus/{kind}:1")]);
        let back = ok(["to-oci", "-q", &format!("{host}/nydus/{kind}:1"), &format!("{host}/back/{kind}:1")]);
        assert_eq!(digest(&back), written.digest, "{kind}");
    }
}

/// zstd:chunked: many frames, and frames for others to skip.
#[test]
fn a_zstd_chunked_image() {
    require!("docker-registry", "skopeo");
    let registry = Registry::start();
    let host = registry.host();
    let dir = tempfile::tempdir().unwrap();
    let layout = plain_layout(dir.path());
    let (chunked, nydus_name) = (format!("{host}/a/chunked:1"), format!("{host}/a/nydus:1"));
    let options = ["copy", "--insecure-policy", "--dest-tls-verify=false", "--dest-compress"];
    let format = ["--dest-compress-format", "zstd:chunked"];
    let (from, to) = (latest(&layout), format!("docker://{chunked}"));
    let ends = [from.as_str(), to.as_str()];
    Tool::get("skopeo").run(options.iter().copied().chain(format).chain(ends));
    let raw = Tool::get("skopeo").run(["inspect", "--raw", "--tls-verify=false", &to]).stdout;
    let manifest: Value = serde_json::from_slice(&raw).unwrap();
    let annotations = manifest["layers"][0]["annotations"].to_string();
    assert!(annotations.contains("zstd-chunked.manifest-checksum"), "{manifest}");
    nydus(["-q", &chunked, &nydus_name]);
    ok(["check", "-q", &nydus_name]);
    assert_eq!(ok(["cat", &nydus_name, "/etc/text"]).stdout, "two".repeat(2000));
    let back = ok(["to-oci", "-q", &nydus_name, &format!("{host}/a/back:1")]);
    assert_eq!(digest(&back), format!("sha256:{}", crate::support::sha256_hex(&raw)));
}

/// Changes the media type of the only entry of `index.json`; gives its digest.
fn retype_root(layout: &Path, media_type: &str) -> String {
    let path = layout.join("index.json");
    let mut index: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    index["manifests"][0]["mediaType"] = json!(media_type);
    fs::write(path, index.to_string()).unwrap();
    index["manifests"][0]["digest"].as_str().unwrap().to_owned()
}

/// A server that gives one manifest, whatever it is asked.
fn serve_manifest(media_type: &'static str, body: String) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let host = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
        }
    });
    host
}

#[test]
fn one_sentence_for_what_is_refused() {
    require!("docker-registry", "skopeo");
    let registry = Registry::start();
    let host = registry.host();
    let dir = tempfile::tempdir().unwrap();
    let refused = |name: &str, words: &str| {
        let target = dir.path().join("target");
        let run = run(["to-nydus", "-q", name, &latest(&target)]);
        assert_eq!(run.code, Some(4), "{}", run.stderr);
        assert!(run.stderr.contains(words) && run.stderr.lines().count() == 1, "{}", run.stderr);
        assert!(!target.exists());
    };
    let typed = |media_type: &str| Layer { media_type: Some(media_type.to_owned()), ..layer("x") };
    let artifact =
        json!({ "config": { "mediaType": "application/vnd.oci.empty.v1+json" }, "artifactType": "a/b" });
    let cases = [
        (
            "encrypted",
            "is encrypted",
            Layout::of([typed("application/vnd.oci.image.layer.v1.tar+gzip+encrypted")]),
        ),
        (
            "foreign",
            "not distributable",
            Layout::of([typed("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip")]),
        ),
        (
            "artifact",
            "artifact of type \"a/b\"",
            Layout {
                images: vec![Image { manifest_patch: Some(artifact), ..Image::of([layer("x")]) }],
                ..Layout::default()
            },
        ),
    ];
    for (kind, words, layout) in cases {
        let at = dir.path().join(kind);
        layout.write(&at);
        // By our own hands: others refuse to copy some of these.
        let name = format!("{host}/refused/{kind}:1");
        crate::support::library::push(&at, &name);
        refused(&name, words);
    }
    let schema1 = serve_manifest(
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        r#"{"schemaVersion":1,"name":"a","tag":"1","fsLayers":[],"history":[],"signatures":[]}"#.to_owned(),
    );
    refused(&format!("{schema1}/a:1"), "obsolete schema 1");
    refused(&format!("{host}/nobody/knows:it"), "has no ");
    refused(&format!("{host}/refused/foreign@sha256:{}", "0".repeat(64)), "has no ");
}

#[test]
fn nobody_answers() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let host = listener.local_addr().unwrap().to_string();
    drop(listener);
    let run = run(["check", "-q", &format!("{host}/a:1"), "--retry-times", "1", "--retry-delay", "1ms"]);
    assert_eq!(run.code, Some(6), "{}", run.stderr);
    assert!(run.stderr.contains(&host), "{}", run.stderr);
}

/// A proxy that tunnels (or passes on) to one registry whatever host it is asked for, and writes down for which.
fn tunnel(registry: String) -> (String, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (asked, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if client.read(&mut byte).unwrap_or(0) == 0 {
                    break;
                }
                head.push(byte[0]);
            }
            let _ = asked.send(String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned());
            let mut server = TcpStream::connect(&registry).unwrap();
            client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
            let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            std::thread::spawn(move || std::io::copy(&mut server, &mut client));
        }
    });
    (address, told)
}

#[test]
fn proxies_of_the_environment() {
    require!("docker-registry", "skopeo");
    let registry = Registry::start();
    let dir = tempfile::tempdir().unwrap();
    push(&plain_layout(dir.path()), &format!("{}/a/plain:1", registry.host()));
    let (proxy, told) = tunnel(registry.host());
    let look = |name: &str, variables: &[(&str, &str)]| {
        let mut command = alone(dir.path());
        command
            .args(["inspect", name, "--retry-times", "0", "--timeout", "5s"])
            .envs(variables.iter().copied());
        end(&mut command)
    };
    let through = format!("http://{proxy}");
    let run = look(
        "registry.invalid:5000/a/plain:1",
        &[("http_proxy", &through), ("NYDUS_CONVERT_PLAIN_HTTP", "true")],
    );
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(told.try_iter().any(|line| line.contains("registry.invalid:5000")));
    let variables =
        [("http_proxy", through.as_str()), ("no_proxy", ".invalid"), ("NYDUS_CONVERT_PLAIN_HTTP", "true")];
    assert_eq!(look("registry.invalid:5000/a/plain:1", &variables).code, Some(6));
    // This machine is asked directly.
    assert_eq!(
        look(&format!("{}/a/plain:1", registry.host()), &[("http_proxy", "http://127.0.0.1:9")]).code,
        Some(0)
    );
    assert_eq!(told.try_iter().count(), 0);
}

#[test]
fn podman_runs_what_came_back() {
    require!("docker-registry", "podman", "chroot", "root");
    let Some(debian) = crate::support::debian::debian_image() else { return };
    let registry = Registry::start();
    let host = registry.host();
    nydus(["--index", "with-oci", &latest(&debian), &format!("{host}/debian:both")]);
    ok(["to-oci", "-q", &format!("{host}/debian:both"), &format!("{host}/debian:back")]);
    podman_runs(&format!("{host}/debian:back"));
    // Of the index with both variants, it takes the one that it can run.
    podman_runs(&format!("{host}/debian:both"));
}

/// `podman pull`, and a program of the image in a container.
fn podman_runs(name: &str) {
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let podman = |arguments: &[&str]| {
        let fixed = [
            "--root".to_owned(),
            place("root"),
            "--runroot".to_owned(),
            place("run"),
            "--storage-driver".to_owned(),
            "vfs".to_owned(),
            "--cgroup-manager".to_owned(),
            "cgroupfs".to_owned(),
        ];
        Tool::get("podman").run(fixed.iter().map(String::as_str).chain(arguments.iter().copied()))
    };
    podman(&["pull", "-q", "--tls-verify=false", name]);
    // In a chroot: what limits and namespaces a container gets here is not the question.
    let mounted = String::from_utf8(podman(&["image", "mount", name]).stdout).unwrap();
    let out = Tool::get("chroot").run([mounted.trim(), "/bin/echo", "hello"]);
    assert_eq!(String::from_utf8_lossy(&out.stdout), "hello\n");
    podman(&["image", "unmount", name]);
    podman(&["rmi", "-af"]);
}

/// Another implementation of registries, without a feature more than the specification demands.
#[test]
fn another_registry() {
    require!("crane");
    let dir = tempfile::tempdir().unwrap();
    let layout = plain_layout(dir.path());
    let registry = Registry::of(Program::Crane);
    let name = |name: &str| format!("{}/{name}:1", registry.host());
    nydus(["-q", &latest(&layout), &name("nydus")]);
    ok(["check", "-q", &name("nydus")]);
    nydus(["-q", &name("nydus"), &name("copy")]);
    let back = ok(["to-oci", "-q", &name("copy"), &name("back")]);
    assert_eq!(digest(&back), crate::support::cli::json_root(&layout));
}

/// Blobs of three parts go there and come back.
#[test]
fn blobs_of_several_parts() {
    let dir = tempfile::tempdir().unwrap();
    let layout = dir.path().join("layout");
    let content = noise(7, 150 << 20);
    let layer = Layer::new(Tar::new().file("noise", content).finish());
    Layout::of([Layer { compression: Compression::None, ..layer }]).write(&layout);
    for program in [Program::Distribution, Program::Zot, Program::Crane] {
        if !program.is_available() {
            continue;
        }
        let registry = Registry::of(program);
        let name = |name: &str| format!("{}/{name}:1", registry.host());
        nydus(["-q", &latest(&layout), &name("nydus")]);
        let back = ok(["to-oci", "-q", &name("nydus"), &name("back")]);
        assert_eq!(digest(&back), crate::support::cli::json_root(&layout), "{program:?}");
    }
}
