#![allow(clippy::unwrap_used)]
use crate::kind::ErrorKind;
use std::io::Write as _;

use flate2::write::{DeflateEncoder, GzEncoder};
use flate2::{Compression as Level, Crc, GzBuilder};
use proptest::prelude::*;

use super::*;
use crate::inner::find_in;
use crate::{Digest, VerifyError, VerifyingReader};

const NO_LIMIT: u64 = u64::MAX;

/// Gives one byte at a time, as a slow pipe may.
struct Drip<'a>(&'a [u8]);

impl Read for Drip<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.0.len().min(1);
        self.0.read(&mut buf[..n])
    }
}

/// The plain bytes, or those before an error, and the error.
fn plain_with(reader: impl Read, step: usize, limit: u64) -> Result<Vec<u8>, (Vec<u8>, DecompressError)> {
    let typed = |error: io::Error| find_in::<DecompressError>(&error).unwrap().clone();
    let mut decompressor = decompress(reader, limit).map_err(|error| (Vec::new(), typed(error)))?;
    let (mut out, mut buf) = (Vec::new(), vec![0; step]);
    loop {
        match decompressor.read(&mut buf) {
            Ok(0) => {
                assert_eq!(decompressor.read(&mut buf).unwrap(), 0, "the end stays the end");
                assert_eq!(decompressor.plain_bytes(), out.len() as u64);
                return Ok(out);
            }
            Ok(n) => out.extend_from_slice(&buf[..n]),
            Err(error) => {
                assert!(decompressor.read(&mut buf).is_err(), "an error stays");
                return Err((out, typed(error)));
            }
        }
    }
}

fn plain(stream: &[u8]) -> Result<Vec<u8>, DecompressError> {
    let whole = plain_with(stream, 64 << 10, NO_LIMIT).map_err(|(_, error)| error);
    let dripped = plain_with(Drip(stream), 3, NO_LIMIT).map_err(|(_, error)| error);
    match (&whole, &dripped) {
        (Err(DecompressError::Damaged { .. }), Err(DecompressError::Damaged { .. })) => {}
        _ => assert_eq!(whole, dripped, "how the bytes arrive must not matter"),
    }
    whole
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Level::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn zstd(data: &[u8]) -> Vec<u8> {
    let mut encoder = ::zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn skippable(number: u8, content: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x50 | number, 0x2a, 0x4d, 0x18];
    frame.extend_from_slice(&(content.len() as u32).to_le_bytes());
    frame.extend_from_slice(content);
    frame
}

fn text(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * i / 7 % 251) as u8 ^ (i / 1000) as u8).collect()
}

#[test]
fn detection() {
    let table: [(&[u8], Compression); 10] = [
        (&[0x1f, 0x8b, 8, 0], Compression::Gzip),
        (&[0x1f, 0x8b, 7, 0], Compression::None),
        (&[0x1f, 0x8b], Compression::None),
        (&[0x28, 0xb5, 0x2f, 0xfd], Compression::Zstd),
        (&[0x28, 0xb5, 0x2f], Compression::None),
        (&[0x50, 0x2a, 0x4d, 0x18, 1], Compression::Zstd),
        (&[0x5f, 0x2a, 0x4d, 0x18], Compression::Zstd),
        (&[0x60, 0x2a, 0x4d, 0x18], Compression::None),
        (b"etc/passwd", Compression::None),
        (b"", Compression::None),
    ];
    for (prefix, compression) in table {
        assert_eq!(Compression::detect(prefix), compression, "{prefix:x?}");
        assert!(prefix.len() >= Compression::MAGIC_LEN || compression != Compression::Zstd);
    }
}

#[test]
fn plain_streams_pass() {
    for len in [0, 1, 3, 9, 10, 11, 5000, 700_000] {
        let data = text(len);
        assert_eq!(plain(&data).unwrap(), data);
    }
}

