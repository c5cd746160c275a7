//! Zran tables: the reader takes any bytes, and what it accepts is safe to use, and can be written and read again.

use nydus_convert_rafs::dump;
use nydus_convert_rafs::meta::ci::{CiHeader, CiTable};
use nydus_convert_rafs::meta::zran::{self, MAX_DICTIONARY};
use nydus_convert_rafs::{BlobFeatures, CiLocation};

/// Panics if `bytes` break the promise above. The first two are the numbers of chunks and of contexts.
pub fn check(bytes: &[u8]) {
    let Some(([entries, contexts], payload)) = bytes.split_first_chunk() else { return };
    let (entries, size) = (u32::from(*entries), payload.len() as u64);
    let offset = 24 * u64::from(entries);
    let header = CiHeader {
        features: BlobFeatures::CHUNK_INFO_V2 | BlobFeatures::ZRAN,
        entries,
        location: CiLocation { uncompressed_size: size, ..CiLocation::default() },
        table: CiTable { offset, size: size.saturating_sub(offset), entries: u32::from(*contexts) },
    };
    let Ok(read) = zran::parse(payload, &header) else { return };
    assert_eq!((read.chunks.len(), read.places.len()), (entries as usize, entries as usize));
    for (chunk, place) in read.chunks.iter().zip(&read.places) {
        let (context, dictionary) = read.context(place.context).expect("a context");
        assert!(u64::from(place.offset) + u64::from(chunk.uncompressed_size) <= context.out_len.into());
        assert!(dictionary.len() <= MAX_DICTIONARY as usize && context.bits < 8);
    }
    let shown = dump::zran(&read).to_string().lines().count();
    assert_eq!(shown, read.contexts.len() + read.places.len());
    let (written, table) = zran::write(&read).expect("what is read is written");
    assert_eq!((table, written.len()), (header.table, payload.len()));
    assert_eq!(zran::parse(&written, &header).expect("what is written is read"), read);
}
