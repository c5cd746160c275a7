//! What a machine says about registries: mirrors and other rules of `registries.conf`, certificates of `certs.d`.
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::certificates::certificates;
use crate::support::cli::{Run, alone, end, json, json_root, latest};
use crate::support::oci::{Layer, Layout};
use crate::support::registry::{Registry, Wants, free_address};
use crate::support::require;
use crate::support::tars::Tar;
use serde_json::Value;

/// A home with files that say something about registries.
struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    fn new() -> Home {
        Home { dir: tempfile::tempdir().unwrap() }
    }

    /// Puts a file below `~/.config/containers`.
    fn put(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.dir.path().join(".config/containers").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Run {
        end(alone(self.dir.path()).args(arguments).args(["--retry-times", "1", "--retry-delay", "1ms"]))
    }

    /// Runs the program and demands that it ends so; gives what it says.
    fn ends(&self, code: i32, arguments: &[&str]) -> String {
        let run = self.run(arguments);
        assert_eq!(run.code, Some(code), "{arguments:?}: {}", run.stderr);
        run.stderr
    }

    /// The only line that a refusal prints.
    fn refused(&self, code: i32, arguments: &[&str]) -> String {
        let said = self.ends(code, arguments);
        assert_eq!(said.lines().count(), 1, "{said}");
        said
    }
}

/// An image in a layout.
fn image(dir: &Path, text: &str) -> PathBuf {
    let layout = dir.join(text);
    let tar = Tar::new().dir("etc", 0o755).file("etc/text", text.repeat(2000)).finish();
    Layout::of([Layer::new(tar)]).write(&layout);
    layout
}

/// Requests for `path` and below that a registry has answered.
fn asked(registry: &Registry, method: &str, path: &str) -> usize {
    // A value is quoted if it has characters that are special in logs.
    let uris = [format!("http.request.uri={path}"), format!("http.request.uri=\"{path}")];
    let of = format!("http.request.method={method} ");
    let log = registry.log();
    let answered = log.lines().filter(|line| line.contains("response completed") && line.contains(&of));
    answered.filter(|line| uris.iter().any(|uri| line.contains(uri))).count()
}

#[test]
fn the_first_mirror_that_has_the_image() {
    require!("docker-registry");
    let (dir, home) = (tempfile::tempdir().unwrap(), Home::new());
    let [layout, other] = ["image", "other"].map(|text| image(dir.path(), text));
    let (upstream, mirror) = (Registry::start(), Registry::start());
    let (host, near, nobody) = (upstream.host(), mirror.host(), free_address());
    crate::support::library::push(&layout, &format!("{host}/up/app:1"));
    crate::support::library::push(&other, &format!("{host}/up/rare:1"));
    crate::support::library::push(&layout, &format!("{near}/proxy/app:1"));
    let digest = json_root(&layout);
    let rules = format!(
        "[[registry]]\nprefix = 'r.example'\nlocation = '{host}/up'\n\
         [[registry.mirror]]\nlocation = '{nobody}'\n[[registry.mirror]]\nlocation = '{near}/proxy'\n"
    );
    home.put("registries.conf", &rules);
    let shown = |name: &str| -> Value {
        let run = home.run(&["inspect", "--json", name]);
        assert_eq!(run.code, Some(0), "{name}: {}", run.stderr);
        serde_json::from_str(&run.stdout).unwrap()
    };
    let pinned = format!("r.example/app@{digest}");
    let target = latest(&dir.path().join("nydus"));
    // By tag and by digest: the first mirror is down, the second one has it.
    for name in ["r.example/app:1", pinned.as_str()] {
        assert!(shown(name).to_string().contains(&digest), "{name}");
        home.ends(0, &["to-nydus", "-q", name, &target]);
    }
    assert_eq!(asked(&upstream, "GET", "/v2/up/app/"), 0, "the mirror gives it");
    assert!(asked(&mirror, "GET", "/v2/proxy/app/blobs/") > 0, "and its layers");
    // What no mirror has, the registry itself has.
    assert!(shown("r.example/rare:1").to_string().contains(&json_root(&other)));
    assert!(asked(&mirror, "GET", "/v2/proxy/rare/manifests/1") > 0);
    // What nobody has.
    let said = home.refused(4, &["check", "-q", "r.example/none:1"]);
    for part in [nobody.to_string(), near.clone(), host.clone()] {
        assert!(said.contains(&part), "{said}");
    }

    // A mirror that is not for tags.
    let before = asked(&mirror, "GET", "/v2/proxy/app/");
    home.put("registries.conf.d/only.conf", rules.replacen('\n', "\nmirror-by-digest-only = true\n", 1));
    shown("r.example/app:1");
    assert_eq!(asked(&mirror, "GET", "/v2/proxy/app/"), before);
    assert_eq!(asked(&upstream, "GET", "/v2/up/app/manifests/1"), 1);
    shown(&pinned);
    assert!(asked(&mirror, "GET", "/v2/proxy/app/") > before);

    // Another file, and it alone.
    let elsewhere = dir.path().join("other.conf");
    fs::write(&elsewhere, format!("[[registry]]\nprefix = 'r.example/app'\nlocation = '{host}/up/rare'"))
        .unwrap();
    let mut command = alone(home.dir.path());
    command.env("CONTAINERS_REGISTRIES_CONF", &elsewhere).args(["inspect", "--json", "r.example/app:1"]);
    let run = end(&mut command);
    assert!(run.stdout.contains(&json_root(&other)), "{}{}", run.stdout, run.stderr);
    let mut command = alone(home.dir.path());
    command.env("CONTAINERS_REGISTRIES_CONF", "/nowhere").args(["inspect", "r.example/app:1"]);
    assert_eq!(end(&mut command).code, Some(1));
}

