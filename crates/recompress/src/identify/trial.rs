//! The expensive part of recognising: encoders tried on the sample.
//!
//! ```text
//! sample ─► members of one class ─► shape ─► families of candidates ─► 256 KiB of each ─► all for the first
//! ```

use super::attempt::{Attempt, Task};
use super::budget::Budget;
use super::candidates::candidates;
use super::sample::{Class, Sample, SampledMember};
use super::shape::Shape;
use crate::go::Cuts;
use crate::method::Method;
use crate::recipe::{Flushes, Inside};
use std::num::NonZeroU64;

/// Plain bytes that every candidate is tried on.
const START: usize = 256 << 10;

/// Methods kept for one family of one class.
const MAX_OF_FAMILY: usize = 8;

/// Methods kept for one class; a last round over the families may exceed it.
pub(super) const MAX_METHODS: usize = 24;

/// Classes of members in a stream. A tool writes one or two; with more than these the stream is not tried at all, for each
/// may cost half a second.
pub(super) const MAX_CLASSES: usize = 4;

/// Full blocks that make a match a proof of the family.
const ENOUGH_BLOCKS: u64 = 2;

/// Cuts of the original's writes that are tried in one block.
const MAX_CUTS: u64 = 4;

/// A complete sample, ready to be tried on any thread.
#[derive(Debug)]
pub struct Trial {
    pub(super) sample: Sample,
}

/// What a trial found.
#[derive(Debug)]
pub struct Verdict {
    pub(super) classes: Vec<ClassVerdict>,
    /// Flushes of whole members, by their numbers, ascending; members between them have none, as far as these go.
    pub(super) flushes: Vec<(u64, Flushes)>,
    /// Members before this number were seen in whole.
    pub(super) seen: u64,
    /// What is left for the classes of further samples; spent, nothing is known of the stream.
    pub(super) budget: Budget,
}

/// What was found for members with the same header traits.
#[derive(Debug)]
pub(super) struct ClassVerdict {
    pub class: Class,
    /// The likeliest first.
    pub methods: Vec<Method>,
    pub beyond: Beyond,
}

/// What the sample tells about flushes within members that it does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beyond {
    Nothing,
    Every(NonZeroU64),
    Irregular,
}

impl Trial {
    /// Tries the encoders: some hundredths to tenths of a second.
    pub fn run(self) -> Verdict {
        self.run_within(Some(&Budget::unlimited()), Budget::limited())
    }

    /// The same, with `budget` for all classes but the first, which may have one of its own.
    pub(super) fn run_within(self, first: Option<&Budget>, budget: Budget) -> Verdict {
        let sample = &self.sample;
        let whole = sample.members.iter().filter(|member| member.whole);
        let seen = whole.map(|member| member.index + 1).max().unwrap_or(0);
        budget.earn(sample.plain.len());
        let mut verdict = Verdict { classes: Vec::new(), flushes: Vec::new(), seen, budget };
        if sample.overflow {
            return verdict;
        }
        if has_too_many_classes(sample) {
            verdict.budget.spend();
            return verdict;
        }
        let shapes: Vec<Shape> = sample.members.iter().map(|member| shape(member, sample)).collect();
        let flushes: Vec<Flushes> = sample
            .members
            .iter()
            .zip(&shapes)
            .map(|(member, shape)| shape.flushes(member.plain.len() as u64))
            .collect();
        for member in &sample.members {
            if verdict.classes.iter().any(|known| known.class == member.class) {
                continue;
            }
            let budget = first.filter(|_| verdict.classes.is_empty()).unwrap_or(&verdict.budget);
            let judged = judge(member.class, sample, (&shapes, &flushes), budget);
            verdict.classes.push(judged);
            if verdict.budget.is_spent() {
                return verdict;
            }
        }
        let listed = sample.members.iter().zip(flushes).filter(|(member, _)| member.whole);
        verdict.flushes = listed
            .filter(|(_, flushes)| *flushes != Flushes::default())
            .map(|(member, flushes)| (member.index, flushes))
            .collect();
        verdict
    }
}

