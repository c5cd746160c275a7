//! Finds out who compressed a layer, while it is decompressed.

use std::thread::JoinHandle;

use nydus_convert_oci::Watch;
use nydus_convert_recompress::{Identified, Identifier, Sampling, Trial, Verdict};

/// The first byte of every gzip stream.
const GZIP: u8 = 0x1f;

/// Plain bytes of the sample for each stored byte of the layer: what is tried should not show beside what is converted.
const SHARE: u64 = 16;
/// Least sample, in plain bytes: more than the usual block of pgzip. Where it does not tell encoders apart, those left
/// are tried one by one on the way back.
const LEAST: usize = 5 << 18;

/// How much of a layer of `stored` bytes is tried.
fn sampling(stored: u64) -> Sampling {
    let most = Sampling::default();
    let share = usize::try_from(stored / SHARE).unwrap_or(most.plain_bytes);
    Sampling { plain_bytes: share.max(LEAST).min(most.plain_bytes) }
}

/// Watches the decompressor of one layer.
pub struct EncoderWatch {
    identifier: Option<Identifier>,
    /// Whether the first byte is still to come.
    fresh: bool,
    /// The expensive part, as soon as there is enough to try.
    trial: Option<JoinHandle<Verdict>>,
}

impl EncoderWatch {
    /// With `identify`, looks at gzip streams; this one has `stored` bytes.
    pub fn new(identify: bool, stored: u64) -> Self {
        let identifier = identify.then(|| Identifier::new(sampling(stored)));
        Self { identifier, fresh: true, trial: None }
    }

    /// Who it was; `None` if the stream is not gzip or nobody asked.
    pub fn finish(self) -> Option<Identified> {
        // A trial that panicked is no verdict; then the identifier tries again, here.
        let verdict = self.trial.and_then(|trial| trial.join().ok());
        Some(self.identifier?.finish(verdict))
    }

    fn start(&mut self, trial: Trial) {
        let thread = std::thread::Builder::new().name("identify".to_owned()).spawn(move || trial.run());
        // Without a thread `finish` does it.
        self.trial = thread.ok();
    }
}

impl Watch for EncoderWatch {
    fn stored(&mut self, bytes: &[u8]) {
        if let (true, Some(first)) = (self.fresh, bytes.first()) {
            self.fresh = false;
            if *first != GZIP {
                self.identifier = None;
            }
        }
        if let Some(identifier) = &mut self.identifier {
            identifier.stored(bytes);
        }
    }

    fn plain(&mut self, bytes: &[u8]) {
        let Some(identifier) = &mut self.identifier else { return };
        identifier.plain(bytes);
        if let Some(trial) = identifier.take_trial() {
            self.start(trial);
        }
    }

    fn member_end(&mut self) {
        if let Some(identifier) = &mut self.identifier {
            identifier.member_end();
        }
    }
}
