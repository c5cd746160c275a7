//! `floor LAYER COMPRESSOR OUT [CORES…]`: what a layer costs at least, stage by stage, on one thread.
//!
//! The stages are those that no conversion can do without: the digest of the stored layer, inflating, the digest of the
//! tar, a walk over its headers, the digests of its chunks, compressing the different ones with one context, the digest
//! of the blob, and writing it. Times are seconds of CPU. Then it says how long the converter must take on so many cores:
//! the longest of its threads, or the sum divided by the cores.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Error, Read, Result, Write};
use std::path::Path;

use nydus_convert_chunk::Compression;
use rustix::time::{ClockId, clock_gettime};
use sha2::{Digest, Sha256};

/// Chunks as the converter makes them by default.
const CHUNK: usize = 1 << 20;

/// Bytes inflated at once.
const PIECE: usize = 256 << 10;

/// One stage: its name, the thread of the converter that does it, and its seconds of CPU.
struct Stage {
    name: &'static str,
    thread: Thread,
    seconds: f64,
}

/// Who does the work in a conversion of one layer.
#[derive(Clone, Copy, PartialEq)]
enum Thread {
    /// The one that reads ahead.
    Inflate,
    /// The one that parses the tar and compares its digest.
    Parse,
    /// The one that appends to the blob: the same as the parser.
    Append,
    /// All of the pool.
    Pool,
}

impl Thread {
    fn name(self) -> &'static str {
        match self {
            Self::Inflate => "inflate",
            Self::Parse => "parse+diff id",
            Self::Append => "append+blob digest",
            Self::Pool => "pool",
        }
    }
}

/// What has been measured so far.
#[derive(Default)]
struct Floor(Vec<Stage>);

impl Floor {
    fn time<T>(&mut self, name: &'static str, thread: Thread, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let start = cpu();
        let result = work()?;
        self.0.push(Stage { name, thread, seconds: cpu() - start });
        Ok(result)
    }

    /// Seconds of the stages that `counts` says yes to.
    fn sum(&self, counts: impl Fn(Thread) -> bool) -> f64 {
        self.0.iter().filter(|stage| counts(stage.thread)).map(|stage| stage.seconds).sum()
    }

    /// The shortest time on so many cores.
    fn wall(&self, cores: u32) -> f64 {
        let reader = self.sum(|thread| thread == Thread::Inflate);
        let layer = self.sum(|thread| matches!(thread, Thread::Parse | Thread::Append));
        (self.sum(|_| true) / f64::from(cores)).max(reader).max(layer)
    }
}

/// CPU seconds of this process, which has one thread.
fn cpu() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [layer, compressor, out, cores @ ..] = arguments.as_slice() else {
        return Err(Error::other("usage: floor LAYER COMPRESSOR OUT [CORES…]"));
    };
    let compression: Compression = compressor.parse().map_err(Error::other)?;
    let (floor, bytes) = measure(Path::new(layer), compression, Path::new(out))?;
    for stage in &floor.0 {
        println!("{:<16} {:<20} {:>7.2}", stage.name, stage.thread.name(), stage.seconds);
    }
    for thread in [Thread::Inflate, Thread::Parse, Thread::Append, Thread::Pool] {
        println!("{:<16} {:<20} {:>7.2}", "thread", thread.name(), floor.sum(|other| other == thread));
    }
    println!("{:<16} {:<20} {:>7.2}", "floor", "CPU", floor.sum(|_| true));
    println!("{:<16} {:<20} {bytes:>7}", "floor", "blob bytes");
    for cores in cores {
        let number = cores.parse().map_err(Error::other)?;
        println!("{:<16} {:<20} {:>7.2}", "foretold wall", format!("{cores} cores"), floor.wall(number));
    }
    Ok(())
}

/// Runs all stages; gives their times and the length of the blob's data.
fn measure(layer: &Path, compression: Compression, out: &Path) -> Result<(Floor, usize)> {
    let mut floor = Floor::default();
    let stored = fs::read(layer)?;
    floor.time("layer SHA-256", Thread::Inflate, || Ok(Sha256::digest(&stored)))?;
    // Piece by piece, as a converter does it: filling a gigabyte of fresh memory costs more than inflating.
    floor.time("inflate", Thread::Inflate, || inflate(&stored, &mut Pieces))?;
    let mut tar = Vec::new();
    inflate(&stored, &mut tar)?;
    drop(stored);
    floor.time("tar SHA-256", Thread::Parse, || Ok(Sha256::digest(&tar)))?;
    let chunks = floor.time("tar headers", Thread::Parse, || chunks(&tar))?;
    let digests = floor.time("chunk BLAKE3", Thread::Pool, || {
        Ok(chunks.iter().map(|chunk| blake3::hash(chunk)).collect::<Vec<_>>())
    })?;
    let mut seen = HashSet::new();
    let unique: Vec<&[u8]> = chunks
        .into_iter()
        .zip(digests)
        .filter(|(_, digest)| seen.insert(*digest))
        .map(|(chunk, _)| chunk)
        .collect();
    let blob = floor.time("compress", Thread::Pool, || compress(&unique, compression))?;
    floor.time("blob SHA-256", Thread::Append, || Ok(Sha256::digest(&blob)))?;
    floor.time("write", Thread::Append, || File::create(out)?.write_all(&blob))?;
    Ok((floor, blob.len()))
}

fn inflate(stored: &[u8], out: &mut impl Write) -> Result<()> {
    let mut plain: Box<dyn Read + '_> = match stored {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(stored)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::Decoder::with_buffer(stored)?),
        _ => Box::new(stored),
    };
    let mut piece = vec![0; PIECE];
    loop {
        match plain.read(&mut piece)? {
            0 => return Ok(()),
            length => out.write_all(&piece[..length])?,
        }
    }
}

/// Takes pieces and keeps none.
struct Pieces;

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        Ok(std::hint::black_box(bytes).len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// The chunks of all files, in the order of the tar.
fn chunks(tar: &[u8]) -> Result<Vec<&[u8]>> {
    let mut all = Vec::new();
    for entry in tar::Archive::new(tar).entries()? {
        let entry = entry?;
        if entry.header().entry_type().is_file() {
            let start = usize::try_from(entry.raw_file_position()).map_err(Error::other)?;
            let length = usize::try_from(entry.size()).map_err(Error::other)?;
            let content = tar.get(start..start + length).ok_or(io::ErrorKind::UnexpectedEof)?;
            all.extend(content.chunks(CHUNK));
        }
    }
    Ok(all)
}

/// All chunks one after another, each as it would be stored.
fn compress(chunks: &[&[u8]], compression: Compression) -> Result<Vec<u8>> {
    let mut blob = Vec::new();
    let mut scratch =
        vec![0; zstd::zstd_safe::compress_bound(CHUNK).max(lz4_flex::block::get_maximum_output_size(CHUNK))];
    let mut encoder = match compression {
        Compression::Zstd { level } => Some(zstd::bulk::Compressor::new(level.get())?),
        _ => None,
    };
    for chunk in chunks {
        let length = match (compression, &mut encoder) {
            (Compression::Lz4Block, _) => {
                lz4_flex::block::compress_into(chunk, &mut scratch).map_err(Error::other)?
            }
            (_, Some(encoder)) => encoder.compress_to_buffer(chunk, scratch.as_mut_slice())?,
            _ => chunk.len(),
        };
        blob.extend_from_slice(if length < chunk.len() { &scratch[..length] } else { chunk });
    }
    Ok(blob)
}
