//! The records of all layers of an image whose blobs have no place for them.
//!
//! ```text
//!   "NCLAYRS\0" │ version u32 │ number of layers u32 │ record …      in the order of the layers
//! ```
//! Each is a layer record with its length (u64) in front.

use super::bytes::{Fields, begin, put};
use super::{LayerRecord, RecordError};

const MAGIC: &[u8; 8] = b"NCLAYRS\0";
const WHAT: &str = "list of layer records";

/// The bytes of the file.
pub fn write<'a>(records: impl ExactSizeIterator<Item = &'a LayerRecord>) -> Vec<u8> {
    let mut list = begin(MAGIC);
    // An image has a few hundred layers at most.
    list.extend((records.len() as u32).to_le_bytes());
    records.for_each(|record| put(&mut list, &record.write()));
    list
}

/// Reads the file.
pub fn parse(list: &[u8]) -> Result<Vec<LayerRecord>, RecordError> {
    let mut fields = Fields::open(WHAT, MAGIC, list)?;
    let mut records = Vec::new();
    for _ in 0..fields.u32("the number of layers")? {
        records.push(LayerRecord::parse(fields.bytes("a record")?)?);
    }
    fields.end()?;
    Ok(records)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::remembered::Stored;
    use nydus_convert_oci::{DiffId, Digest};

    #[test]
    fn come_back() {
        let record = |name: &[u8]| LayerRecord {
            diff_id: DiffId(Digest::sha256(name)),
            tar_size: 10_240,
            digest: Digest::sha256(b"layer"),
            size: 1234,
            tar: Vec::new(),
            stored: Stored::Unknown,
        };
        let records = [record(b"one"), record(b"two")];
        let list = write(records.iter());
        assert_eq!(parse(&list).unwrap(), records);
        for end in 0..list.len() {
            parse(&list[..end]).unwrap_err();
        }
        parse(&[&list[..], b"x"].concat()).unwrap_err();
    }
}
