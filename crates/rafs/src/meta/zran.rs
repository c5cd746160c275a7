//! Chunks of an unmodified gzip layer: where in its stream a decoder can start, and what it has to know there (zran).
//!
//! ```text
//! payload of the chunk information
//! | entry 0 | entry 1 | …                     | context 0 | context 1 | … | dictionary 0 | dictionary 1 | …
//!      │ context 0, offset 0                     40 bytes each               0 to 32 KiB each
//!      │      context 0, offset n
//!
//! gzip stream   … ▒▒▒▒▒▒▒▒│░░░░░░░░░░░░░░░░░░░░░│░░░░░ …          blocks of a deflate stream
//!                       ▲ └ in_offset            │
//!                       │   |◄─ in_len ─────────►|
//!                       └ byte: its `bits` highest bits belong to the block already
//! plain tar     … ▒▒▒▒▒▒▒▒▒▒▒▒▒│░░░░░░░░░░░░░░░░░░░░░░░░░░░ …
//!                   dictionary │ out_offset
//!                              |◄─ out_len ──────────►|           chunk: offset in here, and length
//! ```
//!
//! A context is read with a raw inflater that knows the dictionary, the plain bytes before it. If a gzip member ends
//! inside, its trailer and the next one's header are skipped. Contexts may overlap.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::ci::{CiHeader, CiTable, PAYLOAD};
use super::entry::{Cursor, EntryV2};
use super::{EntryProblem, MetaError};
use crate::{Chunk, limits};

/// Length of a context in bytes.
const CONTEXT_LEN: usize = 40;
/// Longest dictionary in bytes: the window of deflate.
pub const MAX_DICTIONARY: u32 = 32 << 10;

const STRUCTURE: &str = "zran table";

/// | offset | size | field |
/// |---|---|---|
/// | 0 | 8 | offset in the gzip stream of the first whole byte |
/// | 8 | 8 | offset in the plain tar |
/// | 16 | 8 | offset of the dictionary behind the contexts |
/// | 24 | 4 | length in the gzip stream |
/// | 28 | 4 | length in the plain tar |
/// | 32 | 4 | length of the dictionary |
/// | 36 | 1 | the byte before the first whole one |
/// | 37 | 1 | how many of its highest bits are still unread |
/// | 38 | 2 | reserved |
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone)]
#[repr(C)]
struct Raw {
    in_offset: U64,
    out_offset: U64,
    dictionary_offset: U64,
    in_len: U32,
    out_len: U32,
    dictionary_len: U32,
    byte: u8,
    bits: u8,
    reserved: U16,
}
const _: () = assert!(size_of::<Raw>() == CONTEXT_LEN);

/// A place where a decoder can start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Context {
    /// Offset in the gzip stream of the first whole byte.
    pub in_offset: u64,
    /// Bytes of the gzip stream that are enough for all that is wanted, from there on.
    pub in_len: u32,
    /// Offset in the plain tar.
    pub out_offset: u64,
    /// Plain bytes that come out.
    pub out_len: u32,
    /// The byte before the first whole one.
    pub byte: u8,
    /// How many of its highest bits are still unread: 0 to 7.
    pub bits: u8,
    /// Offset of the dictionary in [`Zran::dictionaries`].
    pub dictionary_offset: u64,
    /// Length of the dictionary in bytes, [`MAX_DICTIONARY`] at most.
    pub dictionary_len: u32,
}

/// The place of a chunk in the plain bytes of a context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InContext {
    /// Number of the context.
    pub context: u32,
    /// Where the chunk begins in what the context gives, in bytes.
    pub offset: u32,
}

/// Everything that the payload of a zran blob says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Zran {
    /// The chunks by number, without digests. Where they lie in the gzip stream is told about, to find what to fetch:
    /// a stored length can be 0, and lengths need not be what a decoder takes.
    pub chunks: Vec<Chunk>,
    /// The place of each chunk, by its number.
    pub places: Vec<InContext>,
    /// The contexts by number.
    pub contexts: Vec<Context>,
    /// The dictionaries of all contexts.
    pub dictionaries: Vec<u8>,
}

impl Zran {
    /// A context and its dictionary.
    pub fn context(&self, number: u32) -> Option<(&Context, &[u8])> {
        let context = self.contexts.get(usize::try_from(number).ok()?)?;
        let start = usize::try_from(context.dictionary_offset).ok()?;
        let length = usize::try_from(context.dictionary_len).ok()?;
        Some((context, self.dictionaries.get(start..)?.get(..length)?))
    }
}

