//! Zstandard: frames one after another, some of which decoders skip (zstd:chunked keeps its table of contents
//! there).

use std::io::{self, Read};

use zstd::zstd_safe::{self, DCtx, DParameter, InBuffer, OutBuffer};

use super::error::{Compression, DecompressError};
use super::frame::{Frame, MAGIC_LEN, is_magic, may_become_magic};
use super::input::Input;
use super::step::{Step, StepError};
use super::watch::Watch;
use super::window::Window;

/// log2 of the largest window that libzstd decodes: what `zstd --long` can ask for. The caller's limit is compared first.
const WINDOW_LOG_MAX: u32 = if usize::BITS == 64 { 31 } else { 30 };

/// A zstd decoder.
pub(super) struct Zstd {
    decoder: DCtx<'static>,
    in_frame: bool,
    max_window: u64,
    /// What the decoder's buffer is counted as, while it is a large one.
    window: Option<Window>,
}

impl Zstd {
    /// Expects the first frame. Frames that need more than `max_window` bytes of window are refused.
    pub fn new(max_window: u64) -> io::Result<Self> {
        Ok(Self { decoder: decoder()?, in_frame: false, max_window, window: None })
    }

    /// Makes sure that there is memory for the frame that begins with `header`.
    fn begin(&mut self, header: &[u8], offset: u64) -> Result<(), StepError> {
        self.in_frame = true;
        // What is cut off within its header, the decoder refuses.
        let Some(frame) = Frame::parse(header) else { return Ok(()) };
        let (needed, limit) = (frame.memory(), self.max_window);
        if needed > limit {
            return Err(DecompressError::WindowTooLarge { offset, needed, limit }.into());
        }
        self.window = Window::hold(needed);
        Ok(())
    }

    /// Gives the memory of a large window back.
    fn end(&mut self) -> io::Result<()> {
        self.in_frame = false;
        if let Some(window) = self.window.take() {
            // The decoder would keep its buffer.
            self.decoder = decoder()?;
            drop(window);
        }
        Ok(())
    }

    /// Decodes some bytes to the beginning of `out`, which is not empty.
    pub fn step<R: Read, W: Watch>(
        &mut self,
        input: &mut Input<R, W>,
        out: &mut [u8],
    ) -> Result<Step, StepError> {
        let compression = Compression::Zstd;
        loop {
            if !self.in_frame {
                match input.peek(MAGIC_LEN)? {
                    [] => return Ok(Step::End),
                    bytes if is_magic(bytes) => {
                        let offset = input.offset();
                        let header = input.peek(Frame::MAX_HEADER)?;
                        self.begin(header, offset)?;
                    }
                    bytes => {
                        let is_cut = bytes.len() < MAGIC_LEN && may_become_magic(bytes);
                        let offset = input.offset();
                        return Err(match is_cut {
                            true => DecompressError::Truncated {
                                compression,
                                offset: offset + input.bytes().len() as u64,
                            },
                            false => DecompressError::TrailingGarbage { compression, offset },
                        }
                        .into());
                    }
                }
            }
            let (consumed, produced) = self.decode(input, out)?;
            if produced > 0 {
                return Ok(Step::Bytes(produced));
            }
            if self.in_frame && consumed == 0 && input.bytes().is_empty() && input.fill()?.is_empty() {
                return Err(DecompressError::Truncated { compression, offset: input.offset() }.into());
            }
        }
    }

    /// One call of the decoder: bytes consumed and produced.
    fn decode<R: Read, W: Watch>(
        &mut self,
        input: &mut Input<R, W>,
        out: &mut [u8],
    ) -> Result<(usize, usize), StepError> {
        let mut source = InBuffer::around(input.bytes());
        let mut target = OutBuffer::around(out);
        let result = self.decoder.decompress_stream(&mut target, &mut source);
        let (consumed, produced) = (source.pos(), target.pos());
        let at_hand = source.src.len();
        input.consume(consumed);
        match result {
            // A frame is complete, and all of it is in `out`.
            Ok(0) => self.end()?,
            Ok(_) if consumed == 0 && produced == 0 && at_hand > 0 => {
                return Err(damaged("no progress", input.offset()).into());
            }
            Ok(_) => {}
            Err(code) => return Err(damaged(zstd_safe::get_error_name(code), input.offset()).into()),
        }
        Ok((consumed, produced))
    }
}

fn decoder() -> io::Result<DCtx<'static>> {
    let failed = |code| io::Error::new(io::ErrorKind::OutOfMemory, zstd_safe::get_error_name(code));
    let mut decoder = DCtx::try_create().ok_or(io::ErrorKind::OutOfMemory)?;
    decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX)).map_err(failed)?;
    Ok(decoder)
}

fn damaged(reason: &str, offset: u64) -> DecompressError {
    DecompressError::Damaged { compression: Compression::Zstd, offset, reason: reason.to_owned() }
}
