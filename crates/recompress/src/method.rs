//! Which encoder, with which settings: everything besides the plain bytes and the flushes that a deflate stream
//! depends on.
//!
//! ```text
//! zlib      1, level, memory level, marker            marker: 0 sync flushes, 1 full flushes
//!           1, 0, length (number), empty              stored blocks of zlib's level 0; empty: 0 or 1
//! Go        2, level (-2 as 254), release, cuts       release: 0 from 1.8, 1 from 1.15
//!                                                     cuts: 0 │ 1, every (number) │ 2, n, first, steps … (numbers)
//! klauspost 3, epoch, level (-2 as 254), rounding     epoch: 0 to 6 = A1 A2 A3 B1 B2 B3 Go; rounding 0 to 2
//! pgzip     4, block size (number), epoch, level, rounding
//! gzip      5, 0, level
//! pigz      5, 1, level, unit (number), threads, independent       threads: 0 one, 1 many
//! ```
//!
//! The numbers are part of the recipe format and never change.

use std::collections::BTreeSet;
use std::fmt;
use std::num::{NonZeroU16, NonZeroU64};

use crate::deflate::Deflate;
use crate::go::{self, Cuts, GoFlate, Release};
use crate::klauspost::{self, Epoch, Klauspost, Rounding};
use crate::pgzip::{BlockSize, Pgzip};
use crate::stored::{Full, StoredBlocks};
use crate::wire::{Input, WireError, put_number};
use crate::zlib::{self, GnuGzip, MemLevel, Params, Pigz, PigzParams, Threads, UnitSize, Zlib};

/// An encoder and its settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Method {
    /// Stock zlib: Python, Java and many more.
    Zlib {
        /// Level and memory level.
        params: Params,
        /// Its flushes are full ones, which also forget the history.
        full_flush: bool,
    },
    /// zlib's level 0 where its stored blocks are regular.
    Stored {
        /// Bytes of every block but the last.
        length: NonZeroU16,
        /// An empty block ends the stream even when bytes come before it.
        empty_last: bool,
    },
    /// Go's standard library before 1.27.
    Go {
        /// The level, -2 to 9.
        level: go::Level,
        /// The span of releases.
        release: Release,
        /// Where its caller's writes ended, if that left a trace.
        cuts: Cuts,
    },
    /// `github.com/klauspost/compress`, and Go's standard library from 1.27 on.
    Klauspost(klauspost::Settings),
    /// `github.com/klauspost/pgzip`.
    Pgzip {
        /// Bytes of a block.
        block: BlockSize,
        /// The encoder inside.
        settings: klauspost::Settings,
    },
    /// GNU gzip, whose deflate is older than zlib.
    GnuGzip {
        /// The level, 1 to 9.
        level: zlib::Level,
    },
    /// pigz: zlib on pieces of the input.
    Pigz(PigzParams),
}

impl Method {
    /// zlib as nearly everybody uses it.
    pub(crate) const fn zlib(level: zlib::Level, mem_level: MemLevel) -> Self {
        Self::Zlib { params: Params { level, mem_level }, full_flush: false }
    }

    /// Go as nearly everybody uses it.
    pub(crate) const fn go(level: go::Level) -> Self {
        Self::Go { level, release: Release::Go1_15, cuts: Cuts::Harmless }
    }

    /// The number of the encoder: 1 zlib, 2 Go, 3 klauspost, 4 pgzip, 5 GNU gzip and pigz.
    pub(crate) const fn number(&self) -> u8 {
        match self {
            Self::Zlib { .. } | Self::Stored { .. } => 1,
            Self::Go { .. } => 2,
            Self::Klauspost(_) => 3,
            Self::Pgzip { .. } => 4,
            Self::GnuGzip { .. } | Self::Pigz(_) => 5,
        }
    }

    /// A fresh encoder.
    pub(crate) fn encoder(&self) -> Box<dyn Deflate> {
        match self {
            Self::Zlib { params, full_flush: false } => Box::new(Zlib::new(*params)),
            Self::Zlib { params, full_flush: true } => Box::new(Full(Zlib::new(*params))),
            Self::Stored { length, empty_last } => Box::new(StoredBlocks::new(*length, *empty_last)),
            Self::Go { level, release, cuts } => Box::new(GoFlate::with(*level, *release, cuts.clone())),
            Self::Klauspost(settings) => Box::new(Klauspost::new(*settings)),
            Self::Pgzip { block, settings } => Box::new(Pgzip::new(*settings, *block)),
            Self::GnuGzip { level } => Box::new(GnuGzip::new(*level)),
            Self::Pigz(params) => Box::new(Pigz::new(*params)),
        }
    }

