//! The names of a directory: few in a list, many in a search tree.
//!
//! Most directories have a handful of names, and a search tree takes a quarter of a kilobyte for the first of them.

use std::collections::{BTreeMap, btree_map};
use std::slice;

use super::InodeId;

/// Names up to this many are a list.
const FEW: usize = 16;

type Name = Box<[u8]>;

/// Names in order of their bytes, and what they name.
#[derive(Debug, Clone)]
pub(super) enum Children {
    Few(Vec<(Name, InodeId)>),
    Many(BTreeMap<Name, InodeId>),
}

impl Default for Children {
    fn default() -> Self {
        Self::new()
    }
}

impl Children {
    pub(super) const fn new() -> Self {
        Self::Few(Vec::new())
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<InodeId> {
        match self {
            Self::Few(list) => find(list, name).ok().map(|at| list[at].1),
            Self::Many(map) => map.get(name).copied(),
        }
    }

    /// Gives the child that had the name before.
    pub(super) fn insert(&mut self, name: &[u8], child: InodeId) -> Option<InodeId> {
        match self {
            Self::Few(list) => match find(list, name) {
                Ok(at) => return Some(std::mem::replace(&mut list[at].1, child)),
                Err(at) if list.len() < FEW => {
                    if list.is_empty() {
                        list.reserve_exact(1);
                    }
                    list.insert(at, (name.into(), child));
                    return None;
                }
                Err(_) => *self = Self::Many(std::mem::take(list).into_iter().collect()),
            },
            Self::Many(_) => {}
        }
        match self {
            Self::Many(map) => map.insert(name.into(), child),
            Self::Few(_) => None,
        }
    }

    pub(super) fn remove(&mut self, name: &[u8]) -> Option<InodeId> {
        match self {
            Self::Few(list) => find(list, name).ok().map(|at| list.remove(at).1),
            Self::Many(map) => map.remove(name),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Few(list) => list.len(),
            Self::Many(map) => map.len(),
        }
    }

    pub(super) fn iter(&self) -> Iter<'_> {
        match self {
            Self::Few(list) => Iter::Few(list.iter()),
            Self::Many(map) => Iter::Many(map.iter()),
        }
    }

    /// The children, to be renumbered.
    pub(super) fn for_each_mut(&mut self, change: impl FnMut(&mut InodeId)) {
        match self {
            Self::Few(list) => list.iter_mut().map(|(_, id)| id).for_each(change),
            Self::Many(map) => map.values_mut().for_each(change),
        }
    }
}

/// How many names there are changes nothing.
impl PartialEq for Children {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Children {}

fn find(list: &[(Name, InodeId)], name: &[u8]) -> Result<usize, usize> {
    list.binary_search_by(|(known, _)| known.as_ref().cmp(name))
}

/// Names and children in order.
pub(super) enum Iter<'a> {
    Few(slice::Iter<'a, (Name, InodeId)>),
    Many(btree_map::Iter<'a, Name, InodeId>),
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a [u8], InodeId);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Few(list) => list.next().map(|(name, id)| (name.as_ref(), *id)),
            Self::Many(map) => map.next().map(|(name, id)| (name.as_ref(), *id)),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match self {
            Self::Few(list) => list.size_hint(),
            Self::Many(map) => map.size_hint(),
        }
    }
}

impl DoubleEndedIterator for Iter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        match self {
            Self::Few(list) => list.next_back().map(|(name, id)| (name.as_ref(), *id)),
            Self::Many(map) => map.next_back().map(|(name, id)| (name.as_ref(), *id)),
        }
    }
}

impl ExactSizeIterator for Iter<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_many_are_alike() {
        let (mut children, mut model) = (Children::new(), BTreeMap::new());
        let mut state = 1_u32;
        for step in 0..2000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // First few names, then many, then few again.
            let names = if (500..1200).contains(&step) { 60 } else { 12 };
            let name = format!("n{}", (state >> 16) % names).into_bytes();
            if state >> 30 == 0 {
                assert_eq!(children.remove(&name), model.remove(&name));
            } else {
                assert_eq!(children.insert(&name, InodeId(step)), model.insert(name.clone(), InodeId(step)));
            }
            assert_eq!((children.get(&name), children.len()), (model.get(&name).copied(), model.len()));
            let expected = model.iter().map(|(name, id)| (name.as_slice(), *id));
            assert!(children.iter().eq(expected.clone()) && children.iter().rev().eq(expected.rev()));
        }
        let list = Children::Few(children.iter().map(|(name, id)| (name.into(), id)).collect());
        assert_eq!(list, children);
    }
}