#[test]
fn mirrors_are_not_believed() {
    require!("docker-registry");
    let (dir, home) = (tempfile::tempdir().unwrap(), Home::new());
    let layout = image(dir.path(), "image");
    let (upstream, mirror) = (Registry::start(), Registry::start());
    let (host, near) = (upstream.host(), mirror.host());
    for registry in [&host, &near] {
        crate::support::library::push(&layout, &format!("{registry}/app:1"));
    }
    home.put(
        "registries.conf",
        format!("[[registry]]\nlocation = '{host}'\n[[registry.mirror]]\nlocation = '{near}'\n"),
    );
    let target = dir.path().join("nydus");
    let name = format!("{host}/app:1");
    let damage = |digest: &str| {
        let file = mirror.blob(digest);
        let mut bytes = fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(file, bytes).unwrap();
    };
    // A layer that is another one: nothing is published.
    let layer = json(&layout, &json_root(&layout))["layers"][0]["digest"].as_str().unwrap().to_owned();
    damage(&layer);
    let said = home.refused(6, &["to-nydus", "-q", &name, &latest(&target)]);
    assert!(said.contains(&layer) && said.contains(&near), "{said}");
    assert!(!target.exists());
    // A manifest that is another one: somebody else is asked.
    damage(&json_root(&layout));
    home.ends(0, &["to-nydus", "-q", &format!("{host}/app@{}", json_root(&layout)), &latest(&target)]);
    assert_eq!(asked(&upstream, "GET", "/v2/app/manifests/"), 1);
}

#[test]
fn mirrors_are_for_reading_and_hear_no_passwords() {
    require!("docker-registry");
    let (dir, home) = (tempfile::tempdir().unwrap(), Home::new());
    let layout = image(dir.path(), "image");
    let (upstream, mirror) =
        (Registry::start(), Registry::that(Wants { password: true, ..Wants::default() }));
    let (host, near) = (upstream.host(), mirror.host());
    let rules = format!("[[registry]]\nlocation = '{host}'\n[[registry.mirror]]\nlocation = '{near}'\n");
    home.put("registries.conf", &rules);
    let name = format!("{host}/app:1");
    home.ends(0, &["to-nydus", "-q", &latest(&layout), &name]);
    assert!(!mirror.log().contains("/v2/app/"), "{}", mirror.log());
    // What is given for the registry is not said to its mirror, which would take it.
    let before = asked(&upstream, "GET", "/v2/app/manifests/1");
    home.ends(0, &["check", "-q", &name, "--creds", "user:secret"]);
    assert_eq!(asked(&upstream, "GET", "/v2/app/manifests/1"), before + 1);
    // What is known for the mirror is. dXNlcjpzZWNyZXQ= is user:secret.
    home.put("auth.json", format!("{{\"auths\":{{\"{near}\":{{\"auth\":\"dXNlcjpzZWNyZXQ=\"}}}}}}"));
    let to_mirror = ["to-nydus", "-q", name.as_str(), &format!("{near}/app:1")];
    home.ends(0, &to_mirror);
    let before = asked(&upstream, "GET", "/v2/app/");
    home.ends(0, &["check", "-q", &name]);
    assert_eq!(asked(&upstream, "GET", "/v2/app/"), before);

    home.put("registries.conf", format!("[[registry]]\nlocation = '{host}'\nblocked = true\n"));
    for arguments in
        [["check", "-q", &name], ["to-nydus", &latest(&layout), &name], ["to-oci", &name, "oci:x:y"]]
    {
        let said = home.refused(5, &arguments);
        assert!(said.contains("blocked") && said.contains("registries.conf"), "{said}");
    }
    home.put("registries.conf", "[[registry]]\nlocation = 7\n");
    let said = home.run(&["check", "-q", &name]);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    assert!(said.stderr.contains("registries.conf"), "{}", said.stderr);
}