    /// Whether its caller can flush, so that a recipe may list flushes for it.
    pub(crate) const fn can_flush(&self) -> bool {
        matches!(self, Self::Zlib { .. } | Self::Go { .. } | Self::Klauspost(_))
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.push(self.number());
        match self {
            Self::Zlib { params, full_flush } => {
                out.extend([params.level.get(), params.mem_level.get(), u8::from(*full_flush)]);
            }
            Self::Stored { length, empty_last } => {
                out.push(0);
                put_number(length.get().into(), out);
                out.push(u8::from(*empty_last));
            }
            Self::Go { level, release, cuts } => {
                out.extend([level.get().cast_unsigned(), u8::from(*release == Release::Go1_15)]);
                write_cuts(cuts, out);
            }
            Self::Klauspost(settings) => write_settings(*settings, out),
            Self::Pgzip { block, settings } => {
                put_number(block.bytes() as u64, out);
                write_settings(*settings, out);
            }
            Self::GnuGzip { level } => out.extend([0, level.get()]),
            Self::Pigz(params) => {
                out.extend([1, params.level.get()]);
                put_number(params.unit.get() as u64, out);
                out.extend([u8::from(params.threads == Threads::Many), u8::from(params.independent)]);
            }
        }
    }

    pub(crate) fn parse(input: &mut Input) -> Result<Self, MethodError> {
        let number = input.byte()?;
        Ok(match number {
            1 => match input.byte()? {
                0 => {
                    let length = u16::try_from(input.number()?).ok().and_then(NonZeroU16::new);
                    let length = length.ok_or(MethodError::Setting { number })?;
                    Self::Stored { length, empty_last: flag(input, number)? }
                }
                level => {
                    let level = zlib_level(level, number)?;
                    let mem_level =
                        MemLevel::new(input.byte()?).map_err(|_| MethodError::Setting { number })?;
                    Self::Zlib { params: Params { level, mem_level }, full_flush: flag(input, number)? }
                }
            },
            2 => {
                let level = match input.byte()?.cast_signed() {
                    // Go's way to say "default"; a recipe says which one that is.
                    -1 => return Err(MethodError::Setting { number }),
                    level => go::Level::try_from(level).map_err(|_| MethodError::Setting { number })?,
                };
                let release = if flag(input, number)? { Release::Go1_15 } else { Release::Go1_8 };
                Self::Go { level, release, cuts: parse_cuts(input, number)? }
            }
            3 => Self::Klauspost(parse_settings(input, number)?),
            4 => {
                let block = usize::try_from(input.number()?).ok().filter(|&bytes| bytes <= MAX_UNIT);
                let block = block.and_then(|bytes| BlockSize::new(bytes).ok());
                let block = block.ok_or(MethodError::Setting { number })?;
                Self::Pgzip { block, settings: parse_settings(input, number)? }
            }
            5 => match input.byte()? {
                0 => Self::GnuGzip { level: zlib_level(input.byte()?, number)? },
                1 => {
                    let level = zlib_level(input.byte()?, number)?;
                    let unit = usize::try_from(input.number()?).ok().filter(|&bytes| bytes <= MAX_UNIT);
                    let unit = unit.and_then(|bytes| UnitSize::new(bytes).ok());
                    let unit = unit.ok_or(MethodError::Setting { number })?;
                    let threads = if flag(input, number)? { Threads::Many } else { Threads::One };
                    Self::Pigz(PigzParams { level, unit, threads, independent: flag(input, number)? })
                }
                _ => return Err(MethodError::Setting { number }),
            },
            _ => return Err(MethodError::Unknown { number }),
        })
    }
}

/// Blocks of pgzip and units of pigz beyond this are not made by anybody, and would not fit the promise of memory.
pub(crate) const MAX_UNIT: usize = 1 << 30;

/// Why bytes are no method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MethodError {
    Wire(WireError),
    Unknown { number: u8 },
    Setting { number: u8 },
}

impl From<WireError> for MethodError {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

fn flag(input: &mut Input, number: u8) -> Result<bool, MethodError> {
    match input.byte()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(MethodError::Setting { number }),
    }
}