fn has_too_many_classes(sample: &Sample) -> bool {
    let mut classes: Vec<Class> = Vec::new();
    for member in &sample.members {
        if !classes.contains(&member.class) {
            classes.push(member.class);
        }
        if classes.len() > MAX_CLASSES {
            return true;
        }
    }
    false
}

fn shape(member: &SampledMember, sample: &Sample) -> Shape {
    let until = if member.whole { None } else { Some(member.plain.len() as u64) };
    Shape::of(&sample.stored[member.deflate.clone()], until)
}

fn judge(
    class: Class,
    sample: &Sample,
    (shapes, flushes): (&[Shape], &[Flushes]),
    budget: &Budget,
) -> ClassVerdict {
    let members = || sample.members.iter().zip(shapes).zip(flushes).filter(|((m, _), _)| m.class == class);
    let tasks: Vec<Task> = members().map(|((member, _), flushes)| Task { member, flushes }).collect();
    let mut merged = Shape::default();
    for ((_, shape), _) in members() {
        merged.absorb(shape);
        // Only those of the first member count.
        if merged.markers.is_empty() {
            merged.markers.clone_from(&shape.markers);
        }
    }
    let block = pgzip_block(&tasks, class);
    let flushed = tasks.iter().any(|task| *task.flushes != Flushes::default());
    let mut found = Vec::new();
    for family in candidates(&merged, class, block, flushed) {
        found.push(survivors(family, sample, &tasks, (&merged, budget)));
        if merged.full_blocks >= ENOUGH_BLOCKS && found.last().is_some_and(|methods| !methods.is_empty()) {
            break;
        }
    }
    let methods = in_turn(found);
    ClassVerdict { class, methods, beyond: beyond(&tasks) }
}

/// One of each family, then a second of each, and so on. Which families end their streams in the way of this one is
/// known only later.
fn in_turn(families: Vec<Vec<Method>>) -> Vec<Method> {
    let mut families: Vec<_> = families.into_iter().map(Vec::into_iter).collect();
    let mut methods = Vec::new();
    while methods.len() < MAX_METHODS {
        let before = methods.len();
        methods.extend(families.iter_mut().filter_map(Iterator::next));
        if methods.len() == before {
            break;
        }
    }
    methods
}

/// The first method of the family that reproduces the sample, then others that may turn out to be right where it does
/// not: they reproduce the start of the sample.
fn survivors(
    family: Vec<Method>,
    sample: &Sample,
    tasks: &[Task],
    (shape, budget): (&Shape, &Budget),
) -> Vec<Method> {
    let (mut found, mut wrong): (Vec<Method>, Vec<Attempt>) = (Vec::new(), Vec::new());
    // Random or empty stretches look alike to all, so a winner means little without blocks that tell.
    let proven = shape.full_blocks >= ENOUGH_BLOCKS;
    for method in family {
        let excluded = |winner| proven && !are_siblings(winner, &method);
        if found.len() >= MAX_OF_FAMILY || found.first().is_some_and(excluded) {
            continue;
        }
        let mut attempt = Attempt::new(method, sample, tasks, budget);
        // All of the sample, also of independent blocks: a stream of another family with flushes at the same places may agree
        // with most of them.
        if attempt.advance(START) && (!found.is_empty() || attempt.advance(usize::MAX)) {
            found.push(attempt.method);
        } else {
            wrong.push(attempt);
        }
    }
    if found.is_empty() { with_cuts(&wrong, sample, tasks, budget) } else { found }
}

/// Whether two methods agree so often that a sample may not tell them apart: another release, or the next level.
fn are_siblings(one: &Method, other: &Method) -> bool {
    let levels = [one, other].map(|method| match method {
        Method::Zlib { params, .. } => params.level.get().cast_signed(),
        Method::Go { level, .. } => level.get(),
        Method::Klauspost(settings) | Method::Pgzip { settings, .. } => settings.level.number(),
        Method::GnuGzip { level } => level.get().cast_signed(),
        Method::Pigz(params) => params.level.get().cast_signed(),
        Method::Stored { .. } => 0,
    });
    match one {
        // Each level is an encoder of its own, but for the last three.
        Method::Klauspost(_) | Method::Pgzip { .. } => {
            levels[0] == levels[1] || levels.iter().all(|&level| level >= 8)
        }
        _ => levels[0].abs_diff(levels[1]) <= 1,
    }
}

