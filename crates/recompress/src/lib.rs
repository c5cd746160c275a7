//! Finds the encoder that made a gzip or zstd stream, and makes the same bytes again.

#![forbid(unsafe_code)]

pub mod deflate;
