//! The chunk information of a blob as a bootstrap tells where it lies: the way that works for every blob, with section
//! headers or without, batched and encrypted.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use nydus_convert_rafs::meta::ci::{self, ChunkInformation, CiHeader};
use nydus_convert_rafs::meta::section;
use nydus_convert_rafs::{Blob, BlobFeatures};

use super::error::BlobError;
use super::reader::BlobReader;
use super::source::ReadAt;
use crate::cipher::Xts;

impl<S: ReadAt> BlobReader<S> {
    /// Reads the chunk information that `blob`, the blob's record in a bootstrap, points at, and checks that both say
    /// the same. `None` if the blob has none, as in RAFS v5.
    pub fn information(&self, blob: &Blob) -> Result<Option<(CiHeader, ChunkInformation)>, BlobError> {
        if blob.ci.uncompressed_size == 0 {
            return Ok(None);
        }
        let cipher = Xts::new(&blob.cipher);
        let header = self.information_header(blob, cipher.as_ref())?;
        self.believe_count(&header)?;
        let payload = self.plain_at(section::BLOB_META, &header.location, cipher.as_ref())?;
        let parsed = ci::parse(&payload, &header);
        let parsed = parsed.map_err(|source| BlobError::Structure {
            section: section::BLOB_META.to_owned(),
            offset: header.location.offset,
            source,
        })?;
        Ok(Some((header, parsed)))
    }

    pub(super) fn information_header(
        &self,
        blob: &Blob,
        cipher: Option<&Xts>,
    ) -> Result<CiHeader, BlobError> {
        let offset = blob.ci.offset.saturating_add(blob.ci.compressed_size);
        let mut bytes = [0; ci::HEADER_LEN];
        self.read(offset, &mut bytes)?;
        if let Some(cipher) = cipher {
            cipher.decrypt(&mut bytes, Some(ci::HEADER_LEN));
        }
        let header = CiHeader::parse(&bytes).map_err(|source| BlobError::Structure {
            section: section::BLOB_META_HEADER.to_owned(),
            offset,
            source,
        })?;
        let own =
            |features: BlobFeatures| u64::from(features.difference(BlobFeatures::INLINED_FS_META).bits());
        let (there, here) = (&header.location, &blob.ci);
        for (field, expected, found) in [
            ("the features", own(blob.features), own(header.features)),
            ("the number of chunks", blob.chunk_count.into(), header.entries.into()),
            ("the offset", here.offset, there.offset),
            ("the stored size", here.compressed_size, there.compressed_size),
            ("the plain size", here.uncompressed_size, there.uncompressed_size),
            ("the compressor", here.compressor as u64, there.compressor as u64),
        ] {
            if expected != found {
                let section = section::BLOB_META_HEADER;
                return Err(BlobError::Disagrees { section, field, expected, found });
            }
        }
        Ok(header)
    }
}
