//! Blob metadata: section headers, tables of contents, and chunk information from any bytes.

use nydus_convert_rafs::dump;
use nydus_convert_rafs::meta::{ci, section, toc};

/// Panics if `bytes` break the promise above.
pub fn check(bytes: &[u8]) {
    if let Some(header) = bytes.first_chunk::<{ section::HEADER_LEN }>()
        && let Ok(parsed) = section::parse(header)
    {
        let again = section::parse(&section::write(&parsed.name, parsed.size)).expect("a header");
        assert_eq!(again, parsed);
    }
    if let Ok(entries) = toc::parse(bytes) {
        assert_eq!(toc::parse(&toc::write(&entries).expect("entries")).expect("a table"), entries);
        assert_eq!(dump::toc(&entries).to_string().lines().count(), entries.len());
    }
    // The payload lies before its header, as in a blob.
    if let Some((payload, header)) = bytes.split_last_chunk::<{ ci::HEADER_LEN }>()
        && let Ok(header) = ci::CiHeader::parse(header)
    {
        assert_eq!(ci::CiHeader::parse(&header.write()).expect("a header"), header);
        if let Ok(all) = ci::parse(payload, &header) {
            assert_eq!(all.chunks.len(), header.entries as usize);
            assert!(all.members.iter().all(|member| (member.batch as usize) < all.batches.len()));
            let shown = dump::batches(&all).to_string().lines().count();
            assert_eq!(shown, all.batches.len() + all.members.len());
        }
        if let Ok(chunks) = ci::parse_entries(payload, &header) {
            assert_eq!(chunks.len(), header.entries as usize);
            assert!(!dump::chunk_information(&header, &chunks).to_string().is_empty());
            if payload.len() == 16 * chunks.len() {
                assert_eq!(
                    ci::parse_entries(&ci::write_entries(&chunks).expect("entries"), &header),
                    Ok(chunks)
                );
            }
        }
    }
}
