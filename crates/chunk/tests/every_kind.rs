//! Every kind of blob that the reference builder writes: all chunks of all files read, verified and compared with the
//! layer; one by one, and in parallel.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use nydus_convert_chunk::{BlobError, BlobReader, ChunkError, ChunkSource, Request, Worker, read_ahead};
use nydus_convert_rafs::{
    Blob, BlobFeatures, Chunk, ChunkFlags, CiLocation, Cipher, EntryPath, Image, InodeKind, v6,
};
use support::reference::{builder, layer};
use support::{chunk, pool};

/// The layer of the other tests, and before it many small files, of which some repeat.
fn files() -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for number in 0..300_usize {
        files.insert(
            format!("a-small-{number:03}"),
            chunk(number % 290).into_iter().take(7 + number * 13).collect(),
        );
    }
    for number in 0..12 {
        files.insert(format!("b-tiny-{number:02}"), vec![number as u8 + 65; 1 + number * 2]);
    }
    for entry in tar::Archive::new(layer().as_slice()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        files.insert(entry.path().unwrap().display().to_string(), content);
    }
    files
}

fn write_layer(path: &Path, files: &BTreeMap<String, Vec<u8>>) {
    let mut tar = tar::Builder::new(std::fs::File::create(path).unwrap());
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append_data(&mut header, name, content.as_slice()).unwrap();
    }
    tar.finish().unwrap();
}

struct Built {
    blob: Vec<u8>,
    bootstrap: Option<Vec<u8>>,
}

/// With `bootstrap` separate, or inside the blob.
fn build(builder: &Path, dir: &Path, layer: &Path, separate: bool, more: &[&str]) -> Built {
    let (blob, bootstrap) = (dir.join("blob"), dir.join("bootstrap"));
    let _ = std::fs::remove_file(&blob);
    let mut command = Command::new(builder);
    command.args(["create", "--type", "tar-rafs", "--whiteout-spec", "none"]).args(more);
    if separate {
        command.arg("--bootstrap").arg(&bootstrap);
    } else {
        command.arg("--blob-inline-meta");
    }
    let output = command.arg("--blob").arg(&blob).arg(layer).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    let read = |path: &PathBuf| std::fs::read(path).unwrap();
    Built { blob: read(&blob), bootstrap: separate.then(|| read(&bootstrap)) }
}

/// Builders up to 2.2 know neither batches nor encryption: then those parts are skipped, and told so. What they
/// would write is made by hand in `made_by_hand.rs`.
fn knows(builder: &Path, option: &str) -> bool {
    let output = Command::new(builder).args(["create", "--help"]).output().unwrap();
    let known = String::from_utf8_lossy(&output.stdout).contains(option);
    if !known {
        let _ = writeln!(std::io::stderr(), "SKIP {option}: this nydus-image does not have it");
    }
    known
}

type Source = Arc<ChunkSource<Vec<u8>>>;

fn requests(image: &Image, sources: &[Source], path: &str) -> Vec<Request<Vec<u8>>> {
    let id = image.tree.resolve(&EntryPath::parse(path.as_bytes()).unwrap()).unwrap().unwrap();
    let InodeKind::Regular { chunks, .. } = &image.tree.inode(id).kind else { panic!("{path}") };
    let request = |at: &nydus_convert_rafs::ChunkRef| Request {
        source: Arc::clone(&sources[usize::from(at.blob)]),
        number: at.index,
        chunk: *image.chunk(*at).unwrap(),
    };
    chunks.iter().map(request).collect()
}

fn compare(image: &Image, sources: &[Source], files: &BTreeMap<String, Vec<u8>>, what: &str) {
    let (mut worker, mut plain) = (Worker::default(), Vec::new());
    let mut all = Vec::new();
    for (path, expected) in files {
        let mut content: Vec<u8> = Vec::new();
        for request in requests(image, sources, path) {
            let read = request.source.read_chunk(&mut worker, request.number, &request.chunk, &mut plain);
            read.unwrap_or_else(|error| panic!("{what}: {path}: {error:?}"));
            content.extend(&plain);
            all.push(request);
        }
        assert!(content == *expected, "{what}: {path}");
    }
    let expected: Vec<u8> = files.values().flatten().copied().collect();
    for (threads, window) in [(3, 1 << 20), (1, 1)] {
        let again = all.iter().map(|request| Request {
            source: Arc::clone(&request.source),
            number: request.number,
            chunk: request.chunk,
        });
        let again: Vec<_> = again.collect();
        let mut content = Vec::new();
        for chunk in read_ahead(&pool(threads), window, again) {
            content.extend_from_slice(&chunk.unwrap());
        }
        assert!(content == expected, "{what}: in parallel");
    }
}

