//! Sparse files: a map of the segments that are stored, in four spellings, and its expansion.
//!
//! ```text
//! old GNU   type 'S'; 4 segments in the header, 21 in each extension block behind it; numbers as in headers
//! PAX 0.0   GNU.sparse.offset, GNU.sparse.numbytes, GNU.sparse.offset, … records
//! PAX 0.1   GNU.sparse.map=offset,length,offset,length,…
//! PAX 1.0   in front of the content, filled up to whole blocks: count LF offset LF length LF …
//!
//! stored   │aaaa│bb│
//! map      (4,4) (12,2), size 16
//! file     │0000│aaaa│0000│bb│00│
//! ```

use crate::error::SparseError;
use crate::header::SparseTable;
use crate::number::{decimal, header_number};
use crate::pax::{Key, Pax};

/// How an entry tells of its sparse map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Type `S`.
    OldGnu,
    /// PAX records with the map: versions 0.0 and 0.1.
    Records,
    /// The map precedes the content: version 1.0.
    Inline,
}

/// One stored stretch of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Segment {
    /// Where it belongs in the file.
    offset: u64,
    length: u64,
}

/// The segments as they come in, not checked yet.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Segments(Vec<Segment>);

/// Walks a sparse file from its beginning: what comes next, and how much of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Expansion {
    segments: Vec<Segment>,
    size: u64,
    /// The segment at or after `position`.
    index: usize,
    position: u64,
}

/// What comes next in a file, with its length, which is not 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Hole(u64),
    Data(u64),
    End,
}

impl Form {
    /// What the PAX records say; `None`: not sparse. Writers of 0.0 and 0.1 may leave the version out; then, as in Go,
    /// there must be a segment.
    pub fn of(pax: &Pax) -> Result<Option<Self>, SparseError> {
        match (pax.value(Key::SparseMajor), pax.value(Key::SparseMinor)) {
            (Some(b"1"), Some(b"0")) => Ok(Some(Self::Inline)),
            (Some(b"0"), Some(b"0" | b"1")) => Ok(Some(Self::Records)),
            (None, None) => {
                let has_map = pax.value(Key::SparseMap).is_some() || pax.sparse_segments().len() > 0;
                Ok(has_map.then_some(Self::Records))
            }
            _ => Err(SparseError::Version),
        }
    }
}

impl Segments {
    fn push(&mut self, offset: Option<i64>, length: Option<i64>) -> Result<(), SparseError> {
        let number = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
        let (offset, length) = number(offset).zip(number(length)).ok_or(SparseError::Malformed)?;
        self.0.push(Segment { offset, length });
        Ok(())
    }

    /// Adds the segments in a GNU header or extension block.
    pub fn push_table(&mut self, table: &SparseTable<'_>) -> Result<(), SparseError> {
        table
            .entries()
            .try_for_each(|(offset, length)| self.push(header_number(offset), header_number(length)))
    }

    /// The map in PAX records, version 0.0 or 0.1.
    pub fn from_records(pax: &Pax) -> Result<Self, SparseError> {
        let pairs = pax.sparse_segments();
        let segments = if pairs.len() > 0 {
            Self::from_pairs(pairs)?
        } else {
            let map = pax.value(Key::SparseMap);
            map.map_or(Ok(Self::default()), |map| Self::from_pairs(map.split(|&byte| byte == b',')))?
        };
        let announced = pax.value(Key::SparseCount).map(decimal);
        match announced {
            Some(count) if count != i64::try_from(segments.0.len()).ok() => Err(SparseError::Malformed),
            _ => Ok(segments),
        }
    }

    fn from_pairs<'a>(mut numbers: impl Iterator<Item = &'a [u8]>) -> Result<Self, SparseError> {
        let mut segments = Self::default();
        while let Some(offset) = numbers.next() {
            segments.push(decimal(offset), numbers.next().and_then(decimal))?;
        }
        Ok(segments)
    }

    /// The map in front of the content, version 1.0, given whole.
    pub fn from_inline(map: &[u8]) -> Result<Self, SparseError> {
        let mut lines = map.split(|&byte| byte == b'\n');
        let count = lines.next().and_then(inline_count).ok_or(SparseError::Malformed)?;
        let mut segments = Self::default();
        for _ in 0..count {
            segments.push(lines.next().and_then(decimal), lines.next().and_then(decimal))?;
        }
        Ok(segments)
    }

    /// Checks the map against the size of the file and the bytes stored for it.
    pub fn expand(self, size: u64, stored: u64) -> Result<Expansion, SparseError> {
        let mut end = 0;
        let mut mapped = 0;
        for (index, segment) in self.0.iter().enumerate() {
            let next = segment.offset.checked_add(segment.length);
            let fits = next.filter(|next| segment.offset >= end && *next <= size);
            end = fits.ok_or(SparseError::Segment { segment: index })?;
            // Disjoint stretches of one file: the sum is at most its size.
            mapped += segment.length;
        }
        if mapped != stored {
            return Err(SparseError::Stored { mapped, stored });
        }
        Ok(Expansion { segments: self.0, size, index: 0, position: 0 })
    }
}

