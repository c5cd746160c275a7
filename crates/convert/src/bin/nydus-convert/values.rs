//! Values as people type them: sizes, compressors, annotations.

use std::time::Duration;

use nydus_convert::rafs::{ChunkSize, Digester, DigesterError};
use nydus_convert::{Compression, CompressionError, Layers, LayersError};

/// A number of bytes: decimal or `0x` hexadecimal, with `K`, `M`, `G`, `T` (and `KiB`, `KB`, …) meaning powers of 1024.
pub fn size(text: &str) -> Result<u64, String> {
    let problem = || format!("'{text}' is not a size; write it like 65536, 0x10000, 64KiB or 1MiB");
    let lower = text.trim().to_ascii_lowercase();
    if let Some(digits) = lower.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).map_err(|_| problem());
    }
    let end = lower.find(|c: char| !c.is_ascii_digit()).unwrap_or(lower.len());
    let (digits, unit) = lower.split_at(end);
    let shift = match unit.trim() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(problem()),
    };
    let number: u64 = digits.parse().map_err(|_| problem())?;
    number.checked_mul(1 << shift).ok_or_else(problem)
}

/// No limit.
pub const UNLIMITED: u64 = u64::MAX;

/// A size, or `unlimited`.
pub fn limit(text: &str) -> Result<u64, String> {
    if text == "unlimited" { Ok(UNLIMITED) } else { size(text) }
}

/// A whole number from 1 to 100, with or without `%`.
pub fn percent(text: &str) -> Result<u8, String> {
    let number = text.strip_suffix('%').unwrap_or(text).parse().ok();
    number
        .filter(|percent| (1..=100).contains(percent))
        .ok_or_else(|| format!("'{text}' is not a percentage from 1 to 100"))
}

/// A time that something was not used for: a number with `s`, `m`, `h`, `d` or `w`.
pub fn age(text: &str) -> Result<Duration, String> {
    let problem = || format!("'{text}' is not an age; write it like 30d, 12h or 90m");
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let number: u64 = digits.parse().map_err(|_| problem())?;
    let seconds = match unit.trim() {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        "w" => 7 * 24 * 60 * 60,
        _ => return Err(problem()),
    };
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(problem)
}

/// A chunk size.
pub fn chunk_size(text: &str) -> Result<ChunkSize, String> {
    ChunkSize::new(size(text)?).map_err(|error| error.to_string())
}

/// A batch size; whether it goes with the chunk size is for later.
pub fn batch_size(text: &str) -> Result<u32, String> {
    let size = size(text)?;
    u32::try_from(size).map_err(|_| format!("the batch size {size} is above every chunk size"))
}

/// `zstd[:LEVEL]`, `lz4_block` or `none`.
pub fn compressor(text: &str) -> Result<Compression, String> {
    text.parse().map_err(|error: CompressionError| error.to_string())
}

/// `blake3` or `sha256`.
pub fn digester(text: &str) -> Result<Digester, String> {
    text.parse().map_err(|error: DigesterError| error.to_string())
}

/// `original`, `gzip[:LEVEL]`, `zstd[:LEVEL]` or `none`.
pub fn layers(text: &str) -> Result<Layers, String> {
    text.parse().map_err(|error: LayersError| error.to_string())
}

/// `KEY=VALUE`.
pub fn annotation(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("'{text}' is not KEY=VALUE")),
    }
}

/// A number of things: `1 layer`, `2 layers`.
pub fn count(number: impl Into<u64>, what: &str) -> String {
    let number = number.into();
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// A number of bytes for people: `1.5 MiB`.
pub fn show_size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("0x1000", 4096),
            ("0X100000", 1 << 20),
            ("4k", 4096),
            ("1MiB", 1 << 20),
            ("1 mb", 1 << 20),
            ("16M", 16 << 20),
            ("2GiB", 2 << 30),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "k", "1.5M", "-1", "0xg", "99999999999T", "1 MiB/s"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ages_and_percentages() {
        for (text, seconds) in
            [("0s", 0), ("90m", 5400), ("12h", 43_200), ("30d", 2_592_000), ("2w", 1_209_600)]
        {
            assert_eq!(age(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "30", "d", "1.5d", "-1d", "1y", "1M", "99999999999999999w"] {
            assert!(age(text).is_err(), "{text}");
        }
        for (text, number) in [("1", 1), ("5%", 5), ("100", 100)] {
            assert_eq!(percent(text), Ok(number), "{text}");
        }
        for text in ["", "0", "101", "2.5", "-1", "%", "300"] {
            assert!(percent(text).is_err(), "{text}");
        }
    }

    #[test]
    fn kinds_of_layers() {
        for (text, kind) in [
            ("original", Layers::Original),
            ("gzip", Layers::Gzip(6)),
            ("gzip:1", Layers::Gzip(1)),
            ("zstd", Layers::Zstd(3)),
            ("zstd:22", Layers::Zstd(22)),
            ("none", Layers::Plain),
        ] {
            assert_eq!(layers(text), Ok(kind), "{text}");
        }
        for text in ["", "gz", "gzip:", "gzip:0", "gzip:10", "zstd:23", "zstd:-1", "none:1", "original:1"] {
            assert!(layers(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_for_people() {
        assert_eq!(show_size(0), "0 B");
        assert_eq!(show_size(1023), "1023 B");
        assert_eq!(show_size(1536), "1.5 KiB");
        assert_eq!(show_size(5 << 40), "5.0 TiB");
    }
}
