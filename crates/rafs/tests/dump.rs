//! Snapshots of text dumps: of golden files, and of an image that holds a bit of everything.
#![allow(clippy::unwrap_used)]

mod support;

use nydus_convert_rafs::meta::{ci, section, toc};
use nydus_convert_rafs::{dump, v6};

#[test]
fn golden_bootstraps() {
    let mixed = include_bytes!("golden/mixed.boot");
    insta::assert_snapshot!("mixed", dump::bootstrap(mixed).unwrap());
    insta::assert_snapshot!("merged", dump::bootstrap(include_bytes!("golden/merged.boot")).unwrap());
    insta::assert_snapshot!("bare", dump::bootstrap(include_bytes!("golden/bare.boot")).unwrap());
    insta::assert_snapshot!("v5_mixed", dump::bootstrap(include_bytes!("golden/v5-mixed.boot")).unwrap());
    insta::assert_snapshot!("v5_merged", dump::bootstrap(include_bytes!("golden/v5-merged.boot")).unwrap());
}

#[test]
fn written_bootstrap() {
    let image = support::sample();
    let mut bytes = Vec::new();
    v6::write(&image, &mut bytes).unwrap();
    insta::assert_snapshot!("sample", dump::bootstrap(&bytes).unwrap());
    insta::assert_snapshot!("sample_in_memory", dump::image(&image));
}

#[test]
fn golden_blob() {
    let blob = include_bytes!("golden/upper.blob");
    let (body, header) = blob.split_last_chunk::<{ section::HEADER_LEN }>().unwrap();
    let table = &body[body.len() - section::parse(header).unwrap().size as usize..];
    let entries = toc::parse(table).unwrap();
    insta::assert_snapshot!("toc", dump::toc(&entries));
    let find = |name: &str| {
        let entry = entries.iter().find(|entry| entry.name == name).unwrap();
        &blob[entry.offset as usize..][..entry.compressed_size as usize]
    };
    let header = ci::CiHeader::parse(find(section::BLOB_META_HEADER)).unwrap();
    let mut payload = vec![0; header.location.uncompressed_size as usize];
    header.location.compressor.decompress(find(section::BLOB_META), &mut payload).unwrap();
    let chunks = ci::parse_entries(&payload, &header).unwrap();
    insta::assert_snapshot!("chunk_information", dump::chunk_information(&header, &chunks));
}

#[test]
fn damage_is_told_not_dumped() {
    assert!(dump::bootstrap(&[0; 4096]).is_err());
}
