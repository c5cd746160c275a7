#![allow(clippy::unwrap_used)]
use super::*;

const DIGEST: &str = "@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn rules(text: &str) -> Rules {
    let mut rules = Rules::default();
    rules.add(text, Path::new("registries.conf")).unwrap_or_else(|error| panic!("{text}: {error}"));
    rules
}

/// Where `name` is looked for; places that are insecure with a `!`.
fn places(rules: &Rules, name: &str) -> Vec<String> {
    let places = rules.pull(&name.parse().unwrap()).unwrap();
    places.iter().map(|place| format!("{}{}", place.name, if place.insecure { "!" } else { "" })).collect()
}

#[test]
fn the_longest_prefix_counts() {
    let rules = rules(
        r#"
        unqualified-search-registries = ["search.example"]
        short-name-mode = "enforcing"
        [aliases]
        "app" = "alias.example/app"
        [[registry]]
        location = "r.example"
        insecure = true
        [[registry]]
        prefix = "r.example/team"
        location = "internal.example/mirror/team/"
        [[registry]]
        prefix = "r.example/team/app:old"
        location = "internal.example/old/app:old"
        [[registry]]
        prefix = "docker.io"
        location = "hub.example/proxy"
        [[registry]]
        prefix = "*.wild.example"
        insecure = true
        [[registry]]
        prefix = "*.deep.wild.example"
        location = "deep.example"
        [[registry]]
        prefix = "a.deep.wild.example"
        location = "own.example"
        "#,
    );
    for (name, at) in [
        ("other.example/x:1", "other.example/x:1"),
        ("r.example/x:1", "r.example/x:1!"),
        ("r.example:5000/x:1", "r.example:5000/x:1"),
        ("r.example.org/x:1", "r.example.org/x:1"),
        ("r.example/teams/x:1", "r.example/teams/x:1!"),
        ("r.example/team/x:1", "internal.example/mirror/team/x:1"),
        ("r.example/team/app", "internal.example/mirror/team/app:latest"),
        ("r.example/team/app:old", "internal.example/old/app:old"),
        // Docker's rules for short names, then the table of where they lead.
        ("app", "hub.example/proxy/library/app:latest"),
        ("wild.example/x:1", "wild.example/x:1"),
        ("a.wild.example/x:1", "a.wild.example/x:1!"),
        ("a.b.wild.example:5000/x:1", "a.b.wild.example:5000/x:1!"),
        ("awild.example/x:1", "awild.example/x:1"),
        ("b.deep.wild.example/x:1", "deep.example/x:1"),
        ("b.deep.wild.example:5000/x:1", "deep.example:5000/x:1"),
        ("a.deep.wild.example/x:1", "own.example/x:1"),
    ] {
        assert_eq!(places(&rules, name), [at], "{name}");
    }
    // Writing goes where the name says; what is allowed there is allowed.
    let push = |name: &str| rules.push(&name.parse().unwrap()).unwrap();
    assert_eq!(push("r.example/x").name.to_string(), "r.example/x:latest");
    assert!(push("r.example/x").insecure);
    assert_eq!(push("r.example/team/x").name.to_string(), "r.example/team/x:latest");
    assert!(!push("r.example/team/x").insecure);
}

#[test]
fn mirrors() {
    let rules = rules(
        r#"
        [[registry]]
        location = "r.example"
        [[registry.mirror]]
        location = "all.example:5000/r"
        insecure = true
        [[registry.mirror]]
        location = "digests.example"
        pull-from-mirror = "digest-only"
        [[registry.mirror]]
        location = "tags.example"
        pull-from-mirror = "tag-only"
        [[registry.mirror]]
        location = "empty.example"
        pull-from-mirror = ""

        [[registry]]
        location = "careful.example"
        mirror-by-digest-only = true
        [[registry.mirror]]
        location = "mirror.example"
        "#,
    );
    let digest = |host: &str| format!("{host}/x{DIGEST}");
    assert_eq!(
        places(&rules, "r.example/x:1"),
        ["all.example:5000/r/x:1!", "tags.example/x:1", "empty.example/x:1", "r.example/x:1"]
    );
    assert_eq!(
        places(&rules, &digest("r.example")),
        [
            format!("all.example:5000/r/x{DIGEST}!"),
            digest("digests.example"),
            digest("empty.example"),
            digest("r.example")
        ]
    );
    assert_eq!(places(&rules, "careful.example/x:1"), ["careful.example/x:1"]);
    assert_eq!(
        places(&rules, &digest("careful.example")),
        [digest("mirror.example"), digest("careful.example")]
    );
    assert_eq!(rules.push(&"r.example/x:1".parse().unwrap()).unwrap().name.to_string(), "r.example/x:1");
}

