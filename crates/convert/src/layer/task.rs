//! What the layers of a run share, and what one of them needs.

use std::num::NonZeroUsize;
use std::path::Path;

use nydus_convert_oci::{Sink, Source};

use super::allowance::Spare;
use super::failure::LayerFailure;
use super::form::Form;
use crate::options::Replay;
use crate::prefetch::Prefetch;
use crate::run::{LayerLabel, Run};

/// What all layers of a run share.
pub struct LayerRun<'a> {
    /// Where layers come from.
    pub source: &'a dyn Source,
    /// Where blobs go.
    pub sink: &'a dyn Sink,
    /// What layers become.
    pub form: Form<'a>,
    /// What is kept for the way back.
    pub replay: Replay,
    /// What is to lie in front.
    pub prefetch: &'a Prefetch,
    /// Where temporary files are made.
    pub tmpdir: Option<&'a Path>,
    /// What is left of [`Resources::max_metadata`](crate::Resources::max_metadata).
    pub spare: Spare,
    /// Layers converted at the same time.
    pub parallel_layers: NonZeroUsize,
    /// What it shares with everything else.
    pub run: &'a Run<'a>,
}

/// The conversion of one layer under way.
pub struct Task<'a> {
    /// What it shares with the others.
    pub layers: &'a LayerRun<'a>,
    /// What it is called.
    pub label: &'a LayerLabel,
    /// Says, asked again and again, whether the result is not wanted any more.
    pub give_up: &'a dyn Fn() -> bool,
}

impl Task<'_> {
    /// Whether to go on.
    pub fn proceed(&self) -> Result<(), LayerFailure> {
        self.layers.run.proceed()?;
        if (self.give_up)() { Err(LayerFailure::GivenUp) } else { Ok(()) }
    }
}

impl LayerRun<'_> {
    /// A layer's share of the file data in flight, in bytes.
    pub fn window(&self) -> usize {
        self.run.resources.window_bytes / self.parallel_layers
    }
}
