//! Registries with habits of their own: an image goes there, and comes back.

use std::path::Path;
use std::time::Duration;

use nydus_convert::oci::registry::Retry;
use nydus_convert::oci::{
    LayoutSink, LayoutSource, RegistryName, RegistryOptions, RegistrySink, RegistrySource, Sink, Source,
    copy_image,
};
use serde_json::json;
use tempfile::tempdir;

use crate::support::cli::{json_root, latest, run};
use crate::support::library::chain;
use crate::support::mock::{Answer, Habit, Mock, Request, Shared};
use crate::support::oci::{Compression, Image, Layer, Layout};
use crate::support::tars::Tar;

/// Bytes of a part; the layer has four of them.
const PART: u64 = 64 << 10;

fn options() -> RegistryOptions {
    let retry = Retry { times: 3, delay: Duration::from_millis(1) };
    RegistryOptions { retry, part: PART, machine_rules: false, ..RegistryOptions::default() }
}

fn refuse(request: &Request, status: u16) -> Option<Answer> {
    // What was sent is gone, and nobody knows of it.
    (request.is("PATCH", "/uploads/") || request.is("GET", "/uploads/"))
        .then(|| Answer::of(if request.method == "GET" { 404 } else { status }))
}

/// What a registry answers to who shows no token: the registry itself says where there are some.
fn hide(request: &Request, shared: &Shared, status: u16) -> Option<Answer> {
    let realm = format!("Bearer realm=\"http://{}/token\",service=\"it\"", shared.host);
    match (request.path.as_str(), request.header("authorization")) {
        ("/token", _) => Some(
            Answer::of(200)
                .with("Content-Type", "text/plain")
                .saying(r#"{"token":null,"access_token":"good","expires_in":"300","issued_at":"yesterday"}"#),
        ),
        (_, Some("Bearer good")) => None,
        ("/v2/", _) => Some(Answer::of(401).with("WWW-Authenticate", realm)),
        _ => Some(Answer::of(status)),
    }
}

/// A token holds the last of the rights that were asked for, or the first.
fn one_scope(request: &Request, shared: &Shared, last: bool) -> Option<Answer> {
    if request.path == "/token" {
        let mut scopes = request.query.split('&').filter_map(|part| part.strip_prefix("scope="));
        let scope = if last { scopes.next_back() } else { scopes.next() };
        return Some(Answer::of(200).saying(format!(r#"{{"token":"{}"}}"#, scope.unwrap_or_default())));
    }
    let wanted = if matches!(request.method.as_str(), "GET" | "HEAD") { "pull" } else { "pull,push" };
    let has = request.header("authorization").unwrap_or_default();
    let enough = has.contains("repository:app:") && has.ends_with(wanted) || has.ends_with("app:pull,push");
    let challenge =
        format!("Bearer realm=\"http://{}/token\",scope=\"repository:app:{wanted}\"", shared.host);
    (!enough).then(|| Answer::of(401).with("WWW-Authenticate", challenge))
}

fn has_range(request: &Request, shared: &Shared, range: impl Fn(u64) -> String) -> Option<Answer> {
    request.is("PATCH", "/uploads/").then(|| {
        let answer = shared.obey(request);
        let sent = request.body.len() as u64;
        if answer.status == 202 { answer.with("Range", range(sent)) } else { answer }
    })
}

/// The upload's location, as the registry spells it.
fn located(request: &Request, shared: &Shared, spell: impl Fn(&str, &str) -> String) -> Option<Answer> {
    matches!(request.method.as_str(), "POST" | "PATCH").then(|| {
        let answer = shared.obey(request);
        let location =
            answer.headers.iter().find(|(name, _)| *name == "Location").map(|(_, value)| value.clone());
        match location {
            Some(location) => answer.with("Location", spell(&shared.host.to_string(), &location)),
            None => answer,
        }
    })
}

const HABITS: &[(&str, Habit)] = &[
    ("none", |_, _| None),
    ("ECR: Range of the first part for ever", |r, s| has_range(r, s, |_| format!("0-{}", PART - 1))),
    ("zot: Range of the part", |r, s| has_range(r, s, |sent| format!("7-{}", 6 + sent))),
    ("Range of the part, from 0 on", |r, s| has_range(r, s, |sent| format!("0-{}", sent - 1))),
    ("nonsense as Range", |r, s| has_range(r, s, |_| "bytes */*".to_owned())),
    ("GHCR: no large PATCH with a range", |r, _| {
        let large = r.is("PATCH", "/uploads/") && r.body.len() > 4096 && r.header("content-range").is_some();
        large.then(|| Answer::of(416))
    }),
    ("GAR: no PATCH, 400", |r, _| refuse(r, 400)),
    ("no PATCH, 404", |r, _| refuse(r, 404)),
    ("no PATCH, 405", |r, _| refuse(r, 405)),
    ("no PATCH, 501", |r, _| refuse(r, 501)),
    ("JFrog: no PUT with a body", |r, _| {
        (r.is("PUT", "/uploads/") && !r.body.is_empty()).then(|| Answer::of(404))
    }),
    ("HEAD leads to a place that is for GET", |r, s| match r.path.strip_prefix("/signed") {
        Some(_) if r.method == "HEAD" => Some(Answer::of(403)),
        Some(path) => Some(s.obey(&Request { path: path.to_owned(), ..r.clone() })),
        None => (r.path.contains("/blobs/sha256:")).then(|| {
            Answer::of(307).with("Location", format!("http://localhost:{}/signed{}", s.host.port(), r.path))
        }),
    }),
    ("HEAD 405", |r, _| (r.method == "HEAD").then(|| Answer::of(405))),
    ("HEAD 500", |r, _| (r.method == "HEAD").then(|| Answer::of(500))),
    ("HEAD 501", |r, _| (r.method == "HEAD").then(|| Answer::of(501))),
    ("404 for the unknown, who learns why at /v2/", |r, s| hide(r, s, 404)),
    ("403 for the unknown", |r, s| hide(r, s, 403)),
    ("one right a token, the last", |r, s| one_scope(r, s, true)),
    ("one right a token, the first", |r, s| one_scope(r, s, false)),
    ("a location with the host's root", |r, s| located(r, s, |host, path| format!("http://{host}{path}"))),
    ("a location without a scheme", |r, s| located(r, s, |host, path| format!("//{host}{path}"))),
    ("a location from here", |r, s| {
        let posts = r.method == "POST";
        located(r, s, move |_, path| {
            format!("./{}{}", if posts { "" } else { "../uploads/" }, path.rsplit('/').next().unwrap())
        })
    }),
    ("a location with a query", |r, s| located(r, s, |_, path| format!("{path}?_state=http://x/../y"))),
    ("POST leads elsewhere", |r, s| match r.path.as_str() {
        "/v2/app/blobs/uploads/" => {
            Some(Answer::of(307).with("Location", format!("http://{}/v2/other/blobs/uploads/", s.host)))
        }
        _ => None,
    }),
    ("PUT 200, POST 201", |r, s| match r.method.as_str() {
        "PUT" | "POST" => {
            let answer = s.obey(r);
            let status = if r.method == "PUT" { 200 } else { 201 };
            Some(if answer.status < 300 { Answer { status, ..answer } } else { answer })
        }
        _ => None,
    }),
    ("PUT 202, PATCH without Location", |r, s| match r.method.as_str() {
        "PUT" | "PATCH" => {
            let answer = s.obey(r).without("Location");
            Some(if answer.status < 300 { Answer { status: 202, ..answer } } else { answer })
        }
        _ => None,
    }),
    ("a connection that ends behind the body", |r, s| {
        let done = r.is("PUT", "/uploads/") && s.obey(r).status == 201;
        done.then(Answer::default)
    }),
    ("502 at times", |r, s| {
        let number = s.state().log.len();
        (number % 5 == 0 && r.path != "/v2/").then(|| Answer::of(502))
    }),
    ("a static server's types", |r, s| {
        r.is("GET", "/manifests/").then(|| s.obey(r).with("Content-Type", "binary/octet-stream"))
    }),
    ("skopeo#2057: Docker's types for all", |r, s| {
        let docker = "application/vnd.docker.distribution.manifest.v2+json";
        r.is("GET", "/manifests/").then(|| s.obey(r).with("Content-Type", docker))
    }),
    ("OCI's type for all", |r, s| {
        let oci = "application/vnd.oci.image.manifest.v1+json";
        r.is("GET", "/manifests/").then(|| s.obey(r).with("Content-Type", oci))
    }),
    ("types of pages", |r, s| {
        r.is("GET", "/manifests/").then(|| s.obey(r).with("Content-Type", "text/html; charset=utf-8"))
    }),
];

/// There and back; what failed.
fn travels(layout: &Path, mock: &Mock) -> Result<(), Box<dyn std::error::Error>> {
    let name = |repository: &str| format!("{}/{repository}:1", mock.host()).parse::<RegistryName>();
    let source = LayoutSource::open(layout, Some("latest"), None)?;
    let sink = RegistrySink::create(&name("app")?, Some(&name("from")?), &options())?;
    copy_image(&source, &sink, source.root())?;
    Box::new(sink).commit(source.root().clone())?;
    let back = tempdir()?;
    let back = back.path().join("layout");
    let source = RegistrySource::open(&name("app")?, &options())?;
    let sink = LayoutSink::create(&back, Some("latest"))?;
    copy_image(&source, &sink, source.root())?;
    Box::new(sink).commit(source.root().clone())?;
    assert_eq!(json_root(&back), json_root(layout));
    Ok(())
}

/// What a registry says when it refuses an upload, and what we say.
const WORDS: &[(&str, &str)] = &[
    (
        r#"{"errors":[{"code":"DENIED","message":"quota exceeded"}]}"#,
        "400 to POST /v2/app/blobs/uploads/ (DENIED: quota exceeded)",
    ),
    (r#"{"errors":[{"status":400,"message":"not on this server"}]}"#, "(not on this server)"),
    (
        "<html><head><title>400</title></head>\n<body><h1>Storage full</h1>ask <b>ops</b></body></html>",
        "(400 Storage full ask ops)",
    ),
    ("plain words\n", "(plain words)"),
    ("", "400 to POST /v2/app/blobs/uploads/ (over plain HTTP; it may want TLS)"),
];

#[test]
fn words_of_registries() {
    let dir = tempdir().unwrap();
    let layout = dir.path().join("layout");
    Layout::of([Layer::new(Tar::new().file("a", "b").finish())]).write(&layout);
    let habits: [Habit; 5] = [
        |r, _| (r.method == "POST").then(|| Answer::of(400).saying(WORDS[0].0)),
        |r, _| (r.method == "POST").then(|| Answer::of(400).saying(WORDS[1].0)),
        |r, _| (r.method == "POST").then(|| Answer::of(400).saying(WORDS[2].0)),
        |r, _| (r.method == "POST").then(|| Answer::of(400).saying(WORDS[3].0)),
        |r, _| (r.method == "POST").then(|| Answer::of(400).saying(WORDS[4].0)),
    ];
    for (habit, (said, shown)) in habits.into_iter().zip(WORDS) {
        let error = travels(&layout, &Mock::start(habit)).unwrap_err();
        let text = chain(error.as_ref());
        assert!(text.ends_with(shown), "{said}: {text}");
    }
}

#[test]
fn of_registries() {
    let dir = tempdir().unwrap();
    let layout = dir.path().join("layout");
    let noise: Vec<u8> = (0..200_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let layer = Layer::new(Tar::new().file("noise", noise).finish());
    // The image refers to another one: the registry has no list of referrers, so a tag is one.
    let of = format!("sha256:{}", "a".repeat(64));
    let subject =
        json!({ "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": of, "size": 7 });
    let image = Image {
        manifest_patch: Some(json!({ "subject": subject })),
        ..Image::of([Layer { compression: Compression::None, ..layer }])
    };
    Layout { images: vec![image], ..Layout::default() }.write(&layout);
    let mut failed = Vec::new();
    for ((habit, does), cuts) in HABITS.iter().flat_map(|habit| [(habit, false), (habit, true)]) {
        let mock = Mock::start(*does);
        mock.state().cuts = cuts;
        if let Err(error) = travels(&layout, &mock) {
            failed.push(format!("{habit}, cut {cuts}: {}\n{:?}", chain(error.as_ref()), mock.state().log));
        } else if !mock.state().manifests.contains_key(&of.replace(':', "-")) {
            failed.push(format!("{habit}: no list of referrers"));
        }
        let downloads = |line: &&String| line.starts_with("GET") && line.contains("/blobs/sha256:");
        // A config and a layer, each in two pieces.
        assert!(!cuts || mock.state().log.iter().filter(downloads).count() >= 4, "{habit}");
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// What a registry takes no manifest with, the options, and the words of the error.
const ALLOW_LISTS: &[(&str, &[&str], &str)] = &[
    ("\"subject\"", &["--referrer"], "with a subject"),
    ("\"artifactType\"", &["--index", "with-oci"], "with an artifact type"),
    ("vnd.nydus.image.config", &["--index", "with-oci"], "with a config that is not of an image's type"),
];

fn allows(request: &Request, without: &str) -> Option<Answer> {
    let body = String::from_utf8_lossy(&request.body);
    let refused = r#"{"errors":[{"code":"MANIFEST_INVALID","message":"not allowed"}]}"#;
    (request.is("PUT", "/manifests/") && body.contains(without))
        .then(|| Answer::of(if without.contains("subject") { 405 } else { 400 }).saying(refused))
}

#[test]
fn allow_lists() {
    let dir = tempdir().unwrap();
    let layout = dir.path().join("layout");
    Layout::of([Layer::new(Tar::new().file("a", "b").finish())]).write(&layout);
    let habits: [Habit; 3] = [
        |r, _| allows(r, ALLOW_LISTS[0].0),
        |r, _| allows(r, ALLOW_LISTS[1].0),
        |r, _| allows(r, ALLOW_LISTS[2].0),
    ];
    for (habit, (without, options, words)) in habits.into_iter().zip(ALLOW_LISTS) {
        let mock = Mock::start(habit);
        let target = format!("{}/app:1", mock.host());
        let to_nydus = ["to-nydus", "-q", "--no-store", &latest(&layout), &target];
        let refused = run(to_nydus.iter().chain(options.iter()).copied());
        assert_eq!(refused.code, Some(6), "{without}: {}", refused.stderr);
        for words in [words, "MANIFEST_INVALID: not allowed", &format!("leave out {}", options.join(" "))[..]]
        {
            assert!(refused.stderr.contains(words), "{without}: {}", refused.stderr);
        }
        let taken = run(to_nydus);
        assert_eq!(taken.code, Some(0), "{without}: {}", taken.stderr);
    }
}

/// What a tag holds is not replaced by mistake.
#[test]
fn tags_are_not_replaced_by_their_opposites() {
    let dir = tempdir().unwrap();
    let layout = dir.path().join("layout");
    let layer = Layer::new(Tar::new().file("a", "b").finish());
    Layout::of([Layer { compression: Compression::None, ..layer }]).write(&layout);
    let mock = Mock::start(|_, _| None);
    let at = |tag: &str| format!("{}/app:{tag}", mock.host());
    for (verb, source, target, refused) in [
        ("to-nydus", latest(&layout), at("nydus"), None),
        ("to-nydus", latest(&layout), at("nydus"), None),
        ("to-oci", at("nydus"), at("oci"), None),
        ("to-oci", at("nydus"), at("nydus"), Some("is the source and the target")),
        ("to-nydus", at("oci"), at("oci"), Some("is the source and the target")),
        ("to-nydus", latest(&layout), at("oci"), Some("holds an OCI image")),
        ("to-oci", at("oci"), at("nydus"), Some("holds a Nydus image")),
    ] {
        let before = mock.state().manifests.clone();
        let run = run([verb, "-q", &source, &target]
            .into_iter()
            .chain((verb == "to-nydus").then_some("--no-store")));
        assert_eq!(
            run.code,
            Some(if refused.is_some() { 2 } else { 0 }),
            "{verb} {source} {target}: {}",
            run.stderr
        );
        if let Some(words) = refused {
            assert!(run.stderr.contains(words) && run.stderr.contains("--force"), "{}", run.stderr);
            assert_eq!(mock.state().manifests, before);
        }
    }
}

/// An answer that comes when the client has given up waiting: what was sent is there.
#[test]
fn answers_after_the_timeout() {
    let dir = tempdir().unwrap();
    let layout = dir.path().join("layout");
    Layout::of([Layer::new(Tar::new().file("a", "b").finish())]).write(&layout);
    let mock = Mock::start(|request, registry| {
        let answer = registry.obey(request);
        if request.method == "PUT"
            && registry.state().log.iter().filter(|line| line.starts_with("PUT")).count() < 4
        {
            std::thread::sleep(Duration::from_secs(2));
        }
        Some(answer)
    });
    let target = format!("{}/app:1", mock.host());
    let run = run(["to-nydus", "-q", "--no-store", "--timeout", "1s", &latest(&layout), &target]);
    assert_eq!(run.code, Some(0), "{}: {:?}", run.stderr, mock.state().log);
    assert!(mock.state().manifests.contains_key("1"));
}

/// What is logged of a conversion, and of each later command, at `-v` and at `-vv`.
#[test]
fn what_is_done_is_logged() {
    let dir = tempdir().unwrap();
    let layout = dir.path().join("layout");
    Layout::of([Layer::new(Tar::new().file("a", "b").finish())]).write(&layout);
    let mock = Mock::start(|request, registry| {
        // The first one only asks for access.
        let second = registry.state().log.iter().filter(|line| line.starts_with("POST")).count() == 2;
        (request.method == "POST" && second).then(|| Answer::of(503))
    });
    let (source, target) = (latest(&layout), format!("{}/app:1", mock.host()));
    for (args, words) in [
        (
            &["to-nydus", "--no-store", "--retry-delay", "1ms", "-v", &source, &target][..],
            &["source oci:", "layer 1 of 1", "converted", "answers 503", "try 2 in 1ms"][..],
        ),
        (&["check", "-vv", &target], &["GET /v2/app/manifests/1 of 127.0.0.1", "a Nydus image, linux/amd64"]),
        (&["ls", "-vv", &target], &["GET /v2/app/blobs/"]),
        (&["-v", "inspect", &target], &["source docker://"]),
    ] {
        let run = run(args.iter().chain(&["--log-format", "json"]).copied());
        assert_eq!(run.code, Some(0), "{args:?}: {}", run.stderr);
        let mut log = String::new();
        for line in run.stderr.lines().filter(|line| line.starts_with('{')) {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(event["level"].is_string() && event["timestamp"].is_string(), "{line}");
            log.push_str(event["message"].as_str().unwrap());
            log.push('\n');
        }
        for word in words {
            assert!(log.contains(word), "{args:?}: {word}: {log}");
        }
    }
}