/// Reads a plain payload whose header has the feature ZRAN. Chunks must follow each other without gaps in the
/// decompressed blob, and each lie inside what its context gives, each dictionary inside the payload. Whether contexts
/// lie inside the gzip stream is the caller's to check: it knows its length.
pub fn parse(payload: &[u8], header: &CiHeader) -> Result<Zran, MetaError> {
    let (expected, actual) = (header.location.uncompressed_size, payload.len() as u64);
    let wrong_length = |expected| MetaError::Length { structure: PAYLOAD, expected, actual };
    if expected != actual {
        return Err(wrong_length(expected));
    }
    let contexts_len = u64::from(header.table.entries).saturating_mul(CONTEXT_LEN as u64);
    let parts = payload.split_at_checked(usize::try_from(header.entries_size()).unwrap_or(usize::MAX));
    let (entries, table) = parts.ok_or_else(|| wrong_length(header.entries_size()))?;
    let table = usize::try_from(header.table.size).ok().and_then(|size| table.get(..size));
    let table = table.ok_or_else(|| wrong_length(header.entries_size().saturating_add(header.table.size)))?;
    let parts = table.split_at_checked(usize::try_from(contexts_len).unwrap_or(usize::MAX));
    let (contexts, dictionaries) = parts.ok_or(MetaError::Length {
        structure: STRUCTURE,
        expected: contexts_len,
        actual: table.len() as u64,
    })?;
    let (raws, _) = entries.as_chunks::<{ size_of::<EntryV2>() }>();
    let contexts = parse_contexts(contexts, dictionaries.len() as u64, raws.len())?;
    let (chunks, places) = follow(raws, &contexts)?;
    Ok(Zran { chunks, places, contexts, dictionaries: dictionaries.to_vec() })
}

fn parse_contexts(bytes: &[u8], dictionaries: u64, most: usize) -> Result<Vec<Context>, MetaError> {
    let (raws, _) = bytes.as_chunks::<CONTEXT_LEN>();
    if raws.len() > most {
        return Err(MetaError::TooMany { structure: STRUCTURE, count: raws.len() as u64, max: most as u64 });
    }
    let mut contexts = Vec::with_capacity(raws.len());
    for (number, raw) in raws.iter().enumerate() {
        let raw: Raw = zerocopy::transmute!(*raw);
        let context = Context {
            in_offset: raw.in_offset.get(),
            in_len: raw.in_len.get(),
            out_offset: raw.out_offset.get(),
            out_len: raw.out_len.get(),
            byte: raw.byte,
            bits: raw.bits,
            dictionary_offset: raw.dictionary_offset.get(),
            dictionary_len: raw.dictionary_len.get(),
        };
        check_context(&context, number, dictionaries)?;
        contexts.push(context);
    }
    Ok(contexts)
}

/// What readers demand of a context; `dictionaries` is the length of all of them.
fn check_context(context: &Context, number: usize, dictionaries: u64) -> Result<(), MetaError> {
    let offset = (number as u64).saturating_mul(CONTEXT_LEN as u64);
    let refuse = |field, at, value: u64| {
        Err(MetaError::Field { structure: STRUCTURE, offset: offset.saturating_add(at), field, value })
    };
    let end = context.in_offset.checked_add(context.in_len.into());
    if end.is_none_or(|end| end > limits::MAX_COMPRESSED_BLOB) {
        return refuse("offset in the gzip stream", 0, context.in_offset);
    }
    let end = context.dictionary_offset.checked_add(context.dictionary_len.into());
    if end.is_none_or(|end| end > dictionaries) {
        return refuse("offset of the dictionary", 16, context.dictionary_offset);
    }
    if context.dictionary_len > MAX_DICTIONARY {
        return refuse("length of the dictionary", 32, context.dictionary_len.into());
    }
    if context.bits > 7 {
        return refuse("number of bits", 37, context.bits.into());
    }
    Ok(())
}

fn follow(
    raws: &[[u8; size_of::<EntryV2>()]],
    contexts: &[Context],
) -> Result<(Vec<Chunk>, Vec<InContext>), MetaError> {
    let mut chunks = Vec::with_capacity(raws.len());
    let mut places = Vec::with_capacity(raws.len());
    let mut cursor = Cursor::default();
    for (index, raw) in (0_u32..).zip(raws) {
        let offset = u64::from(index).saturating_mul(raw.len() as u64);
        let at = |problem| MetaError::Chunk { offset, index, problem };
        let entry: EntryV2 = zerocopy::transmute!(*raw);
        let chunk = entry.zran_chunk().map_err(at)?;
        let (context, offset) = entry.place();
        let place = InContext { context, offset };
        cursor.pass_zran(&chunk).map_err(at)?;
        check_place(&chunk, place, contexts).map_err(at)?;
        chunks.push(chunk);
        places.push(place);
    }
    Ok((chunks, places))
}

