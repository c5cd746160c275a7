//! Layers as builders and tars of the world have them: what the image shows, and that the exact layers come back.

use std::path::Path;

use nydus_convert::oci::{LayoutSource, Platform};
use nydus_convert::rafs::{EntryPath, FsVersion, InodeKind};
use nydus_convert::{FsOptions, Replay, ToNydusOptions, ToOciOptions, open_nydus};
use tempfile::tempdir;

use super::notation;
use crate::support::cli::{latest, run};
use crate::support::library::{chain, to_nydus, to_oci};
use crate::support::oci::{Compression, Layer, Layout};

/// Reports, layers, and the image: `name` directory, `name=content` file, `name->target` symbolic link, `name~other` a
/// hard link to the name before, `name!` anything else.
const SHOWN: &[(&str, &str, &str)] = &[
    // Whiteouts act by name, whatever they are.
    ("smolvm#401", "F e/repo text | F e/KEY k || H e/.wh.KEY -> e/repo", "e e/repo=text"),
    ("cvmfs#4286", "F x 1 | F y 2 || W .wh.x | H .wh.y -> .wh.x", ""),
    ("vic#5997", "F x 1 | F y 2 || H .wh.y -> nowhere", "x=1"),
    ("a link to a later file", "F y 2 || H .wh.y -> z | F z 3", "z=3"),
    ("a whiteout that is a symbolic link", "F y 2 | F z 3 || L .wh.y -> z", "z=3"),
    ("a whiteout that is a directory", "F y 2 || D .wh.y | F .wh.y/x 1", ""),
    ("a whiteout that is a device", "F y 2 || C .wh.y", ""),
    ("a whiteout that is a fifo, with content in the next", "F y 2 | F z 3 || P .wh.y | F .wh.z text", ""),
    ("an opaque marker that is a link", "D a | F a/x 1 || F a/n 2 | H a/.wh..wh..opq -> a/n", "a a/n=2"),
    ("kaniko#2308 a", "F a text | W a/.wh.x", "a=text"),
    ("kaniko#2308 a, below it", "D a | F a/x 1 || F a text | W a/.wh.x | W a/b/.wh.y", "a=text"),
    ("kaniko#2308 b", "D b | F b/a 1 || D / | L a -> b | W a/.wh.a | D b", "a->b b b/a=1"),
    ("kaniko#2308 b, 1.8.1", "D b | F b/a 1 || W a/.wh.a | D / | L a -> b | D b", "a->b b b/a=1"),
    ("kaniko#2308 c", "P a | W a/.wh.x", "a!"),
    ("kaniko#1149", "D d | F d/f 1 || W .wh.d", ""),
    ("containerd#4659", "D d | F d/f 1 || W d/.wh.f", "d"),
    ("containerd#4658", "D d | D d/e | F d/e/f 1 || W d/e/.wh.f | D / | D d", "d d/e"),
    ("umoci#546", "F p 1 | F p/x 2", "p p/x=2"),
    ("umoci#589", "D d | F d/a 1 || W .wh.d | F d/b 2", "d d/b=2"),
    ("ggcr#1897", "D a | F a/b 1 || D a | L a/n -> x | W a/.wh..wh..opq", "a a/n->x"),
    ("ggcr#2227", "D a | F a/b 1 || W a/.wh..wh..opq | D a | L a/n -> x", "a a/n->x"),
    ("moby#4178", "D .wh..wh.plnk | F .wh..wh.plnk/12.34 hello | H x -> .wh..wh.plnk/12.34", "x=hello"),
    ("docker2aci#98", "F a 1 | H z -> a || W .wh.a", "z=1"),
    ("stereoscope#694", "D usr/lib | L lib -> usr/lib || F lib/x 1", "lib->usr/lib usr usr/lib usr/lib/x=1"),
    // Names are cleaned against the root, and what is the root is passed over.
    ("containerization#897", "D a | F a/../b 1 | F ./c 2 | F a/x/../../d 3", "a b=1 c=2 d=3"),
    ("a target through a parent", "F b 1 | H a/l -> x/../b", "a a/l=1 b~/a/l"),
    ("kaniko#1151", "F b 1 | H / -> b | L / -> x | F / abc | F ./ | F . | F a/.. x | P /", "b=1"),
    ("names of nothing", "F b 1 | F  | D  | F a/.. 123", "b=1"),
    (
        "go-archive#99",
        "D / | F /usr/bin/a 1 | H /usr/bin/b -> /usr/bin/a",
        "usr usr/bin usr/bin/a=1 usr/bin/b~/usr/bin/a",
    ),
    ("container#1797", "F bin/app 1 | H r/s/app -> bin/app", "bin bin/app=1 r r/s r/s/app~/bin/app"),
    ("docker-squash#118", "F a 1 | F b x | H a -> b | F a 2", "a=2 b=x"),
    (
        "bootc#1126",
        "D r/usr/etc | L r/etc -> usr/etc || H obj -> r/etc/new | F r/usr/etc/new text",
        "obj=text r r/etc->usr/etc r/usr r/usr/etc r/usr/etc/new~/obj",
    ),
    (
        "bootc#2073",
        "D r/usr/etc | L r/etc -> usr/etc || F r/usr/etc/new text | H obj -> r/etc/new",
        "obj=text r r/etc->usr/etc r/usr r/usr/etc r/usr/etc/new~/obj",
    ),
    (
        "an old file below a link's later target",
        "D u | L e -> u | F u/n old || H o -> e/n | F u/n new",
        "e->u o=old u u/n=new",
    ),
    ("erofs-utils#32", "H a -> a | F b 1", "b=1"),
    ("a file linked to itself", "F a 1 | H a -> a", "a=1"),
    ("containerd#2458", "F z 1 | L x -> z | H y -> x", "x->z y->z z=1"),
    // Global records change nothing.
    ("go#28843", "G comment=abc | F a 12345", "a=12345"),
    ("a global name", "G path=evil | F a 1 | F b 2", "a=1 b=2"),
    ("a global size", "G size=3 | F a 12345 | F b 2", "a=12345 b=2"),
    ("a global target", "G linkpath=evil | L l -> t | G path= | F b 2", "b=2 l->t"),
    ("global attributes and the last entry", "G SCHILY.xattr.user.x=1 | F a 1 | G mtime=5", "a=1"),
    // What no engine of Linux sets is no reason to refuse an image.
    ("moby#47517", "X SCHILY.xattr.com.apple.provenance=abc | F a 1 | F ._a mac", "._a=mac a=1"),
    ("libarchive#2510", "X LIBARCHIVE.xattr.com.apple.quarantine=YQ | F a 1", "a=1"),
    ("a time before 1970", "X mtime=-86400.25 | F a 1 | X mtime=-5000000000 | D d", "a=1 d"),
    ("werf#2558", "", ""),
];