#[test]
fn formats_refused_by_name() {
    let xz = b"\xfd7zXZ\0\0\0\0\0\0\0";
    let bzip2 = b"BZh91AY&SY....";
    for (stream, name) in [(&xz[..], "xz"), (&bzip2[..], "bzip2")] {
        let error = plain(stream).unwrap_err();
        assert_eq!(error, DecompressError::UnknownFormat { name });
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
    assert_eq!(plain(b"BZh9 is how a file's name may begin").unwrap().len(), 35);
}

#[test]
fn gzip_members() {
    let (a, b) = (text(100_000), text(300_000));
    let both = [a.clone(), b.clone()].concat();
    assert_eq!(plain(&gzip(&a)).unwrap(), a);
    assert_eq!(plain(&[gzip(&a), gzip(&b)].concat()).unwrap(), both);
    assert_eq!(plain(&[gzip(b""), gzip(&a), gzip(b""), gzip(&b), gzip(b"")].concat()).unwrap(), both);
    let many: Vec<u8> = a.chunks(100).flat_map(gzip).collect();
    assert_eq!(plain(&many).unwrap(), a);
}

#[test]
fn gzip_headers_of_all_sorts() {
    let data = text(5000);
    let builder = GzBuilder::new().filename("a name").comment("a comment").extra(vec![7; 4000]).mtime(12345);
    let mut encoder = builder.write(Vec::new(), Level::best());
    encoder.write_all(&data).unwrap();
    let full = encoder.finish().unwrap();
    assert_eq!(plain(&[full.clone(), full].concat()).unwrap(), [data.clone(), data.clone()].concat());

    // FHCRC: a checksum over the header, which flate2 does not write.
    let mut header = vec![0x1f, 0x8b, 8, 2, 0, 0, 0, 0, 0, 255];
    let mut crc = Crc::new();
    crc.update(&header);
    header.extend_from_slice(&(crc.sum() as u16).to_le_bytes());
    let mut deflate = DeflateEncoder::new(header, Level::default());
    deflate.write_all(&data).unwrap();
    let mut stream = deflate.finish().unwrap();
    let mut crc = Crc::new();
    crc.update(&data);
    stream.extend_from_slice(&crc.sum().to_le_bytes());
    stream.extend_from_slice(&(data.len() as u32).to_le_bytes());
    assert_eq!(plain(&stream).unwrap(), data);
    stream[10] ^= 1;
    assert!(matches!(plain(&stream), Err(DecompressError::Damaged { .. })));
}

#[test]
fn gzip_padding_and_garbage() {
    let data = text(1000);
    let stream = gzip(&data);
    let offset = stream.len() as u64;
    for zeros in [1, 2, 511, 300_000] {
        let mut padded = stream.clone();
        padded.resize(stream.len() + zeros, 0);
        assert_eq!(plain(&padded).unwrap(), data);
        padded.push(1);
        let offset = offset + zeros as u64;
        let garbage = DecompressError::TrailingGarbage { compression: Compression::Gzip, offset };
        assert_eq!(plain(&padded).unwrap_err(), garbage);
        // A member behind padding is no member to anybody else.
        padded.pop();
        padded.extend_from_slice(&stream);
        assert_eq!(plain(&padded).unwrap_err(), garbage);
    }
    for tail in [&b"x"[..], b"garbage", b"\x1f\x8a", b"\x1f\0", &zstd(b"x")] {
        let error = plain(&[&stream, tail].concat()).unwrap_err();
        assert_eq!(error, DecompressError::TrailingGarbage { compression: Compression::Gzip, offset });
        assert_eq!(error.kind(), ErrorKind::Verification);
    }
    assert!(matches!(
        plain(&[&stream[..], b"\x1f\x8b\x07\0\0"].concat()),
        Err(DecompressError::Damaged { .. })
    ));
}

#[test]
fn truncation_is_noticed_at_every_byte() {
    let data = text(3000);
    for (compression, stream, magic) in [
        (Compression::Gzip, gzip(&data), 3),
        (Compression::Zstd, zstd(&data), 4),
        (Compression::Zstd, [skippable(3, b"contents"), zstd(&data)].concat(), 4),
    ] {
        let boundary = stream.len() - zstd(&data).len();
        for cut in magic..stream.len() {
            if compression == Compression::Zstd && cut == boundary {
                continue;
            }
            let offset = cut as u64;
            let expected = DecompressError::Truncated { compression, offset };
            assert_eq!(plain(&stream[..cut]).unwrap_err(), expected, "{compression} cut at {cut}");
        }
    }
}

#[test]
fn damage_is_noticed() {
    let data: Vec<u8> = (0..300).flat_map(|i| format!("line {i}\n").into_bytes()).collect();
    for stream in [gzip(&data), zstd(&data)] {
        let mut noticed = 0;
        for at in 0..stream.len() {
            let mut bad = stream.clone();
            bad[at] ^= 0x10;
            match plain(&bad) {
                Err(_) => noticed += 1,
                // Both formats have a few bits that mean nothing; without the magic number it is not
                // compressed at all.
                Ok(out) => assert!(out == data || out == bad, "byte {at}"),
            }
        }
        assert!(noticed + 20 > stream.len(), "{noticed} of {}", stream.len());
    }
}

#[test]
fn zstd_frames() {
    let (a, b) = (text(200_000), text(400_000));
    let both = [a.clone(), b.clone()].concat();
    assert_eq!(plain(&zstd(&a)).unwrap(), a);
    let toc = skippable(0, &text(70_000));
    let streams = [
        [zstd(&a), zstd(&b)].concat(),
        [zstd(&a), zstd(b""), zstd(&b), toc.clone()].concat(),
        [toc.clone(), zstd(&a), toc.clone(), toc.clone(), zstd(&b)].concat(),
        [skippable(15, b""), zstd(&a), zstd(&b), skippable(1, b"")].concat(),
    ];
    for stream in &streams {
        assert_eq!(plain(stream).unwrap(), both);
    }
    let many: Vec<u8> = a.chunks(1000).flat_map(zstd).collect();
    assert_eq!(plain(&many).unwrap(), a);
    assert_eq!(plain(&skippable(0, b"nothing but this")).unwrap(), b"");
}

#[test]
fn zstd_garbage() {
    let stream = zstd(b"data");
    let offset = stream.len() as u64;
    let garbage = DecompressError::TrailingGarbage { compression: Compression::Zstd, offset };
    for tail in [&b"x"[..], b"\0", b"\0\0\0\0", b"garbage", &gzip(b"x"), b"\x28\xb5\x2f\xfe", b"\x28\xb6"] {
        assert_eq!(plain(&[&stream, tail].concat()).unwrap_err(), garbage, "{tail:x?}");
    }
    let compression = Compression::Zstd;
    for tail in [&b"\x28"[..], b"\x28\xb5\x2f", b"\x5a", b"\x50\x2a"] {
        let offset = offset + tail.len() as u64;
        assert_eq!(
            plain(&[&stream, tail].concat()).unwrap_err(),
            DecompressError::Truncated { compression, offset },
            "{tail:x?}"
        );
    }
}

#[test]
fn zstd_windows() {
    let frame = |window_log: u8| {
        // Magic, no flags, window descriptor, one raw last block of one byte.
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, (window_log - 10) << 3];
        frame.extend_from_slice(&[0b1001, 0, 0, b'x']);
        frame
    };
    assert_eq!(plain(&frame(20)).unwrap(), b"x");
    assert_eq!(plain(&frame(27)).unwrap(), b"x");
    assert_eq!(plain(&frame(28)).unwrap(), b"x");
    assert_eq!(plain(&frame(29)).unwrap(), b"x");
    let limit = StreamLimits::DEFAULT_ZSTD_WINDOW;
    for log in [30, 31, 41] {
        let stream = [skippable(0, b"in front"), frame(log)].concat();
        let error = plain(&stream).unwrap_err();
        assert_eq!(error, DecompressError::WindowTooLarge { offset: 16, needed: 1 << log, limit }, "{log}");
        assert_eq!(error.kind(), ErrorKind::ResourceLimit);
    }
    let read = |stream: &[u8], zstd_window| {
        let mut out = Vec::new();
        let limits = StreamLimits { plain: 1 << 20, zstd_window };
        decompress(stream, limits).unwrap().read_to_end(&mut out).map(|_| out)
    };
    assert_eq!(read(&frame(31), 1 << 31).unwrap(), b"x");
    assert!(read(&frame(31), (1 << 31) - 1).is_err());
    // Beyond what the format's own decoder does, no limit helps.
    assert!(read(&frame(32), u64::MAX).is_err());
    // One byte needs one byte, whatever the window: content size 1, window of 2 GiB.
    let small = [&[0x28, 0xb5, 0x2f, 0xfd, 0x80, 21 << 3, 1, 0, 0, 0][..], &[0b1001, 0, 0, b'x']].concat();
    assert_eq!(read(&[small.clone(), frame(10), small].concat(), 1 << 20).unwrap(), b"xxx");
}

