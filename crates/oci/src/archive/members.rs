//! The files of a tar: where each one is.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::compression::{Compression, decompress};
use crate::error::Error;
use crate::layout::io_error;
use crate::range::FileRange;
use crate::ustar::{self, BLOCK, Fields};

use super::{ArchiveError, Unpacking, shown};

/// Entries of an archive: a thousand images of a hundred layers.
const MAX_MEMBERS: u64 = 200_000;
/// Bytes of names of an archive together.
const MAX_NAMES: u64 = 32 << 20;
/// Bytes of the records in front of an entry: names and sizes that a header has no room for.
const MAX_RECORDS: u64 = 64 << 10;
/// Bytes of two files that are compared at a time.
const PART: usize = 64 << 10;
/// Links that are followed from one to the next.
const MAX_LINKS: usize = 8;

/// A tar that was looked through once.
pub(super) struct Members {
    path: PathBuf,
    file: Arc<File>,
    members: BTreeMap<Vec<u8>, Member>,
}

enum Member {
    File { start: u64, size: u64 },
    Link(Vec<u8>),
    Twice,
}

/// What the records in front of an entry say of it.
#[derive(Default)]
struct Ahead {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

impl Members {
    /// Looks through the archive at `path`. One that is compressed is decompressed into a file.
    pub fn open(path: &Path, unpacking: &Unpacking) -> Result<Self, Error> {
        let metadata = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ArchiveError::NotFound { path: path.to_owned() }.into());
            }
            other => other.map_err(io_error("read", path))?,
        };
        if !metadata.is_file() {
            return Err(ArchiveError::NotAFile { path: path.to_owned() }.into());
        }
        let file = File::open(path).map_err(io_error("read", path))?;
        Self::of(plain(file, path, unpacking)?, path)
    }

    /// Looks through a plain archive; `path` is its name in messages.
    pub fn of(file: File, path: &Path) -> Result<Self, Error> {
        let whole = FileRange::whole(file.try_clone().map_err(io_error("read", path))?);
        let scan = Scan { whole: whole.map_err(io_error("read", path))?, path };
        Ok(Self { path: path.to_owned(), members: scan.members()?, file: Arc::new(file) })
    }

    /// The archive's name in messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The content of a file; none if there is no such file.
    pub fn find(&self, name: &[u8]) -> Result<Option<FileRange>, ArchiveError> {
        let Some(mut at) = normal(name) else { return Ok(None) };
        for _ in 0..=MAX_LINKS {
            match self.members.get(&at) {
                None => return Ok(None),
                Some(Member::File { start, size }) => {
                    return Ok(Some(FileRange::new(Arc::clone(&self.file), *start, *size)));
                }
                Some(Member::Link(target)) => at.clone_from(target),
                Some(Member::Twice) => {
                    return Err(ArchiveError::Twice { path: self.path.clone(), name: shown(&at) });
                }
            }
        }
        Err(ArchiveError::Links { path: self.path.clone(), name: shown(name) })
    }

    /// Whether there is such a file, or one below.
    pub fn has(&self, name: &[u8]) -> bool {
        self.members.keys().any(|member| {
            member.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        })
    }

    /// The content of a file that must be there.
    pub fn get(&self, name: &[u8]) -> Result<FileRange, ArchiveError> {
        let missing = || ArchiveError::Missing { path: self.path.clone(), name: shown(name) };
        self.find(name)?.ok_or_else(missing)
    }

    /// The bytes of a small file; none if there is no such file.
    pub fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        let Some(range) = self.find(name.as_bytes())? else { return Ok(None) };
        read_small(&range, limit, &self.path.join(name)).map(Some)
    }

    /// Every file that is no link, with its content, in the order of names.
    pub fn files(&self) -> impl Iterator<Item = (&[u8], FileRange)> {
        self.members.iter().filter_map(|(name, member)| match member {
            Member::File { start, size } => {
                Some((name.as_slice(), FileRange::new(Arc::clone(&self.file), *start, *size)))
            }
            Member::Link(_) | Member::Twice => None,
        })
    }
}

