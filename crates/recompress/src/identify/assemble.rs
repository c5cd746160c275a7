//! From members and a verdict to recipes.

use super::ending::Ending;
use super::members::{Members, Row};
use super::sample::Class;
use super::trial::{Beyond, MAX_METHODS, Verdict};
use crate::go;
use crate::klauspost::{self, Epoch, Settings};
use crate::method::Method;
use crate::pgzip::BlockSize;
use crate::recipe::{Builder, Flushes, Inside, Piece, Recipe};
use crate::zlib::{self, MemLevel};

/// Recipes that are kept.
const MAX_CANDIDATES: usize = 8;

/// What a stream may have been made by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identified {
    /// At most eight, the likeliest first; empty: unknown. All of them fit the ends of all members. The first reproduces
    /// the sample; the others its start, and are for the case that the first one fails behind the sample.
    pub candidates: Vec<Recipe>,
    /// The encoder is known, but it was flushed in places that only the whole stream tells. Here are the recipes
    /// without those flushes.
    pub(super) unscanned: Vec<Recipe>,
}

impl Identified {
    pub(super) const fn unknown() -> Self {
        Self { candidates: Vec::new(), unscanned: Vec::new() }
    }

    pub(super) fn new(members: &Members, verdict: &Verdict, tail: &[Piece], stored_len: u64) -> Self {
        let mut identified = Self::unknown();
        if verdict.budget.is_spent() {
            return identified;
        }
        let classes: Vec<Class> = members.headers.iter().map(|header| Class::of(header)).collect();
        for choice in choices(verdict) {
            let mut assembler = Assembler { members, classes: &classes, verdict, choice, guessed: false };
            let Some(recipe) =
                assembler.build().and_then(|builder| builder.finish(tail.to_vec(), stored_len))
            else {
                continue;
            };
            let list = if assembler.guessed { &mut identified.unscanned } else { &mut identified.candidates };
            if list.len() < MAX_CANDIDATES && !list.contains(&recipe) {
                list.push(recipe);
            }
        }
        let whole = members.rows.iter().all(|row| row.plain_len == 0) || verdict.seen_all(members);
        if whole {
            // All of them make the whole stream.
            identified.candidates.truncate(1);
        }
        identified
    }
}

/// A method for each class of members: all combinations, the likeliest first, as many as are kept.
fn choices(verdict: &Verdict) -> Vec<Vec<Option<&Method>>> {
    let mut choices = vec![Vec::new()];
    for class in &verdict.classes {
        let methods: Vec<Option<&Method>> =
            if class.methods.is_empty() { vec![None] } else { class.methods.iter().map(Some).collect() };
        let longer = choices.iter().flat_map(|choice: &Vec<Option<&Method>>| {
            methods.iter().map(move |&method| choice.iter().copied().chain([method]).collect())
        });
        choices = longer.take(MAX_METHODS).collect();
    }
    choices
}

struct Assembler<'a> {
    members: &'a Members,
    /// Of each header.
    classes: &'a [Class],
    verdict: &'a Verdict,
    /// Of each class of the verdict.
    choice: Vec<Option<&'a Method>>,
    /// Flushes were left out that are there.
    guessed: bool,
}