#[test]
fn limits() {
    let data = text(100_000);
    for stream in [data.clone(), gzip(&data), zstd(&data), data.chunks(999).flat_map(gzip).collect()] {
        let len = data.len() as u64;
        assert_eq!(plain_with(&stream[..], 5000, len).unwrap(), data);
        for limit in [0, 1, len / 2, len - 1] {
            let (out, error) = plain_with(&stream[..], 5000, limit).unwrap_err();
            assert!(matches!(error, DecompressError::LimitExceeded { limit: l, .. } if l == limit));
            assert_eq!(error.kind(), ErrorKind::ResourceLimit);
            assert!(out.len() as u64 <= limit);
        }
    }
}

#[test]
fn a_bomb_is_given_up_early() {
    let bomb = gzip(&vec![0; 50 << 20]);
    let mut decompressor = decompress(&bomb[..], 1 << 20).unwrap();
    let error = io::copy(&mut decompressor, &mut io::sink()).unwrap_err();
    assert_eq!(ErrorKind::of_io(&error), ErrorKind::ResourceLimit);
    assert!(decompressor.plain_bytes() < 2 << 20);
}

#[test]
fn errors_below_pass_unchanged_and_the_end_is_verified() {
    let data = text(10_000);
    for stream in [data.clone(), gzip(&data), zstd(&data)] {
        let size = stream.len() as u64;
        let mut wrong = VerifyingReader::with(&stream[..], Digest::sha256(b"other"), size);
        let error = match decompress(&mut wrong, NO_LIMIT) {
            Ok(mut decompressor) => io::copy(&mut decompressor, &mut io::sink()).unwrap_err(),
            Err(error) => error,
        };
        assert!(matches!(find_in(&error), Some(VerifyError::DigestMismatch { .. })));
        // One byte too many, where the stream itself would accept it.
        let longer = [stream.clone(), vec![0]].concat();
        let reader = VerifyingReader::with(&longer[..], Digest::sha256(&stream), size);
        let error = decompress(reader, NO_LIMIT)
            .and_then(|mut decompressor| io::copy(&mut decompressor, &mut io::sink()))
            .unwrap_err();
        assert!(matches!(find_in(&error), Some(VerifyError::SizeMismatch { .. })));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Members (or frames) one after another, cut anywhere: either a boundary, or truncated.
    #[test]
    fn members_cut_anywhere(
        parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..2000), 1..6),
        is_zstd: bool,
        at: prop::sample::Index,
        step in 1usize..5000,
    ) {
        let encode = if is_zstd { zstd } else { gzip };
        let (mut stream, mut boundaries, mut data) = (Vec::new(), Vec::new(), Vec::new());
        for part in &parts {
            stream.extend(encode(part));
            data.extend_from_slice(part);
            boundaries.push((stream.len(), data.len()));
        }
        prop_assert_eq!(&plain_with(&stream[..], step, NO_LIMIT).unwrap(), &data);
        let cut = 4 + at.index(stream.len() - 4);
        match boundaries.iter().find(|(end, _)| *end == cut) {
            Some((_, len)) => prop_assert_eq!(&plain_with(&stream[..cut], step, NO_LIMIT).unwrap(), &data[..*len]),
            None => {
                let (out, error) = plain_with(&stream[..cut], step, NO_LIMIT).unwrap_err();
                let truncated = matches!(error, DecompressError::Truncated { .. });
                prop_assert!(truncated, "{:?}", error);
                prop_assert!(data.starts_with(&out));
            }
        }
    }

    /// Whatever the bytes are: no panic, no endless loop.
    #[test]
    fn anything_at_all(prefix in 0usize..5, bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        let magic: &[u8] = [&b""[..], b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18", b"\x1f\x8b\x08\0\0\0\0\0\0\xff"][prefix];
        let _ = plain_with(&[magic, &bytes].concat()[..], 100, 1 << 20);
    }
}

