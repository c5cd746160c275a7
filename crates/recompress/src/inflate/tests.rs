//! The scanner against the encoders of this crate, a real inflater, and any bytes.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::deflate::Deflate;
use crate::go::GoFlate;
use crate::zlib::{Params, Zlib};
use flate2::{Decompress, FlushDecompress};
use proptest::prelude::*;

/// Letters, and stretches that were there before.
fn text(length: usize) -> Vec<u8> {
    let (mut state, mut out) = (1_u32, Vec::with_capacity(length + 300));
    while out.len() < length {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (back, count) = ((state >> 8) as usize % 40_000, (state >> 24) as usize % 40);
        if back >= count && back < out.len() && state & 64 == 0 {
            let start = out.len() - back;
            out.extend_from_within(start..start + count);
        }
        out.push(b'a' + (state >> 16) as u8 % 20);
    }
    out.truncate(length);
    out
}

fn blocks(stream: &[u8]) -> Result<Vec<Block>, ScanError> {
    let (mut scanner, mut blocks) = (Scanner::new(stream), Vec::new());
    while let Some(block) = scanner.next_block()? {
        blocks.push(block);
    }
    Ok(blocks)
}

#[test]
fn blocks_of_go() {
    let (plain, mut stream) = (text(400_000), Vec::new());
    let mut encoder = GoFlate::new(crate::go::Level::DEFAULT);
    encoder.write(&plain, &mut stream);
    encoder.flush(&mut stream);
    encoder.finish(&mut stream);
    let blocks = blocks(&stream).unwrap();
    let (last, data) = blocks.split_last().unwrap();
    assert!(last.last && last.kind == Kind::Stored && last.plain_len == 0);
    assert_eq!(last.plain_start, plain.len() as u64);
    assert_eq!(last.end_bit, 8 * stream.len() as u64);
    assert_eq!((data[0].tokens, data[0].kind), (16384, Kind::Dynamic));
    assert!(data.iter().all(|block| block.shortest >= 4 && !block.last));
    let marker = data.last().unwrap();
    assert_eq!(
        (marker.kind, marker.plain_len, marker.end_bit),
        (Kind::Stored, 0, 8 * (stream.len() as u64 - 5))
    );
    assert!(blocks.windows(2).all(|pair| pair[0].end_bit == pair[1].start_bit));
}

#[test]
fn the_reader_stands_behind_the_trailer() {
    let (plain, mut stream) = (text(100_000), Vec::new());
    let mut encoder = Zlib::new(Params::default());
    encoder.write(&plain, &mut stream);
    encoder.finish(&mut stream);
    for rest in [&b""[..], b"r", b"rest of it"] {
        let whole = [&stream[..], b"trailer!", rest].concat();
        let mut reader = &whole[..];
        let mut scanner = Scanner::new(&mut reader);
        while scanner.next_block().unwrap().is_some() {}
        assert_eq!(scanner.trailer().unwrap(), *b"trailer!");
        assert_eq!(reader, rest);
    }
    for cut in [0, 1, 10, stream.len() / 2, stream.len() - 1] {
        assert!(matches!(blocks(&stream[..cut]), Err(ScanError::Truncated)), "{cut}");
    }
}

#[test]
fn malformed() {
    for (stream, what) in [
        (&[7][..], "block of an unknown kind"),
        (&[1, 1, 0, 0, 0, 0], "stored block with a wrong length"),
        (&[0xfd, 0xff, 0xff], "tables with too many codes"),
        // Fixed, last: a match of length 3, distance 1, with nothing before it.
        (&[0x03, 0x02, 0x00], "a match before the start"),
    ] {
        match blocks(stream) {
            Err(ScanError::Malformed { what: found }) => assert_eq!(found, what),
            other => panic!("{stream:?}: {other:?}"),
        }
    }
}

proptest! {
    /// Whatever inflates also scans, to the same length, and the other way round.
    #[test]
    fn like_an_inflater(start in prop::collection::vec(any::<u8>(), 0..200), change in any::<(u16, u8)>(), real: bool) {
        let mut stream = start;
        if real {
            let mut encoded = Vec::new();
            let mut encoder = Zlib::new(Params::default());
            encoder.write(&text(3000), &mut encoded);
            encoder.finish(&mut encoded);
            let at = usize::from(change.0) % encoded.len();
            encoded[at] ^= change.1;
            stream = encoded;
        }
        let mut plain = Vec::with_capacity(1 << 20);
        let mut inflater = Decompress::new(false);
        let inflated = inflater.decompress_vec(&stream, &mut plain, FlushDecompress::Finish);
        let ended = matches!(inflated, Ok(flate2::Status::StreamEnd));
        let scanned = blocks(&stream);
        prop_assert_eq!(ended, scanned.is_ok(), "{:?} {:?}", inflated, scanned.as_ref().err());
        if let Ok(blocks) = scanned {
            let last = blocks.last().unwrap();
            prop_assert_eq!(last.plain_end(), plain.len() as u64);
            prop_assert_eq!(last.end_bit.div_ceil(8), inflater.total_in());
        }
    }
}