fn zlib_level(level: u8, number: u8) -> Result<zlib::Level, MethodError> {
    zlib::Level::new(level).map_err(|_| MethodError::Setting { number })
}

fn write_settings(settings: klauspost::Settings, out: &mut Vec<u8>) {
    let epoch = Epoch::ALL.into_iter().take_while(|&epoch| epoch != settings.epoch).count();
    let rounding = match settings.rounding {
        Rounding::Plain => 0,
        Rounding::Fused => 1,
        Rounding::FusedAmd64V3 => 2,
    };
    out.extend([epoch as u8, settings.level.number().cast_unsigned(), rounding]);
}

fn parse_settings(input: &mut Input, number: u8) -> Result<klauspost::Settings, MethodError> {
    let wrong = MethodError::Setting { number };
    let epoch = *Epoch::ALL.get(usize::from(input.byte()?)).ok_or(wrong)?;
    let level = klauspost::Level::try_from(input.byte()?.cast_signed()).map_err(|_| wrong)?;
    let rounding = match input.byte()? {
        0 => Rounding::Plain,
        1 => Rounding::Fused,
        2 => Rounding::FusedAmd64V3,
        _ => return Err(wrong),
    };
    Ok(klauspost::Settings { epoch, level, rounding })
}

fn write_cuts(cuts: &Cuts, out: &mut Vec<u8>) {
    match cuts {
        Cuts::Harmless => out.push(0),
        Cuts::Every(size) => {
            out.push(1);
            put_number(size.get(), out);
        }
        Cuts::At(positions) => {
            out.push(2);
            put_number(positions.len() as u64, out);
            let mut before = 0;
            for &position in positions {
                put_number(position - before, out);
                before = position;
            }
        }
    }
}

fn parse_cuts(input: &mut Input, number: u8) -> Result<Cuts, MethodError> {
    let wrong = MethodError::Setting { number };
    match input.byte()? {
        0 => Ok(Cuts::Harmless),
        1 => NonZeroU64::new(input.number()?).map(Cuts::Every).ok_or(wrong),
        2 => {
            let (mut positions, mut position) = (BTreeSet::new(), 0_u64);
            for _ in 0..input.number()? {
                position = position.checked_add(input.number()?).ok_or(wrong)?;
                if !positions.insert(position) {
                    return Err(wrong);
                }
            }
            Ok(Cuts::At(positions))
        }
        _ => Err(wrong),
    }
}

impl fmt::Display for Method {
    /// For people: "Go compress/flate level 6", "pgzip 1 MiB blocks, klauspost ≥ 1.18.2 level 5".
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Zlib { params, full_flush } => {
                write!(f, "zlib level {}", params.level.get())?;
                if params.mem_level != MemLevel::DEFAULT {
                    write!(f, ", memory level {}", params.mem_level.get())?;
                }
                if *full_flush { f.write_str(", full flushes") } else { Ok(()) }
            }
            Self::Stored { length, .. } => write!(f, "zlib level 0, stored blocks of {length}"),
            Self::Go { level, release, cuts } => {
                write!(f, "Go compress/flate level {}", level.get())?;
                if *release == Release::Go1_8 {
                    f.write_str(", before Go 1.15")?;
                }
                if *cuts == Cuts::Harmless { Ok(()) } else { f.write_str(", with write cuts") }
            }
            Self::Klauspost(settings) => write_klauspost(*settings, f),
            Self::Pgzip { block, settings } => {
                write!(f, "pgzip {} blocks, ", Size(block.bytes()))?;
                write_klauspost(*settings, f)
            }
            Self::GnuGzip { level } => write!(f, "GNU gzip level {}", level.get()),
            Self::Pigz(PigzParams { level, unit, threads, independent }) => {
                write!(f, "pigz level {}", level.get())?;
                if *unit != UnitSize::DEFAULT {
                    write!(f, ", {} units", Size(unit.get()))?;
                }
                if *threads == Threads::One {
                    f.write_str(", one thread")?;
                }
                if *independent { f.write_str(", independent units") } else { Ok(()) }
            }
        }
    }
}