#[derive(Default, PartialEq, Debug)]
struct Members {
    /// Stored and plain bytes of every member so far, and of what follows.
    members: Vec<(Vec<u8>, Vec<u8>)>,
    stored: Vec<u8>,
    plain: Vec<u8>,
}

impl Watch for Members {
    fn stored(&mut self, bytes: &[u8]) {
        self.stored.extend_from_slice(bytes);
    }

    fn plain(&mut self, bytes: &[u8]) {
        self.plain.extend_from_slice(bytes);
    }

    fn member_end(&mut self) {
        self.members.push((std::mem::take(&mut self.stored), std::mem::take(&mut self.plain)));
    }
}

#[test]
fn a_watch_sees_the_members() {
    let gz = |plain: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Level::new(6));
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    };
    let plains = [vec![7; 100_000], Vec::new(), b"third".to_vec()];
    let members: Vec<_> = plains.iter().map(|plain| (gz(plain), plain.clone())).collect();
    let stream: Vec<u8> = members.iter().flat_map(|(stored, _)| stored.clone()).collect();
    for (padding, step) in [(0, 1), (700, 1), (0, 1000), (700, 1000), (0, 1 << 20), (700, 1 << 20)] {
        let mut stream = stream.clone();
        stream.resize(stream.len() + padding, 0);
        let expected = Members { members: members.clone(), stored: vec![0; padding], plain: Vec::new() };
        let mut decompressor = decompress_watched(&stream[..], NO_LIMIT, Members::default()).unwrap();
        let mut buffer = vec![0; step];
        while decompressor.read(&mut buffer).unwrap() > 0 {}
        assert_eq!(decompressor.read(&mut buffer).unwrap(), 0);
        assert!(decompressor.into_watch() == expected, "step {step}");
    }
    // Nothing is told of what is not compressed.
    let mut decompressor = decompress_watched(&b"plain"[..], NO_LIMIT, Members::default()).unwrap();
    io::copy(&mut decompressor, &mut io::sink()).unwrap();
    assert_eq!(decompressor.into_watch(), Members::default());
}
