//! Any bytes as a layer: no panic, bounded memory, and the tape gives every byte back.

use nydus_convert_layer::{BLOCK, EntryKind, LayerError, LayerReader, Tape};

/// A sparse file may claim exabytes; that much of each content is read.
const CONTENT_CAP: u64 = 1 << 20;

/// The tar again.
#[derive(Default)]
struct Recorder(Vec<u8>);

impl Tape for Recorder {
    fn header(&mut self, block: &[u8; BLOCK]) {
        self.0.extend(block);
    }

    fn extension(&mut self, body: &[u8]) {
        self.0.extend(body);
    }

    fn content(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
    }

    fn padding(&mut self, bytes: &[u8]) {
        assert!(bytes.len() < BLOCK);
        self.0.extend(bytes);
    }

    fn zero_blocks(&mut self, count: u64) {
        self.0.resize(self.0.len() + count as usize * BLOCK, 0);
    }

    fn opaque(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
    }
}

fn walk<T: Tape>(reader: &mut LayerReader<&[u8], T>) -> Result<(), LayerError> {
    let mut buffer = [0; 4096];
    while let Some(entry) = reader.next_entry()? {
        let mut total = 0;
        let complete = loop {
            match reader.read_content(&mut buffer)? {
                0 => break true,
                count => total += count as u64,
            }
            if total >= CONTENT_CAP {
                break false;
            }
        };
        match entry.kind {
            EntryKind::Regular { size } => assert!(if complete { total == size } else { total <= size }),
            _ => assert_eq!(total, 0),
        }
        assert!(entry.metadata.mode <= 0o7777 && entry.metadata.mtime.nanos < 1_000_000_000);
    }
    Ok(())
}

/// Panics if `bytes` break the promise above.
pub fn check(bytes: &[u8]) {
    let mut tape = Recorder::default();
    let mut reader = LayerReader::with_tape(bytes, &mut tape);
    let result = walk(&mut reader);
    if let Err(error) = &result {
        assert!(!error.to_string().is_empty());
    }
    reader.finish().expect("a slice can always be read");
    assert!(tape.0 == bytes);
}
