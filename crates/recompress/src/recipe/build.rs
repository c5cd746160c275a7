//! A recipe member by member: equal parts are kept once, equal neighbours become runs.

use std::collections::BTreeMap;

use super::Piece;
use super::{Flushes, Recipe, Run};
use crate::method::Method;

#[derive(Debug)]
pub(crate) struct Builder {
    recipe: Recipe,
    headers: BTreeMap<Vec<u8>, u32>,
    flushes: BTreeMap<Flushes, u32>,
}

impl Builder {
    pub fn new() -> Self {
        let recipe = Recipe {
            stored_len: 0,
            plain_len: 0,
            headers: Vec::new(),
            methods: Vec::new(),
            flushes: Vec::new(),
            runs: Vec::new(),
            tail: Vec::new(),
        };
        Self { recipe, headers: BTreeMap::new(), flushes: BTreeMap::new() }
    }

    /// Adds `count` members that are alike, at least one.
    pub fn push(&mut self, count: u64, header: &[u8], method: &Method, flushes: &Flushes, plain_len: u64) {
        let run = Run {
            count,
            header: intern(header, &mut self.headers, &mut self.recipe.headers),
            method: self.method(method),
            flushes: intern(flushes, &mut self.flushes, &mut self.recipe.flushes),
            plain_len,
        };
        match self.recipe.runs.last_mut() {
            Some(last) if last.like(&run) => last.count += count,
            _ => self.recipe.runs.push(run),
        }
    }

    /// There are few methods in a stream.
    fn method(&mut self, method: &Method) -> u32 {
        let methods = &mut self.recipe.methods;
        let at = methods.iter().position(|known| known == method).unwrap_or_else(|| {
            methods.push(method.clone());
            methods.len() - 1
        });
        at as u32
    }

    /// The recipe, unless it has no member, or the lengths are beyond all reason.
    pub fn finish(mut self, tail: Vec<Piece>, stored_len: u64) -> Option<Recipe> {
        self.recipe.tail = tail;
        self.recipe.stored_len = stored_len;
        self.recipe.plain_len = self.recipe.sum_plain()?;
        let least = self.recipe.least_stored()?;
        (least <= stored_len && !self.recipe.runs.is_empty()).then_some(self.recipe)
    }
}

/// The place of `value` in `table`, to which it is added if it is new.
fn intern<T, B>(value: &B, places: &mut BTreeMap<T, u32>, table: &mut Vec<T>) -> u32
where
    T: Ord + Clone + std::borrow::Borrow<B>,
    B: Ord + ToOwned<Owned = T> + ?Sized,
{
    if let Some(&place) = places.get(value) {
        return place;
    }
    let place = table.len() as u32;
    table.push(value.to_owned());
    places.insert(value.to_owned(), place);
    place
}
