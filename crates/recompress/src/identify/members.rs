//! The members of a stream, seen from outside: header, plain length, ending. Equal neighbours are one row.

use std::collections::BTreeMap;

use super::ending::Ending;

/// Rows that are kept; a layer of ten thousand files has about as many.
const MAX_ROWS: usize = 1 << 19;

/// Bytes of different headers that are kept.
const MAX_HEADERS: usize = 1 << 20;

/// Members that are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    pub count: u64,
    /// Place in [`Members::headers`].
    pub header: u32,
    pub plain_len: u64,
    pub ending: Ending,
}

#[derive(Debug, Default)]
pub(super) struct Members {
    pub rows: Vec<Row>,
    pub headers: Vec<Vec<u8>>,
    places: BTreeMap<Vec<u8>, u32>,
    header_bytes: usize,
    pub count: u64,
    /// Of them, those with plain bytes.
    pub with_plain: u64,
}

impl Members {
    /// Adds one; false when there are more than can be kept.
    pub fn push(&mut self, header: &[u8], plain_len: u64, ending: Ending) -> bool {
        let header = match self.places.get(header) {
            Some(&place) => place,
            None => {
                self.header_bytes += header.len();
                let place = self.headers.len() as u32;
                self.headers.push(header.to_vec());
                self.places.insert(header.to_vec(), place);
                place
            }
        };
        self.count += 1;
        self.with_plain += u64::from(plain_len > 0);
        match self.rows.last_mut() {
            Some(row) if (row.header, row.plain_len, row.ending) == (header, plain_len, ending) => {
                row.count += 1
            }
            _ => self.rows.push(Row { count: 1, header, plain_len, ending }),
        }
        self.rows.len() <= MAX_ROWS && self.header_bytes <= MAX_HEADERS
    }
}