#[test]
fn certificates_of_the_machine() {
    require!("docker-registry", "openssl");
    let dir = tempfile::tempdir().unwrap();
    let [ca, certificate, key] = certificates(dir.path());
    let registry =
        Registry::that(Wants { tls: Some((&certificate, &key)), client_of: Some(&ca), ..Wants::default() });
    let (host, layout) = (registry.host(), image(dir.path(), "image"));
    let target = format!("{host}/app:1");
    let convert = |home: &Home, code, more: &[&str]| {
        let source = latest(&layout);
        home.ends(code, &[&["to-nydus", "-q", &source, &target], more].concat())
    };
    let (home, read) = (Home::new(), |path: &Path| fs::read(path).unwrap());
    let put = |name: &str, text: Vec<u8>| home.put(&format!("certs.d/{host}/{name}"), text);
    put("tests.crt", read(&ca));
    // Trust goes one way: the registry wants to know who we are.
    convert(&home, 6, &[]);
    put("me.cert", read(&certificate));
    let said = convert(&home, 1, &[]);
    assert!(said.contains("me.cert"), "{said}");
    let stranger = tempfile::tempdir().unwrap();
    let [other_ca, _, other_key] = certificates(stranger.path());
    put("me.key", read(&other_key));
    let said = convert(&home, 1, &[]);
    assert!(said.contains("me.key"), "{said}");
    put("me.key", read(&key));
    convert(&home, 0, &[]);
    home.ends(0, &["check", "-q", &target]);
    // What is asked for goes before what is found: another authority, none, no TLS.
    convert(&home, 6, &["--dest-ca-file", other_ca.to_str().unwrap()]);
    convert(&home, 0, &["--dest-insecure"]);
    convert(&home, 6, &["--dest-plain-http"]);
}

#[test]
fn insecure_registries() {
    require!("docker-registry", "openssl");
    let (dir, home) = (tempfile::tempdir().unwrap(), Home::new());
    let [ca, certificate, key] = certificates(dir.path());
    let (plain, tls) =
        (Registry::start(), Registry::that(Wants { tls: Some((&certificate, &key)), ..Wants::default() }));
    let layout = latest(&image(dir.path(), "image"));
    let names = [&plain, &tls].map(|registry| format!("{}/app:1", registry.host()));
    // This machine is spoken to plainly.
    home.ends(6, &["to-nydus", "-q", &layout, &names[1]]);
    let rules = [&plain, &tls]
        .map(|registry| format!("[[registry]]\nlocation = '{}'\ninsecure = true\n", registry.host()));
    home.put("registries.conf", rules.concat());
    // Any certificate will do, and none.
    for name in &names {
        home.ends(0, &["to-nydus", "-q", &layout, name]);
        home.ends(0, &["check", "-q", name]);
    }
    // With an authority asked for, it must be that one.
    home.ends(0, &["check", "-q", &names[1], "--ca-file", ca.to_str().unwrap()]);
    let stranger = tempfile::tempdir().unwrap();
    let [other, _, _] = certificates(stranger.path());
    home.ends(6, &["check", "-q", &names[1], "--ca-file", other.to_str().unwrap()]);
}