/// The bytes of a range that is to be small.
pub(super) fn read_small(range: &FileRange, limit: u64, name: &Path) -> Result<Vec<u8>, Error> {
    if range.size() > limit {
        return Err(ArchiveError::TooMuch { path: name.to_owned(), what: "bytes", limit }.into());
    }
    let mut bytes = vec![0; usize::try_from(range.size()).unwrap_or_default()];
    range.read_exact_at(&mut bytes, 0).map_err(io_error("read", name))?;
    Ok(bytes)
}

/// The archive itself, or what it is compressed from.
fn plain(file: File, path: &Path, unpacking: &Unpacking) -> Result<File, Error> {
    let whole = FileRange::whole(file.try_clone().map_err(io_error("read", path))?);
    let whole = whole.map_err(io_error("read", path))?;
    let in_stream = |error: io::Error| match error.downcast::<crate::DecompressError>() {
        Ok(error) => Error::from(error),
        Err(error) => io_error("read", path)(error).into(),
    };
    let mut stream = decompress(whole.reader(), unpacking.limits()).map_err(in_stream)?;
    if stream.compression() == Compression::None {
        return Ok(file);
    }
    let mut spool =
        tempfile::tempfile_in(&unpacking.dir).map_err(io_error("create a file in", &unpacking.dir))?;
    io::copy(&mut stream, &mut spool).map_err(in_stream)?;
    Ok(spool)
}

struct Scan<'a> {
    whole: FileRange,
    path: &'a Path,
}

