//! Who watches a stream.

/// Watches a gzip or zstd stream while it is decompressed. Nothing is told of streams that are not compressed.
pub trait Watch {
    /// The next stored bytes, in order, when the decoder has used them.
    fn stored(&mut self, bytes: &[u8]);
    /// The next plain bytes, in order.
    fn plain(&mut self, bytes: &[u8]);
    /// What was told since the last call is exactly one gzip member.
    fn member_end(&mut self);
}

/// Watches nothing.
impl Watch for () {
    fn stored(&mut self, _: &[u8]) {}
    fn plain(&mut self, _: &[u8]) {}
    fn member_end(&mut self) {}
}