/// The chunk lies inside what its context gives.
fn check_place(chunk: &Chunk, place: InContext, contexts: &[Context]) -> Result<(), EntryProblem> {
    let context = usize::try_from(place.context).ok().and_then(|number| contexts.get(number));
    let end = place.offset.checked_add(chunk.uncompressed_size);
    match (context, end) {
        (Some(context), Some(end)) if end <= context.out_len => Ok(()),
        _ => Err(EntryProblem::Context { context: place.context }),
    }
}

/// A payload, and where in it the table lies. What [`parse`] refuses is refused here.
pub fn write(zran: &Zran) -> Result<(Vec<u8>, CiTable), MetaError> {
    let Zran { chunks, places, contexts, dictionaries } = zran;
    check(zran)?;
    let entries = chunks.len().saturating_mul(size_of::<EntryV2>());
    let table = contexts.len().saturating_mul(CONTEXT_LEN).saturating_add(dictionaries.len());
    let size = entries.saturating_add(table);
    if size as u64 > limits::MAX_CHUNK_INFORMATION {
        let max = limits::MAX_CHUNK_INFORMATION;
        return Err(MetaError::TooMany { structure: "bytes of chunk information", count: size as u64, max });
    }
    let mut bytes = Vec::with_capacity(size);
    for (chunk, place) in chunks.iter().zip(places) {
        bytes.extend_from_slice(EntryV2::of_zran(chunk, (place.context, place.offset)).as_bytes());
    }
    for context in contexts {
        let raw = Raw {
            in_offset: context.in_offset.into(),
            out_offset: context.out_offset.into(),
            dictionary_offset: context.dictionary_offset.into(),
            in_len: context.in_len.into(),
            out_len: context.out_len.into(),
            dictionary_len: context.dictionary_len.into(),
            byte: context.byte,
            bits: context.bits,
            reserved: 0.into(),
        };
        bytes.extend_from_slice(raw.as_bytes());
    }
    bytes.extend_from_slice(dictionaries);
    let table = CiTable {
        offset: entries as u64,
        size: table as u64,
        // No more than chunks, see `check`.
        entries: u32::try_from(contexts.len()).unwrap_or(u32::MAX),
    };
    Ok((bytes, table))
}