fn source(bytes: &[u8], blob: &Blob) -> Source {
    let reader = Arc::new(BlobReader::open_as(bytes.to_vec(), blob).unwrap());
    reader.verify(&pool(2), None, Some(blob)).unwrap();
    Arc::new(reader.chunks_of(blob).unwrap())
}

fn image_of(built: &Built) -> Image {
    let inline = || BlobReader::open(built.blob.clone()).unwrap().bootstrap().unwrap();
    v6::parse(&built.bootstrap.clone().unwrap_or_else(inline)).unwrap()
}

#[test]
fn version_6() {
    let Some(builder) = builder() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (files, layer) = (files(), dir.path().join("layer.tar"));
    write_layer(&layer, &files);
    let toc = ["--features", "blob-toc"];
    let batch = ["--batch-size", "0x10000"];
    let encrypt = ["--encrypt"];
    let knows = [knows(&builder, "--batch-size"), knows(&builder, "--encrypt")];
    for compressor in ["none", "zstd", "lz4_block"] {
        for (kind, more) in [
            ("plain", vec![]),
            ("batches", batch.to_vec()),
            ("encrypted", encrypt.to_vec()),
            ("encrypted batches", [&batch[..], &encrypt].concat()),
        ] {
            if !knows[0] && kind.contains("batches") || !knows[1] && kind.contains("encrypted") {
                continue;
            }
            for (form, more) in [
                ("separate", more.clone()),
                ("inline", more.clone()),
                ("toc", [&more[..], &toc].concat()),
                ("separate with toc", [&more[..], &toc].concat()),
            ] {
                let what = format!("{compressor}, {kind}, {form}");
                let separate = form.starts_with("separate");
                let args = [&["--compressor", compressor][..], &more].concat();
                let built = build(&builder, dir.path(), &layer, separate, &args);
                let image = image_of(&built);
                let blob = &image.blobs[0];
                assert_eq!(blob.features.contains(BlobFeatures::BATCH), kind.contains("batches"), "{what}");
                assert_eq!(blob.cipher != Cipher::None, kind.contains("encrypted"), "{what}");
                compare(&image, &[source(&built.blob, blob)], &files, &what);
            }
        }
    }
}

/// Blobs of version 5 are the stored chunks, and so those of version 6 without what follows them.
#[test]
fn chunk_data_alone() {
    let Some(builder) = builder() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (files, layer) = (files(), dir.path().join("layer.tar"));
    write_layer(&layer, &files);
    for compressor in ["none", "zstd", "lz4_block"] {
        let args = ["--compressor", compressor];
        let image = image_of(&build(&builder, dir.path(), &layer, true, &args));
        for separate in [true, false] {
            let args = [&args[..], &["--fs-version", "5"]].concat();
            let built = build(&builder, dir.path(), &layer, separate, &args);
            let mut blob = image.blobs[0].clone();
            blob.ci = CiLocation::default();
            blob.features = BlobFeatures::CAP_TAR_TOC;
            blob.features.set(BlobFeatures::HAS_TAR_HEADER, !separate);
            compare(&image, &[source(&built.blob, &blob)], &files, compressor);
        }
    }
}

