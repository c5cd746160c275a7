//! The path of an entry: raw bytes relative to the root, in one normal form.

use std::fmt;

use thiserror::Error;

use crate::display_bytes;

/// A path below the root of a layer, in normal form: components joined by `/`, no leading or trailing slash, none of
/// them empty, `.` or `..`, no NUL byte. The root itself is the empty path. Bytes need not be UTF-8.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct EntryPath(Vec<u8>);

/// Why bytes are not a path below the root.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PathError {
    /// A `..` component: it could leave the root.
    #[error("the path '{}' contains '..'", display_bytes(path))]
    ParentComponent {
        /// The path as it stood in the source.
        path: Vec<u8>,
    },
    /// More `..` components than others before them.
    #[error("the path '{}' leads out of the root", display_bytes(path))]
    LeavesRoot {
        /// The path as it stood in the source.
        path: Vec<u8>,
    },
    /// A NUL byte, which no file name can hold.
    #[error("the path '{}' contains a NUL byte", display_bytes(path))]
    Nul {
        /// The path as it stood in the source.
        path: Vec<u8>,
    },
}

impl EntryPath {
    /// The root directory.
    pub const fn root() -> Self {
        Self(Vec::new())
    }

    /// Brings a raw name to normal form. A leading `/` is dropped: absolute names are taken from the root.
    pub fn parse(raw: &[u8]) -> Result<Self, PathError> {
        if raw.contains(&0) {
            return Err(PathError::Nul { path: raw.to_vec() });
        }
        let mut path = Vec::with_capacity(raw.len());
        for component in raw.split(|&byte| byte == b'/') {
            match component {
                b"" | b"." => continue,
                b".." => return Err(PathError::ParentComponent { path: raw.to_vec() }),
                _ => push_component(&mut path, component),
            }
        }
        Ok(Self(path))
    }

    /// Brings a raw name to normal form as engines that unpack layers do it: by the text alone, `..` takes away the component
    /// before it. A name that leaves the root is an error.
    pub fn clean(raw: &[u8]) -> Result<Self, PathError> {
        if raw.contains(&0) {
            return Err(PathError::Nul { path: raw.to_vec() });
        }
        let mut components = Vec::new();
        for component in raw.split(|&byte| byte == b'/') {
            match component {
                b"" | b"." => {}
                b".." => {
                    components.pop().ok_or_else(|| PathError::LeavesRoot { path: raw.to_vec() })?;
                }
                name => components.push(name),
            }
        }
        Ok(Self(components.join(&b'/')))
    }

    /// The bytes, without a leading slash.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The components, outermost first.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0.split(|&byte| byte == b'/').filter(|component| !component.is_empty())
    }

    /// The last component; `None` for the root.
    pub fn file_name(&self) -> Option<&[u8]> {
        self.components().next_back()
    }

    /// The directory that holds the entry; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        let name = self.file_name()?;
        let end = self.0.len() - name.len();
        Some(Self(self.0[..end.saturating_sub(1)].to_vec()))
    }

    /// The path of the child `name`, which must be one component in normal form.
    pub fn join(&self, name: &[u8]) -> Self {
        debug_assert!(!name.is_empty() && !name.contains(&b'/'));
        let mut path = Vec::with_capacity(self.0.len() + 1 + name.len());
        path.extend_from_slice(&self.0);
        push_component(&mut path, name);
        Self(path)
    }
}

fn push_component(path: &mut Vec<u8>, component: &[u8]) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(component);
}

impl fmt::Display for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", display_bytes(&self.0))
    }
}

impl fmt::Debug for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn cleaning() {
        for (raw, clean) in [
            (&b"a/../b"[..], Some("b")),
            (b"./../x", None),
            (b"/./a//b/", Some("a/b")),
            (b"a/b/../../c", Some("c")),
            (b"a/..", Some("")),
            (b"..", None),
            (b"a/../../b", None),
            (b"a/..b/...", Some("a/..b/...")),
            (b"", Some("")),
        ] {
            let path = EntryPath::clean(raw).ok();
            assert_eq!(
                path.as_ref().map(EntryPath::as_bytes),
                clean.map(str::as_bytes),
                "{}",
                raw.escape_ascii()
            );
        }
    }

    #[test]
    fn normal_form() {
        for (raw, normal) in [
            (&b""[..], &b""[..]),
            (b"/", b""),
            (b"./", b""),
            (b".", b""),
            (b"./usr//bin/./ls", b"usr/bin/ls"),
            (b"/etc/", b"etc"),
            (b"a/..b/c..", b"a/..b/c.."),
            (b"\xff/\n", b"\xff/\n"),
        ] {
            assert_eq!(EntryPath::parse(raw).unwrap().as_bytes(), normal);
        }
        for raw in [&b".."[..], b"../x", b"a/../b", b"a/..", b"/.."] {
            assert!(matches!(EntryPath::parse(raw), Err(PathError::ParentComponent { .. })));
        }
        assert!(matches!(EntryPath::parse(b"a\0b"), Err(PathError::Nul { .. })));
    }

    #[test]
    fn walking_up_and_down() {
        let path = EntryPath::parse(b"usr/lib/x").unwrap();
        assert_eq!(path.file_name(), Some(&b"x"[..]));
        let parent = path.parent().unwrap();
        assert_eq!(parent.as_bytes(), b"usr/lib");
        assert_eq!(parent.join(b"x"), path);
        assert_eq!(EntryPath::parse(b"usr").unwrap().parent().unwrap(), EntryPath::root());
        assert_eq!(EntryPath::root().parent(), None);
        assert_eq!(EntryPath::root().to_string(), "/");
        assert_eq!(path.to_string(), "/usr/lib/x");
    }
}
