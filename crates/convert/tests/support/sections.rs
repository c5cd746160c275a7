//! The sections of a blob stream, found without our own reader.

use nydus_convert::rafs::Compressor;
use nydus_convert::rafs::meta::{section, toc};

/// One section of a blob stream.
pub struct Section {
    pub name: String,
    pub digest: [u8; 32],
    pub stored: Vec<u8>,
    pub plain: Vec<u8>,
}

/// The sections of a blob stream by its table of contents.
pub fn sections(blob: &[u8]) -> Vec<Section> {
    let (body, header) = blob.split_last_chunk::<{ section::HEADER_LEN }>().unwrap();
    let size = section::parse(header).unwrap().size as usize;
    let entries = toc::parse(&body[body.len() - size..]).unwrap();
    entries
        .into_iter()
        .map(|entry| {
            let stored = blob[entry.offset as usize..][..entry.compressed_size as usize].to_vec();
            let plain = match entry.compressor {
                Compressor::None => stored.clone(),
                compressor => {
                    let mut plain = vec![0; entry.uncompressed_size as usize];
                    compressor.decompress(&stored, &mut plain).unwrap();
                    plain
                }
            };
            Section { name: entry.name, digest: entry.digest, stored, plain }
        })
        .collect()
}
