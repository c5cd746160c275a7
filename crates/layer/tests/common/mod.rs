//! A small tar builder that says exactly what it is told, legal or not, and a reader that collects all entries.
//!
//! Every test binary uses a part of it.
#![allow(dead_code, clippy::unwrap_used)]

use std::io::Read;

use nydus_convert_layer::{BLOCK, Entry, LayerError, LayerReader, Tape};

/// Content larger than this is cut off: some tests read sparse files of exabytes.
pub const CONTENT_CAP: usize = 1 << 20;

/// A header block under construction.
#[derive(Clone)]
pub struct Head([u8; BLOCK]);

impl Head {
    /// Type and name, mode 0644, numbers 0, no magic.
    pub fn v7(typeflag: u8, name: impl AsRef<[u8]>) -> Self {
        let head = Self([0; BLOCK]).put(0, name.as_ref()).typeflag(typeflag);
        [(100, 8), (108, 8), (116, 8), (124, 12), (136, 12)]
            .into_iter()
            .fold(head, |head, (at, len)| head.octal(at, len, 0))
            .mode(0o644)
    }

    pub fn ustar(typeflag: u8, name: impl AsRef<[u8]>) -> Self {
        Self::v7(typeflag, name).put(257, b"ustar\x0000")
    }

    pub fn gnu(typeflag: u8, name: impl AsRef<[u8]>) -> Self {
        Self::v7(typeflag, name).put(257, b"ustar  \0")
    }

    pub fn put(mut self, at: usize, bytes: &[u8]) -> Self {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    pub fn octal(self, at: usize, len: usize, value: u64) -> Self {
        let text = format!("{value:0width$o}\0", width = len - 1);
        self.put(at, text.as_bytes())
    }

    /// Two's complement with the marker bit.
    pub fn base_256(self, at: usize, len: usize, value: i128) -> Self {
        let bytes = value.to_be_bytes();
        let mut field = bytes[16 - len..].to_vec();
        field[0] |= 0x80;
        self.put(at, &field)
    }

    pub fn typeflag(self, typeflag: u8) -> Self {
        self.put(156, &[typeflag])
    }

    pub fn mode(self, mode: u64) -> Self {
        self.octal(100, 8, mode)
    }

    pub fn owner(self, uid: u64, gid: u64) -> Self {
        self.octal(108, 8, uid).octal(116, 8, gid)
    }

    pub fn size(self, size: u64) -> Self {
        if size < 1 << 33 { self.octal(124, 12, size) } else { self.base_256(124, 12, size.into()) }
    }

    pub fn mtime(self, mtime: u64) -> Self {
        self.octal(136, 12, mtime)
    }

    pub fn link(self, target: &[u8]) -> Self {
        self.put(157, target)
    }

    pub fn device(self, major: u64, minor: u64) -> Self {
        self.octal(329, 8, major).octal(337, 8, minor)
    }

    /// The block with its checksum.
    pub fn block(self) -> [u8; BLOCK] {
        let head = self.put(148, b"        ");
        let sum: u64 = head.0.iter().map(|&byte| u64::from(byte)).sum();
        head.put(148, format!("{sum:06o}\0 ").as_bytes()).0
    }
}

/// A tar under construction.
#[derive(Clone, Default)]
pub struct Tar(pub Vec<u8>);

impl Tar {
    pub fn new() -> Self {
        Self::default()
    }

    /// A header as it is, without content.
    pub fn head(mut self, head: Head) -> Self {
        self.0.extend(head.block());
        self
    }

    /// Bytes as they are.
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    /// Zeros up to the next block.
    pub fn pad(mut self) -> Self {
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
        self
    }

    /// A header with the content's size, the content, its padding.
    pub fn entry(self, head: Head, content: &[u8]) -> Self {
        self.head(head.size(content.len() as u64)).raw(content).pad()
    }

    pub fn file(self, name: impl AsRef<[u8]>, content: &[u8]) -> Self {
        self.entry(Head::ustar(b'0', name), content)
    }

    /// A local PAX header.
    pub fn pax(self, records: &[(&str, &[u8])]) -> Self {
        self.entry(Head::ustar(b'x', "PaxHeaders/x"), &pax_body(records))
    }

    /// A global PAX header.
    pub fn global(self, records: &[(&str, &[u8])]) -> Self {
        self.entry(Head::ustar(b'g', "PaxHeaders/g"), &pax_body(records))
    }