/// Go's encoder with a cut of its caller's writes near the place where the best attempt went wrong.
fn with_cuts(wrong: &[Attempt], sample: &Sample, tasks: &[Task], budget: &Budget) -> Vec<Method> {
    // Without a byte of data that is right there is no reason to believe in the level. The earliest of equals.
    let best = wrong.iter().rev().filter(|attempt| attempt.differs.is_some_and(|at| at > (0, 1024)));
    let Some(best) = best.max_by_key(|attempt| attempt.differs) else { return Vec::new() };
    let (Method::Go { level, release, .. }, Some((member, compared))) = (&best.method, best.differs) else {
        return Vec::new();
    };
    let Some(task) = tasks.get(member) else { return Vec::new() };
    let (start, end) = block_at(&sample.stored[task.member.deflate.clone()], compared);
    let first = start | 32767;
    for position in (0..MAX_CUTS).map(|i| first + i * 32768).take_while(|&position| position <= end + 32768) {
        let cuts = Cuts::At([position].into());
        let method = Method::Go { level: *level, release: *release, cuts };
        // Cuts count from the start of each member: the others must not mind.
        if Attempt::new(method.clone(), sample, tasks, budget).advance(usize::MAX) {
            return vec![method];
        }
    }
    Vec::new()
}

/// The plain bytes of the block that has the deflate byte `at` in it, or whose header follows closely.
fn block_at(deflate: &[u8], at: usize) -> (u64, u64) {
    let mut scanner = crate::inflate::Scanner::new(deflate);
    let mut range = (0, 0);
    while let Ok(Some(block)) = scanner.next_block() {
        range = (block.plain_start, block.plain_end());
        if block.end_bit / 8 > at as u64 {
            break;
        }
    }
    range
}

/// The block size, if the flushes of all members look like those of pgzip.
fn pgzip_block(tasks: &[Task], class: Class) -> Option<u64> {
    let first = tasks.iter().find_map(|task| match &task.flushes.inside {
        Inside::At(offsets) => offsets.first().copied(),
        _ => None,
    });
    let largest = tasks.iter().map(|task| task.member.plain.len() as u64).max().unwrap_or(0);
    match first {
        Some(block) => {
            let regular = tasks.iter().all(|task| every(task) == Some(block) || is_below(task, block));
            regular.then_some(block)
        }
        // One block: of two known sizes, when the header is the usual one too.
        None if class.zero_time_of_go && largest < 1 << 20 => Some(1 << 20),
        // A full block and an empty one.
        None if tasks.iter().any(|task| task.flushes.end == 2) => Some(largest),
        None => None,
    }
}

/// Whether a member is too short for flushes every `n` bytes.
fn is_below(task: &Task, n: u64) -> bool {
    task.flushes.inside == Inside::None && task.member.plain.len() as u64 <= n
}

/// `n`, where the flushes within a member stand at n, 2n, 3n and so on until its end.
fn every(task: &Task) -> Option<u64> {
    let Inside::At(offsets) = &task.flushes.inside else { return None };
    let first = *offsets.first().filter(|&&first| first > 0)?;
    let regular = offsets.iter().zip(1..).all(|(&at, i)| at == i * first);
    let missing = ((task.member.plain.len() as u64 - 1) / first).checked_sub(offsets.len() as u64)?;
    // The last one may have been too near the end of an open sample to be seen.
    let complete = missing == 0 || missing == 1 && !task.member.whole;
    (regular && complete).then_some(first)
}

fn beyond(tasks: &[Task]) -> Beyond {
    let flushed: Vec<&Task> = tasks.iter().filter(|task| task.flushes.inside != Inside::None).collect();
    let Some(first) = flushed.first() else { return Beyond::Nothing };
    let count: usize = flushed
        .iter()
        .map(|task| if let Inside::At(offsets) = &task.flushes.inside { offsets.len() } else { 0 })
        .sum();
    match every(first).and_then(NonZeroU64::new) {
        Some(n)
            if count >= 2
                && tasks.iter().all(|task| every(task) == Some(n.get()) || is_below(task, n.get())) =>
        {
            Beyond::Every(n)
        }
        _ => Beyond::Irregular,
    }
}
