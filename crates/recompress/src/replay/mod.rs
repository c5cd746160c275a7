//! From a recipe and the plain bytes to the compressed stream, byte for byte as it was.
//!
//! ```text
//! plain ─► member by member ─► header, deflate bytes, checksum and length ─► out
//!                 │                     ▲
//!                 └─ blocks of pgzip, units of pigz: on several threads, in order
//! ```

mod blocks;
mod ends;

use std::io::{Read, Write};
use std::num::NonZeroUsize;

use crc32fast::Hasher;

use crate::encode::MemberEncoder;
use crate::method::Method;
use crate::recipe::{Flushes, Member, Recipe};
use blocks::Blocks;
pub use ends::ReplayError;
use ends::{Out, Plain};

/// Plain bytes read at once.
const PIECE: usize = 64 << 10;

/// What was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replayed {
    /// Plain bytes read.
    pub plain: u64,
    /// Compressed bytes written.
    pub stored: u64,
}

/// Makes the stream of `recipe` again from `plain` and writes it to `out`.
///
/// Streams through less than 64 MiB of memory. Blocks that do not depend on each other (pgzip, pigz) are made on up to
/// `threads` threads; the bytes are the same at any number.
///
/// Whether the bytes are those of the original is for the caller to find out: a recipe from a stranger makes *some*
/// stream, never longer than [`Recipe::stored_len`].
///
/// # Errors
/// [`ReplayError`]; part of the stream has been written then.
pub fn replay(
    recipe: &Recipe,
    plain: impl Read,
    out: impl Write,
    threads: NonZeroUsize,
) -> Result<Replayed, ReplayError> {
    let mut plain = Plain { inner: plain, expected: recipe.plain_len(), taken: 0, crc: Hasher::new() };
    let mut out = Out { inner: out, expected: recipe.stored_len(), written: 0 };
    let mut empty = None;
    for member in recipe.members() {
        out.write(member.header)?;
        let start = plain.taken;
        plain.crc.reset();
        if member.plain_len == 0 {
            empty_member(&member, &mut empty, &mut out)?;
        } else if let Some(blocks) = Blocks::of(member.method, member.plain_len, threads) {
            blocks.run(&mut plain, &mut out)?;
        } else {
            whole_member(&member, &mut plain, &mut out)?;
        }
        out.write(&plain.crc.clone().finalize().to_le_bytes())?;
        out.write(&((plain.taken - start) as u32).to_le_bytes())?;
    }
    for (zeros, bytes) in recipe.tail() {
        out.zeros(zeros)?;
        out.write(bytes)?;
    }
    plain.end()?;
    out.end().map(|()| Replayed { plain: plain.taken, stored: out.written })
}

/// What the last empty member came to: there may be millions of them, and an encoder is a large thing to set up.
type Empty<'a> = Option<(&'a Method, &'a Flushes, Vec<u8>)>;

fn empty_member<'a, W: Write>(
    member: &Member<'a>,
    known: &mut Empty<'a>,
    out: &mut Out<W>,
) -> Result<(), ReplayError> {
    let same = |(method, flushes, _): &(&Method, &Flushes, _)| {
        std::ptr::eq(*method, member.method) && std::ptr::eq(*flushes, member.flushes)
    };
    if !known.as_ref().is_some_and(same) {
        let mut stored = Vec::new();
        MemberEncoder::new(member.method, member.flushes).finish(&mut stored);
        *known = Some((member.method, member.flushes, stored));
    }
    known.as_ref().map_or(Ok(()), |(_, _, stored)| out.write(stored))
}

fn whole_member<R: Read, W: Write>(
    member: &Member,
    plain: &mut Plain<R>,
    out: &mut Out<W>,
) -> Result<(), ReplayError> {
    let mut encoder = MemberEncoder::new(member.method, member.flushes);
    let (mut piece, mut stored, mut left) = (vec![0; PIECE], Vec::new(), member.plain_len);
    while left > 0 {
        let now = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        plain.read(&mut piece[..now])?;
        encoder.write(&piece[..now], &mut stored);
        out.write(&stored)?;
        stored.clear();
        left -= now as u64;
    }
    encoder.finish(&mut stored);
    out.write(&stored)
}