#[test]
fn chunks_of_a_dictionary() {
    let Some(builder) = builder() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (mut files, layer) = (files(), dir.path().join("layer.tar"));
    write_layer(&layer, &files);
    let first = build(&builder, dir.path(), &layer, true, &[]);
    let dictionary = dir.path().join("dictionary");
    std::fs::write(&dictionary, first.bootstrap.as_ref().unwrap()).unwrap();
    files.insert("new".to_owned(), chunk(299).repeat(30));
    write_layer(&layer, &files);
    let argument = format!("bootstrap={}", dictionary.display());
    let second = build(&builder, dir.path(), &layer, true, &["--chunk-dict", &argument]);
    let image = image_of(&second);
    assert_eq!(image.blobs.len(), 2);
    let known = image_of(&first).blobs[0].name;
    let bytes = |blob: &Blob| if blob.name == known { &first.blob } else { &second.blob };
    let sources: Vec<_> = image.blobs.iter().map(|blob| source(bytes(blob), blob)).collect();
    compare(&image, &sources, &files, "dictionary");
}

/// Damage anywhere in batches and encrypted blobs is an error and never wrong bytes; numbers that lie are refused.
#[test]
fn damaged_blobs() {
    let Some(builder) = builder() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (files, layer) = (files(), dir.path().join("layer.tar"));
    write_layer(&layer, &files);
    for more in [&["--batch-size", "0x10000"][..], &["--batch-size", "0x10000", "--encrypt"]] {
        if !more.iter().filter(|option| option.starts_with("--")).all(|option| knows(&builder, option)) {
            continue;
        }
        let built = build(&builder, dir.path(), &layer, true, more);
        let image = image_of(&built);
        let blob = &image.blobs[0];
        let mut found = 0;
        for step in 0..200_usize {
            let mut bytes = built.blob.clone();
            let tail = (bytes.len() as u64 - blob.ci.offset) as usize;
            let from = if step % 2 == 0 { bytes.len() - tail } else { 0 };
            let at = from + step * 7919 * 31 % (bytes.len() - from);
            bytes[at] ^= 1 << (step % 8);
            let reader = Arc::new(BlobReader::open_as(bytes, blob).unwrap());
            let Ok(source) = reader.chunks_of(blob) else {
                found += 1;
                continue;
            };
            let (mut worker, mut plain) = (Worker::default(), Vec::new());
            for (number, chunk) in blob.chunks.iter() {
                match source.read_chunk(&mut worker, number, chunk, &mut plain) {
                    Ok(()) => assert_eq!(blob.digester.digest(&plain), chunk.digest),
                    Err(_) => found += 1,
                }
            }
        }
        assert!(found > 50, "{found}");
        let source = source(&built.blob, blob);
        let (number, good) = blob.chunks.iter().next().unwrap();
        let read = |number, chunk: &Chunk| {
            let error =
                source.read_chunk(&mut Worker::default(), number, chunk, &mut Vec::new()).unwrap_err();
            let BlobError::Chunk { source, .. } = error else { panic!("{error:?}") };
            source
        };
        assert_eq!(read(1 << 23, good), ChunkError::Unknown { number: 1 << 23 });
        for plain in [0, good.uncompressed_size + 1, u32::MAX] {
            let bad = Chunk { uncompressed_size: plain, ..*good };
            assert_eq!(read(number, &bad), ChunkError::Length { plain });
        }
        let bad = Chunk { flags: ChunkFlags::HAS_CRC32, crc32: !good.crc32, ..*good };
        assert_eq!(read(number, &bad), ChunkError::Crc);
    }
}

/// What comes before a failure is given out, and nothing after it.
#[test]
fn read_ahead_ends_at_the_first_failure() {
    let chunks: Vec<_> = (0..400).map(chunk).collect();
    let (bytes, _, finished) =
        support::blob(&pool(1), &support::options("zstd".parse().unwrap()), &chunks, &[]);
    let blob = finished.blob.unwrap();
    let source = source(&bytes, &blob);
    for bad in [0, 1, 150, blob.chunks.len() - 1] {
        let request = |(position, (number, chunk)): (usize, (u32, &Chunk))| {
            let mut chunk = *chunk;
            chunk.digest.0[0] ^= u8::from(position == bad);
            Request { source: Arc::clone(&source), number, chunk }
        };
        let all: Vec<_> = blob.chunks.iter().enumerate().map(request).collect();
        let results: Vec<_> = read_ahead(&pool(2), 1 << 16, all).collect();
        assert_eq!(results.len(), bad + 1);
        assert!(results[..bad].iter().all(Result::is_ok) && results[bad].is_err());
    }
}
