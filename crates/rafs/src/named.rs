//! What has names, of a directory or of an inode: few in a list, many in a search tree.
//!
//! Most directories and inodes have a handful, and a search tree takes up to half a kilobyte for the first of them.

use std::collections::{BTreeMap, btree_map};
use std::{mem, slice, vec};

/// Names up to this many are a list.
const FEW: usize = 16;

type Name = Box<[u8]>;

/// Values by name, in order of the names' bytes.
#[derive(Debug, Clone)]
pub(crate) enum Named<V> {
    Few(Vec<(Name, V)>),
    Many(BTreeMap<Name, V>),
}

impl<V> Default for Named<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V> Named<V> {
    pub(crate) const fn new() -> Self {
        Self::Few(Vec::new())
    }

    pub(crate) fn get(&self, name: &[u8]) -> Option<&V> {
        match self {
            Self::Few(list) => find(list, name).ok().map(|at| &list[at].1),
            Self::Many(map) => map.get(name),
        }
    }

    /// Gives the value that had the name before.
    pub(crate) fn insert(&mut self, name: &[u8], value: V) -> Option<V> {
        match self {
            Self::Few(list) => match find(list, name) {
                Ok(at) => return Some(mem::replace(&mut list[at].1, value)),
                Err(at) if list.len() < FEW => {
                    if list.is_empty() {
                        list.reserve_exact(1);
                    }
                    list.insert(at, (name.into(), value));
                    return None;
                }
                Err(_) => *self = Self::Many(mem::take(list).into_iter().collect()),
            },
            Self::Many(_) => {}
        }
        match self {
            Self::Many(map) => map.insert(name.into(), value),
            Self::Few(_) => None,
        }
    }

    pub(crate) fn remove(&mut self, name: &[u8]) -> Option<V> {
        match self {
            Self::Few(list) => find(list, name).ok().map(|at| list.remove(at).1),
            Self::Many(map) => map.remove(name),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Few(list) => list.len(),
            Self::Many(map) => map.len(),
        }
    }

    pub(crate) fn iter(&self) -> Iter<'_, V> {
        match self {
            Self::Few(list) => Iter::Few(list.iter()),
            Self::Many(map) => Iter::Many(map.iter()),
        }
    }

    /// The values, to be changed.
    pub(crate) fn for_each_mut(&mut self, change: impl FnMut(&mut V)) {
        match self {
            Self::Few(list) => list.iter_mut().map(|(_, value)| value).for_each(change),
            Self::Many(map) => map.values_mut().for_each(change),
        }
    }
}

/// How many names there are changes nothing.
impl<V: PartialEq> PartialEq for Named<V> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<V: Eq> Eq for Named<V> {}

fn find<V>(list: &[(Name, V)], name: &[u8]) -> Result<usize, usize> {
    list.binary_search_by(|(known, _)| known.as_ref().cmp(name))
}

/// Names and values in order.
pub(crate) enum Iter<'a, V> {
    Few(slice::Iter<'a, (Name, V)>),
    Many(btree_map::Iter<'a, Name, V>),
}

impl<'a, V> Iterator for Iter<'a, V> {
    type Item = (&'a [u8], &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Few(list) => list.next().map(|(name, value)| (name.as_ref(), value)),
            Self::Many(map) => map.next().map(|(name, value)| (name.as_ref(), value)),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match self {
            Self::Few(list) => list.size_hint(),
            Self::Many(map) => map.size_hint(),
        }
    }
}

impl<V> DoubleEndedIterator for Iter<'_, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        match self {
            Self::Few(list) => list.next_back().map(|(name, value)| (name.as_ref(), value)),
            Self::Many(map) => map.next_back().map(|(name, value)| (name.as_ref(), value)),
        }
    }
}

impl<V> ExactSizeIterator for Iter<'_, V> {}

impl<V> IntoIterator for Named<V> {
    type Item = (Name, V);
    type IntoIter = IntoIter<V>;

    fn into_iter(self) -> Self::IntoIter {
        match self {
            Self::Few(list) => IntoIter::Few(list.into_iter()),
            Self::Many(map) => IntoIter::Many(map.into_iter()),
        }
    }
}

/// Names and values in order, taken.
#[derive(Debug)]
pub(crate) enum IntoIter<V> {
    Few(vec::IntoIter<(Name, V)>),
    Many(btree_map::IntoIter<Name, V>),
}

impl<V> Iterator for IntoIter<V> {
    type Item = (Name, V);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Few(list) => list.next(),
            Self::Many(map) => map.next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_many_are_alike() {
        let (mut named, mut model) = (Named::new(), BTreeMap::new());
        let mut state = 1_u32;
        for step in 0..2000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // First few names, then many, then few again.
            let names = if (500..1200).contains(&step) { 60 } else { 12 };
            let name = format!("n{}", (state >> 16) % names).into_bytes();
            if state >> 30 == 0 {
                assert_eq!(named.remove(&name), model.remove(&name));
            } else {
                assert_eq!(named.insert(&name, step), model.insert(name.clone(), step));
            }
            assert_eq!((named.get(&name), named.len()), (model.get(&name), model.len()));
            let expected = model.iter().map(|(name, value)| (name.as_slice(), value));
            assert!(named.iter().eq(expected.clone()) && named.iter().rev().eq(expected.rev()));
        }
        let list = Named::Few(named.iter().map(|(name, value)| (name.into(), *value)).collect());
        assert_eq!(list, named);
        let taken = named.into_iter().map(|(name, value)| (name.into_vec(), value));
        assert!(taken.eq(model));
    }
}