impl Assembler<'_> {
    fn build(&mut self) -> Option<Builder> {
        let mut builder = Builder::new();
        let (mut index, mut listed) = (0, self.verdict.flushes.iter().peekable());
        for row in &self.members.rows {
            let header = self.members.headers.get(row.header as usize)?;
            let end = index + row.count;
            while index < end {
                let own = listed.next_if(|(at, _)| *at == index).map(|(_, flushes)| flushes);
                let next = listed.peek().map_or(end, |(at, _)| end.min(*at));
                // Members seen in whole and others do not share a run here.
                let next = if index < self.verdict.seen { next.min(self.verdict.seen) } else { next };
                let count = if own.is_some() { 1 } else { next - index };
                let (method, flushes) = self.member(row, index, own)?;
                builder.push(count, header, &method, &flushes, row.plain_len);
                index += count;
            }
        }
        Some(builder)
    }

    fn member(&mut self, row: &Row, index: u64, own: Option<&Flushes>) -> Option<(Method, Flushes)> {
        let class = self.classes.get(row.header as usize)?;
        let place = self.verdict.classes.iter().position(|known| known.class == *class);
        let method = place.and_then(|place| *self.choice.get(place)?);
        if row.plain_len == 0 {
            return self.empty(method, row.ending, *class);
        }
        let method = method?;
        let end = flushes_at_end(method, row.ending)?;
        if !method.can_flush() {
            return Some((method.clone(), Flushes::default()));
        }
        if index < self.verdict.seen {
            let flushes = own.cloned().unwrap_or_else(|| Flushes::at_end(0));
            return Some((method.clone(), flushes));
        }
        let inside = match self.verdict.classes.get(place?)?.beyond {
            Beyond::Every(n) if n.get() < row.plain_len => Inside::Every(n),
            Beyond::Irregular => {
                self.guessed = true;
                Inside::None
            }
            Beyond::Nothing | Beyond::Every(_) => Inside::None,
        };
        Some((method.clone(), Flushes { inside, end }))
    }

    /// A member without plain bytes: any encoder that ends in this way will do.
    fn empty(&self, own: Option<&Method>, ending: Ending, class: Class) -> Option<(Method, Flushes)> {
        let known = own.into_iter().chain(self.choice.iter().copied().flatten());
        let fallback = match ending {
            Ending::Stored(_) => Method::go(go::Level::DEFAULT),
            Ending::Fixed(flushes) if class.zero_time_of_go => {
                let settings = Settings::new(Epoch::B2, klauspost::Level::L5);
                match flushes {
                    1 => Method::Pgzip { block: BlockSize::DEFAULT, settings },
                    _ => Method::Klauspost(settings),
                }
            }
            Ending::Fixed(_) => Method::zlib(zlib::Level::DEFAULT, MemLevel::DEFAULT),
            Ending::Data => return None,
        };
        let fits = |method: &&Method| match (method, ending) {
            (Method::Go { .. }, Ending::Stored(_)) => true,
            (Method::Zlib { .. } | Method::Klauspost(_), Ending::Fixed(_)) => true,
            (Method::GnuGzip { .. } | Method::Pigz(_), Ending::Fixed(flushes)) => flushes == 0,
            (Method::Pgzip { .. }, Ending::Fixed(flushes)) => flushes == 1,
            _ => false,
        };
        let method = known.into_iter().find(fits).cloned().unwrap_or(fallback);
        let flushes = match ending {
            Ending::Stored(flushes) | Ending::Fixed(flushes) if method.can_flush() => {
                Flushes::at_end(flushes)
            }
            _ => Flushes::default(),
        };
        Some((method, flushes))
    }
}

/// Flushes of the original's caller behind the last plain byte, or `None` where the method ends in another way.
fn flushes_at_end(method: &Method, ending: Ending) -> Option<u8> {
    match (method, ending) {
        (Method::Go { .. }, Ending::Stored(flushes)) => Some(flushes),
        (Method::Go { .. } | Method::Klauspost(_) | Method::Pgzip { .. }, Ending::Data) => None,
        (Method::Go { .. }, Ending::Fixed(_)) => None,
        (Method::Pgzip { .. }, Ending::Fixed(0)) => None,
        (Method::Klauspost(_) | Method::Zlib { .. }, Ending::Fixed(flushes)) => Some(flushes),
        (Method::Stored { .. }, _) => Some(0),
        (_, Ending::Stored(_)) => None,
        _ => Some(0),
    }
}

impl Verdict {
    /// Whether the sample had all members with plain bytes in whole.
    fn seen_all(&self, members: &Members) -> bool {
        let mut index = 0;
        let last = members.rows.iter().fold(0, |last, row| {
            index += row.count;
            if row.plain_len > 0 { index } else { last }
        });
        self.seen >= last
    }
}
