#![allow(clippy::unwrap_used)]
use std::path::Path;

use proptest::prelude::*;

use super::*;

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn digest() -> Digest {
    format!("sha256:{HEX}").parse().unwrap()
}

fn parse(text: &str) -> Reference {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn registry_names() {
    let pin = format!("@sha256:{HEX}");
    // (typed, host, repository, tag, pinned)
    let table = [
        ("busybox", "docker.io", "library/busybox", Some("latest"), false),
        ("docker://busybox", "docker.io", "library/busybox", Some("latest"), false),
        ("busybox:1.36", "docker.io", "library/busybox", Some("1.36"), false),
        ("grafana/grafana", "docker.io", "grafana/grafana", Some("latest"), false),
        ("a/b/c", "docker.io", "a/b/c", Some("latest"), false),
        ("docker.io/busybox", "docker.io", "library/busybox", Some("latest"), false),
        ("index.docker.io/x/y:z", "docker.io", "x/y", Some("z"), false),
        ("localhost/x", "localhost", "x", Some("latest"), false),
        ("localhost:5000/x", "localhost:5000", "x", Some("latest"), false),
        ("test:5000/repo:tag", "test:5000", "repo", Some("tag"), false),
        ("test.com:5000", "docker.io", "library/test.com", Some("5000"), false),
        ("docker://oci:5000/repo", "oci:5000", "repo", Some("latest"), false),
        ("UPPER/repo", "UPPER", "repo", Some("latest"), false),
        ("127.0.0.1:5000/a/b:V1", "127.0.0.1:5000", "a/b", Some("V1"), false),
        ("[::1]:5000/a", "[::1]:5000", "a", Some("latest"), false),
        ("[fe80::1]/a", "[fe80::1]", "a", Some("latest"), false),
        ("xn--n3h.com/a__b/c---d.e", "xn--n3h.com", "a__b/c---d.e", Some("latest"), false),
        (&format!("registry.example/a/b{pin}"), "registry.example", "a/b", None, true),
        (&format!("registry.example/a/b:t{pin}"), "registry.example", "a/b", Some("t"), true),
        (&format!("x{pin}"), "docker.io", "library/x", None, true),
        ("ociimage", "docker.io", "library/ociimage", Some("latest"), false),
        ("tar/x", "docker.io", "tar/x", Some("latest"), false),
    ];
    for (text, host, repository, tag, pinned) in table {
        let Reference::Registry(name) = parse(text) else { panic!("{text}") };
        assert_eq!((name.host.as_str(), name.repository.as_str()), (host, repository), "{text}");
        assert_eq!((name.tag.as_deref(), name.digest), (tag, pinned.then(digest)), "{text}");
        assert_eq!(
            Reference::Registry(name.clone()),
            parse(&Reference::Registry(name).to_string()),
            "{text}"
        );
    }
    assert_eq!(parse("busybox").to_string(), "docker://docker.io/library/busybox:latest");
    assert_eq!("a/b".parse::<RegistryName>().unwrap().to_string(), "docker.io/a/b:latest");
}

#[test]
fn names_that_are_none() {
    let long = format!("{}/x", "a".repeat(250));
    let tag = format!("x:{}", "t".repeat(129));
    let table = [
        ("Busybox", NameFault::UpperCase),
        ("a/B", NameFault::UpperCase),
        ("a..b", NameFault::Repository),
        ("a/", NameFault::Repository),
        ("a//b", NameFault::Repository),
        ("-a", NameFault::Repository),
        ("a_", NameFault::Repository),
        ("a___b", NameFault::Repository),
        ("a._b", NameFault::Repository),
        ("é", NameFault::Repository),
        ("a b", NameFault::Repository),
        (" busybox", NameFault::Repository),
        (":tag", NameFault::Repository),
        ("a:", NameFault::Tag),
        ("a:.b", NameFault::Tag),
        ("a:b c", NameFault::Tag),
        (&tag, NameFault::Tag),
        ("host:port/x", NameFault::Host),
        ("host:/x", NameFault::Host),
        ("-x.com/y", NameFault::Host),
        ("a..com/y", NameFault::Host),
        (".com/y", NameFault::Host),
        ("a.b_c/y", NameFault::Host),
        ("[::1/x", NameFault::Host),
        ("[nope]:1/x", NameFault::Host),
        (HEX, NameFault::ImageId),
        (&long, NameFault::TooLong),
    ];
    for (text, fault) in table {
        match text.parse::<Reference>() {
            Err(ReferenceError::BadName { reason, .. }) => assert_eq!(reason, fault, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn layouts_split_at_the_first_colon() {
    let pin = format!("@sha256:{HEX}");
    let table = [
        ("oci:dir".to_owned(), "dir", None, false),
        ("oci:/abs/dir:latest".to_owned(), "/abs/dir", Some("latest"), false),
        ("oci:dir:a:b".to_owned(), "dir", Some("a:b"), false),
        ("oci:dir:docker.io/library/x:1".to_owned(), "dir", Some("docker.io/library/x:1"), false),
        ("oci:dir:a--b+c_d@e".to_owned(), "dir", Some("a--b+c_d@e"), false),
        (format!("oci:dir{pin}"), "dir", None, true),
        (format!("oci:dir:ref{pin}"), "dir", Some("ref"), true),
        (format!("oci:dir:sha256:{HEX}"), "dir", None, true),
        ("oci:a b@c".to_owned(), "a b@c", None, false),
        ("oci:sha256:x".to_owned(), "sha256", Some("x"), false),
        ("oci:latest".to_owned(), "latest", None, false),
        ("oci://x".to_owned(), "//x", None, false),
    ];
    for (text, path, name, pinned) in &table {
        for archive in [false, true] {
            let text = if archive { text.replacen("oci:", "oci-archive:", 1) } else { text.clone() };
            let reference = parse(&text);
            let (got, got_name, got_digest) = match &reference {
                Reference::Oci { dir, name, digest } => (dir, name, digest),
                Reference::OciArchive { file, name, digest } => (file, name, digest),
                other => panic!("{other:?}"),
            };
            assert_eq!(got, Path::new(path), "{text}");
            assert_eq!((got_name.as_deref(), *got_digest), (*name, pinned.then(digest)), "{text}");
            assert_eq!(parse(&reference.to_string()), reference, "{text}");
            assert_eq!(reference.transport(), if archive { "oci-archive" } else { "oci" });
        }
    }
}

#[test]
fn other_transports() {
    let table = [
        ("docker-archive:f.tar", Reference::DockerArchive { file: "f.tar".into(), name: None }),
        (
            "docker-archive:f.tar:busybox:1.0",
            Reference::DockerArchive { file: "f.tar".into(), name: Some("busybox:1.0".into()) },
        ),
        (
            "docker-archive:f.tar:@0",
            Reference::DockerArchive { file: "f.tar".into(), name: Some("@0".into()) },
        ),
        ("dir:/a:b", Reference::Dir { dir: "/a:b".into(), digest: None }),
        ("rootfs:.", Reference::Rootfs { dir: ".".into() }),
        ("rootfs:a:b", Reference::Rootfs { dir: "a:b".into() }),
        ("tar:a:b.tar", Reference::Tar { file: Some("a:b.tar".into()) }),
        ("tar:./-", Reference::Tar { file: Some("./-".into()) }),
        ("tar:-", Reference::Tar { file: None }),
    ];
    for (text, reference) in table {
        assert_eq!(parse(text), reference);
        assert_eq!(reference.to_string(), text);
    }
    let pinned = format!("dir:x@sha256:{HEX}");
    assert_eq!(parse(&pinned), Reference::Dir { dir: "x".into(), digest: Some(digest()) });
}

#[test]
fn what_does_not_parse() {
    type Test = fn(&ReferenceError) -> bool;
    let empty: Test = |e| matches!(e, ReferenceError::Empty { .. });
    let transport: Test = |e| matches!(e, ReferenceError::UnknownTransport { .. });
    let bad_digest: Test = |e| matches!(e, ReferenceError::BadDigest(_));
    let bad_ref: Test = |e| matches!(e, ReferenceError::BadRefName { .. });
    let no_pin: Test = |e| matches!(e, ReferenceError::DigestNotPossible { .. });
    let pin = format!("@sha256:{HEX}");
    let table = [
        (String::new(), empty),
        ("docker://".into(), empty),
        ("oci:".into(), empty),
        ("oci::latest".into(), empty),
        ("oci:dir:".into(), empty),
        (format!("oci:{pin}"), empty),
        ("tar:".into(), empty),
        ("docker-archive:f:".into(), empty),
        ("containers-storage:x/y".into(), transport),
        ("docker-daemon:x:y".into(), transport),
        ("https://example.com/x".into(), transport),
        ("oci:dir:ref@sha256:12".into(), bad_digest),
        (format!("oci:dir@sha256:{}", HEX.to_uppercase()), bad_digest),
        (format!("x@sha256:{}", &HEX[1..]), bad_digest),
        (format!("x@sha384:{HEX}"), bad_digest),
        ("x@latest".into(), bad_digest),
        ("oci:dir:a b".into(), bad_ref),
        ("oci:dir:../x".into(), bad_ref),
        ("oci:dir:-x".into(), bad_ref),
        ("oci:dir:x---y".into(), bad_ref),
        ("oci:dir:x//y".into(), bad_ref),
        ("oci:dir:\u{1b}[31m".into(), bad_ref),
        (format!("tar:x{pin}"), no_pin),
        (format!("rootfs:x{pin}"), no_pin),
        (format!("docker-archive:x:y{pin}"), no_pin),
        (format!("oci:d:sha256:{HEX}{pin}"), |e| matches!(e, ReferenceError::TwoDigests { .. })),
        ("dir:a\0b".into(), |e| matches!(e, ReferenceError::NulInPath)),
    ];
    for (text, expected) in &table {
        let error = text.parse::<Reference>().expect_err(text);
        assert!(expected(&error), "{text}: {error:?}");
        assert!(!error.to_string().contains('\u{1b}'));
    }
}

#[test]
fn pinning() {
    for text in ["x", "oci:d:r", "oci-archive:f", "dir:d"] {
        let pinned = parse(&parse(text).pinned(digest()));
        assert_eq!(pinned.digest(), Some(&digest()));
    }
    assert_eq!(parse("oci:d:r").pinned(digest()), format!("oci:d:r@sha256:{HEX}"));
    assert_eq!(parse("tar:-").digest(), None);
}

fn any_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("oci:".to_owned()),
        Just("docker://".to_owned()),
        Just("docker-archive:".to_owned()),
        Just("tar:".to_owned()),
        Just("dir:".to_owned()),
        Just(format!("@sha256:{HEX}")),
        Just(format!("sha256:{HEX}")),
        "[a-z0-9]{1,5}",
        "[a-zA-Z0-9:/@._+-]{1,6}",
        "[:/@._-]",
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn what_parses_prints_back(text in prop_oneof![any_text(), any::<String>()]) {
        if let Ok(reference) = text.parse::<Reference>() {
            prop_assert_eq!(reference.to_string().parse::<Reference>(), Ok(reference));
        }
    }

    // The same question to another parser.
    #[test]
    fn registry_names_agree_with_oci_spec(text in "([a-zA-Z0-9.-]{1,6}(:[0-9]{1,3})?/)?[a-zA-Z0-9._-]{1,6}(/[a-z0-9._-]{1,6})?(:[a-zA-Z0-9._-]{1,6})?") {
        let theirs = text.parse::<oci_spec::distribution::Reference>();
        let ours = text.parse::<RegistryName>();
        // They do not take a first part in upper case for a host, as Docker does; and they take one with an underscore,
        // which no host has.
        let odd_host = text.split_once('/').is_some_and(|(first, _)| {
            first.contains('_') || first.bytes().any(|b| b.is_ascii_uppercase()) && !first.contains(['.', ':'])
        });
        if !odd_host {
            match (&ours, &theirs) {
                (Ok(ours), Ok(theirs)) => {
                    prop_assert_eq!(ours.host.as_str(), theirs.registry());
                    prop_assert_eq!(ours.repository.as_str(), theirs.repository());
                    prop_assert_eq!(ours.tag.as_deref(), theirs.tag());
                }
                (Err(_), Err(_)) => {}
                _ => prop_assert!(false, "{}: {:?} {:?}", text, ours, theirs),
            }
        }
    }
}
