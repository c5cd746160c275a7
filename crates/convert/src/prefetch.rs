//! Which files a client fetches first: patterns, and what they mean in a tree.
//!
//! A pattern is an absolute path. It stands for the entry of that name and, if that is a directory, for all below it;
//! symbolic links are not followed. Order counts: bootstraps list what the patterns name in their order.

use std::collections::HashSet;

use nydus_convert_rafs::{EntryPath, InodeId, InodeKind, PathError, Tree};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use thiserror::Error;

/// Paths to fetch first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Prefetch {
    /// None of them is equal to or below an earlier one.
    patterns: Vec<EntryPath>,
    known: HashSet<EntryPath>,
}

/// A line that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PrefetchError {
    /// It does not begin with a slash.
    #[error("line {line}: '{}' is not an absolute path", nydus_convert_rafs::display_bytes(text))]
    Relative {
        /// Its number, from 1.
        line: usize,
        /// The line.
        text: Vec<u8>,
    },
    /// No file can have this path.
    #[error("line {line}")]
    Path {
        /// Its number, from 1.
        line: usize,
        /// Why.
        source: PathError,
    },
}

/// A list of absolute paths; JSON has only those that are text.
impl Serialize for Prefetch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let paths = self.patterns.iter().map(|path| {
            let name = std::str::from_utf8(path.as_bytes()).map_err(ser::Error::custom)?;
            Ok(format!("/{name}"))
        });
        serializer.collect_seq(paths.collect::<Result<Vec<String>, S::Error>>()?)
    }
}

impl<'de> Deserialize<'de> for Prefetch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let paths: Vec<String> = Vec::deserialize(deserializer)?;
        Self::parse(paths.join("\n").as_bytes()).map_err(de::Error::custom)
    }
}

impl Prefetch {
    /// The paths in their order, of which none is equal to or below an earlier one.
    pub(crate) fn patterns(&self) -> &[EntryPath] {
        &self.patterns
    }

    /// Reads a list with one absolute path per line. Empty lines mean nothing.
    pub fn parse(list: &[u8]) -> Result<Self, PrefetchError> {
        let mut parsed = Self::default();
        for (line, text) in (1..).zip(list.split(|&byte| byte == b'\n')) {
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            if text.is_empty() {
                continue;
            }
            if !text.starts_with(b"/") {
                return Err(PrefetchError::Relative { line, text: text.to_vec() });
            }
            parsed.add(EntryPath::parse(text).map_err(|source| PrefetchError::Path { line, source })?);
        }
        Ok(parsed)
    }

    /// Adds a pattern behind the others, unless one of them covers it.
    pub fn add(&mut self, path: EntryPath) {
        if !self.covers(&path) {
            self.known.insert(path.clone());
            self.patterns.push(path);
        }
    }

    /// Whether nothing is to be fetched first.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether a pattern is the path or a directory above it.
    pub(crate) fn covers(&self, path: &EntryPath) -> bool {
        let mut at = (!self.is_empty()).then(|| path.clone());
        while let Some(path) = at {
            if self.known.contains(&path) {
                return true;
            }
            at = path.parent();
        }
        false
    }

    /// What the table of a bootstrap with this tree lists: each pattern's entry, in their order and once. A file
    /// without content is nothing to fetch.
    pub(crate) fn entries(&self, tree: &Tree) -> Vec<InodeId> {
        let mut seen = HashSet::new();
        let has_content = |id: &InodeId| !matches!(tree.inode(*id).kind, InodeKind::Regular { size: 0, .. });
        let found = self.patterns.iter().filter_map(|pattern| tree.get(pattern)).filter(has_content);
        found.filter(|id| seen.insert(*id)).collect()
    }

    /// Patterns that name nothing in this tree.
    pub(crate) fn unknown<'a>(&'a self, tree: &'a Tree) -> impl Iterator<Item = &'a EntryPath> {
        self.patterns.iter().filter(|pattern| tree.get(pattern).is_none())
    }

    /// All that the patterns cover in this tree, whatever its kind.
    pub(crate) fn covered(&self, tree: &Tree) -> HashSet<InodeId> {
        let mut covered = HashSet::new();
        let mut pending: Vec<InodeId> =
            self.patterns.iter().filter_map(|pattern| tree.get(pattern)).collect();
        while let Some(id) = pending.pop() {
            if covered.insert(id)
                && let Some(directory) = tree.directory(id)
            {
                pending.extend(directory.iter().map(|(_, child)| child));
            }
        }
        covered
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use nydus_convert_rafs::{Directory, Inode, Metadata};

    fn path(text: &str) -> EntryPath {
        EntryPath::parse(text.as_bytes()).unwrap()
    }

    fn parse(list: &str) -> Vec<String> {
        let parsed = Prefetch::parse(list.as_bytes()).unwrap();
        parsed.patterns.iter().map(EntryPath::to_string).collect()
    }

    #[test]
    fn lists() {
        assert_eq!(parse(""), [""; 0]);
        assert_eq!(parse("\n/b\n\r\n/a/./c/\r\n/b"), ["/b", "/a/c"]);
        // A path below an earlier one says nothing new; an earlier, deeper one comes first.
        assert_eq!(parse("/usr/bin/x\n/usr\n/usr/lib\n/us"), ["/usr/bin/x", "/usr", "/us"]);
        assert_eq!(parse("/\n/a"), ["/"]);
        assert_eq!(Prefetch::parse(b"/a\nb"), Err(PrefetchError::Relative { line: 2, text: b"b".to_vec() }));
        assert!(matches!(Prefetch::parse(b"/a\n\n/../b"), Err(PrefetchError::Path { line: 3, .. })));
    }

    #[test]
    fn what_is_covered() {
        let patterns = Prefetch::parse(b"/usr/bin\n/etc/x").unwrap();
        for inside in ["usr/bin", "usr/bin/a/b", "etc/x", "etc/x/y"] {
            assert!(patterns.covers(&path(inside)), "{inside}");
        }
        for outside in ["", "usr", "usr/bind", "etc", "etc/y"] {
            assert!(!patterns.covers(&path(outside)), "{outside}");
        }
        assert!(!Prefetch::default().covers(&path("")));
        assert!(Prefetch::parse(b"/").unwrap().covers(&path("any/thing")));
    }

    #[test]
    fn what_a_tree_has_of_it() {
        let mut tree = Tree::new();
        let mut put = |name: &str, kind| {
            let inode = Inode { metadata: Metadata::default(), kind };
            tree.insert(&path(name), inode).unwrap()
        };
        let regular = |size| InodeKind::Regular { size, chunks: Vec::new() };
        let dir = put("d", InodeKind::Directory(Directory::new(false)));
        let file = put("d/file", regular(7));
        let empty = put("empty", regular(0));
        let link = put("link", InodeKind::Symlink { target: b"d".to_vec().into() });
        tree.link(&path("other"), file).unwrap();

        let entries = |list: &str| Prefetch::parse(list.as_bytes()).unwrap().entries(&tree);
        assert_eq!(entries("/other\n/d\n/d/file\n/empty\n/link\n/link/file\n/none"), [file, dir, link]);
        assert_eq!(entries("/d/file\n/other"), [file]);
        let patterns = Prefetch::parse(b"/d\n/empty\n/none\n/link/file").unwrap();
        assert_eq!(patterns.covered(&tree), HashSet::from([dir, file, empty]));
        assert_eq!(patterns.unknown(&tree).collect::<Vec<_>>(), [&path("none"), &path("link/file")]);
    }
}