fn write_klauspost(settings: klauspost::Settings, f: &mut fmt::Formatter) -> fmt::Result {
    let releases = match settings.epoch {
        Epoch::A1 => "klauspost 1.15.11 to 1.15.14",
        Epoch::A2 => "klauspost 1.15.15 to 1.17",
        Epoch::A3 => "klauspost 1.18.0",
        Epoch::B1 => "klauspost 1.18.1",
        Epoch::B2 => "klauspost ≥ 1.18.2",
        Epoch::B3 => "klauspost ≥ 1.20",
        Epoch::Go => "Go ≥ 1.27 compress/flate",
    };
    write!(f, "{releases} level {}", settings.level.number())?;
    match settings.rounding {
        Rounding::Plain => Ok(()),
        Rounding::Fused => f.write_str(", fused rounding"),
        Rounding::FusedAmd64V3 => f.write_str(", amd64 v3 rounding"),
    }
}

/// Bytes in the largest unit that gives a whole number.
struct Size(usize);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.0 {
            bytes if bytes.is_multiple_of(1 << 20) => write!(f, "{} MiB", bytes >> 20),
            bytes if bytes.is_multiple_of(1 << 10) => write!(f, "{} KiB", bytes >> 10),
            bytes => write!(f, "{bytes} byte"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn settings(epoch: Epoch) -> klauspost::Settings {
        klauspost::Settings::new(epoch, klauspost::Level::L5)
    }

    /// Bytes that must never change, and names.
    #[test]
    fn numbers_are_frozen() {
        let level = zlib::Level::DEFAULT;
        let go = |cuts| Method::Go { level: go::Level::DEFAULT, release: Release::Go1_15, cuts };
        let pigz = PigzParams { unit: UnitSize::new(65536).unwrap(), ..PigzParams::default() };
        let length = NonZeroU16::new(300).unwrap();
        let cases: Vec<(Method, &[u8], &str)> = vec![
            (Method::zlib(level, MemLevel::DEFAULT), &[1, 6, 8, 0], "zlib level 6"),
            (
                Method::Stored { length, empty_last: true },
                &[1, 0, 0xac, 2, 1],
                "zlib level 0, stored blocks of 300",
            ),
            (go(Cuts::Harmless), &[2, 6, 1, 0], "Go compress/flate level 6"),
            (
                go(Cuts::At([5, 300].into())),
                &[2, 6, 1, 2, 2, 5, 0xa7, 2],
                "Go compress/flate level 6, with write cuts",
            ),
            (Method::go(go::Level::HUFFMAN_ONLY), &[2, 254, 1, 0], "Go compress/flate level -2"),
            (Method::Klauspost(settings(Epoch::B1)), &[3, 3, 5, 0], "klauspost 1.18.1 level 5"),
            (
                Method::Pgzip { block: BlockSize::DEFAULT, settings: settings(Epoch::B2) },
                &[4, 0x80, 0x80, 0x40, 4, 5, 0],
                "pgzip 1 MiB blocks, klauspost ≥ 1.18.2 level 5",
            ),
            (Method::GnuGzip { level }, &[5, 0, 6], "GNU gzip level 6"),
            (Method::Pigz(pigz), &[5, 1, 6, 0x80, 0x80, 4, 1, 0], "pigz level 6, 64 KiB units"),
        ];
        for (method, bytes, name) in cases {
            let mut written = Vec::new();
            method.write(&mut written);
            assert_eq!(written, bytes, "{name}");
            assert_eq!(Method::parse(&mut Input(bytes)), Ok(method.clone()));
            assert_eq!(method.to_string(), name);
        }
    }

    #[test]
    fn what_no_encoder_knows() {
        for (bytes, error) in [
            (&[0][..], MethodError::Unknown { number: 0 }),
            (&[6], MethodError::Unknown { number: 6 }),
            (&[1, 10, 8, 0], MethodError::Setting { number: 1 }),
            (&[1, 6, 8, 2], MethodError::Setting { number: 1 }),
            (&[2, 255, 1, 0], MethodError::Setting { number: 2 }),
            (&[2, 6, 1, 2, 2, 5, 0], MethodError::Setting { number: 2 }),
            (&[3, 7, 5, 0], MethodError::Setting { number: 3 }),
            (&[4, 0x80, 0x80, 1, 4, 5, 0], MethodError::Setting { number: 4 }),
            (&[5, 2, 5, 0], MethodError::Setting { number: 5 }),
            (&[5, 0], MethodError::Wire(WireError::Short)),
        ] {
            assert_eq!(Method::parse(&mut Input(bytes)), Err(error), "{bytes:?}");
        }
    }
}
