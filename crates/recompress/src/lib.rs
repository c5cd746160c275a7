//! The deflate encoders of the world, byte for byte.
//!
//! Given the same plain bytes and settings, an encoder of this crate writes exactly the compressed bytes that the
//! original writes. That is what it takes to make a gzip stream again, identical, from its plain bytes and a few
//! parameters. Nothing here knows of container images.
//!
//! | module | encoders |
//! |---|---|
//! | [`go`] | Go's `compress/flate`, 1.8 to 1.26, all levels |
//! | [`klauspost`] | `github.com/klauspost/compress/flate` from 1.15.11 on, and Go 1.27 |
//! | [`pgzip`] | the framing of `github.com/klauspost/pgzip`: podman, buildah, skopeo, umoci |
//! | [`zlib`] | zlib, GNU gzip, pigz |
//!
//! All of them implement [`deflate::Deflate`]: plain bytes in pieces, raw deflate bytes out. Finding out which encoder
//! made a given stream is not part of this crate yet.

#![forbid(unsafe_code)]

pub mod deflate;
pub mod go;
pub mod klauspost;
pub mod pgzip;
pub mod zlib;
