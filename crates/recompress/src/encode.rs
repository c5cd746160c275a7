//! One member's deflate stream with its flushes, in whatever pieces the plain bytes come.

use crate::deflate::Deflate;
use crate::method::Method;
use crate::recipe::Flushes;

/// An encoder that flushes where the original's caller did.
pub(crate) struct MemberEncoder<'a> {
    encoder: Box<dyn Deflate>,
    /// None where nobody can flush.
    flushes: Option<&'a Flushes>,
    /// Plain bytes taken.
    taken: u64,
    /// Flushes made.
    flushed: usize,
}

impl<'a> MemberEncoder<'a> {
    pub fn new(method: &Method, flushes: &'a Flushes) -> Self {
        let flushes = Some(flushes).filter(|_| method.can_flush());
        Self { encoder: method.encoder(), flushes, taken: 0, flushed: 0 }
    }

    /// Takes the next plain bytes; a flush waits until a byte behind it comes.
    pub fn write(&mut self, mut plain: &[u8], out: &mut Vec<u8>) {
        while !plain.is_empty() {
            let room = match self.flushes.and_then(|flushes| flushes.next(self.flushed)) {
                Some(next) if next <= self.taken => {
                    self.flush(out);
                    self.flushed += 1;
                    continue;
                }
                Some(next) => usize::try_from(next - self.taken).unwrap_or(usize::MAX),
                None => usize::MAX,
            };
            let (now, later) = plain.split_at(plain.len().min(room));
            self.encoder.write(now, out);
            self.taken += now.len() as u64;
            plain = later;
        }
    }

    pub fn finish(mut self, out: &mut Vec<u8>) {
        for _ in 0..self.flushes.map_or(0, |flushes| flushes.end) {
            self.flush(out);
        }
        self.encoder.finish(out);
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        // zlib leaves out a second flush, unless a write comes between, even of nothing.
        self.encoder.write(&[], out);
        self.encoder.flush(out);
    }
}