/// Reports, layers, and what the refusal says; exit code 1.
const REFUSED: &[(&str, &str, &str)] = &[
    ("a name out of the root", "F ok 1 | F ../x 1", "leads out of the root"),
    ("out of it and back in", "F a/../../b 1", "leads out of the root"),
    ("the root's parent", "D ..", "leads out of the root"),
    ("a target out of the root", "H l -> ../../etc/y", "leads out of the root"),
];

/// What an image shows, as in [`SHOWN`], with modes and times that Linux would not give.
fn shown(layout: &Path) -> String {
    let source = LayoutSource::open(layout, Some("latest"), None).unwrap();
    let image = open_nydus(&source, Some(&Platform::new("linux", "amd64"))).unwrap();
    let mut first = std::collections::HashMap::new();
    let mut words = Vec::new();
    for entry in image.image.tree.walk().skip(1) {
        let name = entry.path.to_string().trim_start_matches('/').to_owned();
        words.push(match &entry.inode.kind {
            InodeKind::Directory(_) => name,
            InodeKind::Regular { .. } => match first.get(&entry.id) {
                Some(other) => format!("{name}~{other}"),
                None => {
                    first.insert(entry.id, entry.path.to_string());
                    format!("{name}={}", content(&image, &entry.path))
                }
            },
            InodeKind::Symlink { target } => {
                assert_eq!(entry.inode.metadata.mode, 0o777, "{name}");
                format!("{name}->{}", String::from_utf8_lossy(target))
            }
            _ => format!("{name}!"),
        });
    }
    words.join(" ")
}

fn content(image: &nydus_convert::NydusImage, path: &EntryPath) -> String {
    let mut content = Vec::new();
    image.cat(path, &mut content).unwrap();
    String::from_utf8(content).unwrap()
}

/// The digest that `latest` of a layout leads to.
fn digest(layout: &Path) -> String {
    crate::support::cli::json_root(layout)
}

/// Converts, looks, and converts back; what went otherwise than it should.
fn try_case(dir: &Path, line: &str, expected: &str, fs: FsOptions, replay: Replay) -> Result<(), String> {
    let at = |name: &str| dir.join(name);
    let (source, nydus, back, again) = (at("source"), at("nydus"), at("back"), at("again"));
    let layer = |tar| Layer { compression: Compression::None, ..Layer::new(tar) };
    Layout::of(notation::layers(line).into_iter().map(layer)).write(&source);
    let options = ToNydusOptions { fs, replay, ..ToNydusOptions::default() };
    to_nydus(&source, &nydus, &options).map_err(|error| chain(&error))?;
    let same = |what: &str, found: String| match found == expected {
        true => Ok(()),
        false => Err(format!("{what}: {found}")),
    };
    same("shown", shown(&nydus))?;
    to_oci(&nydus, &back, &ToOciOptions::default()).map_err(|error| format!("back: {}", chain(&error)))?;
    if replay == Replay::Auto {
        return if digest(&back) == digest(&source) {
            Ok(())
        } else {
            Err("another image came back".to_owned())
        };
    }
    to_nydus(&back, &again, &options).map_err(|error| format!("again: {}", chain(&error)))?;
    same("without a record", shown(&again))
}

#[test]
fn what_is_shown_and_comes_back() {
    let mut wrong = Vec::new();
    for (report, line, expected) in SHOWN {
        for version in [FsVersion::V6, FsVersion::V5] {
            for replay in [Replay::Auto, Replay::None] {
                let (dir, fs) = (tempdir().unwrap(), FsOptions { version, ..FsOptions::default() });
                if let Err(problem) = try_case(dir.path(), line, expected, fs, replay) {
                    wrong
                        .push(format!("{report}, v{version}, {replay:?}: {line}\n  {problem}\n  {expected}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_refused() {
    for (report, line, expected) in REFUSED {
        let dir = tempdir().unwrap();
        let (source, target) = (dir.path().join("source"), dir.path().join("target"));
        Layout::of(notation::layers(line).into_iter().map(Layer::new)).write(&source);
        let run = run(["to-nydus", "-q", &latest(&source), &latest(&target)]);
        assert_eq!(run.code, Some(1), "{report}: {}", run.stderr);
        assert!(run.stderr.contains(expected), "{report}: {}", run.stderr);
        assert!(!target.exists(), "{report}");
    }
}
