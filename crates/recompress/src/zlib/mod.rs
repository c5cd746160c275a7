//! The zlib family: stock zlib, GNU gzip and pigz, byte for byte.
//!
//! One deflate engine serves three faces, [`Zlib`], [`GnuGzip`] and [`Pigz`]. Each gives exactly the raw
//! deflate bytes of its original; the gzip or zlib framing around them is the caller's. No output depends on
//! how the input is cut into writes. Memory: about half a MiB per encoder, whatever the input.
//!
//! ```text
//! write ─► Window ──► Engine ──────────► Block ───────────────► Bits ─► out
//!          64 KiB,    greedy (1..=3) or   tokens of one block,   bits to
//!          hash,      lazy (4..=9)        stored, fixed or       bytes
//!          chains     matching            dynamic (huffman)
//! ```
//!
//! What tells the originals apart (m = memLevel):
//!
//! | | zlib, pigz | GNU gzip |
//! |---|---|---|
//! | hash bits | m + 7 (15) | 15 |
//! | tokens in a full block | 2^(m+6) - 1 (16383) | 32767 |
//! | blocks ended early | no | levels 3..=9 |
//! | near the end of the input | never looks behind it | hashes and compares what lies behind it |
//!
//! Level 0 is not offered: its stored blocks follow the buffer sizes of the original's caller. Neither are
//! other strategies than the default one and windows other than 32 KiB, nor pigz's `-R` and `-11`, nor GNU
//! `--rsyncable`.

mod bits;
mod block;
mod engine;
mod gnu;
mod huffman;
mod params;
mod pigz;
mod stream;
mod symbols;
mod window;

pub use gnu::GnuGzip;
pub use params::{Level, MemLevel, OutOfRange, Params, UnitSize};
pub use pigz::{Pigz, PigzParams, Threads, compress_unit};
pub use stream::{Flush, Zlib};
