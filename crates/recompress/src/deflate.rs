//! The face that every deflate encoder of this crate shows: plain bytes in, the *exact* raw deflate bytes of one
//! encoder of the world out.

/// A streaming raw-deflate encoder (no gzip or zlib framing).
///
/// Output is appended to `out`; an encoder may hold bytes back until [`Deflate::flush`] or [`Deflate::finish`].
/// The output never depends on how the input is cut into `write` calls, except where the documentation of the
/// encoder says that the original behaves so.
pub trait Deflate: Send {
    /// Takes the next plain bytes.
    fn write(&mut self, plain: &[u8], out: &mut Vec<u8>);
    /// Ends the current block as the original's sync flush does.
    fn flush(&mut self, out: &mut Vec<u8>);
    /// Ends the stream: final block, padding to a byte. Nothing may follow.
    fn finish(&mut self, out: &mut Vec<u8>);
}
