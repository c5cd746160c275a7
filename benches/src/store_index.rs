//! `store-index [MILLIONS]`: what the index of the chunk store costs while it grows to so many million chunks (default 1),
//! a line for every million.
//!
//! Blobs of 10,000 chunks each, digests evenly spread as those of contents are; a transaction for every blob, brought to
//! the disk, as conversions do it.

use std::io::{Error, Result, Write as _};
use std::time::Instant;

use nydus_convert_chunk::store::{BlobNumber, ChunkClass, Database, Index, NewBlob};
use nydus_convert_rafs::{BlobId, ChunkDigest, Digester};

const CHUNKS: u64 = 10_000;
const MILLION: u64 = 1_000_000;
/// Look-ups of each kind for a line.
const LOOK_UPS: u64 = 100_000;

fn main() -> Result<()> {
    let millions: u64 = match std::env::args().nth(1) {
        Some(text) => text.parse().map_err(Error::other)?,
        None => 1,
    };
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("index.redb");
    Database::make(&path, dir.path(), false).map_err(Error::other)?;
    let index = Database::open(&path).map_err(Error::other)?;
    let class = ChunkClass::new("bench");
    let mut out = std::io::stdout();
    writeln!(out, "          inserts         hits/100        misses/100      hits/10000      misses/10000")?;
    writeln!(out, "millions {}   MiB  bytes/chunk  peak-MiB", "a second CPU-us  ".repeat(5).trim_end())?;
    for million in 0..millions {
        let mut line = format!("{:8}", million + 1);
        let start = Clock::start()?;
        for blob in million * MILLION / CHUNKS..(million + 1) * MILLION / CHUNKS {
            let chunks: Vec<_> = (0..CHUNKS).map(|nth| (digest(blob * CHUNKS + nth), nth as u32)).collect();
            let id = BlobId(digest(!blob).0);
            index
                .publish(&NewBlob { id, class: &class, chunks: &chunks, layers: &[] })
                .map_err(Error::other)?;
        }
        line += &start.rate(MILLION)?;
        let there = (million + 1) * MILLION;
        for batch in [100, 10_000] {
            for first in [0, 1 << 40] {
                let start = Clock::start()?;
                look_up(&index, &class, there, batch, first)?;
                line += &start.rate(LOOK_UPS)?;
            }
        }
        let size = std::fs::metadata(&path)?.len();
        let (file, each) = (size as f64 / f64::from(1 << 20), size as f64 / there as f64);
        writeln!(out, "{line} {file:7.0} {each:11.1} {:9.0}", peak()?)?;
    }
    Ok(())
}

/// Wall and CPU time, making the digests included: some tenths of a microsecond for each.
struct Clock {
    wall: Instant,
    cpu: f64,
}

impl Clock {
    fn start() -> Result<Self> {
        Ok(Self { wall: Instant::now(), cpu: cpu_seconds()? })
    }

    /// Of so many things: how many a second, and microseconds of CPU for one.
    fn rate(&self, count: u64) -> Result<String> {
        let (wall, cpu) = (self.wall.elapsed().as_secs_f64(), cpu_seconds()? - self.cpu);
        Ok(format!(" {:8.0} {:6.2}", count as f64 / wall, cpu * 1e6 / count as f64))
    }
}

/// User and system time of this process, all its threads.
fn cpu_seconds() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // Behind the name, which is in parentheses: fields 3 and later. Ticks are hundredths of a second.
    let fields = stat.rsplit_once(')').map(|(_, fields)| fields.split_whitespace().skip(11).take(2));
    let ticks: Option<u64> =
        fields.and_then(|fields| fields.map(|field| field.parse::<u64>().ok()).sum::<Option<u64>>());
    ticks.map(|ticks| ticks as f64 / 100.0).ok_or_else(|| Error::other("no times in /proc/self/stat"))
}

/// A digest that looks like any.
fn digest(number: u64) -> ChunkDigest {
    Digester::Blake3.digest(&number.to_le_bytes())
}

/// Looks up chunks spread over all that there are, in batches; from number 0 on all are there, from far above none.
fn look_up(index: &Database, class: &ChunkClass, there: u64, batch: u64, first: u64) -> Result<()> {
    let mut found = 0;
    for start in (0..LOOK_UPS).step_by(batch as usize) {
        // A prime far from all sizes here spreads them.
        let wanted: Vec<_> =
            (start..start + batch).map(|nth| digest(first + nth * 15_485_863 % there)).collect();
        let places = index.find_chunks(class, &wanted, BlobNumber(u32::MAX)).map_err(Error::other)?;
        found += places.iter().flatten().count() as u64;
    }
    match found == if first == 0 { LOOK_UPS } else { 0 } {
        true => Ok(()),
        false => Err(Error::other(format!("{found} were found"))),
    }
}

/// Largest resident memory so far, in MiB.
fn peak() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kibibytes.map(|kibibytes| kibibytes / 1024.0).ok_or_else(|| Error::other("no VmHWM"))
}
