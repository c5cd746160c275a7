//! The metadata of a blob: what follows its chunks.
//!
//! ```text
//! | chunks | image.blob | CI | CI header | blob.meta | digests | blob.digest | bootstrap | image.boot | TOC | rafs.blob.toc |
//! |        └ 512        └ ci └ 4096      └ 512                 └ 512                     └ 512        └ toc └ 512
//! ```
//!
//! Every section is followed by a tar header that tells its name and length ([`section`]), so that a blob can be
//! written in one pass and read from its end. The compression information ([`ci`]) tells where chunks lie, the table of
//! contents ([`toc`]) where sections lie.

mod batch;
pub mod ci;
mod entry;
mod error;
mod information;
pub mod section;
pub mod toc;
pub mod zran;

pub use batch::{Batch, InBatch};
pub use error::{EntryProblem, MetaError};
