//! gzip: members one after another, perhaps zeros after the last.
//!
//! ```text
//! member := header, deflate stream, CRC-32, length      a pigz or eStargz layer has many
//! stream := member+ zero*                               tapes and some registries pad with zeros
//! ```

use std::io::Read;

use flate2::{Decompress, FlushDecompress, Status};

use super::error::{Compression, DecompressError};
use super::input::Input;
use super::step::{Step, StepError};
use super::watch::Watch;

const MAGIC: [u8; 2] = [0x1f, 0x8b];
/// log2 of the largest window that deflate has.
const WINDOW_BITS: u8 = 15;

/// A gzip decoder.
pub(super) struct Gzip {
    state: State,
}

enum State {
    Member(Decompress),
    /// A member is complete.
    Between,
    /// Nothing but zeros may follow.
    Padding,
}

impl Gzip {
    /// Expects the first member.
    pub fn new() -> Self {
        Self { state: State::Member(Decompress::new_gzip(WINDOW_BITS)) }
    }

    /// Decodes some bytes to the beginning of `out`, which is not empty.
    pub fn step<R: Read, W: Watch>(
        &mut self,
        input: &mut Input<R, W>,
        out: &mut [u8],
    ) -> Result<Step, StepError> {
        loop {
            match &mut self.state {
                State::Member(decoder) => {
                    let (produced, ended) = inflate(decoder, input, out)?;
                    if ended {
                        self.state = State::Between;
                    }
                    if produced > 0 {
                        return Ok(Step::Bytes(produced));
                    }
                }
                State::Between => {
                    input.watch.member_end();
                    self.state = match input.peek(2)? {
                        // Asked again, the end is still the end, but no member ends again.
                        [] => State::Padding,
                        // A lone first byte can only be a member that was cut off.
                        [first] if *first == MAGIC[0] => State::Member(Decompress::new_gzip(WINDOW_BITS)),
                        [first, second, ..] if [*first, *second] == MAGIC => {
                            State::Member(Decompress::new_gzip(WINDOW_BITS))
                        }
                        _ => State::Padding,
                    };
                }
                State::Padding => match input.fill()? {
                    [] => return Ok(Step::End),
                    bytes => {
                        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
                        let ended = zeros < bytes.len();
                        input.consume(zeros);
                        if ended {
                            let (compression, offset) = (Compression::Gzip, input.offset());
                            return Err(DecompressError::TrailingGarbage { compression, offset }.into());
                        }
                    }
                },
            }
        }
    }
}

/// One call of the decoder that gets somewhere: bytes produced, and whether the member is complete.
fn inflate<R: Read, W: Watch>(
    decoder: &mut Decompress,
    input: &mut Input<R, W>,
    out: &mut [u8],
) -> Result<(usize, bool), StepError> {
    loop {
        let (before_in, before_out) = (decoder.total_in(), decoder.total_out());
        let at_hand = input.bytes().len();
        let result = decoder.decompress(input.bytes(), out, FlushDecompress::None);
        let consumed = usize::try_from(decoder.total_in() - before_in).unwrap_or(usize::MAX);
        let produced = usize::try_from(decoder.total_out() - before_out).unwrap_or(usize::MAX);
        input.consume(consumed);
        let damaged = |reason: String, offset| DecompressError::Damaged {
            compression: Compression::Gzip,
            offset,
            reason,
        };
        let status = result
            .map_err(|error| damaged(error.message().unwrap_or("invalid data").to_owned(), input.offset()))?;
        if status == Status::StreamEnd || produced > 0 {
            return Ok((produced, status == Status::StreamEnd));
        }
        if consumed == 0 && at_hand > 0 {
            return Err(damaged("no progress".to_owned(), input.offset()).into());
        }
        if input.bytes().is_empty() && input.fill()?.is_empty() {
            let (compression, offset) = (Compression::Gzip, input.offset());
            return Err(DecompressError::Truncated { compression, offset }.into());
        }
    }
}
