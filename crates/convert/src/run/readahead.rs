//! Reads a stream on a thread of its own, a few buffers ahead: inflating one part overlaps with using another.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Size of one buffer in bytes: long enough that handing over costs nothing.
const BUFFER: usize = 256 << 10;
/// Buffers in flight.
const DEPTH: usize = 4;

/// The reading end. Dropping it ends the thread at the next buffer.
pub struct ReadAhead<R> {
    filled: Option<Receiver<io::Result<Vec<u8>>>>,
    empty: SyncSender<Vec<u8>>,
    current: Vec<u8>,
    position: usize,
    thread: Option<JoinHandle<R>>,
}

impl<R: Read + Send + 'static> ReadAhead<R> {
    /// Starts reading.
    pub fn new(source: R) -> io::Result<Self> {
        let (fill, filled) = sync_channel(DEPTH);
        let (empty, emptied) = sync_channel(DEPTH + 2);
        let thread = std::thread::Builder::new()
            .name("inflate".to_owned())
            .spawn(move || pump(source, &fill, &emptied))?;
        Ok(Self { filled: Some(filled), empty, current: Vec::new(), position: 0, thread: Some(thread) })
    }
}

fn pump<R: Read>(mut source: R, fill: &SyncSender<io::Result<Vec<u8>>>, emptied: &Receiver<Vec<u8>>) -> R {
    loop {
        let mut buffer = emptied.try_recv().unwrap_or_else(|_| Vec::with_capacity(BUFFER));
        buffer.clear();
        let read = (&mut source).take(BUFFER as u64).read_to_end(&mut buffer);
        let end = match &read {
            Ok(0) | Err(_) => true,
            Ok(_) => false,
        };
        // The bytes before an error still count: whoever parses them may find a better error.
        if !buffer.is_empty() && fill.send(Ok(buffer)).is_err() {
            break;
        }
        if let Err(error) = read
            && fill.send(Err(error)).is_err()
        {
            break;
        }
        if end {
            break;
        }
    }
    source
}

impl<R> ReadAhead<R> {
    /// Ends the thread and gives the source back; `None` if it panicked.
    pub fn finish(mut self) -> Option<R> {
        self.filled = None;
        self.thread.take()?.join().ok()
    }

    /// Whether a new buffer came; `false` at the end of the stream.
    fn next_buffer(&mut self) -> io::Result<bool> {
        let Some(filled) = &self.filled else { return Ok(false) };
        match filled.recv() {
            Ok(Ok(buffer)) => {
                let used = std::mem::replace(&mut self.current, buffer);
                self.position = 0;
                // A full channel only means that the buffer is not needed.
                let _ = self.empty.try_send(used);
                Ok(true)
            }
            Ok(Err(error)) => {
                self.filled = None;
                Err(error)
            }
            Err(_) => Ok(false),
        }
    }
}

impl<R> Read for ReadAhead<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.position == self.current.len() {
            if !self.next_buffer()? {
                return Ok(0);
            }
        }
        let rest = self.current.get(self.position..).unwrap_or_default();
        let length = rest.len().min(out.len());
        out[..length].copy_from_slice(&rest[..length]);
        self.position += length;
        Ok(length)
    }
}

impl<R> Drop for ReadAhead<R> {
    fn drop(&mut self) {
        self.filled = None;
        if let Some(thread) = self.thread.take() {
            // A panic over there has ended the stream early; the length checks behind us report that.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn gives_the_same_bytes() {
        let data: Vec<u8> = (0..3 * BUFFER + 17).map(|i| (i * 7 % 251) as u8).collect();
        let mut out = Vec::new();
        ReadAhead::new(io::Cursor::new(data.clone())).unwrap().read_to_end(&mut out).unwrap();
        assert_eq!(out, data);
    }

    #[test]
    fn passes_errors_on_after_the_bytes_before_them() {
        struct Fails(usize);
        impl Read for Fails {
            fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
                if self.0 == 0 {
                    return Err(io::Error::other("broken"));
                }
                let length = out.len().min(self.0);
                self.0 -= length;
                out[..length].fill(1);
                Ok(length)
            }
        }
        let mut out = Vec::new();
        let error = ReadAhead::new(Fails(BUFFER + 1000)).unwrap().read_to_end(&mut out).unwrap_err();
        assert_eq!(error.to_string(), "broken");
        assert_eq!(out.len(), BUFFER + 1000);
    }

    #[test]
    fn can_be_dropped_early() {
        let mut reader = ReadAhead::new(io::repeat(0)).unwrap();
        let mut byte = [1];
        reader.read_exact(&mut byte).unwrap();
        assert_eq!(byte, [0]);
    }
}
