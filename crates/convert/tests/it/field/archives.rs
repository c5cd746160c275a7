//! Archives of `docker save` as other tools write them.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::cli::{latest, ok, run};
use crate::support::sha256_hex;
use crate::support::tars::Tar;

/// The tar of the layer number `number`.
fn layer(number: usize) -> Vec<u8> {
    Tar::new().file(&format!("file-{number}"), "content").finish()
}

fn config(layers: &[usize]) -> String {
    let diff_ids: Vec<String> =
        layers.iter().map(|number| format!("sha256:{}", sha256_hex(&layer(*number)))).collect();
    json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}})
        .to_string()
}

/// The members of an archive: names with `C` for the config of the layers that are listed, `L0`, `L1`, … for layers, `->NAME` for
/// links, `=>NAME` for hard links; what `manifest.json` says; what is asked for, and the files that the image then shows, or what the
/// code and the words of the error are.
struct Archive {
    report: &'static str,
    members: &'static [(&'static str, &'static str)],
    manifest: &'static str,
    name: &'static str,
    shows: Result<&'static str, (i32, &'static str)>,
}

const ARCHIVES: &[Archive] = &[
    Archive {
        report: "jib#4522: rooted names",
        members: &[("c.json", "C0"), ("a/layer.tar", "L0")],
        manifest: r#"[{"Config": "/c.json", "RepoTags": ["app:1"], "Layers": ["/a/layer.tar"]}]"#,
        name: "",
        shows: Ok("/file-0"),
    },
    Archive {
        report: "jib#4502: names in a directory that is this one",
        members: &[("./c.json", "C0"), ("/a/layer.tar", "L0")],
        manifest: r#"[{"Config": "c.json", "RepoTags": null, "Layers": ["./a//layer.tar"]}]"#,
        name: "",
        shows: Ok("/file-0"),
    },
    Archive {
        report: "nixpkgs#214434: a layer that is a link to another",
        members: &[
            ("c.json", "C010"),
            ("a/layer.tar", "L0"),
            ("b/layer.tar", "L1"),
            ("c/layer.tar", "->../a/layer.tar"),
        ],
        manifest: r#"[{"Config": "c.json", "Layers": ["a/layer.tar", "b/layer.tar", "c/layer.tar"]}]"#,
        name: "",
        shows: Ok("/file-0 /file-1"),
    },
    Archive {
        report: "the same as a hard link",
        members: &[("c.json", "C00"), ("a/layer.tar", "L0"), ("b/layer.tar", "=>/a/layer.tar")],
        manifest: r#"[{"Config": "c.json", "Layers": ["a/layer.tar", "b/layer.tar"]}]"#,
        name: "",
        shows: Ok("/file-0"),
    },
    Archive {
        report: "podman#29196: several names of one image",
        members: &[("c.json", "C0"), ("l.tar", "L0")],
        manifest: r#"[{"Config": "c.json", "RepoTags": ["app:1", "example.com/other/app:2"], "Layers": ["l.tar"]}]"#,
        name: ":example.com/other/app:2",
        shows: Ok("/file-0"),
    },
    Archive {
        report: "moby#51389: two images",
        members: &[("c.json", "C0"), ("d.json", "C1"), ("l.tar", "L0"), ("m.tar", "L1")],
        manifest: r#"[{"Config": "c.json", "RepoTags": ["app:1"], "Layers": ["l.tar"]}, {"Config": "d.json", "Layers": ["m.tar"]}]"#,
        name: ":@1",
        shows: Ok("/file-1"),
    },
    Archive {
        report: "two images, of which none is asked for",
        members: &[("c.json", "C0"), ("d.json", "C1"), ("l.tar", "L0"), ("m.tar", "L1")],
        manifest: r#"[{"Config": "c.json", "RepoTags": ["app:1"], "Layers": ["l.tar"]}, {"Config": "d.json", "Layers": ["m.tar"]}]"#,
        name: "",
        shows: Err((4, "app:1, @1")),
    },
    Archive {
        report: "a name that is not there",
        members: &[("c.json", "C0"), ("l.tar", "L0")],
        manifest: r#"[{"Config": "c.json", "RepoTags": ["app:1"], "Layers": ["l.tar"]}]"#,
        name: ":app:2",
        shows: Err((4, "app:1")),
    },
    Archive {
        report: "a layer that is elsewhere",
        members: &[("c.json", "C0"), ("l.tar", "L0")],
        manifest: r#"[{"Config": "c.json", "Layers": ["../l.tar"]}]"#,
        name: "",
        shows: Err((4, "has no file \"../l.tar\"")),
    },
    Archive {
        report: "members twice, with equal bytes",
        members: &[("c.json", "C0"), ("l.tar", "L0"), ("c.json", "C0"), ("./l.tar", "L0")],
        manifest: r#"[{"Config": "c.json", "Layers": ["l.tar"]}]"#,
        name: "",
        shows: Ok("/file-0"),
    },
    Archive {
        report: "a member twice, with other bytes",
        members: &[("c.json", "C0"), ("l.tar", "L0"), ("l.tar", "L1")],
        manifest: r#"[{"Config": "c.json", "Layers": ["l.tar"]}]"#,
        name: "",
        shows: Err((3, "has two files \"l.tar\" with different content")),
    },
    Archive {
        report: "docker before 1.10",
        members: &[("repositories", "{}")],
        manifest: "",
        name: "",
        shows: Err((4, "manifest.json")),
    },
];