    /// GNU `L` or `K`, with the NUL that GNU tar counts in.
    pub fn long(self, typeflag: u8, text: &[u8]) -> Self {
        self.entry(Head::gnu(typeflag, "././@LongLink"), &[text, b"\0"].concat())
    }

    /// Two blocks of zeros.
    pub fn end(self) -> Vec<u8> {
        self.raw(&[0; 2 * BLOCK]).0
    }
}

/// One PAX record, its length counting itself.
pub fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}

pub fn pax_body(records: &[(&str, &[u8])]) -> Vec<u8> {
    records.iter().flat_map(|(key, value)| record(key.as_bytes(), value)).collect()
}

/// All entries with their content, the stream read to its end.
pub fn read(tar: impl Read) -> Result<Vec<(Entry, Vec<u8>)>, LayerError> {
    let mut reader = LayerReader::new(tar);
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        let mut content = Vec::new();
        let mut buffer = [0; 10_000];
        while content.len() < CONTENT_CAP {
            match reader.read_content(&mut buffer)? {
                0 => break,
                count => content.extend(&buffer[..count]),
            }
        }
        entries.push((entry, content));
    }
    reader.finish()?;
    Ok(entries)
}

/// The only entry of a tar that must be legal.
pub fn read_one(tar: &[u8]) -> (Entry, Vec<u8>) {
    let mut entries = read(tar).unwrap();
    assert_eq!(entries.len(), 1);
    entries.remove(0)
}

/// The paths of all entries of a tar that must be legal.
pub fn paths(tar: &[u8]) -> Vec<String> {
    read(tar).unwrap().iter().map(|(entry, _)| entry.path.to_string()).collect()
}

/// One call to the tape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Header(Vec<u8>),
    Extension(Vec<u8>),
    Content(Vec<u8>),
    Padding(Vec<u8>),
    ZeroBlocks(u64),
    Opaque(Vec<u8>),
}

/// Remembers all calls.
#[derive(Debug, Default)]
pub struct Recorder(pub Vec<Event>);

impl Tape for Recorder {
    fn header(&mut self, block: &[u8; BLOCK]) {
        self.0.push(Event::Header(block.to_vec()));
    }

    fn extension(&mut self, body: &[u8]) {
        self.0.push(Event::Extension(body.to_vec()));
    }

    fn content(&mut self, bytes: &[u8]) {
        self.0.push(Event::Content(bytes.to_vec()));
    }

    fn padding(&mut self, bytes: &[u8]) {
        assert!(bytes.len() < BLOCK);
        self.0.push(Event::Padding(bytes.to_vec()));
    }

    fn zero_blocks(&mut self, count: u64) {
        self.0.push(Event::ZeroBlocks(count));
    }

    fn opaque(&mut self, bytes: &[u8]) {
        self.0.push(Event::Opaque(bytes.to_vec()));
    }
}

impl Recorder {
    /// The tar again.
    pub fn replay(&self) -> Vec<u8> {
        let mut tar = Vec::new();
        for event in &self.0 {
            match event {
                Event::ZeroBlocks(count) => tar.resize(tar.len() + *count as usize * BLOCK, 0),
                Event::Header(bytes)
                | Event::Extension(bytes)
                | Event::Content(bytes)
                | Event::Padding(bytes)
                | Event::Opaque(bytes) => tar.extend(bytes),
            }
        }
        tar
    }

    /// The sequence of events by name, repetitions merged.
    pub fn names(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self
            .0
            .iter()
            .map(|event| match event {
                Event::Header(_) => "header",
                Event::Extension(_) => "extension",
                Event::Content(_) => "content",
                Event::Padding(_) => "padding",
                Event::ZeroBlocks(_) => "zeros",
                Event::Opaque(_) => "opaque",
            })
            .collect();
        names.dedup();
        names
    }
}

/// A source that gives at most `step` bytes a call.
pub struct Trickle<'a> {
    pub bytes: &'a [u8],
    pub step: usize,
}

impl Read for Trickle<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let count = self.step.min(out.len()).min(self.bytes.len());
        let (now, later) = self.bytes.split_at(count);
        out[..count].copy_from_slice(now);
        self.bytes = later;
        Ok(count)
    }
}
