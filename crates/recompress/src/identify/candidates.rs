//! Which methods are worth trying, and in what order.

use std::num::NonZeroU16;

use super::sample::Class;
use super::shape::{Common, Shape};
use crate::go::{self, Cuts, Release};
use crate::klauspost::{Epoch, Level, Settings};
use crate::method::{MAX_UNIT, Method};
use crate::pgzip::BlockSize;
use crate::zlib::{self, MemLevel, PigzParams, Threads, UnitSize};

/// zlib, GNU gzip and pigz find nothing farther.
const ZLIB_FARTHEST: u16 = 32506;

/// Families of methods, the likeliest first, in each the likeliest method first.
///
/// `block` is the block size of pgzip where the flushes look like it; `flushed`: a sampled member has flushes.
pub(super) fn candidates(shape: &Shape, class: Class, block: Option<u64>, flushed: bool) -> Vec<Vec<Method>> {
    if shape.odd {
        return Vec::new();
    }
    let go = go(shape, class);
    let klauspost = klauspost(shape, class);
    let pgzip = pgzip(shape, class, block);
    let zlib = zlib(shape, class, flushed);
    let gnu = if flushed { Vec::new() } else { gnu(shape, class) };
    let pigz = pigz(shape, class);
    let stored = stored(shape);
    let groups = if class.zero_time_of_go {
        [pgzip, klauspost, go, zlib, pigz, gnu, stored]
    } else if class.system == 3 {
        [pigz, gnu, zlib, pgzip, go, klauspost, stored]
    } else {
        [go, pgzip, klauspost, zlib, pigz, gnu, stored]
    };
    groups.into_iter().filter(|group| !group.is_empty()).collect()
}

/// Levels in the order of their likelihood: what the header says, then habits.
fn level_order(class: Class, habits: &[i8]) -> Vec<i8> {
    let said = match class.extra_flags {
        2 => Some(9),
        4 => Some(1),
        _ => None,
    };
    let rest = habits.iter().copied().filter(|&level| Some(level) != said);
    said.into_iter().filter(|level| habits.contains(level)).chain(rest).collect()
}

fn go(shape: &Shape, class: Class) -> Vec<Method> {
    if shape.shortest < 4 {
        return Vec::new();
    }
    let chain = shape.farthest_4 <= 4096 && shape.full_tokens.may_be(16384);
    let units = !shape.any_fixed && shape.full_plain.may_be(65535);
    let fits = |&level: &i8| match level {
        -2 => units && !shape.matches,
        0 => units && shape.only_stored,
        1 => units,
        _ => chain,
    };
    let releases: &[Release] = if units { &[Release::Go1_15, Release::Go1_8] } else { &[Release::Go1_15] };
    let levels = level_order(class, &[6, 5, 7, 9, 8, 1, 4, 3, 2, 0, -2]);
    let mut methods = Vec::new();
    for &release in releases {
        for level in levels.iter().copied().filter(fits) {
            // The first releases differ at these levels only.
            if release == Release::Go1_15 || level == 1 || level == -2 {
                let level = go::Level::try_from(level).unwrap_or_default();
                methods.push(Method::Go { level, release, cuts: Cuts::Harmless });
            }
        }
    }
    methods
}

fn klauspost(shape: &Shape, class: Class) -> Vec<Method> {
    settings(shape, class, false).into_iter().map(Method::Klauspost).collect()
}

fn pgzip(shape: &Shape, class: Class, block: Option<u64>) -> Vec<Method> {
    let block = block.and_then(|block| usize::try_from(block).ok()).filter(|&block| block <= MAX_UNIT);
    let Some(block) = block.and_then(|block| BlockSize::new(block).ok()) else { return Vec::new() };
    settings(shape, class, true).into_iter().map(|settings| Method::Pgzip { block, settings }).collect()
}

fn settings(shape: &Shape, class: Class, dictionary: bool) -> Vec<Settings> {
    if shape.shortest < 4 || shape.full_tokens == Common::All(16384) && shape.full_blocks > 1 {
        return Vec::new();
    }
    let habits: &[i8] = if class.zero_time_of_go || dictionary {
        &[5, 6, 1, 3, 4, 2, 7, 8, 9, -2, 0]
    } else {
        &[6, 5, 1, 3, 4, 2, 7, 8, 9, -2, 0]
    };
    let go = !class.zero_time_of_go && !dictionary;
    let mut found = Vec::new();
    for number in level_order(class, habits) {
        let Ok(level) = Level::try_from(number) else { continue };
        if number == 0 && !shape.only_stored || number == -2 && shape.matches {
            continue;
        }
        for epoch in epochs(level, go, dictionary) {
            let old = epoch <= Epoch::A3;
            if !(old && shape.trimmed || !old && shape.untrimmed) {
                found.push(Settings::new(epoch, level));
            }
        }
    }
    found
}

