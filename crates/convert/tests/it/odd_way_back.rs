//! Layers that are odd, there and back through whole conversions: the manifest's digest is the source's.

// Tars that say exactly what they are told, legal or not.
#[path = "../../../layer/tests/common/mod.rs"]
mod common;
// Trees are made here, not compared.
#[allow(dead_code)]
#[path = "../../../layer/tests/common/tree.rs"]
mod tree;

use std::fs::File;
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use crate::support::encoders::filter;
use crate::support::library::{problems, to_nydus_with, to_oci_with};
use crate::support::oci::{Compression, Layer, Layout};
use common::{Head, Tar, pax_body, record};
use nydus_convert::rafs::ChunkSize;
use nydus_convert::{
    Error, Fidelity, FsOptions, Kind, Layers, Replay, Resources, ToNydusOptions, ToOciOptions, WayBack,
};
use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::tempdir;
use tree::{Tree, run};

const BLOCK: usize = 512;

/// Something that a layer can consist of. Every tar begins with the files `base` and `other`, to which links go.
#[derive(Debug, Clone)]
enum Piece {
    /// Name and content from small sets, so that names come again, with the same content or another.
    File(&'static str, u32, u32),
    /// A directory, device, fifo or link with bytes behind it that are no file's.
    WithData(u8, &'static str, Vec<u8>),
    /// The same, but only the size says so.
    IdleSize(u8, u16),
    LongName(u8, u16),
    LongTarget(u16),
    Times(u32, u32),
    Xattr(Vec<u8>),
    Global(u32),
    Sparse(u8, Vec<(u16, u16)>),
    Volume(Vec<u8>),
    Unknown(u8, Vec<u8>),
    OddPadding(Vec<u8>),
    /// Numbers and the checksum as only some write them.
    OddNumbers(u32),
    ZeroBlock,
    Whiteout(&'static str),
}

/// How an archive ends.
#[derive(Debug, Clone)]
enum End {
    Usual,
    Nothing,
    OneBlock,
    /// The last file's block is not filled.
    Unfilled(u16),
    Blocks(u8),
    Junk(Vec<u8>),
    ZerosAndJunk(u8, Vec<u8>),
    Another,
    /// The tar stops being one.
    Damaged(Vec<u8>),
}

#[derive(Debug, Clone)]
enum Archive {
    Of(Vec<Piece>, End),
    NoBytes,
    Zeros(u8),
}

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Storage {
    Plain,
    Gnu(u8),
    /// By an encoder that is not recognised.
    Stranger,
    Zstd,
}

fn content(size: u32, seed: u32) -> Vec<u8> {
    (0..size).map(|n| ((n / 7).wrapping_mul(seed | 1) >> 3) as u8).collect()
}

fn piece() -> impl Strategy<Value = Piece> {
    let name = || prop::sample::select(vec!["a", "d/a", "d/b", "e", "deep/er/file", "d", "./a", "/d//b"]);
    // The first byte decides whether it is taken for data.
    let bytes = |max| vec(any::<u8>(), 1..max).prop_map(|bytes: Vec<u8>| [&[b'#'][..], &bytes].concat());
    let size = prop_oneof![0..3000_u32, 3000..20_000_u32, Just(4096), Just(8192), Just(512)];
    prop_oneof![
        6 => (name(), size, 0..4_u32).prop_map(|(name, size, seed)| Piece::File(name, size, seed)),
        2 => (b'1'..=b'6', name(), bytes(6000)).prop_map(|(kind, name, data)| Piece::WithData(kind, name, data)),
        1 => (b'1'..=b'6', 1..5000_u16).prop_map(|(kind, size)| Piece::IdleSize(kind, size)),
        1 => (prop::sample::select(vec![b'L', b'x']), 90..250_u16)
            .prop_map(|(kind, length)| Piece::LongName(kind, length)),
        1 => (1..2000_u16).prop_map(Piece::LongTarget),
        2 => (any::<u32>(), 0..1_000_000_000_u32).prop_map(|(seconds, nanos)| Piece::Times(seconds, nanos)),
        1 => vec(any::<u8>(), 0..3000).prop_map(Piece::Xattr),
        1 => any::<u32>().prop_map(Piece::Global),
        3 => (0..4_u8, vec((0..9000_u16, 0..900_u16), 0..30)).prop_map(|(form, map)| Piece::Sparse(form, map)),
        1 => bytes(3000).prop_map(Piece::Volume),
        1 => (prop::sample::select(vec![b'M', b'N', b'A', b'Z', 0xff]), bytes(9000))
            .prop_map(|(kind, data)| Piece::Unknown(kind, data)),
        2 => vec(any::<u8>(), BLOCK).prop_map(Piece::OddPadding),
        1 => any::<u32>().prop_map(Piece::OddNumbers),
        1 => Just(Piece::ZeroBlock),
        1 => name().prop_map(Piece::Whiteout),
    ]
}

fn end() -> impl Strategy<Value = End> {
    let bytes = || vec(any::<u8>(), 1..5000);
    prop_oneof![
        2 => Just(End::Usual),
        1 => Just(End::Nothing),
        1 => Just(End::OneBlock),
        1 => (1..512_u16).prop_map(End::Unfilled),
        1 => (3..40_u8).prop_map(End::Blocks),
        1 => bytes().prop_map(End::Junk),
        1 => (0..5_u8, bytes()).prop_map(|(zeros, junk)| End::ZerosAndJunk(zeros, junk)),
        1 => Just(End::Another),
        2 => bytes().prop_map(End::Damaged),
    ]
}

fn archive() -> impl Strategy<Value = Archive> {
    prop_oneof![
        20 => (vec(piece(), 0..12), end()).prop_map(|(pieces, end)| Archive::Of(pieces, end)),
        1 => Just(Archive::NoBytes),
        1 => (1..21_u8).prop_map(Archive::Zeros),
    ]
}

fn storage() -> impl Strategy<Value = Storage> {
    prop_oneof![
        4 => Just(Storage::Plain),
        4 => (1..10_u8).prop_map(Storage::Gnu),
        1 => Just(Storage::Stranger),
        1 => Just(Storage::Zstd),
    ]
}

fn add(tar: Tar, piece: &Piece) -> Tar {
    let describe = |tar: Tar, name: &str| tar.file(name, b"described");
    match piece {
        Piece::File(name, size, seed) => tar.file(name, &content(*size, *seed)),
        Piece::WithData(kind, name, data) => {
            // Links go to a file that is always there.
            let target: &[u8] = if *kind == b'1' { b"base" } else { b"nowhere" };
            tar.entry(Head::gnu(*kind, name).link(target).mode(0o755), data)
        }
        Piece::IdleSize(kind, size) => {
            tar.head(Head::ustar(*kind, "idle").link(b"other").size(u64::from(*size))).file("next", b"n")
        }
        Piece::LongName(b'L', length) => describe(tar.long(b'L', &vec![b'l'; usize::from(*length)]), "short"),
        Piece::LongName(_, length) => {
            describe(tar.pax(&[("path", &vec![b'p'; usize::from(*length)])]), "short")
        }
        Piece::LongTarget(length) => {
            tar.long(b'K', &vec![b'k'; usize::from(*length)]).head(Head::gnu(b'2', "to").link(b"k"))
        }
        Piece::Times(seconds, nanos) => {
            let (mtime, atime) = (format!("{seconds}.{nanos:09}"), seconds.to_string());
            let times = [("mtime", mtime.as_bytes()), ("atime", atime.as_bytes()), ("ctime", b"1.5")];
            describe(tar.pax(&times), "timed")
        }
        Piece::Xattr(value) => describe(tar.pax(&[("SCHILY.xattr.user.x", value)]), "attributed"),
        Piece::Global(time) => {
            let time = time.to_string();
            tar.global(&[("comment", b"for all"), ("mtime", time.as_bytes())])
        }
        Piece::Sparse(form, map) => sparse(tar, *form, map),
        Piece::Volume(data) => tar.entry(Head::gnu(b'V', "a volume"), data),
        Piece::Unknown(kind, data) => tar.entry(Head::gnu(*kind, "unknown"), data),
        Piece::OddPadding(padding) => {
            let size = u32::from(padding[0]) + 1;
            let head = Head::gnu(b'0', "padded").size(u64::from(size));
            tar.head(head).raw(&content(size, 3)).raw(&padding[size as usize..])
        }
        Piece::OddNumbers(number) => {
            let head = Head::gnu(b'0', "numbers").base_256(136, 12, (*number).into()).put(100, b"   644 \0");
            let mut block = head.block();
            // Two digits fewer, and the rest elsewhere.
            let sum = String::from_utf8(block[148..154].to_vec()).unwrap();
            let spaced = format!("{:>6} \0", sum.trim_start_matches('0'));
            block[148..156].copy_from_slice(spaced.as_bytes());
            tar.raw(&block)
        }
        Piece::ZeroBlock => tar.raw(&[0; BLOCK]).file("behind-zeros", b"still there"),
        Piece::Whiteout(name) => {
            let (dir, name) = name.trim_start_matches("./").rsplit_once('/').unwrap_or((".", name));
            tar.file(format!("{dir}/.wh.{}", name.trim_start_matches("./")), b"")
        }
    }
}

/// Gaps and lengths as a sparse file in one of the spellings.
fn sparse(tar: Tar, form: u8, map: &[(u16, u16)]) -> Tar {
    let (mut pairs, mut stored, mut end) = (Vec::new(), Vec::new(), 0_u64);
    for (gap, length) in map {
        let start = end + u64::from(*gap);
        end = start + u64::from(*length);
        pairs.push((start, u64::from(*length)));
        stored.extend(content(u32::from(*length), u32::from(*gap)));
    }
    let size = end + 5000;
    let numbers: Vec<String> =
        pairs.iter().flat_map(|(start, length)| [start.to_string(), length.to_string()]).collect();
    let (text, count) = (size.to_string(), pairs.len().to_string());
    let sizes = [("GNU.sparse.size", text.as_bytes()), ("GNU.sparse.numblocks", count.as_bytes())];
    match form {
        0 => {
            let map = numbers.join(",");
            tar.pax(&[&sizes[..], &[("GNU.sparse.map", map.as_bytes())]].concat()).file("sparse", &stored)
        }
        1 => {
            let mut body = pax_body(&sizes);
            for pair in numbers.chunks(2) {
                body.extend(record(b"GNU.sparse.offset", pair[0].as_bytes()));
                body.extend(record(b"GNU.sparse.numbytes", pair[1].as_bytes()));
            }
            tar.entry(Head::ustar(b'x', "x"), &body).file("sparse", &stored)
        }
        2 => {
            let lines: String = numbers.iter().map(|number| format!("{number}\n")).collect();
            let inline = Tar::new().raw(format!("{count}\n{lines}").as_bytes()).pad().raw(&stored).0;
            let version: [(&str, &[u8]); 3] = [
                ("GNU.sparse.major", b"1"),
                ("GNU.sparse.minor", b"0"),
                ("GNU.sparse.realsize", text.as_bytes()),
            ];
            tar.pax(&version).file("sparse", &inline)
        }
        _ => old_sparse(tar, &pairs, size, &stored),
    }
}

/// The map in the header and in blocks behind it.
fn old_sparse(tar: Tar, pairs: &[(u64, u64)], size: u64, stored: &[u8]) -> Tar {
    let entry = |&(start, length): &(u64, u64)| format!("{start:011o}\0{length:011o}\0");
    let (first, more) = pairs.split_at(pairs.len().min(4));
    let blocks: Vec<_> = more.chunks(21).collect();
    let head = Head::gnu(b'S', "sparse").octal(483, 12, size).size(stored.len() as u64);
    let head = head.put(386, first.iter().map(entry).collect::<String>().as_bytes());
    let mut tar = tar.head(head.put(482, &[u8::from(!blocks.is_empty())]));
    for (index, block) in blocks.iter().enumerate() {
        let mut bytes = block.iter().map(entry).collect::<String>().into_bytes();
        bytes.resize(BLOCK, 0);
        bytes[504] = u8::from(index + 1 < blocks.len());
        tar = tar.raw(&bytes);
    }
    tar.raw(stored).pad()
}

fn bytes_of(archive: &Archive) -> Vec<u8> {
    let (pieces, end) = match archive {
        Archive::Of(pieces, end) => (pieces, end),
        Archive::NoBytes => return Vec::new(),
        Archive::Zeros(blocks) => return vec![0; usize::from(*blocks) * BLOCK],
    };
    let tar = Tar::new().file("base", b"base").file("other", &content(5000, 1));
    let tar = pieces.iter().fold(tar, add);
    let zeros = |blocks: u8| vec![0; usize::from(blocks) * BLOCK];
    match end {
        End::Usual => tar.end(),
        End::Nothing => tar.0,
        End::OneBlock => tar.raw(&zeros(1)).0,
        End::Unfilled(size) => {
            tar.head(Head::ustar(b'0', "unfilled").size(u64::from(*size))).raw(&content((*size).into(), 5)).0
        }
        End::Blocks(count) => tar.raw(&zeros(*count)).0,
        End::Junk(junk) => [tar.end(), junk.clone()].concat(),
        End::ZerosAndJunk(count, junk) => [tar.end(), zeros(*count), junk.clone()].concat(),
        End::Another => [tar.end(), Tar::new().file("nobody's", b"file").end()].concat(),
        // No header has this name and a right checksum.
        End::Damaged(bytes) => tar.raw(b"damaged").raw(bytes).0,
    }
}

fn layer_of(archive: &Archive, storage: Storage) -> Layer {
    let tar = bytes_of(archive);
    match storage {
        Storage::Plain => Layer { compression: Compression::None, ..Layer::new(tar) },
        Storage::Gnu(level) => {
            Layer { stored: Some(filter("gzip", &["-n", &format!("-{level}")], &tar)), ..Layer::new(tar) }
        }
        Storage::Stranger => Layer { compression: Compression::GzipMembers, ..Layer::new(tar) },
        Storage::Zstd => Layer { compression: Compression::Zstd, ..Layer::new(tar) },
    }
}

fn is_odd_to_the_format(archive: &Archive) -> bool {
    let Archive::Of(pieces, end) = archive else { return false };
    matches!(end, End::Damaged(_)) || pieces.iter().any(|piece| matches!(piece, Piece::Unknown(..)))
}

fn resources() -> Resources {
    // Small: groups of chunks end everywhere.
    Resources { window_bytes: 1 << 20, parallel_layers: NonZeroUsize::MIN, ..Resources::default() }
}

fn options(replay: Replay, fidelity: Fidelity, chunk_size: u64) -> ToNydusOptions {
    let fs = FsOptions { chunk_size: ChunkSize::new(chunk_size).unwrap(), ..FsOptions::default() };
    ToNydusOptions { fs, fidelity, replay, ..ToNydusOptions::default() }
}

fn back(layers: Layers) -> ToOciOptions {
    ToOciOptions { layers, ..ToOciOptions::default() }
}

/// Converts the layers and back, into directories below `dir`, and demands what the report promises; gives it, layer
/// by layer.
fn there_and_back(dir: &Path, layers: Vec<Layer>, options: &ToNydusOptions) -> Vec<WayBack> {
    let [source, nydus, restored, plain] = ["oci", "nydus", "back", "plain"].map(|name| dir.join(name));
    let diff_ids: Vec<String> =
        layers.iter().map(|layer| format!("sha256:{}", crate::support::sha256_hex(&layer.tar))).collect();
    let written = Layout::of(layers).write(&source);
    let report = to_nydus_with(&source, &nydus, options, resources()).unwrap();
    let ways: Vec<WayBack> = report.images[0].layers.iter().map(|layer| layer.replay.way_back).collect();
    assert_eq!(problems(&nydus), [""; 0]);
    let result = to_oci_with(&nydus, &restored, &back(Layers::Original), resources());
    if ways.contains(&WayBack::Tar) {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), Kind::NotFaithful, "{error}");
        assert!(matches!(error, Error::Layer { .. }) && !restored.exists());
        let report = to_oci_with(&nydus, &plain, &back(Layers::Plain), resources()).unwrap();
        let layers = &report.images[0].layers;
        assert!(layers.iter().all(|layer| layer.exact_tar));
        assert_eq!(layers.iter().map(|layer| layer.diff_id.clone()).collect::<Vec<_>>(), diff_ids);
    } else {
        let report = result.unwrap();
        assert_eq!((report.digest, report.exact), (written.digest, true));
    }
    ways
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

    #[test]
    fn odd_layers_come_back(
        layers in vec((archive(), storage()), 1..4),
        proven in any::<bool>(),
        small_chunks in any::<bool>(),
    ) {
        if !crate::support::tools::available(&["gzip"]) {
            return Ok(());
        }
        let dir = tempdir().unwrap();
        let lenient = layers.iter().any(|(archive, _)| is_odd_to_the_format(archive));
        let fidelity = if lenient { Fidelity::Warn } else { Fidelity::Strict };
        let replay = if proven { Replay::Proven } else { Replay::Auto };
        let options = options(replay, fidelity, if small_chunks { 4096 } else { 1 << 20 });
        let stored = layers.iter().map(|(archive, storage)| layer_of(archive, *storage)).collect();
        let ways = there_and_back(dir.path(), stored, &options);
        for ((_, storage), way) in layers.iter().zip(ways) {
            let expected: &[WayBack] = match (proven, storage) {
                (true, _) | (_, Storage::Plain) => &[WayBack::Proven],
                (false, Storage::Gnu(_)) => &[WayBack::Sampled],
                (false, Storage::Zstd) => &[WayBack::Tar],
                // Of next to nothing, all encoders may make the same; of nothing, nothing.
                (false, Storage::Stranger) => &[WayBack::Tar, WayBack::Sampled, WayBack::Proven],
            };
            prop_assert!(expected.contains(&way), "{:?}: {:?}", storage, way);
        }
    }
}

/// One layer for each tar, none of them compressed, with small chunks and with large ones.
fn assert_come_back(tars: &[Vec<u8>], fidelity: Fidelity) {
    for chunk_size in [4096, 1 << 20] {
        let dir = tempdir().unwrap();
        let plain = |tar: &Vec<u8>| Layer { compression: Compression::None, ..Layer::new(tar.clone()) };
        let options = options(Replay::Auto, fidelity, chunk_size);
        there_and_back(dir.path(), tars.iter().map(plain).collect(), &options);
    }
}

#[test]
fn bytes_of_no_file_come_back_where_there_is_no_file() {
    let data = content(10_000, 3);
    for tar in [
        Tar::new().entry(Head::ustar(b'5', "d"), &data).end(),
        Tar::new().entry(Head::gnu(b'V', "label"), &data).end(),
        Tar::new().entry(Head::ustar(b'2', "link").link(b"to"), &data).0,
        [Tar::new().end(), data.clone()].concat(),
        [Tar::new().file("empty", b"").end(), data.clone()].concat(),
    ] {
        assert_come_back(&[tar], Fidelity::Strict);
    }
    for tar in [
        Tar::new().entry(Head::gnu(b'M', "unknown"), &data).end(),
        // Damage right behind the first header.
        Tar::new().head(Head::ustar(b'5', "d")).raw(b"damaged").raw(&data).0,
        // A header that says what no file system can hold, and its content.
        Tar::new().entry(Head::ustar(b'0', "../outside"), &data).file("behind", b"it").end(),
        // A long name without end.
        Tar::new().file("a", b"a").long(b'L', &vec![b'n'; 2 << 20]).file("b", b"b").end(),
    ] {
        assert_come_back(&[tar], Fidelity::Warn);
    }
}

#[test]
fn tars_that_others_refuse_or_corrupt() {
    let link = |target: &[u8]| Head::gnu(b'1', "link").link(target);
    let named = |head: Head, name: &[u8]| head.put(0, &[0; 100]).put(0, name);
    let lower = Tar::new()
        .file("below", b"from below")
        .head(Head::gnu(b'2', "symlink").link(b"below"))
        .file("d/old", b"1")
        .file(".wh.nothing", b"")
        .end();
    let upper = Tar::new()
        .head(named(link(b"below"), b"to-lower"))
        .head(named(link(b"later"), b"forward"))
        .head(named(link(b"symlink"), b"to-symlink"))
        .file("later", b"came later")
        .head(Head::gnu(b'6', "fifo").put(329, b"blank   "))
        .head(named(link(b"fifo"), b"to-fifo"))
        // The data is the file's once more.
        .entry(named(link(b"later"), b"with-data"), b"came later")
        .file(".wh.below", b"")
        .file("d/.wh..wh..opq", b"")
        .end();
    let odd = Tar::new()
        .global(&[("mtime", b"123456789")])
        .entry(Head::v7(b'7', "contiguous"), b"contiguous")
        .file(b"caf\xe9\nname", b"latin-1")
        .pax(&[("SCHILY.xattr.user.binary", b"a\n17 path=/smuggled\n\0\xff")])
        .file("attributed", b"y")
        .file("./twice/./named", b"1")
        .file("twice//named", b"2")
        .file("twice", b"a file where a directory was")
        .pax(&[("mtime", b"1700000000.123456789")])
        .file("exact", b"x")
        .raw(&[0; BLOCK])
        .file("joined", b"behind a block of zeros")
        .end();
    assert_come_back(&[lower, upper, odd], Fidelity::Strict);
}

#[test]
fn tars_of_the_programs_that_people_use() {
    if !crate::support::tools::available(&["tar", "bsdtar", "python3"]) {
        return;
    }
    let gnu = |tree: &Tree, options: &[&str]| {
        run(Command::new("tar").arg("-c").args(options).arg("-C").arg(tree.root()).arg("."))
    };
    let bsd = |tree: &Tree, format: &str| {
        run(Command::new("bsdtar").args(["--format", format, "-cf", "-", "-C"]).arg(tree.root()).arg("."))
    };
    let script = "import sys, tarfile
with tarfile.open(fileobj=sys.stdout.buffer, mode='w|', format=getattr(tarfile, sys.argv[1])) as tar:
    tar.add(sys.argv[2], '.')";
    let python = |tree: &Tree, format: &str| {
        run(Command::new("python3").args(["-c", script, format]).arg(tree.root()))
    };
    let wild = Tree::wild();
    let holes = File::create(wild.path("holes")).unwrap();
    holes.set_len(3 << 20).unwrap();
    holes.write_all_at(b"between", 1 << 20).unwrap();
    let sparse = |version| {
        gnu(
            &wild,
            &["--format=posix", "--sparse", "--hole-detection=raw", &format!("--sparse-version={version}")],
        )
    };
    let tars = [
        gnu(&Tree::plain(), &["--format=v7"]),
        gnu(&Tree::special(), &["--format=ustar"]),
        gnu(&wild, &["--format=oldgnu", "--sparse", "--hole-detection=raw"]),
        gnu(&wild, &["--format=gnu", "--label=a volume", "--incremental"]),
        sparse("0.0"),
        sparse("0.1"),
        sparse("1.0"),
        bsd(&Tree::special(), "ustar"),
        bsd(&wild, "gnutar"),
        bsd(&wild, "pax"),
        python(&wild, "GNU_FORMAT"),
        python(&wild, "PAX_FORMAT"),
    ];
    // Some times are before 1970.
    assert_come_back(&tars, Fidelity::Warn);
}

#[test]
fn a_file_that_the_tar_does_not_hold_whole_is_an_error() {
    let whole = Tar::new().file("first", b"1").file("cut", &content(30_000, 1)).0;
    let dir = tempdir().unwrap();
    for (number, missing) in [1, 4096, 29_000, 30_000].into_iter().enumerate() {
        // The last block has filling.
        let end = whole.len() - 30_000_usize.wrapping_neg() % BLOCK - missing;
        for (fidelity, chunk_size) in
            [(Fidelity::Strict, 4096), (Fidelity::Warn, 4096), (Fidelity::Warn, 1 << 20)]
        {
            let source = dir.path().join(format!("{number}{fidelity:?}{chunk_size}"));
            let target = dir.path().join("target");
            let layer = Layer { compression: Compression::None, ..Layer::new(&whole[..end]) };
            Layout::of([layer]).write(&source);
            let error =
                to_nydus_with(&source, &target, &options(Replay::Auto, fidelity, chunk_size), resources())
                    .unwrap_err();
            let text = crate::support::library::chain(&error);
            assert_eq!(error.kind(), Kind::Failed, "{text}");
            assert!(text.contains("layer 1 of 1") && text.contains("/cut"), "{text}");
            assert!(text.contains(&format!("{missing} bytes")), "{text}");
            assert!(!target.exists());
        }
    }
}
