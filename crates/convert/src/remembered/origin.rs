//! What an image was before: its manifest and config as they were, and the indexes that list it.
//!
//! ```text
//!   "NCORIGN\0" │ version u32 │ plain length u64 │ zstd frame of:
//!     media type │ manifest │ config │ number of indexes u32 │ (media type │ index)…      the outermost index first
//! ```
//! Texts and bytes have their length (u64) in front. Bytes are verbatim, since digests and signatures are over bytes.

use nydus_convert_oci::image::{MAX_CONFIG, MAX_MANIFEST};

use super::RecordError;
use super::bytes::{Fields, begin, put};

const MAGIC: &[u8; 8] = b"NCORIGN\0";
const WHAT: &str = "image record";
/// Manifest, config and every index of a chain may each be as long as any that is read.
const MAX_PLAIN: u64 = MAX_MANIFEST * 5 + MAX_CONFIG;
/// Small inputs: the slowest level costs nothing.
const ZSTD_LEVEL: i32 = 19;
/// Bytes of indexes from which on they are of hundreds of images, which each remember them: a fast level, or all together take the
/// square of their number.
const LARGE_INDEXES: usize = 64 << 10;
const ZSTD_LEVEL_OF_LARGE: i32 = 1;

/// The record of one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Media type of the manifest.
    pub media_type: String,
    /// The manifest.
    pub manifest: Vec<u8>,
    /// The config.
    pub config: Vec<u8>,
    /// The indexes on the way to the manifest, the outermost first; none if an image was converted by itself.
    pub indexes: Vec<OriginIndex>,
}

/// An index on the way to an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginIndex {
    /// Its media type.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Origin {
    /// The bytes of the file. Fails only if the compression library does.
    pub fn write(&self) -> std::io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        put(&mut plain, self.media_type.as_bytes());
        put(&mut plain, &self.manifest);
        put(&mut plain, &self.config);
        plain.extend((self.indexes.len() as u32).to_le_bytes());
        for index in &self.indexes {
            put(&mut plain, index.media_type.as_bytes());
            put(&mut plain, &index.bytes);
        }
        let mut record = begin(MAGIC);
        record.extend((plain.len() as u64).to_le_bytes());
        let indexes: usize = self.indexes.iter().map(|index| index.bytes.len()).sum();
        let level = if indexes < LARGE_INDEXES { ZSTD_LEVEL } else { ZSTD_LEVEL_OF_LARGE };
        record.extend(zstd::bulk::compress(&plain, level)?);
        Ok(record)
    }

    /// Reads the file.
    pub fn parse(record: &[u8]) -> Result<Self, RecordError> {
        let mut outer = Fields::open(WHAT, MAGIC, record)?;
        let length = outer.u64("its length")?;
        let limit = MAX_PLAIN;
        let capacity = usize::try_from(length).ok().filter(|_| length <= limit);
        let capacity = capacity.ok_or(RecordError::TooLarge { what: WHAT, limit })?;
        let damaged = outer.damaged("its zstd frame");
        let plain = unpack(outer.rest(), capacity).ok_or(damaged)?;
        let mut fields = Fields::new(WHAT, &plain);
        let media_type = fields.text("the media type")?.to_owned();
        let manifest = fields.bytes("the manifest")?.to_vec();
        let config = fields.bytes("the config")?.to_vec();
        let mut indexes = Vec::new();
        for _ in 0..fields.u32("the number of indexes")? {
            let media_type = fields.text("an index's media type")?.to_owned();
            indexes.push(OriginIndex { media_type, bytes: fields.bytes("an index")?.to_vec() });
        }
        fields.end()?;
        Ok(Self { media_type, manifest, config, indexes })
    }
}

/// The content of a frame of exactly `length` bytes; memory grows with what really comes out.
fn unpack(frame: &[u8], length: usize) -> Option<Vec<u8>> {
    use std::io::Read as _;
    let mut plain = Vec::new();
    let decoder = zstd::stream::read::Decoder::with_buffer(frame).ok()?;
    decoder.take(length as u64 + 1).read_to_end(&mut plain).ok()?;
    (plain.len() == length).then_some(plain)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn origin() -> Origin {
        let index = |bytes: &[u8]| OriginIndex { media_type: "index".to_owned(), bytes: bytes.to_vec() };
        Origin {
            media_type: "manifest".to_owned(),
            manifest: b"{ \"odd\":   1 }\n".to_vec(),
            config: b"{}".repeat(1000),
            indexes: vec![index(b"outer"), index(b"")],
        }
    }

    #[test]
    fn come_back() {
        for origin in [origin(), Origin { indexes: Vec::new(), ..origin() }] {
            let bytes = origin.write().unwrap();
            assert_eq!(Origin::parse(&bytes).unwrap(), origin);
        }
    }

    #[test]
    fn damage_is_an_error_or_another_record() {
        let bytes = origin().write().unwrap();
        for end in 0..bytes.len() {
            Origin::parse(&bytes[..end]).unwrap_err();
        }
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                let _ = Origin::parse(&damaged).map(|other| other.write().unwrap());
            }
        }
        let mut huge = bytes;
        huge[12..20].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(Origin::parse(&huge), Err(RecordError::TooLarge { what: WHAT, limit: MAX_PLAIN }));
    }
}