/// The spans of releases that differ at this level.
fn epochs(level: Level, go: bool, dictionary: bool) -> Vec<Epoch> {
    use Epoch::{A1, A2, A3, B1, B2, B3, Go};
    let newest = if go { Go } else { B2 };
    let mut epochs = vec![newest];
    match level {
        Level::L9 if go => epochs.push(B2),
        Level::L9 if !dictionary => epochs.push(Go),
        _ => {}
    }
    if dictionary && level >= Level::L7 {
        epochs.push(B3);
    }
    epochs.push(B1);
    match level {
        Level::L4 => epochs.extend([A2, A3]),
        Level::L7 | Level::L8 | Level::L9 => epochs.extend([A2, A1]),
        _ => epochs.push(A2),
    }
    epochs
}

/// Levels of zlib and its kin that this shape allows.
fn zlib_levels(shape: &Shape, class: Class) -> Vec<zlib::Level> {
    let habits: &[i8] = match class.system {
        _ if shape.farthest_3 > 4096 => &[1, 3, 2],
        // These headers tell the first and the last level.
        3 => &[6, 5, 7, 4, 8, 3, 2, 9, 1],
        _ => &[6, 9, 5, 7, 8, 4, 1, 3, 2],
    };
    let level = |level: i8| zlib::Level::new(level.unsigned_abs()).ok();
    level_order(class, habits).into_iter().filter_map(level).collect()
}

fn zlib(shape: &Shape, class: Class, flushed: bool) -> Vec<Method> {
    if shape.farthest > ZLIB_FARTHEST {
        return Vec::new();
    }
    let mem_levels: Vec<u8> = match shape.full_tokens {
        Common::None => vec![8, 9],
        Common::All(tokens) => (1..=9).filter(|level| (1_u64 << (level + 6)) - 1 == tokens).collect(),
        Common::Mixed => Vec::new(),
    };
    let mut methods = Vec::new();
    for mem_level in mem_levels.into_iter().filter_map(|level| MemLevel::new(level).ok()) {
        for level in zlib_levels(shape, class) {
            methods.push(Method::zlib(level, mem_level));
        }
    }
    if flushed {
        let full = |method: &Method| match method {
            Method::Zlib { params, .. } => Method::Zlib { params: *params, full_flush: true },
            other => other.clone(),
        };
        methods.extend(methods.iter().map(full).collect::<Vec<_>>());
    }
    methods
}

fn gnu(shape: &Shape, class: Class) -> Vec<Method> {
    if shape.farthest > ZLIB_FARTHEST || !shape.full_gnu {
        return Vec::new();
    }
    zlib_levels(shape, class).into_iter().map(|level| Method::GnuGzip { level }).collect()
}

fn pigz(shape: &Shape, class: Class) -> Vec<Method> {
    // One border in eight has no filler, so the divisor of a few may be too large.
    let usual = shape.ends_at_unit && shape.fillers.is_multiple_of(UnitSize::DEFAULT.get() as u64);
    let unit = if usual { Some(UnitSize::DEFAULT.get()) } else { usize::try_from(shape.fillers).ok() };
    let unit = unit.filter(|&unit| unit <= MAX_UNIT).and_then(|unit| UnitSize::new(unit).ok());
    let Some(unit) = unit else { return Vec::new() };
    if shape.farthest > ZLIB_FARTHEST || !shape.full_tokens.may_be(16383) || !unit.get().is_multiple_of(1024)
    {
        return Vec::new();
    }
    let twice = shape.markers.windows(2).any(|pair| pair[0].plain == pair[1].plain);
    let modes: &[(Threads, bool)] =
        if twice { &[(Threads::Many, true)] } else { &[(Threads::Many, false), (Threads::One, false)] };
    let mut methods = Vec::new();
    for &(threads, independent) in modes {
        for level in zlib_levels(shape, class) {
            methods.push(Method::Pigz(PigzParams { level, unit, threads, independent }));
        }
    }
    methods
}

fn stored(shape: &Shape) -> Vec<Method> {
    let length = match shape.stored_plain {
        Common::All(length) if shape.only_stored => u16::try_from(length).ok(),
        _ => None,
    };
    let Some(length) = length.and_then(NonZeroU16::new) else { return Vec::new() };
    [false, true].map(|empty_last| Method::Stored { length, empty_last }).to_vec()
}
