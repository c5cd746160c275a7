//! Which encoder made this gzip stream, and the same stream again from its plain bytes.
//!
//! Two compressors, or two releases of one, seldom give the same bytes for the same input. Who unpacks a `.gz` file and
//! wants it back later, *identical*, with its digest and its signature, has to know which program made it, with which
//! settings, and has to do what that program did. This crate finds out ([`identify()`], [`Identifier`]), notes it in a
//! [`Recipe`] of some ten bytes, and does it again ([`replay()`]).
//!
//! ```
//! use nydus_convert_recompress::{Recipe, identify, replay};
//! use std::io::Read;
//! use std::num::NonZeroUsize;
//!
//! # use nydus_convert_recompress::{deflate::Deflate, zlib::{Level, Zlib, Params}};
//! # let text = b"sea shells by the sea shore";
//! # let mut file = b"\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec();
//! # let mut zlib = Zlib::new(Params::default());
//! # zlib.write(text, &mut file);
//! # zlib.finish(&mut file);
//! # let mut crc = flate2::Crc::new();
//! # crc.update(text);
//! # file.extend(crc.sum().to_le_bytes());
//! # file.extend(27_u32.to_le_bytes());
//! // `file` is a .gz file.
//! let threads = NonZeroUsize::MIN;
//! let recipe = identify(|| Ok(&file[..]), threads)?.expect("made by an encoder that is known");
//! let kept: Vec<u8> = recipe.write();
//! assert!(kept.len() < 20);
//!
//! let mut plain = Vec::new();
//! flate2::read::MultiGzDecoder::new(&file[..]).read_to_end(&mut plain)?;
//!
//! let mut again = Vec::new();
//! replay(&Recipe::parse(&kept)?, &plain[..], &mut again, threads)?;
//! assert_eq!(again, file);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! The encoders, byte for byte:
//!
//! | module | encoders |
//! |---|---|
//! | [`go`] | Go's `compress/flate`, 1.8 to 1.26, all levels |
//! | [`klauspost`] | `github.com/klauspost/compress/flate` from 1.15.11 on, and Go 1.27 |
//! | [`pgzip`] | the framing of `github.com/klauspost/pgzip`: podman, buildah, skopeo, umoci |
//! | [`zlib`] | zlib, GNU gzip, pigz |
//!
//! All of them implement [`deflate::Deflate`]: plain bytes in pieces, raw deflate bytes out. Nothing here knows of
//! container images.

mod bytes;
pub mod deflate;
mod encode;
pub mod go;
mod identify;
pub mod inflate;
pub mod klauspost;
mod method;
pub mod pgzip;
mod recipe;
mod replay;
pub mod seek;
mod stored;
mod wire;
pub mod zlib;

pub use identify::whole::identify;
pub use identify::{Identified, Identifier, Sampling, Trial, Verdict};
pub use method::Method;
pub use recipe::{Recipe, RecipeError};
pub use replay::{ReplayError, Replayed, replay};

/// The page for people, whose examples are compiled, too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