fn write(archive: &Archive, path: &Path) {
    let mut tar = Tar::new();
    for (name, content) in archive.members {
        let numbers =
            |text: &str| -> Vec<usize> { text.bytes().map(|digit| usize::from(digit - b'0')).collect() };
        tar = match content.split_at(1) {
            ("C", layers) => tar.file(name, config(&numbers(layers))),
            ("L", number) if name.starts_with('/') => {
                tar.raw(name.as_bytes(), |_| {}, &layer(numbers(number)[0]))
            }
            ("L", number) => tar.file(name, layer(numbers(number)[0])),
            ("-", target) => tar.symlink(name, &target[1..]),
            ("=", target) => tar.hard_link(name, &target[1..]),
            _ => tar.file(name, content),
        };
    }
    if !archive.manifest.is_empty() {
        tar = tar.file("manifest.json", archive.manifest);
    }
    fs::write(path, tar.finish()).unwrap();
}

#[test]
fn of_docker_save() {
    for archive in ARCHIVES {
        let dir = tempdir().unwrap();
        let (file, target) = (dir.path().join("image.tar"), dir.path().join("nydus"));
        write(archive, &file);
        let source = format!("docker-archive:{}{}", file.display(), archive.name);
        let converted = run(["to-nydus", "--json", &source, &latest(&target)]);
        match archive.shows {
            Ok(files) => {
                assert_eq!(converted.code, Some(0), "{}: {}", archive.report, converted.stderr);
                let report: Value = serde_json::from_str(&converted.stdout).unwrap();
                assert_eq!(report["notes"].as_array().map_or(0, Vec::len), 0, "{}: {report}", archive.report);
                let listed = ok(["ls", &latest(&target)]).stdout;
                let paths: Vec<&str> = listed
                    .lines()
                    .filter_map(|line| line.rsplit(' ').next())
                    .filter(|path| *path != "/")
                    .collect();
                assert_eq!(paths.join(" "), files, "{}", archive.report);
            }
            Err((code, words)) => {
                assert_eq!(converted.code, Some(code), "{}: {}", archive.report, converted.stderr);
                assert!(converted.stderr.contains(words), "{}: {}", archive.report, converted.stderr);
            }
        }
    }
}

/// The platform that is wanted is not in it.
#[test]
fn of_another_platform() {
    let dir = tempdir().unwrap();
    let (file, target) = (dir.path().join("image.tar"), dir.path().join("nydus"));
    write(&ARCHIVES[0], &file);
    let source = format!("docker-archive:{}", file.display());
    let run = run(["to-nydus", "--platform", "linux/arm64", &source, &latest(&target)]);
    assert_eq!(run.code, Some(4), "{}", run.stderr);
    assert!(run.stderr.contains("linux/arm64") && run.stderr.contains("linux/amd64"), "{}", run.stderr);
}