impl Scan<'_> {
    fn members(&self) -> Result<BTreeMap<Vec<u8>, Member>, Error> {
        let mut members = BTreeMap::new();
        let (mut at, mut count, mut names, mut ahead) = (0, 0, 0, Ahead::default());
        while let Some(header) = self.header(at)? {
            let start = at.saturating_add(BLOCK as u64);
            let size = match header.kind {
                b'1'..=b'6' => 0,
                b'x' | b'g' | b'L' | b'K' => header.size,
                _ => ahead.size.unwrap_or(header.size),
            };
            let end = start.checked_add(size).filter(|end| *end <= self.whole.size());
            let end = end.ok_or_else(|| self.truncated(at))?;
            match header.kind {
                b'x' => ahead.take_pax(&self.records(start, size)?),
                b'L' => ahead.path = Some(c_text(&self.records(start, size)?)),
                b'K' => ahead.link = Some(c_text(&self.records(start, size)?)),
                b'g' => {}
                _ => {
                    let Ahead { path, link, .. } = std::mem::take(&mut ahead);
                    let path = path.unwrap_or(header.path);
                    (count, names) = (count + 1, names + path.len() as u64);
                    self.within(count, MAX_MEMBERS, "entries")?;
                    self.within(names, MAX_NAMES, "bytes of names")?;
                    let member = member(header.kind, &path, &link.unwrap_or(header.link), (start, size));
                    if let (Some(name), Some(member)) = (normal(&path), member) {
                        self.add(&mut members, name, member)?;
                    }
                }
            }
            at = end.next_multiple_of(BLOCK as u64);
        }
        Ok(members)
    }

    /// A name that comes again must be the same again: which of two an engine takes depends on the engine.
    fn add(
        &self,
        members: &mut BTreeMap<Vec<u8>, Member>,
        name: Vec<u8>,
        member: Member,
    ) -> Result<(), Error> {
        let member = match (members.get(&name), member) {
            (Some(known), member) if !self.are_equal(known, &member)? => Member::Twice,
            (_, member) => member,
        };
        members.insert(name, member);
        Ok(())
    }

    fn are_equal(&self, one: &Member, other: &Member) -> Result<bool, Error> {
        match (one, other) {
            (Member::Link(one), Member::Link(other)) => Ok(one == other),
            (Member::File { start, size }, Member::File { start: again, size: as_much })
                if size == as_much =>
            {
                Ok(self.same_bytes(*start, *again, *size).map_err(io_error("read", self.path))?)
            }
            _ => Ok(false),
        }
    }

    fn same_bytes(&self, one: u64, other: u64, size: u64) -> io::Result<bool> {
        let mut parts = [vec![0; PART], vec![0; PART]];
        for at in (0..size).step_by(PART) {
            let length = (size - at).min(PART as u64) as usize;
            for (part, start) in parts.iter_mut().zip([one, other]) {
                part.truncate(length);
                self.whole.read_exact_at(part, start + at)?;
            }
            if parts[0] != parts[1] {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The header at `at`; none at the end of the archive, whether marked or not.
    fn header(&self, at: u64) -> Result<Option<Fields>, Error> {
        let mut block = [0; BLOCK];
        if at >= self.whole.size() {
            // Nothing at all is no archive.
            return if at == 0 { Err(self.not_a_tar(0)) } else { Ok(None) };
        }
        if self.whole.size() - at < BLOCK as u64 {
            return Err(self.truncated(at));
        }
        self.whole.read_exact_at(&mut block, at).map_err(io_error("read", self.path))?;
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        ustar::fields(&block).map(Some).ok_or_else(|| self.not_a_tar(at))
    }

    fn records(&self, start: u64, size: u64) -> Result<Vec<u8>, Error> {
        read_small(&self.whole.part(start, size), MAX_RECORDS, self.path)
    }

    fn within(&self, value: u64, limit: u64, what: &'static str) -> Result<(), ArchiveError> {
        let path = || self.path.to_owned();
        if value <= limit { Ok(()) } else { Err(ArchiveError::TooMuch { path: path(), what, limit }) }
    }

    fn truncated(&self, offset: u64) -> Error {
        ArchiveError::Truncated { path: self.path.to_owned(), offset }.into()
    }

    fn not_a_tar(&self, offset: u64) -> Error {
        ArchiveError::NotATar { path: self.path.to_owned(), offset }.into()
    }
}

/// What an entry is for us: a file, a link inside the archive, or nothing.
fn member(kind: u8, path: &[u8], link: &[u8], (start, size): (u64, u64)) -> Option<Member> {
    match kind {
        // Old tars have directories that are files with a slash.
        b'0' | 0 | b'7' if !path.ends_with(b"/") => Some(Member::File { start, size }),
        b'1' => normal(link).map(Member::Link),
        b'2' if !link.starts_with(b"/") => {
            let parent = path.iter().rposition(|byte| *byte == b'/').and_then(|slash| path.get(..slash));
            let joined = [parent.unwrap_or_default(), b"/", link].concat();
            normal(joined.strip_prefix(b"/").unwrap_or(&joined)).map(Member::Link)
        }
        _ => None,
    }
}

/// A name without `.`, `..`, and slashes in front or doubled, as `docker load` compares them; none for one that leaves the
/// archive, or is the archive.
fn normal(name: &[u8]) -> Option<Vec<u8>> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    if parts.is_empty() { None } else { Some(parts.join(&b'/')) }
}

impl Ahead {
    /// Takes `LENGTH KEY=VALUE\n` records. What is malformed says nothing: the entry keeps what its header says.
    fn take_pax(&mut self, mut records: &[u8]) {
        while let Some((key, value, rest)) = pax_record(records) {
            match key {
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"size" => self.size = decimal(value).or(self.size),
                _ => {}
            }
            records = rest;
        }
    }
}

/// The first record: key, value, and what follows.
fn pax_record(records: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = records.iter().position(|byte| *byte == b' ')?;
    let length = usize::try_from(decimal(records.get(..space)?)?).ok()?;
    let body = records.get(space.checked_add(1)?..length)?.strip_suffix(b"\n")?;
    let equals = body.iter().position(|byte| *byte == b'=')?;
    Some((body.get(..equals)?, body.get(equals.checked_add(1)?..)?, records.get(length..)?))
}

fn decimal(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Bytes up to a NUL.
fn c_text(bytes: &[u8]) -> Vec<u8> {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Write as _;

    fn scan(bytes: &[u8]) -> Result<Members, Error> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Members::of(file, Path::new("a.tar"))
    }

    fn sample() -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut add = |kind, name: &str, link: &str, content: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            if link.is_empty() {
                builder.append_data(&mut header, name, content).unwrap();
            } else {
                builder.append_link(&mut header, name, link).unwrap();
            }
        };
        let (file, link) = (tar::EntryType::Regular, tar::EntryType::Symlink);
        add(file, "./a/layer.tar", "", b"content");
        add(link, "b/layer.tar", "../a/layer.tar", b"");
        add(link, "c/layer.tar", "../../a/layer.tar", b"");
        add(link, "d", "/etc/passwd", b"");
        add(tar::EntryType::Link, "e", "a/layer.tar", b"");
        add(link, "f", "g", b"");
        add(link, "g", "f", b"");
        add(file, "twice", "", b"1");
        add(file, "./twice", "", b"2");
        add(file, &"long/".repeat(40), "", b"");
        add(file, &"n".repeat(300), "", b"long name");
        builder.into_inner().unwrap()
    }

    #[test]
    fn names_links_and_doubles() {
        let members = scan(&sample()).unwrap();
        for name in ["a/layer.tar", "./a//layer.tar", "/a/layer.tar", "b/layer.tar", "x/../e"] {
            assert_eq!(members.read(name, 100).unwrap().unwrap(), b"content", "{name}");
        }
        for name in ["c/layer.tar", "d", "", ".", "..", "/../a/layer.tar", "../a/layer.tar", "a"] {
            assert!(members.read(name, 100).unwrap().is_none(), "{name}");
        }
        assert_eq!(members.read(&"n".repeat(300), 100).unwrap().unwrap(), b"long name");
        assert!(matches!(members.find(b"f"), Err(ArchiveError::Links { .. })));
        assert!(matches!(members.find(b"twice"), Err(ArchiveError::Twice { .. })));
        assert!(members.read("a/layer.tar", 6).is_err());
        // What is listed is there.
        let mut last = [0];
        for (_, range) in members.files().filter(|(_, range)| range.size() > 0) {
            range.read_exact_at(&mut last, range.size() - 1).unwrap();
        }
    }

    #[test]
    fn pax_names_and_sizes() {
        let mut tar = Vec::new();
        let records = b"30 path=blobs/sha256/some-name\n12 size=600\n";
        let records = [&b"31"[..], &records[2..]].concat();
        tar.extend_from_slice(&ustar::header("x", b'x', 0o644, records.len() as u64));
        tar.extend_from_slice(&records);
        tar.resize(2 * BLOCK, 0);
        tar.extend_from_slice(&ustar::header("short", b'0', 0o644, 1));
        tar.resize(5 * BLOCK, b'y');
        tar.extend_from_slice(&[0; 2 * BLOCK]);
        let members = scan(&tar).unwrap();
        assert_eq!(members.get(b"blobs/sha256/some-name").unwrap().size(), 600);
        assert!(members.find(b"short").unwrap().is_none());
    }

    #[test]
    fn cut_off_anywhere() {
        let whole = sample();
        let all = scan(&whole).unwrap().members.len();
        for cut in (0..whole.len()).step_by(97) {
            match scan(&whole[..cut]) {
                Ok(members) => assert!(members.members.len() <= all),
                Err(error) => assert!(
                    matches!(&error, Error::Archive(inner) if matches!(**inner, ArchiveError::NotATar { .. } | ArchiveError::Truncated { .. })),
                    "{error}"
                ),
            }
        }
        assert!(scan(b"no tar at all").is_err());
        let mut huge = ustar::header("x", b'0', 0o644, u64::MAX).to_vec();
        huge.resize(4 * BLOCK, 0);
        assert!(matches!(scan(&huge), Err(Error::Archive(_))));
    }
}
