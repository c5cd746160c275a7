//! What stands around a client: credentials in every form, helpers that fail; and what it says when it is refused.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::cli::{Run, alone, end, latest};
use crate::support::oci::{Layer, Layout};
use crate::support::registry::{Registry, Wants};
use crate::support::require;
use crate::support::tars::Tar;
use crate::support::tools::Tool;

/// `$DOCKER_CONFIG/config.json` for a registry that wants `user` with `secret`, and what comes of it: the exit code, and a
/// word of the message. HOST is the registry's. dXNlcjpzZWNyZXQ= is user:secret.
const CONFIGS: &[(&str, i32, &str)] = &[
    (r#"{"auths":{"HOST":{"username":"user","password":"secret"}}}"#, 0, ""),
    (r#"{"auths":{"HOST":{"username":"user","password":"secret","auth":"","email":"u@r.example"}}}"#, 0, ""),
    (r#"{"auths":{"HOST":{"username":"other","password":"other","auth":"dXNlcjpzZWNyZXQ="}}}"#, 0, ""),
    (r#"{"auths":{"HOST":{"auth":"dXNlcjpzZWNyZXQ"}}}"#, 0, ""),
    (r#"{"auths":{"HOST":{"auth":"dXNlcjpzZWNyZXQK"}}}"#, 0, ""),
    (r#"{"auths":{"http://HOST/v1/":{"auth":"dXNlcjpzZWNyZXQ="}}}"#, 0, ""),
    (r#"{"auths":{"HOST/a":{"auth":"dXNlcjpzZWNyZXQ="},"HOST":{"auth":"dXNlcjp3cm9uZw=="}}}"#, 0, ""),
    (r#"{"auths":{"HOST":{"auth":"dXNlcjpzZWNyZXQ="}},"credsStore":"not-installed"}"#, 0, ""),
    (r#"{"credsStore":"good"}"#, 0, ""),
    (r#"{"credHelpers":{"HOST":"good"}}"#, 0, ""),
    (r#"{"credHelpers":{"HOST":"broken"},"auths":{"HOST":{"auth":"dXNlcjpzZWNyZXQ="}}}"#, 0, ""),
    // user:wrong
    (r#"{"auths":{"HOST":{"auth":"dXNlcjp3cm9uZw=="}}}"#, 5, "config.json are not accepted"),
    (r#"{"credsStore":"wrong"}"#, 5, "docker-credential-wrong are not accepted"),
    ("{}", 5, "no credentials were found"),
    (r#"{"auths":{"HOST":{"username":"","auth":""}}}"#, 5, "no credentials were found"),
    (r#"{"credsStore":"knows-nothing"}"#, 5, "no credentials were found"),
    (r#"{"credsStore":"not-installed"}"#, 5, "docker-credential-not-installed failed"),
    (r#"{"credHelpers":{"HOST":"broken"}}"#, 5, "keychain is locked"),
    (r#"{"credsStore":"garbage"}"#, 5, "its answer is no JSON"),
    ("{", 1, "config.json"),
    (r#"{"auths":{"HOST":{"auth":"!"}}}"#, 1, "config.json"),
];

/// Helpers, and what they do.
const HELPERS: &[(&str, &str)] = &[
    ("good", r#"echo '{"Username":"user","Secret":"secret"}'"#),
    ("wrong", r#"echo '{"Username":"user","Secret":"wrong"}'"#),
    ("knows-nothing", "echo credentials not found in native keychain; exit 1"),
    ("broken", "echo the keychain is locked >&2; exit 1"),
    ("garbage", "echo secret"),
];

fn helpers(dir: &Path) {
    for (name, script) in HELPERS {
        let path = dir.join(format!("docker-credential-{name}"));
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// A layout of `layers` layers.
fn layout(dir: &Path, layers: usize) -> String {
    let layer = |n: usize| Layer::new(Tar::new().file("text", n.to_string().repeat(20_000)).finish());
    let path = dir.join("layout");
    Layout::of((0..layers).map(layer)).write(&path);
    latest(&path)
}

/// Everything that is said, at the highest level of everything.
fn loudly(dir: &Path, config: &str, source: &str, target: &str, format: &str) -> Run {
    fs::write(dir.join("config.json"), config).unwrap();
    let path = format!("{}:{}", dir.display(), std::env::var("PATH").unwrap());
    let mut command = alone(dir);
    command.env("PATH", path).env("DOCKER_CONFIG", dir).env("RUST_LOG", "trace");
    end(command.args(["to-nydus", "-vv", "--log-format", format, "--json", "--no-store", source, target]))
}

#[test]
fn credentials() {
    require!("docker-registry");
    let registry = Registry::that(Wants { password: true, ..Wants::default() });
    let dir = tempfile::tempdir().unwrap();
    helpers(dir.path());
    let (source, target) = (layout(dir.path(), 1), format!("{}/a/b:1", registry.host()));
    for ((config, code, words), format) in CONFIGS.iter().zip(["text", "json"].into_iter().cycle()) {
        let config = &config.replace("HOST", &registry.host());
        let run = loudly(dir.path(), config, &source, &target, format);
        assert_eq!(run.code, Some(*code), "{config}: {}", run.stderr);
        let error = run.stderr.lines().last().unwrap_or_default();
        assert!(error.contains(words), "{config}: {error}");
        for secret in ["secret", "dXNlcjpzZWNyZXQ", "dXNlcjp3cm9uZw", "user:wrong"] {
            let said = format!("{}{}", run.stdout, run.stderr);
            let line = said.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "{config}");
        }
    }
}

#[test]
fn the_cause_is_said() {
    require!("docker-registry");
    let registry = Registry::that(Wants { password: true, ..Wants::default() });
    let dir = tempfile::tempdir().unwrap();
    let (source, target) = (layout(dir.path(), 30), format!("{}/a/b:1", registry.host()));
    for login in [None, Some("user:wrong")] {
        let words = login.map_or("no credentials were found", |_| "the given credentials are not accepted");
        for _ in 0..5 {
            let mut command = alone(dir.path());
            command.args(["to-nydus", "-q", "--no-store", &source, &target]);
            command.args(login.iter().flat_map(|login| ["--dest-creds", login]));
            let run = end(&mut command);
            assert_eq!(run.code, Some(5), "{}", run.stderr);
            assert!(run.stderr.contains(words) && !run.stderr.contains("layer"), "{}", run.stderr);
        }
    }
}

/// Whether the server's certificate is the one that is trusted, its extensions, and a word of the message, or none if the
/// server is trusted.
type Certified = (bool, &'static [&'static str], &'static str);
const CERTIFICATES: &[Certified] = &[
    (true, &["basicConstraints=CA:FALSE", "subjectAltName=IP:127.0.0.1"], ""),
    (true, &["basicConstraints=CA:FALSE"], "no subjectAltName"),
    (true, &["basicConstraints=CA:FALSE", "subjectAltName=DNS:r.example"], "not for 127.0.0.1"),
    (
        true,
        &["basicConstraints=CA:FALSE", "subjectAltName=IP:127.0.0.1", "extendedKeyUsage=clientAuth"],
        "not for servers",
    ),
    (false, &["basicConstraints=CA:FALSE", "subjectAltName=IP:127.0.0.1"], "another key"),
    // As plain `openssl req -x509` makes it.
    (true, &["basicConstraints=critical,CA:TRUE", "subjectAltName=IP:127.0.0.1"], ""),
    (true, &["basicConstraints=critical,CA:TRUE"], "no subjectAltName"),
    (true, &["basicConstraints=critical,CA:TRUE", "subjectAltName=DNS:r.example"], "not for 127.0.0.1"),
    (false, &["basicConstraints=critical,CA:TRUE", "subjectAltName=IP:127.0.0.1"], "CA:TRUE"),
];

/// A certificate of an empty configuration, so that the extensions are these alone.
fn self_signed(dir: &Path, extensions: &[&str]) -> [std::path::PathBuf; 2] {
    let [config, certificate, key] = ["openssl.cnf", "cert.pem", "cert.key"].map(|name| dir.join(name));
    fs::write(&config, "[req]\ndistinguished_name=dn\n[dn]\n").unwrap();
    let arguments =
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=127.0.0.1";
    let mut arguments: Vec<&std::ffi::OsStr> = arguments.split(' ').map(AsRef::as_ref).collect();
    for (option, path) in [("-config", &config), ("-out", &certificate), ("-keyout", &key)] {
        arguments.extend([option.as_ref(), path.as_os_str()]);
    }
    arguments.extend(extensions.iter().flat_map(|one| ["-addext".as_ref(), std::ffi::OsStr::new(*one)]));
    Tool::get("openssl").run(arguments);
    [certificate, key]
}

#[test]
fn certificates() {
    require!("docker-registry", "openssl");
    let dir = tempfile::tempdir().unwrap();
    let source = layout(dir.path(), 1);
    let other = dir.path().join("other.pem");
    fs::rename(&self_signed(dir.path(), CERTIFICATES[0].1)[0], &other).unwrap();
    for (trusted, extensions, words) in CERTIFICATES {
        let [certificate, key] = self_signed(dir.path(), extensions);
        let registry = Registry::that(Wants { tls: Some((&certificate, &key)), ..Wants::default() });
        let mut command = alone(dir.path());
        command.args(["to-nydus", "-q", "--no-store", "--dest-ca-file"]).arg(if *trusted {
            &certificate
        } else {
            &other
        });
        let run = end(command.args([&source, &format!("{}/a/b:1", registry.host())]));
        assert_eq!(run.code == Some(0), words.is_empty(), "{extensions:?}: {}", run.stderr);
        assert!(run.stderr.contains(words) && !run.stderr.contains("Error("), "{}", run.stderr);
    }
}

#[test]
fn tls_and_none() {
    require!("docker-registry", "openssl");
    let dir = tempfile::tempdir().unwrap();
    let source = layout(dir.path(), 1);
    let [certificate, key] = self_signed(dir.path(), CERTIFICATES[0].1);
    let plain = Registry::start();
    let tls = Registry::that(Wants { tls: Some((&certificate, &key)), ..Wants::default() });
    for (registry, flag, words) in
        [(&plain, Some(&certificate), "may speak plain HTTP"), (&tls, None, "it may want TLS")]
    {
        let mut command = alone(dir.path());
        command.args(["to-nydus", "-q", "--no-store"]);
        flag.iter().for_each(|file| {
            command.arg("--dest-ca-file").arg(file);
        });
        let run = end(command.args([&source, &format!("{}/a/b:1", registry.host())]));
        assert!(run.code != Some(0) && run.stderr.contains(words), "{}", run.stderr);
    }
}
