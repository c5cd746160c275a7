//! The start of a stream, kept for the trial.

use std::ops::Range;

/// Members whose encoder is taken to be the same: what their headers say of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Class {
    /// The header's byte 8: how hard the encoder worked, or so it says.
    pub extra_flags: u8,
    /// Byte 9: the operating system.
    pub system: u8,
    /// The time is the one that klauspost's gzip and pgzip write for none.
    pub zero_time_of_go: bool,
}

impl Class {
    pub fn of(header: &[u8]) -> Self {
        let byte = |at: usize| header.get(at).copied().unwrap_or(0);
        let zero_time_of_go = header.get(4..8) == Some(&[0x00, 0x09, 0x6e, 0x88]);
        Self { extra_flags: byte(8), system: byte(9), zero_time_of_go }
    }
}

/// A member of which the sample has the start or all. It has plain bytes.
#[derive(Debug)]
pub(super) struct SampledMember {
    /// Its number in the stream, from 0.
    pub index: u64,
    pub class: Class,
    /// Its deflate bytes in [`Sample::stored`]; further ones may follow where it is not whole.
    pub deflate: Range<usize>,
    /// Its plain bytes in [`Sample::plain`].
    pub plain: Range<usize>,
    pub whole: bool,
}

/// Plain bytes and what became of them.
#[derive(Debug, Default)]
pub(super) struct Sample {
    pub plain: Vec<u8>,
    pub stored: Vec<u8>,
    pub members: Vec<SampledMember>,
    /// More stored bytes belong to it than are kept: no encoder makes so much of so little.
    pub overflow: bool,
}