/// Lines of an inline map whose first line is given, the first included. `None` if it is no count.
pub(crate) fn inline_lines(first: &[u8]) -> Option<u64> {
    inline_count(first)?.checked_mul(2)?.checked_add(1)
}

fn inline_count(line: &[u8]) -> Option<u64> {
    decimal(line).and_then(|count| u64::try_from(count).ok())
}

impl Expansion {
    /// Bytes of the file, holes included.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// What stands at the present position.
    pub fn next(&mut self) -> Next {
        while let Some(segment) = self.segments.get(self.index) {
            let end = segment.offset + segment.length;
            if self.position < segment.offset {
                return Next::Hole(segment.offset - self.position);
            }
            if self.position < end {
                return Next::Data(end - self.position);
            }
            self.index += 1;
        }
        if self.position < self.size { Next::Hole(self.size - self.position) } else { Next::End }
    }

    /// Where the walk stands, for [`Expansion::rewind`].
    pub const fn mark(&self) -> (usize, u64) {
        (self.index, self.position)
    }

    /// Goes back to where the walk stood.
    pub const fn rewind(&mut self, (index, position): (usize, u64)) {
        self.index = index;
        self.position = position;
    }

    /// Moves on within what [`Expansion::next`] gave.
    pub const fn advance(&mut self, count: u64) {
        self.position += count;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn segments(pairs: &[(u64, u64)]) -> Segments {
        Segments(pairs.iter().map(|&(offset, length)| Segment { offset, length }).collect())
    }

    #[test]
    fn maps_must_fit_the_file() {
        let max = u64::MAX;
        for (map, size, stored, result) in [
            (&[][..], 0, 0, Ok(())),
            (&[], 100, 0, Ok(())),
            (&[(0, 10)], 10, 10, Ok(())),
            (&[(0, 4), (4, 4), (100, 0)], 100, 8, Ok(())),
            (&[(5, 0), (5, 0), (5, 5)], 10, 5, Ok(())),
            (&[(0, 11)], 10, 11, Err(SparseError::Segment { segment: 0 })),
            (&[(11, 0)], 10, 0, Err(SparseError::Segment { segment: 0 })),
            (&[(0, 4), (3, 4)], 10, 8, Err(SparseError::Segment { segment: 1 })),
            (&[(4, 4), (0, 4)], 10, 8, Err(SparseError::Segment { segment: 1 })),
            (&[(0, 4), (0, 4)], 10, 8, Err(SparseError::Segment { segment: 1 })),
            (&[(1, max)], max, 0, Err(SparseError::Segment { segment: 0 })),
            (&[(0, max)], max, max, Ok(())),
            (&[(0, 4)], 10, 5, Err(SparseError::Stored { mapped: 4, stored: 5 })),
            (&[(0, 4)], 10, 3, Err(SparseError::Stored { mapped: 4, stored: 3 })),
        ] {
            assert_eq!(segments(map).expand(size, stored).map(drop), result, "{map:?} {size}");
        }
    }

    #[test]
    fn expansion_alternates() {
        let mut expansion = segments(&[(4, 4), (8, 2), (12, 0), (12, 2)]).expand(16, 8).unwrap();
        let mut seen = Vec::new();
        loop {
            let next = expansion.next();
            seen.push(next);
            match next {
                Next::Hole(count) | Next::Data(count) => expansion.advance(count),
                Next::End => break,
            }
        }
        let (hole, data) = (Next::Hole, Next::Data);
        assert_eq!(seen, [hole(4), data(4), data(2), hole(2), data(2), hole(2), Next::End]);
    }

    #[test]
    fn inline_maps() {
        for (map, result) in [
            (&b"0\n\0\0"[..], Ok(segments(&[]))),
            (b"2\n0\n5\n10\n1\n\0", Ok(segments(&[(0, 5), (10, 1)]))),
            (b"1\n0\n5\n99\n", Ok(segments(&[(0, 5)]))),
            (b"2\n0\n5\n10\n", Err(SparseError::Malformed)),
            (b"x\n", Err(SparseError::Malformed)),
            (b"-1\n", Err(SparseError::Malformed)),
            (b"1\n-1\n5\n", Err(SparseError::Malformed)),
            (b"1\n0\n9223372036854775808\n", Err(SparseError::Malformed)),
        ] {
            assert_eq!(Segments::from_inline(map), result, "{}", map.escape_ascii());
        }
        assert_eq!(inline_lines(b"3"), Some(7));
        assert_eq!(inline_lines(b"9223372036854775807"), Some(u64::MAX));
        assert_eq!(inline_lines(b"-1"), None);
        assert_eq!(inline_lines(b""), None);
    }
}
