//! One method tried on the sample: encode, compare, stop at the first byte that differs.

use super::budget::Budget;
use super::sample::{Sample, SampledMember};
use crate::encode::MemberEncoder;
use crate::method::Method;
use crate::recipe::Flushes;

/// Plain bytes encoded between two looks at the output.
const PIECE: usize = 16 << 10;

/// A sampled member with its flushes.
#[derive(Clone, Copy)]
pub(super) struct Task<'a> {
    pub member: &'a SampledMember,
    pub flushes: &'a Flushes,
}

/// A method on its way through members.
pub(super) struct Attempt<'a> {
    pub method: Method,
    sample: &'a Sample,
    tasks: &'a [Task<'a>],
    budget: &'a Budget,
    /// The member being encoded.
    current: usize,
    encoder: Option<MemberEncoder<'a>>,
    /// Plain and deflate bytes of the current member that are done.
    taken: usize,
    compared: usize,
    /// Plain bytes of all members.
    total: usize,
    /// Where it went wrong: the member, and the deflate bytes of it that were right.
    pub differs: Option<(usize, usize)>,
}

impl<'a> Attempt<'a> {
    pub fn new(method: Method, sample: &'a Sample, tasks: &'a [Task<'a>], budget: &'a Budget) -> Self {
        let (current, encoder, taken, compared, total) = (0, None, 0, 0, 0);
        Self { method, sample, tasks, budget, current, encoder, taken, compared, total, differs: None }
    }

    /// Goes on until `limit` plain bytes are encoded; whether all bytes so far are right. Without budget they are not.
    pub fn advance(&mut self, limit: usize) -> bool {
        let mut out = Vec::new();
        while self.total < limit && self.differs.is_none() && !self.budget.is_spent() {
            let Some(task) = self.tasks.get(self.current) else { break };
            let plain = &self.sample.plain[task.member.plain.clone()];
            let mut encoder = self.encoder.take().unwrap_or_else(|| {
                self.budget.encoder();
                MemberEncoder::new(&self.method, task.flushes)
            });
            let piece = &plain[self.taken..plain.len().min(self.taken + PIECE)];
            self.budget.bytes(piece.len());
            encoder.write(piece, &mut out);
            self.taken += piece.len();
            self.total += piece.len();
            if self.taken < plain.len() {
                self.encoder = Some(encoder);
                self.compare(&mut out, task.member, false);
            } else {
                if task.member.whole {
                    encoder.finish(&mut out);
                }
                self.compare(&mut out, task.member, task.member.whole);
                (self.taken, self.compared) = (0, 0);
                self.current += 1;
            }
        }
        self.differs.is_none() && !self.budget.is_spent()
    }

    fn compare(&mut self, out: &mut Vec<u8>, member: &SampledMember, whole: bool) {
        let stored = &self.sample.stored[member.deflate.clone()];
        let rest = &stored[self.compared.min(stored.len())..];
        let common = out.iter().zip(rest).take_while(|(a, b)| a == b).count();
        self.compared += common;
        if common < out.len() || whole && common < rest.len() {
            self.differs = Some((self.current, self.compared));
            // A large thing, and there are many attempts.
            self.encoder = None;
        }
        out.clear();
    }
}