fn check(zran: &Zran) -> Result<(), MetaError> {
    let Zran { chunks, places, contexts, dictionaries } = zran;
    let too_many = |structure, count: usize, max: u64| {
        let count = count as u64;
        if count > max { Err(MetaError::TooMany { structure, count, max }) } else { Ok(()) }
    };
    too_many(PAYLOAD, chunks.len(), limits::MAX_CHUNKS_PER_BLOB.into())?;
    too_many(STRUCTURE, contexts.len(), chunks.len() as u64)?;
    if places.len() != chunks.len() {
        let (expected, actual) = (chunks.len() as u64, places.len() as u64);
        return Err(MetaError::Length { structure: "places of chunks", expected, actual });
    }
    for (number, context) in contexts.iter().enumerate() {
        check_context(context, number, dictionaries.len() as u64)?;
    }
    let mut cursor = Cursor::default();
    for (index, (chunk, place)) in (0_u32..).zip(chunks.iter().zip(places)) {
        let offset = u64::from(index).saturating_mul(size_of::<EntryV2>() as u64);
        let at = |problem| MetaError::Chunk { offset, index, problem };
        cursor.pass_zran(chunk).map_err(at)?;
        check_place(chunk, *place, contexts).map_err(at)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
    #![allow(clippy::cast_possible_truncation)]
    use proptest::prelude::*;

    use super::*;
    use crate::{BlobFeatures, ChunkFlags, CiLocation};

    fn header(payload: &[u8], entries: usize, table: CiTable) -> CiHeader {
        CiHeader {
            features: BlobFeatures::CHUNK_INFO_V2 | BlobFeatures::ZRAN,
            entries: entries as u32,
            location: CiLocation { uncompressed_size: payload.len() as u64, ..CiLocation::default() },
            table,
        }
    }

    /// Contexts with dictionaries of these lengths, chunks with these lengths behind each other in context after context.
    fn sample(contexts: &[(u32, u8)], chunks: &[u32]) -> Zran {
        let mut zran = Zran::default();
        for (number, (dictionary, bits)) in contexts.iter().enumerate() {
            let at = zran.dictionaries.len() as u64;
            zran.dictionaries.resize(zran.dictionaries.len() + *dictionary as usize, number as u8);
            zran.contexts.push(Context {
                in_offset: 1 << (number % 39),
                in_len: 1000,
                out_offset: 512,
                out_len: u32::MAX,
                byte: 0xa5,
                bits: *bits,
                dictionary_offset: at,
                dictionary_len: *dictionary,
            });
        }
        let (mut plain, mut offset) = (0, 0);
        for (number, length) in chunks.iter().enumerate() {
            zran.chunks.push(Chunk {
                flags: ChunkFlags::COMPRESSED,
                compressed_size: length / 3,
                uncompressed_size: *length,
                compressed_offset: u64::from(offset) / 3,
                uncompressed_offset: plain,
                ..Chunk::default()
            });
            zran.places.push(InContext { context: (number % contexts.len()) as u32, offset });
            plain += u64::from(*length).next_multiple_of(4096);
            offset += length;
        }
        zran
    }

    fn contexts() -> impl Strategy<Value = Vec<(u32, u8)>> {
        prop::collection::vec((0..=MAX_DICTIONARY, 0_u8..8), 1..5)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            contexts in contexts(),
            chunks in prop::collection::vec(1_u32..=limits::MAX_CHUNK_SIZE, 5..20),
        ) {
            let zran = sample(&contexts, &chunks);
            let (payload, table) = write(&zran).unwrap();
            let read = parse(&payload, &header(&payload, chunks.len(), table)).unwrap();
            prop_assert_eq!(&read, &zran);
            prop_assert_eq!(write(&read).unwrap(), (payload, table));
        }

        #[test]
        fn changed_bytes_do_no_harm(
            contexts in contexts(),
            at in any::<prop::sample::Index>(),
            value in any::<u8>(),
            table_size in prop::option::of(any::<u64>()),
            table_entries in prop::option::of(any::<u32>()),
        ) {
            let zran = sample(&contexts, &[1, 4096, 70_000, 5, 1]);
            let (mut payload, mut table) = write(&zran).unwrap();
            let end = 5 * 24 + 40 * contexts.len();
            payload[at.index(end)] = value;
            table.size = table_size.unwrap_or(table.size);
            table.entries = table_entries.unwrap_or(table.entries);
            if let Ok(read) = parse(&payload, &header(&payload, 5, table)) {
                for (chunk, place) in read.chunks.iter().zip(&read.places) {
                    let (context, dictionary) = read.context(place.context).unwrap();
                    prop_assert!(u64::from(place.offset) + u64::from(chunk.uncompressed_size) <= context.out_len.into());
                    prop_assert!(dictionary.len() <= MAX_DICTIONARY as usize && context.bits < 8);
                }
            }
        }
    }

    #[test]
    fn a_context_has_40_bytes() {
        let mut zran = sample(&[(3, 5)], &[9]);
        zran.contexts[0].in_offset = 0x01_0203_0405;
        zran.contexts[0].out_len = 0x0a0b;
        let (payload, table) = write(&zran).unwrap();
        assert_eq!((table.offset, table.size, table.entries), (24, 43, 1));
        assert_eq!(payload[7], 3, "flags: compressed, zran");
        let expected = [
            &[5, 4, 3, 2, 1, 0, 0, 0][..],
            &[0, 2, 0, 0, 0, 0, 0, 0],
            &[0; 8],
            &[0xe8, 3, 0, 0, 0x0b, 0x0a, 0, 0, 3, 0, 0, 0, 0xa5, 5, 0, 0],
            &[0, 0, 0],
        ]
        .concat();
        assert_eq!(payload[24..], expected);
    }

    #[test]
    fn what_readers_refuse_is_not_written() {
        type Change = fn(&mut Zran);
        let changes: [(&str, Change); 9] = [
            ("chunk beyond the context", |zran| zran.contexts[0].out_len = 8),
            ("context that is not there", |zran| zran.places[0].context = 1),
            ("bits", |zran| zran.contexts[0].bits = 8),
            ("dictionary outside", |zran| zran.contexts[0].dictionary_offset = 1),
            ("dictionary too long", |zran| {
                zran.dictionaries.resize(40_000, 0);
                zran.contexts[0].dictionary_len = 32_769;
            }),
            ("stream too long", |zran| zran.contexts[0].in_offset = 1 << 40),
            ("more contexts than chunks", |zran| zran.contexts.push(Context::default())),
            ("a gap", |zran| zran.chunks[0].uncompressed_offset = 4096),
            ("no place", |zran| zran.places.clear()),
        ];
        for (what, change) in changes {
            let mut zran = sample(&[(3, 5)], &[9]);
            assert!(write(&zran).is_ok());
            change(&mut zran);
            assert!(write(&zran).is_err(), "{what}");
        }
    }
}
