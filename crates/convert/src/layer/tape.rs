//! The recorder of a layer's framing, where there is one.

use nydus_convert_layer::record::{RecordError, Recorder, Recording};
use nydus_convert_layer::{BLOCK, Tape};

/// Records, or lets everything pass.
pub struct LayerTape(Option<Recorder>);

impl LayerTape {
    /// With `record`, keeps what the way back needs.
    pub fn new(record: bool) -> Self {
        Self(record.then(Recorder::new))
    }

    /// See [`Recorder::chunk_done`].
    pub fn chunk_done(&mut self) {
        self.with(Recorder::chunk_done);
    }

    /// See [`Recorder::take_unstored`].
    pub fn take_unstored(&mut self, max: usize, flush: bool) -> Option<Vec<u8>> {
        self.0.as_mut()?.take_unstored(max, flush)
    }

    /// The record.
    pub fn finish(self) -> Result<Option<Recording>, RecordError> {
        self.0.map(Recorder::finish).transpose()
    }

    fn with(&mut self, tell: impl FnOnce(&mut Recorder)) {
        if let Some(recorder) = &mut self.0 {
            tell(recorder);
        }
    }
}

impl Tape for LayerTape {
    fn header(&mut self, block: &[u8; BLOCK]) {
        self.with(|recorder| recorder.header(block));
    }

    fn extension(&mut self, body: &[u8]) {
        self.with(|recorder| recorder.extension(body));
    }

    fn content(&mut self, bytes: &[u8]) {
        self.with(|recorder| recorder.content(bytes));
    }

    fn skipped(&mut self, bytes: &[u8]) {
        self.with(|recorder| recorder.skipped(bytes));
    }

    fn hole(&mut self, length: u64) {
        self.with(|recorder| recorder.hole(length));
    }

    fn padding(&mut self, bytes: &[u8]) {
        self.with(|recorder| recorder.padding(bytes));
    }

    fn zero_blocks(&mut self, count: u64) {
        self.with(|recorder| recorder.zero_blocks(count));
    }

    fn opaque(&mut self, bytes: &[u8]) {
        self.with(|recorder| recorder.opaque(bytes));
    }

    fn unclaimed(&mut self, bytes: &[u8]) {
        self.with(|recorder| recorder.unclaimed(bytes));
    }
}
