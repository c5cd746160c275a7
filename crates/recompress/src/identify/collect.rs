//! Collects samples while a stream passes.
//!
//! ```text
//! member │ member │ member          │ member of another class │ member │ …
//! └───── main sample ─────┘           └── late sample ──┘
//! ```
//!
//! A sample ends with the byte behind its last one: only then it is known that no member ends just there. So what is
//! in it depends on the stream, not on the calls.

use super::budget::Budget;
use super::ending::TRAILER;
use super::sample::{Class, Sample, SampledMember};
use super::trial::{MAX_CLASSES, Trial, Verdict};

/// A sample is never larger than this, whatever is asked for.
const MAX_SAMPLE: usize = 8 << 20;

/// Members with plain bytes in a sample.
const MAX_MEMBERS: usize = 4096;

/// Plain bytes of a late sample.
const LATE: usize = 1 << 20;

/// Late samples that are kept.
const MAX_LATE: usize = 4;

/// The main sample, and one of each class of members that shows up behind it.
#[derive(Debug)]
pub(super) struct Sampler {
    main: Collector,
    taken: bool,
    late: Vec<Collector>,
    /// The last of `late` collects.
    late_open: bool,
    /// Of all members that are in a sample.
    classes: Vec<Class>,
    /// Of the current member; `None` before the end of its header.
    class: Option<Class>,
}

impl Sampler {
    pub fn new(plain_bytes: usize) -> Self {
        Self {
            main: Collector::new(plain_bytes.min(MAX_SAMPLE)),
            taken: false,
            late: Vec::new(),
            late_open: false,
            classes: Vec::new(),
            class: None,
        }
    }

    /// Takes bytes behind the header, trailer included.
    pub fn stored(&mut self, bytes: &[u8], header: &[u8]) {
        if self.class.is_none() {
            let class = Class::of(header);
            self.class = Some(class);
            self.late_open =
                self.main.complete && self.late.len() < MAX_LATE && !self.classes.contains(&class);
            if self.late_open {
                self.late.push(Collector::new(LATE));
            }
        }
        if !self.main.complete {
            self.main.stored(bytes);
        } else if let Some(late) = self.open_late() {
            late.stored(bytes);
        }
    }

    pub fn plain(&mut self, bytes: &[u8], index: u64) {
        let Some(class) = self.class.filter(|_| !bytes.is_empty()) else { return };
        if !self.classes.contains(&class) && self.classes.len() <= MAX_MEMBERS {
            self.classes.push(class);
        }
        if !self.main.complete {
            self.main.plain(bytes, class, index);
        } else if let Some(late) = self.open_late() {
            late.plain(bytes, class, index);
        }
    }

    pub fn member_end(&mut self, index: u64) {
        let Some(class) = self.class.take() else { return };
        if !self.main.complete {
            self.main.member_end(class, index);
        } else if let Some(late) = self.open_late() {
            late.member_end(class, index);
            late.complete = true;
            // Without plain bytes it tells nothing.
            if late.sample.members.is_empty() {
                self.late.pop();
            }
            self.late_open = false;
        }
    }

    fn open_late(&mut self) -> Option<&mut Collector> {
        self.late.last_mut().filter(|late| self.late_open && !late.complete)
    }

    /// The main sample, once, when it is complete.
    pub fn take(&mut self) -> Option<Sample> {
        if self.taken || !self.main.complete {
            return None;
        }
        self.taken = true;
        Some(std::mem::take(&mut self.main.sample))
    }

    /// All verdicts in one; `main` is that of the main sample, if it was taken.
    pub fn finish(mut self, main: Option<Verdict>) -> Option<Verdict> {
        let mut verdict = if self.taken { main? } else { Trial { sample: self.main.sample }.run() };
        // A member that did not end is none.
        if self.late_open && self.class.is_some() {
            self.late.pop();
        }
        if verdict.classes.len() + self.late.len() > MAX_CLASSES {
            verdict.budget.spend();
        }
        for late in self.late {
            if verdict.budget.is_spent() {
                break;
            }
            let budget = std::mem::replace(&mut verdict.budget, Budget::limited());
            let late = Trial { sample: late.sample }.run_within(None, budget);
            verdict.classes.extend(late.classes);
            verdict.budget = late.budget;
        }
        Some(verdict)
    }
}

/// Collects one sample.
#[derive(Debug)]
struct Collector {
    limit: usize,
    sample: Sample,
    /// Stored bytes that came, kept or not.
    offered: u64,
    /// Where the current member begins in the sample.
    stored_start: usize,
    plain_start: usize,
    complete: bool,
}

impl Collector {
    fn new(limit: usize) -> Self {
        let sample = Sample::default();
        Self { limit, sample, offered: 0, stored_start: 0, plain_start: 0, complete: false }
    }

    fn stored(&mut self, bytes: &[u8]) {
        // Twice the plain bytes: hardly any encoder makes its input longer.
        let room = (2 * self.limit + (64 << 10)).saturating_sub(self.sample.stored.len());
        self.offered += bytes.len() as u64;
        self.sample.stored.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn plain(&mut self, bytes: &[u8], class: Class, index: u64) {
        let room = self.limit - self.sample.plain.len();
        self.sample.plain.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if bytes.len() > room {
            self.keep(class, index, self.sample.stored.len(), false);
            self.complete = true;
        }
    }

    fn member_end(&mut self, class: Class, index: u64) {
        if self.sample.plain.len() > self.plain_start {
            self.keep(class, index, self.sample.stored.len().saturating_sub(TRAILER), true);
        }
        self.stored_start = self.sample.stored.len();
        self.plain_start = self.sample.plain.len();
        self.complete = self.sample.members.len() == MAX_MEMBERS;
    }

    /// Notes a member; an open one only if the sample has something of it.
    fn keep(&mut self, class: Class, index: u64, stored_end: usize, whole: bool) {
        // An open member needs less than what came so far, and nobody knows yet how much.
        self.sample.overflow |= whole && self.offered > self.sample.stored.len() as u64;
        let plain = self.plain_start..self.sample.plain.len();
        if !plain.is_empty() {
            let deflate = self.stored_start.min(stored_end)..stored_end;
            self.sample.members.push(SampledMember { index, class, deflate, plain, whole });
        }
    }
}