#[test]
fn what_is_blocked() {
    let rules = rules("[[registry]]\nprefix = 'r.example/bad'\nblocked = true\nlocation = 'r.example/bad'\n");
    let name: RegistryName = "r.example/bad/x".parse().unwrap();
    for refused in [rules.pull(&name).unwrap_err(), rules.push(&name).unwrap_err()] {
        assert_eq!(refused.kind(), crate::ErrorKind::Access);
        assert!(refused.to_string().contains("registries.conf"), "{refused}");
    }
    assert!(rules.pull(&"r.example/badly/x".parse().unwrap()).is_ok());
}

#[test]
fn files_that_are_none() {
    for (text, problem) in [
        ("[[registry", "TOML"),
        ("[[registry]]\ninsecure = true", "neither prefix nor location"),
        ("[[registry]]\nlocation = 'https://r.example'", "no scheme"),
        ("[[registry]]\nprefix = 'a.*.example'\nlocation = 'r.example'", "subdomains"),
        ("[[registry]]\nprefix = '*.r.example/x'\nlocation = 'r.example'", "subdomains"),
        ("[[registry]]\nlocation = '*.r.example'", "no wildcard"),
        ("[[registry]]\nlocation = 'r.example'\n[[registry.mirror]]\ninsecure = true", "has no location"),
        (
            "[[registry]]\nlocation = 'r.example'\nmirror-by-digest-only = true\n[[registry.mirror]]\nlocation = 'm.example'\npull-from-mirror = 'tag-only'",
            "exclude each other",
        ),
        (
            "[[registry]]\nlocation = 'r.example'\n[[registry.mirror]]\nlocation = 'm.example'\npull-from-mirror = 'some'",
            "some",
        ),
        ("[registries.insecure]\nregistries = ['r.example']", "version 1"),
        ("[registries.block]\nregistries = ['r.example']", "version 1"),
    ] {
        let error = Rules::default().add(text, Path::new("x")).unwrap_err().to_string();
        assert!(error.contains(problem), "{text}: {error}");
    }
    // Lists for short names alone are nobody's business here.
    assert!(rules("[registries.search]\nregistries = ['r.example']").0.is_empty());
    let nowhere = rules("[[registry]]\nprefix = 'r.example'\nlocation = 'nowhere'");
    let error = nowhere.pull(&"r.example/x".parse().unwrap()).unwrap_err();
    assert!(matches!(error, RegistryError::File { .. }), "{error}");
}

#[test]
fn later_files_replace_tables() {
    let dir = tempfile::tempdir().unwrap();
    let put = |path: &str, location: &str| {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("[[registry]]\nprefix = 'r.example'\nlocation = '{location}'\n")).unwrap();
        path
    };
    let (user, system) = (dir.path().join("user/registries.conf"), dir.path().join("etc/registries.conf"));
    let vendor = dir.path().join("usr/registries.conf");
    let at = || {
        let rules = Rules::among(Some(&user), &[&system, &vendor]).unwrap();
        places(&rules, "r.example/x:1").remove(0)
    };
    assert_eq!(at(), "r.example/x:1");
    // What is put later goes before all that was put earlier.
    for (path, location) in [
        ("usr/registries.conf", "vendor.example"),
        ("etc/registries.conf", "system.example"),
        ("etc/registries.conf.d/10.conf", "ten.example"),
        ("etc/registries.conf.d/20.conf", "twenty.example"),
        ("user/registries.conf.d/05.conf", "five.example"),
    ] {
        put(path, location);
        assert_eq!(at(), format!("{location}/x:1"), "{path}");
    }
    put("etc/registries.conf.d/30.conf.bak", "backup.example");
    assert_eq!(at(), "five.example/x:1");
    fs::remove_dir_all(dir.path().join("user/registries.conf.d")).unwrap();
    put("user/registries.conf", "user.example");
    assert_eq!(at(), "user.example/x:1", "with a file of the user's the system's do not count");
    fs::write(&user, "[[registry]]").unwrap();
    let error = Rules::among(Some(&user), &[]).unwrap_err();
    assert!(error.to_string().contains("registries.conf"), "{error}");
}
